package property

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
)

// pane is the contents of a window of a key, with its trigger's state.
type pane struct {
	rows    []*row // in the order in which they came
	counter int64  // of the trigger: rows or a sum
	level   int64  // multiples: how often it has been passed
	delta   *int64
	purge   bool // the next firing drops the contents
}

// firing is one result of a window.
type firing struct {
	key  string
	span span
	kind string
	rows []*row // that were aggregated
}

// oracle runs a window over rows in the order in which they come, as Flink's documentation says it: a row at a time.
type oracle struct {
	*windows
	panes   map[string]map[span]*pane
	mark    int64
	fired   []firing
	late    []*row // late rows, and those without a time
	nowhere []*row // rows in no window at all: the slide is longer than the size
}

func newOracle(w *windows) *oracle {
	return &oracle{windows: w, panes: map[string]map[span]*pane{}, mark: never}
}

func (w *windows) keyOf(r *row) string {
	var parts []string
	for _, k := range w.keys {
		if k == "k" {
			parts = append(parts, r.k)
		} else {
			parts = append(parts, fmt.Sprint(r.g))
		}
	}
	return strings.Join(parts, "|")
}

// closed reports whether a window takes no more rows at a watermark.
func (w *windows) closed(s span, mark int64) bool {
	return w.timed() && s.last()+w.lateness <= mark
}

// determined reports whether the row comes to the same end at every watermark from low to high.
func (o *oracle) determined(r *row) bool {
	if r.low == r.high || r.ts == never || !o.timed() {
		return true
	}
	spans := o.assign(r)
	if !o.session() {
		for _, s := range spans {
			if o.closed(s, r.low) != o.closed(s, r.high) || (s.last() <= r.low) != (s.last() <= r.high) {
				return false
			}
		}
		return len(spans) > 0 || (r.ts+o.lateness > r.low) == (r.ts+o.lateness > r.high) // in no window: it is late all the same when its time is past
	}
	panes := o.panes[o.keyOf(r)]
	low, merged := touched(panes, spans[0], func(s span) bool { return !o.closed(s, r.low) })
	high, also := touched(panes, spans[0], func(s span) bool { return !o.closed(s, r.high) })
	same := merged == also && slices.Equal(low, high) && o.closed(merged, r.low) == o.closed(merged, r.high) && (merged.last() <= r.low) == (merged.last() <= r.high)
	for _, s := range low {
		same = same && (s.last() <= r.low) == (s.last() <= r.high)
	}
	return same
}

// touched returns the sessions that one meets, in the order of their starts, and what they are together.
func touched(panes map[span]*pane, s span, alive func(span) bool) (met []span, merged span) {
	merged = s
	for x := range panes {
		if alive(x) && x.start <= s.end && x.end >= s.start {
			met = append(met, x)
			merged.start, merged.end = min(merged.start, x.start), max(merged.end, x.end)
		}
	}
	sort.Slice(met, func(i, j int) bool { return met[i].start < met[j].start })
	return met, merged
}

// add takes one row, at the watermark r.low.
func (o *oracle) add(r *row) {
	o.advance(r.low)
	if r.ts == never && o.timed() {
		o.late = append(o.late, r)
		return
	}
	key := o.keyOf(r)
	panes := o.panes[key]
	if panes == nil {
		panes = map[span]*pane{}
		o.panes[key] = panes
	}
	spans := o.assign(r)
	taken := false
	for _, s := range spans {
		if o.session() {
			met, merged := touched(panes, s, func(span) bool { return true }) // closed ones are gone
			if o.closed(merged, o.mark) {
				continue
			}
			if len(met) > 0 {
				p := &pane{}
				for _, x := range met {
					p.rows = append(p.rows, panes[x].rows...)
					p.counter += panes[x].counter
					p.level = max(p.level, panes[x].level)
					delete(panes, x)
				}
				panes[merged] = p
			}
			s = merged
		} else if o.closed(s, o.mark) {
			continue
		}
		taken = true
		p := panes[s]
		if p == nil {
			p = &pane{}
			panes[s] = p
		}
		p.rows = append(p.rows, r)
		if o.element(r, s, p) {
			kind := "early"
			switch {
			case o.timed() && s.last() <= o.mark:
				kind = "late"
			case o.trigger == "" && !o.timed():
				kind = "final"
			}
			o.fire(key, s, p, kind)
		}
	}
	switch {
	case taken:
	case len(spans) > 0 || r.ts+o.lateness <= o.mark:
		o.late = append(o.late, r)
	default:
		o.nowhere = append(o.nowhere, r)
	}
}

// element is the trigger's OnElement: whether the window speaks because of this row.
func (o *oracle) element(r *row, s span, p *pane) bool {
	over := o.timed() && s.last() <= o.mark // a row of a window that has ended makes it speak again
	amount := int64(1)
	if o.trigger == "earlySum" || o.trigger == "multiplesSum" || o.trigger == "pulse" {
		if amount = 0; r.v != never {
			amount = r.v
		}
	}
	every := func(n int64) bool {
		if p.counter += amount; p.counter >= n {
			p.counter = 0
			return true
		}
		return false
	}
	switch o.trigger {
	case "":
		switch o.kind {
		case "count":
			return every(o.windows.count)
		case "countSliding":
			return every(o.windows.every)
		}
	case "count":
		return every(o.number)
	case "pulse":
		p.purge = every(pulseAt)
		return p.purge || over
	case "early", "earlySum":
		return every(o.number) || over
	case "multiples", "multiplesSum":
		p.counter += amount
		if level := int64(math.Floor(float64(p.counter) / float64(o.number))); level > p.level {
			p.level = level
			return true
		}
	case "delta":
		if r.v == never {
			return false
		}
		v := r.v
		if p.delta == nil {
			p.delta = &v
			return false
		}
		if d := v - *p.delta; d > o.number || -d > o.number {
			p.delta = &v
			return true
		}
		return false
	}
	return over
}

// fire makes a window speak.
func (o *oracle) fire(key string, s span, p *pane, kind string) {
	evictor, keep := o.evictor, o.keep
	if o.kind == "countSliding" {
		evictor, keep = "count", o.windows.count
	}
	evict := func() {
		if evictor != "" && len(p.rows) > 0 {
			sort.SliceStable(p.rows, func(i, j int) bool { return p.rows[i].id < p.rows[j].id }) // ids ascend in the order in which rows come
			p.rows = evicted(p.rows, evictor, keep)
		}
	}
	if !o.after {
		evict()
	}
	if len(p.rows) == 0 {
		return
	}
	o.fired = append(o.fired, firing{key, s, kind, slices.Clone(p.rows)})
	if o.after {
		evict()
	}
	if o.purging || p.purge || o.kind == "count" && o.trigger == "" {
		p.rows, p.purge = nil, false
	}
}

// evicted returns the rows that stay.
func evicted(rows []*row, evictor string, keep int64) (stay []*row) {
	most, last := int64(never), rows[len(rows)-1]
	for _, r := range rows {
		most = max(most, r.ts)
	}
	for i, r := range rows {
		goes := false
		switch evictor {
		case "count":
			goes = int64(len(rows)-i) > keep
		case "time":
			goes = r.ts <= most-keep
		case "delta":
			goes = r.v != never && last.v != never && (last.v-r.v >= keep || r.v-last.v >= keep)
		}
		if !goes {
			stay = append(stay, r)
		}
	}
	return stay
}

// advance moves the watermark: windows speak at their end, and are dropped when they take no more rows.
func (o *oracle) advance(mark int64) {
	if mark <= o.mark {
		return
	}
	before := o.mark
	o.mark = mark
	if !o.timed() {
		return
	}
	for key, panes := range o.panes {
		var due []span
		for s := range panes {
			due = append(due, s)
		}
		sort.Slice(due, func(i, j int) bool { return due[i].end < due[j].end })
		for _, s := range due {
			if s.last() > before && s.last() <= mark && o.trigger != "count" && o.trigger != "delta" {
				o.fire(key, s, panes[s], "final")
			}
			if o.closed(s, mark) {
				delete(panes, s)
			}
		}
	}
}
