package process_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/core/ops/process"
	"turbo/core/task"
	"turbo/internal/testkit"
	"turbo/memory"
)

// steady gives rows of numbers to two workers: split w has the odd or the even keys.
type steady struct {
	account *memory.Account
	rows    int
}

func (s *steady) Open(context.Context, []core.SplitState) error { return nil }
func (s *steady) Reader(w int) (core.SourceReader, error) {
	return &steadyReader{s: s, w: w, b: core.NewBuilder(s.account, numbers, 16)}, nil
}
func (s *steady) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *steady) Close() error                                               { return nil }

type steadyReader struct {
	s     *steady
	w, at int
	b     *core.Builder
	begun bool
	over  bool
}

func (r *steadyReader) SetWaker(func())                      {}
func (r *steadyReader) Snapshot() ([]core.SplitState, error) { return nil, nil }
func (r *steadyReader) Close() error                         { r.b.Close(); return nil }
func (r *steadyReader) Poll() (core.Event, error) {
	switch {
	case !r.begun:
		r.begun = true
		return core.Event{Kind: core.SplitStart, ID: fmt.Sprint("s", r.w)}, nil
	case r.at == r.s.rows && !r.over:
		r.over = true
		return core.Event{Kind: core.EndOfInput}, nil
	case r.over:
		return core.Event{}, nil
	}
	n := 0
	for ; n < 13 && r.at < r.s.rows; n++ {
		r.b.Column(0).AppendInt64(int64(2*(r.at%5) + r.w))
		r.b.Column(1).AppendInt64(int64(r.at) * 10)
		r.b.Column(2).AppendInt64(int64(r.at))
		r.at++
	}
	return core.Event{Kind: core.DataEvent, Batch: r.b.Finish(), Read: int64(n)}, nil
}

// gathered collects the rows of all workers.
type gathered struct {
	core.BaseOperator
	mu   *sync.Mutex
	rows *[]string
}

func (g *gathered) Open(*core.OperatorContext) error { return nil }
func (g *gathered) Process(_ int, b *core.Batch, _ core.Emitter) error {
	g.mu.Lock()
	*g.rows = append(*g.rows, testkit.Rows(b)...)
	g.mu.Unlock()
	b.Release()
	return nil
}

// coordinator completes each checkpoint when all tasks have reported.
type coordinator struct {
	mu          sync.Mutex
	acks, ended int
	err         error
}

func (c *coordinator) Ack(a ckpt.Ack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks++
	if a.Err != nil {
		c.err = a.Err
	}
}
func (c *coordinator) TaskEnded(int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended++
}
func (c *coordinator) Write(uint64, []ckpt.Page) error { return nil }

// TestWorkers runs an async function, an exchange and a process function with timers on real workers, while checkpoints come: requests wake
// the worker, barriers and watermarks wait for them, and the end comes.
func TestWorkers(t *testing.T) {
	const rows = 600
	pool := memory.NewPool(64 << 20)
	var mu sync.Mutex
	var got []string
	src := &task.Node{ID: "src", Label: "source", Schema: numbers, Watermark: &task.Watermark{Column: 1},
		Source: func() (core.Source, error) { return &steady{pool.Account("src"), rows}, nil }}
	ask := &task.Node{ID: "ask", Label: "ask", Schema: numbers, Inputs: []task.Input{{From: src}}, Operator: func() core.Operator {
		return process.NewAsync(process.AsyncConfig{RequestConfig: process.RequestConfig{Name: "ask", Capacity: 7, Ordered: true, Timeout: time.Minute},
			Call: func(_ context.Context, row process.Row, out *process.Output) error {
				if rand.IntN(8) == 0 {
					time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				}
				out.Row(row)
				return nil
			}})
	}}
	states := append(formStates()[1:], process.Descriptor{Name: "due", Fields: []core.Field{{Name: "at", Type: core.Of(core.Int64).Required()}}})
	count := &task.Node{ID: "count", Label: "count", Schema: sums, Inputs: []task.Input{{From: ask, Exchange: task.Hash, Keys: []int{0}}}, Operator: func() core.Operator {
		return process.New(process.Config{Name: "count", Ports: []process.Port{{Keys: []int{0}}}, Keyed: true, States: states,
			New: func() process.Function { return &byRows{} }})
	}}
	end := &task.Node{ID: "end", Label: "end", Schema: sums, Inputs: []task.Input{{From: count}}, Operator: func() core.Operator { return &gathered{mu: &mu, rows: &got} }}
	a, err := task.Open(context.Background(), &task.Graph{Job: "t", Workers: 2, KeyGroups: worldGroups, Nodes: []*task.Node{src, ask, count, end},
		Options: task.Options{BatchRows: 16, RingBatches: 2, Memory: pool, WatermarkInterval: 100 * time.Microsecond}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &coordinator{}
	a.Start(c)
	tasks := len(a.Tasks())
	for id, open := uint64(1), false; ; time.Sleep(50 * time.Microsecond) {
		c.mu.Lock()
		acks, ended, err := c.acks, c.ended, c.err
		c.mu.Unlock()
		if err != nil || ended == tasks {
			break
		}
		select {
		case <-a.Done():
			t.Fatal(a.Err())
		default:
		}
		if open && acks == tasks*int(id) {
			a.CheckpointComplete(&ckpt.Manifest{Checkpoint: id})
			open = false
			id++
		}
		if !open {
			a.InjectBarrier(ckpt.Barrier{ID: id})
			open = true
		}
	}
	a.Stop()
	<-a.Done()
	if a.Err() != nil || c.err != nil {
		t.Fatal(a.Err(), c.err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
	var want []string
	for key := range int64(10) {
		n, sum := 0, int64(0)
		for i := range int64(rows) {
			if i%5 == key/2 {
				n, sum = n+1, sum+i
				want = append(want, fmt.Sprintf("%d | 0 | %d | %d", key, n, sum))
			}
		}
		want = append(want, fmt.Sprintf("%d | %d | %d | %d", key, (rows-5+key/2)*10+100, n, sum))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d: %q", len(got), len(want), got[:min(10, len(got))])
	}
}
