package shuffle

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"turbo/core"
	"turbo/memory"
)

// Several workers, each a sender and a receiver, through tiny rings, with watermarks, barriers and ends in between, batches of all
// sizes, random timeouts, and sleep by the Waker protocol: every row arrives once, in order by key, in the right epoch.
func TestExchangeConcurrent(t *testing.T) {
	s := seed(t)
	for round := range 6 {
		rng := rand.New(rand.NewPCG(s, uint64(round)))
		workers := 2 + rng.IntN(2)
		exchangeOnce(t, newPool(t), rng, workers, s+uint64(round))
	}
}

const epochs = 20 // barriers per sender; row values are sender, epoch and sequence number

func exchangeOnce(t *testing.T, pool *memory.Pool, rng *rand.Rand, workers int, s uint64) {
	schema := core.NewSchema(core.Field{Name: "key", Type: core.Of(core.Int64)}, core.Field{Name: "value", Type: core.Of(core.Int64)})
	budget := Budget{Slots: 2 << rng.IntN(3), Rows: int64(1 + rng.IntN(200))}
	timeout := []time.Duration{-1, 0, 50 * time.Microsecond, time.Millisecond}[rng.IntN(4)]
	kind := []Kind{Hash, Hash, Rebalance}[rng.IntN(3)]
	batchRows, idleFlush := 1+rng.IntN(100), rng.IntN(2) == 0
	wakers, tokens := make([]*Waker, workers), make([]chan struct{}, workers)
	for i := range wakers {
		token := make(chan struct{}, 1)
		tokens[i] = token
		wakers[i] = NewWaker(func() {
			select {
			case token <- struct{}{}:
			default:
			}
		})
	}
	channels := Connect(budget, wakers, wakers)
	sent := make([]int64, workers)
	received := make([]int64, workers)
	begin := time.Now()
	var wg, ended sync.WaitGroup
	ended.Add(workers)
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(s, uint64(1000+w)))
			account := pool.Account(fmt.Sprint("worker ", w))
			out, err := NewOutput(OutputConfig{
				Kind: kind, Schema: schema, Account: account, Channels: channels[w], Keys: []int{0}, BatchRows: batchRows,
				BufferTimeout: timeout, FlushWhenIdle: idleFlush,
			})
			if err != nil {
				t.Error(err)
				return
			}
			gate := NewGate(Receiving(channels, w))
			var pending *core.Message
			epoch, sequence, open, finalSeen := int64(0), int64(0), true, false
			newest := map[[2]int64]int64{} // by sender and key: the last sequence number
			atBarrier, watermark, told := int64(0), core.MinTime, core.MinTime
			// step does one round of both tasks and reports whether it did anything.
			step := func() bool {
				worked := false
				out.Poll(int64(time.Since(begin)))
				switch {
				case pending != nil:
					if out.Control(*pending) {
						pending, worked = nil, true
					}
				case open && (!out.Full() || out.Resume()):
					worked = true
					switch k := rng.IntN(20); {
					case k == 0 && epoch < epochs:
						epoch++
						pending = &core.Message{Kind: core.BarrierMessage, Checkpoint: uint64(epoch)}
					case k == 2:
						if !out.Control(core.Message{Kind: core.WatermarkMessage, Flags: core.Riding, Time: core.Time(sequence)}) {
							t.Error("a riding watermark is not done at once")
						}
					case k == 1:
						pending = &core.Message{Kind: core.WatermarkMessage, Time: core.Time(sequence)}
					case epoch == epochs:
						pending = &core.Message{Kind: core.EndMessage}
						epoch++
					case epoch > epochs:
						pending = &core.Message{Kind: core.BarrierMessage, Checkpoint: epochs + 1, Flags: core.FinalBarrier}
						open = false
					default:
						b := core.NewBatch(account, schema)
						key, value := core.NewVector(account, core.Of(core.Int64), 1), core.NewVector(account, core.Of(core.Int64), 1)
						for range 1 + rng.IntN(1<<rng.IntN(9)) {
							sequence++
							key.AppendInt64(rng.Int64N(50))
							value.AppendInt64(int64(w)<<48 | epoch<<32 | sequence)
						}
						b.Columns, b.Len = append(b.Columns, key, value), key.Len()
						sent[w] += int64(b.Len)
						out.Emit(b)
					}
				}
				for range 3 {
					e, ok := gate.Poll()
					if !ok {
						break
					}
					worked = true
					switch e.Kind {
					case core.DataMessage:
						keys, values := e.Batch.Columns[0].Int64s(), e.Batch.Columns[1].Int64s()
						for i := range e.Batch.Rows() {
							i := e.Batch.Row(i)
							from, at, n := values[i]>>48, values[i]>>32&0xffff, values[i]&0xffffffff
							if at != atBarrier {
								t.Errorf("a row of epoch %d after barrier %d", at, atBarrier)
							}
							if last := newest[[2]int64{from, keys[i]}]; n <= last {
								t.Errorf("row %d of sender %d and key %d after row %d", n, from, keys[i], last)
							}
							newest[[2]int64{from, keys[i]}] = n
							if core.Time(n) <= watermark {
								t.Errorf("row %d of sender %d after watermark %v", n, from, watermark)
							}
							received[w]++
						}
						e.Batch.Release()
					case core.WatermarkMessage:
						riding := e.Flags&core.Riding != 0
						if e.Time < watermark || e.Time == watermark && (riding || e.Time == told) {
							t.Errorf("watermark %v after %v", e.Time, watermark)
						}
						if watermark = e.Time; !riding {
							told = e.Time
						}
					case core.BarrierMessage:
						if atBarrier++; int64(e.Checkpoint) != atBarrier {
							t.Errorf("barrier %d after %d", e.Checkpoint, atBarrier-1)
						}
						finalSeen = e.Flags&core.FinalBarrier != 0
					}
				}
				return worked
			}
			for !finalSeen || open || pending != nil {
				if step() {
					wakers[w].Busy()
					if rng.IntN(20) == 0 {
						runtime.Gosched()
					}
					continue
				}
				wakers[w].Park()
				if step() {
					wakers[w].Busy()
					continue
				}
				var alarm <-chan time.Time
				if at, ok := out.Deadline(); ok {
					alarm = time.After(time.Duration(at) - time.Since(begin))
				}
				select {
				case <-tokens[w]:
				case <-alarm:
				}
				wakers[w].Busy()
			}
			ended.Done()
			ended.Wait()
			out.Close()
			gate.Close()
		}()
	}
	wg.Wait()
	var all, got int64
	for w := range workers {
		all += sent[w]
		got += received[w]
	}
	if all != got {
		t.Errorf("%v: %d rows sent, %d received", kind, all, got)
	}
}
