package window

import (
	"turbo/core"
	"turbo/timers"
)

type timerEntry = timers.Entry

// domain is event time or processing time: what it is now, and at which windows something is due.
//
// A window has at most one entry that counts, the one whose time is at[slot]; it may be too early, then it is set again when it comes up. So a session
// that grows with each row is in the queue once.
type domain struct {
	now   core.Time
	queue *timers.Queue
	at    []core.Time // by window slot; MinTime: none
}

func (d *domain) init(ctx *core.OperatorContext) {
	d.now, d.queue = core.MinTime, timers.NewQueue(ctx.Account)
}

func (d *domain) close() {
	if d.queue != nil {
		d.queue.Clear()
	}
}

// set makes sure that the window comes up at t or before.
func (d *domain) set(slot uint32, t core.Time) error {
	if at := d.at[slot]; at != core.MinTime && at <= t {
		return nil
	}
	t = max(t, core.MinTime+1)
	d.at[slot] = t
	return d.queue.Push(timerEntry{Time: t, Ref: uint64(slot)})
}

// schedule enters a window into the queues for what is due next.
func (g *general) schedule(s uint32) error {
	if g.custom != nil {
		return nil
	}
	if t, ok := g.nextEvent(s); ok {
		if err := g.events.set(s, t); err != nil {
			return err
		}
	}
	if t, ok := g.nextTick(s); ok {
		return g.clock.set(s, t)
	}
	return nil
}

// cleanup returns when a window with an end is dropped, in its own domain.
func (g *general) cleanup(last core.Time) core.Time {
	if t := last + core.Time(g.config.Lateness); t >= last {
		return t
	}
	return core.MaxTime
}

// nextEvent returns the event time at which something is due at a window.
func (g *general) nextEvent(s uint32) (core.Time, bool) {
	t, ok := core.MaxTime, false
	if g.hasEnd {
		last := core.Time(*g.word(s, g.end)) - 1
		if !g.config.ProcessingTime {
			t, ok = g.cleanup(last), true
		}
		if g.endFires && *g.word(s, g.flags)&flagFired == 0 {
			t, ok = min(t, last), true
		}
	}
	if g.config.Trigger.Kind == Continuous && *g.word(s, g.flags)&flagFired == 0 && !g.table.Null(s, g.triggerField) {
		t, ok = min(t, core.Time(*g.word(s, g.count))), true
	}
	return t, ok
}

// nextTick is nextEvent for processing time.
func (g *general) nextTick(s uint32) (core.Time, bool) {
	t, ok := core.MaxTime, false
	if g.hasEnd {
		last := core.Time(*g.word(s, g.end)) - 1
		if g.config.ProcessingTime {
			t, ok = last, true
		}
		if g.endTicks && *g.word(s, g.flags)&flagTicked == 0 {
			t, ok = min(t, last), true
		}
	}
	if g.config.Trigger.Kind == ContinuousByClock && !g.table.Null(s, g.triggerField) {
		t, ok = min(t, core.Time(*g.word(s, g.count))), true
	}
	return t, ok
}
