package plan

import (
	"time"

	"turbo/core"
	"turbo/internal/spec"
	"turbo/io/connector"
)

// Node is one node of a plan. Its concrete type is one of *Source, *Calc, *Union, *Exchange, *Aggregate, *Deduplicate, *Operator,
// *SideOutput, *Sink.
type Node interface {
	// Common returns what every node has.
	Common() *Base
}

// Base is what every node has.
type Base struct {
	// ID names the operator in state, metrics and messages: "arrivals/filter". Unique and stable (invariant 3).
	ID string
	// Name is the source, stream or sink that the node belongs to.
	Name string
	// Pos is where the specification says so.
	Pos spec.Pos
	// Inputs are the nodes that this one reads: none of a Source, several of a Union or an Exchange, else one.
	Inputs []Node
	// Schema has the columns of the output; of a Sink, those of the batches that its writers get.
	Schema *core.Schema
	// Consumers counts the nodes that read this one; more than one means fan-out. Set by Finish.
	Consumers int
}

// Common implements Node.
func (c *Base) Common() *Base { return c }

// Source reads a connector.
type Source struct {
	Base
	Spec     *connector.SourceSpec
	Config   *connector.Config
	OnError  connector.ErrorPolicy
	Record   *core.Schema // the columns of a record as declared
	Metadata []Metadata   // the declared metadata columns that somebody reads
	// Columns and MetadataIndexes are for connector.SourceContext. Set by Finish.
	Columns         []int
	MetadataIndexes []connector.MetadataIndex
	Watermark       *Watermark // nil: rows have no event time

	// Ingestion is the metadata column that has the time at which a row was taken, the last one of the schema; "": none is read.
	Ingestion string

	declared *core.Schema // Record and all metadata columns
}

// HasDeadLetters reports whether the source may set rows aside.
func (s *Source) HasDeadLetters() bool {
	return s.OnError == connector.DeadLetters || s.Watermark != nil && s.Watermark.MaxFutureSkew > 0
}

// IngestionTime is the metadata key, of every connector, for the time at which a row was taken from its source.
const IngestionTime = "ingestion-time"

// IngestionType is the type of its column.
var IngestionType = core.Of(core.TimestampLTZ)

// Metadata is a column that the source fills from beside the record.
type Metadata struct {
	Column core.Field
	Key    string
}

// Watermark says how a source's watermark follows from its rows.
type Watermark struct {
	Column            string
	MaxOutOfOrderness time.Duration
	IdleTimeout       time.Duration // 0: never idle
	// Punctuated makes the watermark from rows alone, instead of MaxOutOfOrderness: a BOOLEAN that is true for a row up to whose time
	// everything has come, or the TIMESTAMP up to which it has (null: the row says nothing).
	Punctuated *Expr
	// Generator is a user's own; nil: as above.
	Generator func() core.WatermarkGenerator
	// MaxDrift holds the source back while it is so much ahead of the slowest of its Group; 0: it does not wait.
	MaxDrift time.Duration
	Group    string
	// MaxFutureSkew sends rows that are so much ahead of the clock to the dead letters; 0: they pass.
	MaxFutureSkew time.Duration
}

// Calc filters and projects: first the conditions, each on the rows that the ones before it kept, then the columns.
type Calc struct {
	Base
	Conditions []*Expr
	// Columns are the output columns; nil passes the input's columns on.
	Columns []Column
}

// Column is an output column of a Calc.
type Column struct {
	Name string
	Expr *Expr
	// Input is the index of the input column when the expression is just that column (passed on without copying), else
	// -1. Set by Finish.
	Input int
}

// Union brings streams of the same columns together. Finish replaces it by an Exchange.
type Union struct{ Base }

// ExchangeKind says how rows find their worker.
type ExchangeKind uint8

// The kinds of exchange.
const (
	Forward   ExchangeKind = iota // to the same worker: only brings inputs together
	Hash                          // by key group of the key's hash
	Rebalance                     // round robin
	Gather                        // everything to worker 0
	Broadcast                     // every row to every worker
)

// String names the kind as EXPLAIN does.
func (k ExchangeKind) String() string {
	return [...]string{"forward", "hash", "rebalance", "gather", "broadcast"}[k]
}

// Exchange is the border between two tasks. All inputs have its schema.
type Exchange struct {
	Base
	Kind ExchangeKind
	Keys []string
	// KeyIndexes are the columns of Keys. Set by Finish.
	KeyIndexes []int
}

// Aggregate keeps running aggregates by key. Its input has the key columns followed by the argument columns, its output
// the key columns followed by one column a call.
type Aggregate struct {
	Base
	Keys       []string // empty: the whole stream, on worker 0
	KeyIndexes []int    // in the input; set by Finish
	Calls      []Call
	// EveryRow emits one update a row; otherwise one a changed key and input batch.
	EveryRow bool
	// Before says that somebody reads the -U rows. Without it only +I and +U are emitted. Set by Finish.
	Before bool
}

// Call is one aggregate of an Aggregate.
type Call struct {
	Function   string // the name of an ops.Function
	Parameters []any  // its constants
	// Argument is the input column; "" for COUNT(*).
	Argument string
	// ArgumentIndex is its index in the input, -1 for COUNT(*). Set by Finish.
	ArgumentIndex int
	Output        core.Field
}

// Deduplicate keeps the first row of a key until the time to live has passed since.
type Deduplicate struct {
	Base
	Keys       []string
	KeyIndexes []int // set by Finish
	TTL        time.Duration
	// ProcessingTime counts the time to live by the clock; otherwise by event time, in the column TimeColumn of the schema.
	ProcessingTime bool
}

// RowKinds says what a sink does with a changelog.
type RowKinds uint8

// The ways of a sink.
const (
	AppendOnly    RowKinds = iota // the input has no row kinds
	UpsertRows                    // +I and +U rows are written as plain rows, -U and -D are dropped
	KindColumn                    // all rows, with their kind in the column Sink.KindColumn
	KeepsRowKinds                 // all rows, and the connector understands Batch.Kinds
)

// Sink writes to a connector.
type Sink struct {
	Base
	Spec   *connector.SinkSpec
	Config *connector.Config
	// RowKindColumn is the last column of Schema when not "": STRING NOT NULL, "+I", "-U", "+U" or "-D". It is not in the input.
	RowKindColumn string
	RowKinds      RowKinds // set by Finish
	// Balance are the identifiers of the nodes between the sources and this sink, sources included, when every row read is
	// written, filtered, deduplicated, dead-lettered or skipped exactly once on the way; nil when no balance can be
	// drawn, and then Unbalanced says why. Set by Finish.
	Balance    []string
	Unbalanced string
	// Computes is a digest of the filters and columns on the way to this sink, as they were written. Set by Finish.
	Computes string
}

// Plan is a job.
type Plan struct {
	Settings Settings
	Sinks    []*Sink // in the order of the specification

	expressions []Expression // as written; set by Finish
}

// Nodes returns all nodes, inputs before those that read them, in a deterministic order.
func (p *Plan) Nodes() []Node {
	var out []Node
	seen := map[Node]bool{}
	var visit func(Node)
	visit = func(n Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, in := range n.Common().Inputs {
			visit(in)
		}
		out = append(out, n)
	}
	for _, s := range p.Sinks {
		visit(s)
	}
	return out
}

// Sources returns the sources in the order of Nodes.
func (p *Plan) Sources() []*Source {
	var out []*Source
	for _, n := range p.Nodes() {
		if s, ok := n.(*Source); ok {
			out = append(out, s)
		}
	}
	return out
}

// Task is a piece of the plan that one worker runs an instance of, without an exchange inside: a tree of nodes from its
// head to the exchanges that it feeds and its sinks.
type Task struct {
	// ID is the head's.
	ID string
	// Head is a *Source, the *Exchange that the task reads, or an *Operator with several inputs.
	Head Node
	// Nodes are the nodes of the task after the head, inputs first. A Sink ends a branch.
	Nodes []Node
	// Outputs are the heads of other tasks that the task's nodes (or the head itself) feed.
	Outputs []Node
}

// Tasks cuts a finished plan at its exchanges and at operators with several inputs.
func (p *Plan) Tasks() []*Task {
	var tasks []*Task
	of := map[Node]*Task{}
	for _, n := range p.Nodes() {
		c := n.Common()
		_, meets := n.(*Exchange)
		if o, ok := n.(*Operator); ok && !o.alone() {
			meets = true
		}
		if meets {
			for _, in := range c.Inputs {
				of[in].Outputs = append(of[in].Outputs, n)
			}
		}
		if len(c.Inputs) == 0 || meets {
			of[n] = &Task{ID: c.ID, Head: n}
			tasks = append(tasks, of[n])
			continue
		}
		t := of[c.Inputs[0]]
		t.Nodes = append(t.Nodes, n)
		of[n] = t
	}
	return tasks
}
