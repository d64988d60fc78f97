package process

import (
	"fmt"
	"time"

	"turbo/core"
	"turbo/core/hash"
)

// Port is an input of a Process operator.
type Port struct {
	// Keys are the key columns. All keyed ports have as many, of the same types.
	Keys []int
	// Broadcast says that every worker gets all rows of the port: they have no key, and may write broadcast state.
	Broadcast bool
}

// Config describes a Process operator: a process function of one input, a co-process function of two, or one with broadcast state.
type Config struct {
	Name  string // of the function, for messages
	Ports []Port
	// Keyed says that ports (but broadcast ones) are keyed; a port without key columns then has one key, of the whole stream, which must be
	// gathered on worker 0. Otherwise there is neither keyed state nor timers.
	Keyed      bool
	States     []Descriptor
	Broadcasts []Descriptor // of MapKind, without a time to live
	// Alone says that the only instance is on worker 0, behind a gather. An operator that is keyed by no columns is alone.
	Alone bool
	// New makes the function, or NewBatch does: exactly one of them is set.
	New      func() Function
	NewBatch func() BatchFunction
}

// Process calls a user's function for the rows of its inputs and for timers. See the package's comment for what survives a restart.
type Process struct {
	config     Config
	ctx        *core.OperatorContext
	fn         Function
	batchFn    BatchFunction
	opened     bool
	context    Context
	outs       *outputs
	keyed      *keyed
	timers     [2]*timerSet // by clockKind
	broadcasts map[string]*Broadcast
	watermark  core.Time
	clock      core.Time // processing time of the batch at hand
	eventTTL   bool
	call       string // what is called now, for errors

	in       *core.Batch
	at, n    int // of the selected rows: next, end
	from, to int // the block whose slots are in keyed.slots
	keys     []*core.Vector
	hashes   []uint64
	scratch  []uint64
	block    Block

	sweeping [2]bool // by clockKind: values that have expired may be left
	swept    core.Time
}

const (
	// blockRows is the rows whose keys are looked up together: their rows of state stay in the caches until the function has seen them.
	blockRows = 512
	// sweepEvery is how often expired values are freed, in processing time.
	sweepEvery = core.Time(100 * time.Millisecond / time.Microsecond)
)

// New returns an operator instance for one worker.
func New(config Config) *Process { return &Process{config: config} }

// Open implements core.Operator.
func (p *Process) Open(ctx *core.OperatorContext) error {
	p.ctx, p.watermark, p.clock = ctx, core.MinTime, ctx.Now()
	p.swept = p.clock
	if (p.config.New == nil) == (p.config.NewBatch == nil) {
		return fmt.Errorf("process %s: it needs one of a function and a batch function", p.config.Name)
	}
	p.outs = newOutputs(ctx)
	if err := p.openState(); err != nil {
		return fmt.Errorf("process %s: %w", p.config.Name, err)
	}
	if err := p.openBroadcast(); err != nil {
		return fmt.Errorf("process %s: %w", p.config.Name, err)
	}
	return p.openFunction()
}

// openState opens tables and timers.
func (p *Process) openState() error {
	if len(p.config.Ports) != len(p.ctx.Inputs) {
		return fmt.Errorf("%d ports for %d inputs", len(p.config.Ports), len(p.ctx.Inputs))
	}
	if !p.config.Keyed {
		if len(p.config.States) > 0 {
			return fmt.Errorf("state %q: without keys there is no keyed state", p.config.States[0].Name)
		}
		return nil
	}
	var key []core.Field
	first := -1
	for i, port := range p.config.Ports {
		if port.Broadcast {
			continue
		}
		input := p.ctx.Inputs[i]
		for j, c := range port.Keys {
			switch {
			case c < 0 || c >= len(input.Fields):
				return fmt.Errorf("key column %d of %d of input %d", c, len(input.Fields), i)
			case first < 0:
				key = append(key, input.Fields[c])
			case j >= len(key) || input.Fields[c].Type.Kind != key[j].Type.Kind:
				return fmt.Errorf("the keys of inputs %d and %d differ: they must be as many, of the same types", first, i)
			case !input.Fields[c].Type.NotNull:
				key[j].Type = key[j].Type.Optional()
			}
		}
		if first >= 0 && len(port.Keys) != len(key) {
			return fmt.Errorf("the keys of inputs %d and %d differ: they must be as many, of the same types", first, i)
		}
		first = max(first, i)
	}
	var err error
	if p.keyed, err = openKeyed(p.ctx, key, p.config.States); err != nil {
		return err
	}
	p.keyed.now = [2]core.Time{p.clock, p.watermark}
	p.keyed.leave()
	for _, d := range p.config.States {
		p.eventTTL = p.eventTTL || d.TTL.EventTime
	}
	for kind, name := range [...]string{"processing timers", "event timers"} {
		if p.timers[kind], err = openTimers(p.ctx, p.keyed, name); err != nil {
			return err
		}
	}
	return nil
}

func (p *Process) openFunction() (err error) {
	p.context = Context{op: p}
	p.call = "Open"
	defer p.guard(&err)
	s := &Setup{p}
	if p.config.New != nil {
		p.fn = p.config.New()
		p.opened = true
		return p.fn.Open(s)
	}
	p.batchFn = p.config.NewBatch()
	p.opened = true
	return p.batchFn.Open(s)
}

// guard turns what a call of the function ended with into the operator's error.
func (p *Process) guard(err *error) {
	r := recover()
	if r == nil && *err == nil {
		return
	}
	e := UserError{Operator: p.ctx.ID, Function: p.config.Name, Call: p.call}
	switch p.context.kind {
	case aRow:
		e.Row = p.context.row.Render()
	case aTimer:
		e.Row = fmt.Sprintf("key %s at %v", p.context.row.Render(), p.context.at)
	}
	*err = asError(e, *err, r)
}

// timer returns the timers of a kind; there are none without keys.
func (p *Process) timer(kind clockKind) *timerSet {
	if p.timers[kind] == nil {
		panic(ErrNoKey)
	}
	return p.timers[kind]
}

// Process implements core.Operator.
func (p *Process) Process(port int, b *core.Batch, out core.Emitter) error {
	p.in, p.at, p.n, p.from, p.to = b, 0, b.Rows(), 0, 0
	p.context.port = port
	p.tell(p.ctx.Now())
	if p.keyed != nil && !p.config.Ports[port].Broadcast {
		for _, c := range p.config.Ports[port].Keys {
			p.keys = append(p.keys, b.Columns[c])
		}
		if p.hashes = b.Hashes; p.hashes == nil && len(p.keys) > 0 {
			p.scratch = resize(p.scratch, b.Len)
			hash.Columns(p.keys, b.Len, b.Sel, p.scratch)
			p.hashes = p.scratch
		}
	}
	_, err := p.Resume(out)
	return err
}

// tell says what processing time it is.
func (p *Process) tell(now core.Time) {
	p.clock = now
	if p.keyed != nil {
		p.keyed.now[processing] = now
	}
}

// Resume implements core.Operator: it goes on with the batch, the timers and the sweep at hand.
func (p *Process) Resume(out core.Emitter) (more bool, err error) {
	for {
		if left, err := p.outs.emit(out); left || err != nil {
			return left, err
		}
		switch {
		case p.in != nil:
			err = p.rows()
		case p.timers[event] != nil && p.timers[event].active:
			err = p.fire(event)
		case p.timers[processing] != nil && p.timers[processing].active:
			err = p.fire(processing)
		case p.sweeping[processing]:
			p.sweeping[processing], err = p.keyed.sweep(processing, p.clock)
		case p.sweeping[event]: // rows in time are later than the watermark
			p.sweeping[event], err = p.keyed.sweep(event, addTime(p.watermark, 1))
		default:
			if p.outs.finish(); !p.outs.some {
				return false, nil
			}
		}
		if err != nil {
			return false, err
		}
	}
}

// rows calls the function until a batch of output is ready or the input is done.
func (p *Process) rows() (err error) {
	p.call = "Process"
	defer p.guard(&err)
	b := p.in
	keyed := p.hashes != nil || p.keyed != nil && !p.config.Ports[p.context.port].Broadcast
	for p.at < p.n {
		if p.at == p.to {
			p.from, p.to = p.at, min(p.at+blockRows, p.n)
			if keyed {
				p.context.kind = noCall
				if err := p.keyed.find(p.keys, p.hashes, b.Sel, p.from, p.to); err != nil {
					return refused{err}
				}
			} else if p.keyed != nil {
				p.keyed.leave()
			}
		}
		if p.batchFn != nil {
			p.block = Block{Port: p.context.port, Batch: b, From: p.from, To: p.to}
			if keyed {
				p.block.Slots = p.keyed.slots[:p.to-p.from]
			}
			p.at = p.to
			p.startBlock()
			if err := p.batchFn.ProcessBlock(&p.context, &p.block); err != nil {
				return err
			}
			p.endBlock()
		} else {
			p.context.kind = aRow
			if keyed {
				err = p.keyedRows(b)
			} else {
				err = p.plainRows(b)
			}
			if err != nil {
				return err
			}
		}
		if p.outs.some {
			break
		}
	}
	if p.at < p.n {
		return nil
	}
	p.context.kind = noCall
	p.dropInput()
	return p.endBatch()
}

// keyedRows calls the function for the rows of the block.
func (p *Process) keyedRows(b *core.Batch) error {
	k, fn := p.keyed, p.fn
	c := k.table.Words(0, 0)
	slots := k.slots[:p.to-p.from]
	for p.at < p.to {
		row := Row{b, b.Row(p.at)}
		k.load(c.Words, c.Stride, slots[p.at-p.from])
		p.context.row = row
		if p.eventTTL {
			k.now[event] = p.watermark
			if t, ok := row.Time(); ok {
				k.now[event] = t
			}
		}
		p.at++
		if err := fn.Process(&p.context, row); err != nil {
			return err
		}
		if p.outs.some {
			return nil
		}
	}
	return nil
}

// plainRows is keyedRows without keys.
func (p *Process) plainRows(b *core.Batch) error {
	for p.at < p.to {
		row := Row{b, b.Row(p.at)}
		p.context.row = row
		if p.eventTTL {
			p.keyed.now[event] = p.watermark
			if t, ok := row.Time(); ok {
				p.keyed.now[event] = t
			}
		}
		p.at++
		if err := p.fn.Process(&p.context, row); err != nil {
			return err
		}
		if p.broadcasts != nil {
			if err := p.settleBroadcasts(); err != nil {
				return refused{err}
			}
		}
		if p.outs.some {
			return nil
		}
	}
	return nil
}

// startBlock and endBlock stand around a call of a BatchFunction, for which no key is current.
func (p *Process) startBlock() {
	p.context.kind = noCall
	if p.keyed != nil {
		p.keyed.leave()
		p.keyed.now[event] = p.watermark
	}
}

func (p *Process) endBlock() {
	if p.broadcasts != nil {
		must(p.settleBroadcasts())
	}
}

// dropInput ends the input batch.
func (p *Process) dropInput() {
	if p.in != nil {
		p.in.Release()
		p.in, p.hashes = nil, nil
		clear(p.keys)
		p.keys = p.keys[:0]
	}
}

// endBatch brings timers to their service and drops keys without state.
func (p *Process) endBatch() error {
	if p.keyed == nil {
		return nil
	}
	for _, t := range p.timers {
		if err := t.flush(); err != nil {
			return refused{err}
		}
	}
	if err := p.keyed.tidy(); err != nil {
		return refused{err}
	}
	return nil
}

// fire calls the function for timers until a batch of output is ready or no timer is due.
func (p *Process) fire(kind clockKind) (err error) {
	p.call = "OnTimer"
	p.context.kind = noCall
	defer p.guard(&err)
	t, k := p.timers[kind], p.keyed
	if t.fired == nil {
		if err := t.fetch(p.ctx); err != nil {
			return refused{err}
		}
		if t.fired == nil {
			return nil
		}
	}
	k.now[event] = p.watermark
	if p.batchFn != nil {
		p.block = Block{Batch: t.batch, To: t.batch.Len, Slots: t.firedSlot, Times: t.firedAt, Processing: kind == processing}
		t.at = len(t.firedAt)
		p.startBlock()
		if err := p.batchFn.OnTimers(&p.context, &p.block); err != nil {
			return err
		}
		p.endBlock()
	} else {
		p.context.kind = aTimer
		for {
			at, slot, ok := t.next()
			if !ok {
				break
			}
			k.seek(slot)
			if kind == event {
				k.now[event] = at
			}
			p.context.row, p.context.at = Row{t.batch, t.row}, at
			if err := p.fn.OnTimer(&p.context, Timer{at, kind == processing, p.context.row}); err != nil {
				return err
			}
			if p.outs.some {
				return nil
			}
		}
	}
	p.context.kind = noCall
	t.done()
	return p.endBatch()
}

// Advance implements core.Operator: timers up to t are due, and values that no row in time can see any more are freed.
func (p *Process) Advance(t core.Time, out core.Emitter) error {
	p.watermark = t
	if p.keyed == nil {
		return nil
	}
	p.tell(p.ctx.Now())
	p.timers[event].start(t)
	p.sweeping[event] = p.eventTTL
	_, err := p.Resume(out)
	return err
}

// Due implements core.Timed.
func (p *Process) Due() (at core.Time, ok bool) {
	if p.keyed == nil {
		return 0, false
	}
	at, ok = p.timers[processing].service.Next()
	if t, some := p.keyed.due(processing); some {
		if t = max(t, addTime(p.swept, sweepEvery)); !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// Tick implements core.Timed.
func (p *Process) Tick(now core.Time, out core.Emitter) error {
	p.tell(now)
	p.timers[processing].start(now)
	if now >= addTime(p.swept, sweepEvery) {
		p.swept, p.sweeping[processing] = now, true
	}
	_, err := p.Resume(out)
	return err
}

// Flush implements core.Operator: everything is in tables.
func (p *Process) Flush(core.Emitter) error { return nil }

// EndInput implements core.Operator.
func (p *Process) EndInput(port int, out core.Emitter) error {
	if err := p.endInput(port); err != nil {
		return err
	}
	_, err := p.Resume(out)
	return err
}

func (p *Process) endInput(port int) (err error) {
	var fn any = p.fn
	if p.batchFn != nil {
		fn = p.batchFn
	}
	e, ok := fn.(Ender)
	if !ok {
		return nil
	}
	p.call = "EndInput"
	p.startBlock()
	p.context.port = port
	defer p.guard(&err)
	if err := e.EndInput(&p.context, port); err != nil {
		return err
	}
	p.endBlock()
	return p.endBatch()
}

// Close implements core.Operator.
func (p *Process) Close() (err error) {
	p.dropInput()
	for _, t := range p.timers {
		if t != nil {
			t.close()
		}
	}
	if p.keyed != nil {
		p.keyed.close()
	}
	p.closeBroadcast()
	p.outs.close()
	if !p.opened {
		return nil
	}
	p.call, p.context.kind = "Close", noCall
	defer p.guard(&err)
	if p.fn != nil {
		return p.fn.Close()
	}
	if p.batchFn != nil {
		return p.batchFn.Close()
	}
	return nil
}

var _ core.Timed = (*Process)(nil)
