package core

import (
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
)

// appendFixed appends one value of the kind's width.
func appendFixed[T any](v *Vector, x T) {
	w := int(unsafe.Sizeof(x))
	n := len(v.data)
	if n+w > cap(v.data) {
		v.grow(&v.data, w)
	}
	v.data = v.data[:n+w]
	*(*T)(unsafe.Pointer(&v.data[n])) = x
	if v.nulls > 0 {
		v.validBits(v.n, 1)
	}
	v.n++
}

// AppendBool appends a BOOLEAN.
func (v *Vector) AppendBool(x bool) {
	var b uint8
	if x {
		b = 1
	}
	appendFixed(v, b)
}

// AppendInt8 appends a TINYINT.
func (v *Vector) AppendInt8(x int8) { appendFixed(v, x) }

// AppendInt16 appends a SMALLINT.
func (v *Vector) AppendInt16(x int16) { appendFixed(v, x) }

// AppendInt32 appends an INT, DATE or INTERVAL YEAR TO MONTH.
func (v *Vector) AppendInt32(x int32) { appendFixed(v, x) }

// AppendInt64 appends a BIGINT or any kind that is stored as int64.
func (v *Vector) AppendInt64(x int64) { appendFixed(v, x) }

// AppendFloat32 appends a FLOAT.
func (v *Vector) AppendFloat32(x float32) { appendFixed(v, x) }

// AppendFloat64 appends a DOUBLE.
func (v *Vector) AppendFloat64(x float64) { appendFixed(v, x) }

// AppendDecimal appends the unscaled value of a DECIMAL.
func (v *Vector) AppendDecimal(x decimal128.Num) { appendFixed(v, x) }

// AppendBytes appends a STRING or BYTES value, copying it.
func (v *Vector) AppendBytes(x []byte) {
	v.grow(&v.data, len(x))
	v.data = append(v.data, x...)
	v.endOffset(len(v.data))
}

// AppendString appends a STRING value, copying it.
func (v *Vector) AppendString(x string) {
	v.grow(&v.data, len(x))
	v.data = append(v.data, x...)
	v.endOffset(len(v.data))
}

// endOffset closes a row of a kind with offsets at end.
func (v *Vector) endOffset(end int) {
	n := len(v.offsets)
	if n+4 > cap(v.offsets) {
		v.grow(&v.offsets, 4)
	}
	v.offsets = v.offsets[:n+4]
	*(*int32)(unsafe.Pointer(&v.offsets[n])) = int32(end)
	if v.nulls > 0 {
		v.validBits(v.n, 1)
	}
	v.n++
}

// EndElement closes a row of an ARRAY, MAP or ROW whose values have been appended to the children.
func (v *Vector) EndElement() {
	if v.Type.Kind != Row {
		v.endOffset(v.children[0].n)
		return
	}
	if v.nulls > 0 {
		v.validBits(v.n, 1)
	}
	v.n++
}

// AppendNull appends a null of any kind.
func (v *Vector) AppendNull() {
	k := v.Type.Kind
	switch {
	case k.Width() > 0:
		w := k.Width()
		v.grow(&v.data, w)
		n := len(v.data)
		v.data = v.data[:n+w]
		clear(v.data[n:])
	case k.HasOffsets():
		n := len(v.offsets)
		v.grow(&v.offsets, 4)
		v.offsets = v.offsets[:n+4]
		copy(v.offsets[n:], v.offsets[n-4:n])
	default:
		for _, c := range v.children {
			c.AppendNull()
		}
	}
	v.n++
	if v.nulls == 0 {
		v.validity = v.validity[:0]
		v.validBits(0, v.n)
	} else if need := (v.n + 7) / 8; need > len(v.validity) {
		v.grow(&v.validity, 1)
		v.validity = append(v.validity, 0)
	}
	v.validity[(v.n-1)>>3] &^= 1 << ((v.n - 1) & 7)
	v.nulls++
}

// AppendRow appends row i of src, which has the same type.
func (v *Vector) AppendRow(src *Vector, i int) {
	if src.Null(i) {
		v.AppendNull()
		return
	}
	switch k := v.Type.Kind; k {
	case String, Bytes:
		v.AppendBytes(src.BytesAt(i))
	case Array, Map:
		o := src.Offsets()
		for c := range v.children {
			v.children[c].AppendRange(src.children[c], int(o[i]), int(o[i+1]-o[i]))
		}
		v.EndElement()
	case Row:
		for c := range v.children {
			v.children[c].AppendRow(src.children[c], i)
		}
		v.EndElement()
	default:
		w := k.Width()
		v.grow(&v.data, w)
		v.data = append(v.data, src.data[i*w:i*w+w]...)
		if v.nulls > 0 {
			v.validBits(v.n, 1)
		}
		v.n++
	}
}

// AppendRange appends rows [from, from+n) of src, which has the same type.
func (v *Vector) AppendRange(src *Vector, from, n int) {
	if n == 0 {
		return
	}
	start := v.n
	switch k := v.Type.Kind; k {
	case String, Bytes, Array, Map:
		o := src.Offsets()
		lo, hi := o[from], o[from+n]
		var base int32
		if k == String || k == Bytes {
			base = int32(len(v.data))
			v.grow(&v.data, int(hi-lo))
			v.data = append(v.data, src.data[lo:hi]...)
		} else {
			base = int32(v.children[0].n)
			for c := range v.children {
				v.children[c].AppendRange(src.children[c], int(lo), int(hi-lo))
			}
		}
		v.grow(&v.offsets, 4*n)
		v.offsets = v.offsets[:len(v.offsets)+4*n]
		out := view[int32](v.offsets, start+n+1)[start+1:]
		for i := range out {
			out[i] = o[from+i+1] - lo + base
		}
	case Row:
		for c := range v.children {
			v.children[c].AppendRange(src.children[c], from, n)
		}
	default:
		w := k.Width()
		v.grow(&v.data, n*w)
		v.data = append(v.data, src.data[from*w:(from+n)*w]...)
	}
	v.n += n
	v.appendNulls(src, start, n, func(i int) int { return from + i })
}

// appendNulls brings the bitmap up to date after n rows were appended at start; at maps them to rows of src.
func (v *Vector) appendNulls(src *Vector, start, n int, at func(int) int) {
	if v.nulls > 0 {
		v.validBits(start, n)
	}
	if src.nulls == 0 {
		return
	}
	for i := range n {
		if src.Null(at(i)) {
			v.SetNull(start + i)
		}
	}
}

// AppendSelected appends the rows of src that sel names, in its order (rows may repeat). src has the same type.
func (v *Vector) AppendSelected(src *Vector, sel []int32) {
	if len(sel) == 0 {
		return
	}
	start := v.n
	switch k := v.Type.Kind; k.Width() {
	case 1:
		gather[uint8](v, src, sel)
	case 2:
		gather[uint16](v, src, sel)
	case 4:
		gather[uint32](v, src, sel)
	case 8:
		gather[uint64](v, src, sel)
	case 16:
		gather[[2]uint64](v, src, sel)
	default:
		switch k {
		case String, Bytes:
			v.gatherBytes(src, sel)
		case Row:
			for c := range v.children {
				v.children[c].AppendSelected(src.children[c], sel)
			}
			v.n += len(sel)
		default:
			for _, i := range sel {
				v.AppendRow(src, int(i))
			}
			return
		}
	}
	v.appendNulls(src, start, len(sel), func(i int) int { return int(sel[i]) })
}

func gather[T any](v, src *Vector, sel []int32) {
	var zero T
	w := int(unsafe.Sizeof(zero))
	v.grow(&v.data, len(sel)*w)
	v.data = v.data[:len(v.data)+len(sel)*w]
	out := view[T](v.data, v.n+len(sel))[v.n:]
	in := view[T](src.data, src.n)
	out = out[:len(sel)]
	for i, s := range sel {
		out[i] = in[s]
	}
	v.n += len(sel)
}

func (v *Vector) gatherBytes(src *Vector, sel []int32) {
	o := src.Offsets()
	total := 0
	for _, s := range sel {
		total += int(o[s+1] - o[s])
	}
	v.grow(&v.data, total)
	v.grow(&v.offsets, 4*len(sel))
	v.offsets = v.offsets[:len(v.offsets)+4*len(sel)]
	out := view[int32](v.offsets, v.n+1+len(sel))[v.n+1:]
	data := v.data
	for i, s := range sel {
		data = append(data, src.data[o[s]:o[s+1]]...)
		out[i] = int32(len(data))
	}
	v.data = data
	v.n += len(sel)
}

// AppendNulls appends n nulls.
func (v *Vector) AppendNulls(n int) {
	for range n {
		v.AppendNull()
	}
}
