package window_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/ops/window"
	"turbo/internal/testkit"
)

// directed is a case by hand: steps are "key time value" rows ("-" is null), "w N" watermarks and "c N" clock times.
type directed struct {
	name  string
	c     window.Config
	steps string
	want  string // rows, sorted, divided by ';'
	late  int
}

func directedCases() []directed {
	session := window.Config{Kind: window.Session, Gap: 5, GapColumn: -1}
	tumbling := window.Config{Kind: window.Tumbling, Size: 10}
	with := func(c window.Config, f func(*window.Config)) window.Config { f(&c); return c }
	return []directed{
		{"row exactly at the window's end", tumbling, "1 9 1, 1 10 2, w 9, w 19", `1 | 0 | 10 | 1 | "final"; 1 | 10 | 20 | 2 | "final"`, 0},
		{"watermark one before the last instant", tumbling, "1 9 1, w 8, 1 9 2, w 9, 1 9 4", `1 | 0 | 10 | 3 | "final"`, 1},
		{"negative timestamps", tumbling, "1 -1 1, 1 -10 2, 1 -11 4, w -1", `1 | -10 | 0 | 3 | "final"; 1 | -20 | -10 | 4 | "final"`, 0},
		{"null key", tumbling, "- 1 1, - 2 2, 0 3 4, w 9", `0 | 0 | 10 | 4 | "final"; null | 0 | 10 | 3 | "final"`, 0},
		{"null time and null value", tumbling, "1 - 1, 1 2 -, w 9", `1 | 0 | 10 | null | "final"`, 0},
		{"row between windows", window.Config{Kind: window.Sliding, Size: 2, Slide: 10}, "1 5 1, 1 11 2, w 20", `1 | 10 | 12 | 2 | "final"`, 0},
		{"sliding in several windows", window.Config{Kind: window.Sliding, Size: 10, Slide: 5}, "1 7 1, w 20", `1 | 0 | 10 | 1 | "final"; 1 | 5 | 15 | 1 | "final"`, 0},
		{"sliding, slide no divisor of the size", window.Config{Kind: window.Sliding, Size: 10, Slide: 7}, "1 8 1, w 30", `1 | 0 | 10 | 1 | "final"; 1 | 7 | 17 | 1 | "final"`, 0},
		{"cumulating", window.Config{Kind: window.Cumulating, Size: 10, Slide: 5}, "1 2 1, 1 7 2, w 30", `1 | 0 | 10 | 3 | "final"; 1 | 0 | 5 | 1 | "final"`, 0},
		{"session bridges two", session, "1 10 1, 1 20 2, 1 15 4, w 99", `1 | 10 | 25 | 7 | "final"`, 0},
		{"sessions that touch are one", session, "1 10 1, 1 15 2, 1 21 4, w 99", `1 | 10 | 20 | 3 | "final"; 1 | 21 | 26 | 4 | "final"`, 0},
		{"late row joins an open session", session, "1 10 1, 1 14 2, w 12, 1 9 4, w 30, 1 9 8", `1 | 9 | 19 | 7 | "final"`, 1},
		{"late row opens a session again", with(session, func(c *window.Config) { c.Lateness = 10 }), "1 10 1, w 16, 1 15 2, w 30",
			`1 | 10 | 15 | 1 | "final"; 1 | 10 | 20 | 3 | "final"`, 0},
		{"lateness: late firing, then closed", with(tumbling, func(c *window.Config) { c.Lateness = 5 }), "1 1 1, w 9, 1 2 2, w 13, 1 3 4, w 14, 1 4 8",
			`1 | 0 | 10 | 1 | "final"; 1 | 0 | 10 | 3 | "late"; 1 | 0 | 10 | 7 | "late"`, 1},
		{"late row into a purged window", with(tumbling, func(c *window.Config) { c.Lateness, c.Trigger = 5, window.TriggerSpec{Purging: true} }),
			"1 1 1, w 9, 1 2 2, w 20", `1 | 0 | 10 | 1 | "final"; 1 | 0 | 10 | 2 | "late"`, 0},
		{"sessions merge with pending early counters", with(session, func(c *window.Config) { c.Trigger = window.TriggerSpec{Kind: window.Early, Column: colValue, Every: 6} }),
			"1 10 3, 1 20 2, 1 15 1, w 99", `1 | 10 | 25 | 6 | "early"; 1 | 10 | 25 | 6 | "final"`, 0},
		{"early sum counts from zero again", with(tumbling, func(c *window.Config) { c.Trigger = window.TriggerSpec{Kind: window.Early, Column: colValue, Every: 5} }),
			"1 1 4, 1 2 4, 1 3 4, 1 4 1, w 9", `1 | 0 | 10 | 13 | "early"; 1 | 0 | 10 | 13 | "final"; 1 | 0 | 10 | 8 | "early"`, 0},
		{"multiples fire once for two", with(tumbling, func(c *window.Config) {
			c.Trigger = window.TriggerSpec{Kind: window.Multiples, Column: colValue, Every: 5}
		}),
			"1 1 4, 1 2 7, 1 3 3, 1 4 1, w 9", `1 | 0 | 10 | 11 | "early"; 1 | 0 | 10 | 15 | "early"; 1 | 0 | 10 | 15 | "final"`, 0},
		{"count windows", window.Config{Kind: window.CountTumbling, Count: 2}, "1 1 1, 1 - 2, 2 1 4, 1 3 8, 1 4 16, 1 5 32", `1 | 24 | "final"; 1 | 3 | "final"`, 0},
		{"count windows that slide", window.Config{Kind: window.CountSliding, Count: 3, Every: 2}, "1 1 1, 1 1 2, 1 1 4, 1 1 8, 1 1 16", `1 | 14 | "final"; 1 | 3 | "final"`, 0},
		{"global speaks by trigger only", window.Config{Kind: window.Global}, "1 1 1, w 99", "", 0},
		{"processing time", with(tumbling, func(c *window.Config) { c.ProcessingTime = true }), "1 5 1, c 1008, 1 500 2, c 1009, c 1010, 1 5 4, c 1030",
			`1 | 1000 | 1010 | 3 | "final"; 1 | 1010 | 1020 | 4 | "final"`, 0},
		{"processing time sessions", with(session, func(c *window.Config) { c.ProcessingTime = true }), "1 5 1, c 1003, 1 5 2, c 1007, c 1008, 1 5 4, c 1030",
			`1 | 1000 | 1008 | 3 | "final"; 1 | 1008 | 1013 | 4 | "final"`, 0},
	}
}

func TestDirected(t *testing.T) {
	for _, d := range directedCases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			c := d.c
			c.Keys, c.Calls = []int{colKey}, []ops.Call{{Function: ops.Sum, Argument: colValue, Name: "total"}}
			var rows []oneRow
			var events []testkit.Event
			for _, step := range strings.Split(d.steps, ", ") {
				f := strings.Fields(step)
				number := func(i int) (n int64, ok bool) {
					_, err := fmt.Sscan(f[i], &n)
					return n, err == nil
				}
				switch n, _ := number(1); f[0] {
				case "w":
					events = append(events, testkit.Event{After: len(rows), Watermark: core.Time(n)})
				case "c":
					events = append(events, testkit.Event{After: len(rows), Clock: core.Time(n)})
				default:
					r := oneRow{key: strings.Replace(f[0], "-", "null", 1), number: len(rows)}
					r.ts, r.hasTS = number(1)
					r.v, r.hasV = number(2)
					rows = append(rows, r)
				}
			}
			output, err := c.Schema(input())
			if err != nil {
				t.Fatal(err)
			}
			h := &testkit.Harness{New: func() core.Operator { return window.New(c) }, Input: input(), Output: output, Keys: c.Keys, Columns: columns(rows),
				Events: events, Start: 1000}
			h.Run(t, func(t *testing.T, _ testkit.Variant, log *testkit.Log) {
				var got []string
				for _, e := range log.Emitted {
					got = append(got, e.Row)
				}
				slices.Sort(got)
				if s := strings.Join(got, "; "); s != d.want || log.Count.Late != int64(d.late) {
					t.Errorf("%s\ngot  %s, %d late\nwant %s, %d late", d.steps, s, log.Count.Late, d.want, d.late)
				}
			})
		})
	}
}

func TestRefused(t *testing.T) {
	sum := []ops.Call{{Function: ops.Count, Argument: -1, Name: "n"}}
	for want, c := range map[string]window.Config{
		"a session window needs a gap above zero: with a gap of zero no two rows are in one session":                                    {Kind: window.Session, GapColumn: -1},
		"a tumbling window needs a size above zero":                                                                                     {Kind: window.Tumbling},
		"a sliding window needs a step above zero":                                                                                      {Kind: window.Sliding, Size: 10},
		"the size of a cumulating window is a multiple of its step: 10µs is none of 3µs":                                                {Kind: window.Cumulating, Size: 10, Slide: 3},
		"a count window needs a count above zero":                                                                                       {Kind: window.CountTumbling},
		"allowed lateness is for windows of event time, and not negative: windows of rows, of the clock and for ever have no late rows": {Kind: window.CountTumbling, Count: 1, Lateness: 1},
		"a trigger that counts needs a number above zero":                                                                               {Kind: window.Global, Trigger: window.TriggerSpec{Kind: window.EveryCount}},
		"a delta trigger compares with one earlier row, which merging sessions do not have: use another trigger":                        {Kind: window.Session, Gap: 1, GapColumn: -1, Trigger: window.TriggerSpec{Kind: window.EveryDelta, Column: 2}},
		"the trigger counts in event time and the window in processing time: use the continuous trigger of processing time":             {Kind: window.Tumbling, Size: 5, ProcessingTime: true, Trigger: window.TriggerSpec{Kind: window.Continuous, Interval: 1}},
		"a sliding count window evicts rows itself: use a global window with a count trigger and an evictor of your own":                {Kind: window.CountSliding, Count: 1, Every: 1, Evictor: window.EvictorSpec{Kind: window.EvictByCount, Count: 1}},
		"a function of aggregates only needs aggregates and a window whose rows nothing else needs: leave out the evictor":              {Kind: window.Tumbling, Size: 1, AggregatesOnly: true},
		"the session gap is an INTERVAL DAY TO SECOND or an integer of milliseconds, and ts is TIMESTAMP(6)":                            {Kind: window.Session, GapColumn: colTime},
		"a count window has no end that time could pass: use a trigger that counts":                                                     {Kind: window.CountTumbling, Count: 1, Trigger: window.TriggerSpec{Kind: window.EventTime}},
		"an evictor by delta needs a number, and ts is TIMESTAMP(6): CAST it":                                                           {Kind: window.Tumbling, Size: 1, Evictor: window.EvictorSpec{Kind: window.EvictByDelta, Column: colTime}},
		"a row would be in 10000000 windows: make the slide longer":                                                                     {Kind: window.Sliding, Size: 10_000_000, Slide: 1},
	} {
		c.Calls = sum
		if _, err := c.Schema(input()); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	c := window.Config{Kind: window.Tumbling, Size: 10}
	if _, err := c.Schema(input()); err == nil || err.Error() != "a window needs an aggregate or a function" {
		t.Error(err)
	}
}

// A gap per row must be above zero: the job fails, since trying again does not help.
func TestGapOfZero(t *testing.T) {
	c := window.Config{Kind: window.Session, GapColumn: colGap, Keys: []int{colKey}, Calls: calls}
	in := &benchInput{schema: input(), front: []int64{0}, hashes: [][]uint64{make([]uint64, 1)}}
	in.columns = append(in.columns, columns([]oneRow{{key: "1", ts: 1, hasTS: true}}))
	r := newBenchRun(t, in, window.New(c), c)
	b := core.NewBatch(r.ctx.Account, in.schema)
	for _, v := range in.columns[0] {
		b.Columns = append(b.Columns, v.Retain())
	}
	b.Len = 1
	err := r.op.Process(0, b, &r.out)
	if want := "window: the session gap of a row, column gap, is +0 00:00:00.000 and not above zero: filter such rows, or give them a gap"; err == nil || err.Error() != want || !core.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if err := r.op.Close(); err != nil {
		t.Error(err)
	}
	r.backend.Close()
	if n := r.ctx.Account.Used(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// broken is a trigger and a function that fail.
type broken struct{ spikes }

func (broken) OnElement(*core.Batch, int, core.Time, window.Window, window.TriggerContext) (window.Result, error) {
	panic("out of order")
}

func (broken) Apply(*window.Contents, []*core.Vector) error { return errors.New("no") }

func TestUserErrors(t *testing.T) {
	for _, x := range []struct {
		c    window.Config
		want string
	}{
		{window.Config{Kind: window.Tumbling, Size: 1000, Trigger: window.TriggerSpec{Kind: window.CustomTrigger, Custom: func() window.Trigger { return broken{} }}},
			`window: op: trigger's OnElement in window [1970-01-01T00:00:00Z, 1970-01-01T00:00:00.001Z) of {"k":1,"ts":"1970-01-01 00:00:00.000001","v":null,"gap":"+0 00:00:00.000","n":0} panicked: out of order` + "\n"},
		{window.Config{Kind: window.CountTumbling, Count: 1, Function: func() window.Function { return broken{} }, FunctionColumns: input().Fields[4:]},
			"window: op: window function: no"},
	} {
		x.c.Keys, x.c.Calls = []int{colKey}, calls
		in := &benchInput{schema: input(), columns: [][]*core.Vector{columns([]oneRow{{key: "1", ts: 1, hasTS: true}})}}
		r := newBenchRun(t, in, window.New(x.c), x.c)
		b := core.NewBatch(r.ctx.Account, in.schema)
		for _, v := range in.columns[0] {
			b.Columns = append(b.Columns, v.Retain())
		}
		b.Len = 1
		err := r.op.Process(0, b, &r.out)
		var user *ops.UserError
		if err == nil || !strings.HasPrefix(err.Error(), x.want) || !errors.As(err, &user) || user.Panicked != (len(user.Stack) > 0) {
			t.Errorf("got %v\nwant %s", err, x.want)
		}
		if err := r.op.Close(); err != nil {
			t.Error(err)
		}
		r.backend.Close()
		if n := r.ctx.Account.Used(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	}
}
