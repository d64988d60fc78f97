package ops_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/testkit"
	"turbo/memory"
)

// withdraw makes a changelog of the rows: some take back an earlier one, whose columns they have then. It returns the kinds, and for each row which one it takes back, or -1.
func (c *aggregateCase) withdraw(seed uint64) (kinds []core.RowKind, takes []int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	account := memory.NewPool(0).Account("rows")
	n := c.columns[0].Len()
	source := make([]int, n)
	var there []int
	for row := range n {
		source[row] = row
		kind, take := []core.RowKind{core.Insert, core.UpdateAfter}[rng.IntN(2)], -1
		if len(there) > 0 && rng.IntN(9) < 4 {
			i := rng.IntN(len(there))
			take = there[i]
			source[row] = take
			there = slices.Delete(there, i, i+1)
			kind = []core.RowKind{core.Delete, core.UpdateBefore}[rng.IntN(2)]
		} else {
			there = append(there, row)
		}
		kinds, takes = append(kinds, kind), append(takes, take)
	}
	for i, v := range c.columns {
		made := core.NewVector(account, v.Type, n)
		for _, from := range source {
			made.AppendRow(v, from)
		}
		c.columns[i] = made
	}
	schema := *c.input
	schema.Changelog = true
	c.input = &schema
	return kinds, takes
}

func (c *aggregateCase) runChangelog(t *testing.T, seed uint64) {
	kinds, takes := c.withdraw(seed)
	output, err := c.config.Schema(c.input)
	if err != nil {
		t.Fatal(err)
	}
	h := &testkit.Harness{New: func() core.Operator { return ops.NewAggregate(c.config) }, Input: c.input, Output: output, Keys: c.config.Keys, Columns: c.columns,
		Kinds: [][]core.RowKind{kinds}}
	h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
		var table testkit.Table
		groups := map[string][]int{}
		taken, emitted := 0, 0
		for _, m := range log.Marks {
			touched := map[string]bool{}
			for ; taken < m.Rows; taken++ {
				key := testkit.FormatRow(c.columns[:len(c.config.Keys)], taken)
				touched[key] = true
				if takes[taken] < 0 {
					groups[key] = append(groups[key], taken)
				} else {
					groups[key] = slices.DeleteFunc(groups[key], func(i int) bool { return i == takes[taken] })
				}
			}
			updates := 0
			for ; emitted < m.Emitted; emitted++ {
				e := log.Emitted[emitted]
				if err := table.Apply(e.Kind, e.Key, e.Row); err != nil {
					t.Fatalf("output row %d: %v", emitted, err)
				}
				if e.Kind == core.UpdateBefore && !c.config.Before {
					t.Fatalf("output row %d is %v %s, not asked for", emitted, e.Kind, e.Row)
				}
				if e.Kind != core.UpdateBefore {
					updates++
				}
			}
			if !c.config.EveryRow && updates > len(touched) {
				t.Fatalf("%d updates for %d changed keys", updates, len(touched))
			}
			want := []string{}
			for _, rows := range groups {
				if len(rows) > 0 {
					want = append(want, c.result(t, output, rows))
				}
			}
			slices.Sort(want)
			if got := table.Rows(); !slices.Equal(got, want) {
				t.Fatalf("after %d rows:\ngot  %q\nwant %q", m.Rows, got, want)
			}
		}
		left := 0
		for _, rows := range groups {
			left += min(len(rows), 1)
		}
		if log.Rows != left {
			t.Errorf("%d rows of state are left for %d keys", log.Rows, left)
		}
	})
}

// TestAggregateChangelog: rows are taken back, over types, keys, batch sizes, restores and rescaling.
func TestAggregateChangelog(t *testing.T) {
	types := []core.Type{core.Of(core.Int32), core.Of(core.Int64).Required(), core.Of(core.Float64), core.DecimalOf(12, 2), core.Of(core.String).Required(), core.Of(core.String),
		core.Of(core.Boolean), core.Of(core.Timestamp), core.ArrayOf(core.Of(core.String))}
	for i, typ := range types {
		for _, every := range []bool{false, true} {
			t.Run(fmt.Sprint(typ, every), func(t *testing.T) {
				t.Parallel()
				keys := [][]core.Type{{core.Of(core.Int64)}, {core.Of(core.String), core.Of(core.Int8)}, nil}[i%3]
				c := newAggregateCase(keys, typ, 36, 4, uint64(200+i))
				c.config.Calls = c.config.Calls[:1]
				for f := ops.Count; f <= ops.StringAgg; f++ {
					call := ops.Call{Function: f, Argument: len(keys), Name: f.String() + "x"}
					switch f {
					case ops.ApproxQuantile, ops.Percentile:
						continue
					case ops.TopK:
						call.Parameters = []any{int64(3)}
					}
					if _, err := f.ResultType(typ); err == nil && f.CheckChangelog(typ) == nil {
						c.config.Calls = append(c.config.Calls, call)
					}
				}
				c.config.EveryRow, c.config.Before = every, i%2 == 0
				c.runChangelog(t, uint64(i))
			})
		}
	}
}
