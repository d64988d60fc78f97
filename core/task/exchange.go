package task

import (
	"turbo/ckpt"
	"turbo/core"
	"turbo/shuffle"
)

// gateRoot is the receiving end of a task's exchanges.
type gateRoot struct {
	gate *shuffle.Gate
	id   string
	left int // ports that have not ended
	// vacant are the ports without a channel on this worker: they end at once.
	vacant []int
	// announce: gates behind this one may have been restored as idle channels, and must hear that this one is active.
	announce bool
}

func (g *gateRoot) next(int64) (core.Message, int, error) {
	if g.announce {
		g.announce = false
		return core.Message{Kind: core.ActiveMessage}, 0, nil
	}
	if n := len(g.vacant); n > 0 {
		port := g.vacant[n-1]
		g.vacant = g.vacant[:n-1]
		g.left--
		return core.Message{Kind: core.EndMessage}, port, nil
	}
	e, ok := g.gate.Poll()
	if !ok {
		return core.Message{}, 0, nil
	}
	if e.Kind == core.EndMessage {
		g.left--
	}
	return e.Message, e.Port, nil
}

// open returns how many ports have not ended.
func (g *gateRoot) open() int { return g.left }

func (g *gateRoot) cut(t *task, report *pendingAck) error {
	data := g.gate.Snapshot()
	report.expect()
	report.done(func(ack *ckpt.Ack) {
		ack.Operators = append(ack.Operators, ckpt.OperatorState{Operator: t.id, Worker: t.worker, Name: gateState, Data: data})
	}, nil)
	return nil
}

// gateState names a gate's watermarks among an operator's small states.
const gateState = "gate"

func (g *gateRoot) blocked() {}

func (g *gateRoot) deadline(int64) (int64, bool) { return 0, false }

func (g *gateRoot) close() error {
	g.gate.Close()
	return nil
}

// outputLeaf is the sending end of an exchange in a chain.
type outputLeaf struct {
	out *shuffle.Output
}

func (o *outputLeaf) take(_ int, b *core.Batch) error { return o.out.Emit(b) }
func (o *outputLeaf) full() bool                      { return o.out.Full() }

// resume has nothing to do: expire, which comes just before in a round, has tried again what was blocked.
func (o *outputLeaf) resume() (bool, error) { return false, nil }

func (o *outputLeaf) control(c control) (bool, error) { return o.out.Control(c.Message), nil }
func (o *outputLeaf) deadline() (int64, bool)         { return o.out.Deadline() }

func (o *outputLeaf) expire(now int64) (bool, error) {
	return o.out.Poll(now), nil
}

func (o *outputLeaf) close() error {
	o.out.Close()
	return nil
}
