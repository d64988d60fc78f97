package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/vfs"
)

// Job is what a Supervisor runs.
type Job struct {
	Name string
	// Graph makes the graph of a run: the identifier of the job's state, which --fresh renews.
	Graph func(run string) (*task.Graph, error)
	Plan  ckpt.Plan
	// Differences is for ckpt.Expect.
	Differences func(state ckpt.Plan) ([]ckpt.Difference, error)
	// KeyGroups must be that of the graph.
	KeyGroups   int
	Parallelism int

	FS        vfs.FS
	Dir       string                                // the state directory
	OpenStore func(dir string) (*ckpt.Store, error) // opens the page store in a directory
	Fresh     bool                                  // forget the state that is there
	Interval  time.Duration                         // between checkpoints; 0: only the last one
	MinPause  time.Duration                         // between the end of a checkpoint and the start of the next
	Timeout   time.Duration                         // of a checkpoint; 0: the default
	Retain    int
	Restart   Restart
	Clock     clock.Clock
	Log       *slog.Logger
}

// Result says how a job ended, and what is committed; also after an error.
type Result struct {
	// Finished: the bounded input is done. Already: it was so before this run, which did nothing.
	Finished, Already bool
	// Stopped: it was stopped by a last checkpoint, and goes on there when it is run again.
	Stopped    bool
	Checkpoint uint64
	Restored   uint64 // the checkpoint that this run began with; 0: none
	Restarts   int
	Totals     []ckpt.OperatorCounters // since the job began, up to Checkpoint
	// Uncommitted is what the last attempt did after Checkpoint, and the next run does again; nil when there was no attempt, or nothing.
	Uncommitted []ckpt.OperatorCounters
	// Checkpoints are the figures of the last attempt.
	Checkpoints ckpt.Status
}

// ErrStoppedWaiting says that a job was stopped between a failure and the next attempt: without a last checkpoint.
var ErrStoppedWaiting = errors.New("stopped while waiting to restart")

// ErrStoppedStarting says that a job was stopped before it ran, such as while it waited for a broker: it changed nothing.
var ErrStoppedStarting = errors.New("stopped before it had started")

// openGrace is how long a job that is stopped while it starts may take to get that far; then it is given up.
const openGrace = 2 * time.Second

// Supervisor runs one job once. Methods but Run may be called from any goroutine while it runs.
type Supervisor struct {
	job   Job
	dir   *ckpt.Directory
	store *ckpt.Store
	graph *task.Graph

	mu       sync.Mutex
	state    State
	since    time.Time
	restarts int
	lastErr  error
	attempt  *task.Attempt
	driver   *ckpt.Driver
	restored uint64
	last     Status                  // of the attempt before, while there is none
	from     []ckpt.OperatorCounters // Totals of the checkpoint that the last attempt began with

	stopOnce sync.Once
	stop     chan struct{}
}

// State is what a job is doing.
type State string

// The states.
const (
	Starting   State = "starting"
	Running    State = "running"
	Restarting State = "restarting"
	Stopping   State = "stopping"
	Ended      State = "ended"
)

// New returns a supervisor; Run starts it.
func New(job Job) *Supervisor {
	if job.Clock == nil {
		job.Clock = clock.Real()
	}
	if job.Log == nil {
		job.Log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{job: job, state: Starting, since: job.Clock.Now(), stop: make(chan struct{})}
}

// Stop asks for a last checkpoint and the job's end. Run returns when it is done.
func (s *Supervisor) Stop() {
	s.stopOnce.Do(func() { close(s.stop) })
}

// Checkpoint takes a checkpoint now and returns its id when it is complete.
func (s *Supervisor) Checkpoint(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	d := s.driver
	s.mu.Unlock()
	if d == nil {
		return 0, errors.New("the job is not running at the moment")
	}
	return d.Checkpoint(ctx)
}

// Run runs the job until its input has ended, it is stopped, it fails for good, or ctx ends (which leaves everything as a crash would).
func (s *Supervisor) Run(ctx context.Context) (result Result, err error) {
	defer func() {
		err = errors.Join(err, s.close())
		s.set(Ended, nil)
	}()
	if err := s.open(); err != nil {
		return Result{}, err
	}
	tries := newRestarts(s.job.Restart)
	var starved *uint64
	for {
		started := s.job.Clock.Now()
		result, began, err := s.try(ctx)
		result.Restarts = s.restarts
		if err != nil && began {
			s.committed(&result)
		}
		if err == nil || ctx.Err() != nil {
			return result, err
		}
		if core.IsPermanent(err) || !began && s.restarts == 0 {
			return result, err
		}
		delay, giveUp := tries.failed(started, s.job.Clock.Now())
		if again := s.outOfMemory(err, &starved); again != "" {
			giveUp = again
		}
		if giveUp != "" {
			return result, fmt.Errorf("%w (not restarted: %s)", err, giveUp)
		}
		s.mu.Lock()
		s.restarts++
		s.mu.Unlock()
		s.set(Restarting, err)
		s.job.Log.Error("the job failed and is restarted from its last checkpoint", "error", err, "restart", s.restarts, "delay", delay)
		timer := s.job.Clock.NewTimer(delay)
		select {
		case <-timer.C():
		case <-s.stop:
			timer.Stop()
			return result, fmt.Errorf("%w after: %w", ErrStoppedWaiting, err)
		case <-ctx.Done():
			timer.Stop()
			return result, context.Cause(ctx)
		}
	}
}

// open locks the state directory and opens what is in it.
func (s *Supervisor) open() error {
	var err error
	if s.dir, err = ckpt.OpenDirectory(s.job.FS, s.job.Dir, "job "+s.job.Name); err != nil {
		return err
	}
	if s.job.Fresh {
		if err := s.dir.Clear(); err != nil {
			return fmt.Errorf("forgetting the state: %w", err)
		}
	}
	run, err := runID(s.job.FS, s.job.Dir, s.job.Fresh)
	if err != nil {
		return err
	}
	if s.graph, err = s.job.Graph(run); err != nil {
		return err
	}
	if s.store, err = s.job.OpenStore(s.dir.PagesPath()); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

func (s *Supervisor) close() error {
	var errs []error
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	return errors.Join(errs...)
}

// try makes one attempt. began reports whether workers have run.
func (s *Supervisor) try(ctx context.Context) (result Result, began bool, err error) {
	restart, err := s.recover(ctx)
	if err != nil {
		return Result{}, false, err
	}
	opening, cancel := context.WithCancelCause(ctx) // readers may hold on to it: it ends with the attempt
	defer cancel(nil)
	opened := make(chan struct{})
	go s.giveUp(opened, cancel)
	a, restart, err := s.build(opening, restart)
	close(opened)
	if err != nil {
		if context.Cause(opening) == ErrStoppedStarting {
			err = fmt.Errorf("%w: %w", ErrStoppedStarting, err)
		}
		return Result{}, false, err
	}
	defer func() {
		last := s.Status()
		s.setAttempt(nil, nil)
		s.mu.Lock()
		s.last = last
		s.mu.Unlock()
		result.Checkpoints = last.Checkpoints
		if cerr := a.Close(); err == nil && cerr != nil {
			err = cerr
		}
	}()
	d, err := ckpt.NewDriver(ckpt.DriverConfig{
		Coordinator: ckpt.CoordinatorConfig{Tasks: a.Tasks(), Interval: s.job.Interval, MinPause: s.job.MinPause, Timeout: s.job.Timeout},
		Expect:      s.expect(), Parallelism: s.graph.Workers, Retain: s.job.Retain, Store: s.store, Manifests: s.dir.Manifests,
		Restart: restart, Runtime: a, Committer: task.Committer{Attempt: a}, Clock: s.job.Clock, Log: s.job.Log,
	})
	if err != nil {
		return Result{}, false, err
	}
	if s.restarts == 0 {
		s.mu.Lock()
		s.restored = restart.Last()
		s.mu.Unlock()
		for _, change := range restart.Changes {
			s.job.Log.Warn("the job has changed since its state was written, and keeps the state", "checkpoint", restart.Last(), "change", change)
		}
	}
	if err := d.Recommit(ctx); err != nil {
		return Result{}, false, err
	}
	if m := restart.Manifest; m != nil && m.Finished {
		return Result{Finished: true, Already: s.restarts == 0, Checkpoint: m.Checkpoint, Restored: s.restored, Totals: m.Totals}, false, nil
	}
	s.from = nil
	if m := restart.Manifest; m != nil {
		s.from = m.Totals
	}
	s.setAttempt(a, d)
	a.Start(d)
	s.set(Running, nil)
	result, err = s.watch(ctx, a, d)
	return result, true, err
}

// giveUp cancels the opening of an attempt some time after the job was stopped.
func (s *Supervisor) giveUp(opened <-chan struct{}, cancel context.CancelCauseFunc) {
	select {
	case <-opened:
		return
	case <-s.stop:
	}
	grace := s.job.Clock.NewTimer(openGrace)
	defer grace.Stop()
	select {
	case <-opened:
	case <-grace.C():
		cancel(ErrStoppedStarting)
	}
}

// watch waits for the end of a running attempt.
func (s *Supervisor) watch(ctx context.Context, a *task.Attempt, d *ckpt.Driver) (Result, error) {
	driving, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type end struct {
		outcome ckpt.Outcome
		err     error
	}
	ended := make(chan end, 1)
	go func() {
		outcome, err := d.Run(driving)
		ended <- end{outcome, err}
	}()
	stop := s.stop
	for {
		select {
		case <-stop:
			stop = nil
			s.set(Stopping, nil)
			go func() { _, _ = d.Stop(driving) }() // its outcome is Run's
		case <-a.Done():
			err := a.Err()
			if err == nil {
				err = errors.New("the workers stopped by themselves")
			}
			cancel(err)
			<-ended
			return Result{}, err
		case e := <-ended:
			a.Stop()
			<-a.Done()
			if err := errors.Join(e.err, a.Err()); err != nil { // both count: either may be permanent
				return Result{}, err
			}
			r := Result{Finished: e.outcome.Trigger == ckpt.End, Stopped: e.outcome.Trigger == ckpt.Stop, Checkpoint: e.outcome.Checkpoint, Restored: s.restored}
			if m, err := s.dir.Manifests.Load(r.Checkpoint); err == nil {
				r.Totals = m.Totals
			} else {
				return r, err
			}
			return r, nil
		}
	}
}

// committed says of a failed attempt what is complete of it and what is not. That it cannot be read leaves it out: the failure tells more.
func (s *Supervisor) committed(r *Result) {
	m, err := s.dir.Manifests.Newest()
	switch {
	case errors.Is(err, ckpt.ErrNoManifest):
		m = &ckpt.Manifest{}
	case err != nil:
		return
	}
	r.Checkpoint, r.Restored, r.Totals = m.Checkpoint, s.restored, m.Totals
	sums := map[string]core.Counters{}
	for _, c := range s.from {
		sums[c.Operator] = c.Counters
	}
	of := map[string]core.Counters{}
	for _, c := range m.Totals {
		of[c.Operator] = c.Counters
	}
	for _, n := range s.last.Nodes {
		sum := sums[n.Node]
		sum.Add(n.Counters)
		if sum = sum.Sub(of[n.Node]); sum != (core.Counters{}) {
			r.Uncommitted = append(r.Uncommitted, ckpt.OperatorCounters{Operator: n.Node, Counters: sum})
		}
	}
}

func (s *Supervisor) expect() ckpt.Expect {
	return ckpt.Expect{Job: s.job.Name, KeyGroups: s.graph.KeyGroups, Plan: s.job.Plan, Differences: s.job.Differences}
}

// set notes what the job is doing.
func (s *Supervisor) set(state State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	if err != nil {
		s.lastErr = err
	}
}

func (s *Supervisor) setAttempt(a *task.Attempt, d *ckpt.Driver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempt, s.driver = a, d
}
