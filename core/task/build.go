package task

import (
	"context"
	"fmt"
	"slices"

	"turbo/ckpt"
	"turbo/core"
	"turbo/shuffle"
	"turbo/state"
)

// Open builds an attempt: it recovers the sinks, opens the sources at their restored positions, restores the tables and wires
// the chains. restored is nil on a fresh start; pages has its tables. It does blocking I/O. After an error nothing is left open.
func Open(ctx context.Context, g *Graph, restored *ckpt.Manifest, pages state.PageSource) (a *Attempt, err error) {
	g.Options.setDefaults()
	if err := g.check(); err != nil {
		return nil, err
	}
	a = &Attempt{
		graph: g, sources: map[string]core.Source{}, sinks: map[string]core.Sink{}, stop: make(chan struct{}), done: make(chan struct{}),
		completed: make(chan *ckpt.Manifest, 1), uploads: make(chan func(), len(g.Nodes)*g.Workers+1),
	}
	if restored == nil {
		restored = &ckpt.Manifest{}
	}
	defer func() {
		if err != nil {
			_ = a.Close() // the first error is the one that tells
			a = nil
		}
	}()
	for w := range g.Workers {
		a.workers = append(a.workers, newWorker(w, g.Options.Clock))
	}
	err = safely(func() error { // memory is allocated on the way, and the limit's refusal is a panic
		if err := a.openEnds(ctx, restored); err != nil {
			return err
		}
		b := builder{a: a, g: g, restored: restored, pages: pages, gates: map[*Node][][][]*shuffle.Channel{}, drifts: drifts{}}
		return b.build()
	})
	return a, err
}

// build makes every task.
func (b *builder) build() error {
	b.connect()
	for w := range b.g.Workers {
		for _, n := range b.g.Nodes {
			if n.chained() || n.Source == nil && len(n.Inputs) == 0 || w >= b.g.instances(n) {
				continue
			}
			if err := b.task(n, w); err != nil {
				return err
			}
		}
		slices.Reverse(b.a.workers[w].tasks) // sinks first
	}
	return nil
}

// openEnds makes and opens sinks, then sources.
func (a *Attempt) openEnds(ctx context.Context, restored *ckpt.Manifest) error {
	for _, n := range a.graph.Nodes {
		if n.Sink == nil {
			continue
		}
		s, err := n.Sink()
		if err == nil {
			a.sinks[n.ID] = s
			err = s.Open(ctx, restoredSink(a.graph, n, restored))
		}
		if err != nil {
			return n.named(err)
		}
	}
	for _, n := range a.graph.Nodes {
		if n.Source == nil {
			continue
		}
		s, err := n.Source()
		if err == nil {
			a.sources[n.ID] = s
			err = s.Open(ctx, restored.Source(n.ID))
		}
		if err != nil {
			return n.named(err)
		}
	}
	return nil
}

// builder wires one attempt.
type builder struct {
	a        *Attempt
	g        *Graph
	restored *ckpt.Manifest
	pages    state.PageSource
	// gates has for each node with exchanges before it, by input, the channels [sender][receiver].
	gates  map[*Node][][][]*shuffle.Channel
	drifts drifts
}

// connect makes the channels of all exchanges.
func (b *builder) connect() {
	o := b.g.Options
	budget := shuffle.Budget{Slots: max(shuffle.DefaultSlots, o.RingBatches), Rows: int64(o.RingBatches) * int64(o.BatchRows), Bytes: o.RingBytes}
	var wakers []*shuffle.Waker
	for _, w := range b.a.workers {
		wakers = append(wakers, w.waker)
	}
	for _, n := range b.g.Nodes {
		if n.chained() || n.Source != nil {
			continue
		}
		for _, in := range n.Inputs {
			senders, receivers := wakers[:b.g.instances(in.From)], wakers[:b.g.instances(n)]
			var channels [][]*shuffle.Channel
			if in.Exchange == Forward {
				for _, w := range senders {
					channels = append(channels, []*shuffle.Channel{shuffle.NewChannel(budget, w, w)})
				}
			} else {
				channels = shuffle.Connect(budget, senders, receivers)
			}
			b.gates[n] = append(b.gates[n], channels)
		}
	}
}

// task builds the chain that begins at n on worker w.
func (b *builder) task(n *Node, w int) error {
	from, to := core.KeyGroupRange(w, b.g.KeyGroups, b.g.Workers)
	t := &task{attempt: b.a, number: len(b.a.tasks), id: n.ID, worker: w, metrics: &taskMetrics{}}
	t.backend = state.NewBackend(b.g.KeyGroups, from, to, b.pages)
	t.metrics.watermark.Store(int64(core.MinTime))
	b.a.tasks = append(b.a.tasks, t)
	b.a.workers[w].tasks = append(b.a.workers[w].tasks, t)
	if n.Source != nil {
		if err := b.sourceTask(t, n, w); err != nil {
			return err
		}
	} else {
		if err := b.gateTask(t, n, w); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) sourceTask(t *task, n *Node, w int) error {
	reader, err := b.a.sources[n.ID].Reader(w)
	if err != nil {
		return n.named(err)
	}
	worker := b.a.workers[w]
	r := &sourceRoot{
		node: n, reader: reader, marks: newWatermarks(n.Watermark), splits: map[string]int{}, restored: map[string]core.SplitState{},
		attempt: b.a, interval: int64(b.g.Options.WatermarkInterval), clock: b.g.Options.Clock,
		account: b.g.Options.Memory.Account(b.g.Job + "/" + n.ID + "/times"),
	}
	if m := n.Watermark; m != nil {
		r.silence.most = min(int64(silentGap), int64(m.IdleTimeout)/64)
		r.drift = b.drifts.join(m, worker.waker.Notify)
	}
	t.root = r
	reader.SetWaker(worker.waker.Notify)
	for _, s := range b.restored.Source(n.ID) {
		r.restored[s.ID] = s
	}
	t.metrics.add(n.ID, &r.count)
	if n.DeadLetters != nil {
		e, err := b.element(t, n.DeadLetters, w)
		if err != nil {
			return err
		}
		r.dead = target{element: e}
	}
	t.entry, err = b.consumers(t, n, 0, w)
	return err
}

func (b *builder) gateTask(t *task, n *Node, w int) error {
	ports := map[int]bool{}
	for _, in := range n.Inputs {
		ports[in.Port] = true
	}
	channels := make([][]*shuffle.Channel, len(ports))
	for i, in := range n.Inputs {
		c := b.gates[n][i]
		if in.Port >= len(channels) {
			return fmt.Errorf("graph %s: node %s: input ports must be 0 to %d", b.g.Job, n.ID, len(channels)-1)
		}
		if in.Exchange == Forward {
			if w < len(c) {
				channels[in.Port] = append(channels[in.Port], c[w]...)
			}
		} else {
			channels[in.Port] = append(channels[in.Port], shuffle.Receiving(c, w)...)
		}
	}
	g := &gateRoot{gate: shuffle.NewGate(channels...), id: n.ID, left: len(ports)}
	for port, c := range channels {
		if len(c) == 0 { // its one sender is on another worker, with a forward edge
			g.vacant = append(g.vacant, port)
		}
	}
	t.root = g
	// All instances' states, at the same parallelism, too: before the restart another reader may have had the splits that this worker has now, and an
	// instance behind readers that had ended was at the last watermark.
	var saved [][]byte
	for _, o := range b.restored.Operators {
		if o.Operator == n.ID && o.Name == gateState {
			saved = append(saved, o.Data)
		}
	}
	if saved != nil {
		if err := g.gate.Restore(saved...); err != nil {
			return n.named(err)
		}
		g.announce = !g.gate.Idle()
	}
	e, err := b.element(t, n, w)
	t.entry = []target{{element: e}}
	return err
}

// element adds n, an operator or a sink, to the chain, and everything behind it.
func (b *builder) element(t *task, n *Node, w int) (element, error) {
	if n.Sink != nil {
		writer, err := b.a.sinks[n.ID].Writer(w)
		if err != nil {
			return nil, n.named(err)
		}
		writer.SetWaker(b.a.workers[w].waker.Notify)
		s := &sinkLeaf{node: n, writer: writer, worker: w, fail: b.a.fail}
		t.elements = append(t.elements, s)
		t.metrics.add(n.ID, &s.count)
		return s, nil
	}
	s := &stage{node: n, op: n.Operator()}
	at := len(t.elements)
	t.elements = append(t.elements, s)
	t.metrics.add(n.ID, &s.count)
	if err := b.open(t, s, w); err != nil {
		t.elements = slices.Delete(t.elements, at, at+1)
		return nil, err
	}
	var err error
	s.out.counters = &s.count
	if s.out.targets, err = b.consumers(t, n, 0, w); err != nil {
		return s, err
	}
	for i, side := range s.sides {
		if side.targets, err = b.consumers(t, n, i+1, w); err != nil {
			return s, err
		}
	}
	return s, nil
}

// open opens an operator with its tables.
func (b *builder) open(t *task, s *stage, w int) error {
	n, o := s.node, &b.g.Options
	s.ctx = &core.OperatorContext{
		ID: n.ID, Worker: w, Workers: b.g.Workers, KeyGroups: b.g.KeyGroups, Output: n.Schema, BatchRows: o.BatchRows,
		Account: o.Memory.Account(b.g.Job + "/" + n.ID), Counters: &s.count, Log: o.Log,
		Now: func() core.Time { return core.TimeOf(o.Clock.Now()) }, SideSchemas: n.Sides, Wake: b.a.workers[w].waker.Notify, Clock: o.Clock,
	}
	for _, in := range n.Inputs {
		for len(s.ctx.Inputs) <= in.Port {
			s.ctx.Inputs = append(s.ctx.Inputs, nil)
		}
		s.ctx.Inputs[in.Port] = in.schema()
	}
	for range n.Sides {
		side := &emitter{counters: &core.Counters{}} // rows of side outputs are not in the balance: the operator counts why they are there
		s.sides = append(s.sides, side)
		s.ctx.Sides = append(s.ctx.Sides, side)
	}
	s.ctx.Tables = t.backend.Operator(n.ID, s.ctx.Account)
	s.timed, _ = s.op.(core.Timed)
	s.waiter, _ = s.op.(core.Waiter)
	t.waits = t.waits || s.waiter != nil
	s.clock = o.Clock
	err := s.op.Open(s.ctx)
	if err != nil {
		_ = s.op.Close() // the error of Open is the one that tells
		return n.named(err)
	}
	return nil
}

// consumers adds everything that reads an output of n to the chain, and returns it.
func (b *builder) consumers(t *task, n *Node, output, w int) ([]target, error) {
	var out []target
	for _, c := range b.g.Nodes {
		for i, in := range c.Inputs {
			if in.From != n || in.Output != output {
				continue
			}
			if c.chained() {
				e, err := b.element(t, c, w)
				if err != nil {
					return nil, err
				}
				out = append(out, target{element: e})
				continue
			}
			leaf, err := b.output(c, in, b.gates[c][i][w])
			if err != nil {
				return nil, c.named(err)
			}
			t.elements = append(t.elements, leaf)
			out = append(out, target{element: leaf})
		}
	}
	return out, nil
}

func (b *builder) output(to *Node, in Input, channels []*shuffle.Channel) (*outputLeaf, error) {
	o := b.g.Options
	out, err := shuffle.NewOutput(shuffle.OutputConfig{
		Kind:   map[Exchange]shuffle.Kind{Forward: shuffle.Forward, Hash: shuffle.Hash, Rebalance: shuffle.Rebalance, Broadcast: shuffle.Broadcast, Gather: shuffle.Forward}[in.Exchange],
		Schema: in.schema(), Account: o.Memory.Account(b.g.Job + "/" + to.ID + "/exchange"), Channels: channels, Keys: in.Keys,
		KeyGroups: b.g.KeyGroups, BatchRows: o.BatchRows, BufferTimeout: o.BufferTimeout, FlushWhenIdle: o.FlushWhenIdle,
	})
	if err != nil {
		return nil, err
	}
	return &outputLeaf{out: out}, nil
}

// restoredSink is what a checkpoint has for a sink; nil when there is no checkpoint.
func restoredSink(g *Graph, n *Node, m *ckpt.Manifest) *core.RestoredSink {
	if m.Checkpoint == 0 {
		return nil
	}
	return &core.RestoredSink{Info: g.CommitInfo(n, m), Committables: m.Committables(n.ID)}
}

func (m *taskMetrics) add(node string, c *core.Counters) {
	m.nodes = append(m.nodes, publishedCounters{node: node, source: c})
}
