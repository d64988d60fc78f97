package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"turbo/ckpt/modelstore"
	"turbo/core"
	"turbo/core/supervisor"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/dirlock"
	"turbo/internal/vfs"
	"turbo/memory"
)

func TestRestarts(t *testing.T) {
	fixed := supervisor.Restart{Strategy: supervisor.Fixed, Attempts: 3, Delay: time.Millisecond}
	for name, c := range map[string]struct {
		restart  supervisor.Restart
		fail     map[int][]error
		restarts int
		want     string // of the error; empty: it finishes
	}{
		"none":                  {supervisor.Restart{}, map[int][]error{500: {errFlaky}}, 0, "the restart strategy is none"},
		"fixed":                 {fixed, map[int][]error{0: {errFlaky}, 500: {errFlaky, errFlaky}}, 3, ""},
		"fixed gives up":        {fixed, map[int][]error{500: slices.Repeat([]error{errFlaky}, 9)}, 3, "all 3 restarts in a row have failed"},
		"exponential":           {supervisor.Restart{Strategy: supervisor.Exponential, Initial: time.Millisecond, Max: time.Millisecond, Attempts: -1}, map[int][]error{300: {errFlaky}, 700: {errFlaky}}, 2, ""},
		"failure rate":          {supervisor.Restart{Strategy: supervisor.FailureRate, Delay: time.Millisecond, MaxFailures: 1, Window: time.Hour}, map[int][]error{500: {errFlaky, errFlaky}}, 1, "it failed 2 times within"},
		"permanent":             {fixed, map[int][]error{500: {core.Permanent(errFlaky)}}, 0, errFlaky.Error()},
		"permanent after flaky": {fixed, map[int][]error{500: {errFlaky, core.Permanent(errors.New("bad record"))}}, 1, "bad record"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1000, true)
			w.fail = c.fail
			job := w.job(2)
			job.Restart, job.Interval = c.restart, 3*time.Millisecond
			result, err := w.run(context.Background(), job, func(s *supervisor.Supervisor) {
				for s.Status().State != supervisor.Ended { // somebody looks without a pause
					runtime.Gosched()
				}
			})
			if result.Restarts != c.restarts || w.opened != c.restarts+1 {
				t.Errorf("%d restarts, %d attempts; want %d restarts", result.Restarts, w.opened, c.restarts)
			}
			switch {
			case c.want == "" && (err != nil || !result.Finished):
				t.Errorf("result %+v, error %v", result, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want %q", err, c.want)
			case c.want == "":
				w.check(1000)
			}
		})
	}
}

// awaiting is a source whose broker does not answer.
type awaiting struct{ source }

func (*awaiting) Open(ctx context.Context, _ []core.SplitState) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestStopWhileOpening: a job that waits for a broker at its start ends when it is stopped.
func TestStopWhileOpening(t *testing.T) {
	w := newWorld(t, 100, true)
	job := w.job(2)
	manual := clock.NewManual(time.Unix(1e9, 0))
	job.Clock = manual
	graph := job.Graph
	job.Graph = func(run string) (*task.Graph, error) {
		g, err := graph(run)
		if err == nil {
			g.Nodes[0].Source = func() (core.Source, error) { return &awaiting{source{w: w}}, nil }
		}
		return g, err
	}
	result, err := w.run(context.Background(), job, func(s *supervisor.Supervisor) {
		s.Stop()
		for s.Status().State != supervisor.Ended {
			manual.Advance(100 * time.Millisecond)
			time.Sleep(time.Millisecond)
		}
	})
	if !errors.Is(err, supervisor.ErrStoppedStarting) || result.Checkpoint != 0 {
		t.Error(result, err)
	}
}

// TestOutOfMemory: what has run out of memory is tried once more, and again only when it has come further.
func TestOutOfMemory(t *testing.T) {
	limit := func() error {
		return fmt.Errorf("aggregate agg: %w", &memory.LimitError{Account: "job/agg", Requested: 1, Used: 2, Limit: 2})
	}
	for name, c := range map[string]struct {
		fail     map[int][]error
		restarts int
		want     string
	}{
		"twice at the same place": {map[int][]error{500: {limit(), limit(), limit()}}, 1, "the attempt before ran out of memory, too, and got no further than the start"},
		"a peak":                  {map[int][]error{500: {limit(), errFlaky, limit()}}, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1000, true)
			w.fail = c.fail
			job := w.job(2)
			job.Restart = supervisor.Restart{Strategy: supervisor.Fixed, Attempts: -1, Delay: time.Millisecond}
			result, err := w.run(context.Background(), job, nil)
			if result.Restarts != c.restarts || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d restarts, %v; want %d and %q", result.Restarts, err, c.restarts, c.want)
			}
		})
	}
	// With a checkpoint between two failures the job goes on.
	w := newWorld(t, 300, false)
	w.fail = map[int][]error{100: {limit()}, 300: {limit()}}
	job := w.job(2)
	job.Restart = supervisor.Restart{Strategy: supervisor.Fixed, Attempts: -1, Delay: time.Millisecond}
	result, err := w.run(context.Background(), job, func(s *supervisor.Supervisor) {
		w.waitRead(300)
		if _, err := s.Checkpoint(context.Background()); err != nil {
			t.Error(err)
		}
		w.more(1000, true)
	})
	if err != nil || result.Restarts != 2 || !result.Finished {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestFinishedJob: a job that is done says so when it is run again, and commits again; --fresh forgets it.
func TestFinishedJob(t *testing.T) {
	w := newWorld(t, 1000, true)
	first, err := w.run(context.Background(), w.job(2), nil) // no periodic checkpoints
	if err != nil || !first.Finished || first.Already || first.Restored != 0 || len(w.manifests()) != 1 {
		t.Fatalf("result %+v, error %v, checkpoints %v", first, err, w.manifests())
	}
	w.check(1000)
	for _, c := range first.Totals {
		if c.Counters.In != 1000 {
			t.Errorf("%s took %d rows", c.Operator, c.Counters.In)
		}
	}
	again, err := w.run(context.Background(), w.job(3), nil)
	if err != nil || !again.Finished || !again.Already || again.Checkpoint != first.Checkpoint {
		t.Errorf("again: result %+v, error %v", again, err)
	}
	if want := []uint64{first.Checkpoint, first.Checkpoint}; !slices.Equal(w.commits, want) {
		t.Errorf("commits of %v, want %v", w.commits, want)
	}
	fresh := w.job(2)
	fresh.Fresh = true
	clear(w.visible)
	w.disk = modelstore.NewDisk() // the directory of pages is not on w.fs
	result, err := w.run(context.Background(), fresh, nil)
	if err != nil || result.Already || !result.Finished || result.Restored != 0 || result.Checkpoint <= first.Checkpoint {
		t.Errorf("fresh: result %+v, error %v", result, err)
	}
	w.check(1000)
}

// TestStopGoesOn: a job that is stopped takes a last checkpoint and goes on exactly there, at whatever parallelism.
func TestStopGoesOn(t *testing.T) {
	w := newWorld(t, 0, false)
	last := uint64(0)
	for i, workers := range []int{2, 1, 3, 2} {
		rows := 700 * (i + 1)
		w.more(rows, false)
		result, err := w.run(context.Background(), w.job(workers), w.stopAt(rows))
		if err != nil || !result.Stopped || result.Finished || result.Restored != last || result.Checkpoint <= last {
			t.Fatalf("result %+v, error %v; the checkpoint before was %d", result, err, last)
		}
		last = result.Checkpoint
		w.check(rows)
	}
	w.more(3000, true)
	if result, err := w.run(context.Background(), w.job(2), nil); err != nil || !result.Finished || result.Restored != last {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.check(3000)
}

// TestStopEarly: Stop before Run has begun, and while the job waits to be restarted.
func TestStopEarly(t *testing.T) {
	w := newWorld(t, 100, false)
	s := supervisor.New(w.job(2))
	s.Stop()
	s.Stop()
	result, err := s.Run(context.Background())
	if err != nil || !result.Stopped {
		t.Errorf("stopped before the start: result %+v, error %v", result, err)
	}
	w.more(200, false)
	for row := range 200 { // wherever it goes on
		w.fail[row] = []error{errFlaky}
	}
	job := w.job(2)
	job.Restart = supervisor.Restart{Strategy: supervisor.Fixed, Delay: time.Hour, Attempts: 9}
	_, err = w.run(context.Background(), job, func(s *supervisor.Supervisor) {
		for s.Status().State != supervisor.Restarting {
			time.Sleep(time.Millisecond)
		}
		s.Stop()
	})
	if !errors.Is(err, errFlaky) {
		t.Errorf("stopped while waiting: %v", err)
	}
	w.fail = map[int][]error{}
	w.more(200, true)
	if result, err := w.run(context.Background(), w.job(1), nil); err != nil || !result.Finished {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.check(200)
}

// TestCancelIsACrash: nothing is committed on the way out, and the next run goes on from the last complete checkpoint.
func TestCancelIsACrash(t *testing.T) {
	w := newWorld(t, 0, false)
	for i := range 4 {
		rows := 600 * (i + 1)
		w.more(rows, false)
		ctx, cancel := context.WithCancelCause(context.Background())
		job := w.job(1 + i%3)
		job.Interval = 2 * time.Millisecond
		why := errors.New("second signal")
		_, err := w.run(ctx, job, func(*supervisor.Supervisor) {
			w.waitRead(rows)
			cancel(why)
		})
		if !errors.Is(err, why) {
			t.Errorf("error %v", err)
		}
	}
	w.more(3000, true)
	if result, err := w.run(context.Background(), w.job(2), nil); err != nil || !result.Finished {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.check(3000)
}

// TestTwoSupervisors: the second one on a directory is told who has it.
func TestTwoSupervisors(t *testing.T) {
	w := newWorld(t, 10, false)
	_, err := w.run(context.Background(), w.job(1), func(s *supervisor.Supervisor) {
		w.waitRead(10)
		_, err := supervisor.New(w.job(1)).Run(context.Background())
		var held *dirlock.HeldError
		if !errors.As(err, &held) || held.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
			t.Errorf("the second one: %v", err)
		}
		s.Stop()
	})
	if err != nil {
		t.Error(err)
	}
	w.check(10)
}

// stopped makes a state with checkpoints at 500, 1000 and 1500 rows, and returns their ids.
func (w *world) stopped() (ids []uint64) {
	w.t.Helper()
	for i := range 3 {
		rows := 500 * (i + 1)
		w.more(rows, false)
		result, err := w.run(context.Background(), w.job(2), w.stopAt(rows))
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, result.Checkpoint)
	}
	w.more(2000, true)
	return ids
}

// damageManifest changes a byte of a manifest.
func (w *world) damageManifest(id uint64) {
	w.t.Helper()
	path := fmt.Sprintf("/state/manifest-%012d", id)
	content, err := vfs.ReadFile(w.fs, path)
	if err != nil {
		w.t.Fatal(err)
	}
	content[len(content)/2] ^= 4
	if err := errors.Join(w.fs.Remove(path), vfs.WriteFile(w.fs, path, content)); err != nil {
		w.t.Fatal(err)
	}
}

func TestFallBack(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(*world, []uint64)
		to     int // index of the checkpoint that it goes back to
	}{
		"manifest":      {func(w *world, ids []uint64) { w.damageManifest(ids[2]) }, 1},
		"two manifests": {func(w *world, ids []uint64) { w.damageManifest(ids[2]); w.damageManifest(ids[1]) }, 0},
		"page":          {func(w *world, ids []uint64) { w.disk.Damage("agg") }, 1},
		"lost page":     {func(w *world, ids []uint64) { w.disk.Lose("agg") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 0, false)
			ids := w.stopped()
			c.damage(w, ids)
			before := w.manifests()
			w.refuse = errors.New("the files are in use")
			_, err := w.run(context.Background(), w.job(2), nil)
			if !core.IsPermanent(err) || !strings.Contains(err.Error(), w.refuse.Error()) {
				t.Errorf("a sink that cannot withdraw: %v", err)
			}
			if !slices.Equal(w.manifests(), before) {
				t.Errorf("checkpoints %v went aside to %v although the job refused", before, w.manifests())
			}
			w.refuse = nil
			result, err := w.run(context.Background(), w.job(2), nil)
			if err != nil || !result.Finished || result.Restored != ids[c.to] || result.Checkpoint <= ids[2] {
				t.Errorf("result %+v, error %v; want it to go on from %d", result, err, ids[c.to])
			}
			if !slices.Equal(w.withdrawn, []uint64{ids[c.to]}) {
				t.Errorf("withdrawn to %v, want %d once", w.withdrawn, ids[c.to])
			}
			w.check(2000)
		})
	}
	t.Run("nothing to fall back to", func(t *testing.T) {
		w := newWorld(t, 0, false)
		for _, id := range w.stopped() {
			w.damageManifest(id)
		}
		_, err := w.run(context.Background(), w.job(2), nil)
		if !core.IsPermanent(err) || !strings.Contains(err.Error(), "--fresh") || len(w.withdrawn) > 0 {
			t.Errorf("error %v; withdrawn %v", err, w.withdrawn)
		}
	})
}

// TestPageStoreIsFull: checkpoints that fail are tried again, and the job goes on meanwhile.
func TestPageStoreIsFull(t *testing.T) {
	w := newWorld(t, 500, false)
	var puts atomic.Int64
	w.disk.SetFault(func(op string) error {
		if op == "put" && puts.Add(1) <= 2 {
			return errors.New("no space left on device")
		}
		return nil
	})
	job := w.job(2)
	job.Interval = 2 * time.Millisecond
	result, err := w.run(context.Background(), job, func(s *supervisor.Supervisor) {
		w.waitRead(500)
		for puts.Load() <= 2 || s.Status().Checkpoints.Completed == 0 {
			if s.Status().State == supervisor.Ended {
				return
			}
			time.Sleep(time.Millisecond)
		}
		w.more(1000, true)
	})
	if err != nil || !result.Finished || result.Restarts != 0 || result.Checkpoints.Failed == 0 {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.check(1000)
}

// TestCheckpointOnDemand: it covers what was read before.
func TestCheckpointOnDemand(t *testing.T) {
	w := newWorld(t, 300, false)
	result, err := w.run(context.Background(), w.job(2), func(s *supervisor.Supervisor) {
		w.waitRead(300)
		id, err := s.Checkpoint(context.Background())
		if err != nil || !slices.Equal(w.manifests(), []uint64{id}) {
			t.Errorf("checkpoint %d, error %v, there are %v", id, err, w.manifests())
		}
		w.more(600, true)
	})
	if err != nil || !result.Finished {
		t.Errorf("result %+v, error %v", result, err)
	}
	if _, err := supervisor.New(w.job(1)).Checkpoint(context.Background()); err == nil {
		t.Error("a checkpoint of a job that does not run")
	}
	w.check(600)
}
