package process

import (
	"context"
	"fmt"

	"turbo/core"
)

// AsyncConfig describes an operator that calls a function which waits for something outside, many rows at a time.
type AsyncConfig struct {
	RequestConfig
	// Call emits the result of a row: none, one or several rows. It runs in a goroutine of its own, beside others of its kind, and should return when ctx
	// ends. CallBlock is its batch form: it gets up to BlockRows rows of one batch. Exactly one of them is set.
	Call      func(ctx context.Context, row Row, out *Output) error
	CallBlock func(ctx context.Context, in *Block, out *Output) error
	BlockRows int // of a block; 0: 64
}

// Async calls a function for each row, in a bounded number of goroutines. A watermark, a barrier and the end of input wait until all
// requests before them are done: so their results do not cross a watermark, and no request is part of a checkpoint. Rows are tried again after a
// restart, so a request may be made more than once. While a control message waits, no new request begins: the time between watermarks should
// be long compared with a request.
type Async struct {
	core.BaseOperator
	config   AsyncConfig
	requests requests
	ctx      *core.OperatorContext
	outs     *outputs
	in       *sharedBatch
	at, n    int
	queue    []*call // not emitted yet; in the order of rows when ordered, else of those settled
	head     int
	open     int  // calls not emitted
	draining bool // a control message waits
}

// NewAsync returns an operator instance for one worker.
func NewAsync(config AsyncConfig) *Async { return &Async{config: config} }

// Open implements core.Operator.
func (a *Async) Open(ctx *core.OperatorContext) error {
	a.ctx = ctx
	if (a.config.Call == nil) == (a.config.CallBlock == nil) {
		return fmt.Errorf("async %s: it needs one of a function and a batch function", a.config.Name)
	}
	if a.config.BlockRows <= 0 {
		a.config.BlockRows = 64
	}
	if a.config.Call != nil {
		a.config.BlockRows = 1
	}
	a.requests.config = a.config.RequestConfig
	a.outs = newOutputs(ctx)
	return a.requests.open(ctx, ctx.Output, a.do)
}

// do is a request, in its goroutine.
func (a *Async) do(ctx context.Context, c *call) error {
	b := c.in.batch
	if a.config.Call != nil {
		return a.config.Call(ctx, Row{b, b.Row(c.from)}, c.out)
	}
	return a.config.CallBlock(ctx, &Block{Batch: b, From: c.from, To: c.to}, c.out)
}

// Process implements core.Operator.
func (a *Async) Process(_ int, b *core.Batch, out core.Emitter) error {
	a.in = &sharedBatch{batch: b}
	a.in.refs.Store(1)
	a.at, a.n = 0, b.Rows()
	_, err := a.Resume(out)
	return err
}

// Resume implements core.Operator.
func (a *Async) Resume(out core.Emitter) (more bool, err error) {
	for {
		if left, err := a.outs.emit(out); left || err != nil {
			return left, err
		}
		a.requests.take(a.settled)
		for a.head < len(a.queue) && a.queue[a.head].settled && !a.outs.some {
			c := a.queue[a.head]
			a.queue[a.head] = nil
			a.head++
			a.open--
			err := a.requests.emit(c, a.outs)
			a.requests.recycle(c)
			if err != nil {
				return false, err
			}
		}
		if a.head == len(a.queue) {
			a.queue, a.head = a.queue[:0], 0
		}
		if a.outs.some {
			continue
		}
		a.begin()
		if a.requests.ready.Load() {
			continue
		}
		if a.outs.finish(); a.outs.some {
			continue
		}
		if a.open == 0 {
			a.draining = false
		}
		return a.in != nil || a.draining, nil
	}
}

// settled hears of a call that is done.
func (a *Async) settled(c *call) {
	if !a.config.Ordered {
		a.queue = append(a.queue, c)
	}
}

// begin starts as many requests as there is room for.
func (a *Async) begin() {
	if a.in == nil {
		return
	}
	for a.at < a.n && a.room() {
		to := min(a.at+a.config.BlockRows, a.n)
		c := a.requests.get(a.in, a.at, to)
		a.at = to
		a.open++
		if a.config.Ordered {
			a.queue = append(a.queue, c)
		}
		a.requests.start(c)
	}
	if a.at == a.n {
		a.in.release()
		a.in = nil
	}
}

func (a *Async) room() bool {
	return a.open < a.requests.config.Capacity && a.requests.running < a.requests.config.Capacity
}

// Waiting implements core.Waiter.
func (a *Async) Waiting() bool {
	return !a.requests.ready.Load() && !a.outs.some && (a.in == nil || !a.room())
}

// InFlight implements core.InFlight.
func (a *Async) InFlight() int { return a.requests.inFlight() }

// Due implements core.Timed: results are there.
func (a *Async) Due() (core.Time, bool) { return 0, a.requests.ready.Load() }

// Tick implements core.Timed.
func (a *Async) Tick(_ core.Time, out core.Emitter) error {
	_, err := a.Resume(out)
	return err
}

// Advance implements core.Operator.
func (a *Async) Advance(_ core.Time, _ core.Emitter) error {
	a.draining = true
	return nil
}

// Flush implements core.Operator.
func (a *Async) Flush(core.Emitter) error {
	a.draining = true
	return nil
}

// EndInput implements core.Operator.
func (a *Async) EndInput(int, core.Emitter) error {
	a.draining = true
	return nil
}

// Close implements core.Operator.
func (a *Async) Close() error {
	a.requests.close()
	for _, c := range a.queue[a.head:] {
		if c.settled && !c.running {
			a.requests.drop(c)
		}
	}
	a.queue = nil
	if a.in != nil {
		a.in.release()
		a.in = nil
	}
	a.outs.close()
	return nil
}

// emit adds the result of a settled call to the output, or does with its rows what the failure policy says.
func (r *requests) emit(c *call, outs *outputs) error {
	if err := r.result(c); err != nil {
		return r.fail(c.in.batch, c.from, c.to, err, outs)
	}
	outs.list[0].take(c.out)
	return nil
}

// fail treats selected rows of a batch by the failure policy.
func (r *requests) fail(b *core.Batch, from, to int, err error, outs *outputs) error {
	switch r.config.OnFailure {
	case DropRow:
		r.ctx.Counters.Skipped += int64(to - from)
	case SideRow:
		r.ctx.Counters.DeadLettered += int64(to - from)
		for i := from; i < to; i++ {
			outs.list[1+r.config.Side].Row(Row{b, b.Row(i)})
		}
	case Fallback:
		for i := from; i < to; i++ {
			if err := r.fallback(Row{b, b.Row(i)}, err, outs.list[0]); err != nil {
				return err
			}
		}
	default:
		return err
	}
	return nil
}

func (r *requests) fallback(row Row, cause error, out *Output) (err error) {
	defer func() {
		if p := recover(); p != nil || err != nil {
			e := UserError{Operator: r.ctx.ID, Function: r.config.Name, Call: "Fallback", Row: row.Render()}
			err = asError(e, err, p)
		}
	}()
	return r.config.Fallback(row, cause, out)
}

var (
	_ core.Timed    = (*Async)(nil)
	_ core.Waiter   = (*Async)(nil)
	_ core.InFlight = (*Async)(nil)
)
