package bench

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"turbo/core"
	"turbo/memory"
	"turbo/shuffle"
)

// hopper is a worker of the hop benchmark: an shuffle.Output to the other worker and a shuffle.Gate from it.
type hopper struct {
	out     *shuffle.Output
	gate    *shuffle.Gate
	waker   *shuffle.Waker
	token   chan struct{}
	batches *core.BatchPool
	park    bool
	rounds  uint64
}

func newHoppers(account *memory.Account, park bool) [2]*hopper {
	var h [2]*hopper
	for i := range h {
		token := make(chan struct{}, 1)
		h[i] = &hopper{token: token, park: park, batches: core.NewBatchPool(account, exchangeSchema, 4096, 16)}
		h[i].waker = shuffle.NewWaker(func() {
			select {
			case token <- struct{}{}:
			default:
			}
		})
	}
	for i := range h {
		there := shuffle.NewChannel(shuffle.Budget{}, h[i].waker, h[1-i].waker)
		out, err := shuffle.NewOutput(shuffle.OutputConfig{
			Kind: shuffle.Hash, Schema: exchangeSchema, Account: account, Channels: []*shuffle.Channel{there}, Keys: []int{0}, BufferTimeout: 0,
		})
		if err != nil {
			panic(err)
		}
		h[i].out, h[1-i].gate = out, shuffle.NewGate([]*shuffle.Channel{there})
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
func (h *hopper) receive() shuffle.Event {
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
func pingPong(h [2]*hopper, n int) ([]time.Duration, error) {
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
			return nil, fmt.Errorf("hop: got %d, want %d", got, i+1)
		}
		e.Batch.Release()
		times[i] = time.Since(begin) / 2
	}
	h[0].rounds++
	h[0].out.Control(core.Message{Kind: core.BarrierMessage, Checkpoint: h[0].rounds})
	<-done
	return times, nil
}

// pingPongByHand does the same with a pointer in a plain ring.
func pingPongByHand(n int) ([]time.Duration, error) {
	there, back := shuffle.NewRing[*[4]int64](64, shuffle.Credit{}), shuffle.NewRing[*[4]int64](64, shuffle.Credit{})
	receive := func(r *shuffle.Ring[*[4]int64]) *[4]int64 {
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
			back.Push(x, shuffle.Credit{})
		}
		done <- true
	}()
	times := make([]time.Duration, n)
	row := new([4]int64)
	for i := range times {
		begin := time.Now()
		row[0], row[1], row[2] = int64(i), int64(i), int64(i)
		there.Push(row, shuffle.Credit{})
		if got := receive(back)[2]; got != int64(i)+1 {
			return nil, fmt.Errorf("hop: got %d, want %d", got, i+1)
		}
		times[i] = time.Since(begin) / 2
	}
	row[0] = -1
	there.Push(row, shuffle.Credit{})
	<-done
	return times, nil
}

func percentile(times []time.Duration, p int) float64 {
	slices.Sort(times)
	return float64(times[min(len(times)*p/100, len(times)-1)].Nanoseconds())
}

// benchHop is the way of a one-row batch from one worker to the other: built, hashed, sent, received, released. Medians, because a
// descheduled worker costs milliseconds.
func benchHop(w io.Writer, o Options) error {
	fmt.Fprintf(w, "\nHop of a one-row batch, in ns: half of the way there and back\n\n")
	t := newTable(w, "receiver", "turbo, p50", "p99", "pointer through a ring, p50", "p99")
	n := 100_000
	if o.Quick {
		n = 2_000
	}
	for _, park := range []bool{false, true} {
		pool := newPool()
		h := newHoppers(pool.Account("hop"), park)
		if _, err := pingPong(h, n/10); err != nil {
			return err
		}
		times, err := pingPong(h, n)
		if err != nil {
			return err
		}
		for _, x := range h {
			x.close()
		}
		if err := pool.CheckZero(); err != nil {
			return err
		}
		cells := []string{"parked", fmt.Sprintf("%.0f", percentile(times, 50)), fmt.Sprintf("%.0f", percentile(times, 99)), "", ""}
		if !park {
			hand, err := pingPongByHand(n)
			if err != nil {
				return err
			}
			cells[0], cells[3], cells[4] = "polling", fmt.Sprintf("%.0f", percentile(hand, 50)), fmt.Sprintf("%.0f", percentile(hand, 99))
		}
		t.row(cells...)
	}
	return nil
}
