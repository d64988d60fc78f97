package task

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/memory"
)

// Exchange says how an edge distributes rows over the workers of its receiver.
type Exchange uint8

// The exchanges.
const (
	Forward   Exchange = iota // worker i to worker i: fused into one chain where the receiver has no other input
	Hash                      // by the hash of the key columns
	Rebalance                 // round robin by batch
	Broadcast                 // every row to every worker
	Gather                    // everything to worker 0, where the receiver has its only instance
)

// String names the exchange as explain does.
func (e Exchange) String() string {
	return [...]string{"forward", "hash", "rebalance", "broadcast", "gather"}[e]
}

// Graph is a physical plan, ready to run. Functions in it are called for each attempt: a job that restarts gets new
// sources, operators and sinks.
type Graph struct {
	Job       string
	Workers   int
	KeyGroups int
	Nodes     []*Node // in topological order
	Options   Options
}

// Options are the settings of the engine.
type Options struct {
	BatchRows         int           // rows of a full batch, default 4096
	BufferTimeout     time.Duration // 0: flush after every batch; negative: only when full or before control
	FlushWhenIdle     bool          // flush to a receiver that is idle
	WatermarkInterval time.Duration // how often sources emit watermarks; default 200ms
	RingBatches       int           // credit of a ring in batches; default 16
	RingBytes         int64         // credit of a ring in bytes; default 4 MiB
	Memory            *memory.Pool
	Clock             clock.Clock
	Log               *slog.Logger
}

// Node is one vertex: exactly one of Source, Operator and Sink is set.
type Node struct {
	ID     string // stable over restarts and releases of the spec: names state
	Label  string // for people: "source rides", "filter arrivals"
	Place  string // where the program says so, for errors: "job.yaml:31:5"; "": not known, or the node says it itself
	Schema *core.Schema
	Inputs []Input

	Source   func() (core.Source, error)
	Operator func() core.Operator
	Sides    []*core.Schema // of an operator: its side outputs
	Sink     func() (core.Sink, error)

	Watermark   *Watermark // of a source; nil: no event time
	Ingestion   bool       // of a source: the last column of Schema is when the task took the row; readers do not give it
	DeadLetters *Node      // of a source: the sink node that takes its dead letters; not among anyone's Inputs
	// PassThrough says that a sink's rows are those of its sources less the counted drops: its ledger draws a balance.
	PassThrough bool
	Computes    string // of a sink: for core.CommitInfo
}

// Input is an edge into a node.
type Input struct {
	From     *Node
	Port     int
	Exchange Exchange
	Output   int   // of From: 0 its main output, i > 0 its side output i-1
	Keys     []int // columns of From's schema, of a hash exchange
}

// Watermark is the strategy of a source: a generator, or the latest time of a column less a bound of disorder.
type Watermark struct {
	Column      int // TIMESTAMP column of the source's schema
	MaxDelay    time.Duration
	Generator   func() core.WatermarkGenerator // called for each split; nil: by MaxDelay
	IdleTimeout time.Duration                  // 0: a silent split holds the watermark back for ever
	// MaxDrift holds a reader back while its watermark is so much ahead of the slowest source of Group; 0: it does not wait.
	MaxDrift time.Duration
	Group    string
	// MaxFutureSkew sends rows whose time is so much ahead of processing time to the dead letters; 0: they pass, and drag the watermark.
	MaxFutureSkew time.Duration
}

// schema is that of the rows on the edge.
func (in *Input) schema() *core.Schema {
	if in.Output > 0 {
		return in.From.Sides[in.Output-1]
	}
	return in.From.Schema
}

func (o *Options) setDefaults() {
	if o.BatchRows <= 0 {
		o.BatchRows = 4096
	}
	if o.WatermarkInterval <= 0 {
		o.WatermarkInterval = 200 * time.Millisecond
	}
	if o.RingBatches <= 0 {
		o.RingBatches = 16
	}
	if o.RingBytes <= 0 {
		o.RingBytes = 4 << 20
	}
	if o.Memory == nil {
		o.Memory = memory.NewPool(0)
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// check reports a graph that cannot run: a broken promise of the planner, not a mistake of the user.
func (g *Graph) check() error {
	if g.Workers < 1 || g.KeyGroups < g.Workers || g.KeyGroups > core.MaxKeyGroups {
		return fmt.Errorf("graph %s: %d workers for %d key groups: there must be 1 to as many workers as key groups", g.Job, g.Workers, g.KeyGroups)
	}
	seen := map[*Node]bool{}
	ids := map[string]bool{}
	for _, n := range g.Nodes {
		kinds := 0
		for _, set := range []bool{n.Source != nil, n.Operator != nil, n.Sink != nil} {
			if set {
				kinds++
			}
		}
		switch {
		case kinds != 1:
			return fmt.Errorf("graph %s: node %s must be one of source, operator and sink", g.Job, n.ID)
		case ids[n.ID]:
			return fmt.Errorf("graph %s: node id %s stands twice", g.Job, n.ID)
		case (n.Source != nil) != (len(n.Inputs) == 0) && !g.isDeadLetterSink(n):
			return fmt.Errorf("graph %s: node %s has %d inputs", g.Job, n.ID, len(n.Inputs))
		}
		for _, in := range n.Inputs {
			if in.Output < 0 || in.Output > len(in.From.Sides) {
				return fmt.Errorf("graph %s: node %s reads output %d of %s, which has %d beside its main one", g.Job, n.ID, in.Output, in.From.ID, len(in.From.Sides))
			}
			if !seen[in.From] || in.From.Sink != nil {
				return fmt.Errorf("graph %s: node %s reads %s, which does not stand before it or is a sink", g.Job, n.ID, in.From.ID)
			}
		}
		seen[n], ids[n.ID] = true, true
		for _, in := range n.Inputs {
			if in.Exchange == Forward && g.instances(n) < g.instances(in.From) {
				return fmt.Errorf("graph %s: node %s is on one worker, its input %s is on all and must be gathered", g.Job, n.ID, in.From.ID)
			}
		}
	}
	return nil
}

func (g *Graph) isDeadLetterSink(n *Node) bool {
	for _, s := range g.Nodes {
		if s.DeadLetters == n {
			return true
		}
	}
	return false
}

// chained reports whether n runs in the chain of its input.
func (n *Node) chained() bool {
	return len(n.Inputs) == 1 && n.Inputs[0].Exchange == Forward && n.Inputs[0].Port == 0
}

// instances returns how many workers run an instance of n: all, or worker 0 alone behind a Gather.
func (g *Graph) instances(n *Node) int {
	n = n.root()
	alone := len(n.Inputs) > 0
	for _, in := range n.Inputs {
		if in.Exchange == Gather {
			return 1
		}
		alone = alone && in.Exchange == Forward && g.instances(in.From) == 1
	}
	if alone {
		return 1
	}
	return g.Workers
}

// root returns the node at whose root the chain of n begins.
func (n *Node) root() *Node {
	for n.chained() {
		n = n.Inputs[0].From
	}
	return n
}

// named says in an error of whom it is. Who comes first has made it: the error of a node is passed up the chain by those before it.
func (n *Node) named(err error) error {
	var of *nodeError
	if errors.As(err, &of) {
		return err
	}
	return &nodeError{n, err}
}

// nodeError is an error of a node.
type nodeError struct {
	node *Node
	err  error
}

// Error names the node once: connectors and operators may have said so themselves.
func (e *nodeError) Error() string {
	text := e.err.Error()
	if strings.HasPrefix(text, e.node.Label) {
		return text
	}
	kind, _, _ := strings.Cut(e.node.Label, " ")
	who := e.node.Label
	if e.node.Place != "" {
		who += " (" + e.node.Place + ")"
	}
	return who + ": " + strings.TrimPrefix(text, kind+": ")
}

// Unwrap returns the node's error.
func (e *nodeError) Unwrap() error { return e.err }
