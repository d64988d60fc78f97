package process_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/ops/process"
	"turbo/internal/invariants"
	"turbo/memory"
)

// numbers is rows of (k BIGINT, ts TIMESTAMP, v BIGINT).
var numbers = &core.Schema{Fields: []core.Field{{Name: "k", Type: core.Of(core.Int64)}, {Name: "ts", Type: core.Of(core.Timestamp)}, {Name: "v", Type: core.Of(core.Int64)}}, TimeColumn: 1}

var sums = core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64)}, core.Field{Name: "what", Type: core.Of(core.Int64)},
	core.Field{Name: "n", Type: core.Of(core.Int64)}, core.Field{Name: "sum", Type: core.Of(core.Int64)})

func formStates() []process.Descriptor {
	return []process.Descriptor{
		{Name: "total", Fields: []core.Field{{Name: "n", Type: core.Of(core.Int64).Required()}}, TTL: process.TTL{After: 40 * time.Microsecond, EventTime: true}},
		{Name: "calls", Kind: process.AggregatingKind, Calls: []ops.Call{{Function: ops.Count, Argument: -1, Name: "n"}, {Function: ops.Sum, Argument: 2, Name: "sum"}}, Input: numbers},
	}
}

// byRows sums a key's rows; a timer a hundred after a row says the sum and forgets it, unless another row moves it on.
type byRows struct {
	process.BaseFunction
	calls *process.Aggregating
	due   *process.Value
}

func (f *byRows) Open(s *process.Setup) error {
	f.calls, f.due = s.Aggregating("calls"), s.Value("due")
	return nil
}

func (f *byRows) Process(ctx *process.Context, row process.Row) error {
	if err := f.calls.Add(row); err != nil {
		return err
	}
	if f.due.Present() {
		ctx.DeleteEventTimer(core.Time(f.due.Int64(0)))
	}
	at := row.Int64(1) + 100
	f.due.SetInt64(0, at)
	ctx.RegisterEventTimer(core.Time(at))
	return f.tell(ctx.Out(), row, 0)
}

func (f *byRows) OnTimer(ctx *process.Context, timer process.Timer) error {
	if err := f.tell(ctx.Out(), timer.Key, int64(timer.Time)); err != nil {
		return err
	}
	f.calls.Clear()
	f.due.Clear()
	return nil
}

func (f *byRows) tell(out *process.Output, key process.Row, what int64) error {
	out.Copy(0, key.Column(0), key.Index())
	out.Int64(1, what)
	if err := f.calls.Result(out, 2); err != nil {
		return err
	}
	out.End()
	return nil
}

// byBlocks is byRows in its batch form; it does not emit rows' sums.
type byBlocks struct {
	process.BaseFunction
	calls *process.Aggregating
	due   *process.Value
	slots []uint32
	times []core.Time
	there []bool
}

func (f *byBlocks) Open(s *process.Setup) error {
	f.calls, f.due = s.Aggregating("calls"), s.Value("due")
	return nil
}

func (f *byBlocks) ProcessBlock(ctx *process.Context, in *process.Block) error {
	if err := f.calls.AddBlock(in); err != nil {
		return err
	}
	f.there = slices.Grow(f.there[:0], in.Len())[:in.Len()]
	f.due.Visible(in.Slots, f.there)
	if err := f.due.Begin(in.Slots); err != nil {
		return err
	}
	due := f.due.Ints(0)
	ts := in.Batch.Columns[1].Int64s()
	f.slots, f.times = f.slots[:0], f.times[:0]
	for i, s := range in.Slots {
		if f.there[i] {
			f.slots, f.times = append(f.slots, s), append(f.times, core.Time(due.At(s)))
		}
	}
	ctx.DeleteTimers(false, f.slots, f.times)
	for i, s := range in.Slots { // only the last row of a key counts
		due.Set(s, ts[in.Row(i)]+100)
	}
	f.slots, f.times = f.slots[:0], f.times[:0]
	for _, s := range in.Slots {
		f.slots, f.times = append(f.slots, s), append(f.times, core.Time(due.At(s)))
	}
	ctx.RegisterTimers(false, f.slots, f.times)
	return nil
}

func (f *byBlocks) OnTimers(ctx *process.Context, in *process.Block) error {
	out := ctx.Out()
	from, to := f.calls.Table(0)
	_, sum := f.calls.Table(1)
	out.Column(0).AppendRange(in.Batch.Columns[0], 0, in.Len())
	for _, t := range in.Times {
		out.Column(1).AppendInt64(int64(t))
	}
	if err := from.AppendValues(out.Column(2), to, in.Slots); err != nil {
		return err
	}
	if err := from.AppendValues(out.Column(3), sum, in.Slots); err != nil {
		return err
	}
	out.EndRows(in.Len())
	f.calls.ClearAll(in.Slots)
	f.due.ClearAll(in.Slots)
	return nil
}

// TestForms: the row form, the batch form and a naive loop agree on sessions by timers, over restarts, and leave nothing behind.
func TestForms(t *testing.T) {
	states := append(formStates()[1:], process.Descriptor{Name: "due", Fields: []core.Field{{Name: "at", Type: core.Of(core.Int64).Required()}}})
	for name, config := range map[string]process.Config{
		"rows":   {New: func() process.Function { return &byRows{} }},
		"blocks": {NewBatch: func() process.BatchFunction { return &byBlocks{} }},
	} {
		t.Run(name, func(t *testing.T) {
			variants(t, func(t *testing.T, restart, batchRows int) {
				config.Ports, config.Keyed, config.States = []process.Port{{Keys: []int{0}}}, true, states
				account := memory.NewPool(0).Account("rows")
				rng := rand.New(rand.NewPCG(4, 4))
				var columns []*core.Vector
				for _, f := range numbers.Fields {
					columns = append(columns, core.NewVector(account, f.Type, 0))
				}
				w := &world{t: t, make: func() core.Operator { return process.New(config) }, inputs: []*core.Schema{numbers}, keys: [][]int{{0}},
					broadcast: []bool{false}, output: sums, account: account, restart: restart, batchRows: batchRows, outRows: 3}
				w.begin()
				type session struct{ n, sum, due int64 }
				open := map[string]*session{}
				var want []string
				fire := func(limit int64) {
					for k, s := range open {
						if s.due <= limit {
							want = append(want, fmt.Sprintf("main: %s | %d | %d | %d", k, s.due, s.n, s.sum))
							delete(open, k)
						}
					}
				}
				now := int64(0)
				for range 30 {
					from := columns[0].Len()
					for range rng.IntN(20) {
						now += rng.Int64N(12)
						k, key := rng.Int64N(6), "null"
						if k == 0 {
							columns[0].AppendNull()
						} else {
							columns[0].AppendInt64(k)
							key = fmt.Sprint(k)
						}
						columns[1].AppendInt64(now)
						v := rng.Int64N(100)
						columns[2].AppendInt64(v)
						s := open[key]
						if s == nil {
							s = &session{}
							open[key] = s
						}
						s.n, s.sum, s.due = s.n+1, s.sum+v, now+100
						if name == "rows" {
							want = append(want, fmt.Sprintf("main: %s | 0 | %d | %d", key, s.n, s.sum))
						}
					}
					w.feed(0, columns, from, columns[0].Len())
					fire(now - 30)
					w.advance(core.Time(max(now-30, int64(w.watermark)+1, 1)))
				}
				fire(int64(core.MaxTime))
				w.advance(core.MaxTime)
				w.end()
				same(t, w.emitted, want)
				if w.rows != 0 {
					t.Errorf("%d rows of state left when all is forgotten", w.rows)
				}
			})
		})
	}
}

// TestExpiryFrees: what has expired gives its memory back, in event time and processing time, of values, lists and maps.
func TestExpiryFrees(t *testing.T) {
	for _, eventTime := range []bool{true, false} {
		t.Run(fmt.Sprintf("event time %v", eventTime), func(t *testing.T) {
			ttl := process.TTL{After: time.Second, EventTime: eventTime}
			text := []core.Field{{Name: "s", Type: core.Of(core.String)}}
			config := process.Config{Keyed: true, Ports: []process.Port{{Keys: []int{0}}}, New: func() process.Function { return &hoarder{} },
				States: []process.Descriptor{{Name: "v", Fields: text, TTL: ttl}, {Name: "l", Kind: process.ListKind, Fields: text, TTL: ttl},
					{Name: "m", Kind: process.MapKind, Keys: text, TTL: ttl}}}
			op := process.New(config)
			ctx, done := openFor(t, op, []*core.Schema{numbers}, numbers)
			defer done()
			now := core.Time(1)
			ctx.Now = func() core.Time { return now }
			if err := op.Open(ctx); err != nil {
				t.Fatal(err)
			}
			out := &discard{}
			settle := func(err error) {
				t.Helper()
				for more := true; more && err == nil; {
					more, err = op.Resume(out)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			pass := func(at core.Time) {
				if eventTime {
					settle(op.Advance(at, out))
				} else {
					for now = at; ; {
						if due, ok := op.Due(); !ok || due > now {
							break
						}
						settle(op.Tick(now, out))
					}
				}
			}
			var peak int64
			for batch := range 100 {
				b := core.NewBatch(ctx.Account, numbers)
				for _, f := range numbers.Fields {
					b.Columns = append(b.Columns, core.NewVector(ctx.Account, f.Type, 300))
				}
				at := core.Time(batch+1) * 100_000
				for i := range int64(300) {
					b.Columns[0].AppendInt64(int64(batch)*300 + i)
					b.Columns[1].AppendInt64(int64(at))
					b.Columns[2].AppendInt64(i)
				}
				b.Len = 300
				now = at
				settle(op.Process(0, b, out))
				pass(at)
				if batch == 30 {
					peak = ctx.Account.Used()
				}
			}
			if used := ctx.Account.Used(); used > peak*3/2 {
				t.Errorf("%d bytes after 30 batches, %d after 100", peak, used)
			}
			pass(1 << 40)
			if left := ctx.Account.Used(); left > peak/3 {
				t.Errorf("%d bytes left of %d when everything has expired", left, peak)
			}
		})
	}
}

// hoarder writes every state of each key.
type hoarder struct {
	process.BaseFunction
	v *process.Value
	l *process.List
	m *process.Map
}

func (h *hoarder) Open(s *process.Setup) error {
	h.v, h.l, h.m = s.Value("v"), s.List("l"), s.Map("m")
	return nil
}

func (h *hoarder) Process(_ *process.Context, row process.Row) error {
	h.v.SetString(0, "a somewhat longer value that is kept")
	for range 3 {
		h.l.Stage().String(0, "an element of a list that is kept")
		h.l.Add()
	}
	h.m.Key().String(0, "a key of a map")
	h.m.Put()
	return nil
}

// TestNoGarbage: a batch allocates nothing in steady state, in any form.
func TestNoGarbage(t *testing.T) {
	if invariants.Race {
		t.Skip("the race detector makes pools forget at random")
	}
	in := newBenchInput(1000)
	for name, config := range map[string]process.Config{
		"rows":    {Keyed: true, States: totals, New: func() process.Function { return &counting{} }},
		"blocks":  {Keyed: true, States: totals, NewBatch: func() process.BatchFunction { return &countingBlocks{} }},
		"maps":    {Keyed: true, States: mapped, New: func() process.Function { return &mapping{} }},
		"timers":  {Keyed: true, States: totals, New: func() process.Function { return &timing{} }},
		"nothing": {New: func() process.Function { return passing{} }},
	} {
		t.Run(name, func(t *testing.T) {
			config.Ports = []process.Port{{}}
			if config.Keyed {
				config.Ports[0].Keys = []int{0}
			}
			op := process.New(config)
			_, done := openBench(t, op, []*core.Schema{in.schema}, triple)
			defer done()
			out := &discard{}
			i := 0
			batch := func() {
				if err := op.Process(0, in.batch(i), out); err != nil {
					t.Fatal(err)
				}
				i++
			}
			for range 20 {
				batch()
			}
			if n := testing.AllocsPerRun(20, batch); n > 0 {
				t.Errorf("%v allocations a batch", n)
			}
		})
	}
}
