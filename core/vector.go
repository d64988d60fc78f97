package core

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/internal/invariants"
	"turbo/memory"
)

// Vector is one column of values, of any length, in Arrow's layout (see the package's invariants 2 and 3). It is built
// by one goroutine, emitted, and from then on only read; Retain and Release may be called from any goroutine.
//
// The typed slices that its methods return alias its buffers: they end with the last reference, and with the next append.
type Vector struct {
	Type     Type
	n        int
	nulls    int       // exact number of nulls
	validity []byte    // bitmap, LSB first; nil when nulls == 0
	data     []byte    // fixed-width values, or the bytes of strings
	offsets  []byte    // int32 × (n+1) for kinds with offsets
	children []*Vector // ARRAY 1, MAP 2, ROW one a field
	account  *memory.Account
	refs     atomic.Int32
}

var vectorHeaders = sync.Pool{New: func() any { return new(Vector) }}

// NewVector returns an empty vector of type t with one reference, whose buffers come from account.
// Space for capacity rows is set aside for fixed-width kinds and offsets; vectors grow as needed.
func NewVector(account *memory.Account, t Type, capacity int) *Vector {
	v := vectorHeaders.Get().(*Vector)
	v.Type, v.account, v.n, v.nulls = t, account, 0, 0
	v.refs.Store(1)
	if w := t.Kind.Width(); w > 0 && capacity > 0 {
		v.data = account.Allocate(w * capacity)[:0]
	}
	if t.Kind.HasOffsets() {
		v.offsets = account.Allocate(4 * (capacity + 1))[:4]
		clear(v.offsets)
	}
	for _, e := range t.Elements {
		v.children = append(v.children, NewVector(account, e.Type, capacity))
	}
	return v
}

// Len returns the number of rows.
func (v *Vector) Len() int { return v.n }

// NullCount returns the number of null rows.
func (v *Vector) NullCount() int { return v.nulls }

// HasNulls reports whether any row is null.
func (v *Vector) HasNulls() bool { return v.nulls > 0 }

// Null reports whether row i is null.
func (v *Vector) Null(i int) bool {
	return v.nulls > 0 && v.validity[i>>3]&(1<<(i&7)) == 0
}

// Validity returns the bitmap of rows that are not null (LSB first, at least (Len+7)/8 bytes, bits beyond Len undefined),
// or nil when no row is null.
func (v *Vector) Validity() []byte {
	if v.nulls == 0 {
		return nil
	}
	return v.validity
}

// Retain adds a reference and returns v.
func (v *Vector) Retain() *Vector {
	v.refs.Add(1)
	return v
}

// Shared reports whether somebody else holds a reference too.
func (v *Vector) Shared() bool { return v.refs.Load() > 1 }

// Release drops a reference; the last one gives the buffers back to the account.
func (v *Vector) Release() {
	n := v.refs.Add(-1)
	if invariants.Enabled {
		invariants.Check(n >= 0, "vector released more often than retained")
	}
	if n != 0 {
		return
	}
	for i, c := range v.children {
		c.Release()
		v.children[i] = nil
	}
	v.freeBuffer(&v.data)
	v.freeBuffer(&v.offsets)
	v.freeBuffer(&v.validity)
	children := v.children[:0]
	v.n, v.nulls, v.account, v.Type = 0, 0, nil, Type{}
	v.children = children
	vectorHeaders.Put(v)
}

func (v *Vector) freeBuffer(b *[]byte) {
	if cap(*b) > 0 && v.account != nil {
		v.account.Free((*b)[:cap(*b)])
	}
	*b = nil
}

// Reset empties the vector and keeps its buffers. The caller holds the only reference.
func (v *Vector) Reset() {
	if invariants.Enabled {
		invariants.Check(!v.Shared(), "reset of a shared vector")
	}
	v.n, v.nulls = 0, 0
	v.data = v.data[:0]
	v.validity = v.validity[:0]
	if v.Type.Kind.HasOffsets() {
		v.offsets = v.offsets[:4]
	}
	for _, c := range v.children {
		c.Reset()
	}
}

// grow makes room for more bytes behind len(*b), at least doubling, and keeps what is there.
func (v *Vector) grow(b *[]byte, more int) {
	need := len(*b) + more
	if need <= cap(*b) {
		return
	}
	fresh := v.account.Allocate(max(need, 2*cap(*b), 64))
	n := copy(fresh, *b)
	if cap(*b) > 0 {
		v.account.Free((*b)[:cap(*b)])
	}
	*b = fresh[:n]
}

// Bytes of memory that the vector's buffers take, children included.
func (v *Vector) Size() int {
	n := cap(v.data) + cap(v.offsets) + cap(v.validity)
	for _, c := range v.children {
		n += c.Size()
	}
	return n
}

// view reinterprets the first n values of a buffer. Buffers are 64-byte aligned.
func view[T any](b []byte, n int) []T {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// Bools returns BOOLEAN values, one byte each, 0 or 1.
func (v *Vector) Bools() []uint8 { return v.data[:v.n] }

// Int8s returns the values of a TINYINT vector.
func (v *Vector) Int8s() []int8 { return view[int8](v.data, v.n) }

// Int16s returns the values of a SMALLINT vector.
func (v *Vector) Int16s() []int16 { return view[int16](v.data, v.n) }

// Int32s returns the values of an INT, DATE or INTERVAL YEAR TO MONTH vector.
func (v *Vector) Int32s() []int32 { return view[int32](v.data, v.n) }

// Int64s returns the values of a BIGINT, TIME, TIMESTAMP, TIMESTAMP_LTZ or INTERVAL DAY TO SECOND vector.
func (v *Vector) Int64s() []int64 { return view[int64](v.data, v.n) }

// Float32s returns the values of a FLOAT vector.
func (v *Vector) Float32s() []float32 { return view[float32](v.data, v.n) }

// Float64s returns the values of a DOUBLE vector.
func (v *Vector) Float64s() []float64 { return view[float64](v.data, v.n) }

// Decimals returns the unscaled values of a DECIMAL vector.
func (v *Vector) Decimals() []decimal128.Num { return view[decimal128.Num](v.data, v.n) }

// Values returns the values as T, which must have the kind's width: for generic kernels.
func Values[T any](v *Vector) []T { return view[T](v.data, v.n) }

// Offsets returns the n+1 offsets of a STRING, BYTES, ARRAY or MAP vector.
func (v *Vector) Offsets() []int32 { return view[int32](v.offsets, v.n+1) }

// Data returns the bytes behind the offsets of a STRING or BYTES vector, or the raw values of a fixed-width one.
func (v *Vector) Data() []byte { return v.data }

// BytesAt returns the bytes of row i of a STRING or BYTES vector, aliasing the vector.
func (v *Vector) BytesAt(i int) []byte {
	o := v.Offsets()
	return v.data[o[i]:o[i+1]:o[i+1]]
}

// StringAt returns row i of a STRING vector, aliasing the vector: clone it to keep it.
func (v *Vector) StringAt(i int) string {
	o := v.Offsets()
	b := v.data[o[i]:o[i+1]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Child returns the i-th child of a nested vector: an ARRAY's elements (0), a MAP's keys (0) and values (1), a ROW's field.
func (v *Vector) Child(i int) *Vector { return v.children[i] }

// Truncate drops the rows from n on, and what was appended to children for a row that was not ended. The caller holds
// the only reference.
func (v *Vector) Truncate(n int) {
	if n >= v.n {
		v.trimChildren()
		return
	}
	if v.nulls > 0 {
		for i := n; i < v.n; i++ {
			if v.validity[i>>3]&(1<<(i&7)) == 0 {
				v.nulls--
			}
		}
		v.validity = v.validity[:(n+7)/8]
		if n&7 != 0 {
			v.validity[n>>3] &= 1<<(n&7) - 1
		}
		if v.nulls == 0 {
			v.validity = v.validity[:0]
		}
	}
	k := v.Type.Kind
	if w := k.Width(); w > 0 {
		v.data = v.data[:n*w]
	}
	if k.HasOffsets() {
		end := int(v.Offsets()[n])
		v.offsets = v.offsets[:4*(n+1)]
		if k == String || k == Bytes {
			v.data = v.data[:end]
		}
		for _, c := range v.children {
			c.Truncate(end)
		}
	}
	if k == Row {
		for _, c := range v.children {
			c.Truncate(n)
		}
	}
	v.n = n
}

// trimChildren drops what children have beyond the vector's last row.
func (v *Vector) trimChildren() {
	end := v.n
	if v.Type.Kind == Array || v.Type.Kind == Map {
		end = int(v.Offsets()[v.n])
	}
	for _, c := range v.children {
		c.Truncate(end)
	}
}

// Extend appends n rows of a fixed-width kind that are not null and whose values are undefined: the caller fills the
// typed slice from the old length on. It is how kernels write their results.
func (v *Vector) Extend(n int) {
	w := v.Type.Kind.Width()
	v.grow(&v.data, n*w)
	v.data = v.data[:len(v.data)+n*w]
	if v.nulls > 0 {
		v.validBits(v.n, n)
	}
	v.n += n
}

// validBits marks rows [from, from+n) as not null in an existing bitmap, growing it. Bits beyond stay zero.
func (v *Vector) validBits(from, n int) {
	need := (from + n + 7) / 8
	if old := len(v.validity); need > old {
		v.grow(&v.validity, need-old)
		v.validity = v.validity[:need]
		clear(v.validity[old:])
	}
	setBits(v.validity, from, n)
}

// setBits sets n bits from the bit from on.
func setBits(b []byte, from, n int) {
	i, end := from, from+n
	for ; i < end && i&7 != 0; i++ {
		b[i>>3] |= 1 << (i & 7)
	}
	for ; i+8 <= end; i += 8 {
		b[i>>3] = 0xff
	}
	for ; i < end; i++ {
		b[i>>3] |= 1 << (i & 7)
	}
}

// SetNull makes an existing row null. The caller holds the only reference.
func (v *Vector) SetNull(i int) {
	if v.nulls == 0 {
		v.validity = v.validity[:0]
		v.validBits(0, v.n)
	}
	if bit := byte(1) << (i & 7); v.validity[i>>3]&bit != 0 {
		v.validity[i>>3] &^= bit
		v.nulls++
	}
}

// SetValidity replaces the nulls of a built vector by a copy of bitmap (LSB first, at least (Len+7)/8 bytes), or by none
// when bitmap is nil. The caller holds the only reference.
func (v *Vector) SetValidity(bitmap []byte) {
	v.nulls = 0
	v.validity = v.validity[:0]
	if bitmap == nil || v.n == 0 {
		return
	}
	bytes := (v.n + 7) / 8
	v.grow(&v.validity, bytes)
	v.validity = v.validity[:bytes]
	copy(v.validity, bitmap[:bytes])
	if v.n&7 != 0 {
		v.validity[bytes-1] &= 1<<(v.n&7) - 1
	}
	valid := 0
	for _, b := range v.validity {
		valid += bits.OnesCount8(b)
	}
	if v.nulls = v.n - valid; v.nulls == 0 {
		v.validity = v.validity[:0]
	}
}
