package ckpt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/killpoint"
)

// Runtime is the running job, as the Driver sees it. Its methods are called by the Driver's goroutine, one at a time, and
// must not block.
type Runtime interface {
	// InjectBarrier makes every source send the barrier between two batches. Every task then calls Driver.Ack once for it.
	// Behind a final barrier sources send nothing more, unless it is aborted: then they go on as if it had not been.
	InjectBarrier(Barrier)
	// AbortCheckpoint says that the checkpoint will not complete: what was frozen for it is merged back, and the
	// uploading stops. Tasks that have not acknowledged the barrier still do, with an error if they like.
	AbortCheckpoint(id uint64, cause error)
	// CheckpointComplete says that the checkpoint is durable and committed: dirty bitmaps kept for it can go, sources can be told.
	// m must not be changed.
	CheckpointComplete(m *Manifest)
}

// Committer makes the sinks' output visible.
type Committer interface {
	// Commit commits what m has for every sink. It may block; it is called by one goroutine at a time, in the order of checkpoints, and
	// again for the same manifest after an error or a restart.
	Commit(ctx context.Context, m *Manifest) error
}

// DriverConfig says what a Driver works with.
type DriverConfig struct {
	Coordinator CoordinatorConfig
	Expect      Expect
	Parallelism int
	Retain      int // manifests that are kept; default 3
	Store       *Store
	Manifests   ManifestStore
	Restart     *Restart
	Runtime     Runtime
	Committer   Committer
	Clock       clock.Clock  // default clock.Real()
	Log         *slog.Logger // default: nowhere
}

// Driver carries out what its Coordinator decides. Run has its own goroutine and starts another one for I/O, so that
// alarms and requests are seen while a disk is slow. All other methods may be called by any goroutine and do not block, but for
// Checkpoint, Stop and Write.
type Driver struct {
	config DriverConfig
	clock  clock.Clock
	log    *slog.Logger
	io     chan func() Event

	mu      sync.Mutex
	inbox   []Event
	alert   chan struct{} // has room for one
	tokens  map[uint64]chan reply
	token   uint64
	status  Status
	ended   bool
	outcome Outcome
	err     error
	done    chan struct{}

	// Used by Run's goroutine only.
	coordinator *Coordinator
	timer       clock.Timer
	manifest    *Manifest // the last durable one; nil: none
	building    *Manifest
	begun       int64 // when the checkpoint in hand began
	bytes       int64
}

type reply struct {
	id  uint64
	err error
}

// Outcome says how Run ended.
type Outcome struct {
	Checkpoint uint64  // the last one
	Trigger    Trigger // Stop or End; empty when Run was cancelled
}

// Status is what a Driver shows to people.
type Status struct {
	Stats
	InFlight   uint64        // id of the checkpoint in hand, 0: none
	Doing      string        // what it waits for
	Missing    []string      // tasks that have not reported
	Last       uint64        // the last complete checkpoint, 0: none
	LastTime   time.Time     // when it completed
	LastTook   time.Duration // from its start to its commit
	LastBytes  int64         // bytes of pages that it wrote
	Written    int64         // bytes of pages that all complete checkpoints of this driver wrote
	StateBytes int64         // bytes of all pages
	StatePages int64
}

const defaultRetain = 3

// NewDriver makes a driver. Run starts it.
func NewDriver(config DriverConfig) (*Driver, error) {
	if config.Clock == nil {
		config.Clock = clock.Real()
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Retain <= 0 {
		config.Retain = defaultRetain
	}
	c, err := NewCoordinator(config.Coordinator, config.Restart.Last(), config.Clock.Nanos())
	if err != nil {
		return nil, err
	}
	d := &Driver{
		config: config, clock: config.Clock, log: config.Log, coordinator: c, manifest: config.Restart.Manifest,
		io: make(chan func() Event, 1), alert: make(chan struct{}, 1), tokens: map[uint64]chan reply{}, done: make(chan struct{}),
	}
	if m := d.manifest; m != nil {
		d.status = Status{Last: m.Checkpoint, LastTime: m.Time, StateBytes: m.Store.Bytes, StatePages: m.Store.Pages}
	}
	return d, nil
}

// Recommit commits the restored checkpoint again, as it may have been cut off. Call it before the tasks start. Without a restored
// checkpoint it does nothing.
func (d *Driver) Recommit(ctx context.Context) error {
	if d.manifest == nil {
		return nil
	}
	killpoint.Reach(PhaseCommit)
	if err := d.config.Committer.Commit(ctx, d.manifest); err != nil {
		return fmt.Errorf("committing the restored checkpoint %d: %w", d.manifest.Checkpoint, err)
	}
	return nil
}

// Run takes checkpoints until the last one is complete (its Outcome says which), a failure that the job must answer with a restart,
// or the end of ctx; what is in hand then is left as a crash leaves it.
func (d *Driver) Run(ctx context.Context) (Outcome, error) {
	ioDone := make(chan struct{})
	go func() {
		defer close(ioDone)
		for f := range d.io {
			d.post(f())
		}
	}()
	d.timer = d.clock.NewTimer(0)
	d.post(Tick{})
	outcome, err := d.loop(ctx)
	d.timer.Stop()
	close(d.io)
	<-ioDone
	d.finish(outcome, err)
	return outcome, err
}

func (d *Driver) loop(ctx context.Context) (Outcome, error) {
	for {
		select {
		case <-ctx.Done():
			return Outcome{}, context.Cause(ctx)
		case <-d.timer.C():
			d.post(Tick{})
		case <-d.alert:
		}
		for {
			events := d.take()
			if len(events) == 0 {
				break
			}
			for _, event := range events {
				for _, action := range d.coordinator.Step(d.clock.Nanos(), event) {
					switch a := action.(type) {
					case Finish:
						d.publish()
						return Outcome{a.ID, a.Trigger}, nil
					case Fail:
						d.publish()
						return Outcome{}, a.Err
					}
					d.do(ctx, action)
				}
			}
			d.publish()
		}
	}
}

// finish answers everybody who still waits.
func (d *Driver) finish(outcome Outcome, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended, d.outcome, d.err = true, outcome, err
	if err == nil {
		err = ErrStopped
	}
	for token, ch := range d.tokens {
		ch <- reply{err: err}
		delete(d.tokens, token)
	}
	close(d.done)
}

// post hands an event to the loop.
func (d *Driver) post(e Event) {
	d.mu.Lock()
	d.inbox = append(d.inbox, e)
	d.mu.Unlock()
	select {
	case d.alert <- struct{}{}:
	default:
	}
}

func (d *Driver) take() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	events := d.inbox
	d.inbox = nil
	return events
}

// Ack reports what a task did about a barrier: once for each barrier that it got. Its pages are written before.
func (d *Driver) Ack(a Ack) { d.post(a) }

// TaskEnded says that a task's input has ended and all that followed from it has been emitted. The task still takes part in
// checkpoints; after the last one Run ends.
func (d *Driver) TaskEnded(task int) { d.post(TaskEnded{task}) }

// Write stores pages for a checkpoint, before the task's Ack. It blocks; call it from a goroutine beside the worker.
func (d *Driver) Write(id uint64, pages []Page) error { return d.config.Store.Write(id, pages) }

// Checkpoint takes a checkpoint that covers everything the job has done when it is called, and waits until it is complete.
func (d *Driver) Checkpoint(ctx context.Context) (uint64, error) {
	ch := make(chan reply, 1)
	d.mu.Lock()
	if d.ended {
		err := d.err
		d.mu.Unlock()
		return 0, errors.Join(ErrStopped, err)
	}
	d.token++
	token := d.token
	d.tokens[token] = ch
	d.mu.Unlock()
	d.post(Demand{token})
	select {
	case r := <-ch:
		return r.id, r.err
	case <-ctx.Done():
		d.mu.Lock()
		delete(d.tokens, token)
		d.mu.Unlock()
		return 0, ctx.Err()
	}
}

// Stop takes the last checkpoint and waits until Run has ended. The sources read nothing behind its barrier.
func (d *Driver) Stop(ctx context.Context) (Outcome, error) {
	d.post(StopRequested{})
	select {
	case <-d.done:
		return d.outcome, d.err
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

// Status describes the present.
func (d *Driver) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// publish refreshes the status.
func (d *Driver) publish() {
	id, what, _ := d.coordinator.InFlight()
	stats, missing := d.coordinator.Stats(), d.coordinator.Missing()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status.Stats, d.status.InFlight, d.status.Doing, d.status.Missing = stats, id, what, missing
}

// complete notes a committed checkpoint.
func (d *Driver) complete() {
	m := d.manifest
	took := time.Duration(d.clock.Nanos() - d.begun)
	d.log.Debug("checkpoint complete", "checkpoint", m.Checkpoint, "trigger", string(m.Trigger), "took", took,
		"bytes", d.bytes, "pages", m.Store.Pages)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status.Last, d.status.LastTime, d.status.LastTook, d.status.LastBytes = m.Checkpoint, m.Time, took, d.bytes
	d.status.Written += d.bytes
	d.status.StateBytes, d.status.StatePages = m.Store.Bytes, m.Store.Pages
}

// ranges is what each split contributed since the manifest before.
func ranges(before *Manifest, now []SourceState) []core.SourceRange {
	from := map[[2]string][]byte{}
	if before != nil {
		for _, s := range before.Sources {
			for _, split := range s.Splits {
				from[[2]string{s.Source, split.ID}] = split.Position
			}
		}
	}
	var all []core.SourceRange
	for _, s := range now {
		for _, split := range s.Splits {
			r := core.SourceRange{Source: s.Source, Split: split.ID, To: split.Position}
			var known bool
			if r.From, known = from[[2]string{s.Source, split.ID}]; !known {
				r.From, r.First = split.Start, true
			}
			all = append(all, r)
		}
	}
	return all
}
