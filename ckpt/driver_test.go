package ckpt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/modelstore"
	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/dirlock"
	"turbo/internal/vfs"
)

// rig is a driver with a runtime of two tasks that do what a test says.
type rig struct {
	t      *testing.T
	mem    *vfs.Mem
	fs     *vfs.Faulty
	disk   *modelstore.Disk
	clock  *clock.Manual
	dir    *ckpt.Directory
	store  *ckpt.Store
	driver *ckpt.Driver
	seen   chan string // what the runtime was told, and how Run ended

	mu      sync.Mutex
	answer  func(ckpt.Barrier) // default: both tasks acknowledge
	commit  error
	last    *ckpt.Manifest
	commits []uint64
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, mem: vfs.NewMem(), disk: modelstore.NewDisk(), clock: clock.NewManual(time.Unix(1000, 0)), seen: make(chan string, 100)}
	r.fs = vfs.NewFaulty(r.mem)
	return r
}

// start opens everything and runs the driver; interval 0 means on demand only.
func (r *rig) start(interval time.Duration) {
	r.t.Helper()
	var err error
	if r.dir, err = ckpt.OpenDirectory(r.fs, "/state", "test"); err != nil {
		r.t.Fatal(err)
	}
	r.store = ckpt.NewStore(r.disk.Open(), ckpt.StoreOptions{FS: r.fs, Dir: "/state"})
	r.restart(interval)
}

func (r *rig) restart(interval time.Duration) {
	r.t.Helper()
	at, err := r.dir.Recover(r.store, expect)
	if err != nil {
		r.t.Fatal(err)
	}
	r.driver, err = ckpt.NewDriver(ckpt.DriverConfig{
		Coordinator: ckpt.CoordinatorConfig{Tasks: []string{"map", "sink"}, Interval: interval, Timeout: time.Minute, CommitAttempts: 2},
		Expect:      expect, Parallelism: 2, Store: r.store, Manifests: r.dir.Manifests, Restart: at, Runtime: r, Committer: r, Clock: r.clock,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		outcome, err := r.driver.Run(ctx)
		r.seen <- fmt.Sprintf("end %d %s %v", outcome.Checkpoint, outcome.Trigger, err)
	}()
	r.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (r *rig) InjectBarrier(b ckpt.Barrier) {
	r.seen <- fmt.Sprintf("barrier %d %s", b.ID, b.Trigger)
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	if answer == nil {
		answer = func(b ckpt.Barrier) { r.ack(b.ID, 0, nil); r.ack(b.ID, 1, nil) }
	}
	answer(b)
}

func (r *rig) ack(id uint64, task int, err error) {
	a := ckpt.Ack{Task: task, Checkpoint: id, Err: err, Counters: []ckpt.OperatorCounters{{Operator: "op", Counters: core.Counters{In: int64(id)}}}}
	if task == 0 {
		a.Sources = []ckpt.SourceState{{Source: "s", Splits: []core.SplitState{{ID: fmt.Sprint("split", id%2), Position: []byte{byte(id)}}}}}
	} else {
		a.Committables = []ckpt.Committable{{Sink: "out", Worker: 0, Checkpoint: id, Data: fmt.Append(nil, id)}}
	}
	r.driver.Ack(a)
}

func (r *rig) AbortCheckpoint(id uint64, cause error) {
	r.seen <- fmt.Sprintf("abort %d: %v", id, cause)
}

func (r *rig) CheckpointComplete(m *ckpt.Manifest) {
	r.mu.Lock()
	r.last = m
	r.mu.Unlock()
	r.seen <- fmt.Sprintf("complete %d", m.Checkpoint)
}

func (r *rig) Commit(_ context.Context, m *ckpt.Manifest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits = append(r.commits, m.Checkpoint)
	return r.commit
}

func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// expect waits for what the runtime is told next.
func (r *rig) expect(want ...string) {
	r.t.Helper()
	for _, w := range want {
		select {
		case got := <-r.seen:
			if !strings.HasPrefix(got, w) {
				r.t.Fatalf("got %q, want %q", got, w)
			}
		case <-time.After(time.Minute): // a hang, not a deadline
			r.t.Fatalf("nothing came, want %q", w)
		}
	}
}

// advance moves the clock once the driver waits for it.
func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	if !r.clock.AwaitPending(1, r.t.Context().Done()) {
		r.t.Fatal("no alarm is set")
	}
	r.clock.Advance(d)
}

// outcome moves the clock in small steps until an answer comes: delays pass, the timeout does not, however long the answer takes.
func (r *rig) outcome(got <-chan error) error {
	r.t.Helper()
	const step = 200 * time.Millisecond
	moved := time.Duration(0)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case err := <-got:
			return err
		case <-time.After(2 * time.Millisecond):
			if moved += step; moved < 50*time.Second {
				r.clock.Advance(step)
			}
		}
	}
	r.t.Fatal("no answer came")
	return nil
}

func TestPeriodicAndLast(t *testing.T) {
	r := newRig(t)
	r.start(time.Second)
	for id := range 3 {
		r.advance(time.Second)
		r.expect(fmt.Sprintf("barrier %d periodic", id+1), fmt.Sprintf("complete %d", id+1))
	}
	r.driver.TaskEnded(0)
	r.driver.TaskEnded(1)
	r.expect("barrier 4 end", "complete 4", "end 4 end <nil>")
	m := r.last
	if !m.Finished || m.Previous != 3 || m.Job != "tiny" || m.Parallelism != 2 {
		t.Errorf("%+v", m)
	}
	// Every split that was ever reported is there; ranges go from manifest to manifest; counters are per task and cumulative.
	if got := fmt.Sprint(m.Source("s")); got != "[{split0 [4] min false} {split1 [3] min false}]" && !strings.Contains(got, "split1 [3]") {
		t.Errorf("splits %s", got)
	}
	if got := fmt.Sprint(m.Ranges); !strings.Contains(got, "split0 [2] [4]") {
		t.Errorf("ranges %s", got)
	}
	if m.Totals[0].Counters.In != 8 || m.Counters[0].Counters.In != 2 {
		t.Errorf("totals %+v, since the last %+v", m.Totals, m.Counters)
	}
	status := r.driver.Status()
	if status.Completed != 4 || status.Last != 4 || status.InFlight != 0 {
		t.Errorf("%+v", status)
	}
	ids, err := r.dir.Manifests.List()
	if err != nil || fmt.Sprint(ids) != "[2 3 4]" {
		t.Errorf("kept %v, %v", ids, err)
	}
}

func TestDemandStopRestart(t *testing.T) {
	r := newRig(t)
	r.start(0)
	if id, err := r.driver.Checkpoint(t.Context()); id != 1 || err != nil {
		t.Fatal(id, err)
	}
	r.expect("barrier 1 requested", "complete 1")
	outcome, err := r.driver.Stop(t.Context())
	if err != nil || outcome != (ckpt.Outcome{Checkpoint: 2, Trigger: ckpt.Stop}) {
		t.Fatal(outcome, err)
	}
	r.expect("barrier 2 stop", "complete 2", "end 2 stop <nil>")
	if _, err := r.driver.Checkpoint(t.Context()); !errors.Is(err, ckpt.ErrStopped) {
		t.Error(err)
	}
	r.restart(0)
	if err := r.driver.Recommit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := r.driver.Checkpoint(t.Context()); id != 3 || err != nil {
		t.Fatal(id, err)
	}
	r.expect("barrier 3 requested", "complete 3")
	if fmt.Sprint(r.commits) != "[1 2 2 3]" || r.last.Previous != 2 {
		t.Errorf("commits %v, previous %d", r.commits, r.last.Previous)
	}
	if r.last.Totals[0].Counters.In != 2*2+2*3 { // of the restored manifest, and of the new tasks
		t.Errorf("%+v", r.last.Totals)
	}
}

func TestLateAndDeclined(t *testing.T) {
	r := newRig(t)
	r.answer = func(b ckpt.Barrier) { r.ack(b.ID, 1, nil) } // the other is stuck
	r.start(time.Second)
	r.advance(time.Second)
	r.expect("barrier 1 periodic")
	for r.driver.Status().InFlight != 1 { // the alarm is set after the barrier
		time.Sleep(time.Millisecond)
	}
	r.advance(time.Minute)
	r.expect("abort 1: acknowledgements were late: after 1m0s, 1 of 2 tasks had not reported, first map")
	r.set(func() {
		r.answer = func(b ckpt.Barrier) { r.ack(b.ID, 0, nil); r.ack(b.ID, 1, errors.New("disk on fire")) }
	})
	r.ack(1, 0, nil) // at last
	for r.driver.Status().LateAcks != 1 {
		time.Sleep(time.Millisecond)
	}
	r.advance(time.Second)
	r.expect("barrier 2 periodic", "abort 2: task sink: disk on fire")
	r.set(func() { r.answer = nil })
	for r.driver.Status().InFlight != 0 {
		time.Sleep(time.Millisecond)
	}
	r.advance(time.Minute)
	r.expect("barrier 3 periodic", "complete 3")
	if got := r.last.Committables("out"); len(got) != 3 || string(got[0])+string(got[1])+string(got[2]) != "123" {
		t.Errorf("committables %s: those of abandoned checkpoints belong into the next manifest", got)
	}
	s := r.driver.Status()
	if s.Completed != 1 || s.Failed != 2 || s.TimedOut != 1 || s.Declined != 1 {
		t.Errorf("%+v", s)
	}
}

func TestDiskFullIsRetried(t *testing.T) {
	r := newRig(t)
	r.start(0)
	r.mem.SetCapacity(1 << 20)
	_, err := r.driver.Checkpoint(t.Context())
	var space *ckpt.SpaceError
	if !errors.As(err, &space) || !strings.HasPrefix(err.Error(), "not enough disk space in /state: the checkpoint needs 64.0 MiB free, there are ") {
		t.Fatal(err)
	}
	r.mem.SetCapacity(1 << 30)
	r.fs.Add(vfs.Rule{Op: vfs.OpWrite, Pattern: "manifest-*", Err: syscall.ENOSPC, Times: 1})
	got := make(chan error, 1)
	go func() {
		_, err := r.driver.Checkpoint(t.Context())
		got <- err
	}()
	if err := r.outcome(got); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Fatal(err)
	}
	r.expect("barrier 2 requested", "abort 2: manifest of checkpoint 2")
	go func() {
		_, err := r.driver.Checkpoint(t.Context())
		got <- err
	}()
	if err := r.outcome(got); err != nil {
		t.Fatal(err)
	}
	r.expect("barrier 3 requested", "complete 3")
}

func TestUnknownManifestEndsTheAttempt(t *testing.T) {
	r := newRig(t)
	r.start(0)
	if _, err := r.driver.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.expect("barrier 1 requested", "complete 1")
	r.fs.Add(vfs.Rule{Op: vfs.OpSyncDir})
	if _, err := r.driver.Checkpoint(t.Context()); !errors.Is(err, ckpt.ErrUnknown) {
		t.Fatal(err)
	}
	r.expect("barrier 2 requested", "end 0  checkpoint 2: manifest of checkpoint 2: "+ckpt.ErrUnknown.Error())
	r.fs.Clear()
	r.restart(0) // reads what is there: the removal of the manifest was seen, if not synced
	if id, err := r.driver.Checkpoint(t.Context()); err != nil || id != 3 {
		t.Fatal(id, err)
	}
}

func TestCommitThatNeverWorksEndsTheAttempt(t *testing.T) {
	r := newRig(t)
	r.commit = errors.New("target exists")
	r.start(0)
	got := make(chan error, 1)
	go func() {
		_, err := r.driver.Checkpoint(t.Context())
		got <- err
	}()
	r.expect("barrier 1 requested")
	if err := r.outcome(got); err == nil || !strings.Contains(err.Error(), "could not be committed in 2 attempts: target exists") {
		t.Fatal(err)
	}
	r.expect("end 0  checkpoint 1 is complete, but")
	r.set(func() { r.commit = nil })
	r.restart(0)
	if err := r.driver.Recommit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.commits) != "[1 1 1]" {
		t.Errorf("commits %v", r.commits)
	}
}

func TestClearStartsAgainWithNewIDs(t *testing.T) {
	r := newRig(t)
	r.start(0)
	for range 20 {
		if _, err := r.driver.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.driver.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ckpt.OpenDirectory(r.fs, "/state", "second"); !errors.As(err, new(*dirlock.HeldError)) {
		t.Fatalf("a second user: %v", err)
	}
	if err := errors.Join(r.store.Close(), r.dir.Close()); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.dir, err = ckpt.OpenDirectory(r.fs, "/state", "test"); err != nil {
		t.Fatal(err)
	}
	if err := r.dir.Clear(); err != nil {
		t.Fatal(err)
	}
	r.disk = modelstore.NewDisk()
	r.store = ckpt.NewStore(r.disk.Open(), ckpt.StoreOptions{})
	r.restart(0)
	if id, err := r.driver.Checkpoint(t.Context()); err != nil || id <= 21 {
		t.Errorf("checkpoint %d, %v: ids up to 21 were used before", id, err)
	}
	if r.last.Previous != 0 {
		t.Errorf("previous %d", r.last.Previous)
	}
}
