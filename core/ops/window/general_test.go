package window_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/ops/window"
	"turbo/internal/testkit"
	"turbo/memory"
)

var all = flag.Bool("all", false, "run every case in every variant")

// Columns of the tests' input.
const (
	colKey = iota
	colTime
	colValue
	colGap
	colNumber
)

func input() *core.Schema {
	s := core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64)}, core.Field{Name: "ts", Type: core.Of(core.Timestamp)},
		core.Field{Name: "v", Type: core.Of(core.Int64)}, core.Field{Name: "gap", Type: core.Of(core.IntervalDay)}, core.Field{Name: "n", Type: core.Of(core.Int64)})
	s.TimeColumn = colTime
	return s
}

func columns(rows []oneRow) []*core.Vector {
	account := memory.NewPool(0).Account("rows")
	out := make([]*core.Vector, 5)
	for i, f := range input().Fields {
		out[i] = core.NewVector(account, f.Type, len(rows))
	}
	for _, r := range rows {
		if r.key == "null" {
			out[colKey].AppendNull()
		} else {
			var k int64
			fmt.Sscan(r.key, &k)
			out[colKey].AppendInt64(k)
		}
		if r.hasTS {
			out[colTime].AppendInt64(r.ts)
		} else {
			out[colTime].AppendNull()
		}
		if r.hasV {
			out[colValue].AppendInt64(r.v)
		} else {
			out[colValue].AppendNull()
		}
		out[colGap].AppendInt64(r.gap)
		out[colNumber].AppendInt64(int64(r.number))
	}
	return out
}

var calls = []ops.Call{{Function: ops.Count, Argument: -1, Name: "rows"}, {Function: ops.Sum, Argument: colValue, Name: "total"},
	{Function: ops.FirstValue, Argument: colValue, Name: "first"}, {Function: ops.LastValue, Argument: colValue, Name: "last"}}

// numbers is a window function: the numbers of the rows, or how many the aggregates count.
type numbers struct{}

func (numbers) Apply(c *window.Contents, out []*core.Vector) error {
	text := ""
	if c.Rows == nil {
		text = fmt.Sprint("n", c.Aggregates[0].Int64s()[0])
	} else {
		for _, n := range c.Rows.Columns[colNumber].Int64s() {
			text += fmt.Sprint(n, ";")
		}
	}
	out[0].AppendString(text)
	return nil
}

// thirds is an evictor of values that three divides.
type thirds struct{}

func (thirds) Evict(b *core.Batch, _ []core.Time, _ window.Window, before bool, keep []bool) error {
	v := b.Columns[colValue]
	for i := range keep {
		keep[i] = !before || v.Null(i) || v.Int64s()[i]%3 != 0
	}
	return nil
}

// spikes is a trigger with state and timers of both kinds.
type spikes struct{}

func (spikes) State() []core.Field { return []core.Field{{Name: "sum", Type: core.Of(core.Int64)}} }

func (spikes) OnElement(b *core.Batch, row int, at core.Time, w window.Window, ctx window.TriggerContext) (window.Result, error) {
	if w.Last() > ctx.Watermark() {
		if err := ctx.RegisterEventTime(w.Last()); err != nil {
			return 0, err
		}
	}
	if v := b.Columns[colValue]; !v.Null(row) {
		x := v.Int64s()[row]
		ctx.SetInt(0, ctx.Int(0)+x)
		if x%7 == 0 && at+3 > ctx.Watermark() {
			if err := ctx.RegisterEventTime(at + 3); err != nil {
				return 0, err
			}
		}
		if x%5 == 0 {
			if err := ctx.RegisterProcessingTime(ctx.Now() + 4); err != nil {
				return 0, err
			}
		}
	}
	if ctx.Int(0) >= 20 {
		ctx.SetInt(0, 0)
		return window.FireAndPurge, nil
	}
	if w.Last() <= ctx.Watermark() {
		return window.Fire, nil
	}
	return window.Continue, nil
}

func (spikes) OnEventTime(at core.Time, w window.Window, ctx window.TriggerContext) (window.Result, error) {
	if at >= w.Last() || ctx.Int(0)%2 == 0 {
		return window.Fire, nil
	}
	return window.Continue, nil
}

func (spikes) OnProcessingTime(core.Time, window.Window, window.TriggerContext) (window.Result, error) {
	return window.Fire, nil
}

func (spikes) Merge(into, from window.State) error {
	into.SetInt(0, into.Int(0)+from.Int(0))
	return nil
}

func (spikes) OnMerge(w window.Window, ctx window.TriggerContext) (window.Result, error) {
	if w.Last() <= ctx.Watermark() {
		return window.Continue, nil
	}
	return window.Continue, ctx.RegisterEventTime(w.Last())
}

func (spikes) Clear(window.Window, window.TriggerContext) error { return nil }

// random returns rows that are out of order by up to disorder, and watermarks and clock times between them.
func random(seed uint64, n, keys int, disorder int64) ([]oneRow, []testkit.Event) {
	rng := rand.New(rand.NewPCG(seed, 5))
	var rows []oneRow
	var events []testkit.Event
	front, clock, wm := int64(-60), int64(1000), int64(-1<<40)
	for i := range n {
		front += rng.Int64N(4)
		if rng.IntN(12) == 0 {
			front += rng.Int64N(25)
		}
		r := oneRow{key: fmt.Sprint(rng.IntN(keys)), ts: front - rng.Int64N(disorder+1), hasTS: rng.IntN(25) > 0, v: rng.Int64N(14) - 1, hasV: rng.IntN(8) > 0,
			gap: 1 + rng.Int64N(9), number: i}
		if rng.IntN(15) == 0 {
			r.ts -= 30
		}
		if rng.IntN(9) == 0 {
			r.key = "null"
		}
		if !r.hasV {
			r.v = 0
		}
		rows = append(rows, r)
		if rng.IntN(6) == 0 {
			if w := front - disorder/2 - rng.Int64N(3); w > wm && w != 0 {
				wm = w
				events = append(events, testkit.Event{After: i + 1, Watermark: core.Time(w)})
			}
		}
		if rng.IntN(6) == 0 {
			clock += rng.Int64N(9)
			events = append(events, testkit.Event{After: i + 1, Clock: core.Time(clock)})
		}
	}
	return rows, append(events, testkit.Event{After: n, Watermark: core.MaxTime - 1000})
}

// runCase runs a configuration over rows in all variants and compares with the oracle.
func runCase(t *testing.T, c window.Config, rows []oneRow, events []testkit.Event) {
	t.Helper()
	if c.Calls == nil {
		c.Calls = calls
	}
	if c.Function != nil {
		c.FunctionColumns = []core.Field{{Name: "numbers", Type: core.Of(core.String)}}
	}
	output, err := c.Schema(input())
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	open := func() core.Operator { // half of them sweep
		if opened++; opened%2 == 0 {
			return window.Sweeping(window.NewGeneral(c))
		}
		return window.NewGeneral(c)
	}
	h := &testkit.Harness{New: open, Input: input(), Output: output, Keys: c.Keys, Columns: columns(rows),
		Events: events, Start: 1000, Narrow: len(rows)%2 == 0}
	variant := xxh3.HashString(t.Name()) % 8 // each case takes some of the variants, a different choice each
	h.Only = func(testkit.Variant) bool {
		variant++
		return *all || variant%8 == 0
	}
	if c.LateOutput {
		h.Sides = []*core.Schema{input()}
	}
	h.Run(t, func(t *testing.T, _ testkit.Variant, log *testkit.Log) {
		o := newOracle(c)
		o.now = 1000
		o.check(t, rows, events, log)
		if c.Kind.Timed() && !c.ProcessingTime && c.Trigger.Kind != window.ContinuousByClock && log.Rows != 0 {
			t.Errorf("%d rows of state are left", log.Rows)
		}
	})
}

type named struct {
	name string
	c    window.Config
}

func kinds() []named {
	return []named{
		{"tumbling", window.Config{Kind: window.Tumbling, Size: 10, Offset: 3}},
		{"sliding", window.Config{Kind: window.Sliding, Size: 10, Slide: 4}},
		{"gaps", window.Config{Kind: window.Sliding, Size: 4, Slide: 10, Offset: -1}},
		{"cumulating", window.Config{Kind: window.Cumulating, Size: 12, Slide: 4}},
		{"session", window.Config{Kind: window.Session, Gap: 5, GapColumn: -1}},
		{"session-by-row", window.Config{Kind: window.Session, GapColumn: colGap}},
	}
}

func triggers() []named {
	t := func(name string, s window.TriggerSpec) named { return named{name, window.Config{Trigger: s}} }
	return []named{
		t("default", window.TriggerSpec{}),
		t("event", window.TriggerSpec{Kind: window.EventTime, Purging: true}),
		t("clock", window.TriggerSpec{Kind: window.ProcessingTime}),
		t("count", window.TriggerSpec{Kind: window.EveryCount, Every: 3}),
		t("count-purging", window.TriggerSpec{Kind: window.EveryCount, Every: 2, Purging: true}),
		t("delta", window.TriggerSpec{Kind: window.EveryDelta, Column: colValue, Threshold: 4}),
		t("continuous", window.TriggerSpec{Kind: window.Continuous, Interval: 3}),
		t("continuous-clock", window.TriggerSpec{Kind: window.ContinuousByClock, Interval: 5}),
		t("early-sum", window.TriggerSpec{Kind: window.Early, Column: colValue, Every: 11}),
		t("early-count", window.TriggerSpec{Kind: window.Early, Column: -1, Every: 2, Purging: true}),
		t("multiples", window.TriggerSpec{Kind: window.Multiples, Column: colValue, Every: 9}),
		t("custom", window.TriggerSpec{Kind: window.CustomTrigger, Custom: func() window.Trigger { return spikes{} }}),
	}
}

func TestWindows(t *testing.T) {
	seed := uint64(0)
	for _, k := range kinds() {
		for _, tr := range triggers() {
			if tr.name == "delta" && k.c.Kind == window.Session {
				continue
			}
			for _, lateness := range []int64{0, 8} {
				seed++
				t.Run(fmt.Sprint(k.name, "/", tr.name, "/", lateness), func(t *testing.T) {
					t.Parallel()
					c := k.c
					c.Trigger, c.Lateness, c.LateOutput = tr.c.Trigger, lateness, seed%3 != 0
					if seed%5 != 0 {
						c.Keys = []int{colKey}
					}
					c.EveryRow = seed%4 == 0
					rows, events := random(seed, 60+int(seed%2), 3, 9)
					runCase(t, c, rows, events)
				})
			}
		}
	}
}

func TestProcessingTimeWindows(t *testing.T) {
	for i, k := range kinds() {
		for _, tr := range triggers() {
			if tr.name == "delta" && k.c.Kind == window.Session || tr.name == "continuous" || tr.name == "event" {
				continue
			}
			t.Run(k.name+"/"+tr.name, func(t *testing.T) {
				t.Parallel()
				c := k.c
				c.Trigger, c.ProcessingTime, c.Keys = tr.c.Trigger, true, []int{colKey}
				rows, events := random(uint64(i)+100, 50, 3, 9)
				runCase(t, c, rows, events)
			})
		}
	}
}

func TestCountAndGlobalWindows(t *testing.T) {
	list := []named{
		{"count", window.Config{Kind: window.CountTumbling, Count: 4}},
		{"count-sliding", window.Config{Kind: window.CountSliding, Count: 4, Every: 2}},
		{"count-gaps", window.Config{Kind: window.CountSliding, Count: 2, Every: 5}},
		{"global", window.Config{Kind: window.Global}},
	}
	for _, tr := range triggers() {
		switch tr.c.Trigger.Kind {
		case window.EventTime, window.ProcessingTime, window.DefaultTrigger, window.CustomTrigger, window.Continuous:
			continue
		}
		list = append(list, named{"global/" + tr.name, window.Config{Kind: window.Global, Trigger: tr.c.Trigger}})
	}
	for i, k := range list {
		for _, keys := range [][]int{nil, {colKey}} {
			t.Run(fmt.Sprint(k.name, "/", len(keys)), func(t *testing.T) {
				t.Parallel()
				c := k.c
				c.Keys = keys
				rows, events := random(uint64(i)+200, 80, 4, 9)
				runCase(t, c, rows, events)
				c.Function = func() window.Function { return numbers{} }
				runCase(t, c, rows, events)
			})
		}
	}
}

func TestEvictorsAndFunctions(t *testing.T) {
	evictors := []window.EvictorSpec{
		{},
		{Kind: window.EvictByCount, Count: 3},
		{Kind: window.EvictByTime, Span: 4},
		{Kind: window.EvictByDelta, Column: colValue, Threshold: 5},
		{Kind: window.EvictByCount, Count: 2, After: true},
		{Kind: window.CustomEvictor, Custom: func() window.Evictor { return thirds{} }},
	}
	for i, e := range evictors {
		for _, k := range kinds() {
			for _, tr := range triggers() {
				switch tr.name {
				case "default", "count", "early-sum", "custom":
				default:
					continue
				}
				for f := range 3 {
					if f == 2 && e.Kind != window.NoEvictor || (i+len(k.name)+f+len(tr.name))%2 == 0 {
						continue
					}
					t.Run(fmt.Sprint(i, "/", k.name, "/", tr.name, "/", f), func(t *testing.T) {
						t.Parallel()
						c := k.c
						c.Evictor, c.Trigger, c.Lateness, c.Keys = e, tr.c.Trigger, int64(4*(i%2)), []int{colKey}
						if f > 0 {
							c.Function, c.AggregatesOnly = func() window.Function { return numbers{} }, f == 2
						}
						rows, events := random(uint64(i)+300, 40, 3, 9)
						runCase(t, c, rows, events)
					})
				}
			}
		}
	}
}

func TestZones(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Skip(err)
	}
	day := int64(86_400_000_000)
	var rows []oneRow
	for _, d := range []time.Time{time.Date(2024, 3, 30, 23, 30, 0, 0, zone), time.Date(2024, 3, 31, 0, 0, 0, 0, zone), time.Date(2024, 3, 31, 3, 0, 0, 0, zone),
		time.Date(2024, 10, 27, 1, 59, 0, 0, zone), time.Date(2024, 10, 27, 23, 59, 0, 0, zone), time.Date(2024, 10, 28, 0, 0, 0, 0, zone)} {
		rows = append(rows, oneRow{key: "1", ts: d.UnixMicro(), hasTS: true, v: 1, hasV: true, number: len(rows)})
	}
	runCase(t, window.Config{Kind: window.Tumbling, Size: day, Zone: zone, Keys: []int{colKey}, Trigger: window.TriggerSpec{Kind: window.Early, Column: -1, Every: 2}}, rows,
		[]testkit.Event{{After: len(rows), Watermark: core.MaxTime}})
}
