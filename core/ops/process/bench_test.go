package process_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops/process"
	"turbo/memory"
	"turbo/state"
)

const benchRows = 4096

// discard releases what is emitted, and counts it.
type discard struct{ rows int }

func (d *discard) Emit(b *core.Batch) error { d.rows += b.Rows(); b.Release(); return nil }
func (d *discard) Full() bool               { return false }

// cpu returns the processor time that the process has used, in nanoseconds: what a benchmark costs on a machine that is shared.
func cpu() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// perRow reports the nanoseconds of elapsed and of processor time that a row has taken since cpu was start.
func perRow(b *testing.B, start int64, rows int) {
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/float64(rows), "cpu-ns/row")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
	b.ReportMetric(0, "ns/op")
}

// benchInput is batches of (key BIGINT, ts TIMESTAMP, v BIGINT) with hashes, as they come from an exchange.
type benchInput struct {
	account *memory.Account
	schema  *core.Schema
	columns [][]*core.Vector
	hashes  [][]uint64
}

func newBenchInput(keys int64) *benchInput {
	in := &benchInput{account: memory.NewPool(0).Account("input"), schema: core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64)},
		core.Field{Name: "ts", Type: core.Of(core.Timestamp)}, core.Field{Name: "v", Type: core.Of(core.Int64)})}
	in.schema.TimeColumn = 1
	rng := rand.New(rand.NewPCG(1, 2))
	for batch := range max(4, min(512, int(3*keys/benchRows))) {
		var columns []*core.Vector
		for _, f := range in.schema.Fields {
			columns = append(columns, core.NewVector(in.account, f.Type, benchRows))
		}
		for i := range benchRows {
			columns[0].AppendInt64(rng.Int64N(keys) * 7919)
			columns[1].AppendInt64(int64(batch*benchRows + i))
			columns[2].AppendInt64(int64(i))
		}
		h := make([]uint64, benchRows)
		hash.Columns(columns[:1], benchRows, nil, h)
		in.columns, in.hashes = append(in.columns, columns), append(in.hashes, h)
	}
	return in
}

func (in *benchInput) batch(i int) *core.Batch {
	i %= len(in.columns)
	b := core.NewBatch(in.account, in.schema)
	for _, v := range in.columns[i] {
		b.Columns = append(b.Columns, v.Retain())
	}
	b.Len, b.Hashes = benchRows, in.hashes[i]
	return b
}

// openFor makes the context of an only instance; done closes the operator and finds leaks.
func openFor(t testing.TB, op core.Operator, inputs []*core.Schema, output *core.Schema) (ctx *core.OperatorContext, done func()) {
	account := memory.NewPool(0).Account("op")
	backend := state.NewBackend(128, 0, 128, nil)
	ctx = &core.OperatorContext{ID: "op", Workers: 1, KeyGroups: 128, Inputs: inputs, Output: output, BatchRows: benchRows,
		Account: account, Tables: backend.Operator("op", account), Now: func() core.Time { return 1 }, Counters: &core.Counters{},
		Log: slog.New(slog.DiscardHandler), Wake: func() {}}
	return ctx, func() {
		t.Helper()
		if err := op.Close(); err != nil {
			t.Error(err)
		}
		backend.Close()
		if err := account.Pool().CheckZero(); err != nil {
			t.Error(err)
		}
	}
}

func openBench(b testing.TB, op core.Operator, inputs []*core.Schema, output *core.Schema) (*core.OperatorContext, func()) {
	ctx, done := openFor(b, op, inputs, output)
	if err := op.Open(ctx); err != nil {
		b.Fatal(err)
	}
	return ctx, done
}

// counting keeps a count and a sum by key, and emits both for each row.
type counting struct {
	process.BaseFunction
	total *process.Value
}

func (c *counting) Open(s *process.Setup) error { c.total = s.Value("total"); return nil }

func (c *counting) Process(ctx *process.Context, row process.Row) error {
	n, sum := c.total.Int64(0)+1, c.total.Int64(1)+row.Int64(2)
	c.total.SetInt64(0, n)
	c.total.SetInt64(1, sum)
	out := ctx.Out()
	out.Int64(0, row.Int64(0))
	out.Int64(1, n)
	out.Int64(2, sum)
	out.End()
	return nil
}

// countingBlocks is counting in its batch form.
type countingBlocks struct {
	process.BaseFunction
	total *process.Value
}

func (c *countingBlocks) Open(s *process.Setup) error { c.total = s.Value("total"); return nil }

func (c *countingBlocks) ProcessBlock(ctx *process.Context, in *process.Block) error {
	if err := c.total.Begin(in.Slots); err != nil {
		return err
	}
	count, sum := c.total.Ints(0), c.total.Ints(1)
	out := ctx.Out()
	from := out.Column(0).Len()
	for c := range 3 {
		out.Column(c).Extend(in.Len())
	}
	k, n, s := out.Column(0).Int64s()[from:], out.Column(1).Int64s()[from:], out.Column(2).Int64s()[from:]
	keys, values := in.Batch.Columns[0].Int64s(), in.Batch.Columns[2].Int64s()
	for i, slot := range in.Slots {
		row := in.Row(i)
		at := int(slot)*count.Stride + count.Offset
		count.Words[at]++
		sum.Words[at-count.Offset+sum.Offset] += values[row]
		k[i], n[i], s[i] = keys[row], count.Words[at], sum.Words[at-count.Offset+sum.Offset]
	}
	out.EndRows(in.Len())
	return nil
}

var (
	bigint = core.Of(core.Int64).Required()
	totals = []process.Descriptor{{Name: "total", Fields: []core.Field{{Name: "n", Type: bigint}, {Name: "sum", Type: bigint}}}}
	triple = core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64)}, core.Field{Name: "n", Type: core.Of(core.Int64)}, core.Field{Name: "sum", Type: core.Of(core.Int64)})
)

// BenchmarkProcess is a running count and sum a row with one output row each, three columns wide. "rows" calls the function a row at a time, "blocks" a
// block at a time. Expected: probe 3 to 5 ns, access to state 8, three columns of output 9, calls 5.
func BenchmarkProcess(b *testing.B) {
	for _, keys := range []int64{1_000, 10_000, 1_000_000} {
		in := newBenchInput(keys)
		for name, config := range map[string]process.Config{
			"rows":   {New: func() process.Function { return &counting{} }},
			"blocks": {NewBatch: func() process.BatchFunction { return &countingBlocks{} }},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, keys), func(b *testing.B) {
				config.Ports, config.Keyed, config.States = []process.Port{{Keys: []int{0}}}, true, totals
				op := process.New(config)
				_, done := openBench(b, op, []*core.Schema{in.schema}, triple)
				out := &discard{}
				run := func(i int) {
					if err := op.Process(0, in.batch(i), out); err != nil {
						b.Fatal(err)
					}
				}
				for i := range in.columns {
					run(i)
				}
				b.ReportAllocs()
				i, start := 0, cpu()
				for b.Loop() {
					run(i)
					i += 7
				}
				perRow(b, start, benchRows)
				done()
			})
		}
	}
}

// mapping counts rows by the value's last digit in a map state, and emits the count.
type mapping struct {
	process.BaseFunction
	m *process.Map
}

var mapped = []process.Descriptor{{Name: "m", Kind: process.MapKind, Keys: []core.Field{{Name: "digit", Type: bigint}}, Fields: []core.Field{{Name: "n", Type: bigint}}}}

func (m *mapping) Open(s *process.Setup) error { m.m = s.Map("m"); return nil }

func (m *mapping) Process(ctx *process.Context, row process.Row) error {
	m.m.Key().Int64(0, row.Int64(2)%10)
	m.m.Put()
	at := m.m.At()
	at.SetInt64(0, at.Int64(0)+1)
	pass(ctx, row, at.Int64(0))
	return nil
}

func pass(ctx *process.Context, row process.Row, n int64) {
	out := ctx.Out()
	out.Int64(0, row.Int64(0))
	out.Int64(1, n)
	out.Int64(2, row.Int64(2))
	out.End()
}

// passing copies rows, without state.
type passing struct{ process.BaseFunction }

func (passing) Process(ctx *process.Context, row process.Row) error { pass(ctx, row, 0); return nil }

// timing sets a timer for the end of each row's 64 ms of event time.
type timing struct {
	process.BaseFunction
	total *process.Value
}

func (f *timing) Open(s *process.Setup) error { f.total = s.Value("total"); return nil }

func (f *timing) Process(ctx *process.Context, row process.Row) error {
	f.total.SetInt64(0, f.total.Int64(0)+1)
	ctx.RegisterEventTimer(core.Time(row.Int64(1)/65536+1) * 65536)
	pass(ctx, row, 0)
	return nil
}

func (f *timing) OnTimer(ctx *process.Context, t process.Timer) error { return nil }

// listing appends each row to a list of the key, and takes the first element out again when there are more than eight.
type listing struct {
	process.BaseFunction
	l *process.List
}

var listed = []process.Descriptor{{Name: "l", Kind: process.ListKind, Fields: []core.Field{{Name: "v", Type: bigint}}}}

func (l *listing) Open(s *process.Setup) error { l.l = s.List("l"); return nil }

func (l *listing) Process(ctx *process.Context, row process.Row) error {
	l.l.Stage().Int64(0, row.Int64(2))
	l.l.Add()
	if l.l.Len() > 8 && l.l.First() != nil {
		l.l.Remove()
	}
	pass(ctx, row, int64(l.l.Len()))
	return nil
}

// BenchmarkStates is what other states cost a row, with three columns of output: "passing" has none. 10 K keys.
func BenchmarkStates(b *testing.B) {
	in := newBenchInput(10_000)
	ttl := slices.Clone(totals)
	ttl[0].TTL = process.TTL{After: time.Hour, OnRead: true}
	for _, c := range []struct {
		name   string
		config process.Config
	}{
		{"passing", process.Config{New: func() process.Function { return passing{} }}},
		{"value-ttl", process.Config{Keyed: true, States: ttl, New: func() process.Function { return &counting{} }}},
		{"map", process.Config{Keyed: true, States: mapped, New: func() process.Function { return &mapping{} }}},
		{"list", process.Config{Keyed: true, States: listed, New: func() process.Function { return &listing{} }}},
		{"timers", process.Config{Keyed: true, States: totals, New: func() process.Function { return &timing{} }}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.config.Ports = []process.Port{{}}
			if c.config.Keyed {
				c.config.Ports[0].Keys = []int{0}
			}
			op := process.New(c.config)
			_, done := openBench(b, op, []*core.Schema{in.schema}, triple)
			out := &discard{}
			run := func(i int) {
				if err := op.Process(0, in.batch(i), out); err != nil {
					b.Fatal(err)
				}
			}
			for i := range 4 * len(in.columns) {
				run(i)
			}
			b.ReportAllocs()
			i, start := 0, cpu()
			for b.Loop() {
				run(i)
				i++
			}
			perRow(b, start, benchRows)
			done()
		})
	}
}

// BenchmarkOnTimer registers a timer a key and fires it: 4096 timers a round, at times of their own.
func BenchmarkOnTimer(b *testing.B) {
	op := process.New(process.Config{Keyed: true, Ports: []process.Port{{Keys: []int{0}}}, States: totals, New: func() process.Function { return &alarm{} }})
	in := newBenchInput(1_000_000)
	_, done := openBench(b, op, []*core.Schema{in.schema}, triple)
	out := &discard{}
	b.ReportAllocs()
	i, start := 0, cpu()
	at := core.Time(0)
	for b.Loop() {
		if err := op.Process(0, in.batch(i), out); err != nil {
			b.Fatal(err)
		}
		at += 1 << 20
		if err := op.Advance(at, out); err != nil {
			b.Fatal(err)
		}
		i++
	}
	perRow(b, start, benchRows)
	done()
}

// alarm sets a timer for each row and forgets the key when it fires.
type alarm struct {
	process.BaseFunction
	total *process.Value
}

func (f *alarm) Open(s *process.Setup) error { f.total = s.Value("total"); return nil }

func (f *alarm) Process(ctx *process.Context, row process.Row) error {
	f.total.SetInt64(0, row.Int64(2))
	ctx.RegisterEventTimer(max(ctx.Watermark(), 0) + core.Time(row.Int64(2)))
	return nil
}

func (f *alarm) OnTimer(ctx *process.Context, t process.Timer) error {
	out := ctx.Out()
	out.Int64(0, t.Key.Int64(0))
	out.Int64(1, f.total.Int64(0))
	out.Int64(2, int64(t.Time))
	out.End()
	f.total.Clear()
	return nil
}

// BenchmarkStateless is a filter and a map without state, a row at a time and by blocks.
func BenchmarkStateless(b *testing.B) {
	in := newBenchInput(1000)
	for _, c := range []struct {
		name string
		op   core.Operator
		out  *core.Schema
	}{
		{"filter", process.NewFilter("f", func(r process.Row) (bool, error) { return r.Int64(2)&1 == 0, nil }), in.schema},
		{"map", process.NewFlatMap("m", func(r process.Row, out *process.Output) error {
			out.Int64(0, r.Int64(0)+1)
			out.Int64(1, r.Int64(1))
			out.Int64(2, r.Int64(2))
			out.End()
			return nil
		}), triple},
		{"map-blocks", process.NewFlatMapBlocks("m", func(in *process.Block, out *process.Output) error {
			from := out.Column(0).Len()
			out.Column(0).Extend(in.Len())
			to := out.Column(0).Int64s()[from:]
			for i, k := range in.Batch.Columns[0].Int64s()[in.From:in.To] {
				to[i] = k + 1
			}
			out.Column(1).AppendRange(in.Batch.Columns[2], in.From, in.Len())
			out.Column(2).AppendRange(in.Batch.Columns[2], in.From, in.Len())
			out.EndRows(in.Len())
			return nil
		}), triple},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, done := openBench(b, c.op, []*core.Schema{in.schema}, c.out)
			out := &discard{}
			b.ReportAllocs()
			i, start := 0, cpu()
			for b.Loop() {
				if err := c.op.Process(0, in.batch(i), out); err != nil {
					b.Fatal(err)
				}
				i++
			}
			perRow(b, start, benchRows)
			done()
		})
	}
}

// BenchmarkAsync calls a function that answers at once: what the machinery costs a row, and a lookup whose results are in the cache.
func BenchmarkAsync(b *testing.B) {
	in := newBenchInput(1000)
	request := process.RequestConfig{Capacity: 256, Timeout: time.Minute}
	table := core.NewSchema(core.Field{Name: "name", Type: core.Of(core.Int64)})
	lookup := process.LookupConfig{RequestConfig: request, Keys: []int{0}, Table: table, Cache: process.CacheConfig{Rows: 10_000},
		Call: func(_ context.Context, r process.Row, out *process.Output) error {
			out.Int64(0, r.Int64(0))
			out.End()
			return nil
		}}
	for _, c := range []struct {
		name string
		op   core.Operator
		out  *core.Schema
	}{
		{"rows", process.NewAsync(process.AsyncConfig{RequestConfig: request, Call: func(_ context.Context, r process.Row, out *process.Output) error {
			out.Row(r)
			return nil
		}}), in.schema},
		{"blocks", process.NewAsync(process.AsyncConfig{RequestConfig: request, CallBlock: func(_ context.Context, in *process.Block, out *process.Output) error {
			for c, v := range in.Batch.Columns {
				out.Column(c).AppendRange(v, in.From, in.Len())
			}
			out.EndRows(in.Len())
			return nil
		}}), in.schema},
		{"lookup-cached", process.NewLookup(lookup), lookup.Schema(in.schema)},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx, done := openFor(b, c.op, []*core.Schema{in.schema}, c.out)
			woken := make(chan struct{}, 1)
			ctx.Wake = func() {
				select {
				case woken <- struct{}{}:
				default:
				}
			}
			if err := c.op.Open(ctx); err != nil {
				b.Fatal(err)
			}
			out := &discard{}
			run := func(i int) {
				err := c.op.Process(0, in.batch(i), out)
				for more := true; more && err == nil; {
					if more, err = c.op.Resume(out); more && c.op.(core.Waiter).Waiting() {
						<-woken
					}
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			for i := range 4 {
				run(i)
			}
			b.ReportAllocs()
			i, start := 0, cpu()
			for b.Loop() {
				run(i)
				i++
			}
			perRow(b, start, benchRows)
			done()
		})
	}
}
