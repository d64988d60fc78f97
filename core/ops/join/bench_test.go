package join_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops/join"
	"turbo/memory"
	"turbo/state"
)

// The benchmarks' input: two streams of (k BIGINT, ts TIMESTAMP, v BIGINT) in batches of 4096 that alternate, a microsecond or so from row to row with
// some disorder, keys at random so that a row of either side has one
// partner on average: every two rows in make one row out. Then the watermark.
const (
	benchRows     = 4096
	benchBatches  = 256 // of each side in the input; then it starts again with later times
	benchDisorder = 5000
)

type benchInput struct {
	schema *core.Schema
	keys   [2][]*core.Vector
	hashes [2][][]uint64
	values *core.Vector
	jitter []int64
	pool   *core.BatchPool
	acc    *memory.Account
	at     int
}

func newBenchInput(keys int) *benchInput {
	acc := memory.NewPool(0).Account("input")
	rng := rand.New(rand.NewPCG(1, uint64(keys)))
	in := &benchInput{acc: acc, values: core.NewVector(acc, core.Of(core.Int64).Required(), benchRows)}
	in.schema = core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64).Required()}, core.Field{Name: "ts", Type: core.Of(core.TimestampLTZ).Required()},
		core.Field{Name: "v", Type: core.Of(core.Int64).Required()})
	in.schema.TimeColumn = 1
	for i := range benchRows {
		in.values.AppendInt64(int64(i))
		in.jitter = append(in.jitter, rng.Int64N(benchDisorder))
	}
	for side := range 2 {
		for range benchBatches {
			v := core.NewVector(acc, core.Of(core.Int64).Required(), benchRows)
			for range benchRows {
				v.AppendInt64(rng.Int64N(int64(keys)) * 7919)
			}
			h := make([]uint64, benchRows)
			hash.Columns([]*core.Vector{v}, benchRows, nil, h)
			in.keys[side], in.hashes[side] = append(in.keys[side], v), append(in.hashes[side], h)
		}
	}
	in.pool = core.NewBatchPool(acc, in.schema, benchRows, 4)
	return in
}

// batch returns batch i of a side: rows are a microsecond apart on each side, minus jitter.
func (in *benchInput) batch(side, i int) *core.Batch {
	b := core.NewBatch(in.acc, in.schema)
	ts := core.NewVector(in.acc, in.schema.Fields[1].Type, benchRows)
	ts.Extend(benchRows)
	out, base := ts.Int64s(), int64(i)*benchRows
	for r, j := range in.jitter {
		out[r] = base + int64(r) - j
	}
	b.Columns = append(b.Columns, in.keys[side][i%benchBatches].Retain(), ts, in.values.Retain())
	b.Len, b.Hashes = benchRows, in.hashes[side][i%benchBatches]
	return b
}

// watermarkAfter is the watermark behind batch i of both sides.
func watermarkAfter(i int) int64 { return int64(i+1)*benchRows - benchDisorder - 1 }

// sum consumes output: rows and the sum of all values.
type sum struct {
	rows, sum int64
}

func (s *sum) Emit(b *core.Batch) error {
	s.rows += int64(b.Rows())
	for _, v := range b.Columns {
		for _, x := range v.Int64s() {
			s.sum += x
		}
	}
	b.Release()
	return nil
}

func (s *sum) Full() bool { return false }

func openBench(b testing.TB, op core.Operator, in, out *core.Schema) *state.Backend {
	acc := memory.NewPool(0).Account("op")
	backend := state.NewBackend(128, 0, 128, nil)
	ctx := &core.OperatorContext{ID: "op", Workers: 1, KeyGroups: 128, Inputs: []*core.Schema{in, in}, Output: out, BatchRows: benchRows, Account: acc,
		Tables: backend.Operator("op", acc), Now: func() core.Time { return 0 }, Counters: &core.Counters{}, Log: slog.New(slog.DiscardHandler)}
	if err := op.Open(ctx); err != nil {
		b.Fatal(err)
	}
	return backend
}

// handRow is a kept row of the hand-written loop.
type handRow struct {
	key, time, value int64
	next             int32
}

// handJoin is the simplest interval join with the same answer: one open-addressing table of keys with the newest row of each side, rows in a ring by
// arrival with links to the row before of their key, walked until they are too old. Rows leave the ring from its tail.
type handJoin struct {
	entries    []handKey
	rings      [2][]handRow
	head, tail [2]int32
	lo, hi     [2]int64
	out        [4][]int64
	rows, sum  int64
}

type handKey struct {
	key  int64
	last [2]int32 // row number + 1
	used bool
}

func newHand(keys, ring int, lower, upper int64) *handJoin {
	size := 1024
	for size < 2*keys {
		size *= 2
	}
	h := &handJoin{entries: make([]handKey, size), lo: [2]int64{lower, -upper}, hi: [2]int64{upper, -lower}}
	for s := range h.rings {
		h.rings[s] = make([]handRow, ring)
	}
	for i := range h.out {
		h.out[i] = make([]int64, 0, 4*benchRows)
	}
	return h
}

func (h *handJoin) flush() {
	h.rows += int64(len(h.out[0]))
	for i, o := range h.out {
		for _, x := range o {
			h.sum += x
		}
		h.out[i] = o[:0]
	}
}

func (h *handJoin) process(side int, keys, times, values []int64, hashes []uint64) {
	mask, ring, other := uint64(len(h.entries)-1), h.rings[side], h.rings[1-side]
	rm := int32(len(ring) - 1)
	oldest := h.tail[1-side]
	for i, k := range keys {
		p := hashes[i] & mask
		for h.entries[p].used && h.entries[p].key != k {
			p = (p + 1) & mask
		}
		e := &h.entries[p]
		e.used, e.key = true, k
		t := times[i]
		for at := e.last[1-side]; at-1-oldest >= 0 && at != 0; {
			o := &other[(at-1)&rm]
			if o.time >= t+h.lo[side] && o.time <= t+h.hi[side] {
				l, r := values[i], o.value
				if side == 1 {
					l, r = r, l
				}
				h.out[0] = append(h.out[0], k)
				h.out[1] = append(h.out[1], l)
				h.out[2] = append(h.out[2], r)
				h.out[3] = append(h.out[3], max(t, o.time))
				if len(h.out[0]) == benchRows {
					h.flush()
				}
			}
			at = o.next
		}
		n := h.head[side]
		h.head[side]++
		ring[n&rm] = handRow{k, t, values[i], e.last[side]}
		e.last[side] = n + 1
	}
	h.flush()
}

func (h *handJoin) advance(watermark int64) {
	for s := range h.rings {
		rm := int32(len(h.rings[s]) - 1)
		for h.tail[s] < h.head[s] && h.rings[s][h.tail[s]&rm].time+h.hi[s] <= watermark {
			h.tail[s]++
		}
	}
}

// BenchmarkInterval is an inner interval join on a BIGINT key with both values and the time as output, beside the hand-written loop, in interleaved pairs
// on the same batches. ns/row counts rows in and rows out.
//
// Expected per row in, 10 K keys (all in the second-level cache): key 8 ns, chain 4, row kept 12 (slot 5, three columns 5, link 2), bucket 3, half a row of
// output 4, freed 15 (chain 4, slot 5, key of the last row 6): some 45 ns, so 30 ns per row in or out. 1 M keys: a cache miss more for key, node, other row,
// twice for unlinking: 100 ns.
func BenchmarkInterval(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			in := newBenchInput(keys)
			span := int64(keys) / 2 // rows are a microsecond apart: one partner among the span's rows
			c := join.IntervalConfig{Config: join.Config{Keys: [2][]int{{0}, {0}}, Output: []join.Column{{Side: 0, Index: 0}, {Side: 0, Index: 2}, {Side: 1, Index: 2, Name: "w"}}},
				Lower: -span, Upper: span, Time: "at"}
			out, err := c.Schema(in.schema, in.schema)
			if err != nil {
				b.Fatal(err)
			}
			op := join.NewInterval(c)
			backend := openBench(b, op, in.schema, out)
			ring := 1 << 16
			for ring < 4*(keys+2*benchRows) {
				ring *= 2
			}
			hand := newHand(keys, ring, -span, span)
			var got sum
			mine, theirs := pairedBench(b, in, op, &got, func(batches [2]*core.Batch, watermark int64) {
				for s, x := range batches {
					hand.process(s, x.Columns[0].Int64s(), x.Columns[1].Int64s(), x.Columns[2].Int64s(), x.Hashes)
				}
				hand.advance(watermark)
			}, 3*keys/benchRows+8)
			if got.rows != hand.rows || got.sum != hand.sum {
				b.Fatalf("%d rows, sum %d; the loop has %d, %d", got.rows, got.sum, hand.rows, hand.sum)
			}
			report(b, mine, theirs, float64(got.rows)/float64(2*benchRows*in.at))
			if err := op.Close(); err != nil {
				b.Fatal(err)
			}
			backend.Close()
		})
	}
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// pairedBench runs operator and loop on the same batches in turn, after a warm-up, and returns the processor times of each pair of batches.
func pairedBench(b *testing.B, in *benchInput, op core.Operator, got *sum, loop func([2]*core.Batch, int64), warm int) (mine, theirs []float64) {
	runtime.LockOSThread() // processor time of the thread: neighbours do not count
	defer runtime.UnlockOSThread()
	step := func() (time.Duration, time.Duration) {
		batches := [2]*core.Batch{in.batch(0, in.at), in.batch(1, in.at)}
		w := watermarkAfter(in.at)
		in.at++
		shared := [2]*core.Batch{batches[0].Share(), batches[1].Share()}
		for i := range shared {
			shared[i].Hashes = batches[i].Hashes
		}
		start := threadTime()
		loop(batches, w)
		middle := threadTime()
		for s, x := range shared {
			if err := op.Process(s, x, got); err != nil {
				b.Fatal(err)
			}
		}
		if err := op.Advance(core.Time(w), got); err != nil {
			b.Fatal(err)
		}
		if _, err := op.Resume(got); err != nil {
			b.Fatal(err)
		}
		end := threadTime()
		for _, x := range batches {
			x.Release()
		}
		return end - middle, middle - start
	}
	for range warm {
		step()
	}
	b.ReportAllocs()
	for b.Loop() {
		m, t := step()
		mine, theirs = append(mine, float64(m)), append(theirs, float64(t))
	}
	return mine, theirs
}

// report gives medians per row in and out, and the median of the pairs' ratios. Every row in makes `out` rows of output.
func report(b *testing.B, mine, theirs []float64, out float64) {
	var ratios []float64
	for i, m := range mine {
		ratios = append(ratios, theirs[i]/m)
	}
	slices.Sort(ratios)
	slices.Sort(mine)
	slices.Sort(theirs)
	rows := 2 * benchRows * (1 + out)
	m, t := mine[len(mine)/2]/rows, theirs[len(theirs)/2]/rows
	b.ReportMetric(m, "ns/row")
	b.ReportMetric(t, "hand-ns/row")
	b.ReportMetric(100*ratios[len(ratios)/2], "%ofhand")
	b.ReportMetric(out, "out/in")
	b.ReportMetric(0, "ns/op")
}

// handWindow is the simplest join of tumbling windows with the same answer: rows of the open windows in columns by window; at its end a hash table of
// the right rows with links, and a probe for each left row.
type handWindow struct {
	size    int64
	open    map[int64]*[2]handRows
	spare   []*[2]handRows
	entries []handSlot
	next    []int32
	batch   int32
	out     [5][]int64
	rows    int64
	sum     int64
}

type handRows struct{ key, value []int64 }

type handSlot struct {
	key         int64
	first, when int32
}

func (h *handWindow) process(side int, keys, times, values []int64) {
	last, rows := int64(-1<<62), (*handRows)(nil)
	for i, t := range times {
		n := t / h.size
		if t < 0 {
			n = (t+1)/h.size - 1
		}
		if n != last {
			w := h.open[n]
			if w == nil {
				if k := len(h.spare); k > 0 {
					w, h.spare = h.spare[k-1], h.spare[:k-1]
				} else {
					w = new([2]handRows)
				}
				h.open[n] = w
			}
			last, rows = n, &w[side]
		}
		rows.key, rows.value = append(rows.key, keys[i]), append(rows.value, values[i])
	}
}

func (h *handWindow) advance(watermark int64) {
	for {
		n, found := int64(0), false
		for k := range h.open {
			if (k+1)*h.size-1 <= watermark && (!found || k < n) {
				n, found = k, true
			}
		}
		if !found {
			return
		}
		w := h.open[n]
		delete(h.open, n)
		h.close(w, n)
		for s := range w {
			w[s] = handRows{w[s].key[:0], w[s].value[:0]}
		}
		h.spare = append(h.spare, w)
	}
}

func (h *handWindow) close(w *[2]handRows, n int64) {
	h.batch++
	size := 1024
	for size < 2*len(w[1].key) {
		size *= 2
	}
	if len(h.entries) < size {
		h.entries = make([]handSlot, size)
	}
	if cap(h.next) < len(w[1].key) {
		h.next = make([]int32, len(w[1].key))
	}
	mask, next := uint64(len(h.entries)-1), h.next[:cap(h.next)]
	for i, k := range w[1].key {
		p := hash.Int64(k) & mask
		for h.entries[p].when == h.batch && h.entries[p].key != k {
			p = (p + 1) & mask
		}
		e := &h.entries[p]
		if e.when != h.batch {
			*e = handSlot{k, -1, h.batch}
		}
		next[i] = e.first
		e.first = int32(i)
	}
	for i, k := range w[0].key {
		p := hash.Int64(k) & mask
		for h.entries[p].when == h.batch && h.entries[p].key != k {
			p = (p + 1) & mask
		}
		if h.entries[p].when != h.batch {
			continue
		}
		for r := h.entries[p].first; r >= 0; r = next[r] {
			h.out[0] = append(h.out[0], k)
			h.out[1] = append(h.out[1], w[0].value[i])
			h.out[2] = append(h.out[2], w[1].value[r])
			h.out[3] = append(h.out[3], n*h.size)
			h.out[4] = append(h.out[4], (n+1)*h.size)
			if len(h.out[0]) == benchRows {
				h.flush()
			}
		}
	}
	h.flush()
}

func (h *handWindow) flush() {
	h.rows += int64(len(h.out[0]))
	for i, o := range h.out {
		for _, x := range o {
			h.sum += x
		}
		h.out[i] = o[:0]
	}
}

// BenchmarkWindow is an inner join of tumbling windows with as many rows a side as there are keys, beside the hand-written loop.
//
// Expected per row in, 10 K keys: kept 12 ns (slot 5, columns 5), slice 3, key read and hashed 3, found 8, linked 3, half a row of output 6, freed 4: 40 ns. A million
// keys: three cache misses more (key, chain, row): 100 ns.
func BenchmarkWindow(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			in := newBenchInput(keys)
			c := join.WindowConfig{Config: join.Config{Keys: [2][]int{{0}, {0}}, Output: []join.Column{{Side: 0, Index: 0}, {Side: 0, Index: 2}, {Side: 1, Index: 2, Name: "w"}}},
				Windows: join.Windows{Size: int64(keys)}}
			out, err := c.Schema(in.schema, in.schema)
			if err != nil {
				b.Fatal(err)
			}
			op := join.NewWindow(c)
			backend := openBench(b, op, in.schema, out)
			hand := &handWindow{size: int64(keys), open: map[int64]*[2]handRows{}}
			var got sum
			mine, theirs := pairedBench(b, in, op, &got, func(batches [2]*core.Batch, watermark int64) {
				for s, x := range batches {
					hand.process(s, x.Columns[0].Int64s(), x.Columns[1].Int64s(), x.Columns[2].Int64s())
				}
				hand.advance(watermark)
			}, 3*keys/benchRows+8)
			if got.rows != hand.rows || got.sum != hand.sum {
				b.Fatalf("%d rows, sum %d; the loop has %d, %d", got.rows, got.sum, hand.rows, hand.sum)
			}
			// Windows close with some of the batches only: the means of some whole windows each count.
			some := 8 * (keys/benchRows + 1)
			if keys > 100*benchRows {
				some = keys/benchRows + 1
			}
			means := func(list []float64) (out []float64) {
				for part := range slices.Chunk(list, some) {
					total := 0.0
					for _, x := range part {
						total += x
					}
					if len(part) == some || len(out) == 0 {
						out = append(out, total/float64(len(part)))
					}
				}
				return out
			}
			report(b, means(mine), means(theirs), float64(got.rows)/float64(2*benchRows*in.at))
			if err := op.Close(); err != nil {
				b.Fatal(err)
			}
			backend.Close()
		})
	}
}
