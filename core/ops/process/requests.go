package process

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/memory"
)

// ErrTimeout is the failure of a request that took too long, all its attempts together.
var ErrTimeout = errors.New("timeout")

// Retry says how often and when a request that failed is tried again. Panics are not.
type Retry struct {
	Attempts   int           // in all; 0 and 1: no second one
	Backoff    time.Duration // before the second attempt
	MaxBackoff time.Duration // 0: no bound
	Multiplier float64       // of the backoff from attempt to attempt; 0: 1
	// If says whether an error is worth another attempt; nil: all are.
	If func(error) bool
}

// FailurePolicy says what becomes of a row whose request failed after all attempts, or timed out.
type FailurePolicy uint8

// The failure policies.
const (
	FailJob  FailurePolicy = iota // the attempt of the job fails, with the row
	DropRow                       // the row is dropped and counted in Counters.Skipped
	SideRow                       // the row goes to a side output with the input's schema, counted in Counters.DeadLettered
	Fallback                      // a function says what to emit
)

// RequestConfig is what async functions and lookup joins have in common.
type RequestConfig struct {
	Name string // of the function, for messages
	// Capacity bounds the requests that run at a time, a goroutine each, and the rows that wait for a result; 0: 100. A function that goes on
	// after its context has ended keeps its place until it returns.
	Capacity int
	// Ordered emits results in the order of the rows; otherwise as they come, but never across a watermark.
	Ordered   bool
	Timeout   time.Duration // of a request, all attempts together; 0: none
	Retry     Retry
	OnFailure FailurePolicy
	Side      int // the side output of SideRow
	// Fallback emits what stands for a row whose request failed, to the operator's output. It is called by the worker.
	Fallback func(row Row, err error, out *Output) error
	Clock    clock.Clock // of timeouts and backoffs; nil: that of the operator's context
}

func (c *RequestConfig) check(ctx *core.OperatorContext) error {
	switch {
	case c.Capacity < 0 || c.Timeout < 0 || c.Retry.Attempts < 0 || c.Retry.Backoff < 0:
		return fmt.Errorf("%s: capacity, timeout, attempts and backoff must not be negative", c.Name)
	case c.OnFailure == Fallback && c.Fallback == nil:
		return fmt.Errorf("%s: it has no fallback function", c.Name)
	case c.OnFailure == SideRow && (c.Side < 0 || c.Side >= len(ctx.Sides)):
		return fmt.Errorf("%s: side output %d of %d", c.Name, c.Side, len(ctx.Sides))
	}
	if c.Capacity == 0 {
		c.Capacity = 100
	}
	if c.Clock == nil {
		c.Clock = ctx.Clock
	}
	if c.Clock == nil {
		c.Clock = clock.Real()
	}
	return nil
}

// sharedBatch is an input batch that requests in flight read. The last one releases it, in whatever goroutine.
type sharedBatch struct {
	batch *core.Batch
	refs  atomic.Int32
}

func (s *sharedBatch) release() {
	if s.refs.Add(-1) == 0 {
		s.batch.Release()
	}
}

// call is one request: some rows of an input batch, and the result. While it runs, its goroutine owns out, err and retries; afterwards the worker.
type call struct {
	in       *sharedBatch
	from, to int // selected rows
	out      *Output
	err      error
	retries  int64
	settled  bool // the result is known, or will not be waited for; the worker's
	running  bool // the worker's
	use      uint64
	waiting  []waiter // of a lookup: the rows that want the result
	entry    *cached  // of a lookup
}

// happened is what a goroutine tells the worker.
type happened struct {
	call    *call
	timeout bool
	use     uint64 // of the call: a timeout may come when the call is in use again
}

// requests runs calls in goroutines.
type requests struct {
	config  RequestConfig
	ctx     *core.OperatorContext
	do      func(ctx context.Context, c *call) error
	pool    *core.BatchPool
	schema  *core.Schema
	base    context.Context
	cancel  context.CancelFunc
	running int // goroutines
	free    []*call
	taken   []happened

	sleeping atomic.Int64 // goroutines in sleep

	ready  atomic.Bool // something has happened
	mu     sync.Mutex
	list   []happened
	closed bool // results are released by whoever has them
	wg     sync.WaitGroup
}

func (r *requests) open(ctx *core.OperatorContext, schema *core.Schema, do func(context.Context, *call) error) error {
	if err := r.config.check(ctx); err != nil {
		return err
	}
	r.ctx, r.schema, r.do = ctx, schema, do
	r.pool = core.NewBatchPool(ctx.Account, schema, 4, r.config.Capacity)
	r.base, r.cancel = context.WithCancel(context.Background())
	return nil
}

// get returns a call over rows of in, which it holds a reference to.
func (r *requests) get(in *sharedBatch, from, to int) *call {
	var c *call
	if n := len(r.free); n > 0 {
		c, r.free = r.free[n-1], r.free[:n-1]
	} else {
		c = &call{out: &Output{schema: r.schema, pool: r.pool, limit: math.MaxInt, name: "main", some: new(bool)}}
		c.out.open()
	}
	in.refs.Add(1)
	c.in, c.from, c.to = in, from, to
	c.use++
	return c
}

// start runs a call.
func (r *requests) start(c *call) {
	c.running = true
	r.running++
	r.wg.Add(1)
	use, ctx, cancel := c.use, r.base, context.CancelCauseFunc(func(error) {})
	var timer clock.Timer
	if r.config.Timeout > 0 { // counted from here on, whenever the goroutine begins
		ctx, cancel = context.WithCancelCause(r.base)
		timer = r.config.Clock.AfterFunc(r.config.Timeout, func() {
			cancel(ErrTimeout)
			r.tell(happened{c, true, use})
		})
	}
	go r.run(ctx, cancel, timer, c, use)
}

// run is a call's goroutine.
func (r *requests) run(ctx context.Context, cancel context.CancelCauseFunc, timer clock.Timer, c *call, use uint64) {
	defer r.wg.Done()
	defer cancel(nil)
	finished := false
	defer func() { // also when user code calls Goexit
		if !finished {
			c.err = r.failure(c, errors.New("the function ended its goroutine"), nil)
		}
		if timer != nil {
			timer.Stop()
		}
		r.tell(happened{c, false, use})
	}()
	c.err = r.attempts(ctx, c)
	finished = true
}

func (r *requests) attempts(ctx context.Context, c *call) error {
	retry := &r.config.Retry
	wait := retry.Backoff
	var err error
	var final bool
	for attempt := 1; ; attempt++ {
		if attempt == 1 || ctx.Err() == nil { // else it ended while this waited
			if attempt > 1 {
				c.retries++
			}
			err, final = r.attempt(ctx, c)
		}
		switch {
		case err == nil || final || attempt >= retry.Attempts || ctx.Err() != nil || retry.If != nil && !retry.If(err):
			if err != nil && context.Cause(ctx) == ErrTimeout {
				err = fmt.Errorf("%w after %v: %w", ErrTimeout, r.config.Timeout, err)
			}
			if err == nil || final {
				return err
			}
			return r.failure(c, err, nil)
		}
		c.out.reset()
		if wait > 0 {
			r.sleep(ctx, wait)
			if ctx.Err() != nil {
				continue
			}
			if retry.Multiplier > 0 {
				wait = time.Duration(float64(wait) * retry.Multiplier)
			}
			if retry.MaxBackoff > 0 {
				wait = min(wait, retry.MaxBackoff)
			}
		}
	}
}

// sleep waits until d has passed, or ctx ends. Whoever moves a clock by hand sees that a sleeper wakes: it is one only when the timer is set, and none any more
// when it has fired.
func (r *requests) sleep(ctx context.Context, d time.Duration) {
	over := make(chan struct{})
	t := r.config.Clock.AfterFunc(d, func() {
		r.sleeping.Add(-1) // below zero for a moment if it has fired already: one more is in flight
		close(over)
	})
	r.sleeping.Add(1)
	r.ctx.Wake() // one less is in flight
	select {
	case <-over:
	case <-ctx.Done():
		if t.Stop() {
			r.sleeping.Add(-1)
		}
	}
}

// inFlight returns how many calls run, without those that sleep.
func (r *requests) inFlight() int { return r.running - int(r.sleeping.Load()) }

// attempt calls the user's function. An error that is final is not tried again.
func (r *requests) attempt(ctx context.Context, c *call) (err error, final bool) {
	defer func() {
		if p := recover(); p != nil {
			err, final = r.failure(c, nil, p), true
		}
	}()
	err = r.do(ctx, c)
	var limit *memory.LimitError
	return err, errors.As(err, &limit)
}

// failure wraps what user code ended with.
func (r *requests) failure(c *call, err error, panicked any) error {
	e := UserError{Operator: r.ctx.ID, Function: r.config.Name, Call: "Call"}
	if c.in != nil && c.from < c.to {
		e.Row = RowOf(c.in.batch, c.in.batch.Row(c.from)).Render()
		if n := c.to - c.from; n > 1 {
			e.Row = fmt.Sprintf("%d rows from %s", n, e.Row)
		}
	}
	return asError(e, err, panicked)
}

// tell leaves word for the worker and wakes it.
func (r *requests) tell(h happened) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		if !h.timeout {
			r.drop(h.call)
		}
		return
	}
	r.list = append(r.list, h)
	r.mu.Unlock()
	r.ready.Store(true)
	r.ctx.Wake()
}

// take gives each call that has come to its end, one way or the other, to settled.
func (r *requests) take(settled func(*call)) {
	if !r.ready.Swap(false) {
		return
	}
	r.mu.Lock()
	r.taken, r.list = r.list, r.taken[:0]
	r.mu.Unlock()
	for i, h := range r.taken {
		c := h.call
		r.taken[i] = happened{}
		if h.timeout {
			// The call may have ended just before; its goroutine's word then stands in this list, or has been heard.
			if c.use == h.use && c.running && !c.settled {
				c.settled = true
				settled(c)
			}
			continue
		}
		c.running = false
		r.running--
		r.ctx.Counters.Retries += c.retries
		c.retries = 0
		if c.settled { // nobody waits for it any more
			r.recycle(c)
			continue
		}
		c.settled = true
		settled(c)
	}
}

// result returns the error of a settled call. That of one that still runs is its timeout.
func (r *requests) result(c *call) error {
	if c.running {
		return r.failure(c, fmt.Errorf("%w after %v", ErrTimeout, r.config.Timeout), nil)
	}
	return c.err
}

// recycle takes back a settled call that nobody needs. One that still runs comes back when it ends.
func (r *requests) recycle(c *call) {
	if c.running {
		return
	}
	c.out.reset()
	c.in.release()
	clear(c.waiting)
	*c = call{out: c.out, waiting: c.waiting[:0], use: c.use}
	r.free = append(r.free, c)
}

// drop frees a call for good.
func (r *requests) drop(c *call) {
	c.out.reset()
	c.out.batch.Release()
	if c.in != nil {
		c.in.release()
	}
}

// closeGrace is how long Close waits for functions to heed the end of their context.
const closeGrace = 3 * time.Second

// close ends all calls. settled ones that are not recycled yet are the operator's to drop.
func (r *requests) close() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	done := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(done)
	}()
	t := time.NewTimer(closeGrace)
	select {
	case <-done:
	case <-t.C:
	}
	t.Stop()
	r.mu.Lock()
	r.closed = true
	list := r.list
	r.list = nil
	r.mu.Unlock()
	for _, h := range list {
		if !h.timeout {
			r.drop(h.call)
		}
	}
	for _, c := range r.free {
		c.out.batch.Release()
	}
	r.free = nil
	r.pool.Close()
}
