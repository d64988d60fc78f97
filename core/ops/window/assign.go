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
	window := func(start, end int64) Window { return Window{a.instant(start), a.instant(end)} }
	switch a.kind {
	case Tumbling:
		start := x - floorMod(x-a.offset, a.size)
		a.cached, a.hasCached = window(start, start+a.size), true
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

// instant returns when the clocks of the zone show wall for the first time; a time that they skip is the moment when they skip it.
func (a *assigner) instant(wall int64) core.Time {
	const day = 86_400_000_000
	before := core.Time(wall - day).Std().In(a.zone) // offsets are less than a day
	_, o1 := before.Zone()
	_, o2 := core.Time(wall + day).Std().In(a.zone).Zone()
	first := core.Time(wall - int64(o1)*1_000_000)
	if o1 == o2 {
		return first
	}
	_, change := before.ZoneBounds()
	if change.IsZero() || first < core.TimeOf(change) {
		return first
	}
	return max(core.Time(wall-int64(o2)*1_000_000), core.TimeOf(change))
}
