package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"turbo/core"
)

// Colours of the 256: places that have had arrivals, few to many passengers, an early count.
var (
	coolColours = []int{17, 18, 19}
	heatColours = []int{53, 89, 125, 161, 197, 203, 209, 215, 221, 227, 229}
)

const (
	earlyColour = 51
	blackColour = 16
)

// grade maps a value up to most to one of n steps, by its logarithm.
func grade(value, most int64, n int) int {
	if most <= 1 {
		return n - 1
	}
	return min(int(math.Log(float64(value))/math.Log(float64(most))*float64(n)), n-1)
}

// colour is what a pixel looks like.
type colour func(p pixel) int

// liveColour shows the last fifteen minutes, over a faint picture of all that was.
func liveColour(pixels []pixel) colour {
	most := mostOf(pixels, func(p pixel) int64 { return p.now })
	all := mostOf(pixels, func(p pixel) int64 { return p.total })
	return func(p pixel) int {
		switch {
		case p.total == 0:
			return blackColour
		case p.early:
			return earlyColour
		case p.now > 0:
			return heatColours[grade(p.now, most, len(heatColours))]
		}
		return coolColours[grade(p.total, all, len(coolColours))]
	}
}

// totalColour shows all passengers that have arrived.
func totalColour(pixels []pixel) colour {
	most := mostOf(pixels, func(p pixel) int64 { return p.total })
	return func(p pixel) int {
		if p.total == 0 {
			return blackColour
		}
		return heatColours[grade(p.total, most, len(heatColours))]
	}
}

func mostOf(pixels []pixel, value func(pixel) int64) (most int64) {
	for _, p := range pixels {
		most = max(most, value(p))
	}
	return most
}

// halfBlocks draws two rows of pixels a line: the upper one in the colour of the text, the lower one in that of its ground.
func halfBlocks(v view, pixels []pixel, c colour) []string {
	var lines []string
	for y := 0; y+1 < v.height; y += 2 {
		var b strings.Builder
		above, below := -1, -1
		for x := range v.width {
			if g := c(pixels[(y+1)*v.width+x]); g != below {
				below = g
				fmt.Fprintf(&b, "\x1b[48;5;%dm", g)
			}
			g := c(pixels[y*v.width+x])
			if g == below {
				b.WriteByte(' ')
				continue
			}
			if g != above {
				above = g
				fmt.Fprintf(&b, "\x1b[38;5;%dm", g)
			}
			b.WriteString("▀")
		}
		b.WriteString("\x1b[0m")
		lines = append(lines, b.String())
	}
	return lines
}

const shades = " .:-=+*#%@"

// asciiMap draws all passengers that have arrived in ASCII.
func asciiMap(v view, pixels []pixel) []string {
	most := mostOf(pixels, func(p pixel) int64 { return p.total })
	var lines []string
	for y := range v.height {
		line := make([]byte, v.width)
		for x := range line {
			line[x] = ' '
			if p := pixels[y*v.width+x]; p.total > 0 {
				line[x] = shades[1+grade(p.total, most, len(shades)-1)]
			}
		}
		lines = append(lines, strings.TrimRight(string(line), " "))
	}
	return lines
}

func clockText(t core.Time, layout string) string {
	return time.UnixMicro(int64(t)).UTC().Format(layout)
}

const (
	panelWidth = 30
	leastWide  = 40 // what is smaller is no place for a map
	leastHigh  = 10
)

// screen composes a screen of so many columns and rows: a title, the map with a list beside it when there is room, and what the colours mean.
func (d *taxiDemo) screen(columns, rows int) []string {
	f, closed := d.city.figures()
	title := fmt.Sprintf("Taxis arrive in New York (%s)   %s UTC   %s arrivals", d.what, clockText(f.Clock, "2006-01-02 15:04"), number(f.Arrivals))
	if f.Clock == 0 {
		title = fmt.Sprintf("Taxis in New York (%s): the first rides have not ended yet", d.what)
	}
	if columns < leastWide || rows < leastHigh {
		return []string{cut(title, columns)}
	}
	wide := columns
	if columns >= leastWide+panelWidth {
		wide -= panelWidth
	}
	v := newView(wide, 2*(rows-3), 1)
	pixels := d.city.pixels(v)
	lines := append([]string{"\x1b[1m" + cut(title, columns) + "\x1b[0m"}, halfBlocks(v, pixels, liveColour(pixels))...)
	if panel := d.panel(closed, len(lines)-1); columns-v.width >= panelWidth {
		for i, text := range panel {
			lines[i+1] += "  " + text
		}
	}
	for len(lines) < rows-2 {
		lines = append(lines, "")
	}
	return append(lines, legend(columns), cut("Ctrl-C ends it; a picture is written at the end", columns))
}

// panel is the list beside the map.
func (d *taxiDemo) panel(closed core.Time, rows int) []string {
	each := min(max((rows-5)/2, 1), latestKept)
	top, early := d.city.popular(each)
	lines := []string{"\x1b[1mMost in 15 minutes\x1b[0m"}
	if closed > 0 {
		lines[0] = fmt.Sprintf("\x1b[1mMost from %s to %s\x1b[0m", clockText(closed-core.Time(15*time.Minute/time.Microsecond), "15:04"), clockText(closed, "15:04"))
	}
	for _, c := range top {
		lines = append(lines, fmt.Sprintf("%5d  %.4f, %.4f", c.passengers, c.lat(), c.lon()))
	}
	lines = append(lines, "", "\x1b[1mEarly: 50 more came\x1b[0m")
	for _, c := range early {
		lines = append(lines, fmt.Sprintf("%5d  %.4f, %.4f", c.passengers, c.lat(), c.lon()))
	}
	return lines[:min(len(lines), rows)]
}

// legend says what the colours mean.
func legend(columns int) string {
	type part struct {
		colours []int
		text    string
	}
	line, room := "", columns
	for _, p := range []part{{heatColours, "few to many in 15 minutes"}, {[]int{earlyColour}, "an early count"}, {coolColours, "earlier"}} {
		if room -= len(p.colours) + len(p.text) + 3; room < 0 {
			break
		}
		for _, c := range p.colours {
			line += fmt.Sprintf("\x1b[48;5;%dm ", c)
		}
		line += "\x1b[0m " + p.text + "  "
	}
	return line
}

// cut shortens a text without escapes.
func cut(text string, columns int) string {
	if runes := []rune(text); len(runes) > columns {
		return string(runes[:max(columns, 0)])
	}
	return text
}
