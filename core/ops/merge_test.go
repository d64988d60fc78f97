package ops_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
)

// mergeCalls are all functions that take the type, which is of column 0.
func mergeCalls(argument core.Type) []ops.Call {
	calls := []ops.Call{{Function: ops.Count, Argument: -1, Name: "rows"}}
	for f := ops.Count; f <= ops.LastValue; f++ {
		if _, err := f.ResultType(argument); err == nil {
			calls = append(calls, ops.Call{Function: f, Argument: 0, Name: f.String()})
		}
	}
	return calls
}

type mergeTable struct {
	*state.Table
	*ops.Accumulators
}

func newMergeTable(t *testing.T, account *memory.Account, calls []ops.Call, input *core.Schema, n int) mergeTable {
	values := append([]core.Field{{Name: "before", Type: core.Of(core.String)}}, ops.StateFields(calls, input)...)
	table, err := state.New(state.Options{Operator: "op", Table: "t", Values: values, Account: account, KeyGroups: 1, To: 1, Bag: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Insert([]int32{0}, n, make([]uint32, n)); err != nil {
		t.Fatal(err)
	}
	a, err := ops.NewAccumulators(calls, input, table, 1)
	if err != nil {
		t.Fatal(err)
	}
	return mergeTable{table, a}
}

// results renders the aggregates of slot.
func (m mergeTable) results(t *testing.T, account *memory.Account, calls []ops.Call, argument core.Type, slot uint32) string {
	var out []*core.Vector
	for _, c := range calls {
		r := core.Of(core.Int64).Required()
		if c.Argument >= 0 {
			r, _ = c.Function.ResultType(argument)
		}
		v := core.NewVector(account, r, 1)
		defer v.Release()
		out = append(out, v)
	}
	if err := m.Emit(out, []uint32{slot}); err != nil {
		t.Fatal(err)
	}
	return testkit.FormatRow(out, 0)
}

// TestMerge cuts random rows into runs, each into a slot of its own in either of two tables, merges the slots in order, and compares with the rows
// in one slot. Float values are such that sums are exact.
func TestMerge(t *testing.T) {
	for _, typ := range testkit.Types() {
		for _, required := range []bool{false, true} {
			t.Run(fmt.Sprint(typ, required), func(t *testing.T) {
				account := memory.NewPool(0)
				defer func() {
					if err := account.CheckZero(); err != nil {
						t.Error(err)
					}
				}()
				testMerge(t, account.Account("op"), typ, required)
			})
		}
	}
}

func testMerge(t *testing.T, account *memory.Account, typ core.Type, required bool) {
	rng := rand.New(rand.NewPCG(3, uint64(typ.Kind)))
	nulls := 0.3
	if typ.NotNull = required; required {
		nulls = 0
	}
	input := core.NewSchema(core.Field{Name: "v", Type: typ})
	calls := mergeCalls(typ)
	const parts = 5
	one := newMergeTable(t, account, calls, input, 1)
	two := [2]mergeTable{newMergeTable(t, account, calls, input, parts+1), newMergeTable(t, account, calls, input, parts+1)}
	defer one.Close()
	defer two[0].Close()
	defer two[1].Close()
	for round := range 40 {
		one.Clear([]uint32{0})
		for _, m := range two {
			for s := range uint32(parts + 1) {
				m.Clear([]uint32{s})
			}
		}
		target := two[0]
		for s := range uint32(parts) {
			n := rng.IntN(4)
			v := core.NewVector(account, typ, n)
			for range n {
				switch {
				case rng.Float64() < nulls:
					v.AppendNull()
				case typ.Kind == core.Float32:
					v.AppendFloat32(float32(rng.IntN(9) - 4))
				case typ.Kind == core.Float64:
					v.AppendFloat64(float64(rng.IntN(9) - 4))
				case typ.Kind == core.Decimal:
					v.AppendDecimal(decimal128.FromI64(rng.Int64N(1000) - 500))
				case typ.Kind == core.Int64:
					v.AppendInt64(rng.Int64() >> 8)
				default:
					testkit.AppendRandom(rng, v, 6)
				}
			}
			from := two[rng.IntN(2)]
			columns := []*core.Vector{v}
			// The rows of the part, with a selection or without, one slot for all.
			rows := ops.Rows{Slots: slices.Repeat([]uint32{s + 1}, n)}
			if rng.IntN(2) == 0 {
				rows.Sel = make([]int32, n)
				for i := range rows.Sel {
					rows.Sel[i] = int32(i)
				}
			}
			err := from.Update(columns, rows)
			if err == nil {
				err = one.Update(columns, ops.Rows{Slots: make([]uint32, n), Distinct: []uint32{0}[:min(n, 1)]})
			}
			if err == nil {
				err = target.Merge([]uint32{0}, from.Accumulators, []uint32{s + 1})
			}
			if err != nil {
				t.Fatal(err)
			}
			v.Release()
		}
		want, got := one.results(t, account, calls, typ, 0), target.results(t, account, calls, typ, 0)
		if got != want {
			t.Fatalf("round %d: merged %s, in one %s", round, got, want)
		}
	}
}

func TestMergeOverflow(t *testing.T) {
	account := memory.NewPool(0).Account("op")
	input := core.NewSchema(core.Field{Name: "v", Type: core.Of(core.Int64)})
	calls := []ops.Call{{Function: ops.Sum, Argument: 0, Name: "s"}}
	m := newMergeTable(t, account, calls, input, 2)
	defer m.Close()
	v := core.NewVector(account, core.Of(core.Int64), 1)
	v.AppendInt64(1 << 62)
	if err := m.Update([]*core.Vector{v}, ops.Rows{Slots: []uint32{0}}); err != nil {
		t.Fatal(err)
	}
	if err := m.Merge([]uint32{1, 1}, m.Accumulators, []uint32{0, 0}); err == nil {
		t.Fatal("2^63 was taken for a BIGINT")
	}
	v.Release()
}

// TestRunning adds and retracts states at random and compares with the merge of those that are in.
func TestRunning(t *testing.T) {
	for _, typ := range []core.Type{core.Of(core.Int8), core.Of(core.Int64), core.Of(core.Int64).Required(), core.DecimalOf(12, 2), core.DecimalOf(12, 2).Required()} {
		pool := memory.NewPool(0)
		account := pool.Account("op")
		input := core.NewSchema(core.Field{Name: "v", Type: typ})
		calls := []ops.Call{{Function: ops.Count, Argument: -1, Name: "n"}, {Function: ops.Count, Argument: 0, Name: "c"}, {Function: ops.Sum, Argument: 0, Name: "s"},
			{Function: ops.Avg, Argument: 0, Name: "a"}, {Function: ops.Sum, Argument: 0, Name: "s2"}}
		if !ops.Retracts(calls, input) || ops.Retracts(append(calls, ops.Call{Function: ops.Min}), input) {
			t.Fatal("what can be taken back is not known")
		}
		const states = 6
		parts := newMergeTable(t, account, calls, input, states+1)
		table, err := state.New(state.Options{Operator: "op", Table: "r", Values: ops.RunningFields(calls, input), Account: account, KeyGroups: 1, To: 1, Bag: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := table.Insert([]int32{0}, 1, make([]uint32, 1)); err != nil {
			t.Fatal(err)
		}
		running, err := ops.NewRunning(calls, input, table, 0)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(9, 9))
		var valued [states]bool
		for s := range uint32(states) {
			v := core.NewVector(account, typ, 3)
			for range rng.IntN(3) {
				switch {
				case !typ.NotNull && (s%2 == 0 || rng.IntN(2) == 0):
					v.AppendNull()
				case typ.Kind == core.Int8:
					v.AppendInt8(int8(rng.IntN(200) - 100))
				case typ.Kind == core.Int64:
					v.AppendInt64(rng.Int64() >> 8 * (1 - 2*int64(s%2)))
				default:
					v.AppendDecimal(decimal128.FromI64(rng.Int64N(1000) - 500))
				}
			}
			valued[s] = v.NullCount() < v.Len()
			if err := parts.Update([]*core.Vector{v}, ops.Rows{Slots: slices.Repeat([]uint32{s}, v.Len())}); err != nil {
				t.Fatal(err)
			}
			v.Release()
		}
		in := map[uint32]bool{}
		result := mergeTable{table, running.Accumulators}
		for range 200 {
			s := []uint32{rng.Uint32N(states)}
			nulls := !typ.NotNull && !valued[s[0]] || rng.IntN(2) == 0
			if in[s[0]] {
				err = running.Retract([]uint32{0}, parts.Accumulators, s, nulls)
			} else {
				err = running.Add([]uint32{0}, parts.Accumulators, s, nulls)
			}
			in[s[0]] = !in[s[0]]
			if rng.IntN(20) == 0 {
				clear(in)
				running.Clear([]uint32{0})
			}
			parts.Clear([]uint32{states})
			some := false
			for s, is := range in {
				if some = some || is; is && err == nil {
					err = parts.Merge([]uint32{states}, parts.Accumulators, []uint32{s})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, want := result.results(t, account, calls, typ, 0), parts.results(t, account, calls, typ, states); got != want {
				t.Fatalf("%v: running %s, merged %s", typ, got, want)
			}
		}
		table.Close()
		parts.Close()
		if err := pool.CheckZero(); err != nil {
			t.Error(err)
		}
	}
}
