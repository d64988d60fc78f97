package task

import (
	"context"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/memory"
)

// delayed holds batches back for ten seconds of processing time, and then until its ticket is there. It sends them to its main output and to its side output in turn.
type delayed struct {
	core.BaseOperator
	ctx    *core.OperatorContext
	held   []*core.Batch
	due    []core.Time
	ripe   int
	sent   int
	ticket *bool
	idle   int // calls of Resume that could do nothing
}

func (d *delayed) Open(ctx *core.OperatorContext) error { d.ctx = ctx; return nil }

func (d *delayed) Process(_ int, b *core.Batch, _ core.Emitter) error {
	d.held, d.due = append(d.held, b), append(d.due, d.ctx.Now().Add(10*time.Second))
	return nil
}

func (d *delayed) Due() (core.Time, bool) {
	if len(d.due) <= d.ripe {
		return 0, false
	}
	return d.due[d.ripe], true
}

func (d *delayed) Tick(now core.Time, _ core.Emitter) error {
	for d.ripe < len(d.due) && d.due[d.ripe] <= now {
		d.ripe++
	}
	return nil
}

func (d *delayed) Waiting() bool { return !*d.ticket }

func (d *delayed) Resume(out core.Emitter) (bool, error) {
	if d.ripe > 0 && !*d.ticket {
		d.idle++
		return true, nil
	}
	for d.ripe > 0 && !out.Full() && !d.ctx.Sides[0].Full() {
		b := d.held[0]
		d.held, d.due, d.ripe = d.held[1:], d.due[1:], d.ripe-1
		d.sent++
		to := out
		if d.sent%2 == 0 {
			to = d.ctx.Sides[0]
		}
		if err := to.Emit(b); err != nil {
			return false, err
		}
	}
	return d.ripe > 0, nil
}

func (d *delayed) Close() error {
	for _, b := range d.held {
		b.Release()
	}
	return nil
}

// collector notes the second column of what it gets.
type collector struct {
	hooked
	rows []int64
}

func (c *collector) Process(_ int, b *core.Batch, _ core.Emitter) error {
	for i := range b.Rows() {
		c.rows = append(c.rows, b.Columns[1].Int64s()[b.Row(i)])
	}
	b.Release()
	return nil
}

// TestSidesAndTimers: an operator acts when processing time reaches what it waits for, its pending work waits for another goroutine
// without being asked again and again, and its side output goes its own way.
func TestSidesAndTimers(t *testing.T) {
	pool := memory.NewPool(0)
	c := clock.NewManual(time.Unix(1_000_000, 0))
	polled := 0
	src := sourceNode(&scripted{poll: func(n int) (core.Event, error) {
		if n == 0 {
			return core.Event{Kind: core.SplitStart}, nil
		}
		if polled = n; n <= 4 {
			return core.Event{Kind: core.DataEvent, Batch: rowAt(int64(n))}, nil
		}
		return core.Event{}, nil
	}}, nil)
	ticket := false
	var op *delayed
	hold := &Node{ID: "hold", Label: "hold", Schema: pairSchema, Sides: []*core.Schema{pairSchema}, Inputs: []Input{{From: src}},
		Operator: func() core.Operator { op = &delayed{ticket: &ticket}; return op }}
	main, side := &collector{}, &collector{}
	sink := func(id string, s *collector, in Input) *Node {
		return &Node{ID: id, Label: id, Schema: pairSchema, Operator: func() core.Operator { return s }, Inputs: []Input{in}}
	}
	a, err := Open(context.Background(), small(pool, c, 1, src, hold, sink("main", main, Input{From: hold}), sink("side", side, Input{From: hold, Output: 1, Exchange: Hash, Keys: []int{0}})), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	rounds := func(n int) {
		for range n {
			if _, err := a.workers[0].round(c.Nanos()); err != nil {
				t.Fatal(err)
			}
		}
	}
	deadline := func() time.Duration {
		at, ok := a.workers[0].deadline(c.Nanos())
		if !ok {
			return -1
		}
		return time.Duration(at - c.Nanos())
	}
	rounds(10)
	if got := deadline(); polled < 4 || op.ripe != 0 || got != 10*time.Second {
		t.Errorf("%d rows polled, %d ripe, deadline in %v: before anything is due", polled-1, op.ripe, got)
	}
	c.Advance(10 * time.Second)
	if got := deadline(); got != 0 {
		t.Errorf("deadline in %v when the timers are due", got)
	}
	rounds(10)
	if op.ripe != 4 || op.idle != 1 || deadline() >= 0 {
		t.Errorf("%d ripe, asked %d times in vain, deadline in %v: while it waits", op.ripe, op.idle, deadline())
	}
	ticket = true
	rounds(10)
	if !slices.Equal(main.rows, []int64{1, 3}) || !slices.Equal(side.rows, []int64{2, 4}) {
		t.Errorf("main %v, side %v", main.rows, side.rows)
	}
	a.Stop()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
}
