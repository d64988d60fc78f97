package ops_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/testkit"
	"turbo/memory"
)

// naive computes one aggregate over the rows of one key, the simplest way, and renders it as testkit.Format does.
func naive(t testing.TB, f ops.Function, v *core.Vector, rows []int, result core.Type) string {
	if v == nil {
		return fmt.Sprint(len(rows))
	}
	if f > ops.LastValue {
		return naiveMore(f, v, rows)
	}
	rows = slices.DeleteFunc(slices.Clone(rows), func(i int) bool { return v.Null(i) })
	if f == ops.Count {
		return fmt.Sprint(len(rows))
	}
	if len(rows) == 0 {
		return "null"
	}
	switch f {
	case ops.FirstValue:
		return testkit.Format(v, rows[0])
	case ops.LastValue:
		return testkit.Format(v, rows[len(rows)-1])
	case ops.Min, ops.Max:
		best := rows[0]
		for _, i := range rows {
			c := compare(v, i, best)
			if f == ops.Min && c < 0 || f == ops.Max && c > 0 {
				best = i
			}
		}
		return testkit.Format(v, best)
	}
	k := v.Type.Kind
	if k == core.Float32 || k == core.Float64 {
		sum := 0.0
		for _, i := range rows {
			sum += float(v, i)
		}
		if f == ops.Avg {
			sum /= float64(len(rows))
		}
		return one(core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(sum) })
	}
	sum := new(big.Int)
	for _, i := range rows {
		if k == core.Decimal {
			sum.Add(sum, v.Decimals()[i].BigInt())
		} else {
			sum.Add(sum, big.NewInt(integer(v, i)))
		}
	}
	switch {
	case f == ops.Sum && k == core.Decimal:
		return decimal128.FromBigInt(sum).ToString(int32(result.Scale))
	case f == ops.Sum:
		return sum.String()
	case k == core.Decimal:
		r := new(big.Rat).SetFrac(sum, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Type.Scale)), nil))
		r.Quo(r, new(big.Rat).SetInt64(int64(len(rows))))
		text := r.FloatString(int(result.Scale)) // rounds half away from zero
		return decimal128.FromBigInt(digits(text)).ToString(int32(result.Scale))
	}
	mean, _ := new(big.Rat).SetFrac(sum, big.NewInt(int64(len(rows)))).Float64()
	return one(core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(mean) })
}

func digits(text string) *big.Int {
	n, _ := new(big.Int).SetString(strings.Replace(text, ".", "", 1), 10)
	return n
}

func one(t core.Type, build func(*core.Vector)) string {
	v := core.NewVector(memory.NewPool(0).Account("x"), t, 1)
	build(v)
	return testkit.Format(v, 0)
}

func float(v *core.Vector, i int) float64 {
	if v.Type.Kind == core.Float32 {
		return float64(v.Float32s()[i])
	}
	return v.Float64s()[i]
}

func integer(v *core.Vector, i int) int64 {
	switch v.Type.Kind.Width() {
	case 1:
		if v.Type.Kind == core.Boolean {
			return int64(v.Bools()[i])
		}
		return int64(v.Int8s()[i])
	case 2:
		return int64(v.Int16s()[i])
	case 4:
		return int64(v.Int32s()[i])
	}
	return v.Int64s()[i]
}

func compare(v *core.Vector, a, b int) int {
	switch v.Type.Kind {
	case core.Float32, core.Float64:
		x, y := float(v, a), float(v, b)
		switch {
		case math.IsNaN(x) && math.IsNaN(y):
			return 0
		case math.IsNaN(x):
			return 1
		case math.IsNaN(y):
			return -1
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	case core.Decimal:
		return v.Decimals()[a].Cmp(v.Decimals()[b])
	case core.String, core.Bytes:
		return strings.Compare(v.StringAt(a), v.StringAt(b))
	}
	return big.NewInt(integer(v, a)).Cmp(big.NewInt(integer(v, b)))
}

// aggregateCase is random rows with every function that the argument's type has.
type aggregateCase struct {
	config  ops.AggregateConfig
	input   *core.Schema
	columns []*core.Vector
}

func newAggregateCase(keys []core.Type, argument core.Type, n, domain int, seed uint64) *aggregateCase {
	rng := rand.New(rand.NewPCG(seed, 11))
	account := memory.NewPool(0).Account("rows")
	c := &aggregateCase{input: core.NewSchema()}
	for i, k := range keys {
		c.input.Fields = append(c.input.Fields, core.Field{Name: fmt.Sprintf("k%d", i), Type: k})
		c.columns = append(c.columns, testkit.RandomVector(rng, account, k, n, 0.2, domain))
		c.config.Keys = append(c.config.Keys, i)
	}
	c.input.Fields = append(c.input.Fields, core.Field{Name: "x", Type: argument})
	c.columns = append(c.columns, testkit.RandomVector(rng, account, argument, n, 0.3, 500))
	c.config.Calls = []ops.Call{{Function: ops.Count, Argument: -1, Name: "rows"}}
	for f := ops.Count; f <= ops.LastValue; f++ {
		if _, err := f.ResultType(argument); err == nil {
			c.config.Calls = append(c.config.Calls, ops.Call{Function: f, Argument: len(keys), Name: f.String()})
		}
	}
	return c
}

// at renders the result row of the key of row `last`, over the rows [0, last].
func (c *aggregateCase) result(t testing.TB, output *core.Schema, rows []int) string {
	var parts []string
	for i := range c.config.Keys {
		parts = append(parts, testkit.Format(c.columns[i], rows[0]))
	}
	for i, call := range c.config.Calls {
		var v *core.Vector
		if call.Argument >= 0 {
			v = c.columns[call.Argument]
		}
		parts = append(parts, naive(t, call.Function, v, rows, output.Fields[len(c.config.Keys)+i].Type))
	}
	return strings.Join(parts, " | ")
}

func (c *aggregateCase) run(t *testing.T) {
	output, err := c.config.Schema(c.input)
	if err != nil {
		t.Fatal(err)
	}
	h := &testkit.Harness{New: func() core.Operator { return ops.NewAggregate(c.config) }, Input: c.input, Output: output,
		Keys: c.config.Keys, Columns: c.columns}
	n := c.columns[0].Len()
	// The oracle: every row's key, the result after each row.
	key := make([]string, n)
	after := make([]string, n)
	groups := map[string][]int{}
	for i := range n {
		key[i] = testkit.FormatRow(c.columns[:len(c.config.Keys)], i)
		groups[key[i]] = append(groups[key[i]], i)
		after[i] = c.result(t, output, groups[key[i]])
	}
	h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
		if c.config.EveryRow {
			c.checkEveryRow(t, v, log, key, after)
		}
		var table testkit.Table
		want := map[string]string{}
		taken, emitted := 0, 0
		for _, m := range log.Marks {
			touched := map[string]bool{}
			for ; taken < m.Rows; taken++ {
				want[key[taken]] = after[taken]
				touched[key[taken]] = true
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
			if !c.config.EveryRow && updates != len(touched) {
				t.Fatalf("%d updates for %d changed keys", updates, len(touched))
			}
			expect := []string{}
			for _, r := range want {
				expect = append(expect, r)
			}
			slices.Sort(expect)
			if got := table.Rows(); !slices.Equal(got, expect) {
				t.Fatalf("after %d rows:\ngot  %q\nwant %q", m.Rows, got, expect)
			}
		}
	})
}

// checkEveryRow compares every output row: in order for one instance, else the order of each key.
func (c *aggregateCase) checkEveryRow(t *testing.T, v testkit.Variant, log *testkit.Log, key, after []string) {
	want, got := map[string][]string{}, map[string][]string{}
	last := map[string]string{}
	of := func(k string) string {
		if v.Restart < 2 {
			return ""
		}
		return k
	}
	for i, k := range key {
		kind := "+U "
		if old, ok := last[k]; !ok {
			kind = "+I "
		} else if c.config.Before {
			want[of(k)] = append(want[of(k)], "-U "+old)
		}
		last[k] = after[i]
		want[of(k)] = append(want[of(k)], kind+after[i])
	}
	for _, e := range log.Emitted {
		got[of(e.Key)] = append(got[of(e.Key)], e.Kind.String()+" "+e.Row)
	}
	for k, rows := range want {
		if !slices.Equal(got[k], rows) {
			t.Fatalf("key %s:\ngot  %q\nwant %q", k, got[k], rows)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d keys, want %d", len(got), len(want))
	}
}

func TestAggregateTypes(t *testing.T) {
	for i, argument := range testkit.Types() {
		if i%3 == 1 {
			argument = argument.Required()
		}
		t.Run(argument.String(), func(t *testing.T) {
			t.Parallel()
			c := newAggregateCase([]core.Type{core.Of(core.Int64)}, argument, 36, 5, uint64(i))
			c.config.Before = i%2 == 0
			c.run(t)
		})
	}
}

func TestAggregateKeys(t *testing.T) {
	for i, keys := range [][]core.Type{
		nil,
		{core.Of(core.Int64).Required()},
		{core.Of(core.String)},
		{core.Of(core.Float64), core.DecimalOf(10, 2)},
		{core.Of(core.Int32), core.Of(core.String), core.Of(core.Boolean)},
		{core.ArrayOf(core.Of(core.Int32)), core.Of(core.Int8)},
	} {
		for _, every := range []bool{false, true} {
			for _, before := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v,every=%v,before=%v", keys, every, before), func(t *testing.T) {
					t.Parallel()
					c := newAggregateCase(keys, core.Of(core.Int32), 60, 7, uint64(i))
					c.config.EveryRow, c.config.Before = every, before
					c.run(t)
				})
			}
		}
	}
}

func TestAggregateOverflow(t *testing.T) {
	for _, c := range []struct {
		f    ops.Function
		t    core.Type
		add  func(v *core.Vector)
		want string
	}{
		{ops.Sum, core.Of(core.Int64), func(v *core.Vector) { v.AppendInt64(math.MaxInt64 - 1) }, "aggregate: total: SUM: the sum does not fit BIGINT; cast the argument to DECIMAL"},
		{ops.Sum, core.Of(core.Int64), func(v *core.Vector) { v.AppendInt64(math.MinInt64) }, "aggregate: total: SUM: the sum does not fit BIGINT; cast the argument to DECIMAL"},
		{ops.Avg, core.Of(core.Int64), func(v *core.Vector) { v.AppendInt64(math.MinInt64) }, ""},
		{ops.Sum, core.DecimalOf(38, 2), func(v *core.Vector) { v.AppendDecimal(decimal128.GetMaxValue(38)) }, "aggregate: total: SUM, AVG: the sum has more than the 38 digits of a DECIMAL"},
		{ops.Avg, core.DecimalOf(38, 2), func(v *core.Vector) { v.AppendDecimal(decimal128.GetMaxValue(38)) }, "aggregate: total: SUM, AVG: the sum has more than the 38 digits of a DECIMAL"},
		{ops.Sum, core.Of(core.Int8), func(v *core.Vector) { v.AppendInt8(127) }, ""},
	} {
		t.Run(fmt.Sprint(c.f, c.t, c.want == ""), func(t *testing.T) {
			config := ops.AggregateConfig{Calls: []ops.Call{{Function: c.f, Argument: 0, Name: "total"}}}
			op, ctx, out := single(t, core.NewSchema(core.Field{Name: "x", Type: c.t}), config)
			b := core.NewBatch(ctx.Account, ctx.Inputs[0])
			v := core.NewVector(ctx.Account, c.t, 4)
			c.add(v)
			c.add(v)
			b.Columns, b.Len = append(b.Columns, v), 2
			err := op.Process(0, b, out)
			if got := fmt.Sprint(err); err != nil && got != c.want || err == nil && c.want != "" {
				t.Errorf("got %q, want %q", got, c.want)
			}
			finish(t, op, ctx)
		})
	}
}

func TestAggregateRefusals(t *testing.T) {
	changelog := core.NewSchema(core.Field{Name: "x", Type: core.Of(core.Int32)}, core.Field{Name: "y", Type: core.Of(core.Float64)})
	changelog.Changelog = true
	s := core.NewSchema(core.Field{Name: "s", Type: core.Of(core.String)}, core.Field{Name: "a", Type: core.ArrayOf(core.Of(core.Int32))})
	for _, c := range []struct {
		config ops.AggregateConfig
		input  *core.Schema
		want   string
	}{
		{ops.AggregateConfig{Calls: []ops.Call{{Function: ops.LastValue, Argument: 0, Name: "n"}}}, changelog,
			"aggregate n: the input is a changelog, and LAST_VALUE cannot take rows back; COUNT, SUM, MIN, MAX, AVG, APPROX_QUANTILE, PERCENTILE, MEDIAN, TOP_K, SUM_OF_SQUARES can"},
		{ops.AggregateConfig{Calls: []ops.Call{{Function: ops.Sum, Argument: 1, Name: "n"}}}, changelog,
			"aggregate n: the input is a changelog, and SUM of DOUBLE cannot take rows back exactly: CAST the argument to DECIMAL"},
		{ops.AggregateConfig{Keys: []int{2}}, s, "aggregate: key column 2 of 2"},
		{ops.AggregateConfig{Calls: []ops.Call{{Function: ops.Sum, Argument: 0, Name: "n"}}}, s, "aggregate n: SUM needs a number, this is STRING"},
		{ops.AggregateConfig{Calls: []ops.Call{{Function: ops.Max, Argument: 1, Name: "n"}}}, s, "aggregate n: MAX needs a type with an order, this is ARRAY<INT>"},
		{ops.AggregateConfig{Calls: []ops.Call{{Function: ops.Max, Argument: -1, Name: "n"}}}, s, "aggregate n: MAX of column -1 of 2"},
	} {
		if _, err := c.config.Schema(c.input); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
