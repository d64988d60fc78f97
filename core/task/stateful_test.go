package task

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/modelstore"
	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/clock"
	"turbo/memory"
)

// A keyed source: each key belongs to one split, so the rows of a key have one order whatever the scheduler does, and what keyed
// operators make of them is exact.
var keyedSchema = &core.Schema{Fields: []core.Field{{Name: "k", Type: core.Of(core.Int64)}, {Name: "v", Type: core.Of(core.Int64)},
	{Name: "t", Type: core.Of(core.Timestamp)}}, TimeColumn: 2}

const (
	keyedSplits   = 4
	keysPerSplit  = 7
	keyedDisorder = 5 * time.Millisecond
	keyedTTL      = 12 * time.Millisecond
)

// keyedRow is the i-th row of a split.
func keyedRow(split, i int) (key, value int64, at core.Time) {
	h := rand.New(rand.NewPCG(uint64(split), uint64(i))).Uint64()
	return int64(split + keyedSplits*int(h%keysPerSplit)), int64(h>>32) % 1000, core.Time(int64(i)*1000 - int64(h>>8)%keyedDisorder.Microseconds())
}

type keyedSource struct {
	perSplit, batch, workers int
	account                  *memory.Account
	start                    map[string]int
}

func (s *keyedSource) Open(_ context.Context, restored []core.SplitState) error {
	s.start = map[string]int{}
	for _, r := range restored {
		s.start[r.ID] = int(binary.LittleEndian.Uint64(r.Position))
	}
	return nil
}

func (s *keyedSource) Reader(w int) (core.SourceReader, error) {
	r := &keyedReader{s: s, b: core.NewBuilder(s.account, keyedSchema, s.batch)}
	for i := w; i < keyedSplits; i += s.workers {
		r.ids = append(r.ids, i)
		r.at = append(r.at, s.start[fmt.Sprint("s", i)])
	}
	return r, nil
}
func (s *keyedSource) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *keyedSource) Close() error                                               { return nil }

type keyedReader struct {
	s             *keyedSource
	b             *core.Builder
	ids, at       []int
	started, turn int
	over          bool
}

func (r *keyedReader) SetWaker(func()) {}

func (r *keyedReader) Poll() (core.Event, error) {
	if r.started < len(r.ids) {
		r.started++
		return core.Event{Kind: core.SplitStart, Split: r.started - 1, ID: fmt.Sprint("s", r.ids[r.started-1])}, nil
	}
	for range r.ids {
		i := r.turn % len(r.ids)
		r.turn++
		n := 0
		for ; n < r.s.batch && r.at[i] < r.s.perSplit; n++ {
			key, value, at := keyedRow(r.ids[i], r.at[i])
			r.b.Column(0).AppendInt64(key)
			r.b.Column(1).AppendInt64(value)
			r.b.Column(2).AppendInt64(int64(at))
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

func (r *keyedReader) Snapshot() ([]core.SplitState, error) {
	var out []core.SplitState
	for i := range r.started {
		out = append(out, core.SplitState{ID: fmt.Sprint("s", r.ids[i]), Position: binary.LittleEndian.AppendUint64(nil, uint64(r.at[i]))})
	}
	return out, nil
}

func (r *keyedReader) Close() error { r.b.Close(); return nil }

// lineSink keeps rows as text: visible once committed, in the order of commits.
type lineSink struct {
	stubborn bool // writers are often full, without waking anybody: for the simulation, which polls
	mu       sync.Mutex
	visible  []string
	done     uint64
}

func (s *lineSink) Open(context.Context, *core.RestoredSink) error { return nil }
func (s *lineSink) Writer(int) (core.SinkWriter, error) {
	return &lineWriter{stubborn: s.stubborn}, nil
}
func (s *lineSink) Commit(_ context.Context, info core.CommitInfo, parts [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.Checkpoint <= s.done {
		return nil
	}
	s.done = info.Checkpoint
	s.visible = append(s.visible, strings.Fields(string(bytes.Join(parts, nil)))...)
	return nil
}
func (s *lineSink) Close() error { return nil }

type lineWriter struct {
	stubborn bool
	rows     []byte
	polls    int
}

func (w *lineWriter) Write(b *core.Batch) error {
	for i := range b.Rows() {
		r := b.Row(i)
		w.rows = append(w.rows, b.Kind(r).String()...)
		for _, c := range b.Columns {
			w.rows = fmt.Appendf(w.rows, ",%d", c.Int64s()[r])
		}
		w.rows = append(w.rows, '\n')
	}
	b.Release()
	return nil
}
func (w *lineWriter) Full() bool      { w.polls++; return w.stubborn && w.polls%4 == 0 }
func (w *lineWriter) SetWaker(func()) {}
func (w *lineWriter) Prepare(_ uint64, _ bool, done func([]byte, error)) {
	rows := w.rows
	w.rows = nil
	done(rows, nil)
}
func (w *lineWriter) Close() error { return nil }

// byKey groups lines by the first column, in order.
func (s *lineSink) byKey() map[string][]string {
	out := map[string][]string{}
	for _, line := range s.visible {
		k := strings.Split(line, ",")[1]
		out[k] = append(out[k], line)
	}
	return out
}

var aggregateCalls = []ops.Call{{Function: ops.Count, Argument: -1, Name: "n"}, {Function: ops.Sum, Argument: 1, Name: "sum"}, {Function: ops.Max, Argument: 1, Name: "max"}}

// keyedOutputs are the sinks of keyedGraph.
type keyedOutputs struct{ every, last, unique, ttl *lineSink }

func newKeyedOutputs(stubborn bool) *keyedOutputs {
	sink := func() *lineSink { return &lineSink{stubborn: stubborn} }
	return &keyedOutputs{sink(), sink(), sink(), sink()}
}

func keyedGraph(t testing.TB, pool *memory.Pool, c clock.Clock, o *keyedOutputs, workers, perSplit, batch int, timeout time.Duration) *Graph {
	src := &Node{ID: "src", Label: "source src", Schema: keyedSchema, Watermark: &Watermark{Column: 2, MaxDelay: keyedDisorder, IdleTimeout: 300 * time.Microsecond},
		Source: func() (core.Source, error) {
			return &keyedSource{perSplit: perSplit, batch: batch, workers: workers, account: pool.Account("src")}, nil
		}}
	g := &Graph{Job: "t", Workers: workers, KeyGroups: 16, Nodes: []*Node{src},
		Options: Options{BatchRows: 16, BufferTimeout: timeout, RingBatches: 2, Memory: pool, Clock: c, WatermarkInterval: 20 * time.Microsecond}}
	keyed := func(id string, schema *core.Schema, op func() core.Operator, sink core.Sink) {
		n := &Node{ID: id, Label: "operator " + id, Schema: schema, Operator: op, Inputs: []Input{{From: src, Exchange: Hash, Keys: []int{0}}}}
		g.Nodes = append(g.Nodes, n, &Node{ID: id + "-out", Label: "sink " + id, Schema: schema, Inputs: []Input{{From: n}},
			Sink: func() (core.Sink, error) { return sink, nil }})
	}
	for id, every := range map[string]bool{"every": true, "last": false} {
		config := ops.AggregateConfig{Keys: []int{0}, Calls: aggregateCalls, EveryRow: every}
		schema, err := config.Schema(keyedSchema)
		if err != nil {
			t.Fatal(err)
		}
		sink := o.last
		if every {
			sink = o.every
		}
		keyed(id, schema, func() core.Operator { return ops.NewAggregate(config) }, sink)
	}
	keyed("unique", keyedSchema, func() core.Operator { return ops.NewDeduplicate(ops.DeduplicateConfig{Keys: []int{0}}) }, o.unique)
	keyed("ttl", keyedSchema, func() core.Operator {
		return &punctual{ops.NewDeduplicate(ops.DeduplicateConfig{Keys: []int{0}, TTL: keyedTTL}), core.MinTime}
	}, o.ttl)
	return g
}

// check compares with what a loop over the rows says.
func (o *keyedOutputs) check(perSplit int) error {
	every, last, unique, ttl := map[string][]string{}, map[string]string{}, map[string][]string{}, map[string][]string{}
	type sums struct{ n, sum, max int64 }
	acc, until := map[int64]*sums{}, map[int64]core.Time{}
	for split := range keyedSplits {
		for i := range perSplit {
			key, v, at := keyedRow(split, i)
			k, row := fmt.Sprint(key), fmt.Sprintf("+I,%d,%d,%d", key, v, at)
			kind := "+U"
			if acc[key] == nil {
				kind, acc[key] = "+I", &sums{max: v}
				unique[k] = []string{row}
			}
			a := acc[key]
			a.n, a.sum, a.max = a.n+1, a.sum+v, max(a.max, v)
			every[k] = append(every[k], fmt.Sprintf("%s,%d,%d,%d,%d", kind, key, a.n, a.sum, a.max))
			last[k] = strings.TrimLeft(every[k][len(every[k])-1], "+IU")
			if u, ok := until[key]; !ok || at >= u {
				until[key] = at.Add(keyedTTL)
				ttl[k] = append(ttl[k], row)
			}
		}
	}
	for name, c := range map[string]struct {
		got  *lineSink
		want map[string][]string
	}{"every row": {o.every, every}, "deduplicate": {o.unique, unique}, "deduplicate with a time to live": {o.ttl, ttl}} {
		got := c.got.byKey()
		for k := range c.want {
			if g, w := strings.Join(got[k], " "), strings.Join(c.want[k], " "); g != w {
				return fmt.Errorf("%s, key %s:\ngot  %s\nwant %s", name, k, g, w)
			}
		}
		if len(got) != len(c.want) {
			return fmt.Errorf("%s: %d keys, want %d", name, len(got), len(c.want))
		}
	}
	got := o.last.byKey()
	for k, w := range last {
		if g := got[k]; len(g) == 0 || strings.TrimLeft(g[len(g)-1], "+IU") != w || !strings.HasPrefix(g[0], "+I") {
			return fmt.Errorf("aggregate, key %s: got %v, the last want %s", k, g, w)
		}
	}
	return nil
}

// TestSimulatedState runs keyed operators with the real page protocol under the seeded scheduler: checkpoints at random moments, given up
// early or late, failing writes of pages, crashes of the process and of the power, restarts at other parallelisms.
func TestSimulatedState(t *testing.T) {
	seeds := uint64(100 / raceFactor)
	if testing.Short() {
		seeds = 20
	}
	complete, aborted, crashes := 0, 0, 0
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 11))
		perSplit, batch := 1+r.IntN(150), 1+r.IntN(10)
		timeout := []time.Duration{-1, 0, 50 * time.Microsecond, time.Millisecond}[r.IntN(4)]
		manual, disk, out, c := clock.NewManual(time.Unix(0, 0)), modelstore.NewDisk(), newKeyedOutputs(true), &testCheckpoints{}
		for attempt, finished := 0, false; !finished; attempt++ {
			pool := memory.NewPool(64 << 20)
			disk.SetFault(nil)
			c.store = ckpt.NewStore(disk.Open(), ckpt.StoreOptions{})
			at, sum := uint64(0), ckpt.Summary{}
			if c.manifest != nil {
				at, sum = c.manifest.Checkpoint, c.manifest.Store
			}
			if _, err := c.store.Recover(at, sum); err != nil {
				t.Fatalf("seed %d: recovering checkpoint %d: %v", seed, at, err)
			}
			a, err := Open(context.Background(), keyedGraph(t, pool, manual, out, 1+r.IntN(5), perSplit, batch, timeout), c.manifest, PageSource(c.store, at))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if r.IntN(3) == 0 {
				var mu sync.Mutex
				faults := rand.New(rand.NewPCG(seed, uint64(attempt)))
				disk.SetFault(func(op string) error {
					mu.Lock()
					defer mu.Unlock()
					if op == "put" && faults.IntN(10) == 0 || op == "sync" && faults.IntN(10) == 0 {
						return errors.New("no space")
					}
					return nil
				})
			}
			c.restart(a)
			a.to = c // uploads are run by the scheduler below
			crash, rounds := -1, 0
			if attempt < 6 {
				crash = r.IntN(2000)
			}
			err = simulate(a, r, manual, func() bool {
				if rounds++; rounds == crash {
					return true
				}
				if r.IntN(8) == 0 {
					select {
					case upload := <-a.uploads:
						upload()
					default:
					}
				}
				if rounds > 500000 {
					t.Fatalf("seed %d: the job hangs", seed)
				}
				if c.err != nil {
					return true
				}
				if c.ended == len(a.tasks) {
					c.begin(ckpt.End)
				} else if r.IntN(20) == 0 {
					c.begin([]ckpt.Trigger{ckpt.Periodic, ckpt.Stop}[r.IntN(8)/7])
				}
				if r.IntN(400) == 0 && c.current.ID != 0 && !c.draining {
					c.abort()
					aborted++
				}
				m := c.poll(r.IntN(5) == 0)
				if m == nil {
					return false
				}
				complete++
				if r.IntN(3) == 0 {
					if err := c.store.Retain(m.Checkpoint); err != nil {
						c.err = err
					}
				}
				finished = m.Finished
				return m.Trigger.Final()
			})
			if err != nil || c.err != nil {
				t.Fatalf("seed %d: %v, %v", seed, err, c.err)
			}
			c.mu.Lock()
			c.crashed = true
			c.mu.Unlock()
			if rounds == crash {
				crashes++
				switch r.IntN(3) {
				case 0:
					disk.Kill()
				case 1:
					disk.Crash()
				case 2:
					disk.CrashRandom(seed)
				}
			}
			a.Stop()
			if err := a.Close(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			_ = c.store.Close()
			if err := pool.CheckZero(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if err := out.check(perSplit); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%d checkpoints complete, %d times given up early, %d crashes", complete, aborted, crashes)
	if !testing.Short() && raceFactor == 1 && (complete < 100 || crashes < 20) {
		t.Errorf("the simulation did little: %d checkpoints, %d crashes", complete, crashes)
	}
}

// punctual fails when a row comes that a watermark has passed: nothing in the simulation is late.
type punctual struct {
	core.Operator
	mark core.Time
}

func (p *punctual) Process(port int, b *core.Batch, out core.Emitter) error {
	for i := range b.Rows() {
		if at := core.Time(b.Columns[2].Int64s()[b.Row(i)]); at <= p.mark {
			b.Release()
			return fmt.Errorf("a row of %v came after the watermark %v", int64(at), int64(p.mark))
		}
	}
	return p.Operator.Process(port, b, out)
}

func (p *punctual) Advance(t core.Time, out core.Emitter) error {
	p.mark = t
	return p.Operator.Advance(t, out)
}

// TestRealWorkersWithState runs the same graph on goroutines: checkpoints as fast as they go, some given up early, crashes, rescaling. No
// goroutine is left.
func TestRealWorkersWithState(t *testing.T) {
	const perSplit = 4000 / raceFactor
	before := runtime.NumGoroutine()
	r := rand.New(rand.NewPCG(3, 3))
	disk, out, c := modelstore.NewDisk(), newKeyedOutputs(false), &testCheckpoints{}
	complete := 0
	for attempt, finished := 0, false; !finished; attempt++ {
		pool := memory.NewPool(256 << 20)
		c.store = ckpt.NewStore(disk.Open(), ckpt.StoreOptions{})
		at, sum := uint64(0), ckpt.Summary{}
		if c.manifest != nil {
			at, sum = c.manifest.Checkpoint, c.manifest.Store
		}
		if _, err := c.store.Recover(at, sum); err != nil {
			t.Fatal(err)
		}
		timeout := []time.Duration{-1, 0, 100 * time.Microsecond, 5 * time.Millisecond}[attempt%4]
		a, err := Open(context.Background(), keyedGraph(t, pool, clock.Real(), out, 1+attempt%4, perSplit, 8, timeout), c.manifest, PageSource(c.store, at))
		if err != nil {
			t.Fatal(err)
		}
		c.restart(a)
		a.Start(c)
		for i := 0; !finished && (attempt >= 6 || i < 100); i++ {
			c.mu.Lock()
			ended, err := c.ended == len(a.tasks), c.err
			c.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if ended {
				c.begin(ckpt.End)
			} else {
				c.begin(ckpt.Periodic)
			}
			if r.IntN(20) == 0 {
				c.abort()
			}
			if m := c.poll(r.IntN(10) == 0); m != nil {
				finished = m.Finished
				complete++
			}
			time.Sleep(20 * time.Microsecond)
		}
		c.mu.Lock()
		c.crashed = true
		c.mu.Unlock()
		a.Stop()
		<-a.Done()
		if err := errors.Join(a.Err(), c.err, a.Close(), c.store.Close(), pool.CheckZero()); err != nil {
			t.Fatal(err)
		}
		disk.CrashRandom(uint64(attempt))
	}
	if err := out.check(perSplit); err != nil {
		t.Error(err)
	}
	t.Logf("%d checkpoints complete", complete)
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left, there were %d", runtime.NumGoroutine(), before)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
