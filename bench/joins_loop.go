package bench

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"turbo/core/hash"
)

// The hand-written loops beside turbo's joins: two goroutines, each scatters its left and its right rows in turn by key hash into batches for both, hands
// them over by rings, and joins what comes in. They share no code with the operators.

// joinResults consumes results on both sides: it reads every value.
type joinResults struct {
	rows, sum int64
	_         [112]byte
}

func (u *joinResults) add(columns ...[]int64) {
	u.rows += int64(len(columns[0]))
	for i, c := range columns {
		s := int64(0)
		for _, x := range c {
			s += x
		}
		u.sum += s * int64(2*i+1)
	}
}

// handJoin is one of the two joins: it takes batches of a side (0 left, 1 right), and is told up to when rows have come.
type handJoin interface {
	take(side int, b *handTimed)
	advance(watermark int64)
	results() *joinResults
}

// handInterval keeps the rows of each side in a ring by arrival, each with a link to the row before of its key; a table of the keys has the newest of
// each side. A new row walks the other side's links. Rows leave a ring from its tail.
type handInterval struct {
	entries    []intervalKey
	keys       int
	rings      [2][]intervalRow
	head, tail [2]int32
	bound      int64 // partners are within it
	columns    [4][]int64
	out        joinResults
}

type intervalKey struct {
	key  int64
	last [2]int32 // row number + 1
	used bool
}

type intervalRow struct {
	key, time, value int64
	next             int32 // row number + 1 of the row before
}

func newHandInterval(bound int64) *handInterval {
	h := &handInterval{entries: make([]intervalKey, 1024), bound: bound}
	for s := range h.rings {
		h.rings[s] = make([]intervalRow, 1024)
	}
	for i := range h.columns {
		h.columns[i] = make([]int64, 0, handBatch)
	}
	return h
}

func (h *handInterval) results() *joinResults { return &h.out }

func (h *handInterval) flush() {
	h.out.add(h.columns[:]...)
	for i, c := range h.columns {
		h.columns[i] = c[:0]
	}
}

// room makes room for n more keys and rows of a side.
func (h *handInterval) room(side, n int) {
	for 2*(h.keys+n) > len(h.entries) {
		old := h.entries
		h.entries = make([]intervalKey, 2*len(old))
		mask := uint64(len(h.entries) - 1)
		for _, e := range old {
			if e.used {
				i := hash.Int64(e.key) & mask
				for h.entries[i].used {
					i = (i + 1) & mask
				}
				h.entries[i] = e
			}
		}
	}
	for int(h.head[side]-h.tail[side])+n > len(h.rings[side]) {
		old := h.rings[side]
		ring := make([]intervalRow, 2*len(old))
		for i := h.tail[side]; i != h.head[side]; i++ {
			ring[int(i)&(len(ring)-1)] = old[int(i)&(len(old)-1)]
		}
		h.rings[side] = ring
	}
}

func (h *handInterval) take(side int, b *handTimed) {
	h.room(side, b.n)
	entries, mask, ring, other := h.entries, uint64(len(h.entries)-1), h.rings[side], h.rings[1-side]
	rm, om, oldest, bound := int32(len(ring)-1), int32(len(other)-1), h.tail[1-side], h.bound
	keys, values, times, hashes := b.keys[:b.n], b.values[:b.n], b.times[:b.n], b.hashes[:b.n]
	for i, k := range keys {
		p := hashes[i] & mask
		for entries[p].used && entries[p].key != k {
			p = (p + 1) & mask
		}
		e := &entries[p]
		if !e.used {
			e.used, e.key = true, k
			h.keys++
		}
		t := times[i]
		for at := e.last[1-side]; at > oldest; {
			o := &other[(at-1)&om]
			if o.time >= t-bound && o.time <= t+bound {
				l, r := values[i], o.value
				if side == 1 {
					l, r = r, l
				}
				h.columns[0] = append(h.columns[0], k)
				h.columns[1] = append(h.columns[1], l)
				h.columns[2] = append(h.columns[2], r)
				h.columns[3] = append(h.columns[3], max(t, o.time))
				if len(h.columns[0]) == handBatch {
					h.flush()
				}
			}
			at = o.next
		}
		n := h.head[side]
		h.head[side]++
		ring[n&rm] = intervalRow{k, t, values[i], e.last[side]}
		e.last[side] = n + 1
	}
	h.flush()
}

func (h *handInterval) advance(watermark int64) {
	for s, ring := range h.rings {
		for h.tail[s] < h.head[s] && ring[int(h.tail[s])&(len(ring)-1)].time+h.bound <= watermark {
			h.tail[s]++
		}
	}
}

// handWindows keeps the rows of the open windows in columns by window; at its end it puts the right rows in a hash table, and looks the left ones up.
type handWindows struct {
	size    int64
	open    map[int64]*[2]windowRows
	spare   []*[2]windowRows
	entries []windowKey
	next    []int32
	stamp   int32 // of the window at hand
	columns [5][]int64
	out     joinResults
}

type windowRows struct{ key, value []int64 }

type windowKey struct {
	key          int64
	first, stamp int32
}

func newHandWindows(size int64) *handWindows {
	h := &handWindows{size: size, open: map[int64]*[2]windowRows{}}
	for i := range h.columns {
		h.columns[i] = make([]int64, 0, handBatch)
	}
	return h
}

func (h *handWindows) results() *joinResults { return &h.out }

func (h *handWindows) take(side int, b *handTimed) {
	last, rows := int64(-1), (*windowRows)(nil)
	for i, t := range b.times[:b.n] {
		n := t / h.size // times are positive
		if n != last {
			w := h.open[n]
			if w == nil {
				if k := len(h.spare); k > 0 {
					w, h.spare = h.spare[k-1], h.spare[:k-1]
				} else {
					w = new([2]windowRows)
				}
				h.open[n] = w
			}
			last, rows = n, &w[side]
		}
		rows.key, rows.value = append(rows.key, b.keys[i]), append(rows.value, b.values[i])
	}
}

func (h *handWindows) advance(watermark int64) {
	for n, w := range h.open {
		if (n+1)*h.size-1 > watermark {
			continue
		}
		delete(h.open, n)
		h.join(w, n)
		for s := range w {
			w[s] = windowRows{w[s].key[:0], w[s].value[:0]}
		}
		h.spare = append(h.spare, w)
	}
}

func (h *handWindows) join(w *[2]windowRows, n int64) {
	h.stamp++
	size := 1024
	for size < 2*len(w[1].key) {
		size *= 2
	}
	if len(h.entries) < size {
		h.entries = make([]windowKey, size)
	}
	if len(h.next) < len(w[1].key) {
		h.next = make([]int32, 2*len(w[1].key))
	}
	entries, mask, next := h.entries, uint64(len(h.entries)-1), h.next
	for i, k := range w[1].key {
		p := hash.Int64(k) & mask
		for entries[p].stamp == h.stamp && entries[p].key != k {
			p = (p + 1) & mask
		}
		e := &entries[p]
		if e.stamp != h.stamp {
			*e = windowKey{k, -1, h.stamp}
		}
		next[i] = e.first
		e.first = int32(i)
	}
	for i, k := range w[0].key {
		p := hash.Int64(k) & mask
		for entries[p].stamp == h.stamp && entries[p].key != k {
			p = (p + 1) & mask
		}
		if entries[p].stamp != h.stamp {
			continue
		}
		for r := entries[p].first; r >= 0; r = next[r] {
			h.columns[0] = append(h.columns[0], k)
			h.columns[1] = append(h.columns[1], w[0].value[i])
			h.columns[2] = append(h.columns[2], w[1].value[r])
			h.columns[3] = append(h.columns[3], n*h.size)
			h.columns[4] = append(h.columns[4], (n+1)*h.size)
			if len(h.columns[0]) == handBatch {
				h.flush()
			}
		}
	}
	h.flush()
}

func (h *handWindows) flush() {
	h.out.add(h.columns[:]...)
	for i, c := range h.columns {
		h.columns[i] = c[:0]
	}
}

// joinWorker is one of the goroutines.
type joinWorker struct {
	senders   [2]timedSender // by side
	receivers [2]timedReceiver
	join      handJoin
	// How far the senders are in event time, MaxInt64 after their last rows: all four keep within joinDrift, as turbo's sources do.
	progress []paddedTime
	own      int
}

type paddedTime struct {
	atomic.Int64
	_ [120]byte
}

// ahead publishes where the sender of a side is, and reports whether it is too far before another.
func (w *joinWorker) ahead(side int) bool {
	out, own := &w.senders[side], &w.progress[2*w.own+side]
	if out.left == 0 {
		own.Store(math.MaxInt64)
		return false
	}
	at := out.greatest
	own.Store(at)
	for i := range w.progress {
		if w.progress[i].Load() < at-joinDrift {
			return true
		}
	}
	return false
}

func (w *joinWorker) run(total int64, taken *atomic.Int64) {
	for {
		moved := false
		for side := range w.receivers {
			in := &w.receivers[side]
			for s, ring := range in.from {
				b := ring.pop()
				if b == nil {
					continue
				}
				w.join.take(side, b)
				in.marks[s] = b.mark
				w.join.advance(min(w.receivers[0].low(), w.receivers[1].low()) - joinDisorder - 1)
				taken.Add(int64(b.n))
				in.giving[s].push(b)
				moved = true
			}
			switch out := &w.senders[side]; {
			case w.ahead(side): // its rows would only lie about
			case out.left > 0:
				moved = out.scatter() || moved
			case !out.flushed:
				moved = out.flush() || moved
			}
		}
		if !moved {
			if taken.Load() == total {
				w.join.advance(1 << 62)
				return
			}
			runtime.Gosched()
		}
	}
}

// joinLoop runs the loop over the inputs of both sides, repeat times, and returns how many results there are and what they come to.
func joinLoop(input [2][]timedInput, repeat int, join func() handJoin) (Run, joinResults) {
	var workers [windowWorkers]*joinWorker
	progress := make([]paddedTime, 2*windowWorkers)
	for i := range workers {
		workers[i] = &joinWorker{join: join(), progress: progress, own: i}
	}
	for side := range input {
		var senders [windowWorkers]*timedSender
		var receivers [windowWorkers]*timedReceiver
		for i, w := range workers {
			w.senders[side].in, w.senders[side].left = input[side][i], repeat
			senders[i], receivers[i] = &w.senders[side], &w.receivers[side]
		}
		connect(senders, receivers)
	}
	total := int64(len(input[0][0].keys)) * 2 * windowWorkers * int64(repeat)
	old := runtime.GOMAXPROCS(windowWorkers + 1)
	defer runtime.GOMAXPROCS(old)
	var taken atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for _, w := range workers {
		wg.Go(func() { w.run(total, &taken) })
	}
	wg.Wait()
	elapsed := time.Since(began)
	var out joinResults
	for _, w := range workers {
		out.rows += w.join.results().rows
		out.sum += w.join.results().sum
	}
	return Run{Rows: total + out.rows, Elapsed: elapsed}, out
}
