package hash

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/memory"
)

func one(t testing.TB, typ core.Type, build func(v *core.Vector)) uint64 {
	p := memory.NewPool(0)
	v := core.NewVector(p.Account("test"), typ, 1)
	build(v)
	var out [1]uint64
	Columns([]*core.Vector{v}, 1, nil, out[:])
	v.Release()
	if err := p.CheckZero(); err != nil {
		t.Error(err)
	}
	return out[0]
}

var samples = []struct {
	name  string
	typ   core.Type
	build func(v *core.Vector)
}{
	{"bool", core.Of(core.Boolean), func(v *core.Vector) { v.AppendBool(true) }},
	{"int8", core.Of(core.Int8), func(v *core.Vector) { v.AppendInt8(-7) }},
	{"int16", core.Of(core.Int16), func(v *core.Vector) { v.AppendInt16(-7) }},
	{"int32", core.Of(core.Int32), func(v *core.Vector) { v.AppendInt32(-7) }},
	{"int64", core.Of(core.Int64), func(v *core.Vector) { v.AppendInt64(-7) }},
	{"zero", core.Of(core.Int64), func(v *core.Vector) { v.AppendInt64(0) }},
	{"float32", core.Of(core.Float32), func(v *core.Vector) { v.AppendFloat32(1.5) }},
	{"float64", core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(1.5) }},
	{"0.0", core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(0) }},
	{"-0.0", core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(math.Copysign(0, -1)) }},
	{"float32 -0.0", core.Of(core.Float32), func(v *core.Vector) { v.AppendFloat32(float32(math.Copysign(0, -1))) }},
	{"NaN", core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(math.NaN()) }},
	{"-NaN", core.Of(core.Float64), func(v *core.Vector) { v.AppendFloat64(math.Float64frombits(0xFFF8000000000077)) }},
	{"float32 NaN", core.Of(core.Float32), func(v *core.Vector) { v.AppendFloat32(float32(math.NaN())) }},
	{"decimal", core.DecimalOf(30, 2), func(v *core.Vector) { v.AppendDecimal(decimal128.New(3, 4)) }},
	{"string", core.Of(core.String), func(v *core.Vector) { v.AppendString("turbo") }},
	{"bytes", core.Of(core.Bytes), func(v *core.Vector) { v.AppendBytes([]byte("turbo")) }},
	{"empty", core.Of(core.String), func(v *core.Vector) { v.AppendString("") }},
	{"null", core.Of(core.Int64), func(v *core.Vector) { v.AppendNull() }},
	{"null string", core.Of(core.String), func(v *core.Vector) { v.AppendNull() }},
	{"null array", core.ArrayOf(core.Of(core.Int64)), func(v *core.Vector) { v.AppendNull() }},
	{"array", core.ArrayOf(core.Of(core.Int64)), func(v *core.Vector) {
		v.Child(0).AppendInt64(1)
		v.Child(0).AppendInt64(2)
		v.EndElement()
	}},
	{"map 1 2", core.MapOf(core.Of(core.Int64), core.Of(core.String)), func(v *core.Vector) {
		v.Child(0).AppendInt64(1)
		v.Child(1).AppendString("a")
		v.Child(0).AppendInt64(2)
		v.Child(1).AppendString("b")
		v.EndElement()
	}},
	{"map 2 1", core.MapOf(core.Of(core.Int64), core.Of(core.String)), func(v *core.Vector) {
		v.Child(0).AppendInt64(2)
		v.Child(1).AppendString("b")
		v.Child(0).AppendInt64(1)
		v.Child(1).AppendString("a")
		v.EndElement()
	}},
	{"row", core.RowOf(core.Field{Name: "a", Type: core.Of(core.Int64)}, core.Field{Name: "b", Type: core.Of(core.String)}), func(v *core.Vector) {
		v.Child(0).AppendInt64(1)
		v.Child(1).AppendString("a")
		v.EndElement()
	}},
}

// Invariant 1, and that what is different is different.
func TestEqualKeys(t *testing.T) {
	equal := map[string]string{"int8": "int64", "int16": "int64", "int32": "int64", "float32": "float64", "-0.0": "0.0", "float32 -0.0": "0.0",
		"-NaN": "NaN", "float32 NaN": "NaN", "bytes": "string", "null string": "null", "null array": "null", "map 2 1": "map 1 2",
	}
	seen := map[uint64]string{}
	for _, s := range samples {
		class := s.name
		if e := equal[class]; e != "" {
			class = e
		}
		h := one(t, s.typ, s.build)
		if other, ok := seen[h]; ok && other != class && !(other == "zero" && class == "0.0") {
			t.Errorf("%s and %s collide", s.name, other)
		}
		if e := equal[s.name]; e != "" {
			for _, o := range samples {
				if o.name == e && one(t, o.typ, o.build) != h {
					t.Errorf("%s and %s are equal keys with different hashes", s.name, e)
				}
			}
		}
		if _, ok := seen[h]; !ok {
			seen[h] = class
		}
	}
}

// Invariant 4. Never change these figures: they place the rows of existing checkpoints.
func TestGolden(t *testing.T) {
	got := ""
	for _, s := range samples {
		got += fmt.Sprintf("%s %016x\n", s.name, one(t, s.typ, s.build))
	}
	if got != golden {
		t.Errorf("the hash function changed:\n%s", got)
	}
	if Int64(-7) != one(t, core.Of(core.Int64), func(v *core.Vector) { v.AppendInt64(-7) }) ||
		String([]byte("turbo")) != one(t, core.Of(core.String), func(v *core.Vector) { v.AppendString("turbo") }) {
		t.Error("the scalar forms differ from the column form")
	}
}

// A selection, the position in a batch, and the other rows' nulls do not change a row's hash.
func TestContext(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := memory.NewPool(0)
	account := p.Account("test")
	for _, s := range samples {
		a, b := core.NewVector(account, s.typ, 0), core.NewVector(account, core.Of(core.Int16), 0)
		cut := core.NewVector(account, s.typ, 0)
		cutB := core.NewVector(account, core.Of(core.Int16), 0)
		const n = 40
		var sel []int32
		for i := range n {
			if rng.IntN(3) == 0 {
				a.AppendNull()
			} else {
				s.build(a)
			}
			b.AppendInt16(int16(i % 3))
			if rng.IntN(2) == 0 {
				sel = append(sel, int32(i))
			}
		}
		cut.AppendSelected(a, sel)
		cutB.AppendSelected(b, sel)
		whole, selected, dense := make([]uint64, n), make([]uint64, n), make([]uint64, len(sel))
		for _, keys := range [][2][]*core.Vector{{{a}, {cut}}, {{a, b}, {cut, cutB}}, {{b, a}, {cutB, cut}}} {
			Columns(keys[0], n, nil, whole)
			Columns(keys[0], n, sel, selected)
			Columns(keys[1], len(sel), nil, dense)
			for k, i := range sel {
				if whole[i] != selected[i] || whole[i] != dense[k] {
					t.Fatalf("%s row %d: %x whole, %x selected, %x cut out", s.name, i, whole[i], selected[i], dense[k])
				}
			}
		}
		for _, v := range []*core.Vector{a, b, cut, cutB} {
			v.Release()
		}
	}
	if err := p.CheckZero(); err != nil {
		t.Error(err)
	}
}

// Sequential, strided and float keys spread evenly over key groups (high bits) and over table buckets (low bits).
func TestSpread(t *testing.T) {
	const n, groups = 1 << 16, 128
	for name, key := range map[string]func(i int) uint64{
		"sequence": func(i int) uint64 { return Int64(int64(i)) },
		"stride":   func(i int) uint64 { return Int64(int64(i) << 20) },
		"high":     func(i int) uint64 { return Int64(int64(i) << 48) },
		"floats":   func(i int) uint64 { return Mix(floatWord(float64(i)) ^ seed) },
		"strings":  func(i int) uint64 { return String(fmt.Appendf(nil, "key-%d", i)) },
		"pairs":    func(i int) uint64 { return Mix(uint64(i&255) ^ Int64(int64(i>>8))) },
	} {
		var high, low [groups]int
		ones := 0
		for i := range n {
			h := key(i)
			high[core.KeyGroup(h, groups)]++
			low[h%groups]++
			ones += bits.OnesCount64(h ^ key(i+1))
		}
		for which, counts := range map[string][groups]int{"high": high, "low": low} {
			var chi float64
			for _, c := range counts {
				d := float64(c) - n/groups
				chi += d * d / (n / groups)
			}
			if chi < 60 || chi > 220 { // 127 degrees of freedom: mean 127, deviation 16
				t.Errorf("%s, %s bits: chi square %.0f", name, which, chi)
			}
		}
		if mean := float64(ones) / n; mean < 31 || mean > 33 {
			t.Errorf("%s: neighbours differ in %.2f bits, want 32", name, mean)
		}
	}
}

func BenchmarkColumns(b *testing.B) {
	p := memory.NewPool(0)
	const n = 4096
	ints := core.NewVector(p.Account("a"), core.Of(core.Int64), n)
	nulls := core.NewVector(p.Account("a"), core.Of(core.Int64), n)
	strings := core.NewVector(p.Account("a"), core.Of(core.String), n)
	for i := range n {
		ints.AppendInt64(int64(i))
		nulls.AppendInt64(int64(i))
		if i%7 == 0 {
			nulls.SetNull(i)
		}
		strings.AppendString(fmt.Sprintf("key-%06d", i))
	}
	out := make([]uint64, n)
	for _, c := range []struct {
		name string
		keys []*core.Vector
	}{{"int64", []*core.Vector{ints}}, {"nulls", []*core.Vector{nulls}}, {"two", []*core.Vector{ints, ints}}, {"string", []*core.Vector{strings}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Columns(c.keys, n, nil, out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}

const golden = `bool 087164d5c9e6ae5e
int8 4b6037691ae2f95e
int16 4b6037691ae2f95e
int32 4b6037691ae2f95e
int64 4b6037691ae2f95e
zero b70fb2cc55af013f
float32 65bdc224790703db
float64 65bdc224790703db
0.0 b70fb2cc55af013f
-0.0 b70fb2cc55af013f
float32 -0.0 b70fb2cc55af013f
NaN 94978ec59d43e8b0
-NaN 94978ec59d43e8b0
float32 NaN 94978ec59d43e8b0
decimal 8c56419a5e61201d
string bbc7da821e4fcd2d
bytes bbc7da821e4fcd2d
empty c3da56b4cbd5afd1
null 8307ccde02ac7ea4
null string 8307ccde02ac7ea4
null array 8307ccde02ac7ea4
array e811e181c844a2d0
map 1 2 8995d102a53dd89f
map 2 1 8995d102a53dd89f
row 118a031afabe0631
`
