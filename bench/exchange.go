package bench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"turbo/core"
	"turbo/core/hash"
	"turbo/memory"
	"turbo/shuffle"
)

func init() {
	register(Benchmark{"exchange", "hash-partition and hand over three int64 columns between two workers; a one-row batch's hop", benchExchange})
}

// Expected cost per row: 1 ns for the hash, 4 ns to copy 32 bytes into the open batch (three columns and the hash), 1 ns to read them, and
// nothing to speak of for the hop at 4096 rows. Two cores that share their memory: 5 to 10 ns of wall time a row and worker, half of that per row of both.

var exchangeSchema = core.NewSchema(
	core.Field{Name: "key", Type: core.Of(core.Int64).Required()},
	core.Field{Name: "a", Type: core.Of(core.Int64).Required()},
	core.Field{Name: "b", Type: core.Of(core.Int64).Required()},
)

// exchangeSums is what both sides compute from what a receiver got, so that every value is read.
type exchangeSums struct{ rows, keys, a, b int64 }

func (s *exchangeSums) add(keys, a, b []int64) {
	a, b = a[:len(keys)], b[:len(keys)]
	for i, k := range keys {
		s.keys += k
		s.a += a[i]
		s.b += b[i]
	}
	s.rows += int64(len(keys))
}

// exchangeInput holds the input of one sender: count rows, handed over batch rows at a time.
type exchangeInput struct{ key, a, b []int64 }

func newExchangeInput(sender, count int) exchangeInput {
	s := exchangeInput{make([]int64, count), make([]int64, count), make([]int64, count)}
	for i := range count {
		s.key[i] = int64(hash.Mix(uint64(i*2+sender)) % 100_000)
		s.a[i] = int64(i)
		s.b[i] = int64(-i)
	}
	return s
}

// runExchange sends the sources, rounds times, through a hash exchange with one sender and one receiver on each worker, and
// returns each receiver's sums and the time from the start to the end.
func runExchange(pool *memory.Pool, sources []exchangeInput, rounds, batch int) ([]exchangeSums, time.Duration) {
	n := len(sources)
	wakers := make([]*shuffle.Waker, n)
	for i := range wakers {
		wakers[i] = shuffle.NewWaker(func() {})
	}
	channels := shuffle.Connect(shuffle.Budget{}, wakers, wakers)
	result := make([]exchangeSums, n)
	var ready, done sync.WaitGroup
	var finished atomic.Int32
	start := make(chan struct{})
	for w := range n {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			account := pool.Account(fmt.Sprint("worker ", w))
			out, err := shuffle.NewOutput(shuffle.OutputConfig{
				Kind: shuffle.Hash, Schema: exchangeSchema, Account: account, Channels: channels[w], Keys: []int{0}, BatchRows: batch, BufferTimeout: -1,
			})
			if err != nil {
				panic(err)
			}
			gate := shuffle.NewGate(shuffle.Receiving(channels, w))
			batches := core.NewBatchPool(account, exchangeSchema, batch, 4)
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

// exchangeBatch is what the hand-written loop hands over.
type exchangeBatch struct {
	n         int
	hash      []uint64
	key, a, b []int64
}

// runByHand does what runExchange does with plain slices: hash, scatter, rings of eight batches each way, no types, no budget,
// no control. It stands for what the machine can do.
func runByHand(sources []exchangeInput, rounds, batch int) ([]exchangeSums, time.Duration) {
	n := len(sources)
	const slots = 8
	full := make([][]*shuffle.Ring[*exchangeBatch], n) // full[s][r] carries batches, empty[s][r] brings them back
	empty := make([][]*shuffle.Ring[*exchangeBatch], n)
	for s := range n {
		for range n {
			f, e := shuffle.NewRing[*exchangeBatch](slots, shuffle.Credit{}), shuffle.NewRing[*exchangeBatch](2*slots, shuffle.Credit{})
			for range slots + 2 {
				e.Push(&exchangeBatch{
					0, make([]uint64, 2*batch), make([]int64, 2*batch), make([]int64, 2*batch), make([]int64, 2*batch),
				}, shuffle.Credit{})
			}
			full[s], empty[s] = append(full[s], f), append(empty[s], e)
		}
	}
	result := make([]exchangeSums, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for w := range n {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			open := make([]*exchangeBatch, n)
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
					empty[s][w].Push(b, shuffle.Credit{})
				}
				return ended
			}
			ready.Done()
			<-start
			ended := 0
			send := func(r int, b *exchangeBatch) {
				for !full[w][r].Push(b, shuffle.Credit{}) {
					ended += receive()
					runtime.Gosched()
				}
			}
			next := func(r int) *exchangeBatch {
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

func benchExchange(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Hash partition and hand-over of three int64 columns between two workers, each sender and receiver; ns of wall time a row (%s)\n\n", machine())
	t := newTable(w, "rows a batch", "turbo, ns/row", "loop, ns/row", "turbo / loop (speed)", "spread", "allocations a batch")
	for _, batch := range []int{64, 1024, 4096} {
		count, rounds := 1<<18, 32
		if o.Quick {
			rounds = 2
		}
		inputs := []exchangeInput{newExchangeInput(0, count), newExchangeInput(1, count)}
		rows := int64(len(inputs) * count * rounds)
		pool := newPool()
		var got []exchangeSums
		r, err := pairs(ctx, o.pairs(), func(context.Context) (Run, error) {
			var took time.Duration
			got, took = runExchange(pool, inputs, rounds, batch)
			return Run{Rows: rows, Elapsed: took}, nil
		}, func(context.Context) (Run, error) {
			want, took := runByHand(inputs, rounds, batch)
			for w := range want {
				if got[w] != want[w] {
					return Run{}, fmt.Errorf("worker %d: the exchange gave %+v, the loop %+v", w, got[w], want[w])
				}
			}
			return Run{Rows: rows, Elapsed: took}, nil
		})
		if err != nil {
			return err
		}
		allocations := func(rounds int) float64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			runExchange(pool, inputs, rounds, batch)
			runtime.ReadMemStats(&after)
			return float64(after.Mallocs - before.Mallocs)
		}
		more := (allocations(2*rounds) - allocations(rounds)) / float64(len(inputs)*count*rounds/batch)
		if err := pool.CheckZero(); err != nil {
			return err
		}
		t.row(fmt.Sprint(batch), fmt.Sprintf("%.1f", 1e3/r.Turbo), fmt.Sprintf("%.1f", 1e3/r.Loop), fmt.Sprintf("%.2f", r.Median),
			fmt.Sprintf("%.2f to %.2f", r.Low, r.High), fmt.Sprintf("%.3f", max(more, 0)))
	}
	return benchHop(w, o)
}
