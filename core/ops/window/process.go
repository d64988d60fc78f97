package window

import (
	"fmt"

	"turbo/core"
	"turbo/core/ops"
)

// Process implements core.Operator.
func (g *general) Process(_ int, b *core.Batch, out core.Emitter) error {
	if b.Rows() == 0 {
		b.Release()
		return nil
	}
	g.batch = b
	return g.run(out, g.begin())
}

// begin prepares the batch at hand.
func (g *general) begin() error {
	b := g.batch
	g.at, g.n = 0, b.Rows()
	g.events.credit += g.events.worth * g.n
	if g.config.ProcessingTime || g.custom != nil || g.config.Trigger.Kind == ContinuousByClock || g.config.Trigger.Kind == ProcessingTime {
		g.clockNow = g.ctx.Now()
	}
	g.keyColumns = g.keyColumns[:0]
	for _, k := range g.config.Keys {
		g.keyColumns = append(g.keyColumns, b.Columns[k])
	}
	g.keyHashes()
	g.keySlots, g.created = fit(g.keySlots, g.n), fit(g.created, g.n)
	var err error
	g.emptied, err = g.chains.find(b, g.keyColumns, g.hashes, g.keySlots, g.created, g.emptied) // new keys, unless they get a window
	return err
}

// run goes on with what is at hand until it is done or an output is full.
func (g *general) run(out core.Emitter, err error) error {
	for err == nil {
		if len(g.ready) > 0 {
			if out.Full() {
				return nil
			}
			b := g.ready[0]
			g.ready = append(g.ready[:0], g.ready[1:]...)
			err = out.Emit(b)
			continue
		}
		switch {
		case g.lateReady != nil:
			if g.ctx.Sides[0].Full() {
				return nil
			}
			b := g.lateReady
			g.lateReady = nil
			err = g.ctx.Sides[0].Emit(b)
		case g.batch != nil:
			err = g.step()
		case g.firing:
			err = g.fireEvents()
		case g.ticking:
			err = g.fireTicks()
		case g.made != nil:
			g.finishMade()
		default:
			return nil
		}
	}
	g.failed = err
	return fmt.Errorf("window: %w", err)
}

// Resume implements core.Operator.
func (g *general) Resume(out core.Emitter) (bool, error) {
	if g.failed != nil {
		return false, g.failed
	}
	err := g.run(out, nil)
	return g.batch != nil || g.firing || g.ticking || g.made != nil || len(g.ready) > 0 || g.lateReady != nil, err
}

// step adds rows of the batch at hand, until the pairs are to be written or the batch is done.
func (g *general) step() error {
	var times []int64
	var null *core.Vector
	if g.time >= 0 {
		v := g.batch.Columns[g.time]
		times = v.Int64s()
		if v.HasNulls() {
			null = v
		}
	}
	for g.at < g.n && len(g.pairSlots) < pairBlock && len(g.ready) == 0 {
		if g.config.Kind == Session && g.config.GapColumn < 0 && g.config.Trigger.Kind == DefaultTrigger && times != nil && null == nil {
			if err := g.extend(times); err != nil {
				return err
			}
			if g.at == g.n || len(g.pairSlots) >= pairBlock {
				break
			}
		}
		i := g.at
		row := g.batch.Row(i)
		at := core.MinTime
		switch {
		case g.config.ProcessingTime:
			at = g.clockNow
		case times != nil && (null == nil || !null.Null(row)):
			at = core.Time(times[row] + int64(g.shift))
		case g.hasEnd:
			g.ctx.Counters.NoTime++
			g.lateRows = append(g.lateRows, int32(row))
			g.at++
			continue
		}
		if err := g.element(i, row, at); err != nil {
			return err
		}
		g.at++
	}
	if err := g.flush(); err != nil || g.at < g.n {
		return err
	}
	return g.finish()
}

// finish ends the batch at hand: firings of late rows, the late rows themselves, keys without windows.
func (g *general) finish() error {
	for _, s := range g.lateSlots {
		if g.marks[s]&markLate != 0 {
			g.marks[s] &^= markLate
			g.fires = append(g.fires, speech{slot: s, kind: KindLate, fire: true, purge: g.config.Trigger.Purging})
		}
	}
	g.lateSlots = g.lateSlots[:0]
	if err := g.flush(); err != nil {
		return err
	}
	if err := g.dropCounted(); err != nil {
		return err
	}
	if err := g.forgetKeys(); err != nil {
		return err
	}
	b := g.batch
	g.batch = nil
	if len(g.lateRows) > 0 && g.config.LateOutput {
		late := b.Share()
		late.Schema = g.ctx.SideSchemas[0]
		late.Sel = late.SelBuffer(len(g.lateRows))
		copy(late.Sel, g.lateRows)
		late.Hashes = nil
		g.lateReady = late
	}
	g.lateRows = g.lateRows[:0]
	clear(g.keyColumns)
	b.Release()
	return nil
}

// forgetKeys drops the keys that have no windows left.
func (g *general) forgetKeys() error {
	err := g.chains.dropEmpty(g.emptied)
	g.emptied = g.emptied[:0]
	return err
}

// element gives the i-th row to its windows.
func (g *general) element(i, row int, at core.Time) error {
	switch {
	case g.assign != nil:
		return g.aligned(i, row, at)
	case g.config.Kind == Session:
		return g.session(i, row, at)
	}
	s := g.chains.head[g.keySlots[i]]
	if s == none {
		var err error
		if s, err = g.create(i, Window{core.MinTime, core.MaxTime}, none); err != nil {
			return err
		}
	}
	return g.add(s, row, at, Continue)
}

// aligned gives the i-th row to windows that the clock alone decides.
func (g *general) aligned(i, row int, at core.Time) error {
	g.windows = g.assign.assign(at, g.windows[:0])
	open := false
	k := g.keySlots[i]
	prev, s := none, g.chains.head[k]
	for _, w := range g.windows {
		if !g.config.ProcessingTime && g.cleanup(w.Last()) <= g.events.now {
			continue
		}
		open = true
		for s != none {
			b := core.Time(*g.word(s, g.start))
			if b < w.Start || b == w.Start && core.Time(*g.word(s, g.end)) <= w.End {
				break
			}
			prev, s = s, g.chains.next[s]
		}
		if s == none || *g.word(s, g.start) != int64(w.Start) || *g.word(s, g.end) != int64(w.End) {
			var err error
			if s, err = g.create(i, w, prev); err != nil {
				return err
			}
		}
		if err := g.add(s, row, at, Continue); err != nil {
			return err
		}
	}
	if !open {
		g.lateRow(row, at)
	}
	return nil
}

// lateRow takes a row whose windows are all closed. A row between windows that slide by more than their size has none: it is late when its own time is past.
func (g *general) lateRow(row int, at core.Time) {
	if len(g.windows) == 0 && g.assign != nil && (g.config.ProcessingTime || g.cleanup(at) > g.events.now) {
		g.ctx.Counters.Filtered++
		return
	}
	g.ctx.Counters.Late++
	g.lateRows = append(g.lateRows, int32(row))
}

// add adds a row to a window and asks the trigger; more is what it has said about the row already.
func (g *general) add(s uint32, row int, at core.Time, more Result) error {
	if g.marks[s]&markFire != 0 { // what it is to say must not hold this row
		if err := g.flush(); err != nil {
			return err
		}
	}
	g.pairSlots, g.pairRows = append(g.pairSlots, s), append(g.pairRows, int32(row))
	late := g.hasEnd && !g.config.ProcessingTime && core.Time(*g.word(s, g.end))-1 <= g.events.now
	r, err := g.onElement(s, row, at, late)
	if err != nil {
		return err
	}
	if r |= more; r == Continue {
		return nil
	}
	kind := g.lastKind
	if late {
		kind = KindLate
		if g.custom == nil && g.endFires && !g.config.EveryRow {
			if g.marks[s]&markLate == 0 {
				g.marks[s] |= markLate
				g.lateSlots = append(g.lateSlots, s)
			}
			return nil
		}
	}
	g.marks[s] |= markFire
	g.fires = append(g.fires, speech{slot: s, kind: kind, fire: r&Fire != 0, purge: r&Purge != 0 || g.config.Trigger.Purging})
	return nil
}

// flush writes the pairs collected so far and makes the output of the firings.
func (g *general) flush() error {
	if len(g.pairSlots) > 0 {
		if err := g.table.Touch(g.pairSlots[g.touched:]); err != nil {
			return err
		}
		if g.acc != nil {
			if err := g.acc.Update(g.batch.Columns, ops.Rows{Slots: g.pairSlots, Sel: g.pairRows}); err != nil {
				return err
			}
		}
		if g.canPurge {
			for _, s := range g.pairSlots {
				*g.word(s, g.flags) |= flagFilled
			}
		}
		if g.rows != nil {
			if err := g.rows.append(g.pairSlots, g.pairRows); err != nil {
				return err
			}
		}
		g.pairSlots, g.pairRows, g.touched = g.pairSlots[:0], g.pairRows[:0], 0
	}
	if len(g.fires) == 0 {
		return nil
	}
	for _, f := range g.fires {
		g.marks[f.slot] &^= markFire
	}
	err := g.speak()
	g.fires = g.fires[:0]
	return err
}
