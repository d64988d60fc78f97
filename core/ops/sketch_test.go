package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/ops"
	"turbo/memory"
)

// sketch runs one call over parts of a column, each in a slot of its own; merged then has all of them, and slot 0 those that came to it alone.
type sketch struct {
	mergeTable
	t       *testing.T
	account *memory.Account
	call    ops.Call
	typ     core.Type
}

func newSketch(t *testing.T, typ core.Type, call ops.Call) *sketch {
	account := memory.NewPool(0).Account("op")
	call.Name = "x"
	s := &sketch{newMergeTable(t, account, []ops.Call{call}, core.NewSchema(core.Field{Name: "v", Type: typ}), 8), t, account, call, typ}
	t.Cleanup(s.Close)
	return s
}

// Close frees the table.
func (s *sketch) Close() { s.Table.Close() }

func (s *sketch) add(slot uint32, values []float64) {
	s.t.Helper()
	for list := range slices.Chunk(values, 4096) {
		v := core.NewVector(s.account, s.typ, len(list))
		for _, x := range list {
			switch s.typ.Kind {
			case core.Int64:
				v.AppendInt64(int64(x))
			case core.String:
				v.AppendString(strings.Repeat("x", int(x)%200) + fmt.Sprint(x))
			default:
				v.AppendFloat64(x)
			}
		}
		if err := s.Update([]*core.Vector{v}, ops.Rows{Slots: slices.Repeat([]uint32{slot}, len(list))}); err != nil {
			s.t.Fatal(err)
		}
		v.Release()
	}
}

func (s *sketch) result(slot uint32) float64 {
	s.t.Helper()
	v := emitOne(s.t, s.mergeTable, s.account, []ops.Call{s.call}, s.typ, slot)[0]
	defer v.Release()
	if v.Null(0) {
		s.t.Fatal("null")
	}
	if v.Type.Kind == core.Int64 {
		return float64(v.Int64s()[0])
	}
	return v.Float64s()[0]
}

// TestHyperLogLogError: the error over some seeds is about the standard error that the reference gives, 1.04 / sqrt(4096) = 1.6 %, and merged sketches of parts that overlap are
// the sketch of all.
func TestHyperLogLogError(t *testing.T) {
	for _, n := range []int{200, 1000, 20_000, 200_000} {
		sum, seeds := 0.0, 12
		for seed := range uint64(seeds) {
			s := newSketch(t, core.Of(core.Int64), ops.Call{Function: ops.ApproxCountDistinct})
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			values := make([]float64, n)
			for i := range values {
				values[i] = float64(i)*4 + float64(rng.IntN(4)) + float64(seed<<40)
			}
			s.add(0, values)
			s.add(1, values[:2*n/3])
			s.add(2, values[n/3:])
			if err := s.Merge([]uint32{1}, s.Accumulators, []uint32{2}); err != nil {
				t.Fatal(err)
			}
			got := s.result(0)
			if merged := s.result(1); merged != got {
				t.Fatalf("%d values: %v merged, %v in one", n, merged, got)
			}
			e := got/float64(n) - 1
			if math.Abs(e) > 4.5*0.01625 || n <= 256 && e != 0 {
				t.Errorf("%d values, seed %d: %v", n, seed, got)
			}
			sum += e * e
		}
		if rms := math.Sqrt(sum / float64(seeds)); rms > 0.024 {
			t.Errorf("%d values: the error is %.4f", n, rms)
		} else {
			t.Logf("%d values: the error is %.4f", n, rms)
		}
	}
}

// TestDistinctGrows: sets of many values, of some width or none, that came to one state and to two that overlap.
func TestDistinctGrows(t *testing.T) {
	for _, typ := range []core.Type{core.Of(core.Int64), core.Of(core.String), core.Of(core.Float64)} {
		for _, n := range []int{1, 3, 4, 100, 30_000} {
			s := newSketch(t, typ, ops.Call{Function: ops.CountDistinct})
			var values []float64
			for i := range n {
				values = append(values, float64(i*7919%n))
			}
			for range 2 {
				s.add(0, values)
			}
			s.add(1, values[:(2*n+2)/3])
			s.add(2, values[n/3:])
			for range 2 {
				if err := s.Merge([]uint32{1, 3}, s.Accumulators, []uint32{2, 1}); err != nil {
					t.Fatal(err)
				}
			}
			for _, slot := range []uint32{0, 1, 3} {
				if got := s.result(slot); got != float64(n) {
					t.Errorf("%v: %v in slot %d, want %d", typ, got, slot, n)
				}
			}
		}
	}
}

// TestQuantileError: the sketch is within 1 % of the exact value at the rank, for distributions that span decades, are negative, or have few values; merged parts are the sketch of all.
func TestQuantileError(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for name, draw := range map[string]func() float64{
		"uniform":   rng.Float64,
		"lognormal": func() float64 { return math.Exp(4 * rng.NormFloat64()) },
		"normal":    func() float64 { return 1000 * rng.NormFloat64() },
		"negative":  func() float64 { return -math.Exp(rng.NormFloat64()) },
		"constant":  func() float64 { return 42 },
		"few":       func() float64 { return float64(rng.IntN(3) - 1) },
		"tiny":      func() float64 { return rng.Float64() * 1e-300 },
		"huge":      func() float64 { return rng.Float64() * math.MaxFloat64 },
		"infinite":  func() float64 { return []float64{math.Inf(-1), -1, 1, math.Inf(1)}[rng.IntN(4)] },
	} {
		values := make([]float64, 5000)
		for i := range values {
			values[i] = draw()
		}
		sorted := slices.Sorted(slices.Values(values))
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.999, 1} {
			s := newSketch(t, core.Of(core.Float64), ops.Call{Function: ops.ApproxQuantile, Parameters: []any{q}})
			s.add(0, values)
			for part := range 5 {
				s.add(uint32(1+part), values[part*1000:][:1000])
			}
			for part := range 4 {
				if err := s.Merge([]uint32{1}, s.Accumulators, []uint32{uint32(2 + part)}); err != nil {
					t.Fatal(err)
				}
			}
			got, want := s.result(0), sorted[int(q*float64(len(sorted)-1))]
			if got != want && math.Abs(got-want) > 0.01*math.Abs(want) {
				t.Errorf("%s, %v: %v, want %v", name, q, got, want)
			}
			if merged := s.result(1); merged != got {
				t.Errorf("%s, %v: %v merged, %v in one", name, q, merged, got)
			}
		}
	}
}

// TestVarianceIsStable: a mean that is a billion times the deviation does not spoil the result, also not merged.
func TestVarianceIsStable(t *testing.T) {
	for _, mean := range []float64{0, 1e6, 1e9, 1e12} {
		s := newSketch(t, core.Of(core.Float64), ops.Call{Function: ops.VarPop})
		var values []float64
		for i := range 30_000 {
			values = append(values, mean+float64(i%3-1)) // the variance is 2/3
		}
		s.add(0, values)
		for part := range 3 {
			s.add(uint32(1+part), values[part*10_000:][:10_000])
		}
		for part := range 2 {
			if err := s.Merge([]uint32{1}, s.Accumulators, []uint32{uint32(2 + part)}); err != nil {
				t.Fatal(err)
			}
		}
		for slot := range uint32(2) {
			if got := s.result(slot); math.Abs(got-2.0/3) > 1e-3 {
				t.Error(fmt.Sprintf("mean %g, slot %d:", mean, slot), got)
			}
		}
	}
}
