package shuffle

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"turbo/core"
	"turbo/internal/invariants"
	"turbo/memory"
)

// Kind is how an exchange picks the receiver of a row.
type Kind uint8

// The kinds of exchange.
const (
	Forward   Kind = iota // to the one receiver
	Hash                  // by the key group of the row's key
	Rebalance             // to the next receiver that has credit, a batch at a time
	Broadcast             // to all receivers
)

// String returns the name that EXPLAIN prints.
func (k Kind) String() string { return [...]string{"forward", "hash", "rebalance", "broadcast"}[k&3] }

// The default targets of a batch.
const (
	DefaultBatchRows  = 4096
	DefaultBatchBytes = 1 << 20
)

// OutputConfig configures an Output.
type OutputConfig struct {
	Kind      Kind
	Schema    *core.Schema
	Account   *memory.Account // pays for the batches that the exchange builds
	Channels  []*Channel      // one a receiver; exactly one for Forward
	Keys      []int           // Hash: the key columns
	KeyGroups int             // Hash: the job's number of key groups; 0 is the default

	BatchRows  int // a batch is full at so many rows; 0 is the default
	BatchBytes int // or at so many bytes of variable-width values; 0 is the default

	// BufferTimeout is how long a row may wait in an open batch: 0 = not at all, every emitted batch is flushed at once;
	// negative = for ever, until the batch is full or a control message comes.
	BufferTimeout time.Duration
	// FlushWhenIdle flushes to a receiver that has nothing to do, before the timeout. It has no effect when BufferTimeout is negative.
	FlushWhenIdle bool
}

// Output is the sending end of an exchange in one chain instance, and that chain's last Emitter. The worker that owns the chain calls it;
// it never blocks. The worker sets the time with SetNow (or Poll) once a step, calls Poll whenever it comes by, and does not sleep
// beyond Deadline.
//
// # How rows leave
//
// Rows are copied into one open batch a receiver (one for all receivers in the kinds that do not route by row). The open batch is finished
// when it is full, when its first row has waited for BufferTimeout, when the receiver is idle, or when a control message comes. A
// finished batch is pushed to the ring or, if there is no credit, put into the channel's overflow slot: from then on Full is
// true, until Resume has pushed it. While the overflow slot is taken, open batches just go on growing: the one Emit that
// an operator may still make, and nothing more.
//
// A batch that goes to one receiver as a whole is moved and not copied when no older row is open and either waiting is not
// wanted (BufferTimeout 0) or it is large already.
//
// At BufferTimeout 0 rows are handed over after every emitted batch, so a receiver that is behind would find many small batches. Instead
// the exchange adds to the newest batch in the ring as long as the receiver has not taken it (Ring.Reopen): nothing waits, and a
// receiver that is behind takes several messages at once.
//
// Only a hash exchange sets Hashes on its batches; the others clear them, because they could be those of another key.
type Output struct {
	OutputConfig
	now      int64
	pool     *core.BatchPool
	lanes    []lane
	open     []openBatch // Hash: one a lane; else one
	blocked  int         // lanes with an overflow
	waiting  int         // open batches that are not empty
	earliest int64       // no deadline of an open batch is before this; math.MaxInt64 = none
	varying  bool        // the schema has variable-width columns
	joins    bool        // BufferTimeout 0, and each open batch has one receiver
	next     int         // Rebalance: the lane whose turn it is

	scatter scatter
	keys    []*core.Vector

	inControl bool
	control   core.Message

	stats outputStats
}

// lane is an Output's state for one channel.
type lane struct {
	channel  *Channel
	overflow core.Message // its Batch is nil while there is none
	mark     core.Time    // a riding watermark that the next batch takes along, behind its rows; MinTime: none
	informed bool         // has the control message that is under way
	joinable bool         // the newest batch in the ring was built here and has room
}

type openBatch struct {
	batch    *core.Batch
	deadline int64
	joined   bool // it is in the ring, reopened
}

// OutputStats counts what an Output has sent. Flushes by reason add up to Batches.
type OutputStats struct {
	Rows, Batches                           int64
	WhenFull, AtTimeout, WhenIdle, OnDemand int64 // OnDemand: before control, or every batch at timeout 0
	Moved                                   int64 // batches that were not copied
	Joined                                  int64 // flushes into a batch that the receiver had not taken yet: not in Batches
	Blocked                                 int64 // batches that had to wait in an overflow slot
}

type outputStats struct {
	rows, batches, moved, joined, blocked atomic.Int64
	reason                                [4]atomic.Int64
}

type reason uint8

const (
	whenFull reason = iota
	atTimeout
	whenIdle
	onDemand
)

// NewOutput returns an Output. It returns an error when the configuration contradicts itself.
func NewOutput(c OutputConfig) (*Output, error) {
	if len(c.Channels) == 0 {
		return nil, fmt.Errorf("shuffle: a %s exchange without receivers", c.Kind)
	}
	if c.Kind == Forward && len(c.Channels) != 1 {
		return nil, fmt.Errorf("shuffle: a forward exchange to %d receivers; it has exactly one", len(c.Channels))
	}
	if c.KeyGroups == 0 {
		c.KeyGroups = core.DefaultKeyGroups
	}
	if c.BatchRows <= 0 {
		c.BatchRows = DefaultBatchRows
	}
	if c.BatchBytes <= 0 {
		c.BatchBytes = DefaultBatchBytes
	}
	n := len(c.Channels)
	if c.Kind == Hash {
		switch {
		case len(c.Keys) == 0:
			return nil, errors.New("shuffle: a hash exchange without key columns")
		case c.KeyGroups > core.MaxKeyGroups || c.KeyGroups < 1:
			return nil, fmt.Errorf("shuffle: %d key groups; 1 to %d are possible", c.KeyGroups, core.MaxKeyGroups)
		case n > c.KeyGroups:
			return nil, fmt.Errorf("shuffle: %d receivers for %d key groups; lower the parallelism or start with more key groups", n, c.KeyGroups)
		}
		for _, k := range c.Keys {
			if k < 0 || k >= len(c.Schema.Fields) {
				return nil, fmt.Errorf("shuffle: key column %d of %d columns", k, len(c.Schema.Fields))
			}
		}
	}
	o := &Output{OutputConfig: c, earliest: math.MaxInt64, lanes: make([]lane, n), open: make([]openBatch, 1)}
	for i, ch := range c.Channels {
		o.lanes[i].channel, o.lanes[i].mark = ch, core.MinTime
	}
	o.joins = c.BufferTimeout == 0 && (c.Kind == Hash || c.Kind == Forward)
	if c.Kind == Hash {
		o.open = make([]openBatch, n)
		o.keys = make([]*core.Vector, len(c.Keys))
		o.scatter = newScatter(c.KeyGroups, n)
	}
	for _, f := range c.Schema.Fields {
		o.varying = o.varying || f.Type.Kind.Width() == 0
	}
	// Batches start small and grow to what they are used for; the pool keeps as many as can be on the way.
	keep := 0
	for _, ch := range c.Channels {
		keep += ch.Slots() + 2
	}
	o.pool = core.NewBatchPool(c.Account, c.Schema, min(c.BatchRows, 64), keep)
	return o, nil
}

// SetNow sets the time: nanoseconds of the engine's monotonic clock.
func (o *Output) SetNow(now int64) { o.now = now }

// Full reports that the chain should emit no more until Resume has returned true.
func (o *Output) Full() bool {
	if o.Kind == Rebalance {
		return o.blocked == len(o.lanes)
	}
	return o.blocked > 0
}

// Emit takes b and sends its live rows. The error is always nil; it is there for core.Emitter.
func (o *Output) Emit(b *core.Batch) error {
	if invariants.Enabled {
		invariants.Check(!o.inControl, "rows were emitted while a control message is under way")
		invariants.Checkf(len(b.Columns) == len(o.Schema.Fields), "batch of %d columns for %v", len(b.Columns), o.Schema)
	}
	rows := b.Rows()
	if rows == 0 {
		b.Release()
		return nil
	}
	add(&o.stats.rows, int64(rows))
	if o.Kind == Hash {
		o.emitByHash(b, rows)
	} else {
		b.Hashes = nil
		o.give(0, b, rows)
	}
	if o.waiting > 0 && o.BufferTimeout >= 0 {
		switch {
		case o.BufferTimeout == 0:
			o.flushOpen(onDemand)
		case o.FlushWhenIdle:
			o.flushIdle()
		}
	}
	return nil
}

// Poll sets the time, tries again what was blocked, and flushes what is due. It reports whether anything has gone. It costs a few
// nanoseconds when there is nothing to do.
func (o *Output) Poll(now int64) (moved bool) {
	o.now = now
	if o.blocked > 0 {
		before := o.blocked
		o.Resume()
		moved = o.blocked < before
	}
	if o.waiting == 0 || o.BufferTimeout < 0 {
		return moved
	}
	before := o.stats.batches.Load()
	if now >= o.earliest {
		o.flushDue()
	}
	if o.FlushWhenIdle && o.waiting > 0 {
		o.flushIdle()
	}
	return moved || o.stats.batches.Load() != before
}

// Deadline returns the time at which the next open batch has to be flushed by Poll; ok is false when there is none. Batches that wait
// for credit have no deadline: their worker is woken by the receiver.
func (o *Output) Deadline() (at int64, ok bool) {
	if o.waiting == 0 || o.BufferTimeout < 0 {
		return 0, false
	}
	at = math.MaxInt64
	for k := range o.open {
		if o.open[k].batch != nil && o.flushable(k) {
			at = min(at, o.open[k].deadline)
		}
	}
	return at, at != math.MaxInt64
}

// Resume tries to push what was blocked and reports whether the chain may emit again. Where it fails, the worker will be woken when
// the receiver has taken something: a worker that parks calls it once more after Waker.Park.
func (o *Output) Resume() bool {
	if o.blocked == 0 {
		return true
	}
	for i := range o.lanes {
		l := &o.lanes[i]
		if b := l.overflow.Batch; b != nil && l.channel.pushOrStarve(l.overflow, cost(b)) {
			l.overflow, l.joinable = core.Message{}, false
			o.blocked--
		}
	}
	for k := range o.open { // what became full meanwhile
		if b := o.open[k].batch; b != nil && o.isFull(b) && o.flushable(k) {
			o.flush(k, whenFull)
		}
	}
	return !o.Full()
}

// Flush finishes all open batches that it can: the ones behind an overflow stay open until Resume.
func (o *Output) Flush() { o.flushOpen(onDemand) }

// Control sends a watermark, idleness, barrier or end to all receivers, behind the rows emitted so far. It returns false when some
// ring had no slot yet: the caller then calls it again with the same message (each receiver gets it once) and emits nothing
// until it returned true. Like Resume, it is called once more after Waker.Park by a worker that parks.
//
// A Riding watermark is done at once: it goes to each receiver on the next batch that does.
func (o *Output) Control(m core.Message) bool {
	if m.Flags&core.Riding != 0 {
		for i := range o.lanes {
			o.lanes[i].mark = max(o.lanes[i].mark, m.Time)
		}
		return true
	}
	if !o.inControl {
		o.inControl, o.control = true, m
		for i := range o.lanes {
			o.lanes[i].informed = false
		}
	}
	if invariants.Enabled {
		invariants.Checkf(o.control == m, "control message %v while %v is under way", m, o.control)
		invariants.Check(m.Batch == nil && m.Kind != core.DataMessage, "a batch sent as control")
	}
	if o.blocked > 0 {
		o.Resume()
	}
	if o.waiting > 0 {
		o.flushOpen(onDemand)
	}
	done := true
	for i := range o.lanes {
		l := &o.lanes[i]
		if l.informed {
			continue
		}
		behind := o.open[0].batch
		if o.Kind == Hash {
			behind = o.open[i].batch
		}
		if behind == nil && l.overflow.Batch == nil && l.channel.pushOrStarve(m, Credit{}) {
			l.informed = true
			if m.Kind == core.WatermarkMessage { // what rides is not later
				l.mark = core.MinTime
			}
			continue
		}
		done = false
	}
	o.inControl = !done
	return done
}

// Close releases what has not been sent. Batches on the way are released by the receivers.
func (o *Output) Close() {
	for k := range o.open {
		if b := o.open[k].batch; b != nil {
			b.Release()
			o.open[k].batch = nil
		}
	}
	for i := range o.lanes {
		if b := o.lanes[i].overflow.Batch; b != nil {
			b.Release()
			o.lanes[i].overflow = core.Message{}
		}
	}
	o.waiting, o.blocked, o.earliest = 0, 0, math.MaxInt64
	o.pool.Close()
}

// Stats returns the counters. Any goroutine may call it.
func (o *Output) Stats() OutputStats {
	s := &o.stats
	return OutputStats{
		Rows: s.rows.Load(), Batches: s.batches.Load(), Moved: s.moved.Load(), Joined: s.joined.Load(), Blocked: s.blocked.Load(),
		WhenFull: s.reason[whenFull].Load(), AtTimeout: s.reason[atTimeout].Load(),
		WhenIdle: s.reason[whenIdle].Load(), OnDemand: s.reason[onDemand].Load(),
	}
}

// add adds to a counter that has one writer: cheaper than an atomic addition where stores are plain (arm64), equal on amd64.
func add(c *atomic.Int64, n int64) { c.Store(c.Load() + n) }

// flushOpen finishes every open batch that can go.
func (o *Output) flushOpen(why reason) {
	for k := range o.open {
		if o.open[k].batch != nil && o.flushable(k) {
			o.flush(k, why)
		}
	}
}

// flushDue finishes the open batches whose time has come and finds the next deadline.
func (o *Output) flushDue() {
	o.earliest = math.MaxInt64
	for k := range o.open {
		switch b := &o.open[k]; {
		case b.batch == nil:
		case b.deadline <= o.now && o.flushable(k):
			o.flush(k, atTimeout)
		default:
			o.earliest = min(o.earliest, b.deadline)
		}
	}
}

// flushIdle finishes the open batches whose receiver has nothing to do: its worker polls in vain or sleeps, and nothing is on
// the way to it. The second condition keeps a burst from becoming many batches while the worker wakes up.
func (o *Output) flushIdle() {
	for k := range o.open {
		if o.open[k].batch == nil || !o.flushable(k) {
			continue
		}
		idle := false
		if o.Kind == Hash {
			idle = o.lanes[k].idle()
		} else {
			for i := range o.lanes {
				idle = idle || o.lanes[i].idle()
			}
		}
		if idle {
			o.flush(k, whenIdle)
		}
	}
}

func (l *lane) idle() bool { return l.channel.receiver.Hungry() && l.channel.ring.Drained() }

// flushable reports whether a batch for open[k]'s receivers can be finished now: there is an overflow slot to put it.
func (o *Output) flushable(k int) bool {
	if o.Kind == Hash {
		return o.lanes[k].overflow.Batch == nil
	}
	return !o.Full()
}

// flush finishes open[k], which is not empty and flushable.
func (o *Output) flush(k int, why reason) {
	b := o.open[k].batch
	o.open[k].batch = nil
	if o.waiting--; o.waiting == 0 {
		o.earliest = math.MaxInt64
	}
	joinable := o.joins && !o.isFull(b)
	if o.open[k].joined {
		o.open[k].joined = false
		add(&o.stats.joined, 1)
		o.lanes[k].channel.extend(cost(b))
	} else {
		o.dispatch(k, b, why)
	}
	if joinable { // a batch in the overflow slot becomes joinable no more
		o.lanes[k].joinable = o.lanes[k].overflow.Batch == nil
	}
}

// join reopens the newest batch in the ring for more rows, if the receiver has not taken it.
func (o *Output) join(k int) bool {
	l := &o.lanes[k]
	if !l.joinable || l.overflow.Batch != nil {
		return false
	}
	l.joinable = false
	b := l.channel.reopen()
	if b == nil {
		return false
	}
	o.open[k].batch, o.open[k].joined = b, true
	return true
}

// dispatch gives a finished batch to the receivers of open[k], which is flushable.
func (o *Output) dispatch(k int, b *core.Batch, why reason) {
	add(&o.stats.reason[why], 1)
	add(&o.stats.batches, 1)
	switch o.Kind {
	case Forward, Hash:
		o.lanes[k].joinable = false
		o.send(&o.lanes[k], b)
	case Broadcast:
		for i := range o.lanes[1:] {
			o.send(&o.lanes[i+1], b.Share())
		}
		o.send(&o.lanes[0], b)
	case Rebalance:
		o.rebalance(b)
	}
}

// send pushes b or puts it into the lane's empty overflow slot.
func (o *Output) send(l *lane, b *core.Batch) {
	m := l.message(b)
	if !l.channel.push(m, cost(b)) {
		o.overflow(l, m)
	}
	l.mark = core.MinTime
}

// message is b, with the watermark that rides on it.
func (l *lane) message(b *core.Batch) core.Message {
	m := core.Message{Kind: core.DataMessage, Batch: b}
	if l.mark != core.MinTime {
		m.Flags, m.Time = core.Riding, l.mark
	}
	return m
}

func (o *Output) overflow(l *lane, m core.Message) {
	if invariants.Enabled {
		invariants.Check(l.overflow.Batch == nil, "two batches beyond a ring")
	}
	l.overflow = m
	o.blocked++
	add(&o.stats.blocked, 1)
}

// rebalance sends b to the first lane with credit, beginning with the one whose turn it is.
func (o *Output) rebalance(b *core.Batch) {
	n, price := len(o.lanes), cost(b)
	free := -1
	for j := range n {
		i := (o.next + j) % n
		l := &o.lanes[i]
		if l.overflow.Batch != nil {
			continue
		}
		if l.channel.push(l.message(b), price) {
			l.mark = core.MinTime
			o.next = (i + 1) % n
			return
		}
		if free < 0 {
			free = i
		}
	}
	l := &o.lanes[free]
	o.overflow(l, l.message(b))
	l.mark = core.MinTime
	o.next = (free + 1) % n
}

// cost is the credit that a batch takes.
func cost(b *core.Batch) Credit { return Credit{int64(b.Rows()), int64(b.Size())} }
