package shuffle

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/hash"
	"turbo/memory"
)

// The exchange between two workers, against the simplest loop that does the same: the benchmarks run both and compare answers.

var threeInts = core.NewSchema(
	core.Field{Name: "key", Type: core.Of(core.Int64).Required()},
	core.Field{Name: "a", Type: core.Of(core.Int64).Required()},
	core.Field{Name: "b", Type: core.Of(core.Int64).Required()},
)

// sums is what both sides compute from what a receiver got, so that every value is read.
type sums struct{ rows, keys, a, b int64 }

func (s *sums) add(keys, a, b []int64) {
	a, b = a[:len(keys)], b[:len(keys)]
	for i, k := range keys {
		s.keys += k
		s.a += a[i]
		s.b += b[i]
	}
	s.rows += int64(len(keys))
}

// source holds the input of one sender: count rows, handed over batch rows at a time.
type source struct{ key, a, b []int64 }

func newSource(sender, count int) source {
	s := source{make([]int64, count), make([]int64, count), make([]int64, count)}
	for i := range count {
		s.key[i] = int64(hash.Mix(uint64(i*2+sender)) % 100_000)
		s.a[i] = int64(i)
		s.b[i] = int64(-i)
	}
	return s
}

// runExchange sends the sources, rounds times, through a hash exchange with one sender and one receiver on each worker, and
// returns each receiver's sums and the time from the start to the end.
func runExchange(pool *memory.Pool, sources []source, rounds, batch int) ([]sums, time.Duration) {
	n := len(sources)
	wakers := make([]*Waker, n)
	for i := range wakers {
		wakers[i] = sleepless()
	}
	channels := Connect(Budget{}, wakers, wakers)
	result := make([]sums, n)
	var ready, done sync.WaitGroup
	var finished atomic.Int32
	start := make(chan struct{})
	for w := range n {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			account := pool.Account(fmt.Sprint("worker ", w))
			out, err := NewOutput(OutputConfig{
				Kind: Hash, Schema: threeInts, Account: account, Channels: channels[w], Keys: []int{0}, BatchRows: batch, BufferTimeout: -1,
			})
			if err != nil {
				panic(err)
			}
			gate := NewGate(Receiving(channels, w))
			batches := core.NewBatchPool(account, threeInts, batch, 4)
			ready.Done()
			<-start
			src, total := &sources[w], &result[w]
			round, at, sent := 0, 0, false
			for ended := false; !ended || !sent; {
				worked := false
				if !sent && (!out.Full() || out.Resume()) {
					if round == rounds {
						sent = out.Control(core.Message{Kind: core.EndMessage})
					} else {
						end := min(at+batch, len(src.key))
						b := batches.Get()
						for c, values := range [3][]int64{src.key[at:end], src.a[at:end], src.b[at:end]} {
							b.Columns[c].Extend(len(values))
							copy(b.Columns[c].Int64s(), values)
						}
						b.Len = end - at
						out.Emit(b)
						if at = end; at == len(src.key) {
							at = 0
							round++
						}
					}
					worked = true
				}
				for {
					e, ok := gate.Poll()
					if !ok {
						break
					}
					worked = true
					if e.Kind == core.EndMessage {
						ended = true
						break
					}
					total.add(e.Batch.Columns[0].Int64s(), e.Batch.Columns[1].Int64s(), e.Batch.Columns[2].Int64s())
					e.Batch.Release()
				}
				if !worked {
					runtime.Gosched()
				}
			}
			finished.Add(1)
			for int(finished.Load()) < n {
				runtime.Gosched() // the pools' batches are still with the others
			}
			out.Close()
			batches.Close()
			gate.Close()
		}()
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	done.Wait()
	return result, time.Since(begin)
}

// handBatch is what the hand-written loop hands over.
type handBatch struct {
	n         int
	hash      []uint64
	key, a, b []int64
}

// runByHand does what runExchange does with plain slices: hash, scatter, rings of eight batches each way, no types, no budget,
// no control. It stands for what the machine can do.
func runByHand(sources []source, rounds, batch int) ([]sums, time.Duration) {
	n := len(sources)
	const slots = 8
	full := make([][]*Ring[*handBatch], n) // full[s][r] carries batches, empty[s][r] brings them back
	empty := make([][]*Ring[*handBatch], n)
	for s := range n {
		for range n {
			f, e := NewRing[*handBatch](slots, Credit{}), NewRing[*handBatch](2*slots, Credit{})
			for range slots + 2 {
				e.Push(&handBatch{
					0, make([]uint64, 2*batch), make([]int64, 2*batch), make([]int64, 2*batch), make([]int64, 2*batch),
				}, Credit{})
			}
			full[s], empty[s] = append(full[s], f), append(empty[s], e)
		}
	}
	result := make([]sums, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for w := range n {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			open := make([]*handBatch, n)
			for r := range open {
				open[r], _, _ = empty[w][r].Pop()
			}
			hashes := make([]uint64, batch)
			total := &result[w]
			receive := func() (ended int) {
				for s := range n {
					b, ok, _ := full[s][w].Pop()
					if !ok {
						continue
					}
					if b == nil {
						ended++
						continue
					}
					total.add(b.key[:b.n], b.a, b.b)
					b.n = 0
					empty[s][w].Push(b, Credit{})
				}
				return ended
			}
			ready.Done()
			<-start
			ended := 0
			send := func(r int, b *handBatch) {
				for !full[w][r].Push(b, Credit{}) {
					ended += receive()
					runtime.Gosched()
				}
			}
			next := func(r int) *handBatch {
				for {
					if b, ok, _ := empty[w][r].Pop(); ok {
						return b
					}
					ended += receive()
					runtime.Gosched()
				}
			}
			src := &sources[w]
			for range rounds {
				for at := 0; at < len(src.key); at += batch {
					end := min(at+batch, len(src.key))
					key, a, b := src.key[at:end], src.a[at:end], src.b[at:end]
					hs := hashes[:len(key)]
					for i, k := range key {
						hs[i] = hash.Int64(k)
					}
					a, b = a[:len(key)], b[:len(key)]
					for i, k := range key {
						h := hs[i]
						r := int(h >> 32 * uint64(n) >> 32)
						o := open[r]
						n := o.n
						o.hash[n], o.key[n], o.a[n], o.b[n] = h, k, a[i], b[i]
						o.n = n + 1
					}
					for r, o := range open {
						if o.n >= batch {
							send(r, o)
							open[r] = next(r)
						}
					}
					ended += receive()
				}
			}
			for r, o := range open {
				send(r, o)
				send(r, nil)
			}
			for ended < n {
				before := ended
				if ended += receive(); ended == before {
					runtime.Gosched()
				}
			}
		}()
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	done.Wait()
	return result, time.Since(begin)
}

// BenchmarkExchange hash-partitions three int64 columns between two workers. Both figures are wall time per row while both workers
// run, each of them sender and receiver.
func BenchmarkExchange(b *testing.B) {
	for _, batch := range []int{64, 1024, 4096} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			const count = 1 << 18
			sources := []source{newSource(0, count), newSource(1, count)}
			pool := memory.NewPool(0)
			runExchange(pool, sources, 1, batch) // warm
			var exchange, byHand time.Duration
			rows := 0
			for b.Loop() {
				got, t1 := runExchange(pool, sources, 1, batch)
				want, t2 := runByHand(sources, 1, batch)
				exchange += t1
				byHand += t2
				for w := range want {
					if got[w] != want[w] {
						b.Fatalf("worker %d: exchange %+v, by hand %+v", w, got[w], want[w])
					}
				}
				rows += len(sources) * count
			}
			b.ReportMetric(float64(exchange.Nanoseconds())/float64(rows), "ns/row")
			b.ReportMetric(float64(byHand.Nanoseconds())/float64(rows), "hand-ns/row")
			b.ReportMetric(float64(byHand)/float64(exchange), "of-hand")
			if err := pool.CheckZero(); err != nil {
				b.Error(err)
			}
		})
	}
}
