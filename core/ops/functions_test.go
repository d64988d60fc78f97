package ops_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/testkit"
	"turbo/memory"
)

// sumOfSquares is a program's aggregate that can be taken back.
type sumOfSquares struct{}

func (sumOfSquares) Add(dst, old []byte, v *core.Vector, rows []int32, at *int32) ([]byte, error) {
	more := int64(0)
	for _, *at = range rows {
		x := v.Int64s()[*at]
		more += x * x
	}
	return sumText(dst, old, more), nil
}

func sumText(dst, old []byte, more int64) []byte {
	n, _ := strconv.ParseInt(string(old), 10, 64)
	return strconv.AppendInt(dst, n+more, 10)
}

func (sumOfSquares) Merge(dst, old, other []byte) ([]byte, error) {
	n, err := strconv.ParseInt(string(other), 10, 64)
	return sumText(dst, old, n), err
}

func (sumOfSquares) Retract(dst, old, other []byte) ([]byte, error) {
	n, err := strconv.ParseInt(string(other), 10, 64)
	return sumText(dst, old, -n), err
}

func (sumOfSquares) Result(out *core.Vector, acc []byte) error {
	n, err := strconv.ParseInt(string(acc), 10, 64)
	out.AppendInt64(n)
	return err
}

var squares = func() ops.Function {
	err := ops.RegisterAggregate(ops.UserAggregate{Name: "SUM_OF_SQUARES", Retracts: true,
		Type: func(core.Type) (core.Type, error) { return core.Of(core.Int64), nil },
		New:  func(core.Type, []any) (ops.Aggregator, error) { return sumOfSquares{}, nil }})
	if err != nil {
		panic(err)
	}
	f, _ := ops.ParseFunction("SUM_OF_SQUARES")
	return f
}()

func moreCalls() (calls []ops.Call) {
	for f := ops.VarPop; f <= ops.Collect; f++ {
		c := ops.Call{Function: f, Name: f.String()}
		switch f {
		case ops.ApproxQuantile, ops.Percentile:
			c.Parameters = []any{0.9}
		case ops.TopK:
			c.Parameters = []any{int64(3)}
		}
		calls = append(calls, c)
	}
	return append(calls, ops.Call{Function: squares, Name: "squares"})
}

func emitOne(t *testing.T, m mergeTable, account *memory.Account, calls []ops.Call, typ core.Type, slot uint32) (out []*core.Vector) {
	for _, c := range calls {
		r, err := c.Function.ResultType(typ)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, core.NewVector(account, r, 1))
	}
	if err := m.Emit(out, []uint32{slot}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMoreFunctions compares each function with the simplest loop over all values, where the rows came to one slot and to two that were merged.
func TestMoreFunctions(t *testing.T) {
	account := memory.NewPool(0).Account("op")
	typ := core.Of(core.Int64)
	input := core.NewSchema(core.Field{Name: "v", Type: typ})
	calls := moreCalls()
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 120 {
		m := newMergeTable(t, account, calls, input, 3)
		var values []int64
		var array []string
		for part := range uint32(2) {
			for range rng.IntN(4) {
				n := rng.IntN(1 << rng.IntN(10))
				v, slots := core.NewVector(account, typ, n), make([]uint32, n)
				for i := range n {
					x := rng.Int64N(1<<(1+round%30)) - 100
					if slots[i] = part; rng.IntN(2) == 0 {
						slots[i] = 2 // is not compared
					}
					if rng.IntN(4) == 0 {
						v.AppendNull()
					} else {
						v.AppendInt64(x)
					}
				}
				for i := range n { // part 0's rows come first
					if slots[i] != part {
						continue
					}
					array = append(array, testkit.Format(v, i))
					if !v.Null(i) {
						values = append(values, v.Int64s()[i])
					}
				}
				if err := m.Update([]*core.Vector{v}, ops.Rows{Slots: slots}); err != nil {
					t.Fatal(err)
				}
				v.Release()
			}
		}
		if err := m.Merge([]uint32{0}, m.Accumulators, []uint32{1}); err != nil {
			t.Fatal(err)
		}
		compareMore(t, emitOne(t, m, account, calls, typ, 0), values, array)
		m.Clear([]uint32{0})
		compareMore(t, emitOne(t, m, account, calls, typ, 0), nil, nil)
		m.Close()
	}
}

func compareMore(t *testing.T, out []*core.Vector, values []int64, array []string) {
	t.Helper()
	n := float64(len(values))
	mean, m2, total := 0.0, 0.0, int64(0)
	for _, x := range values {
		mean += float64(x) / n
		total += x * x
	}
	for _, x := range values {
		m2 += (float64(x) - mean) * (float64(x) - mean)
	}
	sorted := slices.Sorted(slices.Values(values))
	distinct := len(slices.Compact(slices.Clone(sorted)))
	at := func(q float64) float64 { return float64(sorted[int(q*(n-1))]) }
	close := func(f ops.Function, want, relative float64, present bool) {
		t.Helper()
		v := out[f-ops.VarPop]
		if v.Null(0) != !present {
			t.Fatalf("%v of %d: null is %v", f, len(values), v.Null(0))
		}
		if !present {
			return
		}
		got := 0.0
		if v.Type.Kind == core.Int64 {
			got = float64(v.Int64s()[0])
		} else {
			got = v.Float64s()[0]
		}
		if math.Abs(got-want) > relative*math.Abs(want)+1e-9 {
			t.Fatalf("%v of %d: %v, want %v", f, len(values), got, want)
		}
	}
	some := len(values) > 0
	close(ops.VarPop, m2/n, 1e-9, some)
	close(ops.StddevPop, math.Sqrt(m2/n), 1e-9, some)
	close(ops.VarSamp, m2/(n-1), 1e-9, n > 1)
	close(ops.StddevSamp, math.Sqrt(m2/(n-1)), 1e-9, n > 1)
	close(ops.CountDistinct, float64(distinct), 0, true)
	bound := 0.0
	if distinct > 256 {
		bound = 0.065 // four standard errors
	}
	close(ops.ApproxCountDistinct, float64(distinct), bound, true)
	if some {
		close(ops.ApproxQuantile, at(0.9), 0.01, true)
		exact := func(q float64) float64 {
			low := math.Floor(q * (n - 1))
			part := q*(n-1) - low
			return float64(sorted[int(low)])*(1-part) + float64(sorted[min(int(low)+1, len(sorted)-1)])*part
		}
		close(ops.Percentile, exact(0.9), 0, true)
		close(ops.Median, exact(0.5), 0, true)
	} else {
		close(ops.Median, 0, 0, false)
	}
	want := "null"
	if some {
		slices.Reverse(sorted)
		want = "[" + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(sorted[:min(3, len(sorted))])), ", "), "[]") + "]"
	}
	squash := func(s string) string { return strings.ReplaceAll(s, " ", "") }
	if got := testkit.Format(out[ops.TopK-ops.VarPop], 0); squash(got) != squash(want) {
		t.Fatalf("TOP_K: %s, want %s", got, want)
	}
	if want = "null"; len(array) > 0 {
		want = "[" + strings.Join(array, ",") + "]"
	}
	if got := testkit.Format(out[ops.ArrayAgg-ops.VarPop], 0); squash(got) != want {
		t.Fatalf("ARRAY_AGG: %s, want %s", got, want)
	}
	array = slices.DeleteFunc(array, func(s string) bool { return s == "null" })
	if want = "null"; len(array) > 0 {
		want = "[" + strings.Join(array, ",") + "]"
	}
	if got := testkit.Format(out[ops.Collect-ops.VarPop], 0); squash(got) != want {
		t.Fatalf("COLLECT: %s, want %s", got, want)
	}
	if v := out[len(out)-1]; v.Null(0) == some || some && v.Int64s()[0] != total {
		t.Fatalf("a program's function: %s, want %d", testkit.Format(v, 0), total)
	}
	for _, v := range out {
		v.Release()
	}
}

// naiveMore is naive for the functions of functions_test.go. Variances follow the order of rows, as the operator does.
func naiveMore(f ops.Function, v *core.Vector, rows []int) string {
	var all, present []string
	var places []int
	for _, i := range rows {
		if all = append(all, testkit.Format(v, i)); !v.Null(i) {
			present, places = append(present, testkit.Format(v, i)), append(places, i)
		}
	}
	list := func(values []string) string {
		if len(values) == 0 {
			return "null"
		}
		return "[" + strings.Join(values, ", ") + "]"
	}
	number := func(i int) float64 {
		switch v.Type.Kind {
		case core.Float32, core.Float64:
			return float(v, i)
		case core.Decimal:
			x, _ := new(big.Rat).SetFrac(v.Decimals()[i].BigInt(), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Type.Scale)), nil)).Float64()
			return x
		}
		return float64(integer(v, i))
	}
	switch f {
	case ops.CountDistinct, ops.ApproxCountDistinct:
		slices.SortFunc(present, strings.Compare)
		return fmt.Sprint(len(slices.Compact(present)))
	case ops.TopK:
		slices.SortStableFunc(places, func(a, b int) int { return compare(v, b, a) })
		var top []string
		for _, i := range places[:min(3, len(places))] {
			top = append(top, testkit.Format(v, i))
		}
		return list(top)
	case ops.ArrayAgg:
		return list(all)
	case ops.Collect:
		return list(present)
	case ops.StringAgg:
		if len(places) == 0 {
			return "null"
		}
		text := ""
		for n, i := range places {
			if n > 0 {
				text += "; "
			}
			text += v.StringAt(i)
		}
		return one(core.Of(core.String), func(v *core.Vector) { v.AppendString(text) })
	}
	n, mean, squares := 0.0, 0.0, 0.0
	for _, i := range places {
		n++
		x := number(i)
		next := mean + (x-mean)/n
		squares += (x - mean) * (x - next)
		mean = next
	}
	switch f {
	case ops.VarSamp, ops.StddevSamp:
		n--
	}
	if n <= 0 {
		return "null"
	}
	result := squares / n
	switch f {
	case ops.StddevPop, ops.StddevSamp:
		result = math.Sqrt(result)
	case ops.Median:
		slices.SortStableFunc(places, func(a, b int) int { return compare(v, a, b) })
		if result = number(places[len(places)/2]); len(places)%2 == 0 {
			if low := number(places[len(places)/2-1]); low != result {
				result = low*0.5 + result*0.5
			}
		}
	}
	return one(core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(result) })
}

// TestAggregateFunctions: running aggregates of each function and kind of type, over batch sizes, restores and rescaling.
func TestAggregateFunctions(t *testing.T) {
	types := []core.Type{core.Of(core.Int32), core.Of(core.Float64), core.Of(core.Float32).Required(), core.DecimalOf(12, 2), core.Of(core.String), core.Of(core.Bytes).Required(),
		core.Of(core.Boolean), core.Of(core.Timestamp), core.ArrayOf(core.Of(core.String)), core.MapOf(core.Of(core.String).Required(), core.Of(core.Int32))}
	for i, typ := range types {
		t.Run(typ.String(), func(t *testing.T) {
			t.Parallel()
			keys := [][]core.Type{{core.Of(core.Int64)}, nil}[i%2]
			c := newAggregateCase(keys, typ, 40, 5, uint64(100+i))
			c.config.Calls = c.config.Calls[:1]
			for f := ops.VarPop; f <= ops.StringAgg; f++ {
				call := ops.Call{Function: f, Argument: len(keys), Name: f.String()}
				switch f {
				case ops.ApproxQuantile, ops.Percentile:
					continue
				case ops.TopK:
					call.Parameters = []any{int64(3)}
				case ops.StringAgg:
					call.Parameters = []any{"; "}
				}
				if _, err := f.ResultType(typ); err == nil {
					c.config.Calls = append(c.config.Calls, call)
				}
			}
			c.config.EveryRow, c.config.Before = i%3 == 1, i%4 == 0
			c.run(t)
		})
	}
}

// TestCheckParameters refuses what no call may have.
func TestCheckParameters(t *testing.T) {
	for _, c := range []struct {
		f     ops.Function
		given []any
		want  string
	}{
		{ops.ApproxQuantile, nil, "q is missing"}, {ops.ApproxQuantile, []any{1.5}, "between 0 and 1"}, {ops.ApproxQuantile, []any{"a"}, "q is a number"},
		{ops.TopK, []any{int64(0)}, "between 1 and 10000"}, {ops.TopK, []any{1.5}, "an integer"}, {ops.Sum, []any{int64(1)}, "SUM takes (x)"},
		{ops.ApproxQuantile, []any{int64(1)}, ""}, {ops.StringAgg, nil, ""},
	} {
		if _, _, err := c.f.CheckParameters(c.given); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Error(c.f, c.given, err)
		}
	}
}

// TestEncodedTypes: COUNT(DISTINCT x), TOP_K and ARRAY_AGG take every type that their rules allow.
func TestEncodedTypes(t *testing.T) {
	for _, typ := range testkit.Types() {
		input := core.NewSchema(core.Field{Name: "v", Type: typ})
		for _, c := range moreCalls() {
			if c.Function == squares {
				continue
			}
			if _, err := c.Function.ResultType(typ); err != nil {
				continue
			}
			account := memory.NewPool(0).Account("op")
			m := newMergeTable(t, account, []ops.Call{c}, input, 1)
			v := testkit.RandomVector(rand.New(rand.NewPCG(1, 1)), account, typ, 40, 0.2, 30)
			slots := make([]uint32, 40)
			for range 2 { // the same values once more
				if err := m.Update([]*core.Vector{v}, ops.Rows{Slots: slots}); err != nil {
					t.Fatal(c.Function, typ, err)
				}
			}
			seen := map[string]bool{}
			for i := range v.Len() {
				if text := testkit.Format(v, i); !v.Null(i) {
					seen[text] = true
				}
			}
			out := emitOne(t, m, account, []ops.Call{c}, typ, 0)[0]
			if (c.Function == ops.CountDistinct || c.Function == ops.ApproxCountDistinct) && typ.Kind != core.Map {
				if got := out.Int64s()[0]; got != int64(len(seen)) && typ.Kind != core.Float32 && typ.Kind != core.Float64 {
					t.Error(c.Function, typ, got, len(seen))
				}
			}
			m.Close()
		}
	}
}
