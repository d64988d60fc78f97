package format

import "encoding/binary"

// thriftWriter appends structures in Thrift's compact protocol, as Parquet's footer and page headers are written. Fields are
// given in ascending order of their ids; a structure ends with end.
type thriftWriter struct {
	b    []byte
	last []int16 // id of the last field, for each open structure
}

// The types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI8     = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

func (w *thriftWriter) reset() { w.b, w.last = w.b[:0], append(w.last[:0], 0) }

func (w *thriftWriter) field(id int16, typ byte) {
	top := &w.last[len(w.last)-1]
	if delta := id - *top; delta > 0 && delta < 16 {
		w.b = append(w.b, byte(delta)<<4|typ)
	} else {
		w.b = append(w.b, typ)
		w.b = binary.AppendVarint(w.b, int64(id))
	}
	*top = id
}

func (w *thriftWriter) i32(id int16, x int32) {
	w.field(id, thriftI32)
	w.b = binary.AppendVarint(w.b, int64(x))
}

func (w *thriftWriter) i64(id int16, x int64) {
	w.field(id, thriftI64)
	w.b = binary.AppendVarint(w.b, x)
}

func (w *thriftWriter) i16(id int16, x int16) {
	w.field(id, thriftI16)
	w.b = binary.AppendVarint(w.b, int64(x))
}

func (w *thriftWriter) i8(id int16, x int8) {
	w.field(id, thriftI8)
	w.b = append(w.b, byte(x))
}

func (w *thriftWriter) boolean(id int16, x bool) {
	if x {
		w.field(id, thriftTrue)
	} else {
		w.field(id, thriftFalse)
	}
}

func (w *thriftWriter) bytes(id int16, x []byte) {
	w.field(id, thriftBinary)
	w.b = binary.AppendUvarint(w.b, uint64(len(x)))
	w.b = append(w.b, x...)
}

func (w *thriftWriter) text(id int16, x string) {
	w.field(id, thriftBinary)
	w.item(x)
}

// list begins a list; its elements follow: item, number, or structures between begin and end.
func (w *thriftWriter) list(id int16, typ byte, n int) {
	w.field(id, thriftList)
	if n < 15 {
		w.b = append(w.b, byte(n)<<4|typ)
		return
	}
	w.b = append(w.b, 0xf0|typ)
	w.b = binary.AppendUvarint(w.b, uint64(n))
}

func (w *thriftWriter) item(x string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(x)))
	w.b = append(w.b, x...)
}

func (w *thriftWriter) number(x int32) { w.b = binary.AppendVarint(w.b, int64(x)) }

// begin opens a structure that is an element of a list; open one that is a field.
func (w *thriftWriter) begin() { w.last = append(w.last, 0) }

func (w *thriftWriter) open(id int16) {
	w.field(id, thriftStruct)
	w.begin()
}

func (w *thriftWriter) end() {
	w.b = append(w.b, 0)
	w.last = w.last[:len(w.last)-1]
}

// empty writes a field that is a structure without fields, as Parquet's unions have.
func (w *thriftWriter) empty(id int16) {
	w.open(id)
	w.end()
}
