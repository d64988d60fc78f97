package shuffle

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/memory"
)

// hopper is a worker of the hop benchmark: an Output to the other worker and a Gate from it.
type hopper struct {
	out     *Output
	gate    *Gate
	waker   *Waker
	token   chan struct{}
	batches *core.BatchPool
	park    bool
	rounds  uint64
}

func newHoppers(account *memory.Account, park bool) [2]*hopper {
	var h [2]*hopper
	for i := range h {
		token := make(chan struct{}, 1)
		h[i] = &hopper{token: token, park: park, batches: core.NewBatchPool(account, threeInts, 4096, 16)}
		h[i].waker = NewWaker(func() {
			select {
			case token <- struct{}{}:
			default:
			}
		})
	}
	for i := range h {
		there := NewChannel(Budget{}, h[i].waker, h[1-i].waker)
		out, err := NewOutput(OutputConfig{
			Kind: Hash, Schema: threeInts, Account: account, Channels: []*Channel{there}, Keys: []int{0}, BufferTimeout: 0,
		})
		if err != nil {
			panic(err)
		}
		h[i].out, h[1-i].gate = out, NewGate([]*Channel{there})
	}
	return h
}

func (h *hopper) close() {
	h.out.Close()
	h.gate.Close()
	h.batches.Close()
}

// send emits one row of three columns.
func (h *hopper) send(x int64) {
	b := h.batches.Get()
	for _, c := range b.Columns {
		c.AppendInt64(x)
	}
	b.Len = 1
	h.out.Emit(b)
}

// receive waits for an event, polling or asleep.
func (h *hopper) receive() Event {
	for spins := 0; ; spins++ {
		if e, ok := h.gate.Poll(); ok {
			return e
		}
		if !h.park {
			if spins&1023 == 1023 {
				runtime.Gosched()
			}
			continue
		}
		h.waker.Park()
		if h.gate.Ready() {
			h.waker.Busy()
			continue
		}
		<-h.token
		h.waker.Busy()
	}
}

// pingPong sends a row to and fro and returns the time of each hop there and back, halved.
func pingPong(t testing.TB, h [2]*hopper, n int) []time.Duration {
	done := make(chan bool)
	go func() {
		for {
			e := h[1].receive()
			if e.Kind == core.BarrierMessage {
				break
			}
			x := e.Batch.Columns[0].Int64s()[0]
			e.Batch.Release()
			h[1].send(x + 1)
		}
		done <- true
	}()
	times := make([]time.Duration, n)
	for i := range times {
		begin := time.Now()
		h[0].send(int64(i))
		e := h[0].receive()
		if got := e.Batch.Columns[2].Int64s()[0]; got != int64(i)+1 {
			t.Fatalf("got %d, want %d", got, i+1)
		}
		e.Batch.Release()
		times[i] = time.Since(begin) / 2
	}
	h[0].rounds++
	h[0].out.Control(core.Message{Kind: core.BarrierMessage, Checkpoint: h[0].rounds})
	<-done
	return times
}

// pingPongByHand does the same with a pointer in a plain ring.
func pingPongByHand(t testing.TB, n int) []time.Duration {
	there, back := NewRing[*[4]int64](64, Credit{}), NewRing[*[4]int64](64, Credit{})
	receive := func(r *Ring[*[4]int64]) *[4]int64 {
		for spins := 0; ; spins++ {
			if x, ok, _ := r.Pop(); ok {
				return x
			}
			if spins&1023 == 1023 {
				runtime.Gosched()
			}
		}
	}
	done := make(chan bool)
	go func() {
		for {
			x := receive(there)
			if x[0] < 0 {
				break
			}
			x[0], x[1], x[2] = x[0]+1, x[0]+1, x[0]+1
			back.Push(x, Credit{})
		}
		done <- true
	}()
	times := make([]time.Duration, n)
	row := new([4]int64)
	for i := range times {
		begin := time.Now()
		row[0], row[1], row[2] = int64(i), int64(i), int64(i)
		there.Push(row, Credit{})
		if got := receive(back)[2]; got != int64(i)+1 {
			t.Fatalf("got %d, want %d", got, i+1)
		}
		times[i] = time.Since(begin) / 2
	}
	row[0] = -1
	there.Push(row, Credit{})
	<-done
	return times
}

func percentile(times []time.Duration, p int) float64 {
	slices.Sort(times)
	return float64(times[min(len(times)*p/100, len(times)-1)].Nanoseconds())
}

// BenchmarkHop is the way of a one-row batch from one worker to the other: built, hashed, sent, received, released. Medians, because
// a descheduled worker costs milliseconds.
func BenchmarkHop(b *testing.B) {
	for _, park := range []bool{false, true} {
		name := "polling"
		if park {
			name = "parked"
		}
		b.Run(name, func(b *testing.B) {
			pool := memory.NewPool(0)
			h := newHoppers(pool.Account("hop"), park)
			b.ReportAllocs()
			var times []time.Duration
			for b.Loop() {
				times = append(times, pingPong(b, h, 2000)...)
			}
			b.ReportMetric(percentile(times, 50), "p50-ns")
			b.ReportMetric(percentile(times, 99), "p99-ns")
			if !park {
				b.ReportMetric(percentile(pingPongByHand(b, 20000), 50), "hand-p50-ns")
			}
			for _, w := range h {
				w.close()
			}
			if err := pool.CheckZero(); err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkBatch is what a batch of one row costs, in one goroutine, without the trip between cores: moved as it is (timeout 0), or
// copied into the open batch of one of two receivers (timeout 10 ms), nullable columns included.
func BenchmarkBatch(b *testing.B) {
	nullable := core.NewSchema(
		core.Field{Name: "key", Type: core.Of(core.Int64)}, core.Field{Name: "a", Type: core.Of(core.Int64)}, core.Field{Name: "b", Type: core.Of(core.Int64)},
	)
	for _, c := range []struct {
		name    string
		schema  *core.Schema
		rows    int
		timeout time.Duration
	}{
		{"moved/1", threeInts, 1, 0},
		{"copied/1", threeInts, 1, 10 * time.Millisecond},
		{"copied/64", threeInts, 64, 10 * time.Millisecond},
		{"copied/4096", threeInts, 4096, 10 * time.Millisecond},
		{"nulls/4096", nullable, 4096, 10 * time.Millisecond},
	} {
		b.Run(c.name, func(b *testing.B) {
			pool := memory.NewPool(0)
			account := pool.Account("batch")
			channels := Connect(Budget{}, []*Waker{sleepless()}, []*Waker{sleepless(), sleepless()})[0]
			out, err := NewOutput(OutputConfig{
				Kind: Hash, Schema: c.schema, Account: account, Channels: channels, Keys: []int{0}, BufferTimeout: c.timeout,
			})
			if err != nil {
				b.Fatal(err)
			}
			gates := []*Gate{NewGate(channels[:1]), NewGate(channels[1:])}
			batches := core.NewBatchPool(account, c.schema, c.rows, 4)
			rows, got := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				in := batches.Get()
				for _, v := range in.Columns {
					v.Extend(c.rows)
					values := v.Int64s()
					for i := range values {
						values[i] = int64(rows + i)
					}
					for i := 0; i < c.rows && !v.Type.NotNull; i += 7 {
						v.SetNull(i)
					}
				}
				in.Len = c.rows
				rows += c.rows
				out.Emit(in)
				for _, g := range gates {
					if e, ok := g.Poll(); ok {
						got += e.Batch.Rows()
						e.Batch.Release()
					}
				}
			}
			b.StopTimer()
			out.Flush()
			for _, g := range gates {
				for {
					e, ok := g.Poll()
					if !ok {
						break
					}
					got += e.Batch.Rows()
					e.Batch.Release()
				}
			}
			out.Close()
			batches.Close()
			if err := pool.CheckZero(); err != nil || got != rows {
				b.Fatalf("%d of %d rows; %v", got, rows, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
		})
	}
}

// Steady state allocates nothing: one-row batches that are moved, and batches that are scattered to two receivers.
func TestExchangeAllocates(t *testing.T) {
	pool := newPool(t)
	account := pool.Account("exchange")
	for _, timeout := range []time.Duration{0, -1} {
		channels := Connect(Budget{}, []*Waker{sleepless()}, []*Waker{sleepless(), sleepless()})[0]
		out, err := NewOutput(OutputConfig{
			Kind: Hash, Schema: threeInts, Account: account, Channels: channels, Keys: []int{0}, BatchRows: 256, BufferTimeout: timeout,
		})
		if err != nil {
			t.Fatal(err)
		}
		gates := []*Gate{NewGate(channels[:1]), NewGate(channels[1:])}
		batches := core.NewBatchPool(account, threeInts, 256, 4)
		next := int64(0)
		for _, rows := range []int{1, 100, 256} {
			step := func() {
				b := batches.Get()
				for _, c := range b.Columns {
					for range rows {
						next++
						c.AppendInt64(next)
					}
				}
				b.Len = rows
				out.Emit(b)
				for _, g := range gates {
					for {
						e, ok := g.Poll()
						if !ok {
							break
						}
						e.Batch.Release()
					}
				}
			}
			for range 100 {
				step()
			}
			if n := testing.AllocsPerRun(500, step); n != 0 {
				t.Errorf("timeout %v, %d rows: %v allocations a batch", timeout, rows, n)
			}
		}
		out.Close()
		batches.Close()
	}
}
