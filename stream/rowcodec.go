package stream

import (
	"reflect"
	"unsafe"

	"turbo/core"
)

// Codec moves rows between structs and the columns of a schema, as the streams of this package do: for programs with sources, sinks or test kits of
// their own. It is used by one goroutine at a time.
type Codec[T any] struct {
	all, some *codec
	err       error // why not all of T's fields have a column
}

// NewCodec makes a codec. It fails when a field of T does not fit its column, not when it has none: then only Read fails.
func NewCodec[T any](schema *core.Schema) (*Codec[T], error) {
	c := &Codec[T]{}
	var err error
	if c.some, err = newCodecOf(reflect.TypeFor[T](), schema, true); err != nil {
		return nil, err
	}
	c.all, c.err = newCodec(reflect.TypeFor[T](), schema)
	return c, nil
}

// Append adds rows to a batch that has the schema's columns. Columns that no field names become null.
func (c *Codec[T]) Append(b *core.Batch, rows []T) error {
	if err := c.some.write(b, unsafe.Pointer(unsafe.SliceData(rows)), len(rows)); err != nil {
		return err
	}
	for _, v := range b.Columns {
		v.AppendNulls(b.Len - v.Len())
	}
	return nil
}

// Read adds the selected rows of a batch to rows, with copies of strings and bytes. It does not take the batch.
func (c *Codec[T]) Read(b *core.Batch, rows []T) ([]T, error) {
	if c.err != nil {
		return rows, c.err
	}
	n := len(rows)
	rows = append(rows, make([]T, b.Rows())...)
	if b.Rows() == 0 {
		return rows, nil
	}
	return rows, c.all.read(b, unsafe.Pointer(&rows[n]))
}
