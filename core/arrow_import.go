package core

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
)

// AppendArrow appends the values of an Arrow array, copying them, with the conversions that CheckArrow describes. An error says
// which value does not fit and why; the vector then holds part of the values. A null for a NOT NULL type is an error.
func (v *Vector) AppendArrow(a arrow.Array) error {
	if a.NullN() > 0 && v.Type.NotNull {
		return fmt.Errorf("null, but the column is NOT NULL")
	}
	if a.DataType().ID() == arrow.NULL {
		v.AppendNulls(a.Len())
		return nil
	}
	if d, ok := a.(*array.Dictionary); ok {
		return v.appendDictionary(d)
	}
	switch a := a.(type) {
	case *array.Boolean:
		if v.Type.Kind == Boolean {
			return appendEach(v, a, func(i int) error { v.AppendBool(a.Value(i)); return nil })
		}
	case *array.Int8:
		return appendArrowInts(v, a, a.Int8Values())
	case *array.Int16:
		return appendArrowInts(v, a, a.Int16Values())
	case *array.Int32:
		return appendArrowInts(v, a, a.Int32Values())
	case *array.Int64:
		return appendArrowInts(v, a, a.Int64Values())
	case *array.Uint8:
		return appendArrowInts(v, a, a.Uint8Values())
	case *array.Uint16:
		return appendArrowInts(v, a, a.Uint16Values())
	case *array.Uint32:
		return appendArrowInts(v, a, a.Uint32Values())
	case *array.Uint64:
		return appendArrowInts(v, a, a.Uint64Values())
	case *array.Float16:
		return v.appendArrowFloats(a, func(i int) float64 { return float64(a.Value(i).Float32()) })
	case *array.Float32:
		return v.appendArrowFloats(a, func(i int) float64 { return float64(a.Value(i)) })
	case *array.Float64:
		if v.Type.Kind == Float64 {
			return appendPlain(v, a, a.Float64Values())
		}
	case *array.Decimal128:
		if v.Type.Kind == Decimal {
			return v.appendArrowDecimals(a)
		}
	case *array.String:
		return v.appendArrowSpans(a, a.ValueOffsets(), a.ValueBytes())
	case *array.Binary:
		return v.appendArrowSpans(a, a.ValueOffsets(), a.ValueBytes())
	case *array.LargeString:
		return v.appendArrowBytes(a, func(i int) []byte { return []byte(a.Value(i)) })
	case *array.LargeBinary:
		return v.appendArrowBytes(a, a.Value)
	case *array.FixedSizeBinary:
		return v.appendArrowBytes(a, a.Value)
	default:
		return v.appendArrowTimes(a)
	}
	return v.refuseArrow(a)
}

func (v *Vector) refuseArrow(a arrow.Array) error {
	return fmt.Errorf("the Arrow type %s cannot be read as %s without loss", a.DataType(), v.Type.Optional())
}

// appendEach appends nulls by itself and calls value for the other rows.
func appendEach(v *Vector, a arrow.Array, value func(i int) error) error {
	if a.NullN() == 0 {
		for i := range a.Len() {
			if err := value(i); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range a.Len() {
		if a.IsNull(i) {
			v.AppendNull()
		} else if err := value(i); err != nil {
			return err
		}
	}
	return nil
}

// appendPlain appends values that have the vector's own layout.
func appendPlain[T any](v *Vector, a arrow.Array, values []T) error {
	start := v.n
	v.Extend(a.Len())
	copy(view[T](v.data, v.n)[start:], values)
	if a.NullN() > 0 {
		for i := range a.Len() {
			if a.IsNull(i) {
				v.SetNull(start + i)
			}
		}
	}
	return nil
}

func appendArrowInts[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](v *Vector, a arrow.Array, values []T) error {
	if err := CheckArrow(a.DataType(), v.Type.Optional()); err != nil {
		return err
	}
	same := a.DataType().ID() == map[Kind]arrow.Type{Int8: arrow.INT8, Int16: arrow.INT16, Int32: arrow.INT32, Int64: arrow.INT64}[v.Type.Kind]
	if same && v.Type.Kind.IsInteger() {
		return appendPlain(v, a, values)
	}
	tooLarge := func(i int) error { return fmt.Errorf("%d does not fit %s", values[i], v.Type.Optional()) }
	switch v.Type.Kind {
	case Float32:
		return appendEach(v, a, func(i int) error { v.AppendFloat32(float32(values[i])); return nil })
	case Float64:
		return appendEach(v, a, func(i int) error { v.AppendFloat64(float64(values[i])); return nil })
	case Decimal:
		return appendEach(v, a, func(i int) error {
			n := decimal128.FromU64(uint64(values[i]))
			if values[i] < 0 {
				n = decimal128.FromI64(int64(values[i]))
			}
			n, ok := v.rescale(n, 0)
			if !ok {
				return tooLarge(i)
			}
			v.AppendDecimal(n)
			return nil
		})
	}
	bitSize := 8 * v.Type.Kind.Width()
	low, high := int64(-1)<<(bitSize-1), int64(uint64(1)<<(bitSize-1)-1)
	return appendEach(v, a, func(i int) error {
		x := int64(values[i])
		if x < low || x > high || x < 0 && values[i] > 0 {
			return tooLarge(i)
		}
		switch bitSize {
		case 8:
			v.AppendInt8(int8(x))
		case 16:
			v.AppendInt16(int16(x))
		case 32:
			v.AppendInt32(int32(x))
		default:
			v.AppendInt64(x)
		}
		return nil
	})
}

func (v *Vector) appendArrowFloats(a arrow.Array, value func(int) float64) error {
	switch v.Type.Kind {
	case Float32:
		return appendEach(v, a, func(i int) error { v.AppendFloat32(float32(value(i))); return nil })
	case Float64:
		return appendEach(v, a, func(i int) error { v.AppendFloat64(value(i)); return nil })
	}
	return v.refuseArrow(a)
}

// rescale brings an unscaled value from another scale to the vector's, which is not smaller.
func (v *Vector) rescale(n decimal128.Num, from int) (decimal128.Num, bool) {
	negative := n.HighBits() < 0
	if negative {
		n = n.Negate()
	}
	u := uint128{uint64(n.HighBits()), n.LowBits()}
	for range int(v.Type.Scale) - from {
		if !u.less(decimalTens[v.Type.Precise-1]) && u != (uint128{}) {
			return n, false
		}
		u = u.mulAdd(10, 0)
	}
	if !u.less(decimalTens[v.Type.Precise]) {
		return n, false
	}
	n = decimal128.New(int64(u.hi), u.lo)
	if negative {
		n = n.Negate()
	}
	return n, true
}

func (v *Vector) appendArrowDecimals(a *array.Decimal128) error {
	t := a.DataType().(*arrow.Decimal128Type)
	if t.Scale < 0 || t.Scale > int32(v.Type.Scale) {
		return v.refuseArrow(a)
	}
	if t.Scale == int32(v.Type.Scale) && t.Precision <= int32(v.Type.Precise) {
		return appendPlain(v, a, a.Values())
	}
	return appendEach(v, a, func(i int) error {
		n, ok := v.rescale(a.Value(i), int(t.Scale))
		if !ok {
			return fmt.Errorf("%s does not fit %s", AppendDecimal(nil, a.Value(i), int(t.Scale)), v.Type.Optional())
		}
		v.AppendDecimal(n)
		return nil
	})
}

const (
	notUTF8     = "bytes that are not UTF-8: declare the column BYTES"
	badOffsets  = "damaged data: offsets that go back or beyond the values"
	tooMuchText = "more than 2 GiB of text in one batch: read fewer rows at a time"
)

// appendArrowSpans appends texts that lie in a row: value i is data[offsets[i]-offsets[0]:offsets[i+1]-offsets[0]].
func (v *Vector) appendArrowSpans(a arrow.Array, offsets []int32, data []byte) error {
	if v.Type.Kind != String && v.Type.Kind != Bytes {
		return v.refuseArrow(a)
	}
	if a.Len() == 0 {
		return nil
	}
	if len(v.data)+len(data) > math.MaxInt32 {
		return errors.New(tooMuchText)
	}
	for i, o := range offsets[1 : a.Len()+1] {
		if o < offsets[i] || int(o-offsets[0]) > len(data) {
			return errors.New(badOffsets)
		}
	}
	if v.Type.Kind == String && !validSpans(offsets, data) {
		return errors.New(notUTF8)
	}
	start, base := v.n, int32(len(v.data))-offsets[0]
	v.grow(&v.data, len(data))
	v.data = append(v.data, data...)
	v.grow(&v.offsets, 4*a.Len())
	v.offsets = v.offsets[:len(v.offsets)+4*a.Len()]
	out := view[int32](v.offsets, start+a.Len()+1)[start+1:]
	for i, o := range offsets[1 : a.Len()+1] {
		out[i] = base + o
	}
	if v.nulls > 0 {
		v.validBits(start, a.Len())
	}
	if v.n += a.Len(); a.NullN() > 0 {
		for i := range a.Len() {
			if a.IsNull(i) {
				v.SetNull(start + i)
			}
		}
	}
	return nil
}

// validSpans reports whether every value is UTF-8: the whole is, and no value begins within a character.
func validSpans(offsets []int32, data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	for _, o := range offsets {
		if at := int(o - offsets[0]); at < len(data) && !utf8.RuneStart(data[at]) {
			return false
		}
	}
	return true
}

func (v *Vector) appendArrowBytes(a arrow.Array, value func(int) []byte) error {
	if v.Type.Kind != String && v.Type.Kind != Bytes {
		return v.refuseArrow(a)
	}
	return appendEach(v, a, func(i int) error {
		b := value(i)
		if len(v.data)+len(b) > math.MaxInt32 {
			return errors.New(tooMuchText)
		}
		if v.Type.Kind == String && !utf8.Valid(b) {
			return errors.New(notUTF8)
		}
		v.AppendBytes(b)
		return nil
	})
}

// appendDictionary appends by index from the dictionary's values.
func (v *Vector) appendDictionary(a *array.Dictionary) error {
	values := NewVector(v.account, v.Type.Optional(), a.Dictionary().Len())
	defer values.Release()
	if err := values.AppendArrow(a.Dictionary()); err != nil {
		return err
	}
	return appendEach(v, a, func(i int) error {
		index := a.GetValueIndex(i)
		if index < 0 || index >= values.n {
			return fmt.Errorf("index %d is outside of a dictionary of %d values", index, values.n)
		}
		if v.Type.NotNull && values.Null(index) {
			return fmt.Errorf("null, but the column is NOT NULL")
		}
		v.AppendRow(values, index)
		return nil
	})
}
