package window_test

import (
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
	"turbo/core/ops/window"
	"turbo/memory"
	"turbo/state"
)

const (
	benchRows = 4096
	benchKeys = 10_000
	second    = 1_000_000
)

// benchInput is rows of keys that are active for 30 s in the mean and then silent for 15 s, ten rows a second each, out of order by up to 5 s.
type benchInput struct {
	schema  *core.Schema
	columns [][]*core.Vector // by batch
	hashes  [][]uint64
	front   []int64 // by batch: the latest time so far
	span    int64
}

func newBenchInput(batches, keys int) *benchInput {
	rng := rand.New(rand.NewPCG(1, 2))
	in := &benchInput{schema: core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64).Required()},
		core.Field{Name: "ts", Type: core.Of(core.Timestamp).Required()}, core.Field{Name: "v", Type: core.Of(core.Int64).Required()})}
	in.schema.TimeColumn = 1
	account := memory.NewPool(0).Account("rows")
	phase := make([]int64, keys)
	for i := range phase {
		phase[i] = rng.Int64N(45 * second)
	}
	step := int64(second) * 3 / 2 / 10 // a third of the rows drawn are of silent keys
	now := int64(0)
	for range batches {
		k, ts, v := core.NewVector(account, in.schema.Fields[0].Type, benchRows), core.NewVector(account, in.schema.Fields[1].Type, benchRows),
			core.NewVector(account, in.schema.Fields[2].Type, benchRows)
		for k.Len() < benchRows {
			key := rng.IntN(keys)
			now += step * 2 / 3 * rng.Int64N(2*1000) / 1000 / int64(keys)
			t := now - rng.Int64N(5*second)
			if (t+phase[key]+90*second)%(45*second) >= 30*second {
				continue
			}
			k.AppendInt64(int64(key))
			ts.AppendInt64(t)
			v.AppendInt64(1 + rng.Int64N(3))
		}
		h := make([]uint64, benchRows)
		hash.Columns([]*core.Vector{k}, benchRows, nil, h)
		in.columns, in.hashes, in.front = append(in.columns, []*core.Vector{k, ts, v}), append(in.hashes, h), append(in.front, now)
	}
	in.span = (now/(45*second) + 1) * 45 * second
	return in
}

type counter struct{ rows int }

func (c *counter) Emit(b *core.Batch) error { c.rows += b.Rows(); b.Release(); return nil }
func (c *counter) Full() bool               { return false }

// benchRun is an operator that eats the input again and again, each time later.
type benchRun struct {
	in      *benchInput
	op      core.Operator
	ctx     *core.OperatorContext
	backend *state.Backend
	out     counter
	at      int
	shift   int64
	mark    int64
}

func newBenchRun(b testing.TB, in *benchInput, op core.Operator, c window.Config) *benchRun {
	account := memory.NewPool(0).Account("op")
	output, err := c.Schema(in.schema)
	if err != nil {
		b.Fatal(err)
	}
	r := &benchRun{in: in, op: op, backend: state.NewBackend(128, 0, 128, nil), mark: -1 << 60}
	r.ctx = &core.OperatorContext{ID: "op", Workers: 1, KeyGroups: 128, Inputs: []*core.Schema{in.schema}, Output: output, BatchRows: benchRows, Account: account,
		Tables: r.backend.Operator("op", account), Now: func() core.Time { return 0 }, Counters: &core.Counters{}, Log: slog.New(slog.DiscardHandler)}
	if err := op.Open(r.ctx); err != nil {
		b.Fatal(err)
	}
	return r
}

// batch takes one batch, and a watermark each 200 ms of event time.
func (r *benchRun) batch(b testing.TB) {
	i := r.at % len(r.in.columns)
	if i == 0 && r.at > 0 {
		r.shift += r.in.span
	}
	r.at++
	batch := core.NewBatch(r.ctx.Account, r.in.schema)
	for c, v := range r.in.columns[i] {
		if c == 1 {
			t := core.NewVector(r.ctx.Account, v.Type, benchRows)
			t.Extend(benchRows)
			to, from := t.Int64s(), v.Int64s()
			for j := range to {
				to[j] = from[j] + r.shift
			}
			batch.Columns = append(batch.Columns, t)
			continue
		}
		batch.Columns = append(batch.Columns, v.Retain())
	}
	batch.Len = benchRows
	copy(batch.MakeHashes(), r.in.hashes[i])
	settle := func(err error) {
		for more := true; more && err == nil; {
			more, err = r.op.Resume(&r.out)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	settle(r.op.Process(0, batch, &r.out))
	if w := r.in.front[i] + r.shift - 5*second; w >= r.mark+second/5 {
		r.mark = w
		settle(r.op.Advance(core.Time(w), &r.out))
	}
}

// BenchmarkWindows measures windows of several kinds over one input, in stretches that take turns.
func BenchmarkWindows(b *testing.B) {
	in := newBenchInput(1000, benchKeys)
	sum := []ops.Call{{Function: ops.Sum, Argument: 2, Name: "total"}}
	early := window.TriggerSpec{Kind: window.Early, Column: 2, Every: 50}
	list := []named{
		{"tumbling", window.Config{Kind: window.Tumbling, Size: 10 * second}},
		{"session", window.Config{Kind: window.Session, Gap: 5 * second, GapColumn: -1}},
		{"early", window.Config{Kind: window.Sliding, Size: 900 * second, Slide: 300 * second, Trigger: early}},
		{"early-tumbling", window.Config{Kind: window.Tumbling, Size: 60 * second, Trigger: early}},
		{"count", window.Config{Kind: window.CountTumbling, Count: 100}},
	}
	var runs []*benchRun
	for i := range list {
		c := &list[i].c
		c.Keys, c.Calls = []int{0}, sum
		runs = append(runs, newBenchRun(b, in, window.New(*c), *c))
		for range len(in.columns) {
			runs[i].batch(b)
		}
	}
	spent, done := make([]time.Duration, len(runs)), make([]int, len(runs))
	for b.Loop() {
		for i, r := range runs {
			start := time.Now()
			for range 50 {
				r.batch(b)
			}
			spent[i] += time.Since(start)
			done[i] += 50 * benchRows
		}
	}
	for i, r := range runs {
		b.ReportMetric(float64(spent[i].Nanoseconds())/float64(done[i]), list[i].name+"-ns/row")
		b.Logf("%s: %d rows out of %d in; %d bytes of state", list[i].name, r.out.rows, r.at*benchRows, r.backend.Bytes())
		if err := r.op.Close(); err != nil {
			b.Fatal(err)
		}
		r.backend.Close()
	}
}
