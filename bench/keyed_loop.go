package bench

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"turbo/core/hash"
)

// The hand-written loop beside turbo's keyed aggregation: two goroutines, each scatters its input by key hash into batches for both,
// hands them over by rings, and counts and sums what comes in in a hash table, with one update per changed key and batch.

const handBatch = 4096

// handRows is a batch on the way.
type handRows struct {
	n            int
	keys, values [handBatch]int64
	hashes       [handBatch]uint64
}

// handRing is a single-producer single-consumer ring.
type handRing[T any] struct {
	head  atomic.Uint64
	_     [56]byte
	tail  atomic.Uint64
	_     [56]byte
	slots [16]*T
}

func (r *handRing[T]) push(b *T) bool {
	t := r.tail.Load()
	if t-r.head.Load() == uint64(len(r.slots)) {
		return false
	}
	r.slots[t%uint64(len(r.slots))] = b
	r.tail.Store(t + 1)
	return true
}

func (r *handRing[T]) pop() *T {
	h := r.head.Load()
	if h == r.tail.Load() {
		return nil
	}
	b := r.slots[h%uint64(len(r.slots))]
	r.head.Store(h + 1)
	return b
}

// handEntry is a key's row: half a cache line. A stamp of 0 says that it is free.
type handEntry struct {
	key, count, sum int64
	stamp           uint32
}

type handTable struct {
	entries []handEntry
	mask    uint64
	n       int
	batch   uint32 // stamp of the batch at hand
	changed []uint32
}

func newHandTable() *handTable {
	return &handTable{entries: make([]handEntry, 1024), mask: 1023, changed: make([]uint32, 0, handBatch)}
}

// grow doubles the table; what the batch at hand has changed is found again by its stamp.
func (t *handTable) grow() {
	old := t.entries
	t.entries = make([]handEntry, 2*len(old))
	t.mask = uint64(len(t.entries) - 1)
	t.changed = t.changed[:0]
	for _, e := range old {
		if e.stamp != 0 {
			i := hash.Int64(e.key) & t.mask
			for t.entries[i].stamp != 0 {
				i = (i + 1) & t.mask
			}
			t.entries[i] = e
			if e.stamp == t.batch {
				t.changed = append(t.changed, uint32(i))
			}
		}
	}
}

// add takes a batch; changed then has the entries that it changed, each once.
func (t *handTable) add(b *handRows) {
	t.batch++
	t.changed = t.changed[:0]
	entries, mask, changed, batch := t.entries, t.mask, t.changed, t.batch
	keys, values, hashes := b.keys[:b.n], b.values[:b.n], b.hashes[:b.n]
	for r, k := range keys {
		i := hashes[r] & mask
		e := &entries[i]
		for e.key != k || e.stamp == 0 {
			if e.stamp == 0 {
				e.key = k
				t.n++
				break
			}
			i = (i + 1) & mask
			e = &entries[i]
		}
		e.count++
		e.sum += values[r]
		if e.stamp != batch {
			e.stamp = batch
			changed = append(changed, uint32(i))
			if 2*t.n > len(entries) {
				t.changed = changed
				t.grow()
				entries, mask, changed = t.entries, t.mask, t.changed
			}
		}
	}
	t.changed = changed
}

// handWorker is one of the goroutines.
type handWorker struct {
	in      keyedInput
	left    int // batches of input still to scatter
	at      int
	open    [keyedWorkers]*handRows
	to      [keyedWorkers]*handRing[handRows]
	from    [keyedWorkers]*handRing[handRows]
	back    [keyedWorkers]*handRing[handRows] // empty batches from the receivers
	giving  [keyedWorkers]*handRing[handRows] // empty batches to the senders
	table   *handTable
	out     *updates
	hashes  [handBatch / 2]uint64
	k, c, s [handBatch]int64
}

func (w *handWorker) fresh(r int) *handRows {
	if b := w.back[r].pop(); b != nil {
		b.n = 0
		return b
	}
	return new(handRows)
}

// scatter deals one batch of input; it reports false when a ring is full.
func (w *handWorker) scatter() bool {
	for r, b := range w.open {
		if b.n > handBatch/2 { // room for the worst case of half a batch more
			if !w.to[r].push(b) {
				return false
			}
			w.open[r] = w.fresh(r)
		}
	}
	n := min(handBatch/2, len(w.in.keys)-w.at)
	keys, values, hashes := w.in.keys[w.at:w.at+n], w.in.values[w.at:w.at+n], w.hashes[:n]
	for i, k := range keys {
		hashes[i] = hash.Int64(k)
	}
	var at [keyedWorkers]int // where each batch is filled to, kept out of the batches
	for r, b := range w.open {
		at[r] = b.n
	}
	for i, k := range keys {
		h := hashes[i]
		r := h >> 63
		b, n := w.open[r], uint(at[r])%handBatch
		b.keys[n], b.values[n], b.hashes[n] = k, values[i], h
		at[r] = int(n + 1)
	}
	for r, b := range w.open {
		b.n = at[r]
	}
	if w.at += n; w.at == len(w.in.keys) {
		w.at = 0
		w.left--
	}
	return true
}

func (w *handWorker) consume(b *handRows) {
	t := w.table
	t.add(b)
	for i, e := range t.changed {
		x := &t.entries[e]
		w.k[i], w.c[i], w.s[i] = x.key, x.count, x.sum
	}
	n := len(t.changed)
	w.out.add(w.k[:n], w.c[:n], w.s[:n])
}

func (w *handWorker) run(total int64, taken *atomic.Int64) {
	flushed := false
	for {
		moved := false
		for s := range w.from {
			if b := w.from[s].pop(); b != nil {
				w.consume(b)
				taken.Add(int64(b.n))
				w.giving[s].push(b)
				moved = true
			}
		}
		switch {
		case w.left > 0:
			moved = w.scatter() || moved
		case !flushed:
			flushed = true
			for r, b := range w.open {
				if b != nil && b.n > 0 {
					if w.to[r].push(b) {
						w.open[r] = nil
					} else {
						flushed = false
					}
				}
			}
		}
		if !moved {
			if taken.Load() == total {
				return
			}
			runtime.Gosched()
		}
	}
}

// keyedLoop runs the loop over the input, repeat times.
func keyedLoop(input []keyedInput, repeat int, check bool) (Run, error) {
	var workers [keyedWorkers]*handWorker
	for i := range workers {
		workers[i] = &handWorker{in: input[i], left: repeat, table: newHandTable(), out: newUpdates(check)}
	}
	for s := range workers {
		for r := range workers {
			way, back := new(handRing[handRows]), new(handRing[handRows])
			workers[s].to[r], workers[r].from[s] = way, way
			workers[s].back[r], workers[r].giving[s] = back, back
			workers[s].open[r] = new(handRows)
		}
	}
	total := int64(len(input[0].keys)) * keyedWorkers * int64(repeat)
	old := runtime.GOMAXPROCS(keyedWorkers + 1)
	defer runtime.GOMAXPROCS(old)
	var taken atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for _, w := range workers {
		wg.Go(func() { w.run(total, &taken) })
	}
	wg.Wait()
	r := Run{Rows: total, Elapsed: time.Since(began)}
	var out []*updates
	for _, w := range workers {
		out = append(out, w.out)
	}
	return r, checkUpdates(out, input, repeat)
}
