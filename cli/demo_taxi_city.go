package cli

import (
	"slices"
	"sync"

	"turbo/core"
)

// The grid of examples/taxi: cells of 0.0014 by 0.00125 degrees from the north-west.
const (
	cityColumns, cityRows = 250, 400
	cityWest, cityNorth   = -74.05, 41.0
	cellLon, cellLat      = 0.0014, 0.00125
)

// count is what a window has for a cell.
type count15 struct {
	cell       int
	end        core.Time
	passengers int64
}

func (c count15) lon() float64 { return cityWest + (float64(c.cell%cityColumns)+0.5)*cellLon }
func (c count15) lat() float64 { return cityNorth - (float64(c.cell/cityColumns)+0.5)*cellLat }

// city is what the job has said so far. Methods may be called by any goroutine.
type city struct {
	mu     sync.Mutex
	totals []int64   // passengers by cell
	final  []count15 // by cell, of the newest window that ended with arrivals there
	early  []count15 // by cell, of the open window that ends first
	closed core.Time // the end of the newest window that ended
	latest []count15 // early counts, newest first
	city15
}

// city15 is what can be counted.
type city15 struct {
	Arrivals, Passengers, Cells, Finals, Earlies, Windows int64
	First, Clock                                          core.Time // of arrivals
	Busiest                                               count15
}

const latestKept = 12

func newCity() *city {
	return &city{totals: make([]int64, cityColumns*cityRows), final: make([]count15, cityColumns*cityRows), early: make([]count15, cityColumns*cityRows)}
}

// total takes rows of cell, arrivals, time: one for each arrival.
func (c *city) total(b *core.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cells, passengers, times := b.Columns[0].Int32s(), b.Columns[1].Int64s(), b.Columns[2].Int64s()
	for i := range b.Rows() {
		at := b.Row(i)
		if b.Kind(at) == core.UpdateBefore { // what an update replaces
			continue
		}
		if c.totals[cells[at]] == 0 {
			c.Cells++
		}
		c.Arrivals++
		c.Passengers += passengers[at] - c.totals[cells[at]]
		c.totals[cells[at]] = passengers[at]
		t := core.Time(times[at])
		if c.First == 0 || t < c.First {
			c.First = t
		}
		c.Clock = max(c.Clock, t)
	}
}

// window takes rows of cell, arrivals, kind, window_end.
func (c *city) window(b *core.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cells, passengers, kinds, ends := b.Columns[0].Int32s(), b.Columns[1].Int64s(), b.Columns[2], b.Columns[3].Int64s()
	for i := range b.Rows() {
		at := b.Row(i)
		n := count15{int(cells[at]), core.Time(ends[at]), passengers[at]}
		if string(kinds.BytesAt(at)) != "early" {
			c.Finals++
			c.final[n.cell] = n
			if n.end > c.closed {
				c.closed = n.end
				c.Windows++
			}
			if n.passengers > c.Busiest.passengers {
				c.Busiest = n
			}
			continue
		}
		c.Earlies++
		if e := c.early[n.cell]; e.end <= c.closed || n.end <= e.end {
			c.early[n.cell] = n
		}
		if len(c.latest) > 0 && c.latest[0].cell == n.cell && c.latest[0].end > n.end { // one ride makes up to three windows fire: show the one that ends first
			c.latest[0] = n
		} else if len(c.latest) == 0 || c.latest[0].cell != n.cell {
			c.latest = slices.Insert(c.latest, 0, n)[:min(len(c.latest)+1, latestKept)]
		}
	}
}

// now is what is known of the last fifteen minutes in a cell, and whether an early count said so.
func (c *city) now(cell int) (passengers int64, early bool) {
	if f := c.final[cell]; f.end == c.closed {
		passengers = f.passengers
	}
	if e := c.early[cell]; e.end > c.closed && e.passengers > passengers {
		return e.passengers, true
	}
	return passengers, false
}

// figures returns what is counted.
func (c *city) figures() (city15, core.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.city15, c.closed
}

// popular returns the n cells with the most passengers in the last window that ended, and the newest early counts.
func (c *city) popular(n int) (top, early []count15) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.final {
		if f.end != c.closed || f.passengers == 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, f, func(a, b count15) int { return int(b.passengers - a.passengers) })
		if at < n {
			top = slices.Insert(top, at, f)[:min(len(top)+1, n)]
		}
	}
	return top, slices.Clone(c.latest[:min(n, len(c.latest))])
}

// pixel is a few cells together.
type pixel struct {
	total, now int64
	early      bool
}

// view is a part of the grid, divided into pixels of cells.
type view struct {
	left, top     int // cells
	width, height int // pixels
	x, y          int // cells a pixel
}

// middleRow and neededRows are where the city's heart is: Manhattan up to Harlem.
const (
	middleRow, neededRows = 193, 118
	leftMost              = 12
)

// newView fits the city into so many pixels, each of which is ratio times as high as wide on the screen.
func newView(width, height int, ratio float64) view {
	v := view{y: max((neededRows+height-1)/height, 1)}
	v.x = max(int(float64(v.y)*1.178/ratio+0.5), 1) // a cell is 1.178 times as high as wide
	v.height = min(height, cityRows/v.y)
	v.width = min(width, (cityColumns-leftMost)/v.x)
	v.left = leftMost
	v.top = min(max(middleRow-v.height*v.y/2, 0), cityRows-v.height*v.y)
	return v
}

// pixels adds up the cells of each pixel, row by row.
func (c *city) pixels(v view) []pixel {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]pixel, v.width*v.height)
	for y := range v.height * v.y {
		for x := range v.width * v.x {
			cell := (v.top+y)*cityColumns + v.left + x
			if c.totals[cell] == 0 {
				continue
			}
			p := &out[y/v.y*v.width+x/v.x]
			now, early := c.now(cell)
			p.total += c.totals[cell]
			p.now += now
			p.early = p.early || early
		}
	}
	return out
}
