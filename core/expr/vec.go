package expr

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// vec is a column of values during evaluation: a view of a batch's column, a constant, or scratch memory of an operation.
//
// Values are aligned with the batch's physical rows; only the rows of the selection that they were computed for are defined. A constant has its value in
// row 0, and mask 0 maps every row there. Values behind offsets have a start and an end each, in any order over data or kids, so that
// SUBSTRING shares its argument's bytes and branches of CASE can be written one after the other.
type vec struct {
	typ     core.Type
	mask    int            // -1, or 0 for a constant
	p       unsafe.Pointer // fixed-width values
	n       int            // rows
	valid   []byte         // LSB first, nil: no nulls
	start   []int32        // kinds with offsets
	end     []int32
	data    []byte // STRING, BYTES
	kids    []*vec // ARRAY 1, MAP 2, ROW one a field
	scratch bool   // p may be overwritten by the one consumer of this vec
	shared  bool   // data is another vec's

	fixed    []uint64 // memory behind p, when it is the vec's own
	bits     []byte   // memory behind valid, when it is the vec's own
	from, to []int32  // memory behind start and end, when it is the vec's own
	bytes    []byte   // memory behind data, when it is the vec's own
}

// vals gives the fixed-width values as T, which must have the kind's width.
func vals[T any](v *vec) []T {
	if v.n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(v.p), v.n)
}

func (v *vec) isConst() bool { return v.mask == 0 }

// null tells whether row r is null.
func (v *vec) null(r int) bool {
	r &= v.mask
	return v.valid != nil && v.valid[r>>3]>>(r&7)&1 == 0
}

// str gives the bytes of row r of a STRING or BYTES vec.
func (v *vec) str(r int) []byte {
	r &= v.mask
	return v.data[v.start[r]:v.end[r]:v.end[r]]
}

// at gives the fixed-width value of row r.
func at[T any](v *vec, r int) T { return vals[T](v)[r&v.mask] }

// reset makes v an own, writable vec of n rows without nulls, whose values are undefined (and empty for kinds with offsets).
func (v *vec) reset(t core.Type, n int) {
	v.typ, v.mask, v.n, v.valid, v.scratch, v.shared = t, -1, n, nil, true, false
	switch k := t.Kind; {
	case k.Width() > 0:
		v.ownFixed(n * k.Width())
	case k.HasOffsets():
		if cap(v.from) < n {
			v.from, v.to = make([]int32, grown(n)), make([]int32, grown(n))
		}
		v.from, v.to = v.from[:cap(v.from)], v.to[:cap(v.to)]
		v.start, v.end = v.from[:n], v.to[:n]
		clear(v.start)
		clear(v.end)
		if cap(v.bytes) > keepBytes {
			v.bytes = nil
		}
		v.data = v.bytes[:0]
	}
	if t.Kind.IsNested() {
		rows := 0
		if t.Kind == core.Row {
			rows = n
		}
		v.ownKids(t)
		for i, e := range t.Elements {
			v.kids[i].reset(e.Type, rows)
		}
	}
}

// keepBytes is the most memory of strings that scratch keeps from one batch to the next.
const keepBytes = 4 << 20

// grown rounds a number of rows up, so that slightly larger batches need no new memory.
func grown(n int) int { return max(64, (n+255)&^255) }

func (v *vec) ownFixed(size int) {
	if words := (size + 7) / 8; len(v.fixed) < words {
		fresh := make([]uint64, max(grown(words), 2*len(v.fixed)))
		copy(fresh, v.fixed)
		v.fixed = fresh
	}
	v.p = unsafe.Pointer(unsafe.SliceData(v.fixed))
}

func (v *vec) ownKids(t core.Type) {
	for len(v.kids) < len(t.Elements) {
		v.kids = append(v.kids, new(vec))
	}
	v.kids = v.kids[:len(t.Elements)]
}

// ownBits gives an own bitmap of n rows with undefined bits.
func (v *vec) ownBits(n int) []byte {
	size := (n + 63) / 64 * 8
	if cap(v.bits) < size {
		v.bits = make([]byte, max(grown(size), 2*cap(v.bits)))
	}
	return v.bits[:size]
}

// setNull makes row r null; v is an own vec.
func (v *vec) setNull(r int) {
	if v.valid == nil {
		v.valid = v.ownBits(v.n)
		for i := range v.valid {
			v.valid[i] = 0xff
		}
	}
	v.valid[r>>3] &^= 1 << (r & 7)
}

// setBytes writes a STRING or BYTES value by copying it.
func (v *vec) setBytes(r int, s []byte) {
	v.start[r] = int32(len(v.data))
	v.data = append(v.data, s...)
	v.end[r] = int32(len(v.data))
}

// keep stores the memory behind data for the next time and refuses what offsets cannot reach.
func (v *vec) keep() error {
	if v.shared {
		return nil
	}
	v.bytes = v.data[:0]
	if len(v.data) > math.MaxInt32 {
		return causef(ErrTooLarge, "the strings of one batch are longer than 2 GiB")
	}
	return nil
}

// allNull makes v an own constant null.
func (v *vec) allNull(t core.Type) {
	v.reset(t, 1)
	v.makeConst()
	v.setNull(0)
}

// makeConst declares that row 0 stands for every row.
func (v *vec) makeConst() {
	v.mask, v.scratch = 0, false
	if v.typ.Kind == core.Row {
		for _, kid := range v.kids {
			kid.makeConst()
		}
	}
}

// intersect sets v's nulls to those of a or b; v has n rows. It gives false when a constant argument is null and so every row is.
func (v *vec) intersect(n int, args ...*vec) bool {
	v.valid = nil
	for _, a := range args {
		if a.valid == nil {
			continue
		}
		if a.isConst() {
			if a.null(0) {
				return false
			}
			continue
		}
		if v.valid == nil {
			v.valid = v.ownBits(n)
			copied := copy(v.valid, a.valid[:min(len(a.valid), (n+7)/8)])
			clear(v.valid[copied:])
			continue
		}
		andBits(v.valid, a.valid, n)
	}
	return true
}

// andBits intersects dst with src over n rows, a word at a time.
func andBits(dst, src []byte, n int) {
	i, size := 0, (n+7)/8
	for ; i+8 <= size && i+8 <= len(src); i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(dst[i:])&binary.LittleEndian.Uint64(src[i:]))
	}
	for ; i < size; i++ {
		dst[i] &= src[i]
	}
}

// view makes v a view of a batch's column.
func (v *vec) view(c *core.Vector) {
	v.typ, v.mask, v.n, v.scratch = c.Type, -1, c.Len(), false
	v.valid = c.Validity()
	switch k := c.Type.Kind; {
	case k.Width() > 0:
		v.p = unsafe.Pointer(unsafe.SliceData(c.Data()))
	case k.HasOffsets():
		o := c.Offsets()
		v.start, v.end = o[:v.n], o[1:v.n+1]
		v.data = c.Data()
	}
	if c.Type.Kind.IsNested() {
		v.ownKids(c.Type)
		for i := range v.kids {
			v.kids[i].view(c.Child(i))
		}
	}
}

// copyRows copies the rows of sel (nil: all n) from src to the same rows of dst, which is an own vec of the same kind.
func copyRows(dst, src *vec, sel []int32) {
	switch k := dst.typ.Kind; {
	case k.Width() > 0:
		copyFixed(dst, src, sel)
	case k == core.Row:
		for i := range dst.kids {
			copyRows(dst.kids[i], src.kids[i], sel)
		}
	case k == core.String || k == core.Bytes:
		eachRow(sel, dst.n, func(r int) { dst.setBytes(r, src.str(r)) })
	default:
		eachRow(sel, dst.n, func(r int) {
			s := r & src.mask
			dst.start[r] = int32(dst.kids[0].n)
			for j := int(src.start[s]); j < int(src.end[s]); j++ {
				for i, kid := range dst.kids {
					kid.push(src.kids[i], j)
				}
			}
			dst.end[r] = int32(dst.kids[0].n)
		})
	}
	if src.valid != nil {
		eachRow(sel, dst.n, func(r int) {
			if src.null(r) {
				dst.setNull(r)
			}
		})
	}
}

func eachRow(sel []int32, n int, f func(int)) {
	if sel == nil {
		for r := range n {
			f(r)
		}
		return
	}
	for _, r := range sel {
		f(int(r))
	}
}

func copyFixed(dst, src *vec, sel []int32) {
	switch dst.typ.Kind.Width() {
	case 1:
		copyValues(vals[uint8](dst), vals[uint8](src), sel, src.mask)
	case 2:
		copyValues(vals[uint16](dst), vals[uint16](src), sel, src.mask)
	case 4:
		copyValues(vals[uint32](dst), vals[uint32](src), sel, src.mask)
	case 8:
		copyValues(vals[uint64](dst), vals[uint64](src), sel, src.mask)
	case 16:
		copyValues(vals[decimal128.Num](dst), vals[decimal128.Num](src), sel, src.mask)
	}
}

func copyValues[T any](dst, src []T, sel []int32, mask int) {
	switch {
	case mask == 0 && sel == nil:
		c := src[0]
		for i := range dst {
			dst[i] = c
		}
	case mask == 0:
		c := src[0]
		for _, r := range sel {
			dst[r] = c
		}
	case sel == nil:
		copy(dst, src)
	default:
		for _, r := range sel {
			dst[r] = src[r]
		}
	}
}

// push appends row j of src, which has the same kind, to v, an own vec.
func (v *vec) push(src *vec, j int) {
	j &= src.mask
	r := v.n
	v.grow()
	switch k := v.typ.Kind; k.Width() {
	case 1:
		vals[uint8](v)[r] = vals[uint8](src)[j]
	case 2:
		vals[uint16](v)[r] = vals[uint16](src)[j]
	case 4:
		vals[uint32](v)[r] = vals[uint32](src)[j]
	case 8:
		vals[uint64](v)[r] = vals[uint64](src)[j]
	case 16:
		vals[decimal128.Num](v)[r] = vals[decimal128.Num](src)[j]
	default:
		v.pushVar(src, r, j)
	}
	if src.null(j) {
		v.setNull(r)
	}
}

func (v *vec) pushVar(src *vec, r, j int) {
	switch v.typ.Kind {
	case core.String, core.Bytes:
		v.setBytes(r, src.str(j))
	case core.Row:
		for i, kid := range v.kids {
			kid.push(src.kids[i], j)
		}
	default:
		v.start[r] = int32(v.kids[0].n)
		for x := int(src.start[j]); x < int(src.end[j]); x++ {
			for i, kid := range v.kids {
				kid.push(src.kids[i], x)
			}
		}
		v.end[r] = int32(v.kids[0].n)
	}
}

// grow adds one row that is not null, with an undefined value.
func (v *vec) grow() {
	r := v.n
	v.n++
	switch k := v.typ.Kind; {
	case k.Width() > 0:
		v.ownFixed(v.n * k.Width())
	case k.HasOffsets():
		v.from = append(v.from[:r], 0)
		v.to = append(v.to[:r], 0)
		v.start, v.end = v.from, v.to
	}
	if v.valid != nil {
		old := v.valid
		v.valid = v.ownBits(v.n)
		if len(v.valid) > len(old) || unsafe.SliceData(old) != unsafe.SliceData(v.valid) {
			copy(v.valid, old)
		}
		v.valid[r>>3] |= 1 << (r & 7)
	}
}
