package window

import (
	"math"

	"turbo/core"
	"turbo/state"
	"turbo/timers"
)

// customs runs a user's trigger: its state is fields of the window's row, its timers are a bag of (window id, time, domain). The time at which a window with an
// end is dropped is a timer like the trigger's own.
type customs struct {
	g       *general
	trigger Trigger
	table   *state.Table
	lists   [][]uint32 // by window slot: its timers
	window  []uint32   // by timer slot
	events  *timers.Queue
	clock   *timers.Queue
	slot    uint32 // of the window at hand
	from    customState
}

// Fields of the bag.
const (
	timerWindow = iota
	timerTime
	timerClock // 1: processing time
)

func newCustoms(g *general, bags state.Bags, trigger Trigger) (*customs, error) {
	bigint := core.Of(core.Int64).Required()
	c := &customs{g: g, trigger: trigger, events: timers.NewQueue(g.ctx.Account), clock: timers.NewQueue(g.ctx.Account)}
	c.from.g = g
	var err error
	c.table, err = bags.Bag("timers", []core.Field{{Name: "window", Type: bigint}, {Name: "time", Type: bigint}, {Name: "clock", Type: bigint}})
	return c, err
}

// adopt makes room for a window that is new in memory.
func (c *customs) adopt(s uint32) (err error) {
	c.lists, err = grow(c.g.chains, c.lists, int(s), 24, nil)
	return err
}

// restore gives the timers of the table to their windows.
func (c *customs) restore(windows map[int64]uint32) error {
	return c.table.Scan(func(slots []uint32) error {
		for _, t := range slots {
			s, ok := windows[c.table.Ints(timerWindow).At(t)]
			if !ok {
				continue // cannot be: timers go with their window
			}
			if err := c.adoptTimer(s, t); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *customs) adoptTimer(s, t uint32) (err error) {
	if c.window, err = grow(c.g.chains, c.window, int(t), 4, none); err != nil {
		return err
	}
	c.window[t] = s
	c.lists[s] = append(c.lists[s], t)
	q := c.events
	if c.table.Ints(timerClock).At(t) != 0 {
		q = c.clock
	}
	return q.Push(timerEntry{Time: core.Time(c.table.Ints(timerTime).At(t)), Ref: uint64(t)})
}

// find returns the index in the window's list of a timer, or -1.
func (c *customs) find(s uint32, at core.Time, clock int64) int {
	times, clocks := c.table.Ints(timerTime), c.table.Ints(timerClock)
	for i, t := range c.lists[s] {
		if times.At(t) == int64(at) && clocks.At(t) == clock {
			return i
		}
	}
	return -1
}

func (c *customs) register(s uint32, at core.Time, clock int64) error {
	if c.find(s, at, clock) >= 0 {
		return nil
	}
	var slot [1]uint32
	if _, err := c.table.Insert([]int32{int32(c.g.table.Group(s))}, 1, slot[:]); err != nil {
		return err
	}
	c.table.Ints(timerWindow).Set(slot[0], c.g.table.Ints(c.g.idField).At(s))
	c.table.Ints(timerTime).Set(slot[0], int64(at))
	c.table.Ints(timerClock).Set(slot[0], clock)
	return c.adoptTimer(s, slot[0])
}

func (c *customs) delete(s uint32, at core.Time, clock int64) error {
	i := c.find(s, at, clock)
	if i < 0 {
		return nil
	}
	t := c.lists[s][i]
	c.lists[s] = append(c.lists[s][:i], c.lists[s][i+1:]...)
	return c.table.Drop([]uint32{t})
}

// dropTimers deletes the timers of a window.
func (c *customs) dropTimers(s uint32) error {
	list := c.lists[s]
	c.lists[s] = nil
	if len(list) == 0 {
		return nil
	}
	return c.table.Drop(list)
}

// cleanup is when a window is dropped: a time of the clock or of events.
func (c *customs) cleanup(s uint32) (at core.Time, clock int64, ok bool) {
	g := c.g
	if !g.hasEnd {
		return 0, 0, false
	}
	last := g.window(s).Last()
	if g.config.ProcessingTime {
		return last, 1, true
	}
	return g.cleanup(last), 0, true
}

func (c *customs) registerCleanup(s uint32) error {
	if at, clock, ok := c.cleanup(s); ok {
		return c.register(s, at, clock)
	}
	return nil
}

func (c *customs) onElement(s uint32, row int, at core.Time) (Result, error) {
	c.slot = s
	if err := c.g.touch(s); err != nil {
		return Continue, err
	}
	r, err := c.element(row, at, c.g.window(s))
	if err != nil {
		return r, err
	}
	return r & FireAndPurge, c.registerCleanup(s)
}

func (c *customs) element(row int, at core.Time, w Window) (r Result, err error) {
	defer c.g.guard(&err, "trigger's OnElement", w, row)
	return c.trigger.OnElement(c.g.batch, row, at, w, c)
}

// call calls one of the trigger's methods that are not about a row.
func (c *customs) call(what string, w Window, do func() (Result, error)) (r Result, err error) {
	defer c.g.guard(&err, what, w, -1)
	return do()
}

// merge merges the trigger's state of window from into that of into.
func (c *customs) merge(into, from uint32) error {
	c.slot, c.from.slot = into, from
	if err := c.g.touch(from); err != nil {
		return err
	}
	_, err := c.call("trigger's Merge", c.g.window(into), func() (Result, error) { return Continue, c.trigger.Merge(c, &c.from) })
	return err
}

// onMerge is called when the bounds of a window have changed.
func (c *customs) onMerge(s uint32) (Result, error) {
	if err := c.dropTimers(s); err != nil {
		return Continue, err
	}
	c.slot = s
	w := c.g.window(s)
	r, err := c.call("trigger's OnMerge", w, func() (Result, error) { return c.trigger.OnMerge(w, c) })
	if err != nil {
		return r, err
	}
	return r & FireAndPurge, c.registerCleanup(s)
}

// clear is called before a window is dropped.
func (c *customs) clear(s uint32) error {
	c.slot = s
	if err := c.g.touch(s); err != nil {
		return err
	}
	w := c.g.window(s)
	_, err := c.call("trigger's Clear", w, func() (Result, error) { return Continue, c.trigger.Clear(w, c) })
	return err
}

// fire calls the trigger for one timer that is due, and reports whether there may be more. One at a time: what it does may bring or end others.
func (c *customs) fire(now core.Time, clock bool) (bool, error) {
	g := c.g
	q := c.events
	if clock {
		q = c.clock
	}
	var entry [1]timerEntry
	n, err := q.Pop(now, entry[:])
	if err != nil || n == 0 {
		return false, err
	}
	t := uint32(entry[0].Ref)
	at := entry[0].Time
	if !c.table.Live(t) || core.Time(c.table.Ints(timerTime).At(t)) != at || (c.table.Ints(timerClock).At(t) != 0) != clock {
		return true, nil // deleted
	}
	s := c.window[t]
	if err := c.delete(s, at, c.table.Ints(timerClock).At(t)); err != nil {
		return false, err
	}
	c.slot = s
	if err := g.touch(s); err != nil {
		return false, err
	}
	w := g.window(s)
	method, name := c.trigger.OnEventTime, "trigger's OnEventTime"
	if clock {
		method, name = c.trigger.OnProcessingTime, "trigger's OnProcessingTime"
	}
	r, err := c.call(name, w, func() (Result, error) { return method(at, w, c) })
	if err != nil {
		return false, err
	}
	if r&FireAndPurge != Continue {
		kind := KindEarly
		switch {
		case !g.hasEnd:
		case clock == g.config.ProcessingTime && at == w.Last():
			kind = KindFinal
		case !g.config.ProcessingTime && (clock && w.Last() <= g.events.now || !clock && at > w.Last()):
			kind = KindLate
		}
		g.fires = append(g.fires, speech{slot: s, kind: kind, fire: r&Fire != 0, purge: r&Purge != 0 || g.config.Trigger.Purging})
		err := g.speak()
		g.fires = g.fires[:0]
		if err != nil {
			return false, err
		}
	}
	cleanup, domain, ok := c.cleanup(s)
	if ok && cleanup == at && (domain != 0) == clock {
		if err := c.clear(s); err != nil {
			return false, err
		}
		g.two[0] = s
		return true, g.drop(g.two[:])
	}
	return true, nil
}

func (c *customs) close() {
	c.events.Clear()
	c.clock.Clear()
}

// Watermark implements TriggerContext.
func (c *customs) Watermark() core.Time { return c.g.events.now }

// Now implements TriggerContext.
func (c *customs) Now() core.Time { return c.g.clockNow }

// RegisterEventTime implements TriggerContext.
func (c *customs) RegisterEventTime(at core.Time) error { return c.register(c.slot, at, 0) }

// RegisterProcessingTime implements TriggerContext.
func (c *customs) RegisterProcessingTime(at core.Time) error { return c.register(c.slot, at, 1) }

// DeleteEventTime implements TriggerContext.
func (c *customs) DeleteEventTime(at core.Time) error { return c.deleteOwn(at, 0) }

// DeleteProcessingTime implements TriggerContext.
func (c *customs) DeleteProcessingTime(at core.Time) error { return c.deleteOwn(at, 1) }

// deleteOwn deletes a timer, but not the one that drops the window.
func (c *customs) deleteOwn(at core.Time, clock int64) error {
	if cleanup, domain, ok := c.cleanup(c.slot); ok && cleanup == at && domain == clock {
		return nil
	}
	return c.delete(c.slot, at, clock)
}

// customState is the trigger's state of a window.
type customState struct {
	g    *general
	slot uint32
}

func (c *customs) state() *customState { return &customState{c.g, c.slot} }

// Null implements State, as do the others.
func (c *customs) Null(field int) bool           { return c.state().Null(field) }
func (c *customs) Int(field int) int64           { return c.state().Int(field) }
func (c *customs) Float(field int) float64       { return c.state().Float(field) }
func (c *customs) SetInt(field int, v int64)     { c.state().SetInt(field, v) }
func (c *customs) SetFloat(field int, v float64) { c.state().SetFloat(field, v) }
func (c *customs) SetNull(field int)             { c.state().SetNull(field) }

func (c *customState) Null(field int) bool { return c.g.table.Null(c.slot, c.g.triggerField+field) }

func (c *customState) Int(field int) int64 {
	if c.Null(field) {
		return 0
	}
	return c.g.table.Ints(c.g.triggerField + field).At(c.slot)
}

func (c *customState) Float(field int) float64 {
	return math.Float64frombits(uint64(c.Int(field)))
}

func (c *customState) SetInt(field int, v int64) {
	c.g.table.Ints(c.g.triggerField+field).Set(c.slot, v)
	c.g.table.Validity(c.g.triggerField + field).SetValid(c.slot)
}

func (c *customState) SetFloat(field int, v float64) { c.SetInt(field, int64(math.Float64bits(v))) }

func (c *customState) SetNull(field int) { c.g.table.SetNull(c.slot, c.g.triggerField+field) }
