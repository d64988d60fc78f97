package window

import (
	"cmp"

	"turbo/core"
	"turbo/timers"
)

type timerEntry = timers.Entry

// domain is event time or processing time: what it is now, and at which windows something is due.
//
// A window has at most one time that counts, at[slot]; it may be too early, then it is set again when it comes up. So a session that grows with each row is
// set a few times in its life. While there are many rows between two watermarks, event time does without the queue: each watermark sweeps through all of at,
// a fraction of a nanosecond a window, and only what is really due goes through the queue. With more windows than that is worth, each has an entry of it.
type domain struct {
	now      core.Time
	queue    *timers.Queue
	at       []core.Time // by window slot; MinTime: none
	used     int         // slots from it on have none
	sweeping bool        // windows that are due after now have no entry
	credit   int         // windows that may be swept for the rows that have come
	worth    int         // as many a row: sweepRow, but in tests
}

const (
	// sweepRow is how many windows are swept in the time that the queue takes for a row.
	sweepRow = 16
	// sweepTurns bounds the credit, in sweeps: so many in a row without rows end the sweeping, so many that rows have paid for begin it. Beginning and ending cost
	// about as much.
	sweepTurns = 32
)

func (d *domain) init(ctx *core.OperatorContext) {
	d.now, d.queue, d.worth = core.MinTime, timers.NewQueue(ctx.Account), cmp.Or(d.worth, sweepRow)
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
	d.at[slot], d.used = t, max(d.used, int(slot)+1)
	if d.sweeping && t > d.now {
		return nil
	}
	return d.queue.Push(timerEntry{Time: t, Ref: uint64(slot)})
}

// advance moves event time on and brings what is due into the queue. next tells when something is really due at a window that comes up.
func (d *domain) advance(now core.Time, next func(slot uint32) (core.Time, bool)) error {
	before := d.now
	d.now = now
	for d.used > 0 && d.at[d.used-1] == core.MinTime {
		d.used--
	}
	d.credit = min(d.credit, sweepTurns*d.used) - d.used
	if !d.sweeping {
		d.credit = max(d.credit, 0)
		return nil
	}
	if d.credit < 0 {
		d.sweeping, d.credit = false, 0
		for s, t := range d.at[:d.used] {
			if t > before { // others have entries
				if err := d.queue.Push(timerEntry{Time: t, Ref: uint64(s)}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	span := uint64(now - before)
	for s, t := range d.at[:d.used] {
		if uint64(t-before-1) >= span { // not in (before, now]
			continue
		}
		switch due, ok := next(uint32(s)); {
		case !ok:
			d.at[s] = core.MinTime
		case due > now:
			d.at[s] = due
		default:
			if err := d.queue.Push(timerEntry{Time: t, Ref: uint64(s)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle begins to sweep, if rows have paid for it. All that is due has come up.
func (d *domain) settle() {
	if !d.sweeping && d.credit >= (sweepTurns-1)*d.used {
		d.sweeping = true
		d.queue.Clear()
	}
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
