package core

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"turbo/memory"
)

// modelValue is the oracle's value of one row: nil, an int64, a string, or a []any of a nested kind.
func modelValue(v *Vector, i int) any {
	if v.Null(i) {
		return nil
	}
	switch v.Type.Kind {
	case Boolean, Int8:
		return int64(int8(v.data[i]))
	case Int16:
		return int64(v.Int16s()[i])
	case Int32, Date, IntervalMonth:
		return int64(v.Int32s()[i])
	case Float32:
		return v.Float32s()[i]
	case Float64:
		return v.Float64s()[i]
	case Decimal:
		return v.Decimals()[i]
	case String, Bytes:
		return string(v.BytesAt(i))
	case Array, Map:
		o := v.Offsets()
		out := []any{}
		for e := o[i]; e < o[i+1]; e++ {
			for _, c := range v.children {
				out = append(out, modelValue(c, int(e)))
			}
		}
		return out
	case Row:
		out := []any{}
		for _, c := range v.children {
			out = append(out, modelValue(c, i))
		}
		return out
	}
	return v.Int64s()[i]
}

func appendRandom(r *rand.Rand, v *Vector) {
	if !v.Type.NotNull && r.IntN(4) == 0 {
		v.AppendNull()
		return
	}
	switch v.Type.Kind {
	case Boolean:
		v.AppendBool(r.IntN(2) == 0)
	case Int8:
		v.AppendInt8(int8(r.Int()))
	case Int16:
		v.AppendInt16(int16(r.Int()))
	case Int32, Date, IntervalMonth:
		v.AppendInt32(int32(r.Int()))
	case Float32:
		v.AppendFloat32(r.Float32())
	case Float64:
		v.AppendFloat64(r.Float64())
	case Decimal:
		appendFixed(v, [2]uint64{r.Uint64(), r.Uint64()})
	case String, Bytes:
		v.AppendString(fmt.Sprint(r.Uint64() >> r.IntN(60)))
	case Array, Map:
		for range r.IntN(4) {
			for _, c := range v.children {
				appendRandom(r, c)
			}
		}
		v.EndElement()
	case Row:
		for _, c := range v.children {
			appendRandom(r, c)
		}
		v.EndElement()
	default:
		v.AppendInt64(r.Int64())
	}
}

var testTypes = []Type{
	Of(Boolean), Of(Int8), Of(Int16), Of(Int32), Of(Int64), Of(Float32), Of(Float64), DecimalOf(20, 3), Of(String), Of(Bytes), Of(Date),
	Of(TimeOfDay), Of(Timestamp), Of(TimestampLTZ), Of(IntervalDay), Of(IntervalMonth), Of(Int64).Required(),
	ArrayOf(Of(String)), MapOf(Of(String).Required(), ArrayOf(Of(Int32))), RowOf(Field{"a", Of(Int64)}, Field{"b", ArrayOf(Of(Bytes))}),
}

// TestVectorAgainstModel applies random operations to a vector and to a slice of plain values.
func TestVectorAgainstModel(t *testing.T) {
	for _, typ := range testTypes {
		for seed := range uint64(20) {
			pool := memory.NewPool(64 << 20)
			account := pool.Account("test")
			r := rand.New(rand.NewPCG(seed, 1))
			src := NewVector(account, typ, 4)
			var srcModel []any
			for range r.IntN(200) {
				appendRandom(r, src)
				srcModel = append(srcModel, modelValue(src, src.Len()-1))
			}
			v := NewVector(account, typ, 0)
			var model []any
			for step := range 60 {
				switch op := r.IntN(6); {
				case op == 0:
					appendRandom(r, v)
					model = append(model, modelValue(v, v.Len()-1))
				case op == 1 && !typ.NotNull:
					v.AppendNull()
					model = append(model, nil)
				case op == 2 && len(srcModel) > 0:
					i := r.IntN(len(srcModel))
					v.AppendRow(src, i)
					model = append(model, srcModel[i])
				case op == 3 && len(srcModel) > 0:
					from := r.IntN(len(srcModel))
					n := r.IntN(len(srcModel) - from + 1)
					v.AppendRange(src, from, n)
					model = append(model, srcModel[from:from+n]...)
				case op == 4 && len(srcModel) > 0:
					sel := make([]int32, r.IntN(30))
					for i := range sel {
						sel[i] = int32(r.IntN(len(srcModel)))
						model = append(model, srcModel[sel[i]])
					}
					v.AppendSelected(src, sel)
				case op == 5 && len(v.children) > 0 && r.IntN(2) == 0: // a row that is begun and given up
					appendRandom(r, v.children[0])
					v.Truncate(v.Len())
				case op == 5 && v.Len() > 0:
					n := v.Len() - r.IntN(min(v.Len(), 20))
					v.Truncate(n)
					model = model[:n]
				}
				if v.Len() != len(model) {
					t.Fatalf("%v seed %d step %d: %d rows, want %d", typ, seed, step, v.Len(), len(model))
				}
			}
			nulls := 0
			for i, want := range model {
				if got := modelValue(v, i); !reflect.DeepEqual(got, want) {
					t.Fatalf("%v seed %d row %d: got %v, want %v", typ, seed, i, got, want)
				}
				if want == nil {
					nulls++
				}
			}
			if v.NullCount() != nulls {
				t.Fatalf("%v seed %d: %d nulls counted, want %d", typ, seed, v.NullCount(), nulls)
			}
			v.Release()
			src.Release()
			if err := pool.CheckZero(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTypeTextRoundTrip(t *testing.T) {
	for _, typ := range testTypes {
		got, err := ParseType(typ.String())
		if err != nil || !got.Equal(typ) {
			t.Errorf("%v: got %v, %v", typ, got, err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"bigint not null", "BIGINT NOT NULL"}, {"timestamp(3)", "TIMESTAMP(3)"}, {"TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)"},
		{"DECIMAL(5)", "DECIMAL(5, 0)"}, {"varchar(20)", "STRING"}, {"ROW<`a b` INT, c MAP<STRING,DOUBLE>>", "ROW<`a b` INT, c MAP<STRING, DOUBLE>>"},
		{"INTERVAL DAY(3) TO SECOND(3)", "INTERVAL DAY TO SECOND"}, {"INTERVAL MONTH", "INTERVAL YEAR TO MONTH"},
	} {
		got, err := ParseType(c.text)
		if err != nil || got.String() != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.text, got, err, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"BIGNIT", `type "BIGNIT", column 1: unknown type BIGNIT, did you mean BIGINT?`},
		{"ARRAY<INT", `type "ARRAY<INT", column 10: expected >`},
		{"TIMESTAMP(9)", `type "TIMESTAMP(9)", column 13: TIMESTAMP(9): turbo keeps microseconds, the precision is 0 to 6`},
		{"INT NOT", `type "INT NOT", column 8: expected NULL after NOT`},
		{"INT x", `type "INT x", column 5: unexpected "x" after the type`},
		{"ROW<a INT, a INT>", `type "ROW<a INT, a INT>", column 13: field a stands twice`},
		{"DECIMAL(3, 5)", `type "DECIMAL(3, 5)", column 14: DECIMAL(3, 5): needs 1 to 38 digits and a scale not above them`},
	} {
		if _, err := ParseType(c.text); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.text, err, c.want)
		}
	}
}

func FuzzParseType(f *testing.F) {
	for _, typ := range testTypes {
		f.Add(typ.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		typ, err := ParseType(text)
		if err != nil {
			return
		}
		again, err := ParseType(typ.String())
		if err != nil || !again.Equal(typ) {
			t.Fatalf("%q became %q, which reads as %v, %v", text, typ, again, err)
		}
	})
}

// TestBatchPool checks that shared columns survive the pool's reuse of a batch.
func TestBatchPool(t *testing.T) {
	pool := memory.NewPool(64 << 20)
	account := pool.Account("test")
	builder := NewBuilder(account, NewSchema(Field{"a", Of(Int64)}, Field{"b", Of(String)}), 16)
	fill := func(x int64) *Batch {
		builder.Column(0).AppendInt64(x)
		builder.Column(1).AppendString(fmt.Sprint(x))
		builder.Column(0).AppendInt64(99) // a half row: not part of the batch
		return builder.Finish()
	}
	first := fill(1)
	first.Sel = first.SelBuffer(1)
	first.Sel[0] = 0
	shared := first.Share()
	first.Release()
	second := fill(2)
	if got := shared.Columns[0].Int64s()[0]; got != 1 || shared.Columns[1].StringAt(0) != "1" {
		t.Errorf("shared batch changed: %d", got)
	}
	if second.Len != 1 || second.Columns[0].Len() != 1 || second.Sel != nil {
		t.Errorf("reused batch: %d rows, selection %v", second.Len, second.Sel)
	}
	shared.Release()
	second.Release()
	builder.Close()
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
}

func TestKeyGroups(t *testing.T) {
	for workers := 1; workers <= 5; workers++ {
		for g := range DefaultKeyGroups {
			w := WorkerOf(g, DefaultKeyGroups, workers)
			if from, to := KeyGroupRange(w, DefaultKeyGroups, workers); g < from || g >= to {
				t.Fatalf("group %d of worker %d of %d is not in [%d, %d)", g, w, workers, from, to)
			}
		}
	}
}
