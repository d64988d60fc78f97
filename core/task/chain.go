package task

import (
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/internal/clock"
)

// element is one part of a chain behind its root: an operator, the sending side of an exchange, or a sink writer. A chain
// holds its elements in topological order.
type element interface {
	// take gives b to the element on port; it owns b.
	take(port int, b *core.Batch) error
	// full reports that the element cannot take another batch now, because of itself or of what is behind it.
	full() bool
	// resume goes on with pending work. It reports whether it moved anything.
	resume() (moved bool, err error)
	// control hands over a control message, again and again until done: everything it causes here has happened.
	control(c control) (done bool, err error)
	// deadline is the monotonic instant (ns) at which expire must be called; ok is false when there is none.
	deadline() (at int64, ok bool)
	// expire does what is due at now.
	expire(now int64) (moved bool, err error)
	close() error
}

// control is a control message on its way through a chain.
type control struct {
	core.Message
	port int  // of an EndMessage, into the root's operator
	last bool // of an EndMessage: no other port is open, the end goes on behind the operator
	// Of a BarrierMessage: whether it is the last one, and the report that it leads to.
	final  bool
	report *pendingAck
}

// emitter fans an operator's output out to its consumers.
type emitter struct {
	targets  []target
	counters *core.Counters
}

type target struct {
	element
	port int
}

// Emit implements core.Emitter.
func (e *emitter) Emit(b *core.Batch) error {
	rows := b.Rows()
	if rows == 0 || len(e.targets) == 0 {
		e.counters.Out += int64(rows)
		b.Release()
		return nil
	}
	e.counters.Out += int64(rows)
	last := len(e.targets) - 1
	for _, t := range e.targets[:last] {
		if err := t.take(t.port, b.Share()); err != nil {
			b.Release()
			return err
		}
	}
	return e.targets[last].take(e.targets[last].port, b)
}

// Full implements core.Emitter.
func (e *emitter) Full() bool {
	for _, t := range e.targets {
		if t.full() {
			return true
		}
	}
	return false
}

// stage is an operator in a chain.
type stage struct {
	node    *Node
	op      core.Operator
	ctx     *core.OperatorContext
	timed   core.Timed  // op, when it acts by processing time
	waiter  core.Waiter // op, when its pending work can wait for another goroutine
	clock   clock.Clock
	out     emitter
	sides   []*emitter
	pending bool
	issued  bool // the control message at hand has been given to the operator
	count   core.Counters
}

func (s *stage) wrap(err error) error {
	if err == nil {
		return nil
	}
	return s.node.named(err)
}

// settle asks the operator whether the call that returned err left work behind.
func (s *stage) settle(err error) error {
	if err == nil {
		s.pending, err = s.op.Resume(&s.out)
	}
	return s.wrap(err)
}

func (s *stage) take(port int, b *core.Batch) error {
	s.count.In += int64(b.Rows())
	return s.settle(s.op.Process(port, b, &s.out))
}

func (s *stage) full() bool { return s.pending || s.outputFull() }

func (s *stage) outputFull() bool {
	if s.out.Full() {
		return true
	}
	for _, side := range s.sides {
		if side.Full() {
			return true
		}
	}
	return false
}

func (s *stage) resume() (bool, error) {
	if !s.pending || s.outputFull() || s.waiter != nil && s.waiter.Waiting() {
		return false, nil
	}
	return true, s.settle(nil)
}

func (s *stage) control(c control) (bool, error) {
	if s.pending {
		if _, err := s.resume(); err != nil || s.pending {
			return false, err
		}
	}
	if s.issued { // what it caused is done
		s.issued = false
		return true, nil
	}
	var err error
	switch c.Kind {
	case core.WatermarkMessage:
		err = s.op.Advance(c.Time, &s.out)
	case core.BarrierMessage:
		err = s.op.Flush(&s.out)
	case core.EndMessage:
		err = s.op.EndInput(c.port, &s.out)
	default:
		return true, nil
	}
	if err = s.settle(err); err != nil || s.pending {
		s.issued = true
		return false, err
	}
	return true, nil
}

// deadline is when processing time reaches what the operator waits for. While it cannot act there is none: whoever makes room wakes the worker.
func (s *stage) deadline() (int64, bool) {
	if s.timed == nil || s.full() {
		return 0, false
	}
	at, ok := s.timed.Due()
	if !ok {
		return 0, false
	}
	wait := max(int64(at)-int64(core.TimeOf(s.clock.Now())), 0)
	return s.clock.Nanos() + min(wait, int64(farTimer))*int64(time.Microsecond), true
}

// farTimer is how far ahead a deadline is looked at, in microseconds: the wall clock may be set meanwhile.
const farTimer = 3_600_000_000

func (s *stage) expire(int64) (bool, error) {
	if s.timed == nil || s.full() {
		return false, nil
	}
	at, ok := s.timed.Due()
	if !ok {
		return false, nil
	}
	now := core.TimeOf(s.clock.Now())
	if now < at {
		return false, nil
	}
	return true, s.settle(s.timed.Tick(now, &s.out))
}

func (s *stage) close() error { return s.wrap(s.op.Close()) }

// sinkLeaf is the writer of a sink in a chain.
type sinkLeaf struct {
	node   *Node
	writer core.SinkWriter
	worker int
	fail   func(error) // ends the attempt
	count  core.Counters
}

func (s *sinkLeaf) wrap(err error) error {
	if err == nil {
		return nil
	}
	return s.node.named(err)
}

func (s *sinkLeaf) take(_ int, b *core.Batch) error {
	rows := int64(b.Rows())
	s.count.In += rows
	err := s.writer.Write(b)
	if err == nil {
		s.count.Out += rows
	}
	return s.wrap(err)
}

func (s *sinkLeaf) full() bool            { return s.writer.Full() }
func (s *sinkLeaf) resume() (bool, error) { return false, nil }

func (s *sinkLeaf) control(c control) (bool, error) {
	if c.Kind == core.BarrierMessage {
		if s.writer.Full() {
			return false, nil
		}
		report := c.report
		report.expect()
		s.writer.Prepare(c.Checkpoint, c.final, func(committable []byte, err error) {
			if err != nil { // a writer that could not prepare may never again; the rows are read again after a restart
				s.fail(s.wrap(err))
			}
			report.done(func(ack *ckpt.Ack) {
				if err == nil {
					ack.Committables = append(ack.Committables, ckpt.Committable{Sink: s.node.ID, Worker: s.worker, Checkpoint: c.Checkpoint, Data: committable})
				}
			}, s.wrap(err))
		})
	}
	return true, nil
}

func (s *sinkLeaf) deadline() (int64, bool)    { return 0, false }
func (s *sinkLeaf) expire(int64) (bool, error) { return false, nil }
func (s *sinkLeaf) close() error               { return s.wrap(s.writer.Close()) }

// earliest keeps the earlier of two optional instants.
func earliest(a int64, aok bool, b int64, bok bool) (int64, bool) {
	if !aok || bok && b < a {
		return b, bok
	}
	return a, aok
}
