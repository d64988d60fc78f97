package window_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/ops/window"
	"turbo/internal/testkit"
)

// Aggregates whose state is bytes: those that merge, those that can be taken back, too, and those that depend on the order of rows.
var (
	distinctCalls = []ops.Call{{Function: ops.CountDistinct, Argument: colValue, Name: "distinct"}, {Function: ops.ApproxCountDistinct, Argument: colValue, Name: "approx"},
		{Function: ops.TopK, Argument: colValue, Name: "top", Parameters: []any{int64(3)}}, {Function: ops.Percentile, Argument: colValue, Name: "quartile", Parameters: []any{0.25}}}
	medianCalls = []ops.Call{{Function: ops.Median, Argument: colValue, Name: "median"}, {Function: ops.Count, Argument: colValue, Name: "count"},
		{Function: ops.Percentile, Argument: colValue, Name: "quartile", Parameters: []any{0.25}}}
	listCalls = []ops.Call{{Function: ops.ArrayAgg, Argument: colValue, Name: "array"}, {Function: ops.Collect, Argument: colValue, Name: "list"}}
)

// naiveFunction renders a function over rows, by the call's name.
func naiveFunction(name string, rows []oneRow) string {
	var values []int64
	var array, list []string
	for _, r := range rows {
		if !r.hasV {
			array = append(array, "null")
			continue
		}
		values = append(values, r.v)
		list = append(list, fmt.Sprint(r.v))
		array = append(array, fmt.Sprint(r.v))
	}
	slices.Sort(values)
	brackets := func(list []string) string {
		if len(list) == 0 {
			return "null"
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	share := func(q float64) string {
		if len(values) == 0 {
			return "null"
		}
		at := q * float64(len(values)-1)
		i := int(at)
		if part := at - float64(i); part > 0 {
			return fmt.Sprint(float64(values[i])*(1-part) + float64(values[i+1])*part)
		}
		return fmt.Sprint(float64(values[i]))
	}
	switch name {
	case "array":
		return brackets(array)
	case "list":
		return brackets(list)
	case "top":
		var top []string
		for i := len(values) - 1; i >= max(0, len(values)-3); i-- {
			top = append(top, fmt.Sprint(values[i]))
		}
		return brackets(top)
	case "count":
		return fmt.Sprint(len(values))
	case "median":
		return share(0.5)
	case "quartile":
		return share(0.25)
	}
	return fmt.Sprint(len(slices.Compact(values))) // distinct, approx
}

// TestFunctions: aggregates whose state is bytes, in windows by slices and in general ones, over batch sizes, restores and rescaling.
func TestFunctions(t *testing.T) {
	sets := map[string][]ops.Call{"distinct": distinctCalls, "median": medianCalls, "list": listCalls}
	aligns := []named{
		{"tumbling", window.Config{Kind: window.Tumbling, Size: 10, Offset: 3}},
		{"sliding", window.Config{Kind: window.Sliding, Size: 20, Slide: 4}},
		{"every-time", window.Config{Kind: window.Sliding, Size: 40, Slide: 1}},
		{"cumulating", window.Config{Kind: window.Cumulating, Size: 12, Slide: 4, Offset: 1}},
	}
	generals := []named{
		{"session", window.Config{Kind: window.Session, Gap: 5, GapColumn: -1}},
		{"early", window.Config{Kind: window.Sliding, Size: 10, Slide: 4, Trigger: window.TriggerSpec{Kind: window.Early, Column: -1, Every: 3}}},
		{"evictor", window.Config{Kind: window.Tumbling, Size: 10, Evictor: window.EvictorSpec{Kind: window.EvictByCount, Count: 4}}},
		{"count-sliding", window.Config{Kind: window.CountSliding, Count: 4, Every: 2}},
	}
	seed := uint64(5000)
	for set, list := range sets {
		for i, k := range append(slices.Clone(aligns), generals...) {
			seed := seed + uint64(i)
			t.Run(set+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				c := k.c
				c.Keys = []int{colKey}
				if c.Kind.Timed() {
					c.Lateness = int64(seed % 2 * 8)
				}
				rows, events := random(seed, 60, 3, 9)
				if i >= len(aligns) {
					c.Calls = append(slices.Clone(calls), list...)
					runCase(t, c, rows, events)
					return
				}
				c.Calls = list
				runSome(t, c, rows, events)
			})
		}
	}
}

// runSome is runSlices in some of the variants.
func runSome(t *testing.T, c window.Config, rows []oneRow, events []testkit.Event) {
	output, err := c.Schema(input())
	if err != nil {
		t.Fatal(err)
	}
	h := &testkit.Harness{New: func() core.Operator { return window.New(c) }, Input: input(), Output: output, Keys: c.Keys, Columns: columns(rows), Events: events}
	variant := xxh3.HashString(t.Name()) % 6
	h.Only = func(testkit.Variant) bool {
		variant++
		return *all || variant%6 == 0
	}
	h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
		(&aligned{c: c, inOrder: v.Restart < 2 && ops.Merges(c.Calls)}).check(t, rows, events, log)
	})
}
