package process

import (
	"context"
	"fmt"

	"turbo/core"
)

// LookupConfig describes a lookup join: each row is joined with the rows that a function finds for its key in some other system, now.
type LookupConfig struct {
	RequestConfig
	Keys []int // columns of the input; a row with a null among them has no match
	// Table is the schema of the rows found. The output is the input's columns, then these (nullable when Left).
	Table *core.Schema
	// Call emits the rows found for the key of row; it must not depend on its other columns: rows of one key share a request and its result.
	Call  func(ctx context.Context, row Row, out *Output) error
	Left  bool // rows without a match go on with nulls; else they are dropped
	Cache CacheConfig
}

// Schema returns the output: the input's columns and the table's.
func (c *LookupConfig) Schema(input *core.Schema) *core.Schema {
	out := &core.Schema{TimeColumn: input.TimeColumn, TimeShift: input.TimeShift}
	out.Fields = append(out.Fields, input.Fields...)
	for _, f := range c.Table.Fields {
		if c.Left {
			f.Type = f.Type.Optional()
		}
		out.Fields = append(out.Fields, f)
	}
	return out
}

// Lookup joins rows with what a function finds for their keys: see Async for how it waits. Results are cached; rows whose key is being looked up
// wait for that request.
type Lookup struct {
	core.BaseOperator
	config   LookupConfig
	requests requests
	cache    cache
	ctx      *core.OperatorContext
	outs     *outputs
	in       *sharedBatch
	at, n    int
	width    int      // columns of the input
	queue    []waiter // rows to emit, in order; ordered: some are not settled
	head     int
	open     int // requests not settled
	waiting  int // rows not emitted
	draining bool

	pairsOf *sharedBatch // the batch of left
	left    []int32      // rows of the input ...
	right   []int32      // ... and of the store; -1: none
	misses  bool         // some of right is -1
}

// waiter is a row that waits for the result of its key.
type waiter struct {
	in    *sharedBatch
	row   int32 // selected
	entry *cached
}

// NewLookup returns an operator instance for one worker.
func NewLookup(config LookupConfig) *Lookup { return &Lookup{config: config} }

// Open implements core.Operator.
func (l *Lookup) Open(ctx *core.OperatorContext) error {
	l.ctx = ctx
	input := ctx.Inputs[0]
	switch {
	case l.config.Call == nil:
		return fmt.Errorf("lookup %s: it has no function", l.config.Name)
	case input.Changelog:
		return fmt.Errorf("lookup %s: the input is a changelog", l.config.Name)
	case len(ctx.Output.Fields) != len(input.Fields)+len(l.config.Table.Fields):
		return fmt.Errorf("lookup %s: the output is declared %v, it is %v", l.config.Name, ctx.Output, l.config.Schema(input))
	}
	for _, k := range l.config.Keys {
		if k < 0 || k >= len(input.Fields) {
			return fmt.Errorf("lookup %s: key column %d of %d", l.config.Name, k, len(input.Fields))
		}
	}
	l.width = len(input.Fields)
	l.outs = newOutputs(ctx)
	l.cache.config = l.config.Cache
	l.cache.open(ctx, l.config.Table, l.flushPairs)
	l.requests.config = l.config.RequestConfig
	return l.requests.open(ctx, l.config.Table, func(c context.Context, x *call) error {
		b := x.in.batch
		return l.config.Call(c, Row{b, b.Row(x.from)}, x.out)
	})
}

// Process implements core.Operator.
func (l *Lookup) Process(_ int, b *core.Batch, out core.Emitter) error {
	l.in = &sharedBatch{batch: b}
	l.in.refs.Store(1)
	l.at, l.n = 0, b.Rows()
	_, err := l.Resume(out)
	return err
}

// Resume implements core.Operator.
func (l *Lookup) Resume(out core.Emitter) (more bool, err error) {
	for {
		if left, err := l.outs.emit(out); left || err != nil {
			return left, err
		}
		l.requests.take(l.settled)
		if err := l.drain(); err != nil {
			return false, err
		}
		if l.outs.some {
			continue
		}
		l.begin()
		if l.outs.some || l.requests.ready.Load() {
			continue
		}
		l.flushPairs()
		if l.outs.finish(); l.outs.some {
			continue
		}
		if l.waiting == 0 {
			l.draining = false
		}
		return l.in != nil || l.draining, nil
	}
}

// drain emits the rows at the head of the queue that are settled.
func (l *Lookup) drain() error {
	for l.head < len(l.queue) && !l.outs.some {
		w := l.queue[l.head]
		if w.entry.call != nil {
			return nil
		}
		l.queue[l.head] = waiter{}
		l.head++
		l.waiting--
		var err error
		if w.entry.err != nil {
			l.flushPairs()
			err = l.requests.fail(w.in.batch, int(w.row), int(w.row)+1, w.entry.err, l.outs)
		} else {
			l.pair(w.in, w.in.batch.Row(int(w.row)), w.entry)
		}
		l.cache.unref(w.entry)
		w.in.release()
		if err != nil {
			return err
		}
	}
	if l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	return nil
}

// settled hears of a request that is done.
func (l *Lookup) settled(c *call) {
	err := l.requests.result(c)
	l.open--
	if err == nil {
		c.out.compact()
	}
	l.cache.settle(c.entry, c.out, err)
	l.queue = append(l.queue, c.waiting...) // ordered: there are none
	clear(c.waiting)
	c.waiting = c.waiting[:0]
	l.requests.recycle(c)
}

// begin goes on with the rows of the input, as long as there is room.
func (l *Lookup) begin() {
	if l.in == nil {
		return
	}
	b := l.in.batch
	now := l.ctx.Now()
	for ; l.at < l.n && !l.outs.some; l.at++ {
		row := b.Row(l.at)
		key, null := l.cache.encode(b, l.config.Keys, row)
		if null {
			if l.config.Left {
				l.emitOrWait(row, noMatch)
			}
			continue
		}
		e := l.cache.get(key, now)
		if e == nil {
			capacity := l.requests.config.Capacity
			if l.open >= capacity || l.requests.running >= capacity || !l.roomForRow() {
				return
			}
			c := l.requests.get(l.in, l.at, l.at+1)
			e = l.cache.add(key, c)
			c.entry = e
			l.open++
			l.requests.start(c)
		} else if (e.call != nil || l.head < len(l.queue)) && !l.roomForRow() {
			return
		}
		l.emitOrWait(row, e)
	}
	if l.at == l.n {
		l.flushPairs()
		l.in.release()
		l.in = nil
	}
}

// noMatch stands for the result of a key that is null.
var noMatch = &cached{}

// roomForRow bounds the rows that wait.
func (l *Lookup) roomForRow() bool {
	return l.waiting < 16*l.requests.config.Capacity+l.ctx.BatchRows
}

// emitOrWait emits the row at hand when its result is there and its turn has come.
func (l *Lookup) emitOrWait(row int, e *cached) {
	if e.call == nil && (!l.config.Ordered || l.waiting == 0) {
		l.pair(l.in, row, e)
		return
	}
	if e == noMatch {
		e = &cached{}
	}
	e.refs++
	l.in.refs.Add(1)
	w := waiter{l.in, int32(l.at), e}
	l.waiting++
	if l.config.Ordered || e.call == nil {
		l.queue = append(l.queue, w)
	} else {
		e.call.waiting = append(e.call.waiting, w)
	}
}

// pair adds the output of one row.
func (l *Lookup) pair(in *sharedBatch, row int, e *cached) {
	if l.pairsOf != in {
		l.flushPairs()
		in.refs.Add(1)
		l.pairsOf = in
	}
	for i := range e.n {
		l.left, l.right = append(l.left, int32(row)), append(l.right, int32(e.from+i))
	}
	if e.n == 0 && l.config.Left {
		l.left, l.right = append(l.left, int32(row)), append(l.right, -1)
		l.misses = true
	}
	if len(l.left)+l.outs.list[0].n >= l.ctx.BatchRows {
		l.flushPairs()
	}
}

// flushPairs appends the pairs to the output, column by column.
func (l *Lookup) flushPairs() {
	if l.pairsOf == nil {
		return
	}
	if len(l.left) > 0 {
		out := l.outs.list[0]
		for i, v := range l.pairsOf.batch.Columns {
			out.column(i).AppendSelected(v, l.left)
		}
		for i, v := range l.cache.store {
			to := out.column(l.width + i)
			if !l.misses {
				to.AppendSelected(v, l.right)
				continue
			}
			for _, r := range l.right {
				if r < 0 {
					to.AppendNull()
				} else {
					to.AppendRow(v, int(r))
				}
			}
		}
		out.EndRows(len(l.left))
	}
	l.left, l.right, l.misses = l.left[:0], l.right[:0], false
	l.pairsOf.release()
	l.pairsOf = nil
}

// Waiting implements core.Waiter.
func (l *Lookup) Waiting() bool {
	if l.requests.ready.Load() || l.outs.some {
		return false
	}
	if l.in == nil {
		return l.waiting > 0
	}
	return l.open > 0 || l.requests.running > 0 // begin has gone as far as it can
}

// InFlight implements core.InFlight.
func (l *Lookup) InFlight() int { return l.requests.inFlight() }

// Due implements core.Timed: results are there.
func (l *Lookup) Due() (core.Time, bool) { return 0, l.requests.ready.Load() }

// Tick implements core.Timed.
func (l *Lookup) Tick(_ core.Time, out core.Emitter) error {
	_, err := l.Resume(out)
	return err
}

// Advance implements core.Operator.
func (l *Lookup) Advance(core.Time, core.Emitter) error {
	l.draining = true
	return nil
}

// Flush implements core.Operator.
func (l *Lookup) Flush(core.Emitter) error {
	l.draining = true
	return nil
}

// EndInput implements core.Operator.
func (l *Lookup) EndInput(int, core.Emitter) error {
	l.draining = true
	return nil
}

// Close implements core.Operator.
func (l *Lookup) Close() error {
	l.requests.close()
	for _, w := range l.queue[l.head:] {
		w.in.release()
	}
	l.queue = nil
	for _, e := range l.cache.byKey {
		if e.call != nil {
			for _, w := range e.call.waiting {
				w.in.release()
			}
		}
	}
	if l.pairsOf != nil {
		l.pairsOf.release()
		l.pairsOf = nil
	}
	if l.in != nil {
		l.in.release()
		l.in = nil
	}
	if l.outs != nil {
		l.cache.close()
		l.outs.close()
	}
	return nil
}

var (
	_ core.Timed    = (*Lookup)(nil)
	_ core.Waiter   = (*Lookup)(nil)
	_ core.InFlight = (*Lookup)(nil)
)
