package process

import (
	"fmt"

	"turbo/core"
	"turbo/state"
)

// Function is a user's process function, called row by row: one instance an operator instance, every call from its worker. An error or a
// panic fails the job's attempt with a *UserError.
type Function interface {
	// Open comes first: it asks s for the states that the configuration declares, and keeps them.
	Open(s *Setup) error
	// Process takes a row of an input. With a keyed port, states are those of the row's key.
	Process(ctx *Context, row Row) error
	// OnTimer says that a timer of a key is due; states are those of the key.
	OnTimer(ctx *Context, timer Timer) error
	// Close comes last, also after an error.
	Close() error
}

// BatchFunction is a user's process function over columns: it gets a block of rows at once, with the slots of their keys.
type BatchFunction interface {
	Open(s *Setup) error
	// ProcessBlock takes the rows of a block, which it only reads.
	ProcessBlock(ctx *Context, in *Block) error
	// OnTimers takes timers that are due, in the order of their times. in.Times has them; in.Batch has their keys.
	OnTimers(ctx *Context, in *Block) error
	Close() error
}

// Ender is a Function or BatchFunction that wants to know when an input has ended. No key is current; timers may still fire.
type Ender interface {
	EndInput(ctx *Context, port int) error
}

// BaseFunction does nothing in every optional call of Function; most embed it.
type BaseFunction struct{}

// Open implements Function.
func (BaseFunction) Open(*Setup) error { return nil }

// OnTimer implements Function.
func (BaseFunction) OnTimer(*Context, Timer) error { return nil }

// OnTimers implements BatchFunction.
func (BaseFunction) OnTimers(*Context, *Block) error { return nil }

// Close implements Function and BatchFunction.
func (BaseFunction) Close() error { return nil }

// Timer is a timer that is due.
type Timer struct {
	Time core.Time
	// Processing says that it is one of processing time, else of event time.
	Processing bool
	// Key is the key, its columns as in the port's Keys.
	Key Row
}

// Block is rows of one batch for a BatchFunction: those from From to To, counted among the selected ones.
type Block struct {
	Port     int
	Batch    *core.Batch
	From, To int
	// Slots has the slot of each row's key, in their order; nil where there are no keys. They are valid during the call.
	Slots []uint32
	// Times are those of timers; Processing says of which kind.
	Times      []core.Time
	Processing bool
}

// Len returns the number of rows.
func (b *Block) Len() int { return b.To - b.From }

// Row returns the physical row of the i-th row of the block.
func (b *Block) Row(i int) int { return b.Batch.Row(b.From + i) }

// Sel returns the physical rows of the block, or nil when they are From to To.
func (b *Block) Sel() []int32 {
	if b.Batch.Sel == nil {
		return nil
	}
	return b.Batch.Sel[b.From:b.To]
}

// Setup is what a function finds when it opens.
type Setup struct{ op *Process }

// Context returns the operator's context: worker, schemas, account, log.
func (s *Setup) Context() *core.OperatorContext { return s.op.ctx }

// Value returns the value state of that name. This and its like panic when the configuration has no such state: a fault of the function.
func (s *Setup) Value(name string) *Value { return stateOf[*Value](s, name) }

// List returns the list state of that name.
func (s *Setup) List(name string) *List { return stateOf[*List](s, name) }

// Map returns the map state of that name.
func (s *Setup) Map(name string) *Map { return stateOf[*Map](s, name) }

// Reducing returns the reducing state of that name.
func (s *Setup) Reducing(name string) *Reducing { return stateOf[*Reducing](s, name) }

// Aggregating returns the aggregating state of that name.
func (s *Setup) Aggregating(name string) *Aggregating { return stateOf[*Aggregating](s, name) }

// Broadcast returns the broadcast state of that name.
func (s *Setup) Broadcast(name string) *Broadcast {
	b := s.op.broadcasts[name]
	if b == nil {
		panic(fmt.Errorf("no broadcast state %q is declared", name))
	}
	return b
}

func stateOf[T any](s *Setup, name string) T {
	if s.op.keyed == nil {
		panic(fmt.Errorf("state %q: the operator has no keys", name))
	}
	x, ok := s.op.keyed.byName[name].(T)
	if !ok {
		panic(fmt.Errorf("state %q is declared as %T, not as %T", name, s.op.keyed.byName[name], x))
	}
	return x
}

// Table returns the table of keys, for a BatchFunction: slots are its. Values are fields of it (Value.Field).
func (s *Setup) Table() *state.Table { return s.op.keyed.table }

// Context is what a function may use during a call.
type Context struct {
	op   *Process
	port int
	row  Row
	at   core.Time // of a timer
	kind int8      // what the call is about: noCall, aRow, aTimer
}

const (
	noCall int8 = iota
	aRow
	aTimer
)

// Port returns the input of the row at hand.
func (c *Context) Port() int { return c.port }

// Out returns the main output.
func (c *Context) Out() *Output { return c.op.outs.list[0] }

// Side returns side output i.
func (c *Context) Side(i int) *Output { return c.op.outs.list[1+i] }

// EventTime returns the time of the row or event-time timer at hand; ok is false when there is none.
func (c *Context) EventTime() (t core.Time, ok bool) {
	switch c.kind {
	case aRow:
		return c.row.Time()
	case aTimer:
		return c.at, true
	}
	return 0, false
}

// Watermark returns the watermark of the inputs.
func (c *Context) Watermark() core.Time { return c.op.watermark }

// ProcessingTime returns the processing time of the batch at hand: it is read once a batch.
func (c *Context) ProcessingTime() core.Time { return c.op.clock }

// RegisterEventTimer sets a timer of the current key: OnTimer is called when the watermark has reached at. Setting a timer again, at the same
// time, sets it once.
func (c *Context) RegisterEventTimer(at core.Time) { c.op.timer(event).register(c.slot(), at) }

// DeleteEventTimer removes a timer of the current key, if it is set.
func (c *Context) DeleteEventTimer(at core.Time) { c.op.timer(event).remove(c.slot(), at) }

// RegisterProcessingTimer sets a timer of the current key by processing time. Timers that are left when all input has ended do not fire.
func (c *Context) RegisterProcessingTimer(at core.Time) {
	c.op.timer(processing).register(c.slot(), at)
}

// DeleteProcessingTimer removes a timer of the current key by processing time, if it is set.
func (c *Context) DeleteProcessingTimer(at core.Time) {
	c.op.timer(processing).remove(c.slot(), at)
}

// RegisterTimers sets a timer for the key of each slot of a block: the batch form.
func (c *Context) RegisterTimers(processingTime bool, slots []uint32, at []core.Time) {
	t := c.op.timer(kindOf(processingTime))
	for i, s := range slots {
		t.register(s, at[i])
	}
}

// DeleteTimers removes timers: the batch form.
func (c *Context) DeleteTimers(processingTime bool, slots []uint32, at []core.Time) {
	t := c.op.timer(kindOf(processingTime))
	for i, s := range slots {
		t.remove(s, at[i])
	}
}

func kindOf(processingTime bool) clockKind {
	if processingTime {
		return processing
	}
	return event
}

// slot returns the current key's.
func (c *Context) slot() uint32 {
	k := c.op.keyed
	if k == nil || len(k.cur.row) == 0 {
		panic(ErrNoKey)
	}
	return k.cur.slot()
}

// EachKey makes every key that has state the current one in turn: for rows of a broadcast input, which have no key. Keys come in no
// particular order.
func (c *Context) EachKey(visit func() error) error {
	k := c.op.keyed
	if k == nil {
		panic(ErrNoKey)
	}
	before := k.cur.slot()
	defer func() {
		if before == core.NoSlot || !k.table.Live(before) {
			k.leave()
		} else {
			k.seek(before)
		}
	}()
	return k.table.Scan(func(slots []uint32) error {
		for _, s := range slots {
			k.seek(s)
			if k.empty(s, k.table.Words(0, 0).Words, len(k.cur.row)) {
				continue // it is about to be dropped
			}
			if err := visit(); err != nil {
				return err
			}
		}
		return nil
	})
}

// AppendCurrentKey appends field f of the current key to v, which has its type.
func (c *Context) AppendCurrentKey(v *core.Vector, f int) {
	slot := c.slot()
	must(c.op.keyed.table.AppendValues(v, f, []uint32{slot}))
}
