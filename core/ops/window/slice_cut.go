package window

import (
	"math/bits"

	"turbo/core"
)

// cut divides time into slices such that each window is some slices that follow each other. Slices and windows have numbers.
//
//	tumbling     a slice is a window
//	cumulating   a slice is a step; window k ends with slice k and begins with the first slice of its period
//	sliding      an edge at each start and each end of a window: one slice a slide when the slide divides the size, else two: a window begins with the
//	             first of a slide, and ends with the first of another. (Slices of the greatest common divisor would be more, up to one a microsecond.)
type cut struct {
	width  int64 // of a slide, a step, a tumbling window
	offset int64
	size   int64
	rest   int64 // sliding: size modulo slide: the first slice of a slide, when there are two
	per    int64 // slices a slide: 1 or 2
	n      int64 // slices of a (whole) window
	period int64 // cumulating: slices of a period; else 0
}

func newCut(c *Config) cut {
	s := cut{width: c.Size, offset: c.Offset, size: c.Size, per: 1, n: 1}
	switch c.Kind {
	case Sliding:
		s.width = c.Slide
		s.n = c.Size / c.Slide
		if s.rest = c.Size % c.Slide; s.rest != 0 {
			s.per, s.n = 2, 2*s.n+1
		}
	case Cumulating:
		s.width = c.Slide
		s.n = c.Size / c.Slide
		s.period = s.n
	}
	return s
}

// floorDiv is x / y rounded down, y > 0.
func floorDiv(x, y int64) int64 {
	q := x / y
	if x%y < 0 {
		q--
	}
	return q
}

// first and last are the slices [first, last) of window k.
func (c *cut) first(k int64) int64 {
	if c.period > 0 {
		return floorDiv(k, c.period) * c.period
	}
	return c.per * k
}

func (c *cut) last(k int64) int64 {
	if c.period > 0 {
		return k + 1
	}
	return c.per*k + c.n
}

// start and end are the times [start, end) of window k.
func (c *cut) start(k int64) int64 {
	if c.period > 0 {
		return c.offset + c.first(k)*c.width
	}
	return c.offset + k*c.width
}

func (c *cut) end(k int64) int64 {
	if c.period > 0 {
		return c.offset + (k+1)*c.width
	}
	return c.offset + k*c.width + c.size
}

// windows returns the first and the last window with a slice; there is none when the first is larger.
func (c *cut) windows(slice int64) (from, to int64) {
	if c.period > 0 {
		return slice, c.first(slice) + c.period - 1
	}
	return floorDiv(slice-c.n+c.per, c.per), floorDiv(slice, c.per)
}

// farTime bounds the watermarks of the arithmetic: 73,000 years on either side of 1970.
const farTime = 1 << 61

// ended returns the last window that has ended at a watermark: end - 1 <= t.
func (c *cut) ended(t core.Time) int64 {
	x := min(max(int64(t), -farTime), farTime) + 1 - c.offset
	if c.period > 0 {
		return floorDiv(x, c.width) - 1
	}
	return floorDiv(x-c.size, c.width)
}

// slices writes the slice of each of the times to out; all times are in [low, high]. It returns the least and the largest slice.
func (c *cut) slices(times []int64, low, high int64, out []int64) (least, most int64) {
	out = out[:len(times)]
	base := floorDiv(low-c.offset, c.width)
	begin := c.offset + base*c.width
	span := uint64(high - begin)
	width := uint64(c.width)
	switch {
	case span < width: // all in one slide: the common case
		for i := range out {
			out[i] = base
		}
	case width > 1 && span < ^uint64(0)/width:
		// Division by multiplication with the reciprocal rounded up: exact as the error, span / 2^64, is below 1 / width.
		m := ^uint64(0)/width + 1
		for i, t := range times {
			q, _ := bits.Mul64(uint64(t-begin), m)
			out[i] = base + int64(q)
		}
	default:
		for i, t := range times {
			out[i] = base + int64(uint64(t-begin)/width)
		}
	}
	least, most = base, base+int64(span/width)
	if c.per == 1 {
		return least, most
	}
	for i, t := range times {
		s := 2 * out[i]
		if t-c.offset-out[i]*c.width >= c.rest {
			s++
		}
		out[i] = s
	}
	return 2 * least, 2*most + 1
}

// span returns slices such that those of all times in [low, high] are among [least, most].
func (c *cut) span(low, high int64) (least, most int64) {
	least = floorDiv(low-c.offset, c.width)
	most = least
	if high-c.offset >= (least+1)*c.width {
		most = floorDiv(high-c.offset, c.width)
	}
	if c.per == 1 {
		return least, most
	}
	return 2 * least, 2*most + 1
}

// ring turns the numbers of keys in slots into rows of a ring of columns, one of capacity rows a slice, and marks these. The times are in [low, high];
// ids is scratch.
func (c *cut) ring(slots []uint32, times []int64, low, high int64, ids []int64, size int64, capacity int, present []uint8, mark uint8) {
	column := func(id int64) uint32 { return uint32(id&(size-1)) * uint32(capacity) }
	least, most := c.span(low, high)
	base := column(least)
	switch {
	case least == most:
		for i, k := range slots {
			k += base
			present[k] = mark
			slots[i] = k
		}
	case least+1 == most && c.per == 1:
		step, second := column(most)-base, uint64(c.offset+most*c.width-low)
		times = times[:len(slots)]
		for i, k := range slots {
			_, first := bits.Sub64(uint64(times[i]-low), second, 0) // 1 in the first slice: no branch, rows are out of order
			k += base + step&(uint32(first)-1)
			present[k] = mark
			slots[i] = k
		}
	default:
		ids = ids[:len(slots)]
		c.slices(times, low, high, ids)
		for i, k := range slots {
			k += column(ids[i])
			present[k] = mark
			slots[i] = k
		}
	}
}
