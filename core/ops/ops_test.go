package ops_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
)

// discard releases what is emitted, and counts it.
type discard struct{ rows int }

func (d *discard) Emit(b *core.Batch) error { d.rows += b.Rows(); b.Release(); return nil }
func (d *discard) Full() bool               { return false }

var backends = map[*core.OperatorContext]*state.Backend{}

// single opens an aggregate as the only instance.
func single(t testing.TB, input *core.Schema, config ops.AggregateConfig) (core.Operator, *core.OperatorContext, *discard) {
	output, err := config.Schema(input)
	if err != nil {
		t.Fatal(err)
	}
	op := ops.NewAggregate(config)
	return op, open(t, op, input, output), &discard{}
}

func open(t testing.TB, op core.Operator, input, output *core.Schema) *core.OperatorContext {
	account := memory.NewPool(0).Account("op")
	backend := state.NewBackend(128, 0, 128, nil)
	ctx := &core.OperatorContext{ID: "op", Workers: 1, KeyGroups: 128, Inputs: []*core.Schema{input}, Output: output, BatchRows: 4096,
		Account: account, Tables: backend.Operator("op", account), Now: func() core.Time { return 0 }, Counters: &core.Counters{},
		Log: slog.New(slog.DiscardHandler)}
	if err := op.Open(ctx); err != nil {
		t.Fatal(err)
	}
	backends[ctx] = backend
	return ctx
}

func finish(t testing.TB, op core.Operator, ctx *core.OperatorContext) {
	if err := op.Close(); err != nil {
		t.Error(err)
	}
	backends[ctx].Close()
	delete(backends, ctx)
	if err := ctx.Account.Pool().CheckZero(); err != nil {
		t.Error(err)
	}
}

// dedupOracle keeps what Deduplicate says it keeps, a row at a time.
func dedupOracle(h *testkit.Harness, config ops.DeduplicateConfig, timeColumn int) (kept []string, after []int) {
	until := map[string]core.Time{}
	watermark, clock := core.MinTime, h.Start
	event := 0
	expire := func() {
		limit := watermark.Add(time.Microsecond)
		if config.ProcessingTime {
			limit = clock
		}
		for k, u := range until {
			if u <= limit && config.TTL > 0 {
				delete(until, k)
			}
		}
	}
	events := func(row int) {
		for ; event < len(h.Events) && h.Events[event].After <= row; event++ {
			if e := h.Events[event]; e.Watermark != 0 {
				watermark = e.Watermark
			} else {
				clock = e.Clock
			}
			expire()
		}
	}
	var keys []*core.Vector
	for _, k := range config.Keys {
		keys = append(keys, h.Columns[k])
	}
	for i := range h.Columns[0].Len() {
		events(i)
		at := clock
		if !config.ProcessingTime {
			at = watermark
			if v := h.Columns[timeColumn]; !v.Null(i) {
				at = core.Time(v.Int64s()[i])
			}
		}
		k := testkit.FormatRow(keys, i)
		if u, ok := until[k]; ok && (config.TTL == 0 || at < u) {
			continue
		}
		until[k] = at.Add(config.TTL)
		kept = append(kept, testkit.FormatRow(h.Columns, i))
		after = append(after, i)
	}
	events(h.Columns[0].Len())
	return kept, after
}

func TestDeduplicate(t *testing.T) {
	ttl := 100 * time.Microsecond
	for name, config := range map[string]ops.DeduplicateConfig{
		"for ever":        {Keys: []int{0}},
		"event time":      {Keys: []int{0}, TTL: ttl},
		"two keys":        {Keys: []int{1, 0}, TTL: ttl},
		"processing time": {Keys: []int{1}, TTL: ttl, ProcessingTime: true},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(4, 4))
			account := memory.NewPool(0).Account("rows")
			const n = 170
			schema := core.NewSchema(core.Field{Name: "id", Type: core.Of(core.Int64)}, core.Field{Name: "s", Type: core.Of(core.String)},
				core.Field{Name: "ts", Type: core.Of(core.Timestamp)}, core.Field{Name: "row", Type: core.Of(core.Int32)})
			schema.TimeColumn = 2
			ts, number := core.NewVector(account, core.Of(core.Timestamp), n), core.NewVector(account, core.Of(core.Int32), n)
			h := &testkit.Harness{New: func() core.Operator { return ops.NewDeduplicate(config) }, Input: schema, Output: schema, Keys: config.Keys, Start: 1}
			now := int64(1000)
			for i := range n {
				now += rng.Int64N(8)
				if rng.IntN(20) == 0 {
					ts.AppendNull()
				} else {
					ts.AppendInt64(now - rng.Int64N(30))
				}
				number.AppendInt32(int32(i))
				if i%17 == 16 {
					h.Events = append(h.Events, testkit.Event{After: i + 1, Watermark: core.Time(now - 25)}, testkit.Event{After: i + 1, Clock: core.Time(now)})
				}
			}
			h.Events = append(h.Events, testkit.Event{After: n, Watermark: core.MaxTime})
			h.Columns = []*core.Vector{testkit.RandomVector(rng, account, core.Of(core.Int64), n, 0.1, 20),
				testkit.RandomVector(rng, account, core.Of(core.String), n, 0.1, 3), ts, number}
			want, _ := dedupOracle(h, config, 2)
			slices.Sort(want)
			h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
				var got []string
				for _, e := range log.Emitted {
					got = append(got, e.Row)
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("got %d rows, want %d\ngot  %q\nwant %q", len(got), len(want), got, want)
				}
				if log.Count.Deduplicated != int64(n-len(want)) {
					t.Errorf("%d counted as deduplicated, want %d", log.Count.Deduplicated, n-len(want))
				}
				if config.TTL > 0 && !config.ProcessingTime && log.Rows != 0 {
					t.Errorf("%d keys left at the end of time", log.Rows)
				}
			})
		})
	}
}

// Expired keys give their memory back.
func TestDeduplicateFrees(t *testing.T) {
	schema := core.NewSchema(core.Field{Name: "id", Type: core.Of(core.String)}, core.Field{Name: "ts", Type: core.Of(core.Timestamp)})
	schema.TimeColumn = 1
	op := ops.NewDeduplicate(ops.DeduplicateConfig{Keys: []int{0}, TTL: time.Second})
	ctx := open(t, op, schema, schema)
	out := &discard{}
	resume := func(err error) {
		for more := true; more && err == nil; {
			more, err = op.Resume(out)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var peak int64
	for batch := range 200 {
		b := core.NewBatch(ctx.Account, schema)
		id, ts := core.NewVector(ctx.Account, schema.Fields[0].Type, 0), core.NewVector(ctx.Account, schema.Fields[1].Type, 0)
		for i := range 1000 {
			id.AppendString(fmt.Sprintf("a somewhat longer key %d %d", batch, i))
			ts.AppendInt64(int64(batch)*100_000 + int64(i))
		}
		b.Columns, b.Len = append(b.Columns, id, ts), 1000
		resume(op.Process(0, b, out))
		resume(op.Advance(core.Time(batch)*100_000, out))
		if batch == 30 {
			peak = ctx.Account.Used()
		}
	}
	if now := ctx.Account.Used(); now > peak*3/2 {
		t.Errorf("a window of keys took %d bytes after 30 batches, and %d after 200", peak, now)
	}
	resume(op.Advance(core.MaxTime, out))
	if left := ctx.Account.Used(); left > peak/4 {
		t.Errorf("%d bytes left of %d when every key has expired", left, peak)
	}
	if out.rows != 200_000 {
		t.Errorf("%d rows kept", out.rows)
	}
	finish(t, op, ctx)
}

func TestCalc(t *testing.T) {
	input := core.NewSchema(core.Field{Name: "a", Type: core.Of(core.Int64)}, core.Field{Name: "s", Type: core.Of(core.String)},
		core.Field{Name: "b", Type: core.Of(core.Int32)})
	rng := rand.New(rand.NewPCG(5, 5))
	account := memory.NewPool(0).Account("rows")
	const n = 200
	columns := []*core.Vector{core.NewVector(account, core.Of(core.Int64), n), core.NewVector(account, core.Of(core.String), n),
		testkit.RandomVector(rng, account, core.Of(core.Int32), n, 0.2, 100)}
	for range n {
		if rng.IntN(6) == 0 {
			columns[0].AppendNull()
		} else {
			columns[0].AppendInt64(rng.Int64N(10))
		}
		columns[1].AppendString([]string{"x", "xy", "y", ""}[rng.IntN(4)])
	}
	program := func(t *testing.T, text string) *expr.Program {
		p, err := expr.CompileText(text, input, expr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := columns[0]
	for name, c := range map[string]struct {
		make   func(t *testing.T) *ops.Calc
		output *core.Schema
		keep   func(i int) bool
		row    func(i int) string
	}{
		"filter": {
			func(t *testing.T) *ops.Calc {
				return ops.NewFilter(program(t, "a > 3"), program(t, "s LIKE 'x%'"))
			}, input,
			func(i int) bool {
				return !a.Null(i) && a.Int64s()[i] > 3 && len(columns[1].BytesAt(i)) > 0 && columns[1].BytesAt(i)[0] == 'x'
			},
			func(i int) string { return testkit.FormatRow(columns, i) },
		},
		"project": {
			func(t *testing.T) *ops.Calc {
				return ops.NewProject(program(t, "s"), program(t, "a + 1"), program(t, "a"))
			},
			core.NewSchema(input.Fields[1], core.Field{Name: "next", Type: core.Of(core.Int64)}, input.Fields[0]),
			func(int) bool { return true },
			func(i int) string {
				next := "null"
				if !a.Null(i) {
					next = fmt.Sprint(a.Int64s()[i] + 1)
				}
				return testkit.Format(columns[1], i) + " | " + next + " | " + testkit.Format(a, i)
			},
		},
		"both": {
			func(t *testing.T) *ops.Calc {
				return ops.NewCalc([]*expr.Program{program(t, "a IS NULL")}, []*expr.Program{program(t, "b"), program(t, "s")})
			},
			core.NewSchema(input.Fields[2], input.Fields[1]),
			func(i int) bool { return a.Null(i) },
			func(i int) string { return testkit.Format(columns[2], i) + " | " + testkit.Format(columns[1], i) },
		},
		"nothing": {
			func(t *testing.T) *ops.Calc { return ops.NewFilter(program(t, "a > 100")) }, input,
			func(int) bool { return false }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for i := range n {
				if c.keep(i) {
					want = append(want, c.row(i))
				}
			}
			h := &testkit.Harness{New: func() core.Operator { return c.make(t) }, Input: input, Output: c.output, Columns: columns}
			h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
				var got []string
				for _, e := range log.Emitted {
					got = append(got, e.Row)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("got  %q\nwant %q", got, want)
				}
				if log.Count.Filtered != int64(n-len(want)) {
					t.Errorf("%d counted as filtered, want %d", log.Count.Filtered, n-len(want))
				}
			})
		})
	}
}
