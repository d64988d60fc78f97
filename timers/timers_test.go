package timers_test

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"turbo/core"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
	"turbo/timers"
)

// Pops in order, nothing lost, late timers with the next batch: against a sorted list.
func TestQueue(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		pool := memory.NewPool(0)
		q := timers.NewQueue(pool.Account("q"))
		var model []timers.Entry
		now := core.Time(-5000)
		for step := range 300 {
			for range rng.IntN(200) {
				e := timers.Entry{Time: now + core.Time(rng.Int64N(1<<rng.IntN(30))) - 50, Ref: rng.Uint64()}
				if rng.IntN(200) == 0 {
					e.Time = []core.Time{core.MinTime, core.MaxTime}[rng.IntN(2)]
				}
				model = append(model, e)
				if err := q.Push(e); err != nil {
					t.Fatal(err)
				}
			}
			now += core.Time(rng.Int64N(1 << rng.IntN(22)))
			if step == 299 {
				now = core.MaxTime
			}
			out := make([]timers.Entry, 1+rng.IntN(100))
			var got []timers.Entry
			for {
				n, err := q.Pop(now, out)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				got = append(got, out[:n]...)
			}
			for i := range got {
				if got[i].Time > now {
					t.Fatalf("seed %d: popped %v at %v", seed, got[i].Time, now)
				}
			}
			var want, rest []timers.Entry
			for _, e := range model {
				if e.Time <= now {
					want = append(want, e)
				} else {
					rest = append(rest, e)
				}
			}
			model = rest
			order := func(a, b timers.Entry) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Ref, b.Ref)) }
			slices.SortFunc(got, order)
			slices.SortFunc(want, order)
			if !slices.Equal(got, want) || q.Len() != len(model) {
				t.Fatalf("seed %d: popped %d, want %d; %d left, want %d", seed, len(got), len(want), q.Len(), len(model))
			}
			if next, ok := q.Next(); ok != (len(model) > 0) || ok && next != slices.MinFunc(model, order).Time {
				t.Fatalf("seed %d: next %v %v", seed, next, ok)
			}
		}
		q.Clear()
		if err := pool.CheckZero(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueueOrder(t *testing.T) {
	q := timers.NewQueue(memory.NewPool(0).Account("q"))
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10000 {
		if err := q.Push(timers.Entry{Time: core.Time(rng.Int64N(1 << 40))}); err != nil {
			t.Fatal(err)
		}
	}
	out := make([]timers.Entry, 10000)
	if n, err := q.Pop(core.MaxTime, out); n != 10000 || err != nil {
		t.Fatal(n, err)
	}
	if !slices.IsSortedFunc(out, func(a, b timers.Entry) int { return cmp.Compare(a.Time, b.Time) }) {
		t.Error("not in the order of time")
	}
}

func TestQueueLimit(t *testing.T) {
	account := memory.NewPool(0).Account("q")
	account.SetLimit(100 << 10)
	q := timers.NewQueue(account)
	n := 0
	for ; q.Push(timers.Entry{Time: core.Time(n * 1000)}) == nil; n++ {
	}
	account.SetLimit(account.Used())
	out := make([]timers.Entry, 16)
	popped := 0
	for {
		k, err := q.Pop(core.MaxTime, out)
		popped += k
		if err != nil {
			account.SetLimit(0) // and nothing was lost
		} else if k == 0 {
			break
		}
	}
	if popped != n {
		t.Errorf("popped %d of %d", popped, n)
	}
}

// A service against a set, over restarts at other parallelism.
func TestService(t *testing.T) {
	const groups = 8
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		pool := memory.NewPool(0)
		account := pool.Account("t")
		namespace := []core.Field{{Name: "key", Type: core.Of(core.String)}}
		if seed%3 == 0 {
			namespace = nil
		}
		var pages testkit.Pages
		var backends []*state.Backend
		var services []*timers.Service
		model := map[string]core.Time{}
		stop := func() {
			for i, s := range services {
				s.Close()
				backends[i].Close()
			}
			services, backends = nil, nil
		}
		start := func(workers, checkpoint int) {
			stop()
			for w := range workers {
				from, to := core.KeyGroupRange(w, groups, workers)
				b := state.NewBackend(groups, from, to, pages.At(checkpoint))
				s, err := timers.NewService(b.Operator("op", account), account, "timers", namespace)
				if err != nil {
					t.Fatal(err)
				}
				backends, services = append(backends, b), append(services, s)
			}
		}
		start(1, 0)
		now := core.Time(0)
		owner := func(g int32) int { return core.WorkerOf(int(g), groups, len(services)) }
		for range 100 {
			n := rng.IntN(40)
			for w, s := range services {
				var gs []int32
				var ts []core.Time
				var ns []*core.Vector
				for range namespace {
					ns = append(ns, core.NewVector(account, core.Of(core.String), 0))
				}
				name := func(i int) string {
					if ns == nil {
						return fmt.Sprint(gs[i], ts[i])
					}
					return fmt.Sprint(gs[i], ts[i], testkit.Format(ns[0], i))
				}
				for range n {
					g := int32(rng.IntN(groups))
					if owner(g) != w {
						continue
					}
					gs, ts = append(gs, g), append(ts, now+core.Time(rng.IntN(20)))
					for _, v := range ns {
						if rng.IntN(9) == 0 {
							v.AppendNull()
						} else {
							v.AppendString(fmt.Sprint(rng.IntN(5)))
						}
					}
				}
				var err error
				if rng.IntN(3) > 0 {
					err = s.Register(gs, ts, ns)
					for i := range gs {
						model[name(i)] = ts[i]
					}
				} else {
					err = s.Delete(gs, ts, ns)
					for i := range gs {
						delete(model, name(i))
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range ns {
					v.Release()
				}
			}
			if rng.IntN(3) == 0 {
				now += core.Time(rng.IntN(15))
				due := map[string]core.Time{}
				for k, at := range model {
					if at <= now {
						due[k] = at
						delete(model, k)
					}
				}
				for _, s := range services {
					before := core.MinTime
					for {
						f, err := s.Fire(now)
						if err != nil {
							t.Fatal(err)
						}
						if f == nil {
							break
						}
						for i := range f.Len() {
							at := core.Time(f.Times.Int64s()[i])
							name := fmt.Sprint(f.Groups.Int32s()[i], at)
							if namespace != nil {
								name = fmt.Sprint(f.Groups.Int32s()[i], at, testkit.Format(f.Namespace[0], i))
							}
							if due[name] != at || at < before {
								t.Fatalf("seed %d: fired %s, due %v, after %v", seed, name, due, before)
							}
							before = at
							delete(due, name)
						}
						f.Release()
					}
				}
				if len(due) > 0 {
					t.Fatalf("seed %d: not fired: %v", seed, due)
				}
			}
			if rng.IntN(10) == 0 {
				sink := pages.Begin()
				for _, b := range backends {
					s, err := b.Freeze()
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Write(sink); err != nil {
						t.Fatal(err)
					}
					if err := s.Complete(); err != nil {
						t.Fatal(err)
					}
				}
				start(1+rng.IntN(3), pages.Complete())
			}
			total := 0
			for _, s := range services {
				total += s.Len()
			}
			if total != len(model) {
				t.Fatalf("seed %d: %d timers, want %d: %v", seed, total, len(model), slices.Sorted(maps.Keys(model)))
			}
		}
		stop()
		if err := pool.CheckZero(); err != nil {
			t.Fatal(err)
		}
	}
}

// binaryHeap is the simplest structure with the same answer.
type binaryHeap []timers.Entry

func (h binaryHeap) Len() int           { return len(h) }
func (h binaryHeap) Less(i, j int) bool { return h[i].Time < h[j].Time }
func (h binaryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *binaryHeap) Push(x any)        { *h = append(*h, x.(timers.Entry)) }
func (h *binaryHeap) Pop() any {
	n := len(*h) - 1
	x := (*h)[n]
	*h = (*h)[:n]
	return x
}

// A TTL's load: a batch of 1000 is registered an hour or so ahead, time advances by a millisecond, what is due is popped; a million are pending.
func BenchmarkTimers(b *testing.B) {
	const pending, batch = 1_000_000, 1000
	jitter := func(rng *rand.Rand) core.Time { return core.Time(rng.Int64N(5_000_000)) }
	b.Run("queue", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(1, 1))
		q := timers.NewQueue(memory.NewPool(0).Account("q"))
		now := core.Time(1_700_000_000_000_000)
		out := make([]timers.Entry, batch)
		step := func() {
			for i := range batch {
				_ = q.Push(timers.Entry{Time: now + 1_000_000 + jitter(rng), Ref: uint64(i)})
			}
			now += 1000
			for {
				if n, _ := q.Pop(now, out); n == 0 {
					break
				}
			}
		}
		for range pending / batch * 8 {
			step()
		}
		b.ReportAllocs()
		for b.Loop() {
			step()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/timer")
	})
	b.Run("heap", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(1, 1))
		var h binaryHeap
		now := core.Time(1_700_000_000_000_000)
		step := func() {
			for i := range batch {
				heap.Push(&h, timers.Entry{Time: now + 1_000_000 + jitter(rng), Ref: uint64(i)})
			}
			now += 1000
			for len(h) > 0 && h[0].Time <= now {
				heap.Pop(&h)
			}
		}
		for range pending / batch * 8 {
			step()
		}
		b.ReportAllocs()
		for b.Loop() {
			step()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/timer")
	})
}
