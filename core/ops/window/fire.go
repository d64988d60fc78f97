package window

import (
	"turbo/core"
)

// Advance implements core.Operator.
func (g *general) Advance(t core.Time, out core.Emitter) error {
	g.firing = true
	if g.custom != nil {
		g.events.now, g.clockNow = t, g.ctx.Now()
		return g.run(out, nil)
	}
	return g.run(out, g.events.advance(t, g.nextEvent))
}

// Due implements core.Timed.
func (g *general) Due() (core.Time, bool) {
	t, ok := g.clock.queue.Next()
	if g.custom != nil {
		if c, more := g.custom.clock.Next(); more && (!ok || c < t) {
			return c, true
		}
	}
	return t, ok
}

// Tick implements core.Timed.
func (g *general) Tick(now core.Time, out core.Emitter) error {
	g.clock.now, g.clockNow, g.ticking = now, now, true
	return g.run(out, nil)
}

// fireEvents takes some of the windows at which something is due in event time; firing says whether there may be more.
func (g *general) fireEvents() (err error) {
	if g.custom != nil {
		g.firing, err = g.custom.fire(g.events.now, false)
	} else {
		if g.firing, err = g.fireDomain(&g.events, g.comeUp); err == nil && !g.firing {
			g.events.settle()
		}
	}
	if err == nil && !g.firing {
		err = g.forgetKeys()
	}
	return err
}

// fireTicks is fireEvents for processing time.
func (g *general) fireTicks() (err error) {
	if g.custom != nil {
		g.ticking, err = g.custom.fire(g.clock.now, true)
	} else {
		g.ticking, err = g.fireDomain(&g.clock, g.tick)
	}
	if err == nil && !g.ticking {
		err = g.forgetKeys()
	}
	return err
}

func (g *general) fireDomain(d *domain, up func(uint32) error) (bool, error) {
	n, err := d.queue.Pop(d.now, g.due)
	if err != nil || n == 0 {
		return false, err
	}
	g.drops = g.drops[:0]
	for _, e := range g.due[:n] {
		if s := uint32(e.Ref); d.at[s] == e.Time {
			d.at[s] = core.MinTime
			if err := up(s); err != nil {
				return false, err
			}
		}
	}
	err = g.speak()
	g.fires = g.fires[:0]
	if err != nil {
		return false, err
	}
	if len(g.drops) > 0 {
		return true, g.drop(g.drops)
	}
	return true, nil
}

// comeUp does what is due at a window in event time: it speaks, is dropped, or comes up again.
func (g *general) comeUp(s uint32) error {
	t, ok := g.nextEvent(s)
	if !ok {
		return nil
	}
	if t > g.events.now {
		return g.events.set(s, t)
	}
	last := core.Time(*g.word(s, g.end)) - 1
	continuous := g.config.Trigger.Kind == Continuous && !g.table.Null(s, g.triggerField)
	done := g.hasEnd && !g.config.ProcessingTime && g.cleanup(last) <= g.events.now
	switch {
	case g.endFires && *g.word(s, g.flags)&flagFired == 0 && t == last:
		if !done {
			if err := g.touch(s); err != nil {
				return err
			}
			*g.word(s, g.flags) |= flagFired
		}
		g.speaks(s, KindFinal)
	case continuous && t == core.Time(*g.word(s, g.count)):
		if err := g.touch(s); err != nil {
			return err
		}
		done = false
		if !g.hasEnd && g.events.now == core.MaxTime { // the end of the input ends the global window's intervals
			g.table.Validity(g.triggerField).SetNull(s)
			g.speaks(s, KindFinal)
			return nil
		}
		g.speaks(s, KindEarly)
		return g.setNext(s, t)
	}
	if done {
		g.drops = append(g.drops, s)
		return nil
	}
	if t, ok = g.nextEvent(s); ok {
		return g.events.set(s, t)
	}
	return nil
}

// tick is comeUp for processing time.
func (g *general) tick(s uint32) error {
	t, ok := g.nextTick(s)
	if !ok {
		return nil
	}
	if t > g.clock.now {
		return g.clock.set(s, t)
	}
	last := core.Time(*g.word(s, g.end)) - 1
	done := g.hasEnd && g.config.ProcessingTime && last <= g.clock.now
	continuous := g.config.Trigger.Kind == ContinuousByClock && !g.table.Null(s, g.triggerField)
	if err := g.touch(s); err != nil {
		return err
	}
	switch {
	case g.endTicks && *g.word(s, g.flags)&flagTicked == 0 && t == last:
		*g.word(s, g.flags) |= flagTicked
		g.speaks(s, KindFinal)
	case continuous && t == core.Time(*g.word(s, g.count)):
		switch {
		case g.hasEnd && g.config.ProcessingTime && t >= last:
			g.speaks(s, KindFinal)
		default:
			done = false
			kind := KindEarly
			if g.hasEnd && !g.config.ProcessingTime && last <= g.events.now {
				kind = KindLate
			}
			g.speaks(s, kind)
			return g.setNext(s, t)
		}
	}
	if done {
		g.drops = append(g.drops, s)
		return nil
	}
	if t, ok = g.nextTick(s); ok {
		return g.clock.set(s, t)
	}
	return nil
}

// speaks notes that a window fires.
func (g *general) speaks(s uint32, kind string) {
	g.fires = append(g.fires, speech{slot: s, kind: kind, fire: true, purge: g.config.Trigger.Purging})
}

// speak makes the output of the firings in fires and purges what they purge.
func (g *general) speak() error {
	if g.rows != nil || g.config.Function != nil {
		for _, f := range g.fires {
			if err := g.rows.speak(g, f); err != nil {
				return err
			}
		}
	} else {
		for from := 0; from < len(g.fires); {
			room := max(1, g.ctx.BatchRows)
			if g.made != nil {
				room -= g.made.Len
			}
			to := min(from+room, len(g.fires))
			if err := g.emit(g.fires[from:to]); err != nil {
				return err
			}
			from = to
		}
	}
	g.fireSlots = g.fireSlots[:0]
	for _, f := range g.fires {
		if f.purge {
			g.fireSlots = append(g.fireSlots, f.slot)
		}
	}
	if len(g.fireSlots) == 0 {
		return nil
	}
	return g.purge(g.fireSlots)
}

// purge drops the contents of windows.
func (g *general) purge(slots []uint32) error {
	if err := g.table.Touch(slots); err != nil {
		return err
	}
	if g.acc != nil {
		g.acc.Clear(slots)
	}
	for _, s := range slots {
		*g.word(s, g.flags) &^= flagFilled
		if g.rows != nil {
			if err := g.rows.purge(s); err != nil {
				return err
			}
		}
	}
	if !g.hasEnd && g.config.Trigger.Kind == EveryCount {
		g.counted = append(g.counted, slots...)
	}
	return nil
}

// dropCounted drops the windows that have been purged and have nothing else: a counter at zero is where a new window begins, too.
func (g *general) dropCounted() error {
	g.drops = g.drops[:0]
	for _, s := range g.counted {
		if g.table.Live(s) && *g.word(s, g.flags)&flagFilled == 0 && g.float(s, g.count) == 0 {
			*g.word(s, g.flags) |= flagFilled // once
			g.drops = append(g.drops, s)
		}
	}
	g.counted = g.counted[:0]
	if len(g.drops) == 0 {
		return nil
	}
	return g.drop(g.drops)
}

// emit appends one row for each firing to made: the window's key, bounds and aggregates.
func (g *general) emit(fires []speech) error {
	slots := g.scratchSlots[:0]
	m := g.making()
	kinds := m.Columns[len(m.Columns)-1]
	for _, f := range fires {
		if f.fire && (!g.canPurge || *g.word(f.slot, g.flags)&flagFilled != 0) {
			slots = append(slots, f.slot)
			kinds.AppendString(f.kind)
		}
	}
	g.scratchSlots = slots
	if err := g.emitKeys(m, slots); err != nil {
		return err
	}
	if g.acc != nil {
		if err := g.acc.Emit(m.Columns[g.firstCall():], slots); err != nil {
			return err
		}
	}
	m.Len += len(slots)
	if m.Len >= g.ctx.BatchRows {
		g.finishMade()
	}
	return nil
}

// emitKeys appends the keys and bounds of windows.
func (g *general) emitKeys(m *core.Batch, slots []uint32) error {
	for k := range g.keys {
		if err := g.table.AppendValues(m.Columns[k], k, slots); err != nil {
			return err
		}
	}
	if g.hasEnd {
		if err := g.table.AppendValues(m.Columns[g.keys], g.startField, slots); err != nil {
			return err
		}
		return g.table.AppendValues(m.Columns[g.keys+1], g.endField, slots)
	}
	return nil
}

// firstCall is the output column of the first aggregate.
func (g *general) firstCall() int {
	if g.hasEnd {
		return g.keys + 2
	}
	return g.keys
}

// making returns the batch that output is appended to.
func (g *general) making() *core.Batch {
	if g.made == nil {
		g.made = g.pool.Get()
	}
	return g.made
}

// finishMade makes that batch ready to go.
func (g *general) finishMade() {
	if g.made.Len == 0 {
		g.made.Release()
	} else {
		g.ready = append(g.ready, g.made)
	}
	g.made = nil
}
