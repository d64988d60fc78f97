package connector

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"turbo/core"
	"turbo/internal/clock"
)

// AsyncWriterOptions are the settings of NewAsyncWriter. Zero bounds mean the defaults.
type AsyncWriterOptions struct {
	Runtime
	Worker int
	// Batches and Bytes bound what is queued; Full holds from either on.
	Batches int
	Bytes   int64
	// TickInterval is how often Tick is called at least; 0: 100 ms.
	TickInterval time.Duration
}

// AsyncWriter is a core.SinkWriter over a Writer that blocks. The writer runs on a goroutine that starts with
// SetWaker or the first Write and ends in Close.
//
// Hand-over. While the goroutine works it takes whatever comes. When it sleeps, it is woken when BatchRows rows or half of
// the queue's bound have come, when BufferTimeout has passed since the first batch (0: by every batch; spec.Unlimited:
// never by time, except that the next tick finds what is there), and by a Prepare. Timeouts below 2 ms wake it at once: the
// runtime's timers are too coarse to wait that long, and the timeout is an upper bound.
//
// An error of the writer is final: it is returned by the next Write and given to every Prepare from then on.
type AsyncWriter struct {
	writer Writer
	o      AsyncWriterOptions
	clock  clock.Clock

	full   atomic.Bool
	failed atomic.Pointer[error]

	mu       sync.Mutex
	wake     func()
	queue    []writerItem // queue[head:] are waiting
	head     int
	batches  int
	rows     int
	bytes    int64
	sleeping bool // the goroutine waits for a signal
	armed    bool // the hand-over timer is running
	timer    clock.Timer
	started  bool
	closed   bool

	signal chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

// writerItem is a batch or a Prepare.
type writerItem struct {
	batch      *core.Batch
	size       int64
	checkpoint uint64
	final      bool
	prepared   func([]byte, error)
}

// NewAsyncWriter returns a writer over w, which it owns.
func NewAsyncWriter(w Writer, o AsyncWriterOptions) *AsyncWriter {
	if o.Batches <= 0 {
		o.Batches = defaultQueueBatches
	}
	if o.Bytes <= 0 {
		o.Bytes = defaultQueueBytes
	}
	if o.TickInterval <= 0 {
		o.TickInterval = defaultTickInterval
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.BatchRows <= 0 {
		o.BatchRows = 4096
	}
	a := &AsyncWriter{writer: w, o: o, clock: o.Clock, signal: make(chan struct{}, 1), done: make(chan struct{}), wake: func() {}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// SetWaker implements core.SinkWriter.
func (a *AsyncWriter) SetWaker(wake func()) {
	a.mu.Lock()
	a.wake = wake
	a.start()
	a.mu.Unlock()
}

// start starts the goroutine. The lock is held.
func (a *AsyncWriter) start() {
	if !a.started && !a.closed {
		a.started = true
		go a.run()
	}
}

// Full implements core.SinkWriter.
func (a *AsyncWriter) Full() bool { return a.full.Load() }

// Write implements core.SinkWriter.
func (a *AsyncWriter) Write(b *core.Batch) error {
	if err := a.failed.Load(); err != nil {
		b.Release()
		return *err
	}
	a.add(writerItem{batch: b, size: int64(b.Size())})
	return nil
}

// Prepare implements core.SinkWriter: it queues behind the writes before it. After Close, done gets ErrClosed.
func (a *AsyncWriter) Prepare(checkpoint uint64, final bool, done func([]byte, error)) {
	a.add(writerItem{checkpoint: checkpoint, final: final, prepared: done})
}

func (a *AsyncWriter) add(item writerItem) {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		item.drop(ErrClosed)
		return
	}
	a.queue = append(a.queue, item)
	urgent := item.prepared != nil || a.o.BufferTimeout >= 0 && a.o.BufferTimeout < preciseBelow
	if item.batch != nil {
		a.batches++
		a.rows += item.batch.Rows()
		a.bytes += item.size
		if a.batches >= a.o.Batches || a.bytes >= a.o.Bytes {
			a.full.Store(true)
		}
		urgent = urgent || a.rows >= a.o.BatchRows || 2*a.batches >= a.o.Batches || 2*a.bytes >= a.o.Bytes
	}
	a.start()
	signal := a.sleeping && urgent
	if a.sleeping && !urgent && a.o.BufferTimeout > 0 && !a.armed {
		a.armed = true
		if a.timer == nil {
			a.timer = a.clock.AfterFunc(a.o.BufferTimeout, a.onTimer)
		} else {
			a.timer.Reset(a.o.BufferTimeout)
		}
	}
	if signal {
		a.sleeping = false
	}
	a.mu.Unlock()
	if signal {
		a.notify()
	}
}

func (a *AsyncWriter) onTimer() {
	a.mu.Lock()
	a.armed = false
	signal := a.sleeping && !a.closed
	if signal {
		a.sleeping = false
	}
	a.mu.Unlock()
	if signal {
		a.notify()
	}
}

func (a *AsyncWriter) notify() {
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// drop ends an item that is not carried out.
func (i writerItem) drop(err error) {
	if i.batch != nil {
		i.batch.Release()
	}
	if i.prepared != nil {
		i.prepared(nil, err)
	}
}

// Close implements core.SinkWriter. It waits until the goroutine has ended; a Prepare that is still queued gets ErrClosed.
func (a *AsyncWriter) Close() error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	started := a.started
	a.mu.Unlock()
	a.cancel()
	if started {
		<-a.done
	}
	for _, item := range a.queue[a.head:] {
		item.drop(ErrClosed)
	}
	a.queue = nil
	return a.writer.Close()
}

// run is the goroutine.
func (a *AsyncWriter) run() {
	defer close(a.done)
	tick := a.clock.NewTimer(a.o.TickInterval)
	defer tick.Stop()
	last := a.clock.Nanos()
	for a.ctx.Err() == nil {
		item, ok := a.take()
		if ok {
			a.carryOut(item)
		} else {
			select {
			case <-a.signal:
			case <-tick.C():
				tick.Reset(a.o.TickInterval)
			case <-a.ctx.Done():
				return
			}
			a.mu.Lock()
			a.sleeping = false
			a.mu.Unlock()
		}
		if now := a.clock.Nanos(); now-last >= int64(a.o.TickInterval) && a.failed.Load() == nil && a.ctx.Err() == nil {
			last = now
			a.fail(safely(func() error { return a.writer.Tick(a.ctx, a.clock.Now()) }))
		}
	}
}

// take returns the next item, or marks the goroutine as sleeping.
func (a *AsyncWriter) take() (writerItem, bool) {
	a.mu.Lock()
	if a.head == len(a.queue) {
		a.queue, a.head = a.queue[:0], 0
		a.sleeping = true
		a.mu.Unlock()
		return writerItem{}, false
	}
	item := a.queue[a.head]
	a.queue[a.head] = writerItem{}
	if a.head++; a.head > 64 && 2*a.head > len(a.queue) {
		a.queue, a.head = a.queue[:copy(a.queue, a.queue[a.head:])], 0
	}
	wake := func() {}
	if item.batch != nil {
		a.batches--
		a.rows -= item.batch.Rows()
		a.bytes -= item.size
		if 2*a.batches <= a.o.Batches && 2*a.bytes <= a.o.Bytes && a.full.Swap(false) {
			wake = a.wake
		}
	}
	a.mu.Unlock()
	wake()
	return item, true
}

func (a *AsyncWriter) carryOut(item writerItem) {
	if err := a.failed.Load(); err != nil {
		item.drop(*err)
		return
	}
	if item.batch != nil {
		a.fail(safely(func() error { return a.writer.Write(a.ctx, item.batch) }))
		return
	}
	var committable []byte
	a.fail(safely(func() (err error) {
		committable, err = a.writer.Prepare(a.ctx, item.checkpoint, item.final)
		return err
	}))
	if err := a.failed.Load(); err != nil {
		item.prepared(nil, *err)
		return
	}
	item.prepared(committable, nil)
}

// fail records the first error and wakes the worker, which finds it at its next Write.
func (a *AsyncWriter) fail(err error) {
	if err == nil {
		return
	}
	if a.ctx.Err() != nil {
		err = ErrClosed
	}
	first := fmt.Errorf("sink %s, worker %d: %w", a.o.Name, a.o.Worker, err) // not err: it would be on the heap for every call
	a.failed.Store(&first)
	a.mu.Lock()
	wake := a.wake
	a.full.Store(false)
	a.mu.Unlock()
	wake()
}

var _ core.SinkWriter = (*AsyncWriter)(nil)
