package window_test

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/ops/window"
	"turbo/internal/testkit"
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
	rows    []oneRow // in the order of aggregation
	count   float64
	level   float64
	delta   *float64
	next    *int64
	custom  map[string]int64
	timers  map[int64]bool
	ticks   map[int64]bool
	late    bool // to fire at the end of the batch
	dropped bool
}

type oracle struct {
	c       window.Config
	windows map[string]map[span]*pane
	wm, now int64
	out     []string
	lates   []int
	noTime  int
	batch   []oneRow
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

// speak evicts and renders one result: count, sum, first, last, and the rows' numbers when the configuration has a function.
func (o *oracle) speak(key string, w span, p *pane, kind string) {
	e := o.c.Evictor
	if o.c.Kind == window.CountSliding {
		e = window.EvictorSpec{Kind: window.EvictByCount, Count: o.c.Count}
	}
	evict := func() {
		rows := slices.Clone(p.rows)
		sort.Slice(rows, func(i, j int) bool { return rows[i].number < rows[j].number })
		p.rows = slices.DeleteFunc(rows, func(r oneRow) bool {
			switch last := rows[len(rows)-1]; e.Kind {
			case window.EvictByCount:
				return r.number < rows[max(0, len(rows)-int(e.Count))].number
			case window.EvictByTime:
				most := int64(math.MinInt64)
				for _, x := range rows {
					most = max(most, x.ts)
				}
				return r.ts <= most-e.Span
			case window.EvictByDelta:
				return last.hasV && r.hasV && math.Abs(float64(r.v-last.v)) >= e.Threshold
			case window.CustomEvictor:
				return r.hasV && r.v%3 == 0
			}
			return false
		})
	}
	if e.Kind != window.NoEvictor && !e.After {
		if evict(); len(p.rows) == 0 {
			return
		}
	}
	var sum int64
	first, last, some := "null", "null", false
	for _, r := range p.rows {
		if r.hasV {
			if !some {
				first = fmt.Sprint(r.v)
			}
			some, sum, last = true, sum+r.v, fmt.Sprint(r.v)
		}
	}
	total := "null"
	if some {
		total = fmt.Sprint(sum)
	}
	var parts []string
	if len(o.c.Keys) > 0 {
		parts = append(parts, key)
	}
	if o.timed() {
		parts = append(parts, fmt.Sprint(w.start), fmt.Sprint(w.end))
	}
	parts = append(parts, fmt.Sprint(len(p.rows)), total, first, last)
	if o.c.Function != nil {
		rows := slices.Clone(p.rows)
		sort.Slice(rows, func(i, j int) bool { return rows[i].number < rows[j].number })
		text := ""
		for _, r := range rows {
			text += fmt.Sprint(r.number, ";")
		}
		if o.c.AggregatesOnly {
			text = fmt.Sprint("n", len(p.rows))
		}
		parts = append(parts, `"`+text+`"`)
	}
	o.out = append(o.out, strings.Join(append(parts, `"`+kind+`"`), " | "))
	if e.After {
		evict()
	}
}

// endBatch makes the firings of late rows.
func (o *oracle) endBatch() {
	for _, l := range o.touched {
		if p := o.of(l.key)[l.w]; p != nil && p.late {
			p.late = false
			res := window.Fire
			if o.c.Trigger.Purging {
				res = window.FireAndPurge
			}
			o.result(l.key, l.w, p, res, "late")
		}
	}
	o.touched = nil
}

// check compares a run with the oracle, message by message; firings of one window in their order.
func (o *oracle) check(t *testing.T, rows []oneRow, events []testkit.Event, log *testkit.Log) {
	prefix := 0
	if len(o.c.Keys) > 0 {
		prefix++
	}
	if o.timed() {
		prefix += 2
	}
	byWindow := func(list []string) []string {
		list = slices.Clone(list)
		cut := func(s string) string { return strings.Join(strings.Split(s, " | ")[:prefix], "|") }
		sort.SliceStable(list, func(i, j int) bool { return cut(list[i]) < cut(list[j]) })
		return list
	}
	taken, event, emitted := 0, 0, 0
	for _, m := range log.Marks {
		o.out = o.out[:0]
		for ; event < m.Events; event++ {
			e := events[event]
			if e.Clock != 0 {
				o.now = int64(e.Clock)
				o.fireTimers(o.now, true)
			}
			if e.Watermark != 0 {
				o.wm = int64(e.Watermark)
				o.fireTimers(o.wm, false)
			}
		}
		for ; taken < m.Rows; taken++ {
			o.element(rows[taken])
		}
		o.endBatch()
		var got []string
		for ; emitted < m.Emitted; emitted++ {
			got = append(got, log.Emitted[emitted].Row)
		}
		got, want := byWindow(got), byWindow(o.out)
		if !slices.Equal(got, want) {
			t.Fatalf("after %d rows and %d events (watermark %d, clock %d):\ngot\n%s\nwant\n%s", m.Rows, m.Events, o.wm, o.now, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if got, want := int(log.Count.NoTime), o.noTime; got != want {
		t.Fatalf("%d rows without a time, want %d", got, want)
	}
	if got, want := int(log.Count.Late), len(o.lates)-o.noTime; got != want {
		t.Fatalf("%d late rows, want %d", got, want)
	}
	if got, want := int(log.Count.Filtered), o.filterd; got != want {
		t.Fatalf("%d filtered rows, want %d", got, want)
	}
	if o.c.LateOutput {
		var got []string
		for _, e := range log.Sides[0] {
			got = append(got, e.Row[strings.LastIndex(e.Row, "|")+2:])
		}
		var want []string
		for _, n := range o.lates {
			want = append(want, fmt.Sprint(n))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			for k, ps := range o.windows {
				for w, p := range ps {
					t.Logf("%s %v %+v", k, w, *p)
				}
			}
			t.Fatalf("late rows %v, want %v", got, want)
		}
	}
}

var _ = core.MinTime
