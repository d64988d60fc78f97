package task

import (
	"slices"

	"turbo/core"
)

// watermarks generates a source's watermark in one task: per split the greatest time seen less the allowed delay, over
// splits the least of those that are neither idle nor ended. It is owned by the task's worker.
type watermarks struct {
	strategy Watermark
	splits   []splitTime
	emitted  core.Time
	ridden   core.Time // the greatest that was emitted as one that rides
	idle     bool      // what was last told downstream
	told     bool      // downstream has been told whether this reader is active: to gates, new ones and restored ones, every channel is until then
	looked   bool      // the reader has had the chance to start its first splits, or, when all have ended, the next one
}

type splitTime struct {
	id        string
	generator core.WatermarkGenerator
	watermark core.Time
	lastData  int64 // ns of the silence clock
	idle      bool
	ended     bool
}

func newWatermarks(s *Watermark) *watermarks {
	if s == nil {
		return nil
	}
	return &watermarks{strategy: *s, emitted: core.MinTime, ridden: core.MinTime}
}

// start adds the next split, with the state that a checkpoint saved (MinTime and false when there is none).
func (w *watermarks) start(id string, watermark core.Time, idle bool, now int64) {
	s := splitTime{id: id, watermark: watermark, idle: idle, lastData: now}
	if w.strategy.Generator != nil {
		s.generator = w.strategy.Generator()
	}
	w.splits = append(w.splits, s)
}

// end says that a split brings nothing more. When it was the last one the reader may be about to start another, whose rows are not late: it holds back the
// watermark until it has looked for one.
func (w *watermarks) end(split int) {
	w.splits[split].ended = true
	for i := range w.splits {
		if !w.splits[i].ended {
			return
		}
	}
	w.looked = false
}

// observe takes a batch of one split, whose latest time the caller knows.
func (w *watermarks) observe(split int, b *core.Batch, latest core.Time, now int64) error {
	s := &w.splits[split]
	s.lastData, s.idle = now, false
	if s.generator != nil {
		t, err := s.generator.Observe(b)
		s.watermark = max(s.watermark, t)
		return err
	}
	if latest != core.MinTime {
		// A row at t promises that what follows is later than t - delay - 1: as Flink's bounded out-of-orderness.
		s.watermark = max(s.watermark, latest.Add(-w.strategy.MaxDelay)-1)
	}
	return nil
}

// tick asks the splits' generators.
func (w *watermarks) tick(now core.Time) {
	if w.strategy.Generator == nil {
		return
	}
	for i := range w.splits {
		if s := &w.splits[i]; !s.ended {
			s.watermark = max(s.watermark, s.generator.Tick(now))
		}
	}
}

// low returns the least watermark of the splits that are neither idle nor ended, and how many these are.
func (w *watermarks) low() (low core.Time, active int) {
	low = core.MaxTime
	for i := range w.splits {
		if s := &w.splits[i]; !s.ended && !s.idle {
			active++
			low = min(low, s.watermark)
		}
	}
	return low, active
}

// latestTime returns the greatest time in a column, or MinTime when every row is null.
func latestTime(v *core.Vector, sel []int32) core.Time {
	latest := int64(core.MinTime)
	times := v.Int64s()
	switch {
	case len(times) == 0 || sel != nil && len(sel) == 0:
	case v.HasNulls():
		for i, t := range times {
			if t > latest && !v.Null(i) && (sel == nil || selected(sel, i)) {
				latest = t
			}
		}
	default:
		_, latest = core.Extremes(times, sel)
	}
	return core.Time(latest)
}

// selected reports whether row is in sel, which ascends.
func selected(sel []int32, row int) bool {
	_, found := slices.BinarySearch(sel, int32(row))
	return found
}

// activate notes that downstream is told that this reader is active, and reports whether it must be.
func (w *watermarks) activate() bool {
	must := w.idle || !w.told
	w.idle, w.told = false, true
	return must
}

// next returns, at a time of the silence clock, the message that is due now: a change of idleness, or a watermark that has grown.
func (w *watermarks) next(now int64) (core.Message, bool) {
	for i := range w.splits {
		if s := &w.splits[i]; !s.ended && w.strategy.IdleTimeout > 0 && now-s.lastData >= int64(w.strategy.IdleTimeout) {
			s.idle = true
		}
	}
	low, active := w.low()
	switch {
	case active == 0:
		// Every split is silent, or there is none now: an empty reader must not hold the others back.
		if !w.idle && w.looked {
			w.idle, w.told = true, true
			return core.Message{Kind: core.IdleMessage}, true
		}
		return core.Message{}, false
	case active > 0 && w.activate():
		return core.Message{Kind: core.ActiveMessage}, true
	case active > 0 && low > w.emitted:
		w.emitted = low
		return core.Message{Kind: core.WatermarkMessage, Time: low}, true
	}
	return core.Message{}, false
}

// ride returns a watermark that goes along behind the rows, if it has grown.
func (w *watermarks) ride() (core.Message, bool) {
	low, active := w.low()
	if active == 0 || w.idle || !w.told || low <= max(w.emitted, w.ridden) {
		return core.Message{}, false
	}
	w.ridden = low
	return core.Message{Kind: core.WatermarkMessage, Flags: core.Riding, Time: low}, true
}

// fill writes the splits' watermarks into a reader's snapshot. Splits that the reader has not started yet keep what was restored.
func (w *watermarks) fill(states []core.SplitState, ids map[string]int, restored map[string]core.SplitState) {
	for i := range states {
		s := &states[i]
		if at, ok := ids[s.ID]; ok {
			s.Watermark, s.Idle = w.splits[at].watermark, w.splits[at].idle
		} else if before, ok := restored[s.ID]; ok {
			s.Watermark, s.Idle = before.Watermark, before.Idle
		} else {
			s.Watermark = core.MinTime
		}
	}
}

// idleAt returns when by the silence clock the next split may turn idle.
func (w *watermarks) idleAt() (int64, bool) {
	if w.strategy.IdleTimeout <= 0 {
		return 0, false
	}
	at, ok := int64(0), false
	for i := range w.splits {
		if s := &w.splits[i]; !s.ended && !s.idle {
			at, ok = earliest(at, ok, s.lastData+int64(w.strategy.IdleTimeout), true)
		}
	}
	return at, ok
}

// behind reports whether a watermark or a change of idleness has not been told downstream yet.
func (w *watermarks) behind() bool {
	low, active := w.low()
	if active == 0 {
		return w.looked && !w.idle
	}
	return w.idle || !w.told || low > w.emitted
}
