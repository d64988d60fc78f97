package bench

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"turbo/core/hash"
)

// The hand-written loop beside turbo's tumbling windows: two goroutines, each scatters its rows by key hash into batches for both, with the greatest
// time that it has seen, hands them over by rings, and sums what comes in per key and window in a hash table with room for a few windows a key. When
// the least of the senders' times less the bound of disorder passes the end of a window, its sums come out of the whole table.

// openWindows is how many windows are open at a time: the bound of disorder is less than a window.
const openWindows = 4

// handTimed is a batch on the way.
type handTimed struct {
	n                   int
	mark                int64 // the sender's greatest time
	keys, values, times [handBatch]int64
	hashes              [handBatch]uint64
}

// handWindow is a key's row: its sums by window, and which of them have rows.
type handWindow struct {
	key  int64
	used uint64 // bit i: sums[i] has rows; bit 63: the entry is in use
	sums [openWindows]int64
}

const inUse = 1 << 63

type windowTable struct {
	entries []handWindow
	mask    uint64
	n       int
}

func (t *windowTable) grow() {
	old := t.entries
	t.entries = make([]handWindow, 2*len(old))
	t.mask = uint64(len(t.entries) - 1)
	for _, e := range old {
		if e.used != 0 {
			i := hash.Int64(e.key) & t.mask
			for t.entries[i].used != 0 {
				i = (i + 1) & t.mask
			}
			t.entries[i] = e
		}
	}
}

func (t *windowTable) add(b *handTimed) {
	for 2*(t.n+b.n) > len(t.entries) {
		t.grow()
	}
	entries, mask := t.entries, t.mask
	keys, values, times, hashes := b.keys[:b.n], b.values[:b.n], b.times[:b.n], b.hashes[:b.n]
	for r, k := range keys {
		i := hashes[r] & mask
		e := &entries[i]
		for e.key != k || e.used == 0 {
			if e.used == 0 {
				e.key, e.used = k, inUse
				t.n++
				break
			}
			i = (i + 1) & mask
			e = &entries[i]
		}
		w := uint64(times[r]) / windowSize % openWindows
		e.sums[w] += values[r]
		e.used |= 1 << w
	}
}

// timedSender scatters one worker's rows.
type timedSender struct {
	in       timedInput
	left, at int // batches of input still to scatter, and where in it
	shift    int64
	greatest int64
	open     [windowWorkers]*handTimed
	to       [windowWorkers]*handRing[handTimed]
	back     [windowWorkers]*handRing[handTimed] // empty batches from the receivers
	flushed  bool
	hashes   [handBatch / 2]uint64
}

// timedReceiver is where rows come in.
type timedReceiver struct {
	from   [windowWorkers]*handRing[handTimed]
	giving [windowWorkers]*handRing[handTimed] // empty batches to the senders
	marks  [windowWorkers]int64
}

// connect makes the rings between all senders and receivers.
func connect(senders [windowWorkers]*timedSender, receivers [windowWorkers]*timedReceiver) {
	for s := range senders {
		for r := range receivers {
			way, back := new(handRing[handTimed]), new(handRing[handTimed])
			senders[s].to[r], receivers[r].from[s] = way, way
			senders[s].back[r], receivers[r].giving[s] = back, back
			senders[s].open[r] = new(handTimed)
		}
	}
}

// low is the least of the senders' greatest times.
func (w *timedReceiver) low() int64 {
	low := int64(math.MaxInt64)
	for _, m := range w.marks {
		low = min(low, m)
	}
	return low
}

type windowWorker struct {
	timedSender
	timedReceiver
	next    int64 // end of the next window to come out
	table   windowTable
	out     windowResults
	k, e, s [handBatch]int64
}

func (w *timedSender) fresh(r int) *handTimed {
	if b := w.back[r].pop(); b != nil {
		b.n = 0
		return b
	}
	return new(handTimed)
}

// scatter deals one batch of input; it reports false when a ring is full.
func (w *timedSender) scatter() bool {
	for r, b := range w.open {
		if b.n > handBatch/2 {
			b.mark = w.greatest
			if !w.to[r].push(b) {
				return false
			}
			w.open[r] = w.fresh(r)
		}
	}
	n := min(handBatch/2, len(w.in.keys)-w.at)
	keys, values, times, hashes := w.in.keys[w.at:w.at+n], w.in.values[w.at:w.at+n], w.in.times[w.at:w.at+n], w.hashes[:n]
	for i, k := range keys {
		hashes[i] = hash.Int64(k)
	}
	var at [windowWorkers]int
	for r, b := range w.open {
		at[r] = b.n
	}
	shift, greatest := w.shift, w.greatest
	for i, k := range keys {
		h := hashes[i]
		r := h >> 63
		b, n := w.open[r], uint(at[r])%handBatch
		t := times[i] + shift
		greatest = max(greatest, t)
		b.keys[n], b.values[n], b.times[n], b.hashes[n] = k, values[i], t, h
		at[r] = int(n + 1)
	}
	w.greatest = greatest
	for r, b := range w.open {
		b.n = at[r]
	}
	if w.at += n; w.at == len(w.in.keys) {
		w.at = 0
		w.shift += w.in.span
		w.left--
	}
	return true
}

// flush sends what is left behind the last input; it reports whether it has sent something.
func (w *timedSender) flush() (moved bool) {
	w.flushed = true
	for r, b := range w.open {
		if b != nil && b.n > 0 {
			b.mark = w.greatest
			if w.to[r].push(b) {
				w.open[r], moved = nil, true
			} else {
				w.flushed = false
			}
		}
	}
	return moved
}

func (w *windowWorker) consume(sender int, b *handTimed) {
	w.table.add(b)
	w.marks[sender] = b.mark
	for low := w.low(); low-disorder-1 >= w.next-1; {
		w.speak()
	}
}

// speak lets the sums of the next window out.
func (w *windowWorker) speak() {
	i, n := uint64(w.next/windowSize-1)%openWindows, 0
	for at := range w.table.entries {
		e := &w.table.entries[at]
		if e.used&(1<<i) == 0 {
			continue
		}
		w.k[n], w.e[n], w.s[n] = e.key, w.next, e.sums[i]
		e.sums[i] = 0
		e.used &^= 1 << i
		if n++; n == handBatch {
			w.out.add(w.k[:n], w.e[:n], w.s[:n])
			n = 0
		}
	}
	w.out.add(w.k[:n], w.e[:n], w.s[:n])
	w.next += windowSize
}

func (w *windowWorker) run(total int64, taken *atomic.Int64) {
	for {
		moved := false
		for s := range w.from {
			if b := w.from[s].pop(); b != nil {
				w.consume(s, b)
				taken.Add(int64(b.n))
				w.giving[s].push(b)
				moved = true
			}
		}
		switch {
		case w.left > 0:
			moved = w.scatter() || moved
		case !w.flushed:
			moved = w.flush() || moved
		}
		if !moved {
			if taken.Load() == total {
				w.rest()
				return
			}
			runtime.Gosched()
		}
	}
}

// rest lets the windows that are open at the end out.
func (w *windowWorker) rest() {
	for range openWindows {
		w.speak()
	}
}

// windowLoop runs the loop over the input, repeat times, and checks that every value is in one window.
func windowLoop(input []timedInput, repeat int) (Run, windowResults, error) {
	var workers [windowWorkers]*windowWorker
	for i := range workers {
		workers[i] = &windowWorker{timedSender: timedSender{in: input[i], left: repeat}, next: windowSize, table: windowTable{entries: make([]handWindow, 1024), mask: 1023}}
	}
	var senders [windowWorkers]*timedSender
	var receivers [windowWorkers]*timedReceiver
	for i, w := range workers {
		senders[i], receivers[i] = &w.timedSender, &w.timedReceiver
	}
	connect(senders, receivers)
	total := int64(len(input[0].keys)) * windowWorkers * int64(repeat)
	old := runtime.GOMAXPROCS(windowWorkers + 1)
	defer runtime.GOMAXPROCS(old)
	var taken atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for _, w := range workers {
		wg.Go(func() { w.run(total, &taken) })
	}
	wg.Wait()
	r := Run{Rows: total, Elapsed: time.Since(began)}
	var out windowResults
	for _, w := range workers {
		out.rows += w.out.rows
		out.sum += w.out.sum
	}
	want := int64(0)
	for _, in := range input {
		for _, v := range in.values {
			want += v
		}
	}
	if want *= int64(repeat); out.sum != want {
		return r, out, fmt.Errorf("loop: the sums of all windows come to %d, the values to %d", out.sum, want)
	}
	return r, out, nil
}
