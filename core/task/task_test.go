package task

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/internal/clock"
	"turbo/memory"
)

var pairSchema = &core.Schema{Fields: []core.Field{{Name: "n", Type: core.Of(core.Int64)}, {Name: "t", Type: core.Of(core.Timestamp)}}, TimeColumn: 1}

// testSource gives rows 0..rows-1 in splits; row n has time n*1000 less some disorder.
type testSource struct {
	rows, splits, batch, workers int
	account                      *memory.Account
	start                        map[string]int
	committed                    []uint64
}

func (s *testSource) Open(_ context.Context, restored []core.SplitState) error {
	s.start = map[string]int{}
	for _, r := range restored {
		s.start[r.ID] = int(binary.LittleEndian.Uint64(r.Position))
	}
	return nil
}

func (s *testSource) Reader(w int) (core.SourceReader, error) {
	r := &testReader{s: s, b: core.NewBuilder(s.account, pairSchema, s.batch)}
	for i := w; i < s.splits; i += s.workers {
		r.ids = append(r.ids, i)
		r.at = append(r.at, s.start[fmt.Sprint("s", i)])
	}
	return r, nil
}

func (s *testSource) Committed(_ context.Context, c uint64, _ []core.SplitState) error {
	s.committed = append(s.committed, c)
	return nil
}
func (s *testSource) Close() error { return nil }

type testReader struct {
	s             *testSource
	b             *core.Builder
	ids, at       []int
	started, turn int
	over          bool
}

func (r *testReader) SetWaker(func()) {}

func (r *testReader) Poll() (core.Event, error) {
	if r.started < len(r.ids) {
		r.started++
		return core.Event{Kind: core.SplitStart, Split: r.started - 1, ID: fmt.Sprint("s", r.ids[r.started-1])}, nil
	}
	for range r.ids {
		i := r.turn % len(r.ids)
		r.turn++
		n := 0
		for ; n < r.s.batch; n++ {
			row := r.at[i]*r.s.splits + r.ids[i]
			if row >= r.s.rows {
				break
			}
			r.b.Column(0).AppendInt64(int64(row))
			r.b.Column(1).AppendInt64(int64(row)*1000 - int64(row*7919%5000))
			r.at[i]++
		}
		if n > 0 {
			return core.Event{Kind: core.DataEvent, Split: i, Batch: r.b.Finish(), Read: int64(n)}, nil
		}
	}
	if r.over {
		return core.Event{}, nil
	}
	r.over = true
	return core.Event{Kind: core.EndOfInput}, nil
}

func (r *testReader) Snapshot() ([]core.SplitState, error) {
	var out []core.SplitState
	for i := range r.started {
		out = append(out, core.SplitState{ID: fmt.Sprint("s", r.ids[i]), Position: binary.LittleEndian.AppendUint64(nil, uint64(r.at[i]))})
	}
	return out, nil
}

func (r *testReader) Close() error { r.b.Close(); return nil }

// spread emits every row twice, a row a batch, as pending work: it exercises Full and Resume at every turn. It checks that
// no row comes that a watermark has already passed.
type spread struct {
	core.BaseOperator
	ctx     *core.OperatorContext
	pending *core.Batch
	next    int
	mark    core.Time
	late    int
	ended   bool
}

func (s *spread) Open(ctx *core.OperatorContext) error { s.ctx, s.mark = ctx, core.MinTime; return nil }

func (s *spread) Process(_ int, b *core.Batch, out core.Emitter) error {
	if s.pending != nil || s.ended {
		return fmt.Errorf("a batch came while work is pending or after the end")
	}
	for i := range b.Rows() {
		if core.Time(b.Columns[1].Int64s()[b.Row(i)]) <= s.mark {
			s.late++
		}
	}
	s.pending, s.next = b, 0
	return nil
}

func (s *spread) Resume(out core.Emitter) (bool, error) {
	for s.pending != nil && !out.Full() {
		b := s.pending.Share()
		b.Sel = append(b.SelBuffer(1)[:0], int32(s.pending.Row(s.next/2)))
		if err := out.Emit(b); err != nil {
			return false, err
		}
		if s.next++; s.next == 2*s.pending.Rows() {
			s.pending.Release()
			s.pending = nil
		}
	}
	return s.pending != nil, nil
}

func (s *spread) Advance(t core.Time, _ core.Emitter) error {
	if t <= s.mark {
		return fmt.Errorf("watermark %v after %v", t, s.mark)
	}
	if s.pending != nil {
		return fmt.Errorf("a watermark came while work is pending")
	}
	s.mark = t
	return nil
}

func (s *spread) EndInput(int, core.Emitter) error { s.ended = true; return nil }

func (s *spread) Close() error {
	if s.pending != nil {
		s.pending.Release()
	}
	if s.late > 0 {
		return fmt.Errorf("%d rows were late", s.late)
	}
	return nil
}

// testSink keeps rows by transaction: visible once committed.
type testSink struct {
	stubborn bool // writers are often full, without waking anybody: for the simulation, which polls
	mu       sync.Mutex
	visible  []int64
	done     uint64
}

func (s *testSink) Open(context.Context, *core.RestoredSink) error { return nil }
func (s *testSink) Writer(int) (core.SinkWriter, error) {
	return &testWriter{stubborn: s.stubborn}, nil
}
func (s *testSink) Commit(_ context.Context, info core.CommitInfo, parts [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.Checkpoint <= s.done {
		return nil
	}
	s.done = info.Checkpoint
	for _, p := range parts {
		for ; len(p) > 0; p = p[8:] {
			s.visible = append(s.visible, int64(binary.LittleEndian.Uint64(p)))
		}
	}
	return nil
}
func (s *testSink) Close() error { return nil }

type testWriter struct {
	rows     []byte
	blocks   int
	stubborn bool
}

func (w *testWriter) Write(b *core.Batch) error {
	for i := range b.Rows() {
		w.rows = binary.LittleEndian.AppendUint64(w.rows, uint64(b.Columns[0].Int64s()[b.Row(i)]))
	}
	b.Release()
	return nil
}

// Full says yes every third time: the chain must cope.
func (w *testWriter) Full() bool      { w.blocks++; return w.stubborn && w.blocks%3 == 0 }
func (w *testWriter) SetWaker(func()) {}
func (w *testWriter) Prepare(_ uint64, _ bool, done func([]byte, error)) {
	rows := w.rows
	w.rows = nil
	done(rows, nil)
}
func (w *testWriter) Close() error { return nil }

func testGraph(pool *memory.Pool, c clock.Clock, sink core.Sink, workers, rows, batch int, exchange Exchange, timeout time.Duration) *Graph {
	src := &Node{ID: "src", Label: "source src", Schema: pairSchema, Watermark: &Watermark{Column: 1, MaxDelay: 5 * time.Millisecond},
		Source: func() (core.Source, error) {
			return &testSource{rows: rows, splits: 3, batch: batch, workers: workers, account: pool.Account("src")}, nil
		}}
	one := &Node{ID: "one", Label: "operator one", Schema: pairSchema, Operator: func() core.Operator { return &spread{} }, Inputs: []Input{{From: src}}}
	two := &Node{ID: "two", Label: "operator two", Schema: pairSchema, Operator: func() core.Operator { return &spread{} },
		Inputs: []Input{{From: one, Exchange: exchange, Keys: []int{0}}, {From: src, Exchange: Forward}}}
	if exchange == Gather {
		two.Inputs[1].Exchange = Gather
	}
	out := &Node{ID: "out", Label: "sink out", Schema: pairSchema, Sink: func() (core.Sink, error) { return sink, nil }, Inputs: []Input{{From: two}}}
	return &Graph{Job: "t", Workers: workers, KeyGroups: 16, Nodes: []*Node{src, one, two, out},
		Options: Options{BatchRows: 8, BufferTimeout: timeout, RingBatches: 2, Memory: pool, Clock: c, WatermarkInterval: time.Microsecond}}
}

// expected is what the graph of testGraph makes of rows rows: each comes six times (once forwarded, twice from one; both twice from
// two), times the workers of a broadcast.
func checkRows(t *testing.T, visible []int64, rows, workers int, exchange Exchange) {
	t.Helper()
	times := 6
	if exchange == Broadcast {
		times = 2 + 4*workers
	}
	counts := make([]int, rows)
	for _, n := range visible {
		counts[n]++
	}
	for n, c := range counts {
		if c != times {
			t.Fatalf("row %d came %d times, want %d", n, c, times)
		}
	}
}

// simulate runs an attempt's workers on one goroutine in a random order until each is finished or stop says so.
func simulate(a *Attempt, r *rand.Rand, c *clock.Manual, each func() (stop bool)) error {
	for {
		c.Advance(time.Duration(r.IntN(200)) * time.Microsecond)
		w := a.workers[r.IntN(len(a.workers))]
		switch r.IntN(8) {
		case 0:
			w.waker.Park()
		case 1:
			w.waker.Idle()
		default:
			w.waker.Busy()
		}
		if _, err := w.round(c.Nanos()); err != nil {
			return err
		}
		if each() {
			return nil
		}
	}
}

// TestSimulatedJobs runs jobs under a seeded scheduler, with checkpoints at random moments, some of them given up, crashes,
// restarts at other parallelisms, and compares what the sink made visible with what must be there.
func TestSimulatedJobs(t *testing.T) {
	for seed := range uint64(300 / raceFactor) {
		r := rand.New(rand.NewPCG(seed, 7))
		rows, batch := 1+r.IntN(400), 1+r.IntN(30)
		exchange := Exchange(r.IntN(5))
		timeout := []time.Duration{-1, 0, 50 * time.Microsecond, time.Millisecond}[r.IntN(4)]
		sink := &testSink{stubborn: true}
		manual := clock.NewManual(time.Unix(0, 0))
		workers := 1 + r.IntN(3)
		if exchange == Broadcast {
			workers = 2 // the number of copies depends on it
		}
		fixed := workers
		c := &testCheckpoints{}
		for attempt, finished := 0, false; !finished; attempt++ {
			pool := memory.NewPool(64 << 20)
			a, err := Open(context.Background(), testGraph(pool, manual, sink, workers, rows, batch, exchange, timeout), c.manifest, nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			c.restart(a)
			a.begin(c)
			crash, rounds := -1, 0
			if attempt < 4 {
				crash = r.IntN(600)
			}
			err = simulate(a, r, manual, func() bool {
				if rounds++; rounds == crash {
					return true
				}
				if rounds > 200000 {
					t.Fatalf("seed %d: the job hangs", seed)
				}
				if c.ended == len(a.tasks) {
					c.begin(ckpt.End)
				} else if r.IntN(60) == 0 {
					c.begin([]ckpt.Trigger{ckpt.Periodic, ckpt.Stop}[r.IntN(2)])
				}
				m := c.poll(r.IntN(3) == 0)
				if m == nil {
					return false
				}
				finished = m.Finished
				return m.Trigger.Final()
			})
			if err != nil || c.err != nil {
				t.Fatalf("seed %d: %v, %v", seed, err, c.err)
			}
			a.Stop()
			if err := a.Close(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err := pool.CheckZero(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if workers = 1 + r.IntN(3); exchange == Broadcast {
				workers = fixed
			}
		}
		checkRows(t, sink.visible, rows, fixed, exchange)
	}
}

// TestRealWorkers runs the same graph on goroutines, with checkpoints as fast as they complete.
func TestRealWorkers(t *testing.T) {
	for _, timeout := range []time.Duration{-1, 0, 100 * time.Microsecond, 5 * time.Millisecond} {
		sink, pool := &testSink{}, memory.NewPool(256<<20)
		a, err := Open(context.Background(), testGraph(pool, clock.Real(), sink, 2, 20000, 64, Hash, timeout), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &testCheckpoints{attempt: a}
		a.Start(c)
		for {
			c.mu.Lock()
			ended := c.ended == len(a.tasks)
			c.mu.Unlock()
			if ended {
				c.begin(ckpt.End)
			} else {
				c.begin(ckpt.Periodic)
			}
			if m := c.poll(false); m != nil && m.Finished {
				break
			}
			time.Sleep(50 * time.Microsecond)
		}
		a.Stop()
		<-a.Done()
		if a.Err() != nil || c.err != nil {
			t.Fatal(a.Err(), c.err)
		}
		stats := a.Stats()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		checkRows(t, sink.visible, 20000, 2, Hash)
		if got := stats[3].Counters.In; got != 120000 {
			t.Errorf("the sink's counter says %d rows", got)
		}
		if err := pool.CheckZero(); err != nil {
			t.Error(err)
		}
	}
}
