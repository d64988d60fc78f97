package window_test

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"turbo/core/ops/window"
	"turbo/internal/testkit"
)

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
	for _, c := range o.c.Calls[4:] {
		parts = append(parts, naiveFunction(c.Name, p.rows))
	}
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
