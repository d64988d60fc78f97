package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/state"
)

// Attempt is one run of a graph, from a checkpoint (or from nothing) until it is stopped or fails. It starts nothing again
// by itself. It is the ckpt.Runtime of a ckpt.Driver. Methods may be called from any goroutine.
type Attempt struct {
	graph   *Graph
	sources map[string]core.Source
	sinks   map[string]core.Sink
	workers []*worker
	tasks   []*task
	to      Checkpoints

	injected  atomic.Uint64 // barrierWord of the newest barrier
	aborted   atomic.Uint64 // id of the newest checkpoint that was given up
	completed chan *ckpt.Manifest

	uploads  chan func()
	uploadWG sync.WaitGroup

	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	failure  atomic.Pointer[error]
	err      error // valid once done is closed
}

var _ ckpt.Runtime = (*Attempt)(nil)

// The word of an injected barrier: the checkpoint's id above one bit that says final.
func barrierWord(checkpoint uint64, final bool) uint64 {
	w := checkpoint << 1
	if final {
		w |= 1
	}
	return w
}

// InjectBarrier implements ckpt.Runtime: every source reader puts its barrier behind the batch at hand.
func (a *Attempt) InjectBarrier(b ckpt.Barrier) {
	a.injected.Store(barrierWord(b.ID, b.Trigger.Final()))
	for _, w := range a.workers {
		w.waker.Notify()
	}
}

// AbortCheckpoint implements ckpt.Runtime: what was frozen is merged back, and sources that have stopped go on.
//
// A task that freezes at the same time must not miss it. It reads its mail, freezes, then looks at aborted; here aborted is stored
// before the mail is posted. So mail that it took before it froze means that it sees aborted afterwards; mail that it did not take is read later.
func (a *Attempt) AbortCheckpoint(id uint64, _ error) {
	a.aborted.Store(id)
	for _, w := range a.workers {
		w.post(mail{checkpoint: id})
	}
	for _, w := range a.workers {
		w.waker.Notify()
	}
}

// CheckpointComplete implements ckpt.Runtime: tables let go what they kept, sources are told.
func (a *Attempt) CheckpointComplete(m *ckpt.Manifest) {
	for _, w := range a.workers {
		w.post(mail{checkpoint: m.Checkpoint, complete: true})
	}
	select { // sources are told of the newest one only
	case <-a.completed:
	default:
	}
	select {
	case a.completed <- m:
	default:
	}
}

// Tasks names the tasks in the order of their numbers, for ckpt.CoordinatorConfig.
func (a *Attempt) Tasks() []string {
	var out []string
	for _, t := range a.tasks {
		out = append(out, fmt.Sprintf("%s[%d]", t.id, t.worker))
	}
	return out
}

// uploaders is how many goroutines write frozen pages.
const uploaders = 1

// Start lets the workers run. Reports go to to.
func (a *Attempt) Start(to Checkpoints) {
	a.begin(to)
	results := make(chan error, len(a.workers))
	for _, w := range a.workers {
		go func() { results <- w.run(a.stop) }()
	}
	go func() {
		var first error
		for range a.workers {
			if err := <-results; err != nil {
				if first == nil {
					first = err
				}
				a.Stop()
			}
		}
		if f := a.failure.Load(); f != nil && first == nil {
			first = *f
		}
		a.err = first
		close(a.done)
	}()
}

// begin starts what runs beside the workers.
func (a *Attempt) begin(to Checkpoints) {
	a.to = to
	for range uploaders {
		a.uploadWG.Go(func() {
			for upload := range a.uploads {
				upload()
			}
		})
	}
	a.uploadWG.Go(a.tellSources)
}

// tellGrace is how long sources may take to note the last checkpoint once the attempt is stopped.
const tellGrace = 3 * time.Second

// tellSources passes complete checkpoints on to the sources, which may do I/O then.
func (a *Attempt) tellSources() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the last checkpoint of a job is told when the workers have been stopped already
		select {
		case <-a.stop:
		case <-ctx.Done():
			return
		}
		grace := a.graph.Options.Clock.NewTimer(tellGrace)
		defer grace.Stop()
		select {
		case <-grace.C():
			cancel()
		case <-ctx.Done():
		}
	}()
	for m := range a.completed {
		for id, s := range a.sources {
			if err := s.Committed(ctx, m.Checkpoint, m.Source(id)); err != nil {
				// Only observers see what sources do here; the job's own positions are in the checkpoint.
				a.graph.Options.Log.Warn("a source could not note the checkpoint", "source", id, "checkpoint", m.Checkpoint, "error", err)
			}
		}
	}
}

// Done is closed when every worker has stopped: after a failure, or Stop.
func (a *Attempt) Done() <-chan struct{} { return a.done }

// Err returns why the attempt failed, nil when it did not. It is valid once Done is closed.
func (a *Attempt) Err() error { return a.err }

// fail ends the attempt with an error that did not come up on a worker.
func (a *Attempt) fail(err error) {
	a.failure.CompareAndSwap(nil, &err)
	a.Stop()
}

// Stop ends the workers at once, without a checkpoint.
func (a *Attempt) Stop() { a.stopOnce.Do(func() { close(a.stop) }) }

// Sink returns the sink of a node, to commit to; nil when the graph has none of that id.
func (a *Attempt) Sink(id string) core.Sink { return a.sinks[id] }

// Close frees everything. The workers must have stopped (Done), or never have been started.
func (a *Attempt) Close() error {
	for _, t := range a.tasks { // uploads end soon: nothing will become of what they write
		if t.frozen.snapshot != nil {
			t.frozen.snapshot.Abandon()
			t.frozen = frozen{}
		}
	}
	close(a.uploads)
	close(a.completed)
	a.uploadWG.Wait()
	var errs []error
	for _, t := range a.tasks {
		errs = append(errs, t.close())
	}
	for _, s := range a.sources {
		errs = append(errs, s.Close())
	}
	for _, s := range a.sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// upload writes a snapshot's pages beside the workers and closes a part of the report.
func (a *Attempt) upload(checkpoint uint64, s *state.Snapshot, into *pendingAck) {
	a.uploads <- func() {
		err := safely(func() error { return s.Write(&pageSink{to: a.to, checkpoint: checkpoint}) })
		into.done(func(ack *ckpt.Ack) { ack.Bytes += s.Bytes() }, err)
	}
}
