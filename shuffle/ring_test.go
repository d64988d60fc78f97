package shuffle

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// seed returns a seed and prints it when the test fails.
func seed(t testing.TB) uint64 {
	s := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", s)
		}
	})
	return s
}

// A ring against a plain slice: random pushes and pops in one goroutine.
func TestRingModel(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 1))
	for range 200 {
		slots := 1 + rng.IntN(9)
		bound := Credit{int64(rng.IntN(3) * 50), int64(rng.IntN(3) * 500)}
		r := NewRing[int](slots, bound)
		var model []int
		var costs []Credit
		next := 0
		for range 300 {
			if rng.IntN(4) == 0 {
				item, ok := r.Reopen()
				if ok && (len(model) == 0 || item != model[len(model)-1] || costs[len(costs)-1] == Credit{}) {
					t.Fatalf("Reopen = %d with %v queued", item, model)
				}
				if !ok && bound == (Credit{}) && len(model) > 0 && (costs[len(costs)-1] != Credit{}) {
					t.Fatal("Reopen refuses an item that has not been taken")
				}
				if ok {
					if _, got, _ := r.Pop(); len(model) == 1 && got {
						t.Fatal("an open item was taken")
					} else if got {
						model, costs = model[1:], costs[1:]
					}
					last := &costs[len(costs)-1]
					*last = Credit{last.Rows + int64(rng.IntN(60)), last.Bytes + int64(rng.IntN(600))}
					r.Close(*last)
				}
			} else if rng.IntN(2) == 0 {
				cost := Credit{int64(rng.IntN(60)), int64(rng.IntN(600))}
				if rng.IntN(4) == 0 {
					cost = Credit{}
				}
				var sum Credit
				for _, c := range costs {
					sum.Rows += c.Rows
					sum.Bytes += c.Bytes
				}
				over := bound.Rows > 0 && sum.Rows+cost.Rows > bound.Rows || bound.Bytes > 0 && sum.Bytes+cost.Bytes > bound.Bytes
				want := len(model) < r.Slots() && (!over || cost == Credit{} || sum == Credit{})
				if got := r.Push(next, cost); got != want {
					t.Fatalf("Push = %v, want %v (%d items, outstanding %v, cost %v, bound %v)", got, want, len(model), sum, cost, bound)
				}
				if want {
					model, costs = append(model, next), append(costs, cost)
					next++
				}
			} else {
				if r.Ready() != (len(model) > 0) || r.Len() != len(model) {
					t.Fatalf("Ready %v, Len %d, want %d", r.Ready(), r.Len(), len(model))
				}
				got, ok, _ := r.Pop()
				if ok != (len(model) > 0) || ok && got != model[0] {
					t.Fatalf("Pop = %d, %v, want %v", got, ok, model)
				}
				if ok {
					model, costs = model[1:], costs[1:]
				}
			}
			if r.Drained() != (len(model) == 0) {
				t.Fatal("Drained")
			}
		}
		for i := range r.slots { // invariant 1: what is not queued is zero, so that nothing is kept alive
			if i := uint64(i); r.slots[i].item != 0 && (i-r.read)&r.mask >= uint64(len(model)) {
				t.Fatalf("slot %d is not cleared", i)
			}
		}
	}
}

// Two goroutines, random sizes and pauses, items that are runs of numbers and grow in the ring; both sides sleep by the Waker protocol, so a lost wake-up hangs the test.
func TestRingConcurrent(t *testing.T) {
	s := seed(t)
	const n = 20000
	rng := rand.New(rand.NewPCG(s, 2))
	r := NewRing[*[2]int](1+rng.IntN(16), Credit{int64(1 + rng.IntN(100)), 0})
	worker := func() (*Waker, chan struct{}) {
		token := make(chan struct{}, 1)
		return NewWaker(func() {
			select {
			case token <- struct{}{}:
			default:
			}
		}), token
	}
	sender, senderToken := worker()
	receiver, receiverToken := worker()
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		rng := rand.New(rand.NewPCG(s, 3))
		for i := range n {
			if run, ok := r.Reopen(); ok && run != nil && rng.IntN(2) == 0 {
				run[1]++ // -race finds it if the consumer may look at this time
				r.Close(Credit{int64(rng.IntN(40)), 1})
				receiver.Notify()
				continue
			} else if ok {
				r.Close(Credit{int64(rng.IntN(40)), 1})
				receiver.Notify()
			}
			item, cost := &[2]int{i, 1}, Credit{int64(rng.IntN(40)), 1}
			for !r.Push(item, cost) {
				sender.Park()
				r.Starve()
				if r.Push(item, cost) {
					sender.Busy()
					break
				}
				<-senderToken
				sender.Busy()
			}
			receiver.Notify()
			if rng.IntN(50) == 0 {
				runtime.Gosched()
			}
		}
	}()
	go func() {
		defer wg.Done()
		rng := rand.New(rand.NewPCG(s, 4))
		for i := 0; i < n; {
			item, ok, starved := r.Pop()
			if starved {
				sender.Notify()
			}
			if ok {
				if item[0] != i {
					t.Errorf("got the items from %d on, want %d", item[0], i)
					return
				}
				i += item[1]
				if rng.IntN(50) == 0 {
					runtime.Gosched()
				}
				continue
			}
			receiver.Park()
			if r.Ready() {
				receiver.Busy()
				continue
			}
			<-receiverToken
			receiver.Busy()
		}
	}()
	wg.Wait()
}

func TestRingAllocates(t *testing.T) {
	r := NewRing[[4]int](8, Credit{100, 100})
	if n := testing.AllocsPerRun(100, func() {
		r.Push([4]int{1}, Credit{1, 1})
		r.Pop()
	}); n != 0 {
		t.Errorf("%v allocations per item", n)
	}
}
