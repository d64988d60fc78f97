package window

import (
	"math"

	"turbo/core"
	"turbo/state"
)

// onElement asks the trigger about a row that is being added to a window; late says that the window has ended.
func (g *general) onElement(s uint32, row int, at core.Time, late bool) (Result, error) {
	r := Continue
	if late && g.endFires {
		r = Fire
	}
	t := &g.config.Trigger
	switch t.Kind {
	case ProcessingTime:
		if *g.word(s, g.flags)&flagTicked != 0 { // the clock has passed the end: it speaks again for what came since
			if err := g.touch(s); err != nil {
				return r, err
			}
			*g.word(s, g.flags) &^= flagTicked
			return r, g.schedule(s)
		}
	case EveryCount, Early:
		if err := g.touch(s); err != nil {
			return r, err
		}
		n := g.float(s, g.count) + g.amount(row)
		if n >= t.Every {
			n, r = 0, Fire
		}
		g.setFloat(s, g.count, n)
	case Multiples:
		if err := g.touch(s); err != nil {
			return r, err
		}
		n := g.float(s, g.count) + g.amount(row)
		g.setFloat(s, g.count, n)
		if m := math.Floor(n / t.Every); m > g.float(s, g.count+1) {
			g.setFloat(s, g.count+1, m)
			r = Fire
		}
	case EveryDelta:
		v := g.batch.Columns[t.Column]
		if v.Null(row) {
			return r, nil
		}
		x := numberAt(v, row)
		null := g.table.Null(s, g.triggerField)
		if null || math.Abs(x-g.float(s, g.count)) > t.Threshold {
			if err := g.touch(s); err != nil {
				return r, err
			}
			g.setFloat(s, g.count, x)
			g.table.Validity(g.triggerField).SetValid(s)
			if !null {
				r = Fire
			}
		}
	case Continuous:
		if r == Fire || !g.table.Null(s, g.triggerField) {
			return r, nil
		}
		return r, g.setNext(s, g.lastMultiple(max(at, g.events.now)))
	case ContinuousByClock:
		if !g.table.Null(s, g.triggerField) {
			return r, nil
		}
		return r, g.setNext(s, g.lastMultiple(g.clockNow))
	case CustomTrigger:
		return g.custom.onElement(s, row, at)
	}
	return r, nil
}

// amount is what a row counts for a trigger.
func (g *general) amount(row int) float64 {
	t := &g.config.Trigger
	if t.Column < 0 || t.Kind == EveryCount {
		return 1
	}
	v := g.batch.Columns[t.Column]
	if v.Null(row) {
		return 0
	}
	return numberAt(v, row)
}

// numberAt returns a number that is not null.
func numberAt(v *core.Vector, row int) float64 {
	switch v.Type.Kind {
	case core.Float64:
		return v.Float64s()[row]
	case core.Float32:
		return float64(v.Float32s()[row])
	case core.Decimal:
		return v.Decimals()[row].ToFloat64(int32(v.Type.Scale))
	}
	return float64(state.IntAt(v, row))
}

// lastMultiple returns the last multiple of a continuous trigger's interval at or before t.
func (g *general) lastMultiple(t core.Time) core.Time {
	return t - core.Time(floorMod(int64(t), g.config.Trigger.Interval))
}

// setNext sets the next firing of a continuous trigger to one interval after t, or the end of the window if that comes first.
func (g *general) setNext(s uint32, t core.Time) error {
	if err := g.touch(s); err != nil {
		return err
	}
	next := t + core.Time(g.config.Trigger.Interval)
	if next < t {
		next = core.MaxTime
	}
	if g.hasEnd && (g.config.Trigger.Kind == Continuous) != g.config.ProcessingTime {
		next = min(next, core.Time(*g.word(s, g.end))-1)
	}
	*g.word(s, g.count) = int64(next)
	g.table.Validity(g.triggerField).SetValid(s)
	return g.schedule(s)
}

// mergeTrigger adds the state of window from to that of into.
func (g *general) mergeTrigger(into, from uint32) error {
	switch g.config.Trigger.Kind {
	case EveryCount, Early:
		g.setFloat(into, g.count, g.float(into, g.count)+g.float(from, g.count))
	case Multiples:
		g.setFloat(into, g.count, g.float(into, g.count)+g.float(from, g.count))
		g.setFloat(into, g.count+1, max(g.float(into, g.count+1), g.float(from, g.count+1)))
	case Continuous, ContinuousByClock:
		v := g.table.Validity(g.triggerField)
		switch {
		case v.Null(from):
		case v.Null(into):
			*g.word(into, g.count) = *g.word(from, g.count)
			v.SetValid(into)
		default:
			*g.word(into, g.count) = min(*g.word(into, g.count), *g.word(from, g.count))
		}
	case CustomTrigger:
		return g.custom.merge(into, from)
	}
	return nil
}
