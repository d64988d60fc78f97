package process_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/internal/clock"
	"turbo/internal/testkit"
	"turbo/memory"
)

var idSchema = core.NewSchema(core.Field{Name: "id", Type: core.Of(core.Int64)}, core.Field{Name: "k", Type: core.Of(core.String)})

// asyncRun drives an operator that waits for goroutines.
type asyncRun struct {
	t     testing.TB
	op    core.Operator
	ctx   *core.OperatorContext
	woken chan struct{}
	rows  []string
	side  []string
	room  int // batches until the output is full; negative: never
	now   atomic.Int64
	next  int64
}

func (r *asyncRun) Emit(b *core.Batch) error {
	if err := testkit.CheckBatch(r.ctx.Output, b); err != nil {
		return err
	}
	r.rows = append(r.rows, testkit.Rows(b)...)
	r.room--
	b.Release()
	return nil
}

func (r *asyncRun) Full() bool { return r.room == 0 }

type asyncSide struct{ r *asyncRun }

func (s asyncSide) Emit(b *core.Batch) error {
	s.r.side = append(s.r.side, testkit.Rows(b)...)
	b.Release()
	return nil
}
func (s asyncSide) Full() bool { return false }

func newAsyncRun(t testing.TB, op core.Operator, output *core.Schema) *asyncRun {
	r := &asyncRun{t: t, op: op, woken: make(chan struct{}, 1), room: -1}
	account := memory.NewPool(0).Account("op")
	r.ctx = &core.OperatorContext{ID: "ask", Inputs: []*core.Schema{idSchema}, Output: output, BatchRows: 8, Account: account,
		Now: func() core.Time { return core.Time(r.now.Load()) }, Counters: &core.Counters{}, Log: slog.New(slog.DiscardHandler),
		Sides: []core.Emitter{asyncSide{r}}, SideSchemas: []*core.Schema{idSchema}, Wake: func() {
			select {
			case r.woken <- struct{}{}:
			default:
			}
		}}
	if err := op.Open(r.ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

// settle goes on until nothing is pending, waiting when the operator says so.
func (r *asyncRun) settle(err error) error {
	for err == nil {
		var more bool
		if more, err = r.op.Resume(r); !more {
			return err
		}
		if r.room == 0 {
			r.room = 1
			continue
		}
		if r.op.(core.Waiter).Waiting() {
			<-r.woken
		}
	}
	return err
}

func (r *asyncRun) feed(n int) error {
	b := core.NewBatch(r.ctx.Account, idSchema)
	id, k := core.NewVector(r.ctx.Account, idSchema.Fields[0].Type, n), core.NewVector(r.ctx.Account, idSchema.Fields[1].Type, n)
	for range n {
		id.AppendInt64(r.next)
		if r.next%11 == 10 {
			k.AppendNull()
		} else {
			k.AppendString(fmt.Sprint("k", r.next%7))
		}
		r.next++
	}
	b.Columns, b.Len = append(b.Columns, id, k), n
	return r.settle(r.op.Process(0, b, r))
}

func (r *asyncRun) tick() error {
	if _, due := r.op.(core.Timed).Due(); due {
		return r.settle(r.op.(core.Timed).Tick(r.ctx.Now(), r))
	}
	return nil
}

func (r *asyncRun) close() {
	r.t.Helper()
	if err := r.op.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.ctx.Account.Pool().CheckZero(); err != nil {
		r.t.Error(err)
	}
}

// dawdle gives other goroutines a random chance.
func dawdle(seed uint64) {
	for range rand.New(rand.NewPCG(seed, 3)).IntN(30) {
		runtime.Gosched()
	}
}

// TestAsync: every row gets its result, in order or not, never across a watermark or barrier, with outputs that fill up.
func TestAsync(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		for _, blocks := range []bool{false, true} {
			for _, capacity := range []int{1, 3, 100} {
				t.Run(fmt.Sprintf("ordered=%v,blocks=%v,capacity=%d", ordered, blocks, capacity), func(t *testing.T) {
					var running, most atomic.Int64
					answer := func(row process.Row, out *process.Output) {
						for range row.Int64(0) % 3 {
							out.Row(row)
						}
					}
					config := process.AsyncConfig{RequestConfig: process.RequestConfig{Name: "ask", Capacity: capacity, Ordered: ordered, Timeout: time.Hour}, BlockRows: 4}
					if blocks {
						config.CallBlock = func(_ context.Context, in *process.Block, out *process.Output) error {
							dawdle(uint64(in.From))
							for i := range in.Len() {
								answer(process.RowOf(in.Batch, in.Row(i)), out)
							}
							return nil
						}
					} else {
						config.Call = func(_ context.Context, row process.Row, out *process.Output) error {
							n := running.Add(1)
							for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
							}
							dawdle(uint64(row.Int64(0)))
							running.Add(-1)
							answer(row, out)
							return nil
						}
					}
					r := newAsyncRun(t, process.NewAsync(config), idSchema)
					rng := rand.New(rand.NewPCG(1, 1))
					var want []string
					for step := range 40 {
						from := r.next
						if rng.IntN(2) == 0 {
							r.room = 1
						}
						if err := r.feed(1 + rng.IntN(30)); err != nil {
							t.Fatal(err)
						}
						for i := from; i < r.next; i++ {
							for range i % 3 {
								k := fmt.Sprintf("%q", fmt.Sprint("k", i%7))
								if i%11 == 10 {
									k = "null"
								}
								want = append(want, fmt.Sprint(i, " | ", k))
							}
						}
						if err := r.tick(); err != nil {
							t.Fatal(err)
						}
						if step%5 != 4 {
							continue
						}
						done := r.op.Flush(r)
						if step%2 == 0 {
							done = r.op.Advance(core.Time(step), r)
						}
						if err := r.settle(done); err != nil {
							t.Fatal(err)
						}
						got := slices.Clone(r.rows)
						if !ordered {
							slices.Sort(got)
							want = slices.Clone(want)
							slices.Sort(want)
						}
						if !slices.Equal(got, want) {
							t.Fatalf("step %d: %d rows, want %d\ngot  %q\nwant %q", step, len(got), len(want), got, want)
						}
					}
					if most.Load() > int64(capacity) {
						t.Errorf("%d requests at a time, capacity %d", most.Load(), capacity)
					}
					r.close()
				})
			}
		}
	}
}

// TestAsyncFailures: retries, policies, panics, timeouts.
func TestAsyncFailures(t *testing.T) {
	broken := errors.New("broken")
	bad := func(row process.Row) bool { return row.Int64(0)%4 == 1 }
	for name, c := range map[string]struct {
		config process.RequestConfig
		check  func(t *testing.T, r *asyncRun, err error)
	}{
		"fail": {process.RequestConfig{}, func(t *testing.T, r *asyncRun, err error) {
			var user *process.UserError
			if !errors.As(err, &user) || !errors.Is(err, broken) || !strings.Contains(err.Error(), `{"id":1,"k":"k1"}`) || core.IsPermanent(err) {
				t.Errorf("error %v", err)
			}
		}},
		"drop": {process.RequestConfig{OnFailure: process.DropRow, Retry: process.Retry{Attempts: 3}}, func(t *testing.T, r *asyncRun, err error) {
			if err != nil || len(r.rows) != 6 || r.ctx.Counters.Skipped != 2 || r.ctx.Counters.Retries != 4 {
				t.Errorf("error %v, rows %q, counters %+v", err, r.rows, *r.ctx.Counters)
			}
		}},
		"not worth it": {process.RequestConfig{OnFailure: process.DropRow, Retry: process.Retry{Attempts: 3, If: func(error) bool { return false }}}, func(t *testing.T, r *asyncRun, err error) {
			if err != nil || r.ctx.Counters.Retries != 0 {
				t.Errorf("error %v, counters %+v", err, *r.ctx.Counters)
			}
		}},
		"side": {process.RequestConfig{OnFailure: process.SideRow}, func(t *testing.T, r *asyncRun, err error) {
			if err != nil || len(r.rows) != 6 || !slices.Equal(r.side, []string{`1 | "k1"`, `5 | "k5"`}) || r.ctx.Counters.DeadLettered != 2 {
				t.Errorf("error %v, rows %q, side %q", err, r.rows, r.side)
			}
		}},
		"fallback": {process.RequestConfig{OnFailure: process.Fallback, Fallback: func(row process.Row, cause error, out *process.Output) error {
			if !errors.Is(cause, broken) {
				return cause
			}
			out.Int64(0, -row.Int64(0))
			out.Null(1)
			out.End()
			return nil
		}}, func(t *testing.T, r *asyncRun, err error) {
			if err != nil || len(r.rows) != 8 || r.rows[1] != "-1 | null" {
				t.Errorf("error %v, rows %q", err, r.rows)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			config := process.AsyncConfig{RequestConfig: c.config, Call: func(_ context.Context, row process.Row, out *process.Output) error {
				out.Row(row)
				if bad(row) {
					return broken
				}
				return nil
			}}
			config.Ordered = true
			r := newAsyncRun(t, process.NewAsync(config), idSchema)
			err := r.feed(8)
			if err == nil {
				err = r.settle(r.op.EndInput(0, r))
			}
			c.check(t, r, err)
			r.close()
		})
	}
	t.Run("panic", func(t *testing.T) {
		r := newAsyncRun(t, process.NewAsync(process.AsyncConfig{RequestConfig: process.RequestConfig{Name: "ask", Retry: process.Retry{Attempts: 5}},
			Call: func(context.Context, process.Row, *process.Output) error { panic("oh") }}), idSchema)
		err := r.feed(1)
		if err == nil {
			err = r.settle(r.op.Flush(r))
		}
		var user *process.UserError
		if !errors.As(err, &user) || !user.Panicked || !strings.Contains(string(user.Stack), "async_test.go") || !strings.Contains(err.Error(), "oh") {
			t.Errorf("error %v", err)
		}
		r.close()
	})
	t.Run("exit", func(t *testing.T) {
		r := newAsyncRun(t, process.NewAsync(process.AsyncConfig{Call: func(context.Context, process.Row, *process.Output) error { runtime.Goexit(); return nil }}), idSchema)
		err := r.feed(1)
		if err == nil {
			err = r.settle(r.op.Flush(r))
		}
		if err == nil || !strings.Contains(err.Error(), "ended its goroutine") {
			t.Errorf("error %v", err)
		}
		r.close()
	})
	t.Run("close", func(t *testing.T) { // requests in flight when the job stops
		r := newAsyncRun(t, process.NewAsync(process.AsyncConfig{Call: func(ctx context.Context, row process.Row, out *process.Output) error {
			<-ctx.Done()
			out.Row(row)
			return ctx.Err()
		}}), idSchema)
		if err := r.feed(20); err != nil {
			t.Fatal(err)
		}
		r.close()
	})
}

// TestAsyncTimeout: by the clock, all attempts together; the row fails while its function still runs.
func TestAsyncTimeout(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	release := make(chan struct{})
	r := newAsyncRun(t, process.NewAsync(process.AsyncConfig{RequestConfig: process.RequestConfig{Clock: c, Timeout: time.Second, OnFailure: process.Fallback,
		Retry: process.Retry{Attempts: 10, Backoff: 400 * time.Millisecond},
		Fallback: func(row process.Row, cause error, out *process.Output) error {
			if !errors.Is(cause, process.ErrTimeout) {
				return cause
			}
			out.Row(row)
			return nil
		}}, Call: func(ctx context.Context, row process.Row, out *process.Output) error {
		if row.Int64(0) == 0 {
			<-release // does not heed its context
			out.Row(row)
			return nil
		}
		return errors.New("again")
	}}), idSchema)
	if err := r.feed(2); err != nil {
		t.Fatal(err)
	}
	if !c.AwaitPending(3, nil) { // two timeouts, a backoff
		t.Fatal("no timers")
	}
	c.Advance(400 * time.Millisecond)
	c.AwaitPending(3, nil)
	c.Advance(400 * time.Millisecond)
	c.AwaitPending(3, nil)
	if len(r.rows) != 0 {
		t.Fatalf("rows %q before the timeout", r.rows)
	}
	c.Advance(200 * time.Millisecond)
	if err := r.settle(r.op.Flush(r)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(r.rows)
	if !slices.Equal(r.rows, []string{`0 | "k0"`, `1 | "k1"`}) {
		t.Errorf("rows %q", r.rows)
	}
	close(release)
	r.close()
	if r.ctx.Counters.Retries > 2 {
		t.Errorf("%d retries", r.ctx.Counters.Retries)
	}
}

// TestLookup joins by every mode, and counts the requests.
func TestLookup(t *testing.T) {
	table := core.NewSchema(core.Field{Name: "name", Type: core.Of(core.String).Required()}, core.Field{Name: "n", Type: core.Of(core.Int32)})
	for _, left := range []bool{false, true} {
		for _, ordered := range []bool{false, true} {
			for name, cache := range map[string]process.CacheConfig{"none": {}, "all": {Rows: 100, Misses: true, TTL: time.Second}, "two": {Rows: 2}, "bytes": {Rows: 100, Bytes: 400}, "hits": {Rows: 100}} {
				t.Run(fmt.Sprintf("left=%v,ordered=%v,cache=%s", left, ordered, name), func(t *testing.T) {
					var mu sync.Mutex
					calls := map[string]int{}
					config := process.LookupConfig{RequestConfig: process.RequestConfig{Capacity: 4, Ordered: ordered}, Keys: []int{1}, Table: table, Left: left, Cache: cache,
						Call: func(_ context.Context, row process.Row, out *process.Output) error {
							k := strings.Clone(row.String(1))
							mu.Lock()
							calls[k]++
							seed := calls[k]
							mu.Unlock()
							dawdle(uint64(seed) + uint64(k[1]))
							for i := range int(k[1]-'0') % 3 {
								out.String(0, k+" is it")
								out.Int64(1, int64(i))
								out.End()
							}
							return nil
						}}
					r := newAsyncRun(t, process.NewLookup(config), config.Schema(idSchema))
					rng := rand.New(rand.NewPCG(2, 2))
					var want []string
					for range 30 {
						from := r.next
						if rng.IntN(2) == 0 {
							r.room = 1
						}
						if err := r.feed(1 + rng.IntN(40)); err != nil {
							t.Fatal(err)
						}
						for i := from; i < r.next; i++ {
							n := int(i%7) % 3
							key := fmt.Sprintf("%q", fmt.Sprint("k", i%7))
							if i%11 == 10 {
								n, key = 0, "null"
							}
							for m := range n {
								want = append(want, fmt.Sprintf("%d | %s | %q | %d", i, key, fmt.Sprint("k", i%7, " is it"), m))
							}
							if n == 0 && left {
								want = append(want, fmt.Sprintf("%d | %s | null | null", i, key))
							}
						}
						if err := r.tick(); err != nil {
							t.Fatal(err)
						}
					}
					if err := r.settle(r.op.Flush(r)); err != nil {
						t.Fatal(err)
					}
					got := r.rows
					if !ordered {
						slices.Sort(got)
						slices.Sort(want)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("%d rows, want %d\ngot  %q\nwant %q", len(got), len(want), got, want)
					}
					if name == "all" {
						for k, n := range calls {
							if n != 1 {
								t.Errorf("%s looked up %d times", k, n)
							}
						}
						r.now.Add(1_000_000)
						if err := errors.Join(r.feed(7), r.settle(r.op.Flush(r))); err != nil {
							t.Fatal(err)
						}
						if calls["k1"]+calls["k2"]+calls["k3"] < 5 {
							t.Errorf("%v: not looked up again when the results are too old", calls)
						}
					}
					if name == "hits" && (calls["k1"] != 1 || calls["k3"] < 2) {
						t.Errorf("%v: hits are kept, misses are not", calls)
					}
					r.close()
				})
			}
		}
	}
}
