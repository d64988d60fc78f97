package window

import (
	"time"

	"turbo/core"
)

// assigner says which aligned windows a time belongs to: tumbling, sliding and cumulating ones.
type assigner struct {
	kind        Kind
	size, slide int64 // tumbling: slide is size
	offset      int64
	zone        *time.Location // nil: UTC
	cached      Window         // tumbling windows in a zone: the last one
	hasCached   bool
}

func newAssigner(c *Config) *assigner {
	a := &assigner{kind: c.Kind, size: c.Size, slide: c.Slide, offset: c.Offset, zone: c.Zone}
	if c.Kind == Tumbling {
		a.slide = c.Size
	}
	if c.Zone == time.UTC {
		a.zone = nil
	}
	return a
}

// floorMod is x mod m, not negative.
func floorMod(x, m int64) int64 {
	r := x % m
	if r < 0 {
		r += m
	}
	return r
}

// assign appends the windows of time t to dst, later starts first, of those with one start later ends first.
func (a *assigner) assign(t core.Time, dst []Window) []Window {
	if a.zone != nil {
		return a.assignZoned(t, dst)
	}
	x := int64(t)
	switch a.kind {
	case Tumbling:
		start := x - floorMod(x-a.offset, a.size)
		return append(dst, Window{core.Time(start), core.Time(start + a.size)})
	case Sliding:
		for start := x - floorMod(x-a.offset, a.slide); start > x-a.size; start -= a.slide {
			dst = append(dst, Window{core.Time(start), core.Time(start + a.size)})
		}
	case Cumulating:
		start := x - floorMod(x-a.offset, a.size)
		first := start + ((x-start)/a.slide+1)*a.slide
		for end := start + a.size; end >= first; end -= a.slide {
			dst = append(dst, Window{core.Time(start), core.Time(end)})
		}
	}
	return dst
}

// assignZoned does the arithmetic on the zone's wall clock. Where that repeats an hour, the windows of that hour hold both; where it skips one, the windows
// in it hold nothing.
func (a *assigner) assignZoned(t core.Time, dst []Window) []Window {
	if a.kind == Tumbling && a.hasCached && t >= a.cached.Start && t < a.cached.End {
		return append(dst, a.cached)
	}
	x := a.wall(t)
	window := func(start, end int64) Window { return Window{a.first(start), a.last(end-1) + 1} }
	switch a.kind {
	case Tumbling:
		start := x - floorMod(x-a.offset, a.size)
		a.cached = window(start, start+a.size)
		a.hasCached = int64(a.cached.End-a.cached.Start) == a.size // then no other window has a part of it
		return append(dst, a.cached)
	case Sliding:
		for start := x - floorMod(x-a.offset, a.slide); start > x-a.size; start -= a.slide {
			dst = append(dst, window(start, start+a.size))
		}
	case Cumulating:
		start := x - floorMod(x-a.offset, a.size)
		first := start + ((x-start)/a.slide+1)*a.slide
		for end := start + a.size; end >= first; end -= a.slide {
			dst = append(dst, window(start, end))
		}
	}
	return dst
}

// wall returns what the clocks of the zone show at t, as if it were UTC.
func (a *assigner) wall(t core.Time) int64 {
	_, offset := t.Std().In(a.zone).Zone()
	return int64(t) + int64(offset)*1_000_000
}

// first returns when the clocks of the zone show wall for the first time; of a time that they skip it is the moment when they skip it.
func (a *assigner) first(wall int64) core.Time {
	t1, t2, change := a.around(wall)
	if t1 < change {
		return t1
	}
	return max(t2, change)
}

// last returns when they show wall for the last time; of a time that they skip it is just before the moment when they skip it.
func (a *assigner) last(wall int64) core.Time {
	t1, t2, change := a.around(wall)
	if t2 >= change {
		return t2
	}
	return min(t1, change-1)
}

// around returns the instants of wall by the offset of the day before and by that of the day after, and when the offset changes in between; when it does not, after both.
func (a *assigner) around(wall int64) (before, after, change core.Time) {
	const day = 86_400_000_000
	then := core.Time(wall - day).Std().In(a.zone) // offsets are less than a day
	_, o1 := then.Zone()
	_, o2 := core.Time(wall + day).Std().In(a.zone).Zone()
	before, after, change = core.Time(wall-int64(o1)*1_000_000), core.Time(wall-int64(o2)*1_000_000), core.MaxTime
	if o1 != o2 {
		if _, end := then.ZoneBounds(); !end.IsZero() {
			change = core.TimeOf(end)
		}
	}
	return before, after, change
}
