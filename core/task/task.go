package task

import (
	"fmt"
	"sync/atomic"

	"turbo/ckpt"
	"turbo/core"
	"turbo/internal/killpoint"
	"turbo/state"
)

// task is one instance of a chain on one worker: a root, and elements in topological order.
type task struct {
	attempt  *Attempt
	number   int // among all tasks of the attempt
	id       string
	worker   int
	root     root
	entry    []target // what the root feeds
	elements []element
	backend  *state.Backend // the operators' tables
	frozen   frozen
	metrics  *taskMetrics

	// The control message on its way through the chain, and the next element that is to get it.
	control control
	next    int
	moving  bool
	waits   bool // an operator waits for others before it lets a watermark pass: none that ride are given to it
	ended   bool // all input has ended, and that has passed the chain
}

// entryFull reports that the chain cannot take another batch.
func (t *task) entryFull() bool {
	for _, e := range t.entry {
		if e.full() {
			return true
		}
	}
	return false
}

// A step takes small batches until they have so many rows, or are so many: what a round costs is shared by them, and a task that gets
// two small batches for each that its neighbour sends on keeps up with it.
const (
	stepRows    = 1024
	stepBatches = 32
)

// step does a bounded piece of work and reports whether it did any.
func (t *task) step(now int64) (moved bool, err error) {
	for i := len(t.elements) - 1; i >= 0; i-- {
		m, err := t.elements[i].resume()
		if err != nil {
			return true, err
		}
		moved = moved || m
	}
	if t.moving {
		t.root.blocked()
		m, err := t.pass()
		return moved || m, err
	}
	if t.entryFull() {
		t.root.blocked()
		return moved, nil
	}
	for rows, batches := 0, 0; ; moved = true {
		m, port, err := t.root.next(now)
		if err != nil {
			return true, err
		}
		switch m.Kind {
		case core.NoMessage:
			return moved, nil
		case core.DataMessage:
		default:
			return true, t.begin(m, port)
		}
		if m.Batch == nil {
			return true, nil
		}
		rows += m.Batch.Rows()
		batches++
		if err := t.feed(port, m.Batch); err != nil {
			return true, err
		}
		if rows >= stepRows || batches >= stepBatches || t.entryFull() {
			return true, nil
		}
	}
}

// feed gives a batch to the first elements.
func (t *task) feed(port int, b *core.Batch) error {
	last := len(t.entry) - 1
	if last < 0 { // nobody reads it
		b.Release()
		return nil
	}
	for _, e := range t.entry[:last] {
		if err := e.take(e.port+port, b.Share()); err != nil {
			b.Release()
			return err
		}
	}
	return t.entry[last].take(t.entry[last].port+port, b)
}

// begin sends a control message into the chain.
func (t *task) begin(m core.Message, port int) error {
	if m.Flags&core.Riding != 0 && t.waits {
		return nil
	}
	t.control = control{Message: m, port: port, last: true}
	if m.Kind == core.EndMessage {
		if g, ok := t.root.(*gateRoot); ok {
			t.control.last = g.open() == 0
		}
	}
	if m.Kind == core.BarrierMessage {
		a := t.attempt
		t.control.Flags = 0 // whether it is the last one is known to all without it, and may change when it is given up
		t.control.final = a.injected.Load() == barrierWord(m.Checkpoint, true)
		t.control.report = &pendingAck{open: 1, report: a.to.Ack, ack: ckpt.Ack{Task: t.number, Checkpoint: m.Checkpoint}}
		t.metrics.barrierAt.Store(int64(m.Checkpoint))
	}
	if m.Kind == core.WatermarkMessage {
		t.metrics.watermark.Store(int64(m.Time))
	}
	t.next, t.moving = 0, true
	_, err := t.pass()
	return err
}

// pass moves the control message on as far as it goes.
func (t *task) pass() (moved bool, err error) {
	for t.next < len(t.elements) {
		c := t.control
		if c.Kind == core.EndMessage && t.next > 0 {
			if !c.last {
				break // one port of several has ended: that is the root operator's affair alone
			}
			c.port = 0
		}
		done, err := t.elements[t.next].control(c)
		if err != nil {
			return true, err
		}
		if !done {
			return moved, nil
		}
		t.next, moved = t.next+1, true
	}
	t.moving = false
	switch {
	case t.control.Kind == core.BarrierMessage:
		err = t.cut()
	case t.control.Kind == core.EndMessage && t.control.last && !t.ended:
		t.ended = true
		t.attempt.to.TaskEnded(t.number)
	}
	t.control = control{}
	return true, err
}

// cut ends a barrier, which has passed every element: it freezes the tables and puts the report together.
func (t *task) cut() error {
	report, checkpoint := t.control.report, t.control.Checkpoint
	if err := t.attempt.workers[t.worker].readMail(); err != nil { // the checkpoint before must be settled
		return err
	}
	killpoint.Reach(ckpt.PhaseFreeze)
	if t.backend != nil && len(t.backend.Tables()) > 0 {
		s, err := t.backend.Freeze()
		if err != nil {
			return fmt.Errorf("task %s[%d]: checkpoint %d: %w", t.id, t.worker, checkpoint, err)
		}
		t.frozen = frozen{checkpoint, s}
		report.expect()
		t.attempt.upload(checkpoint, s, report)
	}
	if t.attempt.aborted.Load() >= checkpoint { // given up while its barrier was on the way
		if err := t.settle(checkpoint, false); err != nil {
			return err
		}
	}
	err := t.root.cut(t, report)
	report.done(func(ack *ckpt.Ack) {
		for i := range t.metrics.nodes {
			n := &t.metrics.nodes[i]
			ack.Counters = append(ack.Counters, ckpt.OperatorCounters{Operator: n.node, Counters: *n.source})
		}
	}, err)
	return err
}

// deadline is the next instant at which the task must be looked at although nobody wakes it.
func (t *task) deadline(now int64) (at int64, ok bool) {
	if !t.moving && !t.entryFull() { // else the root is not asked, and whoever makes room wakes the worker
		at, ok = t.root.deadline(now)
	}
	for _, e := range t.elements {
		if _, is := e.(*stage); is && t.holdsTimers() {
			continue
		}
		d, dok := e.deadline()
		at, ok = earliest(at, ok, d, dok)
	}
	return at, ok
}

// holdsTimers reports that operators do not act by processing time now: a control message is on its way through them, or their input has ended.
func (t *task) holdsTimers() bool { return t.moving || t.ended }

// expire does what is due at now: flushes of open batches, and operators' timers of processing time.
func (t *task) expire(now int64) (moved bool, err error) {
	for _, e := range t.elements {
		if _, is := e.(*stage); is && t.holdsTimers() {
			continue
		}
		m, err := e.expire(now)
		if err != nil {
			return true, err
		}
		moved = moved || m
	}
	return moved, nil
}

// publish copies the counters to where others may read them.
func (t *task) publish() {
	for i := range t.metrics.nodes {
		n := &t.metrics.nodes[i]
		n.publish(*n.source)
	}
}

// close frees everything, and returns the first error.
func (t *task) close() error {
	var err error
	if t.root != nil { // nil: Open failed before
		err = t.root.close()
	}
	for _, e := range t.elements {
		if e2 := e.close(); err == nil {
			err = e2
		}
	}
	if t.backend != nil {
		t.backend.Close()
	}
	return err
}

// taskMetrics is what a task publishes.
type taskMetrics struct {
	barrierAt atomic.Int64
	watermark atomic.Int64
	nodes     []publishedCounters
}

type publishedCounters struct {
	node                                                                          string
	source                                                                        *core.Counters
	in, out, filtered, deduplicated, late, noTime, skipped, deadLettered, retries atomic.Int64
}

func (p *publishedCounters) publish(c core.Counters) {
	p.in.Store(c.In)
	p.out.Store(c.Out)
	p.filtered.Store(c.Filtered)
	p.deduplicated.Store(c.Deduplicated)
	p.late.Store(c.Late)
	p.noTime.Store(c.NoTime)
	p.skipped.Store(c.Skipped)
	p.deadLettered.Store(c.DeadLettered)
	p.retries.Store(c.Retries)
}

func (p *publishedCounters) load() core.Counters {
	return core.Counters{In: p.in.Load(), Out: p.out.Load(), Filtered: p.filtered.Load(), Deduplicated: p.deduplicated.Load(),
		Late: p.late.Load(), NoTime: p.noTime.Load(), Skipped: p.skipped.Load(), DeadLettered: p.deadLettered.Load(), Retries: p.retries.Load()}
}
