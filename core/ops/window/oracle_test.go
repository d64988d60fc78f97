package window_test

import (
	"math"
	"slices"
	"sort"
	"time"

	"turbo/core/ops/window"
)

// The oracle: Flink's WindowOperator, EvictingWindowOperator and triggers, a row at a time over maps, from their documentation.

// oneRow is an input row of the tests: k, ts, v, gap.
type oneRow struct {
	key    string
	ts     int64
	hasTS  bool
	v      int64
	hasV   bool
	gap    int64 // µs
	number int
}

type span struct{ start, end int64 }

func (s span) last() int64 { return s.end - 1 }

// pane is the contents of a window.
type pane struct {
	rows   []oneRow // in the order of aggregation
	count  float64
	level  float64
	delta  *float64
	next   *int64
	custom map[string]int64
	timers map[int64]bool
	ticks  map[int64]bool
	late   bool // to fire at the end of the batch
}

type oracle struct {
	c       window.Config
	windows map[string]map[span]*pane
	wm, now int64
	out     []string
	lates   []int
	noTime  int
	touched []lateKey
	filterd int
}

type lateKey struct {
	key string
	w   span
}

func newOracle(c window.Config) *oracle {
	return &oracle{c: c, windows: map[string]map[span]*pane{}, wm: math.MinInt64, now: math.MinInt64}
}

func (o *oracle) timed() bool { return o.c.Kind <= window.Session }

func (o *oracle) lastOf(w span) int64 {
	if !o.timed() {
		return math.MaxInt64
	}
	return w.last()
}

func (o *oracle) cleanup(w span) int64 { return o.lastOf(w) + o.c.Lateness }

func (o *oracle) isLate(w span) bool {
	return o.timed() && !o.c.ProcessingTime && o.cleanup(w) <= o.wm
}

func floorTo(t, offset, step int64) int64 {
	return int64(math.Floor(float64(t-offset)/float64(step)))*step + offset
}

func (o *oracle) assign(t int64, r oneRow) []span {
	c := o.c
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	var out []span
	switch c.Kind {
	case window.Tumbling:
		if zone != time.UTC { // whole days only
			d := time.UnixMicro(t).In(zone)
			s := time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, zone)
			e := time.Date(d.Year(), d.Month(), d.Day()+1, 0, 0, 0, 0, zone)
			return []span{{s.UnixMicro(), e.UnixMicro()}}
		}
		s := floorTo(t, c.Offset, c.Size)
		out = append(out, span{s, s + c.Size})
	case window.Sliding:
		for s := floorTo(t, c.Offset, c.Slide); s > t-c.Size; s -= c.Slide {
			out = append(out, span{s, s + c.Size})
		}
	case window.Cumulating:
		s := floorTo(t, c.Offset, c.Size)
		for e := s + c.Slide; e <= s+c.Size; e += c.Slide {
			if e > t {
				out = append(out, span{s, e})
			}
		}
	case window.Session:
		gap := c.Gap
		if c.GapColumn >= 0 {
			gap = r.gap
		}
		out = append(out, span{t, t + gap})
	default:
		out = append(out, span{math.MinInt64, math.MaxInt64})
	}
	return out
}

func (o *oracle) of(key string) map[span]*pane {
	if o.windows[key] == nil {
		o.windows[key] = map[span]*pane{}
	}
	return o.windows[key]
}

func (o *oracle) element(r oneRow) {
	if len(o.c.Keys) == 0 {
		r.key = ""
	}
	t := r.ts
	if o.c.ProcessingTime {
		t = o.now
	} else if !r.hasTS {
		if o.timed() {
			o.noTime++
			o.lates = append(o.lates, r.number)
			return
		}
		t = math.MinInt64
	}
	r.ts = t
	spans := o.assign(t, r)
	skipped := true
	panes := o.of(r.key)
	for _, w := range spans {
		var p *pane
		if o.c.Kind == window.Session {
			merged := w
			var into []span
			for x := range panes {
				if x.start <= w.end && x.end >= w.start {
					into = append(into, x)
					merged.start, merged.end = min(merged.start, x.start), max(merged.end, x.end)
				}
			}
			if o.isLate(merged) {
				continue
			}
			sort.Slice(into, func(i, j int) bool { return into[i].start < into[j].start })
			if len(into) == 1 && into[0] == merged {
				p = panes[merged]
			} else if len(into) > 0 {
				p = o.mergePanes(r.key, merged, into)
			}
			w = merged
		} else if o.isLate(w) {
			continue
		}
		skipped = false
		if p == nil {
			p = panes[w]
		}
		if p == nil {
			p = &pane{custom: map[string]int64{}, timers: map[int64]bool{}, ticks: map[int64]bool{}}
			panes[w] = p
		}
		p.rows = append(p.rows, r)
		fire := o.onElement(r, w, p)
		if o.timed() && !o.c.ProcessingTime {
			p.timers[o.cleanup(w)] = true
		} else if o.timed() {
			p.ticks[w.last()] = true
		}
		late := o.timed() && !o.c.ProcessingTime && w.last() <= o.wm
		if fire&window.Fire != 0 && late && o.endsSpeak() && !o.c.EveryRow {
			p.late = true
			o.touched = append(o.touched, lateKey{r.key, w})
			continue
		}
		kind := "early"
		if late {
			kind = "late"
		} else if (o.c.Kind == window.CountTumbling || o.c.Kind == window.CountSliding) && o.c.Trigger.Kind == window.DefaultTrigger {
			kind = "final"
		}
		o.result(r.key, w, p, fire, kind)
		o.forget(r.key, w, p)
	}
	if skipped {
		if len(spans) == 0 && (o.c.ProcessingTime || t+o.c.Lateness > o.wm) {
			o.filterd++
			return
		}
		o.lates = append(o.lates, r.number)
	}
}

// forget drops count windows that have nothing left.
func (o *oracle) forget(key string, w span, p *pane) {
	if !o.timed() && len(p.rows) == 0 && p.count == 0 && p.level == 0 && p.delta == nil && p.next == nil && len(p.custom) == 0 {
		delete(o.of(key), w)
	}
}

// endsSpeak reports whether the trigger is one that fires for every late row.
func (o *oracle) endsSpeak() bool {
	switch o.c.Trigger.Kind {
	case window.DefaultTrigger, window.EventTime, window.Early, window.Multiples, window.Continuous:
		return o.timed() && !o.c.ProcessingTime
	}
	return false
}

func (o *oracle) mergePanes(key string, merged span, into []span) *pane {
	panes := o.of(key)
	m := &pane{custom: map[string]int64{}, timers: map[int64]bool{}, ticks: map[int64]bool{}}
	for _, x := range into {
		p := panes[x]
		delete(panes, x)
		m.rows = append(m.rows, p.rows...)
		m.count += p.count
		m.level = max(m.level, p.level)
		if p.next != nil && (m.next == nil || *p.next < *m.next) {
			m.next = p.next
		}
		for k, v := range p.custom {
			m.custom[k] += v
		}
		m.late = m.late || p.late
	}
	panes[merged] = m
	if o.c.Trigger.Kind == window.Continuous && m.next != nil && *m.next <= o.wm { // turbo: not for times that have passed
		n := min(floorTo(o.wm, 0, o.c.Trigger.Interval)+o.c.Trigger.Interval, merged.last())
		m.next = &n
	}
	o.onMerge(merged, m)
	if m.late {
		o.touched = append(o.touched, lateKey{key, merged})
	}
	if m.late = m.late && merged.last() <= o.wm; m.late {
		return m
	}
	return m
}

func (o *oracle) onMerge(w span, p *pane) {
	switch o.c.Trigger.Kind {
	case window.CustomTrigger:
		if w.last() > o.wm {
			p.timers[w.last()] = true
		}
	case window.ProcessingTime:
		if w.last() > o.now {
			p.ticks[w.last()] = true
		}
	default:
		if o.endsSpeak() && w.last() > o.wm {
			p.timers[w.last()] = true
		}
		if o.c.ProcessingTime && o.timed() {
			p.ticks[w.last()] = true
		}
	}
	if p.next != nil {
		if o.c.Trigger.Kind == window.Continuous {
			p.timers[*p.next] = true
		} else {
			p.ticks[*p.next] = true
		}
	}
}

func (o *oracle) onElement(r oneRow, w span, p *pane) window.Result {
	t := o.c.Trigger
	res := window.Continue
	kind := t.Kind
	every := t.Every
	if kind == window.DefaultTrigger {
		switch o.c.Kind {
		case window.CountTumbling:
			kind, every = window.EveryCount, float64(o.c.Count)
		case window.CountSliding:
			kind, every = window.EveryCount, float64(o.c.Every)
		case window.Global:
			return res
		default:
			kind = window.EventTime
			if o.c.ProcessingTime {
				kind = window.ProcessingTime
			}
		}
	}
	end := func() {
		if o.c.ProcessingTime || !o.timed() {
			if o.timed() {
				p.ticks[w.last()] = true
			}
		} else if w.last() <= o.wm {
			res = window.Fire
		} else {
			p.timers[w.last()] = true
		}
	}
	amount := 1.0
	if t.Column >= 0 && kind != window.EveryCount {
		amount = 0
		if r.hasV {
			amount = float64(r.v)
		}
	}
	switch kind {
	case window.EventTime:
		end()
	case window.ProcessingTime:
		p.ticks[w.last()] = true
	case window.EveryCount:
		if p.count++; p.count >= every {
			p.count, res = 0, window.Fire
		}
	case window.Early:
		end()
		if p.count += amount; p.count >= every {
			p.count, res = 0, window.Fire
		}
	case window.Multiples:
		end()
		p.count += amount
		if m := math.Floor(p.count / every); m > p.level {
			p.level, res = m, window.Fire
		}
	case window.EveryDelta:
		if !r.hasV {
			return res
		}
		x := float64(r.v)
		if p.delta == nil {
			p.delta = &x
		} else if math.Abs(x-*p.delta) > t.Threshold {
			p.delta, res = &x, window.Fire
		}
	case window.Continuous:
		if end(); res == window.Continue && p.next == nil {
			n := min(floorTo(max(r.ts, o.wm), 0, t.Interval)+t.Interval, o.lastOf(w))
			p.next = &n
			p.timers[n] = true
		}
	case window.ContinuousByClock:
		if p.next == nil {
			n := floorTo(o.now, 0, t.Interval) + t.Interval
			if o.c.ProcessingTime {
				n = min(n, w.last())
			}
			p.next = &n
			p.ticks[n] = true
		}
	case window.CustomTrigger: // see spikes in the tests
		if w.last() > o.wm {
			p.timers[w.last()] = true
		}
		p.custom["sum"] += r.v
		if r.hasV && r.v%7 == 0 && r.ts+3 > o.wm {
			p.timers[r.ts+3] = true
		}
		if r.hasV && r.v%5 == 0 {
			p.ticks[o.now+4] = true
		}
		if p.custom["sum"] >= 20 {
			p.custom["sum"] = 0
			return window.FireAndPurge
		}
		if w.last() <= o.wm {
			return window.Fire
		}
		return res
	}
	if res == window.Fire && t.Purging || res == window.Fire && o.c.Kind == window.CountTumbling && t.Kind == window.DefaultTrigger {
		res = window.FireAndPurge
	}
	return res
}

// fireTimers takes the timers up to now, of one domain.
func (o *oracle) fireTimers(now int64, clock bool) {
	keys := []string{}
	for k := range o.windows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		for {
			best, at, found := span{}, int64(math.MaxInt64), false
			for w, p := range o.windows[k] {
				set := p.timers
				if clock {
					set = p.ticks
				}
				for t := range set {
					if t <= now && (!found || t < at || t == at && (w.start < best.start || w.start == best.start && w.end < best.end)) {
						best, at, found = w, t, true
					}
				}
			}
			if !found {
				break
			}
			o.onTimer(k, best, o.windows[k][best], at, clock)
		}
	}
}

func (o *oracle) onTimer(key string, w span, p *pane, at int64, clock bool) {
	t := o.c.Trigger
	if clock {
		delete(p.ticks, at)
	} else {
		delete(p.timers, at)
	}
	res := window.Continue
	kind := "early"
	atEnd := o.timed() && at == w.last()
	if atEnd && (!clock == !o.c.ProcessingTime || t.Kind == window.ProcessingTime) {
		kind = "final"
	} else if o.timed() && !o.c.ProcessingTime && w.last() <= o.wm && (at > w.last()) {
		kind = "late"
	}
	if clock && !o.c.ProcessingTime && o.timed() && w.last() <= o.wm && kind == "early" {
		kind = "late"
	}
	switch t.Kind {
	case window.Continuous:
		if atEnd {
			res = window.Fire
		} else if p.next != nil && *p.next == at {
			n := min(at+t.Interval, o.lastOf(w))
			p.next, res = &n, window.Fire
			p.timers[n] = true
		}
	case window.ContinuousByClock:
		if clock && p.next != nil && *p.next == at {
			res = window.Fire
			n := at + t.Interval
			if o.c.ProcessingTime {
				n = min(n, w.last())
			}
			if n > at {
				p.next = &n
				p.ticks[n] = true
			}
		}
	case window.EveryCount, window.EveryDelta:
	case window.CustomTrigger:
		switch {
		case clock:
			res = window.Fire
		case at >= w.last():
			res = window.Fire
		default:
			if p.custom["sum"]%2 == 0 {
				res = window.Fire
			}
		}
	case window.ProcessingTime:
		if clock && atEnd {
			res = window.Fire
		}
	default:
		if atEnd && clock == o.c.ProcessingTime {
			res = window.Fire
		}
	}
	if res == window.Fire && t.Purging {
		res = window.FireAndPurge
	}
	o.result(key, w, p, res, kind)
	if o.timed() && (!clock && !o.c.ProcessingTime && at == o.cleanup(w) || clock && o.c.ProcessingTime && at == w.last()) {
		delete(o.windows[key], w)
	}
}

func (o *oracle) result(key string, w span, p *pane, res window.Result, kind string) {
	if res&window.Fire != 0 && len(p.rows) > 0 {
		o.speak(key, w, p, kind)
	}
	if res&window.Purge != 0 {
		p.rows = nil
	}
}
