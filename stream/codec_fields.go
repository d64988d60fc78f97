package stream

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// resolve chooses how values move between the Go type and the column type.
func (f *fieldCodec) resolve() error {
	k := f.kind.Kind
	mismatch := fmt.Errorf("a %v does not hold the column's %s", f.typ, f.kind.Optional())
	switch t := f.typ; {
	case t == timeType:
		switch k {
		case core.Timestamp, core.TimestampLTZ:
			f.read, f.write = readEach(func(us int64) time.Time { return time.UnixMicro(us).UTC() }), writeEach(func(x time.Time) int64 { return x.UnixMicro() })
		case core.Date:
			f.read = readEach(func(days int32) time.Time { return time.Unix(int64(days)*86400, 0).UTC() })
			f.write = writeEach(func(x time.Time) int32 { return int32(core.DaysFromCivil(x.Year(), int(x.Month()), x.Day())) })
		default:
			return mismatch
		}
	case t == instantType:
		if !k.IsTime() {
			return mismatch
		}
		f.read, f.write = readSame[int64], writeSame[int64]
	case t == durationType:
		if k != core.IntervalDay && k != core.TimeOfDay {
			return mismatch
		}
		f.read = readEach(func(us int64) time.Duration { return time.Duration(us) * time.Microsecond })
		f.write = writeEach(func(x time.Duration) int64 { return int64(x / time.Microsecond) })
	case t == decimalType:
		if k != core.Decimal {
			return mismatch
		}
		f.read, f.write = readSame[decimal128.Num], writeSame[decimal128.Num]
	case t.Kind() == reflect.Bool && k == core.Boolean:
		f.read, f.write = readSame[uint8], writeSame[uint8]
	case t.Kind() == reflect.String && k == core.String:
		f.read, f.write = readStrings, writeStrings
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && (k == core.Bytes || k == core.String):
		f.read, f.write = readBytes, writeBytes
	case k.IsNested():
		if err := nests(t, f.kind); err != nil {
			return err
		}
		f.read, f.write = readNested(t), writeNested(t)
	default:
		if !f.number() {
			return mismatch
		}
	}
	return nil
}

// number resolves integers and floats: the same width both ways, and narrower columns into wider fields.
func (f *fieldCodec) number() bool {
	k := f.kind.Kind
	switch f.typ.Kind() {
	case reflect.Int8:
		f.read, f.write = readSame[int8], writeSame[int8]
		return k == core.Int8
	case reflect.Int16:
		f.read, f.write = intReader[int16](k), writeSame[int16]
		return k == core.Int16 || k == core.Int8 && f.readOnly()
	case reflect.Int32:
		f.read, f.write = intReader[int32](k), writeSame[int32]
		return k == core.Int32 || k == core.IntervalMonth || (k == core.Int8 || k == core.Int16) && f.readOnly()
	case reflect.Int64, reflect.Int:
		f.read, f.write = intReader[int64](k), writeSame[int64]
		return k == core.Int64 || k.IsInteger() && f.readOnly()
	case reflect.Float32:
		f.read, f.write = readSame[float32], writeSame[float32]
		return k == core.Float32
	case reflect.Float64:
		if f.read, f.write = readSame[float64], writeSame[float64]; k == core.Float32 {
			f.read = readEach(func(x float32) float64 { return float64(x) })
			return f.readOnly()
		}
		return k == core.Float64
	}
	return false
}

// readOnly marks a field that is wider than its column: it can be read, not written.
func (f *fieldCodec) readOnly() bool {
	t, column := f.typ, f.kind
	f.write = func(*core.Vector, rows) error {
		return fmt.Errorf("a %v cannot be written to a column of the narrower type %s", t, column.Optional())
	}
	return true
}

func intReader[T int16 | int32 | int64](k core.Kind) reader {
	switch k.Width() {
	case 1:
		return readEach(func(x int8) T { return T(x) })
	case int(unsafe.Sizeof(T(0))):
		return readSame[T]
	case 2:
		return readEach(func(x int16) T { return T(x) })
	case 4:
		return readEach(func(x int32) T { return T(x) })
	}
	return readEach(func(x int64) T { return T(x) })
}

// readSame copies values that are laid out alike.
func readSame[T any](v *core.Vector, r rows) error {
	values := core.Values[T](v)
	if r.sel == nil {
		to := r.base
		for i, x := range values[:r.n] {
			if i > 0 { // no pointer behind the last row
				to = unsafe.Add(to, r.stride)
			}
			*(*T)(to) = x
		}
		return nil
	}
	for i, row := range r.sel {
		*(*T)(r.at(i)) = values[row]
	}
	return nil
}

// readEach converts values.
func readEach[From, To any](convert func(From) To) reader {
	return func(v *core.Vector, r rows) error {
		values := core.Values[From](v)
		for i := range r.n {
			*(*To)(r.at(i)) = convert(values[r.row(i)])
		}
		return nil
	}
}

func writeSame[T any](v *core.Vector, r rows) error {
	from := v.Len()
	v.Extend(r.n)
	out := core.Values[T](v)[from:]
	for i := range out[:r.n] {
		out[i] = *(*T)(r.at(i))
	}
	return nil
}

func writeEach[From, To any](convert func(From) To) writer {
	return func(v *core.Vector, r rows) error {
		from := v.Len()
		v.Extend(r.n)
		out := core.Values[To](v)[from:]
		for i := range r.n {
			out[i] = convert(*(*From)(r.at(i)))
		}
		return nil
	}
}

// readStrings gives every row a piece of one copy of the column's bytes: rows may be kept for as long as the user likes.
func readStrings(v *core.Vector, r rows) error {
	if r.sel != nil && 4*r.n < v.Len() { // most rows are not wanted
		for i := range r.n {
			*(*string)(r.at(i)) = strings.Clone(v.StringAt(r.row(i)))
		}
		return nil
	}
	offsets := v.Offsets()
	low := offsets[0]
	all := string(v.Data()[low:offsets[v.Len()]])
	for i := range r.n {
		row := r.row(i)
		*(*string)(r.at(i)) = all[offsets[row]-low : offsets[row+1]-low]
	}
	return nil
}

func readBytes(v *core.Vector, r rows) error {
	for i := range r.n {
		*(*[]byte)(r.at(i)) = append([]byte{}, v.BytesAt(r.row(i))...)
	}
	return nil
}

func writeStrings(v *core.Vector, r rows) error {
	for i := range r.n {
		v.AppendString(*(*string)(r.at(i)))
	}
	return nil
}

func writeBytes(v *core.Vector, r rows) error {
	for i := range r.n {
		v.AppendBytes(*(*[]byte)(r.at(i)))
	}
	return nil
}

// nests checks a nested Go type against a nested column, all the way down.
func nests(t reflect.Type, c core.Type) error {
	switch {
	case c.Kind == core.Array && t.Kind() == reflect.Slice:
		return part(t.Elem(), c.Elements[0], "its elements")
	case c.Kind == core.Map && t.Kind() == reflect.Map:
		if err := part(t.Key(), c.Elements[0], "its keys"); err != nil {
			return err
		}
		return part(t.Elem(), c.Elements[1], "its values")
	case c.Kind == core.Row && t.Kind() == reflect.Struct:
		_, err := newCodec(t, &core.Schema{Fields: c.Elements, TimeColumn: -1})
		return err
	}
	return fmt.Errorf("a %v does not hold the column's %s", t, c.Optional())
}

func part(t reflect.Type, c core.Field, what string) error {
	f := fieldCodec{typ: t, kind: c.Type}
	if t.Implements(nullableType) {
		f.typ = t.Field(0).Type
	}
	if err := f.resolve(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func readNested(t reflect.Type) reader {
	return func(v *core.Vector, r rows) error {
		for i := range r.n {
			x := reflect.NewAt(t, r.at(i)).Elem()
			if row := r.row(i); v.Null(row) {
				x.SetZero()
			} else if err := readValue(v, row, x); err != nil {
				return &rowError{i, err}
			}
		}
		return nil
	}
}

func writeNested(t reflect.Type) writer {
	return func(v *core.Vector, r rows) error {
		for i := range r.n {
			if err := appendValue(v, reflect.NewAt(t, r.at(i)).Elem()); err != nil {
				return &rowError{i, err}
			}
		}
		return nil
	}
}

// one moves a single value by the codec of its type.
func one(v *core.Vector, x reflect.Value) (fieldCodec, rows, error) {
	f := fieldCodec{typ: x.Type(), kind: v.Type}
	err := f.resolve()
	return f, rows{n: 1, base: x.Addr().UnsafePointer(), stride: x.Type().Size()}, err
}

// readValue reads row i of v, which is not null, into x.
func readValue(v *core.Vector, i int, x reflect.Value) error {
	if x.Type().Implements(nullableType) {
		x.Field(1).SetBool(!v.Null(i))
		if v.Null(i) {
			return nil
		}
		x = x.Field(0)
	}
	if v.Null(i) {
		return fmt.Errorf("a value inside is null, and its Go type is %v: make it a stream.Null[%v]", x.Type(), x.Type())
	}
	switch v.Type.Kind {
	case core.Array:
		from, to := int(v.Offsets()[i]), int(v.Offsets()[i+1])
		x.Set(reflect.MakeSlice(x.Type(), to-from, to-from))
		for k := from; k < to; k++ {
			if err := readValue(v.Child(0), k, x.Index(k-from)); err != nil {
				return err
			}
		}
		return nil
	case core.Map:
		from, to := int(v.Offsets()[i]), int(v.Offsets()[i+1])
		x.Set(reflect.MakeMapWithSize(x.Type(), to-from))
		for k := from; k < to; k++ {
			key, value := reflect.New(x.Type().Key()).Elem(), reflect.New(x.Type().Elem()).Elem()
			if err := readValue(v.Child(0), k, key); err != nil {
				return err
			}
			if err := readValue(v.Child(1), k, value); err != nil {
				return err
			}
			x.SetMapIndex(key, value)
		}
		return nil
	case core.Row:
		for k := range x.NumField() {
			c, err := columnOf(x.Type().Field(k))
			if err != nil || c.skip {
				continue
			}
			for j, e := range v.Type.Elements {
				if e.Name == c.field.Name {
					if err := readValue(v.Child(j), i, x.Field(k)); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	f, r, err := one(v, x)
	if err != nil {
		return err
	}
	r.sel = []int32{int32(i)}
	return f.read(v, r)
}

// appendValue appends x to v.
func appendValue(v *core.Vector, x reflect.Value) error {
	if x.Type().Implements(nullableType) {
		if !x.Field(1).Bool() {
			v.AppendNull()
			return nil
		}
		x = x.Field(0)
	}
	switch v.Type.Kind {
	case core.Array:
		for i := range x.Len() {
			if err := appendValue(v.Child(0), x.Index(i)); err != nil {
				return err
			}
		}
		v.EndElement()
		return nil
	case core.Map:
		for it := x.MapRange(); it.Next(); {
			for j, part := range []reflect.Value{it.Key(), it.Value()} {
				p := reflect.New(part.Type()).Elem() // map entries have no address
				p.Set(part)
				if err := appendValue(v.Child(j), p); err != nil {
					return err
				}
			}
		}
		v.EndElement()
		return nil
	case core.Row:
		for j, e := range v.Type.Elements {
			found := false
			for k := range x.NumField() {
				if c, err := columnOf(x.Type().Field(k)); err == nil && !c.skip && c.field.Name == e.Name {
					found = true
					if err := appendValue(v.Child(j), x.Field(k)); err != nil {
						return err
					}
				}
			}
			if !found {
				v.Child(j).AppendNull()
			}
		}
		v.EndElement()
		return nil
	}
	f, r, err := one(v, x)
	if err != nil {
		return err
	}
	return f.write(v, r)
}
