package task

import (
	"sync/atomic"
	"time"

	"turbo/core"
)

// drifts are the groups of sources that wait for one another, by name.
type drifts map[string]*driftGroup

// driftGroup is the readers of one group. Each publishes its watermark; one that is too far ahead of the slowest stops until that has caught up.
type driftGroup struct{ members []*driftMember }

// driftMember is one reader. Its worker calls its methods; the atomics are for the others. A nil one belongs to no group.
type driftMember struct {
	group  *driftGroup
	most   time.Duration
	wake   func()
	mark   atomic.Int64 // core.Time: MinTime before the first row, MaxTime while it has no active split
	paused atomic.Bool
}

// join adds a reader to its group; nil when it waits for nobody.
func (d drifts) join(w *Watermark, wake func()) *driftMember {
	if w.MaxDrift <= 0 {
		return nil
	}
	g := d[w.Group]
	if g == nil {
		g = &driftGroup{}
		d[w.Group] = g
	}
	m := &driftMember{group: g, most: w.MaxDrift, wake: wake}
	m.mark.Store(int64(core.MinTime))
	g.members = append(g.members, m)
	return m
}

// publish tells the others how far the reader is. While it looks for its splits it is where it was, which is at first the beginning.
func (m *driftMember) publish(w *watermarks) {
	if m == nil {
		return
	}
	low, active := w.low()
	if active == 0 && !w.looked {
		low = w.emitted
	}
	m.set(low)
}

// leave says that the reader has ended.
func (m *driftMember) leave() {
	if m != nil {
		m.set(core.MaxTime)
	}
}

func (m *driftMember) set(t core.Time) {
	if m.mark.Swap(int64(t)) == int64(t) {
		return
	}
	for _, o := range m.group.members {
		if o != m && o.paused.Load() {
			o.wake()
		}
	}
}

// wait reports whether the reader must not be asked for rows now. Whoever holds it back wakes its worker when it moves on.
func (m *driftMember) wait() bool {
	if m == nil || !m.ahead() {
		if m != nil && m.paused.Load() {
			m.paused.Store(false)
		}
		return false
	}
	m.paused.Store(true)
	return m.ahead() // looked at again after the declaration, so that no wake-up is lost
}

func (m *driftMember) ahead() bool {
	own := core.Time(m.mark.Load())
	if own == core.MinTime || own == core.MaxTime {
		return false
	}
	low := core.MaxTime
	for _, o := range m.group.members {
		low = min(low, core.Time(o.mark.Load()))
	}
	return low.Add(m.most) < own
}
