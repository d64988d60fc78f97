package supervisor_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/modelstore"
	"turbo/core"
	"turbo/core/ops"
	"turbo/core/supervisor"
	"turbo/core/task"
	"turbo/internal/vfs"
	"turbo/memory"
)

// world is what outlives a run: the disks, what the sink made visible, and how far the source's input goes.
type world struct {
	t    *testing.T
	fs   *vfs.Mem
	disk *modelstore.Disk
	pool *memory.Pool

	mu        sync.Mutex
	rows      int             // of the input; the source ends behind them if ends
	ends      bool            //
	fail      map[int][]error // by row: what the reader says before it, one a time
	opened    int             // sources
	read      int             // the furthest row
	visible   map[uint64][]string
	commits   []uint64
	withdrawn []uint64
	refuse    error // of Withdraw
	waker     func()
}

func newWorld(t *testing.T, rows int, ends bool) *world {
	before := runtime.NumGoroutine()
	w := &world{t: t, fs: vfs.NewMem(), disk: modelstore.NewDisk(), pool: memory.NewPool(64 << 20), rows: rows, ends: ends,
		fail: map[int][]error{}, visible: map[uint64][]string{}}
	t.Cleanup(func() {
		for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<16)
				t.Fatalf("%d goroutines are left, there were %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	return w
}

var (
	numbers = &core.Schema{Fields: []core.Field{{Name: "k", Type: core.Of(core.Int64)}, {Name: "n", Type: core.Of(core.Int64)}}, TimeColumn: -1}
	counts  = ops.AggregateConfig{Keys: []int{0}, EveryRow: true, Calls: []ops.Call{{Function: ops.Count, Argument: -1, Name: "c"}, {Function: ops.Max, Argument: 1, Name: "m"}}}
)

const keys = 7

func (w *world) job(workers int) supervisor.Job {
	return supervisor.Job{
		Name: "job", KeyGroups: 16, Parallelism: workers, FS: w.fs, Dir: "/state", Plan: ckpt.Plan{Fingerprint: "plan"}, Retain: 3,
		OpenStore: func(string) (*ckpt.Store, error) { return ckpt.NewStore(w.disk.Open(), ckpt.StoreOptions{}), nil },
		Graph: func(string) (*task.Graph, error) {
			schema, err := counts.Schema(numbers)
			if err != nil {
				return nil, err
			}
			src := &task.Node{ID: "src", Label: "source src", Schema: numbers, Source: func() (core.Source, error) { return &source{w: w}, nil }}
			agg := &task.Node{ID: "agg", Label: "aggregate agg", Schema: schema, Operator: func() core.Operator { return ops.NewAggregate(counts) },
				Inputs: []task.Input{{From: src, Exchange: task.Hash, Keys: []int{0}}}}
			out := &task.Node{ID: "out", Label: "sink out", Schema: schema, Sink: func() (core.Sink, error) { return &sink{w: w}, nil }, Inputs: []task.Input{{From: agg}}}
			return &task.Graph{Job: "job", Workers: workers, KeyGroups: 16, Nodes: []*task.Node{src, agg, out},
				Options: task.Options{BatchRows: 64, Memory: w.pool}}, nil
		},
	}
}

// run runs a job; during is called beside it.
func (w *world) run(ctx context.Context, job supervisor.Job, during func(*supervisor.Supervisor)) (supervisor.Result, error) {
	w.t.Helper()
	s := supervisor.New(job)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // somebody looks all the time
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
				s.Status()
			}
		}
	})
	if during != nil {
		wg.Go(func() { during(s) })
	}
	result, err := s.Run(ctx)
	close(over)
	wg.Wait()
	if err := w.pool.CheckZero(); err != nil {
		w.t.Error(err)
	}
	return result, err
}

// stopAt returns a function for run that stops the job when the source has read rows rows.
func (w *world) stopAt(rows int) func(*supervisor.Supervisor) {
	return func(s *supervisor.Supervisor) {
		w.waitRead(rows)
		s.Stop()
	}
}

func (w *world) waitRead(rows int) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		read := w.read
		w.mu.Unlock()
		if read >= rows {
			return
		}
	}
	w.t.Errorf("the source did not come to row %d", rows)
}

// more lets the input go on.
func (w *world) more(rows int, ends bool) {
	w.mu.Lock()
	w.rows, w.ends = rows, ends
	wake := w.waker
	w.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// check compares what is visible with the counts of rows rows.
func (w *world) check(rows int) {
	w.t.Helper()
	var ids []uint64
	for id := range w.visible {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	got := map[string][]string{}
	for _, id := range ids {
		for _, line := range w.visible[id] {
			k, _, _ := strings.Cut(line, ",")
			got[k] = append(got[k], line)
		}
	}
	want := map[string][]string{}
	for n := range rows {
		k := fmt.Sprint(n % keys)
		want[k] = append(want[k], fmt.Sprintf("%s,%d,%d", k, n/keys+1, n))
	}
	for k := range want {
		if !slices.Equal(got[k], want[k]) {
			w.t.Errorf("key %s: %d rows, want %d; the first: %v", k, len(got[k]), len(want[k]), got[k][:min(3, len(got[k]))])
		}
	}
}

func (w *world) manifests() []uint64 {
	ids, err := ckpt.NewManifests(w.fs, "/state").List()
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// source has the one split "s" of numbers, which worker 0 reads.
type source struct {
	w  *world
	at int
}

func (s *source) Open(_ context.Context, restored []core.SplitState) error {
	s.w.mu.Lock()
	s.w.opened++
	s.w.mu.Unlock()
	for _, r := range restored {
		s.at = int(binary.LittleEndian.Uint64(r.Position))
	}
	return nil
}
func (s *source) Reader(worker int) (core.SourceReader, error) {
	return &reader{s: s, worker: worker, b: core.NewBuilder(s.w.pool.Account("src"), numbers, 16), at: s.at}, nil
}
func (s *source) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *source) Close() error                                               { return nil }

type reader struct {
	s       *source
	worker  int
	b       *core.Builder
	at      int
	started bool
	ended   bool
}

func (r *reader) SetWaker(wake func()) {
	if r.worker == 0 {
		r.s.w.mu.Lock()
		r.s.w.waker = wake
		r.s.w.mu.Unlock()
	}
}

func (r *reader) Poll() (core.Event, error) {
	w := r.s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case r.worker == 0 && !r.started:
		r.started = true
		return core.Event{Kind: core.SplitStart, ID: "s"}, nil
	case r.worker == 0 && r.at < w.rows:
		if list := w.fail[r.at]; len(list) > 0 {
			w.fail[r.at] = list[1:]
			return core.Event{}, list[0]
		}
		n := 0
		for ; n < 10 && r.at < w.rows && (n == 0 || len(w.fail[r.at]) == 0); n++ {
			r.b.Column(0).AppendInt64(int64(r.at % keys))
			r.b.Column(1).AppendInt64(int64(r.at))
			r.at++
		}
		w.read = max(w.read, r.at)
		return core.Event{Kind: core.DataEvent, Batch: r.b.Finish(), Read: int64(n)}, nil
	case r.ended || !w.ends && r.worker == 0:
		return core.Event{}, nil
	}
	r.ended = true
	return core.Event{Kind: core.EndOfInput}, nil
}

func (r *reader) Snapshot() ([]core.SplitState, error) {
	if !r.started {
		return nil, nil
	}
	return []core.SplitState{{ID: "s", Position: binary.LittleEndian.AppendUint64(nil, uint64(r.at))}}, nil
}
func (r *reader) Close() error { r.b.Close(); return nil }

// sink makes lines visible by checkpoint, in the world.
type sink struct{ w *world }

func (s *sink) Open(context.Context, *core.RestoredSink) error { return nil }
func (s *sink) Writer(int) (core.SinkWriter, error)            { return &writer{}, nil }
func (s *sink) Commit(_ context.Context, info core.CommitInfo, parts [][]byte) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.commits = append(s.w.commits, info.Checkpoint)
	s.w.visible[info.Checkpoint] = strings.Fields(string(bytes.Join(parts, nil)))
	return nil
}
func (s *sink) Close() error { return nil }

func (s *sink) Withdraw(_ context.Context, after uint64) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.refuse != nil {
		return s.w.refuse
	}
	s.w.withdrawn = append(s.w.withdrawn, after)
	for id := range s.w.visible {
		if id > after {
			delete(s.w.visible, id)
		}
	}
	return nil
}

type writer struct{ rows []byte }

func (w *writer) Write(b *core.Batch) error {
	for i := range b.Rows() {
		r := b.Row(i)
		w.rows = fmt.Appendf(w.rows, "%d,%d,%d\n", b.Columns[0].Int64s()[r], b.Columns[1].Int64s()[r], b.Columns[2].Int64s()[r])
	}
	b.Release()
	return nil
}
func (w *writer) Full() bool      { return false }
func (w *writer) SetWaker(func()) {}
func (w *writer) Prepare(_ uint64, _ bool, done func([]byte, error)) {
	rows := w.rows
	w.rows = nil
	done(rows, nil)
}
func (w *writer) Close() error { return nil }

var errFlaky = errors.New("the network is away")
