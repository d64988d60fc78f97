package core

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	arrowmemory "github.com/apache/arrow/go/v17/arrow/memory"

	"turbo/memory"
)

// TestArrowRoundTrip: batch to record and back gives the same values, with and without a selection; all memory comes back.
func TestArrowRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, typ := range append(testTypes, Type{Kind: Timestamp, Precise: 3}, MapOf(Of(Int64).Required(), Of(Boolean))) {
		pool := memory.NewPool(64 << 20)
		account := pool.Account("test")
		schema := NewSchema(Field{"c", typ})
		arrowSchema := ArrowSchema(schema)
		if back, err := SchemaOfArrow(arrowSchema); err != nil || !back.Equal(schema) {
			t.Errorf("%v: schema became %v, %v", schema, back, err)
		}
		for _, rows := range []int{0, 1, 77} {
			for _, selected := range []bool{false, true} {
				batch := NewBatch(account, schema)
				v := NewVector(account, typ, 0)
				batch.Columns, batch.Len = append(batch.Columns, v), rows
				for range rows {
					appendRandomArrow(r, v)
				}
				var want []any
				for i := range rows {
					want = append(want, modelValue(v, i))
				}
				if selected {
					batch.Sel = batch.SelBuffer(rows)[:0]
					want = nil
					for i := 0; i < rows; i += 3 {
						batch.Sel = append(batch.Sel, int32(i))
						want = append(want, modelValue(v, i))
					}
				}
				record := batch.Record(arrowSchema)
				batch.Release() // the record lives on
				back := NewVector(account, typ, 0)
				if err := back.AppendArrow(record.Column(0)); err != nil {
					t.Fatalf("%v: %v", typ, err)
				}
				record.Release()
				var got []any
				for i := range back.Len() {
					got = append(got, modelValue(back, i))
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%v, %d rows, selected %v:\ngot  %v\nwant %v", typ, rows, selected, got, want)
				}
				back.Release()
			}
		}
		if err := pool.CheckZero(); err != nil {
			t.Errorf("%v: %v", typ, err)
		}
	}
}

// appendRandomArrow is appendRandom with times that are in range and cut to their precision.
func appendRandomArrow(r *rand.Rand, v *Vector) {
	appendRandom(r, v)
	if i := v.Len() - 1; v.Type.Kind == TimeOfDay || v.Type.Kind.IsTime() {
		x := v.Int64s()[i] >> 16
		if v.Type.Kind == TimeOfDay {
			x = (x&0x7fffffff)*40 + 1
		}
		v.Int64s()[i] = TruncateFraction(x, v.Type.Precise)
	}
}

func TestArrowCoercions(t *testing.T) {
	pool := memory.NewPool(64 << 20)
	account := pool.Account("test")
	alloc := arrowmemory.NewGoAllocator()
	for _, c := range []struct {
		dt         arrow.DataType
		text       string // as Arrow's builders read it
		typ        Type
		want, fail string
	}{
		{arrow.PrimitiveTypes.Int32, "7", Of(Int64), "7", ""},
		{arrow.PrimitiveTypes.Int64, "7", Of(Int8), "7", ""},
		{arrow.PrimitiveTypes.Int64, "128", Of(Int8), "", "128 does not fit TINYINT"},
		{arrow.PrimitiveTypes.Uint64, "18446744073709551615", Of(Int64), "", "18446744073709551615 does not fit BIGINT"},
		{arrow.PrimitiveTypes.Uint64, "18446744073709551615", DecimalOf(20, 0), "18446744073709551615", ""},
		{arrow.PrimitiveTypes.Int32, "-12", DecimalOf(5, 2), "-12.00", ""},
		{arrow.PrimitiveTypes.Int32, "1000", DecimalOf(5, 2), "", "1000 does not fit DECIMAL(5, 2)"},
		{arrow.PrimitiveTypes.Float32, "0.5", Of(Float64), "0.5", ""},
		{arrow.PrimitiveTypes.Float64, "0.5", Of(Float32), "", "the Arrow type float64 cannot be read as FLOAT without loss"},
		{arrow.PrimitiveTypes.Int64, "5", Of(Float64), "", "the Arrow type int64 cannot be read as DOUBLE without loss"},
		{arrow.PrimitiveTypes.Int32, "5", Of(Float64), "5.0", ""},
		{&arrow.Decimal128Type{Precision: 5, Scale: 2}, "12.34", DecimalOf(10, 4), "12.3400", ""},
		{&arrow.Decimal128Type{Precision: 5, Scale: 2}, "123.45", DecimalOf(4, 2), "", "123.45 does not fit DECIMAL(4, 2)"},
		{&arrow.Decimal128Type{Precision: 5, Scale: 2}, "123.45", DecimalOf(9, 1), "", "the Arrow type decimal(5, 2) cannot be read as DECIMAL(9, 1) without loss"},
		{arrow.BinaryTypes.LargeString, "abc", Of(Bytes), "abc", ""},
		{arrow.BinaryTypes.String, "abc", Of(Int64), "", "the Arrow type utf8 cannot be read as BIGINT without loss"},
		{arrow.BinaryTypes.Binary, "/w==", Of(String), "", "bytes that are not UTF-8: declare the column BYTES"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, "2013-01-01 00:00:36.123456789", Of(Timestamp), "2013-01-01 00:00:36.123456", ""},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, "1969-12-31 23:59:59.999999999", Of(Timestamp), "1969-12-31 23:59:59.999999", ""},
		{&arrow.TimestampType{Unit: arrow.Second}, "2013-01-01 00:00:36", Type{Kind: Timestamp, Precise: 3}, "2013-01-01 00:00:36.000", ""},
		{arrow.FixedWidthTypes.Time32ms, "12:34:56.789", Type{Kind: TimeOfDay, Precise: 3}, "12:34:56.789", ""},
		{arrow.FixedWidthTypes.Date64, "2013-01-01", Of(Date), "2013-01-01", ""},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, "abc", Of(String), "abc", ""},
		{arrow.Null, "", Of(Int32), "", ""},
		{arrow.PrimitiveTypes.Int32, "7", Of(Int64).Required(), "", "null, but the column is NOT NULL"},
	} {
		b := array.NewBuilder(alloc, c.dt)
		if c.text != "" {
			if err := b.AppendValueFromString(c.text); err != nil {
				t.Fatal(err)
			}
		}
		b.AppendNull()
		a := b.NewArray()
		v := NewVector(account, c.typ, 0)
		err := v.AppendArrow(a)
		switch {
		case c.fail != "" && (err == nil || err.Error() != c.fail):
			t.Errorf("%v as %v: got %v, want %s", c.dt, c.typ, err, c.fail)
		case c.fail == "" && err != nil:
			t.Errorf("%v as %v: %v", c.dt, c.typ, err)
		case c.fail == "" && (v.Len() != a.Len() || !v.Null(v.Len()-1)):
			t.Errorf("%v as %v: %d rows", c.dt, c.typ, v.Len())
		case c.want != "":
			if got := string(v.AppendText(nil, 0)); got != c.want {
				t.Errorf("%v as %v: got %s, want %s", c.dt, c.typ, got, c.want)
			}
		}
		v.Release()
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
}

func TestRescaleBounds(t *testing.T) {
	v := one(t, DecimalOf(38, 2), func(*Vector) {})
	for text, fits := range map[string]bool{"999999999999999999999999999999999999": true, "1000000000000000000000000000000000000": false, "-5": true} {
		n, err := decimal128.FromString(text, 38, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := v.rescale(n, 0); ok != fits {
			t.Errorf("%s: fits %v", text, ok)
		}
	}
}
