package window_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
	"turbo/core/ops/window"
	"turbo/memory"
	"turbo/state"
)

// benchSecond is a second of event time.
const benchSecond = 1_000_000

const sliceRows = 4096

// stream is rows as they come from an exchange, period after period: rows of a period are the same but for their times.
type stream struct {
	schema  *core.Schema
	account *memory.Account
	keys    []*core.Vector
	offsets [][]int64 // times within the period
	hashes  [][]uint64
	values  *core.Vector
	period  int64
	at      int
}

// newStream has `each` rows a second of each of n keys, out of order by up to disorder, for some seconds.
func newStream(n int, each float64, seconds int, disorder int64) *stream {
	s := &stream{account: memory.NewPool(0).Account("input"), period: int64(seconds) * benchSecond}
	s.schema = core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64)}, core.Field{Name: "v", Type: core.Of(core.Int64)},
		core.Field{Name: "ts", Type: core.Of(core.Timestamp)})
	s.schema.TimeColumn = 2
	s.values = core.NewVector(s.account, core.Of(core.Int64), sliceRows)
	for i := range sliceRows {
		s.values.AppendInt64(int64(i))
	}
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	total := int(float64(n)*each*float64(seconds)) / sliceRows * sliceRows
	order := rng.Perm(n)
	for from := 0; from < total; from += sliceRows {
		k := core.NewVector(s.account, core.Of(core.Int64), sliceRows)
		var offsets []int64
		for i := range sliceRows {
			at := int64(float64(from+i) / float64(total) * float64(s.period))
			if disorder > 0 {
				at -= rng.Int64N(disorder)
				k.AppendInt64(rng.Int64N(int64(n)) * 7919)
			} else {
				k.AppendInt64(int64(order[(from+i)%n]) * 7919)
			}
			offsets = append(offsets, at)
		}
		h := make([]uint64, sliceRows)
		hash.Columns([]*core.Vector{k}, sliceRows, nil, h)
		s.keys, s.offsets, s.hashes = append(s.keys, k), append(s.offsets, offsets), append(s.hashes, h)
	}
	return s
}

// next returns the next batch's parts, and the time that rows have reached.
func (s *stream) next(times []int64) (i int, front int64) {
	i = s.at % len(s.keys)
	base := int64(s.at/len(s.keys)) * s.period
	for j, o := range s.offsets[i] {
		times[j] = base + o
	}
	s.at++
	return i, base + int64(i+1)*s.period/int64(len(s.keys))
}

// handTumbling is the simplest loop: open addressing over entries of key, window and sum, one table for each of two open windows.
type handTumbling struct {
	size   int64
	tables [2]handTable
	fired  int64
	out    [4][]int64
	rows   int
	sum    int64
}

type handTable struct {
	entries []handEntry
	used    []int32
}

type handEntry struct{ key, count, sum int64 }

func newHandTumbling(keys int, size int64) *handTumbling {
	h := &handTumbling{size: size, fired: -2}
	n := 1024
	for n < 2*keys {
		n *= 2
	}
	for i := range h.tables {
		h.tables[i].entries = make([]handEntry, n)
	}
	for i := range h.out {
		h.out[i] = make([]int64, sliceRows)
	}
	return h
}

func (h *handTumbling) process(keys []int64, hashes []uint64, values, times []int64) {
	for i, k := range keys {
		w := (times[i] + h.size) / h.size // times are above -size
		if w-1 <= h.fired {
			continue
		}
		t := &h.tables[w&1]
		mask := uint64(len(t.entries) - 1)
		for p := hashes[i] & mask; ; p = (p + 1) & mask {
			e := &t.entries[p]
			if e.count == 0 {
				e.key = k
				t.used = append(t.used, int32(p))
			}
			if e.key == k {
				e.count++
				e.sum += values[i]
				break
			}
		}
	}
}

func (h *handTumbling) advance(t int64) {
	for (h.fired+2)*h.size-1 <= t {
		h.fired++
		table := &h.tables[(h.fired+1)&1]
		n := 0
		for _, p := range table.used {
			e := &table.entries[p]
			h.out[0][n], h.out[1][n], h.out[2][n], h.out[3][n] = e.key, h.fired*h.size, (h.fired+1)*h.size, e.sum
			*e = handEntry{}
			if n++; n == sliceRows {
				h.consume(n)
				n = 0
			}
		}
		h.consume(n)
		table.used = table.used[:0]
	}
}

func (h *handTumbling) consume(n int) {
	h.rows += n
	for _, x := range h.out[3][:n] {
		h.sum += x
	}
}

// consumer adds up what is emitted.
type consumer struct {
	column int
	rows   int
	sum    int64
}

func (c *consumer) Emit(b *core.Batch) error {
	c.rows += b.Rows()
	for _, x := range b.Columns[c.column].Int64s() {
		c.sum += x
	}
	b.Release()
	return nil
}

func (c *consumer) Full() bool { return false }

func openBench(b testing.TB, config window.Config, input *core.Schema) core.Operator {
	return openLimited(b, config, input, 0)
}

// openLimited opens an operator with so much memory; 0: no limit.
func openLimited(b testing.TB, config window.Config, input *core.Schema, limit int64) core.Operator {
	output, err := config.Schema(input)
	if err != nil {
		b.Fatal(err)
	}
	account := memory.NewPool(limit).Account("op")
	backend := state.NewBackend(128, 0, 128, nil)
	ctx := &core.OperatorContext{ID: "op", Workers: 1, KeyGroups: 128, Inputs: []*core.Schema{input}, Output: output, BatchRows: sliceRows, Account: account,
		Tables: backend.Operator("op", account), Now: func() core.Time { return 0 }, Counters: &core.Counters{}, Log: slog.New(slog.DiscardHandler)}
	op := window.New(config)
	if err := op.Open(ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := op.Close(); err != nil {
			b.Error(err)
		}
		backend.Close()
	})
	return op
}

// feeder gives a stream to an operator: a watermark every tenth of a second of event time.
type feeder struct {
	s     *stream
	op    core.Operator
	out   *consumer
	pool  *core.BatchPool
	last  int64
	every int64 // between watermarks
	spent time.Duration
	delay int64
}

func (f *feeder) batch(b *testing.B, during func(keys []int64, hashes []uint64, values, times []int64, mark int64)) {
	batch := f.pool.Get()
	times := batch.Columns[2]
	times.Extend(sliceRows)
	i, front := f.s.next(times.Int64s())
	batch.Columns[0].Release()
	batch.Columns[0] = f.s.keys[i].Retain()
	batch.Columns[1].Release()
	batch.Columns[1] = f.s.values.Retain()
	batch.Len, batch.Hashes = sliceRows, f.s.hashes[i]
	mark := int64(-1 << 62)
	if front-f.last >= f.every {
		f.last = front
		mark = front - f.delay - 1
	}
	if during != nil {
		during(f.s.keys[i].Int64s(), f.s.hashes[i], f.s.values.Int64s(), times.Int64s(), mark)
	}
	start := time.Now()
	if err := f.op.Process(0, batch, f.out); err != nil {
		b.Fatal(err)
	}
	if mark > -1<<62 {
		if err := f.op.Advance(core.Time(mark), f.out); err != nil {
			b.Fatal(err)
		}
	}
	f.spent += time.Since(start)
}

func newFeeder(b *testing.B, s *stream, config window.Config, delay int64) *feeder {
	return &feeder{s: s, op: openBench(b, config, s.schema), out: &consumer{column: 3}, every: benchSecond / 10, pool: core.NewBatchPool(s.account, s.schema, sliceRows, 2), delay: delay}
}

var sumCalls = []ops.Call{{Function: ops.Sum, Argument: 1, Name: "sum"}}

// BenchmarkTumbling is SUM by key over windows of 10 s with 100 rows a key, out of order by 5 s, beside the hand-written loop, which gets the same batches
// in turn. Expected ns a row at 10 K keys: the least and the largest time, and times to slices, 1.5; probe of the keys 4; the window's row and its bit 2; sum 2.5; a row of
// state made, emitted and dropped a hundredth of 200. At 1 M keys the table's own probe takes two cache misses, 30.
func BenchmarkTumbling(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStream(n, 10, 10, 5*benchSecond)
			f := newFeeder(b, s, window.Config{Keys: []int{0}, Kind: window.Tumbling, Size: 10 * benchSecond, Calls: sumCalls}, 5*benchSecond)
			hand := newHandTumbling(n, 10*benchSecond)
			var theirs time.Duration
			rows := 0
			step := func() {
				f.batch(b, func(keys []int64, hashes []uint64, values, times []int64, mark int64) {
					start := time.Now()
					hand.process(keys, hashes, values, times)
					if mark > -1<<62 {
						hand.advance(mark)
					}
					theirs += time.Since(start)
				})
				rows += sliceRows
			}
			for range len(s.keys) * 3 / 2 {
				step()
			}
			f.spent, theirs, rows = 0, 0, 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N*10; i++ {
				step()
			}
			if f.out.rows != hand.rows || f.out.sum != hand.sum {
				b.Fatalf("%d rows, sum %d; the loop makes %d, %d", f.out.rows, f.out.sum, hand.rows, hand.sum)
			}
			b.ReportMetric(float64(f.spent)/float64(rows), "ns/row")
			b.ReportMetric(float64(theirs)/float64(rows), "hand-ns/row")
			b.ReportMetric(float64(theirs)/float64(f.spent), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSliding is SUM by key over windows of 60 s that slide by 1 s beside tumbling ones of 60 s: 10 K keys with a row a second each. What counts is rows
// in and out a second over the tumbling windows' rows in. Watermarks come every 0.1 s, or every 20 s, as in a job that catches up.
func BenchmarkSliding(b *testing.B) {
	for _, shape := range []struct {
		name  string
		calls []ops.Call
		every int64
	}{{"sum", sumCalls, benchSecond / 10}, {"sum-catching-up", sumCalls, 20 * benchSecond}, {"max", []ops.Call{{Function: ops.Max, Argument: 1, Name: "max"}}, benchSecond / 10}} {
		b.Run(shape.name, func(b *testing.B) {
			const n = 10_000
			feeders := make([]*feeder, 2)
			for i, c := range []window.Config{{Kind: window.Tumbling, Size: 60 * benchSecond}, {Kind: window.Sliding, Size: 60 * benchSecond, Slide: benchSecond}} {
				c.Keys, c.Calls = []int{0}, shape.calls
				feeders[i] = newFeeder(b, newStream(n, 1, 60, benchSecond/2), c, benchSecond/2)
				feeders[i].every = shape.every
			}
			step := func() {
				for _, f := range feeders {
					for range len(f.s.keys) / 10 {
						f.batch(b, nil)
					}
				}
			}
			for range 15 {
				step()
			}
			var rates [2][]float64
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				for i, f := range feeders {
					f.spent = 0
					rows := f.out.rows
					if i == 0 {
						rows = 0
						f.out.rows = 0
					}
					for range len(f.s.keys) {
						f.batch(b, nil)
					}
					in := len(f.s.keys) * sliceRows
					if i == 1 {
						in += f.out.rows - rows
					}
					rates[i] = append(rates[i], float64(in)/f.spent.Seconds())
				}
			}
			for i := range rates {
				slices.Sort(rates[i])
			}
			tumbling, sliding := rates[0][len(rates[0])/2], rates[1][len(rates[1])/2]
			b.ReportMetric(1e9/tumbling, "tumbling-ns/row")
			b.ReportMetric(1e9/sliding, "sliding-ns/row")
			b.ReportMetric(sliding/tumbling, "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
