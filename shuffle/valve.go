package shuffle

import "turbo/core"

// valve merges the watermarks and the idleness of a gate's channels, with the semantics of Flink's StatusWatermarkValve.
//
// The merged watermark is the smallest one over the channels that are active (neither idle nor ended) and aligned, and it never falls.
//
//   - A channel that becomes active again behind the merged watermark is not aligned: it does not hold back the others until it has
//     caught up. Its rows up to then are late.
//   - When the last active channel becomes idle, the merged watermark rises to the largest one over the idle channels, as it
//     would have done had the slowest channel become idle first. Then the whole gate is idle.
//   - An idle or ended channel's watermarks are ignored. Ending alone does not raise a channel's watermark: a bounded source sends
//     the last watermark, core.MaxTime, before it ends; one that is stopped for a savepoint does not.
type valve struct {
	channels []valveChannel
	last     core.Time // given out last
	idle     bool      // Idle was given out last
}

type valveChannel struct {
	watermark core.Time
	aligned   bool // counts for the minimum; implies active
	idle      bool
	ended     bool
}

func newValve(n int) valve {
	v := valve{channels: make([]valveChannel, n), last: core.MinTime}
	for i := range v.channels {
		v.channels[i] = valveChannel{watermark: core.MinTime, aligned: true}
	}
	return v
}

// watermark takes a watermark of channel i and reports whether the merged one, v.last, has risen.
func (v *valve) watermark(i int, t core.Time) bool {
	c := &v.channels[i]
	if c.idle || c.ended || t <= c.watermark {
		return false
	}
	c.watermark = t
	c.aligned = c.aligned || t >= v.last
	return c.aligned && v.rise()
}

// rise raises the merged watermark to the minimum over the aligned channels, if there are any.
func (v *valve) rise() bool {
	low, any := core.MaxTime, false
	for i := range v.channels {
		if c := &v.channels[i]; c.aligned {
			low, any = min(low, c.watermark), true
		}
	}
	if !any || low <= v.last {
		return false
	}
	v.last = low
	return true
}

// leave takes channel i out of the minimum, because it became idle or ended. It reports whether v.last has risen, and whether the
// gate has become idle.
func (v *valve) leave(i int, ended bool) (risen, idle bool) {
	c := &v.channels[i]
	if c.ended || c.idle && !ended {
		return false, false
	}
	c.idle, c.ended = !ended, ended
	c.aligned = false
	active, idling, high := 0, 0, core.MinTime
	for j := range v.channels {
		switch d := &v.channels[j]; {
		case d.ended:
		case d.idle:
			idling++
			high = max(high, d.watermark)
		default:
			active++
		}
	}
	switch {
	case active > 0:
		return v.rise(), false
	case idling > 0 && !v.idle:
		if c.watermark == v.last && high > v.last {
			v.last, risen = high, true
		}
		v.idle = true
		return risen, true
	}
	return false, false
}

// enter makes an idle channel active again and reports whether the gate has become active by that.
func (v *valve) enter(i int) (active bool) {
	c := &v.channels[i]
	if c.ended || !c.idle {
		return false
	}
	c.idle = false
	c.aligned = c.watermark >= v.last
	active, v.idle = v.idle, false
	return active
}
