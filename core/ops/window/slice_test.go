package window_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/ops/window"
	"turbo/internal/testkit"
)

// sliceCalls are aggregates that merge.
var sliceCalls = []ops.Call{{Function: ops.Count, Argument: -1, Name: "rows"}, {Function: ops.Sum, Argument: colValue, Name: "total"},
	{Function: ops.Min, Argument: colValue, Name: "least"}, {Function: ops.Max, Argument: colNumber, Name: "most"}, {Function: ops.Avg, Argument: colValue, Name: "mean"}}

// runningCalls are aggregates that can be taken back, too.
var runningCalls = []ops.Call{{Function: ops.Count, Argument: -1, Name: "rows"}, {Function: ops.Sum, Argument: colValue, Name: "total"}, {Function: ops.Avg, Argument: colValue, Name: "mean"}}

// aligned is the naive operator of aligned windows: every row is kept in each of its windows.
type aligned struct {
	c       window.Config
	rows    map[string]map[span][]oneRow
	wm      int64
	out     []string
	late    []int
	gone    int  // rows in no window
	inOrder bool // one instance: windows come in the order of their ends
}

// spans returns the windows of a time, found by trying.
func (a *aligned) spans(t int64) (out []span) {
	c := a.c
	switch c.Kind {
	case window.Sliding:
		for s := c.Offset + c.Slide*((t-c.Offset-c.Size)/c.Slide-2); s <= t; s += c.Slide {
			if t < s+c.Size {
				out = append(out, span{s, s + c.Size})
			}
		}
	default:
		step := c.Size
		if c.Kind == window.Cumulating {
			step = c.Slide
		}
		s := c.Offset + c.Size*((t-c.Offset)/c.Size-1)
		for s+c.Size <= t {
			s += c.Size
		}
		for e := s + step; e <= s+c.Size; e += step {
			if t < e {
				out = append(out, span{s, e})
			}
		}
	}
	return out
}

func (a *aligned) row(r oneRow, touched map[string]bool) {
	if len(a.c.Keys) == 0 {
		r.key = ""
	}
	if !r.hasTS {
		a.late = append(a.late, r.number)
		return
	}
	taken := false
	all := a.spans(r.ts)
	for _, w := range all {
		if w.end-1+a.c.Lateness <= a.wm {
			continue
		}
		taken = true
		if a.rows[r.key] == nil {
			a.rows[r.key] = map[span][]oneRow{}
		}
		a.rows[r.key][w] = append(a.rows[r.key][w], r)
		if w.end-1 <= a.wm {
			if a.c.EveryRow {
				a.speak(r.key, w, "late")
			} else {
				touched[fmt.Sprint(r.key, "/", w.start, "/", w.end)] = true
			}
		}
	}
	switch {
	case taken:
	case len(all) == 0 && r.ts+a.c.Lateness > a.wm:
		a.gone++
	default:
		a.late = append(a.late, r.number)
	}
}

// advance fires what ends in (wm, to], and forgets what is closed.
func (a *aligned) advance(to int64) {
	for key, windows := range a.rows {
		for w := range windows {
			if w.end-1 > a.wm && w.end-1 <= to {
				a.speak(key, w, "final")
			}
			if w.end-1+a.c.Lateness <= to {
				delete(windows, w)
			}
		}
	}
	a.wm = to
}

func (a *aligned) speak(key string, w span, kind string) {
	rows := a.rows[key][w]
	total, least, most, n := int64(0), int64(math.MaxInt64), 0, 0
	for _, r := range rows {
		if most = max(most, r.number); r.hasV {
			n++
			total += r.v
			least = min(least, r.v)
		}
	}
	parts := []string{}
	if len(a.c.Keys) > 0 {
		parts = append(parts, key)
	}
	parts = append(parts, fmt.Sprint(w.start), fmt.Sprint(w.end))
	values := map[string]string{"rows": fmt.Sprint(len(rows)), "total": "null", "least": "null", "most": fmt.Sprint(most), "mean": "null"}
	if n > 0 {
		values["total"], values["least"] = fmt.Sprint(total), fmt.Sprint(least)
		values["mean"] = fmt.Sprint(float64(total/int64(n)) + float64(total%int64(n))/float64(n))
	}
	for _, c := range a.c.Calls {
		if value, ok := values[c.Name]; ok {
			parts = append(parts, value)
		} else {
			parts = append(parts, naiveFunction(c.Name, rows))
		}
	}
	a.out = append(a.out, strings.Join(append(parts, `"`+kind+`"`), " | "))
}

// check compares a run message by message.
func (a *aligned) check(t *testing.T, rows []oneRow, events []testkit.Event, log *testkit.Log) {
	a.rows, a.wm = map[string]map[span][]oneRow{}, math.MinInt64
	taken, event, emitted := 0, 0, 0
	for _, m := range log.Marks {
		a.out = a.out[:0]
		for ; event < m.Events; event++ {
			if w := events[event].Watermark; w != 0 {
				a.advance(int64(w))
			}
		}
		touched := map[string]bool{}
		for ; taken < m.Rows; taken++ {
			a.row(rows[taken], touched)
		}
		for key, windows := range a.rows {
			for w := range windows {
				if touched[fmt.Sprint(key, "/", w.start, "/", w.end)] {
					a.speak(key, w, "late")
				}
			}
		}
		got := []string{}
		for ; emitted < m.Emitted; emitted++ {
			got = append(got, log.Emitted[emitted].Row)
		}
		want := slices.Clone(a.out)
		if slices.Sort(want); !a.c.EveryRow {
			ends := func(row string) (n int) {
				fmt.Sscan(strings.Split(row, " | ")[len(a.c.Keys)+1], &n)
				return n
			}
			if !slices.IsSortedFunc(got, func(x, y string) int { return ends(x) - ends(y) }) && len(log.Marks) > 0 && a.inOrder {
				t.Fatalf("windows do not fire in the order of their ends: %q", got)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("after %d rows and %d events (watermark %d):\ngot\n%s\nwant\n%s", m.Rows, m.Events, a.wm, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if got := int(log.Count.NoTime + log.Count.Late); got != len(a.late) || int(log.Count.Filtered) != a.gone {
		t.Fatalf("%d late rows and %d in no window, want %d and %d", got, log.Count.Filtered, len(a.late), a.gone)
	}
	if a.c.LateOutput {
		var got []int
		for _, e := range log.Sides[0] {
			var n int
			fmt.Sscan(e.Row[strings.LastIndex(e.Row, "|")+2:], &n)
			got = append(got, n)
		}
		slices.Sort(got)
		if slices.Sort(a.late); !slices.Equal(got, a.late) {
			t.Fatalf("late rows %v, want %v", got, a.late)
		}
	}
	if log.Rows != 0 {
		t.Errorf("%d rows of state are left", log.Rows)
	}
}

func TestSlices(t *testing.T) {
	cases := []named{
		{"tumbling", window.Config{Kind: window.Tumbling, Size: 10, Offset: 3}},
		{"tumbling-one", window.Config{Kind: window.Tumbling, Size: 1}},
		{"three-slices", window.Config{Kind: window.Sliding, Size: 12, Slide: 4}},
		{"alternating", window.Config{Kind: window.Sliding, Size: 10, Slide: 4, Offset: -7}},
		{"every-time", window.Config{Kind: window.Sliding, Size: 60, Slide: 1}},
		{"some-chunks", window.Config{Kind: window.Sliding, Size: 100, Slide: 1}},
		{"some-odd-chunks", window.Config{Kind: window.Sliding, Size: 101, Slide: 3}},
		{"slide-is-size", window.Config{Kind: window.Sliding, Size: 9, Slide: 9}},
		{"gaps", window.Config{Kind: window.Sliding, Size: 4, Slide: 10, Offset: -1}},
		{"cumulating", window.Config{Kind: window.Cumulating, Size: 12, Slide: 4, Offset: 1}},
		{"cumulating-chunks", window.Config{Kind: window.Cumulating, Size: 90, Slide: 2}},
		{"cumulating-prime", window.Config{Kind: window.Cumulating, Size: 37, Slide: 1}},
	}
	seed := uint64(1000)
	for n, k := range cases {
		for _, i := range []int{n % 2, 2 + (n+1)%2} { // aggregates of either kind, with and without lateness
			seed++
			seed := seed
			t.Run(fmt.Sprint(k.name, "/", i), func(t *testing.T) {
				t.Parallel()
				c := k.c
				c.Calls = [][]ops.Call{sliceCalls, runningCalls}[i%2]
				c.Lateness, c.LateOutput, c.EveryRow = []int64{0, 8, 40}[i/2*(1+int(seed/4%2))], seed%3 != 0, seed/2%4 == 0
				if seed%5 != 0 {
					c.Keys = []int{colKey}
				}
				rows, events := random(seed, 46+int(seed%2), 3, 9)
				runSlices(t, c, rows, events, window.New)
				if i%2 == 1 && (c.Lateness == 0 || k.c.Kind == window.Tumbling) {
					t.Run("table", func(t *testing.T) {
						runSlices(t, c, rows, events, func(c window.Config) core.Operator { return window.WithoutDense(window.New(c)) })
					})
				}
			})
		}
	}
}

func runSlices(t *testing.T, c window.Config, rows []oneRow, events []testkit.Event, build func(window.Config) core.Operator) {
	output, err := c.Schema(input())
	if err != nil {
		t.Fatal(err)
	}
	h := &testkit.Harness{New: func() core.Operator { return build(c) }, Input: input(), Output: output, Keys: c.Keys, Columns: columns(rows),
		Events: events, Narrow: len(rows)%2 == 0}
	if c.LateOutput {
		h.Sides = []*core.Schema{input()}
	}
	variant := xxh3.HashString(t.Name()) % 5 // each case takes some of the variants, a different choice each
	h.Only = func(testkit.Variant) bool {
		variant++
		return *all || variant%5 == 0
	}
	h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
		(&aligned{c: c, inOrder: v.Restart < 2}).check(t, rows, events, log)
	})
}
