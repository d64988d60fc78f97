package connector

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"turbo/core"
	"turbo/internal/clock"
)

// AsyncReaderOptions are the settings of NewAsyncReader. Zero bounds mean the defaults.
type AsyncReaderOptions struct {
	Runtime
	Worker int
	// Restored are splits of this reader that are ended or will be claimed again: they stay in its snapshot until a
	// SplitStart with their ID replaces them.
	Restored []core.SplitState
	// Batches and Bytes bound what is fetched and not yet polled.
	Batches int
	Bytes   int64
}

// AsyncReader is a core.SourceReader over a Fetcher that blocks. The fetcher runs on a goroutine that starts with the first
// Poll and ends in Close.
//
// Hand-over. Small batches of one split are merged until they have BatchRows rows or until BufferTimeout has passed since the
// first of them came (spec.Unlimited: only full ones, or before another event of the split). A timer
// hands over what is due; as the runtime's timers are coarse, Poll does so too, and Deadline says when that will be.
//
// At BufferTimeout 0 nothing waits: a batch is queued when the queue is empty. When it is not, the worker is behind; what comes
// meanwhile is merged, and the Poll that has emptied the queue takes it, however little it is.
//
// The queue is guarded by one mutex, taken once an event; an idle Poll takes none. The goroutine merges outside of it: a
// batch that is being merged is marked busy, and others leave it alone.
type AsyncReader struct {
	fetcher Fetcher
	o       AsyncReaderOptions
	clock   clock.Clock
	merged  *core.BatchPool // made with the first merge, by the goroutine

	waiting atomic.Bool  // the last Poll found nothing: the next event calls wake
	due     atomic.Int64 // when the oldest open batch is due, in the clock's Nanos; 0: none is

	mu     sync.Mutex
	wake   func()
	ring   []slot // circular; position buffers are reused
	head   int
	count  int
	bytes  int64
	open   []*openBatch // by split
	opened int64        // bytes in them
	timer  clock.Timer
	closed bool
	looked bool // the fetcher has started the splits that there were at first, and since the last end of one has had the chance to start another

	space  chan struct{} // the goroutine waits for room
	wants  bool          // it does so now
	cancel context.CancelFunc
	done   chan struct{}

	// Of the polling worker.
	started bool
	settled bool
	failed  error
	splits  []core.SplitState
}

type slot struct {
	event    core.Event
	position []byte
	moved    bool // position is set
	err      error
	size     int64
}

// openBatch collects small batches of one split.
type openBatch struct {
	event    core.Event // Batch is nil while nothing is open
	position []byte
	moved    bool
	used     bool
	busy     bool  // the goroutine is merging
	deadline int64 // in Nanos; 0: none
	size     int64 // of Batch, part of opened
	own      bool  // Batch is from the pool of merged batches
}

// NewAsyncReader returns a reader over f, which it owns.
func NewAsyncReader(f Fetcher, o AsyncReaderOptions) *AsyncReader {
	if o.Batches <= 0 {
		o.Batches = defaultQueueBatches
	}
	if o.Bytes <= 0 {
		o.Bytes = defaultQueueBytes
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.BatchRows <= 0 {
		o.BatchRows = 4096
	}
	r := &AsyncReader{fetcher: f, o: o, clock: o.Clock, ring: make([]slot, o.Batches), space: make(chan struct{}, 1), done: make(chan struct{}), wake: func() {}}
	r.o.Restored = slices.Clone(o.Restored)
	return r
}

// SetWaker implements core.SourceReader.
func (r *AsyncReader) SetWaker(wake func()) {
	r.mu.Lock()
	r.wake = wake
	r.mu.Unlock()
}

// Deadline returns when Poll will have a batch that is being held back for the buffer timeout, in the clock's Nanos; 0
// when none is held back. A worker that can wake more precisely than the runtime's timers polls at that time.
func (r *AsyncReader) Deadline() int64 {
	if r.o.BufferTimeout == 0 { // a worker that has found nothing is woken
		return 0
	}
	return r.due.Load()
}

// Poll implements core.SourceReader.
func (r *AsyncReader) Poll() (core.Event, error) {
	if !r.started {
		r.started = true
		ctx, cancel := context.WithCancel(context.Background())
		r.cancel = cancel
		go r.run(ctx)
	}
	if r.failed != nil {
		return core.Event{}, r.failed
	}
	if r.waiting.Load() {
		if due := r.due.Load(); due == 0 || r.o.BufferTimeout != 0 && r.clock.Nanos() < due {
			return core.Event{}, nil
		}
	}
	r.mu.Lock()
	if r.o.BufferTimeout == 0 && r.count == 0 || r.o.BufferTimeout != 0 && r.count < len(r.ring) {
		r.handOverDue()
	}
	if r.count == 0 {
		r.settled = r.looked
		r.waiting.Store(true)
		r.mu.Unlock()
		return core.Event{}, nil
	}
	r.waiting.Store(false)
	s := &r.ring[r.head]
	event, moved, err := s.event, s.moved, s.err
	r.head = (r.head + 1) % len(r.ring)
	r.count--
	r.bytes -= s.size
	s.event = core.Event{}
	fresh := false
	if event.Kind == core.SplitStart {
		fresh = r.claim(event)
	}
	if moved && err == nil && event.Split < len(r.splits) {
		state := &r.splits[event.Split]
		state.Position = append(state.Position[:0], s.position...)
		if fresh {
			state.Start = slices.Clone(s.position)
		}
	}
	signal := r.wants
	r.wants = false
	r.mu.Unlock()
	if signal {
		select {
		case r.space <- struct{}{}:
		default:
		}
	}
	if err != nil {
		r.failed = err
		return core.Event{}, err
	}
	return event, nil
}

// Settled reports whether Poll has returned the start of every split that the fetcher found at first, and of the one, if any, that it began after the end of the
// last. Until then a reader without splits is not an idle one, and must not let the watermark pass the splits that it is about to start.
func (r *AsyncReader) Settled() bool { return r.settled }

// claim adds the split of a SplitStart to the snapshot, taking over its restored state. It reports whether there is none.
func (r *AsyncReader) claim(event core.Event) (fresh bool) {
	state, fresh := core.SplitState{ID: event.ID}, true
	if i := slices.IndexFunc(r.o.Restored, func(s core.SplitState) bool { return s.ID == event.ID }); i >= 0 {
		state = r.o.Restored[i]
		state.Position = slices.Clone(state.Position)
		r.o.Restored = slices.Delete(r.o.Restored, i, i+1)
		fresh = false
	}
	r.splits = append(r.splits, state)
	return fresh
}

// Snapshot implements core.SourceReader.
func (r *AsyncReader) Snapshot() ([]core.SplitState, error) {
	out := make([]core.SplitState, 0, len(r.o.Restored)+len(r.splits))
	out = append(append(out, r.o.Restored...), r.splits...)
	for i := range out {
		out[i].Position = slices.Clone(out[i].Position)
	}
	return out, nil
}

// Close implements core.SourceReader. It waits until the goroutine has ended and releases what was fetched in advance.
func (r *AsyncReader) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	if r.started {
		r.cancel()
		<-r.done
	}
	for ; r.count > 0; r.count-- {
		if b := r.ring[r.head].event.Batch; b != nil {
			b.Release()
		}
		r.head = (r.head + 1) % len(r.ring)
	}
	for _, o := range r.open {
		if o != nil && o.event.Batch != nil {
			o.event.Batch.Release()
		}
	}
	if r.merged != nil {
		r.merged.Close()
	}
	return r.fetcher.Close()
}

// run is the goroutine: fetch, merge, hand over.
func (r *AsyncReader) run(ctx context.Context) {
	defer close(r.done)
	next := 0 // the split that must start next
	for ctx.Err() == nil {
		var event FetchEvent
		err := safely(func() (err error) {
			event, err = r.fetcher.Fetch(ctx)
			return err
		})
		if err == nil && event.Kind == core.SplitStart {
			if event.Split != next {
				err = fmt.Errorf("split %q starts with number %d instead of %d", event.ID, event.Split, next)
			}
			next++
		} else if err == nil && event.Split >= next && event.Kind != core.NoEvent && event.Kind != core.EndOfInput {
			err = fmt.Errorf("an event of split %d before its start", event.Split)
		}
		if err == nil {
			err = safely(func() error { return r.take(ctx, event) })
		} else if event.Batch != nil {
			event.Batch.Release()
		}
		if err != nil {
			if ctx.Err() == nil {
				r.flushAll(ctx)
				r.push(ctx, slot{err: fmt.Errorf("source %s, worker %d: %w", r.o.Name, r.o.Worker, err)})
			}
			return
		}
		if event.Kind == core.EndOfInput {
			return
		}
		if event.Kind != core.SplitStart && event.Kind != core.SplitEnd {
			r.settle()
		}
	}
}

// settle notes that the splits of the beginning have been started, and has the worker look once more.
func (r *AsyncReader) settle() {
	r.mu.Lock()
	wake := r.takeWaker(!r.looked)
	r.looked = true
	r.mu.Unlock()
	wake()
}

// unsettle notes, before the worker hears of the end of a split, that the fetcher may start another.
func (r *AsyncReader) unsettle() {
	r.mu.Lock()
	r.looked = false
	r.mu.Unlock()
}

// take merges the event into the open batch of its split or queues it.
func (r *AsyncReader) take(ctx context.Context, event FetchEvent) error {
	switch event.Kind {
	case core.NoEvent:
		return nil
	case core.EndOfInput:
		r.flushAll(ctx)
	case core.DataEvent:
		return r.merge(ctx, event)
	default:
		r.flush(ctx, event.Split)
		if event.Kind == core.SplitEnd {
			r.unsettle()
		}
	}
	r.pushEvent(ctx, event)
	return nil
}

func (r *AsyncReader) pushEvent(ctx context.Context, event FetchEvent) {
	r.push(ctx, slot{event: event.Event, position: event.Position, moved: event.Position != nil})
}

// merge adds a data event to the open batch of its split. The lock is not held while rows are copied.
func (r *AsyncReader) merge(ctx context.Context, event FetchEvent) error {
	rows := 0
	if event.Batch != nil {
		rows = event.Batch.Rows()
	}
	r.mu.Lock()
	for len(r.open) <= event.Split {
		r.open = append(r.open, &openBatch{})
	}
	o := r.open[event.Split]
	if !o.used && r.o.BufferTimeout == 0 && r.count == 0 {
		r.put(slot{event: event.Event, position: event.Position, moved: event.Position != nil})
		wake := r.takeWaker(true)
		r.mu.Unlock()
		wake()
		return nil
	}
	if !o.used && rows >= r.o.BatchRows {
		r.mu.Unlock()
		r.pushEvent(ctx, event)
		return nil
	}
	unmergeable := event.Batch != nil && event.Batch.Kinds != nil || o.used && o.event.Batch != nil && o.event.Batch.Kinds != nil
	if o.used && (unmergeable || o.event.Batch != nil && o.event.Batch.Rows()+rows > r.o.BatchRows) {
		r.mu.Unlock()
		r.flush(ctx, event.Split)
		return r.merge(ctx, event)
	}
	opened := !o.used
	if opened {
		o.used = true
		o.event = core.Event{Kind: core.DataEvent, Split: event.Split}
		if r.o.BufferTimeout >= 0 {
			o.deadline = max(r.clock.Nanos()+int64(r.o.BufferTimeout), 1)
		}
	}
	o.busy = true
	r.mu.Unlock()

	err := safely(func() error { return r.join(o, event.Batch) })

	r.mu.Lock()
	o.busy = false
	o.event.Read += event.Read
	o.event.Skipped += event.Skipped
	o.event.DeadLettered += event.DeadLettered
	if event.Position != nil {
		o.position, o.moved = append(o.position[:0], event.Position...), true
	}
	full := err == nil && o.event.Batch != nil && (o.event.Batch.Rows() >= r.o.BatchRows || int64(o.event.Batch.Size()) >= r.o.Bytes/4)
	r.opened -= o.size
	if o.size = 0; o.event.Batch != nil {
		o.size = int64(o.event.Batch.Size())
	}
	r.opened += o.size
	tooMuch := r.opened >= r.o.Bytes
	var wake func()
	if r.o.BufferTimeout == 0 && err == nil && r.count == 0 { // the worker has caught up meanwhile
		r.put(r.takeOpen(o))
		r.arm()
		full, tooMuch = false, false
		wake = r.takeWaker(true)
	} else {
		if err == nil && !full {
			r.arm()
		}
		// The worker has to learn of a deadline that only it can meet (see Deadline).
		wake = r.takeWaker(opened && !full && r.o.BufferTimeout > 0 && r.o.BufferTimeout < preciseBelow)
	}
	r.mu.Unlock()
	wake()
	switch {
	case err != nil:
	case tooMuch:
		r.flushAll(ctx)
	case full:
		r.flush(ctx, event.Split)
	}
	return err
}

// join puts b's rows behind those of the open batch. The first batch is kept as it is; the second makes a merged one.
func (r *AsyncReader) join(o *openBatch, b *core.Batch) error {
	if b == nil {
		return nil
	}
	if o.event.Batch == nil {
		o.event.Batch, o.own = b, false
		return nil
	}
	defer b.Release()
	if r.merged == nil {
		r.merged = core.NewBatchPool(r.o.Account, b.Schema, r.o.BatchRows, r.o.Batches)
	}
	if !o.own {
		first := o.event.Batch
		o.event.Batch, o.own = r.merged.Get(), true
		appendRows(o.event.Batch, first)
		first.Release()
	}
	appendRows(o.event.Batch, b)
	return nil
}

// appendRows appends the live rows of src to dst.
func appendRows(dst, src *core.Batch) {
	for i, column := range dst.Columns {
		if src.Sel != nil {
			column.AppendSelected(src.Columns[i], src.Sel)
		} else {
			column.AppendRange(src.Columns[i], 0, src.Len)
		}
	}
	dst.Len += src.Rows()
}

// flush queues the open batch of a split, waiting for room.
func (r *AsyncReader) flush(ctx context.Context, split int) {
	r.mu.Lock()
	if split >= len(r.open) || !r.open[split].used {
		r.mu.Unlock()
		return
	}
	o := r.open[split]
	s := r.takeOpen(o)
	r.arm()
	r.mu.Unlock()
	r.push(ctx, s)
}

func (r *AsyncReader) flushAll(ctx context.Context) {
	for split := range r.open {
		r.flush(ctx, split)
	}
}

// takeOpen takes the open batch out. The position is valid until the next event of the split. The lock is held.
func (r *AsyncReader) takeOpen(o *openBatch) slot {
	s := slot{event: o.event, position: o.position, moved: o.moved}
	r.opened -= o.size
	o.event, o.moved, o.used, o.own, o.deadline, o.size = core.Event{}, false, false, false, 0, 0
	return s
}

// arm sets due and the timer to the earliest deadline. The lock is held.
func (r *AsyncReader) arm() {
	if r.o.BufferTimeout == 0 && r.due.Load() != 0 && r.opened > 0 {
		return // due already
	}
	earliest := int64(0)
	for _, o := range r.open {
		if o.used && !o.busy && o.deadline != 0 && (earliest == 0 || o.deadline < earliest) {
			earliest = o.deadline
		}
	}
	if earliest == r.due.Swap(earliest) || earliest == 0 || r.closed || r.o.BufferTimeout == 0 {
		return
	}
	wait := time.Duration(max(earliest-r.clock.Nanos(), 1))
	if r.timer == nil {
		r.timer = r.clock.AfterFunc(wait, r.onTimer)
	} else {
		r.timer.Reset(wait)
	}
}

func (r *AsyncReader) onTimer() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.handOverDue()
	if due := r.due.Load(); due != 0 {
		// Either the timer was early, or the queue is full and the next Poll hands over.
		if wait := due - r.clock.Nanos(); wait > 0 {
			r.timer.Reset(time.Duration(wait))
		}
	}
	wake := r.takeWaker(r.count > 0)
	r.mu.Unlock()
	wake()
}

// handOverDue queues open batches whose deadline has passed, as far as there is room. The lock is held.
func (r *AsyncReader) handOverDue() {
	due := r.due.Load()
	if due == 0 {
		return
	}
	now := r.clock.Nanos()
	if r.o.BufferTimeout == 0 {
		now = math.MaxInt64
	}
	if now < due {
		return
	}
	for _, o := range r.open {
		if o.used && !o.busy && o.deadline != 0 && o.deadline <= now && r.count < len(r.ring) {
			r.put(r.takeOpen(o))
		}
	}
	r.arm()
}

// put copies s into the queue, which has room. The lock is held.
func (r *AsyncReader) put(s slot) {
	at := &r.ring[(r.head+r.count)%len(r.ring)]
	at.event, at.moved, at.err = s.event, s.moved, s.err
	at.position = append(at.position[:0], s.position...)
	at.size = 0
	if b := s.event.Batch; b != nil {
		at.size = int64(b.Size())
	}
	r.bytes += at.size
	r.count++
}

// push queues s, waiting for room; it releases the batch when ctx ends first.
func (r *AsyncReader) push(ctx context.Context, s slot) {
	for {
		r.mu.Lock()
		if r.count < len(r.ring) && (r.count == 0 || r.bytes < r.o.Bytes) {
			r.put(s)
			wake := r.takeWaker(true)
			r.mu.Unlock()
			wake()
			return
		}
		r.wants = true
		r.mu.Unlock()
		select {
		case <-r.space:
		case <-ctx.Done():
			if s.event.Batch != nil {
				s.event.Batch.Release()
			}
			return
		}
	}
}

// takeWaker returns the waker when it is to be called now. The lock is held; the waker is called without it.
func (r *AsyncReader) takeWaker(wanted bool) func() {
	if wanted && r.waiting.Swap(false) {
		return r.wake
	}
	return func() {}
}

var _ core.SourceReader = (*AsyncReader)(nil)
