package ops_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
	"turbo/memory"
	"turbo/state"
)

const benchRows = 4096

// handAggregate is the simplest loop with the same answer: open addressing over entries of key, count, sum and the number of the batch that
// touched them last; at the end of a batch one update a changed key, in columns.
type handAggregate struct {
	entries []handEntry
	batch   int64
	changed []int32
	isNew   []bool
	key     []int64
	count   []int64
	sum     []int64
	kinds   []core.RowKind
}

type handEntry struct{ key, count, sum, batch int64 }

func (h *handAggregate) process(keys []int64, hashes []uint64, values []int64) int {
	mask := uint64(len(h.entries) - 1)
	h.batch++
	h.changed, h.isNew = h.changed[:0], h.isNew[:0]
	for i, k := range keys {
		p := hashes[i] & mask
		for {
			e := &h.entries[p]
			if e.count == 0 {
				e.key = k
			}
			if e.key == k {
				if e.batch != h.batch {
					e.batch = h.batch
					h.changed, h.isNew = append(h.changed, int32(p)), append(h.isNew, e.count == 0)
				}
				e.count++
				e.sum += values[i]
				break
			}
			p = (p + 1) & mask
		}
	}
	for i, p := range h.changed {
		e := &h.entries[p]
		h.key[i], h.count[i], h.sum[i] = e.key, e.count, e.sum
		h.kinds[i] = core.UpdateAfter
		if h.isNew[i] {
			h.kinds[i] = core.Insert
		}
	}
	return len(h.changed)
}

func newHand(keys int) *handAggregate {
	size := 1024
	for size < 2*keys {
		size *= 2
	}
	return &handAggregate{entries: make([]handEntry, size), key: make([]int64, benchRows), count: make([]int64, benchRows),
		sum: make([]int64, benchRows), kinds: make([]core.RowKind, benchRows)}
}

type benchInput struct {
	schema  *core.Schema
	keys    [][]*core.Vector
	values  *core.Vector
	hashes  [][]uint64
	account *memory.Account
}

// newBenchInput makes batches of random keys out of n. shape is "int64", "two" (INT, BIGINT) or "string".
func newBenchInput(shape string, n int) *benchInput {
	account := memory.NewPool(0).Account("input")
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	in := &benchInput{account: account, values: core.NewVector(account, core.Of(core.Int64), benchRows)}
	types := map[string][]core.Type{"int64": {core.Of(core.Int64)}, "two": {core.Of(core.Int32), core.Of(core.Int64)}, "string": {core.Of(core.String)}}[shape]
	in.schema = core.NewSchema()
	for i, t := range types {
		in.schema.Fields = append(in.schema.Fields, core.Field{Name: fmt.Sprint("k", i), Type: t})
	}
	in.schema.Fields = append(in.schema.Fields, core.Field{Name: "v", Type: core.Of(core.Int64)})
	for i := range benchRows {
		in.values.AppendInt64(int64(i))
	}
	for range max(4, min(1024, 3*n/benchRows)) {
		var columns []*core.Vector
		for _, t := range types {
			columns = append(columns, core.NewVector(account, t, benchRows))
		}
		for range benchRows {
			k := rng.Int64N(int64(n))
			switch shape {
			case "int64":
				columns[0].AppendInt64(k * 7919)
			case "two":
				columns[0].AppendInt32(int32(k % 100))
				columns[1].AppendInt64(k)
			default:
				columns[0].AppendString(fmt.Sprintf("vehicle-%08d", k))
			}
		}
		h := make([]uint64, benchRows)
		hash.Columns(columns, benchRows, nil, h)
		in.keys, in.hashes = append(in.keys, columns), append(in.hashes, h)
	}
	return in
}

// batch returns batch i, as it comes from an exchange. Keys and values are shared with the input.
func (in *benchInput) batch(i int) *core.Batch {
	i %= len(in.keys)
	b := core.NewBatch(in.account, in.schema)
	for _, v := range in.keys[i] {
		b.Columns = append(b.Columns, v.Retain())
	}
	b.Columns = append(b.Columns, in.values.Retain())
	b.Len, b.Hashes = benchRows, in.hashes[i]
	return b
}

func benchAggregate(b testing.TB, in *benchInput) (core.Operator, *core.OperatorContext, *discard) {
	k := len(in.keys[0])
	var keys []int
	for i := range k {
		keys = append(keys, i)
	}
	return single(b, in.schema, ops.AggregateConfig{Keys: keys, Calls: []ops.Call{{Function: ops.Count, Argument: -1, Name: "n"},
		{Function: ops.Sum, Argument: k, Name: "sum"}}})
}

// BenchmarkAggregate is the running COUNT(*) and SUM(BIGINT) of batches with hashes, one update a changed key and batch, beside the
// hand-written loop, in interleaved pairs. Expected ns/row, 1 K keys: probe 3, distinct 2, count 1.2, sum 1.3, output 1. 1 M keys: probe 28
// (two cache misses that overlap over rows), distinct 3.5, count 1.6, sum 1.6, output 6 (one row a row).
func BenchmarkAggregate(b *testing.B) {
	for _, shape := range []string{"int64", "two", "string"} {
		for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
			if shape != "int64" && n != 10_000 {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", shape, n), func(b *testing.B) {
				in := newBenchInput(shape, n)
				op, ctx, out := benchAggregate(b, in)
				hand := newHand(n)
				loop := func(i int) int {
					i %= len(in.keys)
					return hand.process(in.keys[i][0].Int64s(), in.hashes[i], in.values.Int64s())
				}
				rows := 0
				for i := range in.keys {
					if err := op.Process(0, in.batch(i), out); err != nil {
						b.Fatal(err)
					}
					if shape == "int64" {
						rows += loop(i)
					}
				}
				if shape == "int64" && rows != out.rows {
					b.Fatalf("%d updates, the loop makes %d", out.rows, rows)
				}
				var mine, theirs []float64
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					start := time.Now()
					if err := op.Process(0, in.batch(i), out); err != nil {
						b.Fatal(err)
					}
					middle := time.Now()
					mine = append(mine[:min(len(mine), 1<<16)], float64(middle.Sub(start)))
					i += 7
					if shape == "int64" {
						loop(i)
						theirs = append(theirs[:min(len(theirs), 1<<16)], float64(time.Since(middle)))
						i += 7
					}
				}
				slices.Sort(mine)
				slices.Sort(theirs)
				b.ReportMetric(mine[len(mine)/2]/benchRows, "ns/row")
				if len(theirs) > 0 {
					b.ReportMetric(theirs[len(theirs)/2]/benchRows, "hand-ns/row")
				}
				b.ReportMetric(0, "ns/op")
				finish(b, op, ctx)
			})
		}
	}
}

// copySink is a page sink that keeps nothing, at the cost of one copy.
type copySink struct {
	buffer []byte
	bytes  int64
}

func (s *copySink) WritePages(pages []state.Page) error {
	s.buffer = s.buffer[:0]
	for _, p := range pages {
		s.buffer = append(s.buffer, p.Data...)
		s.bytes += int64(len(p.Data))
	}
	return nil
}

// BenchmarkCheckpoints measures what a checkpoint a second costs the aggregate at a million keys, every one of which changes between two
// of them: stretches of a second with one and without, in turn.
func BenchmarkCheckpoints(b *testing.B) {
	in := newBenchInput("int64", 1_000_000)
	op, ctx, out := benchAggregate(b, in)
	backend := backends[ctx]
	i := 0
	batch := func() {
		if err := op.Process(0, in.batch(i), out); err != nil {
			b.Fatal(err)
		}
		i++
	}
	for range 3 * len(in.keys) {
		batch()
	}
	sink := &copySink{}
	stretch := func(checkpoint bool) (rate float64, freeze time.Duration) {
		start := time.Now()
		rows := 0
		var s *state.Snapshot
		var done chan error
		for time.Since(start) < time.Second {
			if checkpoint && s == nil {
				t := time.Now()
				var err error
				if s, err = backend.Freeze(); err != nil {
					b.Fatal(err)
				}
				freeze = time.Since(t)
				done = make(chan error, 1)
				go func() { done <- s.Write(sink) }()
			}
			batch()
			rows += benchRows
		}
		elapsed := time.Since(start)
		if checkpoint {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			if err := s.Complete(); err != nil {
				b.Fatal(err)
			}
		}
		return float64(rows) / elapsed.Seconds(), freeze
	}
	var with, without []float64
	var frozen time.Duration
	for b.Loop() {
		for range 5 {
			r, _ := stretch(false)
			without = append(without, r)
			r, frozen = stretch(true)
			with = append(with, r)
		}
	}
	slices.Sort(with)
	slices.Sort(without)
	w, wo := with[len(with)/2], without[len(without)/2]
	b.ReportMetric(wo/1e6, "Mrows/s")
	b.ReportMetric(100*(1-w/wo), "%cost")
	b.ReportMetric(float64(sink.bytes)/float64(len(with))/1e6, "MB/checkpoint")
	b.ReportMetric(float64(frozen.Microseconds()), "freeze-us")
	b.ReportMetric(0, "ns/op")
	finish(b, op, ctx)
}
