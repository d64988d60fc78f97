package window

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// oracle is the window a row at a time: maps, lists and loops, after what Flink documents and doc.go of core/ops/window decides.
type oracle struct {
	*definition
	windows       map[string][]*pane // by key
	mark, clock   int64
	fired         []string
	late          []string
	lates, noTime int64
	filtered      int64
	arrivals      int64
}

// pane is one window of one key.
type pane struct {
	key        string
	start, end int64
	rows       []member
	counter    int64 // of count and early triggers
	level      int64 // multiples that have been passed
	last       *int64
	next       *int64 // continuous: when it speaks next
	spoken     bool   // at its end, in event time
	ticked     bool   // at its end, by the clock
}

// member is a row with the time that counts.
type member struct {
	record
	at     int64
	number int64 // in the order of arrival
}

const never = math.MinInt64

// play runs the scenario.
func (d *definition) play(s *scenario) (out outcome) {
	o := &oracle{definition: d, windows: map[string][]*pane{}, mark: never}
	for _, p := range s.steps {
		o.fired = nil
		switch p.what {
		case "row":
			o.row(p.row)
		case "watermark":
			o.advance(p.at)
		case "clock":
			o.tick(p.at)
		case "end":
			o.advance(math.MaxInt64)
		}
		slices.Sort(o.fired)
		out.steps = append(out.steps, o.fired)
	}
	out.after = summary(o.lates, o.noTime, o.filtered, o.late)
	return out
}

// timed says that windows have an end in time.
func (d *definition) timed() bool { return d.kind != "count" && d.kind != "global" }

// byEvent says that the end is one of event time.
func (d *definition) byEvent() bool { return d.timed() && !d.byClock }

// bounds lists the windows of a time.
func (d *definition) bounds(r member) (out [][2]int64) {
	floor := func(t, step int64) int64 {
		r := (t - d.offset) % step
		if r < 0 {
			r += step
		}
		return t - r
	}
	switch d.kind {
	case "session":
		gap := d.gap
		if d.gapColumn {
			gap = r.gap * 1000
		}
		return [][2]int64{{r.at, r.at + gap}}
	case "cumulating":
		start := floor(r.at, d.size)
		for end := start + d.step; end <= start+d.size; end += d.step {
			if end > r.at {
				out = append(out, [2]int64{start, end})
			}
		}
		return out
	case "tumbling", "sliding":
		if d.zone != nil { // days only
			t := time.UnixMicro(r.at).In(d.zone)
			day := func(n int) int64 { return time.Date(t.Year(), t.Month(), t.Day()+n, 0, 0, 0, 0, d.zone).UnixMicro() }
			return [][2]int64{{day(0), day(1)}}
		}
		for start := floor(r.at, d.step); start > r.at-d.size; start -= d.step {
			out = append(out, [2]int64{start, start + d.size})
		}
		return out
	}
	return [][2]int64{{0, 0}}
}

// ended says that the watermark has passed the last instant of a window.
func (o *oracle) ended(end int64) bool { return o.byEvent() && end-1 <= o.mark }

// closed says that a window takes no more rows.
func (o *oracle) closed(end int64) bool {
	return o.byEvent() && o.mark != never && end-1 <= o.mark-o.lateness
}

func (o *oracle) row(r record) {
	m := member{record: r, at: r.ts, number: o.arrivals}
	o.arrivals++
	if o.byClock {
		m.at = o.clock
	} else if !r.hasTS && o.timed() {
		o.noTime++
		o.lose(r)
		return
	}
	key := "-"
	if r.hasKey && o.keyed {
		if key = r.key; key == "" {
			key = `""`
		}
	}
	bounds, taken := o.bounds(m), false
	for _, b := range bounds {
		p := o.find(key, b)
		if p == nil {
			continue
		}
		taken = true
		p.rows = append(p.rows, m)
		if o.element(p, m) {
			o.fire(p, o.kindOf(p))
		}
		o.sweep(key, p)
	}
	switch {
	case taken:
	case len(bounds) > 0 || o.closed(m.at+1):
		o.lates++
		o.lose(r)
	default:
		o.filtered++
	}
}

// lose sends a row to the late output, if there is one.
func (o *oracle) lose(r record) {
	if o.lateOutput {
		o.late = append(o.late, r.format())
	}
}

// find returns the window with the bounds, merged with the sessions that it meets; nil: it is closed.
func (o *oracle) find(key string, b [2]int64) *pane {
	if o.kind != "session" {
		if o.closed(b[1]) {
			return nil
		}
		for _, p := range o.windows[key] {
			if p.start == b[0] && p.end == b[1] {
				return p
			}
		}
		p := &pane{key: key, start: b[0], end: b[1], spoken: o.ended(b[1])}
		o.windows[key] = append(o.windows[key], p)
		return p
	}
	merged := &pane{key: key, start: b[0], end: b[1]}
	var met, others []*pane
	for _, p := range o.windows[key] {
		if p.start <= b[1] && b[0] <= p.end {
			met = append(met, p)
			merged.start, merged.end = min(merged.start, p.start), max(merged.end, p.end)
		} else {
			others = append(others, p)
		}
	}
	if o.closed(merged.end) {
		return nil
	}
	for _, p := range met {
		merged.rows = append(merged.rows, p.rows...)
		merged.counter += p.counter
		merged.level = max(merged.level, p.level)
		if p.next != nil && (merged.next == nil || *p.next < *merged.next) {
			merged.next = p.next
		}
	}
	merged.spoken = o.ended(merged.end)
	o.windows[key] = append(others, merged)
	return merged
}

// kindOf is the kind of a firing that a row or the clock caused.
func (o *oracle) kindOf(p *pane) string {
	switch {
	case o.ended(p.end):
		return "late"
	case o.kind == "count" && o.trigger == "":
		return "final"
	}
	return "early"
}

// element asks the trigger about a row.
func (o *oracle) element(p *pane, m member) bool {
	amount := int64(1)
	if o.ofSum {
		if amount = 0; m.hasV {
			amount = m.v
		}
	}
	reached := func(n int64) bool {
		if p.counter += amount; p.counter >= n {
			p.counter = 0
			return true
		}
		return false
	}
	next := func(now int64) {
		t := now - (now%o.number+o.number)%o.number + o.number
		if o.timed() && (o.trigger == "continuous") != o.byClock {
			t = min(t, p.end-1)
		}
		if p.next == nil {
			p.next = &t
		}
	}
	over := o.ended(p.end)
	switch o.trigger {
	case "":
		if o.kind == "count" {
			if o.every > 0 {
				return reached(o.every)
			}
			return reached(o.size)
		}
		return over
	case "event-time":
		return over
	case "processing-time":
		p.ticked = false // the clock may have passed the end: it speaks again for what came
	case "count":
		return reached(o.number)
	case "early":
		if !o.multiples {
			return reached(o.number) || over
		}
		p.counter += amount
		if level := int64(math.Floor(float64(p.counter) / float64(o.number))); level > p.level {
			p.level = level
			return true
		}
		return over
	case "delta":
		if !m.hasV {
			return false
		}
		v := m.v
		if p.last == nil {
			p.last = &v
			return false
		}
		if d := v - *p.last; d > o.number || -d > o.number {
			p.last = &v
			return true
		}
	case "continuous":
		if over {
			return true
		}
		next(max(m.at, o.mark))
	case "continuous-processing":
		next(o.clock)
	}
	return false
}

// fire makes a window speak, unless it is empty.
func (o *oracle) fire(p *pane, kind string) {
	evict := func() {
		if o.evictor != "" {
			p.rows = o.evict(p.rows)
		} else if o.kind == "count" && o.every > 0 && int64(len(p.rows)) > o.size {
			p.rows = p.rows[int64(len(p.rows))-o.size:]
		}
	}
	sort.SliceStable(p.rows, func(i, j int) bool { return p.rows[i].number < p.rows[j].number })
	if !o.afterwards {
		evict()
	}
	if len(p.rows) == 0 {
		return
	}
	var parts []string
	if o.keyed {
		parts = append(parts, p.key)
	}
	if o.timed() {
		parts = append(parts, "["+formatTime(p.start)+",", formatTime(p.end)+")")
	}
	var rows []record
	for _, m := range p.rows {
		rows = append(rows, m.record)
	}
	for _, c := range o.calls {
		parts = append(parts, c.value(rows))
	}
	o.fired = append(o.fired, strings.Join(append(parts, kind), " "))
	if o.afterwards {
		evict()
	}
	if o.purging || o.kind == "count" && o.every == 0 && o.trigger == "" {
		p.rows = nil
	}
}

func (o *oracle) evict(rows []member) (stay []member) {
	latest := int64(never)
	for _, m := range rows {
		if m.hasTS || o.byClock {
			latest = max(latest, m.at)
		}
	}
	for i, m := range rows {
		last := rows[len(rows)-1]
		goes := false
		switch o.evictor {
		case "count":
			goes = int64(len(rows)-i) > o.keep
		case "time":
			goes = m.at <= latest-o.keep
		case "delta":
			goes = m.hasV && last.hasV && (last.v-m.v >= o.keep || m.v-last.v >= o.keep)
		default:
			panic(fmt.Sprintf("evictor %s", o.evictor))
		}
		if !goes {
			stay = append(stay, m)
		}
	}
	return stay
}

// advance moves the watermark. What is due speaks in the order of time.
func (o *oracle) advance(mark int64) {
	if o.mark = mark; o.byClock {
		return
	}
	for {
		p, at := o.due(mark, func(p *pane) (int64, bool) {
			switch {
			case o.trigger == "continuous" && p.next != nil && !p.spoken:
				return *p.next, true
			case o.timed() && !p.spoken:
				return p.end - 1, true
			}
			return 0, false
		})
		if p == nil {
			break
		}
		if o.timed() && at == p.end-1 {
			p.spoken = true
			if slices.Contains([]string{"", "event-time", "early", "continuous"}, o.trigger) {
				o.fire(p, "final")
			}
			continue
		}
		if !o.timed() && mark == math.MaxInt64 { // the end of the input ends the global window's intervals
			p.next = nil
			o.fire(p, "final")
			continue
		}
		o.fire(p, "early")
		o.repeat(p, at)
	}
	for key := range o.windows {
		o.sweep(key, nil)
	}
}

// repeat sets the next firing of a continuous trigger.
func (o *oracle) repeat(p *pane, at int64) {
	t := at + o.number
	if o.timed() && (o.trigger == "continuous") != o.byClock {
		t = min(t, p.end-1)
	}
	p.next = &t
}

// due finds the window whose time comes first, not after until.
func (o *oracle) due(until int64, when func(*pane) (int64, bool)) (first *pane, at int64) {
	for _, panes := range o.windows {
		for _, p := range panes {
			if t, ok := when(p); ok && t <= until && (first == nil || t < at) {
				first, at = p, t
			}
		}
	}
	return first, at
}

// tick moves the clock.
func (o *oracle) tick(now int64) {
	o.clock = now
	for {
		p, at := o.due(now, func(p *pane) (int64, bool) {
			switch {
			case o.trigger == "continuous-processing" && p.next != nil && !(o.byClock && p.ticked):
				return *p.next, true
			case p.ticked || !o.timed():
			case o.byClock || o.trigger == "processing-time":
				return p.end - 1, true
			}
			return 0, false
		})
		if p == nil {
			break
		}
		if o.timed() && at == p.end-1 && (o.byClock || o.trigger == "processing-time") {
			p.ticked = true
			if slices.Contains([]string{"", "processing-time", "early", "continuous-processing"}, o.trigger) {
				o.fire(p, "final")
			}
			continue
		}
		o.fire(p, o.kindOf(p))
		o.repeat(p, at)
	}
	for key := range o.windows {
		o.sweep(key, nil)
	}
}

// sweep forgets windows that are over.
func (o *oracle) sweep(key string, _ *pane) {
	var stay []*pane
	for _, p := range o.windows[key] {
		over := o.closed(p.end) || o.byClock && o.timed() && p.end-1 <= o.clock && p.ticked
		if !over {
			stay = append(stay, p)
		}
	}
	o.windows[key] = stay
}
