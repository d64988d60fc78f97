package stream

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// Null is a value that may be missing: a field of this type is a nullable column.
type Null[T any] struct {
	V     T
	Valid bool // false: null
}

// Some returns a value that is there.
func Some[T any](v T) Null[T] { return Null[T]{v, true} }

func (Null[T]) nullable() {}

// codec moves rows between the columns of a schema and structs of one type, a column at a time.
type codec struct {
	of     reflect.Type
	fields []fieldCodec
}

type fieldCodec struct {
	name   string // of the column
	path   string // of the Go field, for messages
	column int
	typ    reflect.Type
	offset uintptr
	valid  uintptr // offset of Null.Valid, when nullable
	null   bool
	kind   core.Type
	read   reader
	write  writer
}

// rows says which rows of a batch, and where the structs are.
type rows struct {
	sel    []int32 // nil: all
	n      int
	base   unsafe.Pointer // of the field in the first struct
	stride uintptr
}

type (
	reader func(v *core.Vector, r rows) error
	writer func(v *core.Vector, r rows) error
)

func (r rows) row(i int) int {
	if r.sel != nil {
		return int(r.sel[i])
	}
	return i
}

func (r rows) at(i int) unsafe.Pointer { return unsafe.Add(r.base, uintptr(i)*r.stride) }

// column is what a struct's field says about its column.
type column struct {
	field core.Field
	time  bool
	skip  bool
}

// columnOf reads a field's tag: `turbo:"name"`, `turbo:"name,TYPE"`, `turbo:"name,TYPE,time"`, `turbo:"-"`. The name may be left out.
func columnOf(f reflect.StructField) (c column, err error) {
	tag := f.Tag.Get("turbo")
	if tag == "-" || !f.IsExported() {
		return column{skip: true}, nil
	}
	name, rest, _ := strings.Cut(tag, ",")
	if c.field.Name = name; name == "" {
		c.field.Name = snake(f.Name)
	}
	if rest == "time" || strings.HasSuffix(rest, ",time") {
		c.time, rest = true, strings.TrimSuffix(strings.TrimSuffix(rest, "time"), ",")
	}
	if rest != "" {
		if c.field.Type, err = core.ParseType(rest); err != nil {
			return c, fmt.Errorf("field %s: %w", f.Name, err)
		}
		return c, nil
	}
	c.field.Type, err = typeOf(f.Type)
	if err != nil {
		err = fmt.Errorf("field %s: %w", f.Name, err)
	}
	return c, err
}

// snake turns WindowEnd and HTTPCode into window_end and http_code.
func snake(name string) string {
	var out []rune
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out = append(out, '_')
		}
		out = append(out, unicode.ToLower(r))
	}
	return string(out)
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	instantType  = reflect.TypeFor[core.Time]()
	decimalType  = reflect.TypeFor[decimal128.Num]()
	nullableType = reflect.TypeFor[interface{ nullable() }]()
)

// typeOf is the column type of a Go type.
func typeOf(t reflect.Type) (core.Type, error) {
	if t.Implements(nullableType) {
		inner, err := typeOf(t.Field(0).Type)
		return inner.Optional(), err
	}
	kind := map[reflect.Kind]core.Kind{
		reflect.Bool: core.Boolean, reflect.Int8: core.Int8, reflect.Int16: core.Int16, reflect.Int32: core.Int32, reflect.Int64: core.Int64, reflect.Int: core.Int64,
		reflect.Float32: core.Float32, reflect.Float64: core.Float64, reflect.String: core.String,
	}
	switch {
	case t == timeType, t == instantType:
		return core.Of(core.TimestampLTZ).Required(), nil
	case t == durationType:
		return core.Of(core.IntervalDay).Required(), nil
	case t == decimalType:
		return core.Type{}, fmt.Errorf("a %v needs the precision and scale of its column in the tag, as in `turbo:\"price,DECIMAL(10, 2)\"`", t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return core.Of(core.Bytes).Required(), nil
	case t.Kind() == reflect.Slice:
		e, err := typeOf(t.Elem())
		return core.ArrayOf(e).Required(), err
	case t.Kind() == reflect.Map:
		k, err := typeOf(t.Key())
		if err != nil {
			return k, err
		}
		e, err := typeOf(t.Elem())
		return core.MapOf(k, e).Required(), err
	case t.Kind() == reflect.Struct:
		s, err := schemaOf(t)
		if err != nil {
			return core.Type{}, err
		}
		return core.RowOf(s.Fields...).Required(), nil
	}
	k, ok := kind[t.Kind()]
	if !ok {
		return core.Type{}, fmt.Errorf("a %v cannot be a column: use bool, int8 to int64, float32, float64, string, []byte, time.Time, time.Duration, decimal128.Num, a slice, map or struct of these, or stream.Null of one", t)
	}
	return core.Of(k).Required(), nil
}

// schemaOf is the schema of a struct type.
func schemaOf(t reflect.Type) (*core.Schema, error) {
	if t.Kind() != reflect.Struct || t == timeType {
		return nil, fmt.Errorf("rows are structs, %v is none", t)
	}
	s := core.NewSchema()
	for i := range t.NumField() {
		c, err := columnOf(t.Field(i))
		if err != nil {
			return nil, fmt.Errorf("%v: %w", t, err)
		}
		if c.skip {
			continue
		}
		if s.Index(c.field.Name) >= 0 {
			return nil, fmt.Errorf("%v: two fields are the column %s", t, c.field.Name)
		}
		if c.time {
			if !c.field.Type.Kind.IsTime() {
				return nil, fmt.Errorf("%v: event time needs a TIMESTAMP or TIMESTAMP_LTZ column, %s is %s", t, c.field.Name, c.field.Type.Optional())
			}
			if s.TimeColumn >= 0 {
				return nil, fmt.Errorf("%v: two columns have event time: %s and %s", t, s.Fields[s.TimeColumn].Name, c.field.Name)
			}
			s.TimeColumn = len(s.Fields)
		}
		s.Fields = append(s.Fields, c.field)
	}
	if len(s.Fields) == 0 {
		return nil, fmt.Errorf("%v has no exported field", t)
	}
	return s, nil
}

// newCodec makes a codec between t and the columns of schema that t names.
func newCodec(t reflect.Type, schema *core.Schema) (*codec, error) {
	return newCodecOf(t, schema, false)
}

// newCodecOf is newCodec; a partial codec leaves out fields whose column is not there, because nobody reads it.
func newCodecOf(t reflect.Type, schema *core.Schema, partial bool) (*codec, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("rows are structs, %v is none", t)
	}
	c := &codec{of: t}
	for i := range t.NumField() {
		f := t.Field(i)
		col, err := columnOf(f)
		if err != nil && f.Type != decimalType {
			return nil, fmt.Errorf("%v: %w", t, err)
		}
		if col.skip {
			continue
		}
		at := schema.Index(col.field.Name)
		if at < 0 && partial {
			continue
		}
		if at < 0 {
			near := ""
			if n := core.Nearest(col.field.Name, schema.Names()); n != "" {
				near = ", did you mean " + n + "?"
			}
			return nil, fmt.Errorf("%v: the field %s is the column %s, which there is not in %v%s", t, f.Name, col.field.Name, schema, near)
		}
		k := fieldCodec{name: col.field.Name, path: f.Name, column: at, typ: f.Type, offset: f.Offset, kind: schema.Fields[at].Type}
		if f.Type.Implements(nullableType) {
			k.null, k.typ, k.valid = true, f.Type.Field(0).Type, f.Offset+f.Type.Field(1).Offset
		}
		if err := k.resolve(); err != nil {
			return nil, fmt.Errorf("%v: field %s: %w", t, f.Name, err)
		}
		c.fields = append(c.fields, k)
	}
	if len(c.fields) == 0 && !partial {
		return nil, fmt.Errorf("%v has no exported field", t)
	}
	return c, nil
}

// read fills n structs at base from the selected rows of b. Strings and bytes are copies.
func (c *codec) read(b *core.Batch, base unsafe.Pointer) error {
	r := rows{sel: b.Sel, n: b.Rows(), stride: c.of.Size()}
	for i := range c.fields {
		f := &c.fields[i]
		v := b.Columns[f.column]
		if v.HasNulls() {
			if err := f.nulls(v, r, base); err != nil {
				return err
			}
		} else if f.null {
			for i, at := 0, unsafe.Add(base, f.valid); i < r.n; i++ {
				*(*bool)(unsafe.Add(at, uintptr(i)*r.stride)) = true
			}
		}
		r.base = unsafe.Add(base, f.offset)
		if err := f.read(v, r); err != nil {
			return fmt.Errorf("column %s: %w", f.name, err)
		}
	}
	return nil
}

// nulls marks the rows of a nullable field, or reports a null that the field cannot hold.
func (f *fieldCodec) nulls(v *core.Vector, r rows, base unsafe.Pointer) error {
	for i := range r.n {
		null := v.Null(r.row(i))
		switch {
		case f.null:
			*(*bool)(unsafe.Add(base, f.valid+uintptr(i)*r.stride)) = !null
		case null:
			return &rowError{row: i, err: fmt.Errorf("the column %s is null, and the field %s is a %v: make it a stream.Null[%v]", f.name, f.path, f.typ, f.typ)}
		}
	}
	return nil
}

// write appends n structs at base to the columns of out.
func (c *codec) write(out *core.Batch, base unsafe.Pointer, n int) error {
	r := rows{n: n, stride: c.of.Size()}
	for i := range c.fields {
		f := &c.fields[i]
		r.base = unsafe.Add(base, f.offset)
		v := out.Columns[f.column]
		from := v.Len()
		if err := f.write(v, r); err != nil {
			return fmt.Errorf("column %s: %w", f.name, err)
		}
		if f.null {
			for i := range n {
				if !*(*bool)(unsafe.Add(base, f.valid+uintptr(i)*r.stride)) {
					v.SetNull(from + i)
				}
			}
		}
	}
	out.Len += n
	return nil
}

// rowError is an error of one row of a batch, counted over the selected ones.
type rowError struct {
	row int
	err error
}

func (e *rowError) Error() string { return e.err.Error() }
func (e *rowError) Unwrap() error { return e.err }
