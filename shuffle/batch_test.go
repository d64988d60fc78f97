package shuffle

import (
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/invariants"
	"turbo/memory"
)

// The exchange between two workers, its hop and the loop beside them are measured in bench/exchange.go.

var threeInts = core.NewSchema(
	core.Field{Name: "key", Type: core.Of(core.Int64).Required()},
	core.Field{Name: "a", Type: core.Of(core.Int64).Required()},
	core.Field{Name: "b", Type: core.Of(core.Int64).Required()},
)

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
	if invariants.Race {
		t.Skip("the race detector makes pools forget at random")
	}
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
