package shuffle

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/memory"
)

// newPool returns a pool that must be back at zero when the test ends.
func newPool(t testing.TB) *memory.Pool {
	p := memory.NewPool(0)
	t.Cleanup(func() {
		if err := p.CheckZero(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func sleepless() *Waker { return NewWaker(func() {}) }

// wide has a column of every type.
func wide() *core.Schema {
	var fields []core.Field
	for k := core.Boolean; k <= core.IntervalMonth; k++ {
		fields = append(fields, core.Field{Name: k.String(), Type: core.Of(k)})
	}
	for _, t := range []core.Type{
		core.ArrayOf(core.Of(core.String)), core.ArrayOf(core.ArrayOf(core.Of(core.Int16))),
		core.MapOf(core.Of(core.String).Required(), core.Of(core.Float64)),
		core.RowOf(core.Field{Name: "x", Type: core.Of(core.Int64)}, core.Field{Name: "y", Type: core.ArrayOf(core.Of(core.Int8))}),
	} {
		fields = append(fields, core.Field{Name: t.String(), Type: t})
	}
	return core.NewSchema(fields...)
}

// appendRandom appends a random value, null with the given probability in percent.
func appendRandom(rng *rand.Rand, v *core.Vector, nulls int) {
	if !v.Type.NotNull && rng.IntN(100) < nulls {
		v.AppendNull()
		return
	}
	small := rng.Int64N(20) - 10
	switch k := v.Type.Kind; k {
	case core.Boolean:
		v.AppendBool(small&1 == 1)
	case core.Int8:
		v.AppendInt8(int8(small))
	case core.Int16:
		v.AppendInt16(int16(small))
	case core.Int32, core.Date, core.IntervalMonth:
		v.AppendInt32(int32(small))
	case core.Int64, core.TimeOfDay, core.Timestamp, core.TimestampLTZ, core.IntervalDay:
		v.AppendInt64(small)
	case core.Float32:
		v.AppendFloat32(float32(small) / 4)
	case core.Float64:
		v.AppendFloat64([]float64{float64(small) / 4, math.Copysign(0, -1), math.NaN()}[rng.IntN(3)])
	case core.Decimal:
		v.AppendDecimal(decimal128.New(small, uint64(small)))
	case core.String, core.Bytes:
		v.AppendString(strings.Repeat("ab", rng.IntN(4)) + fmt.Sprint(small))
	case core.Array:
		for range rng.IntN(4) {
			appendRandom(rng, v.Child(0), nulls)
		}
		v.EndElement()
	case core.Map:
		for range rng.IntN(3) {
			appendRandom(rng, v.Child(0), 0)
			appendRandom(rng, v.Child(1), nulls)
		}
		v.EndElement()
	case core.Row:
		for c := range v.Type.Elements {
			appendRandom(rng, v.Child(c), nulls)
		}
		v.EndElement()
	default:
		panic(k)
	}
}

// render writes the value of a row as text.
func render(v *core.Vector, i int) string {
	if v.Null(i) {
		return "null"
	}
	nested := func(from, to int) string {
		var out []string
		for j := from; j < to; j++ {
			var parts []string
			for c := range v.Type.Elements {
				parts = append(parts, render(v.Child(c), j))
			}
			out = append(out, strings.Join(parts, "="))
		}
		return "[" + strings.Join(out, " ") + "]"
	}
	switch k := v.Type.Kind; k {
	case core.Array, core.Map:
		o := v.Offsets()
		return nested(int(o[i]), int(o[i+1]))
	case core.Row:
		return nested(i, i+1)
	case core.String, core.Bytes:
		return fmt.Sprintf("%q", v.BytesAt(i))
	default:
		w := k.Width()
		return fmt.Sprintf("%x", v.Data()[i*w:i*w+w])
	}
}

// renderRow writes a physical row of a batch, its kind included.
func renderRow(b *core.Batch, i int) string {
	parts := []string{b.Kind(i).String()}
	for _, c := range b.Columns {
		parts = append(parts, render(c, i))
	}
	return strings.Join(parts, " ")
}

// randomBatch returns n random rows, perhaps with a selection and with row kinds.
func randomBatch(rng *rand.Rand, account *memory.Account, schema *core.Schema, n int) *core.Batch {
	b := core.NewBatch(account, schema)
	for _, f := range schema.Fields {
		v := core.NewVector(account, f.Type, rng.IntN(2)*n)
		nulls := []int{0, 20, 90}[rng.IntN(3)]
		for range n {
			appendRandom(rng, v, nulls)
		}
		b.Columns = append(b.Columns, v)
	}
	b.Len = n
	switch rng.IntN(3) {
	case 1:
		b.Sel = b.SelBuffer(n)[:0]
		for i := range n {
			if rng.IntN(3) > 0 {
				b.Sel = append(b.Sel, int32(i))
			}
		}
	case 2:
		if rng.IntN(4) == 0 {
			b.Sel = b.SelBuffer(0)
		}
	}
	if rng.IntN(2) == 0 {
		for i := range b.MakeKinds(n) {
			b.Kinds[i] = core.RowKind(rng.IntN(4))
		}
	}
	return b
}

// ints returns a batch of one BIGINT column.
func ints(account *memory.Account, schema *core.Schema, values ...int64) *core.Batch {
	b := core.NewBatch(account, schema)
	v := core.NewVector(account, core.Of(core.Int64), len(values))
	for _, x := range values {
		v.AppendInt64(x)
	}
	b.Columns = append(b.Columns, v)
	b.Len = len(values)
	return b
}

var oneInt = core.NewSchema(core.Field{Name: "a", Type: core.Of(core.Int64)})

// drain pops everything from a channel: batches as the lists of their first column, control as its kind's name.
func drain(c *Channel) []string {
	var out []string
	for {
		m, ok := c.pop()
		if !ok {
			return out
		}
		switch m.Kind {
		case core.DataMessage:
			var values []int64
			for i := range m.Batch.Rows() {
				values = append(values, m.Batch.Columns[0].Int64s()[m.Batch.Row(i)])
			}
			out = append(out, fmt.Sprint(values))
			m.Batch.Release()
			if m.Flags&core.Riding != 0 {
				out = append(out, fmt.Sprintf("R%d", m.Time))
			}
		case core.WatermarkMessage:
			out = append(out, fmt.Sprintf("W%d", m.Time))
		case core.BarrierMessage:
			out = append(out, fmt.Sprintf("B%d", m.Checkpoint))
		case core.EndMessage:
			out = append(out, "end")
		}
	}
}
