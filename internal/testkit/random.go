package testkit

import (
	"math"
	"math/rand/v2"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/memory"
)

// Types returns one type of every kind, nested ones included.
func Types() []core.Type {
	var out []core.Type
	for k := core.Boolean; k < core.Array; k++ {
		switch k {
		case core.Decimal:
			out = append(out, core.DecimalOf(20, 3))
		default:
			out = append(out, core.Of(k))
		}
	}
	row := core.RowOf(core.Field{Name: "a", Type: core.Of(core.Int32)}, core.Field{Name: "b", Type: core.Of(core.String)})
	return append(out, core.ArrayOf(core.Of(core.Float64)), core.MapOf(core.Of(core.String).Required(), core.Of(core.Int16)), row,
		core.ArrayOf(row))
}

// AppendRandom appends a random value of v's type that is not null at the top; about `domain` different ones occur.
func AppendRandom(rng *rand.Rand, v *core.Vector, domain int) {
	x := rng.IntN(domain)
	switch v.Type.Kind {
	case core.Boolean:
		v.AppendBool(x%2 == 1)
	case core.Int8:
		v.AppendInt8(int8(x))
	case core.Int16:
		v.AppendInt16(int16(x * 37))
	case core.Int32, core.IntervalMonth:
		v.AppendInt32(int32(x*7919 - 5000))
	case core.Date:
		v.AppendInt32(int32(x))
	case core.Float32:
		v.AppendFloat32(float32(randomFloat(x)))
	case core.Float64:
		v.AppendFloat64(randomFloat(x))
	case core.Decimal:
		v.AppendDecimal(decimal128.FromI64(int64(x)*1_000_003 - 77))
	case core.String, core.Bytes:
		v.AppendString(randomString(x))
	case core.Array, core.Map:
		n := x % 4
		for i := range n {
			if v.Type.Kind == core.Map {
				v.Child(0).AppendString(string(rune('a' + (i+x)%5 + 5*i)))
				appendNullable(rng, v.Child(1), x)
				continue
			}
			appendNullable(rng, v.Child(0), x)
		}
		v.EndElement()
	case core.Row:
		for i := range v.Type.Elements {
			appendNullable(rng, v.Child(i), x)
		}
		v.EndElement()
	default:
		v.AppendInt64(int64(x)*1_000_003 - 1000)
	}
}

// appendNullable appends a value that follows from x and is sometimes null.
func appendNullable(rng *rand.Rand, v *core.Vector, x int) {
	if x%5 == 3 {
		v.AppendNull()
		return
	}
	AppendRandom(rng, v, x%3+1)
}

func randomFloat(x int) float64 {
	switch x % 8 {
	case 0:
		return 0
	case 1:
		return math.Copysign(0, -1)
	case 2:
		return math.NaN()
	case 3:
		return math.Inf(1)
	}
	return float64(x)*1.25 - 7
}

func randomString(x int) string {
	const letters = "turbo streams of rows "
	n := x % 23
	if x%50 == 49 {
		n = 300
	}
	b := make([]byte, 0, n+2)
	for len(b) < n {
		b = append(b, letters[(len(b)*x+x)%len(letters)])
	}
	if x >= 23 {
		b = append(b, byte('0'+x/23%10), byte('0'+x/230%10))
	}
	return string(b)
}

// RandomVector returns n random values; nulls is the share of nulls.
func RandomVector(rng *rand.Rand, account *memory.Account, t core.Type, n int, nulls float64, domain int) *core.Vector {
	v := core.NewVector(account, t, n)
	for range n {
		if !t.NotNull && rng.Float64() < nulls {
			v.AppendNull()
		} else {
			AppendRandom(rng, v, domain)
		}
	}
	return v
}

// RandomSelection returns an ascending selection of about the share of n rows, or nil for all when share is 1 or more.
func RandomSelection(rng *rand.Rand, n int, share float64) []int32 {
	if share >= 1 {
		return nil
	}
	sel := make([]int32, 0, n)
	for i := range n {
		if rng.Float64() < share {
			sel = append(sel, int32(i))
		}
	}
	return sel
}
