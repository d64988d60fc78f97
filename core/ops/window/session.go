package window

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/state"
)

// extend takes rows of sessions, from g.at on, as long as each falls into the latest session of its key, makes it longer at its end, or is the first of its key:
// what nearly all rows do. It stops before the first other one, which may be one whose session an earlier row has made longer.
func (g *general) extend(times []int64) error {
	w, stride, start, end := g.w, g.stride, g.start, g.end
	head, keySlots, sel := g.chains.head, g.keySlots, g.batch.Sel
	gap, shift, now := g.config.Gap, int64(g.shift), int64(g.events.now)
	i, old := g.at, len(g.pairSlots)
	most := min(g.n-i, pairBlock-old)
	g.pairSlots, g.pairRows = slices.Grow(g.pairSlots, most), slices.Grow(g.pairRows, most)
	g.ends = resize(g.ends, most)
	slots, rows, ends, n := g.pairSlots[old:][:most], g.pairRows[old:][:most], g.ends, 0
	for ; n < most; i++ {
		row := i
		if sel != nil {
			row = int(sel[i])
		}
		s, t := head[keySlots[i]], times[row]+shift
		to := t + gap
		if to < t { // there is no such time
			break
		}
		if s == none {
			if to-1 <= now { // late
				break
			}
			var err error
			if s, err = g.create(i, Window{core.Time(t), core.Time(to)}, none); err != nil {
				return err
			}
			w = g.w
		} else if r := w[int(s)*stride:][:stride]; t < r[start] || t > r[end] || r[end]-1 <= now {
			break
		}
		slots[n], rows[n], ends[n] = s, int32(row), to
		n++
	}
	g.pairSlots, g.pairRows = g.pairSlots[:old+n], g.pairRows[:old+n]
	if err := g.table.Touch(g.pairSlots[g.touched:]); err != nil {
		return err
	}
	for k, s := range slots[:n] { // not in the loop above: nothing is guessed, and no load waits for a store
		p := &w[int(s)*stride+end]
		*p = max(*p, ends[k])
	}
	g.at, g.touched = i, old+n
	return nil
}

// session gives the i-th row to the session of its key that it falls into, which may be a new one, or one made of several.
func (g *general) session(i, row int, at core.Time) error {
	gap := g.config.Gap
	if c := g.config.GapColumn; c >= 0 {
		v := g.batch.Columns[c]
		if !v.Null(row) {
			gap = state.IntAt(v, row)
			if v.Type.Kind != core.IntervalDay {
				gap *= 1000
			}
		}
		if v.Null(row) || gap <= 0 {
			value := "NULL"
			if !v.Null(row) {
				value = string(v.AppendText(nil, row))
			}
			return core.Permanent(fmt.Errorf("the session gap of a row, column %s, is %s and not above zero: filter such rows, or give them a gap", g.ctx.Inputs[0].Fields[c].Name, value))
		}
	}
	w := Window{at, at + core.Time(gap)}
	if w.End < at {
		w.End = core.MaxTime
	}
	// The sessions that touch [at, at+gap] follow each other in the chain: they do not touch themselves.
	prev, s := none, g.chains.head[g.keySlots[i]]
	for s != none && core.Time(*g.word(s, g.start)) > w.End {
		prev, s = s, g.chains.next[s]
	}
	g.merging = g.merging[:0]
	for ; s != none && core.Time(*g.word(s, g.end)) >= w.Start; s = g.chains.next[s] {
		g.merging = append(g.merging, s)
	}
	if len(g.merging) == 0 {
		if !g.config.ProcessingTime && g.cleanup(w.Last()) <= g.events.now {
			g.lateRow(row, at)
			return nil
		}
		s, err := g.create(i, w, prev)
		if err != nil {
			return err
		}
		return g.add(s, row, at, Continue)
	}
	n := len(g.merging)
	s = g.merging[n-1] // the earliest takes the others
	w.Start = min(w.Start, core.Time(*g.word(s, g.start)))
	w.End = max(w.End, core.Time(*g.word(g.merging[0], g.end)))
	r := Continue
	if n > 1 || w != g.window(s) {
		var err error
		if r, err = g.merge(s, g.merging[:n-1], w); err != nil {
			return err
		}
	}
	return g.add(s, row, at, r)
}

// merge makes window s as large as w and moves into it what the others hold, which are gone then. The latest of them comes first.
func (g *general) merge(s uint32, others []uint32, w Window) (Result, error) {
	if len(others) > 0 || g.custom != nil || g.marks[s]&markFire != 0 {
		if err := g.flush(); err != nil { // contents and firings are of the windows as they were
			return Continue, err
		}
	}
	if err := g.touch(s); err != nil {
		return Continue, err
	}
	for i := len(others) - 1; i >= 0; i-- {
		o := others[i]
		if g.acc != nil {
			g.one[0], g.two[0] = s, o
			if err := g.acc.Merge(g.one[:], g.acc, g.two[:]); err != nil {
				return Continue, err
			}
		}
		if err := g.mergeTrigger(s, o); err != nil {
			return Continue, err
		}
		*g.word(s, g.flags) |= *g.word(o, g.flags) & flagFilled
		if g.rows != nil {
			if err := g.rows.merge(s, o); err != nil {
				return Continue, err
			}
		}
		g.marks[o] = 0
		if g.custom != nil {
			if err := g.custom.clear(o); err != nil {
				return Continue, err
			}
		}
		g.two[0] = o
		if err := g.drop(g.two[:]); err != nil {
			return Continue, err
		}
	}
	*g.word(s, g.start), *g.word(s, g.end) = int64(w.Start), int64(w.End)
	if g.hasEnd && w.Last() > g.events.now {
		*g.word(s, g.flags) &^= flagFired
		g.marks[s] &^= markLate
	}
	if g.hasEnd && w.Last() > g.clockNow {
		*g.word(s, g.flags) &^= flagTicked
	}
	if g.custom != nil {
		return g.custom.onMerge(s)
	}
	if g.config.Trigger.Kind == Continuous && !g.table.Null(s, g.triggerField) && core.Time(*g.word(s, g.count)) <= g.events.now {
		return Continue, g.setNext(s, g.lastMultiple(g.events.now)) // it had ended and is open again
	}
	return Continue, g.schedule(s)
}
