package physical

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/connector"
	"turbo/memory"
	"turbo/plan"
)

// Environment is the process that a graph is built for.
type Environment struct {
	Run         string // identifier of the job's state
	Fresh       bool   // the job starts again: sinks replace what earlier runs have left
	Parallelism int
	Memory      *memory.Pool
	FS          vfs.FS
	Clock       clock.Clock
	Log         *slog.Logger
}

// Build makes the graph of a finished plan. What only connectors can check is checked here; errors point into the specification.
func Build(p *plan.Plan, env Environment) (*task.Graph, error) {
	b := builder{plan: p, env: env, nodes: map[plan.Node]output{}}
	s := p.Settings
	b.graph = &task.Graph{
		Job: s.Name, Workers: env.Parallelism, KeyGroups: s.KeyGroups,
		Options: task.Options{
			BatchRows: s.BatchRows, BufferTimeout: s.BufferTimeout, FlushWhenIdle: s.FlushWhenIdle, Memory: env.Memory, Clock: env.Clock, Log: env.Log,
			RingBytes: max(env.Memory.Limit()/64/int64(env.Parallelism), 256<<10),
		},
	}
	for _, n := range p.Nodes() {
		if err := b.add(n); err != nil {
			return nil, err
		}
	}
	return b.graph, nil
}

type builder struct {
	plan  *plan.Plan
	env   Environment
	graph *task.Graph
	nodes map[plan.Node]output // what gives the output of a plan node
}

// output is the main output (0) or a side output of a node.
type output struct {
	node   *task.Node
	number int
}

// put adds a node to the graph.
func (b *builder) put(n *task.Node) *task.Node {
	b.graph.Nodes = append(b.graph.Nodes, n)
	return n
}

// forward is the input of a node in the chain of its one input.
func (b *builder) forward(n plan.Node) []task.Input {
	return []task.Input{b.input(n.Common().Inputs[0], task.Forward, nil)}
}

// input is an edge from a node of the plan.
func (b *builder) input(from plan.Node, kind task.Exchange, keys []int) task.Input {
	o := b.nodes[from]
	return task.Input{From: o.node, Output: o.number, Exchange: kind, Keys: keys}
}

var exchanges = map[plan.ExchangeKind]task.Exchange{
	plan.Forward: task.Forward, plan.Hash: task.Hash, plan.Rebalance: task.Rebalance, plan.Gather: task.Gather, plan.Broadcast: task.Broadcast,
}

func (b *builder) add(n plan.Node) (err error) {
	c := n.Common()
	var made *task.Node
	switch n := n.(type) {
	case *plan.Source:
		made, err = b.source(n)
	case *plan.Calc:
		made, err = b.calc(n)
	case *plan.Exchange:
		node := &task.Node{ID: c.ID, Label: "exchange " + c.ID, Schema: c.Schema, Operator: func() core.Operator { return &ops.Pass{} }}
		for _, in := range c.Inputs {
			node.Inputs = append(node.Inputs, b.input(in, exchanges[n.Kind], n.KeyIndexes))
		}
		made = b.put(node)
	case *plan.Aggregate:
		made, err = b.aggregate(n)
	case *plan.Deduplicate:
		made, err = b.deduplicate(n)
	case *plan.Operator:
		made = b.operator(n)
	case *plan.SideOutput:
		b.nodes[n] = output{b.nodes[n.Inputs[0]].node, n.Side + 1}
	case *plan.Sink:
		err = b.sink(n)
	default:
		err = fmt.Errorf("plan node %s of type %T cannot be run", c.ID, n)
	}
	if made != nil {
		b.nodes[n] = output{node: made}
	}
	return err
}

// runtime is what a connector knows of the process.
func (b *builder) runtime(id, name string) connector.Runtime {
	s := b.plan.Settings
	return connector.Runtime{
		Job: s.Name, Run: b.env.Run, Name: name, Parallelism: b.env.Parallelism, BatchRows: s.BatchRows, BufferTimeout: s.BufferTimeout,
		Account: b.env.Memory.Account(s.Name + "/" + id), FS: b.env.FS, Clock: b.env.Clock, Log: b.env.Log,
	}
}

func (b *builder) source(n *plan.Source) (*task.Node, error) {
	ctx := &connector.SourceContext{
		Runtime: b.runtime(n.ID, n.Name), Config: n.Config, Record: n.Record, Schema: readerSchema(n), Columns: n.Columns,
		Metadata: n.MetadataIndexes, OnError: n.OnError,
	}
	if _, err := n.Spec.New(ctx); err != nil { // what only it can check
		return nil, err
	}
	node := &task.Node{ID: n.ID, Label: "source " + n.Name, Schema: n.Schema, Source: func() (core.Source, error) { return n.Spec.New(ctx) }}
	node.Ingestion = n.Ingestion != ""
	var err error
	if node.Watermark, err = b.watermark(n); err != nil {
		return nil, err
	}
	b.put(node)
	if n.HasDeadLetters() {
		letters, err := b.deadLetters(n)
		if err != nil {
			return nil, err
		}
		node.DeadLetters = b.put(letters)
	}
	return node, nil
}

// DeadLetterDir is the directory of a source's dead letters.
func DeadLetterDir(s plan.Settings, source string) string {
	dir := s.DeadLetters
	if dir == "" {
		dir = filepath.Join("dead-letters", s.Name)
	}
	return filepath.Join(dir, source)
}

// deadLetters makes the sink of a source's dead letters: JSON lines in files, in the same checkpoints as everything else.
func (b *builder) deadLetters(n *plan.Source) (*task.Node, error) {
	spec := connector.LookupSink("file")
	if spec == nil {
		return nil, fmt.Errorf("source %s: on-error: dead-letter needs the connector file, which this program does not have", n.Name)
	}
	config, err := connector.FromYAML("dead-letters", spec.Fields, fmt.Sprintf("path: %q\nformat: json\nroll: {size: 16MiB, interval: 1m, inactivity: 10s}\nexisting: append\n", DeadLetterDir(b.plan.Settings, n.Name)))
	if err != nil {
		return nil, err
	}
	id := n.ID + "/dead-letters"
	ctx := &connector.SinkContext{Runtime: b.runtime(id, n.Name), Config: config, Schema: core.DeadLetterSchema}
	return &task.Node{ID: id, Label: "dead letters of " + n.Name, Schema: core.DeadLetterSchema, Sink: func() (core.Sink, error) { return spec.New(ctx) }}, nil
}

func (b *builder) calc(n *plan.Calc) (*task.Node, error) {
	input := n.Inputs[0].Common().Schema
	compile := func(e *plan.Expr) (*expr.Program, error) {
		return e.Compile(input)
	}
	var conditions, columns []*expr.Program
	for _, e := range n.Conditions {
		p, err := compile(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.ID, err)
		}
		conditions = append(conditions, p)
	}
	for _, c := range n.Columns {
		p, err := compile(c.Expr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.ID, err)
		}
		columns = append(columns, p)
	}
	return b.put(&task.Node{ID: n.ID, Label: "stream " + n.Name, Schema: n.Schema, Inputs: b.forward(n), Operator: func() core.Operator {
		return ops.NewCalc(clones(conditions), clones(columns))
	}}), nil
}

// clones gives each instance programs of its own; nil stays nil.
func clones(programs []*expr.Program) []*expr.Program {
	var out []*expr.Program
	for _, p := range programs {
		out = append(out, p.Clone())
	}
	return out
}

func (b *builder) sink(n *plan.Sink) error {
	inputs := b.forward(n)
	switch n.RowKinds {
	case plan.UpsertRows:
		inputs = []task.Input{{From: b.put(&task.Node{ID: n.ID + "/upserts", Label: "row kinds of " + n.Name, Schema: n.Schema, Inputs: inputs,
			Operator: func() core.Operator { return &ops.Upserts{} }})}}
	case plan.KindColumn:
		inputs = []task.Input{{From: b.put(&task.Node{ID: n.ID + "/row-kind", Label: "row kinds of " + n.Name, Schema: n.Schema, Inputs: inputs,
			Operator: func() core.Operator { return &ops.KindColumn{} }})}}
	}
	config := n.Config
	if b.env.Fresh && hasField(n.Spec.Fields, existing) && !config.Has(existing) {
		var err error
		if config, err = config.With(existing, "replace"); err != nil {
			return err
		}
	}
	ctx := &connector.SinkContext{Runtime: b.runtime(n.ID, n.Name), Config: config, Schema: n.Schema}
	if _, err := n.Spec.New(ctx); err != nil {
		return err
	}
	b.put(&task.Node{ID: n.ID, Label: "sink " + n.Name, Schema: n.Schema, Inputs: inputs, PassThrough: n.Balance != nil, Computes: n.Computes,
		Sink: func() (core.Sink, error) { return n.Spec.New(ctx) }})
	return nil
}

// existing is the option of sinks that says what happens to the output of earlier runs.
const existing = "existing"

func hasField(fields []connector.Field, name string) bool {
	return slices.ContainsFunc(fields, func(f connector.Field) bool { return f.Name == name })
}
