package state

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// Column is typed access to one word of every row: the value of slot s is Words[int(s)*Stride+Offset]. It is valid until the next
// Upsert. Writes must be announced by Touch, Upsert or TouchDistinct, and leave validity alone (see Validity).
type Column[T int64 | uint64 | float64] struct {
	Words  []T
	Stride int
	Offset int
}

// At returns the value of a slot. Loops over many slots use the fields.
func (c Column[T]) At(slot uint32) T { return c.Words[int(slot)*c.Stride+c.Offset] }

// Set writes the value of a slot.
func (c Column[T]) Set(slot uint32, x T) { c.Words[int(slot)*c.Stride+c.Offset] = x }

// Validity is access to the bit that says that a field is not null: Words[int(slot)*Stride+Offset] & Mask != 0.
type Validity struct {
	Words  []uint64
	Stride int
	Offset int
	Mask   uint64
}

// Null reports whether the field of a slot is null.
func (v Validity) Null(slot uint32) bool { return v.Words[int(slot)*v.Stride+v.Offset]&v.Mask == 0 }

// SetNull makes a fixed-width field null, SetValid makes it not null. Variable-width fields have SetBytes and SetNull of the table.
func (v Validity) SetNull(slot uint32) { v.Words[int(slot)*v.Stride+v.Offset] &^= v.Mask }

// SetValid says that the field of slot has a value.
func (v Validity) SetValid(slot uint32) { v.Words[int(slot)*v.Stride+v.Offset] |= v.Mask }

// Fields returns the key and value fields. Field numbers of all methods count keys first.
func (t *Table) Fields() []core.Field {
	out := make([]core.Field, len(t.fields))
	for i := range t.fields {
		out[i] = t.fields[i].Field
	}
	return out
}

// Ints gives access to a field of an integer kind, BOOLEAN (0, 1), or one of date and time.
func (t *Table) Ints(field int) Column[int64] {
	return Column[int64]{view[int64](t.rows.words), t.stride, t.fields[field].offset}
}

// Floats gives access to a FLOAT or DOUBLE field; FLOAT values are widened.
func (t *Table) Floats(field int) Column[float64] {
	return Column[float64]{view[float64](t.rows.words), t.stride, t.fields[field].offset}
}

// Words gives access to the raw words of a fixed-width field: part 0, and for DECIMAL (low, high) part 1 too.
func (t *Table) Words(field, part int) Column[uint64] {
	return Column[uint64]{t.rows.words, t.stride, t.fields[field].offset + part}
}

// Validity gives access to the validity of a field.
func (t *Table) Validity(field int) Validity {
	f := &t.fields[field]
	return Validity{t.rows.words, t.stride, f.valid, f.mask}
}

func view[T any](words []uint64) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(words))), len(words))
}

// Null reports whether a field of a slot is null.
func (t *Table) Null(slot uint32, field int) bool { return t.Validity(field).Null(slot) }

// BytesAt returns the value of a STRING or BYTES field, nil for null. It is valid until the next change of the table.
func (t *Table) BytesAt(slot uint32, field int) []byte {
	f := &t.fields[field]
	row := t.rows.words[int(slot)*t.stride:]
	if row[f.valid]&f.mask == 0 {
		return nil
	}
	if b := t.heap.at(handle(row[f.offset])); b != nil {
		return b
	}
	return []byte{}
}

// SetBytes writes a STRING or BYTES value, which is copied. The slot has been announced.
func (t *Table) SetBytes(slot uint32, field int, b []byte) error {
	f := &t.fields[field]
	row := t.rows.words[int(slot)*t.stride:]
	h, err := t.heap.replace(handle(row[f.offset]), b)
	if err != nil {
		return err
	}
	row[f.offset] = uint64(h)
	row[f.valid] |= f.mask
	return nil
}

// AppendBytes puts more, which is copied, behind a STRING or BYTES value; a null one becomes more. The slot has been announced.
func (t *Table) AppendBytes(slot uint32, field int, more []byte) error {
	f := &t.fields[field]
	row := t.rows.words[int(slot)*t.stride:]
	h, err := t.heap.extend(handle(row[f.offset]), more)
	if err != nil {
		return err
	}
	row[f.offset] = uint64(h)
	row[f.valid] |= f.mask
	return nil
}

// OwnBytes returns a value as BytesAt does when it may be changed in place, and nil when it is null, empty or being written to a checkpoint: SetBytes then writes a changed
// copy. The slot has been announced; the bytes are valid until the next call that changes the table.
func (t *Table) OwnBytes(slot uint32, field int) []byte {
	if t.heap.pins.Load() > 0 {
		return nil
	}
	return t.heap.at(handle(t.rows.words[int(slot)*t.stride+t.fields[field].offset]))
}

// SetNull makes a value of any type null. The slot has been announced.
func (t *Table) SetNull(slot uint32, field int) {
	f := &t.fields[field]
	row := t.rows.words[int(slot)*t.stride:]
	if f.storage >= storeBytes {
		t.heap.drop(handle(row[f.offset]))
		row[f.offset] = 0
	}
	row[f.valid] &^= f.mask
}

// SetValue writes row i of v, which has the field's type, to a value field of any type. The slot has been announced.
func (t *Table) SetValue(slot uint32, field int, v *core.Vector, i int) error {
	f := &t.fields[field]
	if v.Null(i) {
		t.SetNull(slot, field)
		return nil
	}
	row := t.rows.words[int(slot)*t.stride:]
	switch f.storage {
	case storeBytes:
		return t.SetBytes(slot, field, v.BytesAt(i))
	case storeBlob:
		t.scratch.bytes = appendPresent(t.scratch.bytes[:0], v, i, false)
		return t.SetBytes(slot, field, t.scratch.bytes)
	case storeWide:
		d := v.Decimals()[i]
		row[f.offset], row[f.offset+1] = d.LowBits(), uint64(d.HighBits())
	case storeFloat:
		if f.Type.Kind == core.Float32 {
			row[f.offset] = math.Float64bits(float64(v.Float32s()[i]))
		} else {
			row[f.offset] = math.Float64bits(v.Float64s()[i])
		}
	default:
		row[f.offset] = uint64(IntAt(v, i))
	}
	row[f.valid] |= f.mask
	return nil
}

// IntAt returns row i of a vector of an integer kind, BOOLEAN, or one of date and time.
func IntAt(v *core.Vector, i int) int64 {
	switch v.Type.Kind.Width() {
	case 1:
		if v.Type.Kind == core.Boolean {
			return int64(v.Bools()[i])
		}
		return int64(v.Int8s()[i])
	case 2:
		return int64(v.Int16s()[i])
	case 4:
		return int64(v.Int32s()[i])
	}
	return v.Int64s()[i]
}

// AppendKeys appends the keys of slots to one vector a key column. It panics like Vector's appends at the memory limit.
func (t *Table) AppendKeys(columns []*core.Vector, slots []uint32) error {
	for i, v := range columns[:t.keys] {
		if err := t.AppendValues(v, i, slots); err != nil {
			return err
		}
	}
	return nil
}

// AppendValues appends a field of slots to v, which has the field's type. An error is damage of a nested value.
func (t *Table) AppendValues(v *core.Vector, field int, slots []uint32) error {
	f := &t.fields[field]
	if f.storage >= storeBytes {
		return t.appendHeap(v, f, slots)
	}
	from := v.Len()
	v.Extend(len(slots))
	words, stride, at := t.rows.words, t.stride, f.offset
	if f.storage != storeWide && f.Type.Kind.Width() == 8 {
		if all := gatherWords(core.Values[uint64](v)[from:], words, stride, at, f.valid, slots); all&f.mask == 0 {
			t.appendNulls(v, f, from, slots)
		}
		return nil
	}
	switch f.storage {
	case storeWide:
		for i, s := range slots {
			o := int(s)*stride + at
			v.Decimals()[from+i] = decimal128.New(int64(words[o+1]), words[o])
		}
	case storeFloat:
		gather(v.Float32s()[from:], words, stride, at, slots, func(w uint64) float32 { return float32(math.Float64frombits(w)) })
	default:
		switch f.Type.Kind.Width() {
		case 1:
			gather(core.Values[uint8](v)[from:], words, stride, at, slots, func(w uint64) uint8 { return uint8(w) })
		case 2:
			gather(core.Values[uint16](v)[from:], words, stride, at, slots, func(w uint64) uint16 { return uint16(w) })
		default:
			gather(core.Values[uint32](v)[from:], words, stride, at, slots, func(w uint64) uint32 { return uint32(w) })
		}
	}
	t.appendNulls(v, f, from, slots)
	return nil
}

// appendNulls makes the rows of v from `from` on null where the field of the slot is.
func (t *Table) appendNulls(v *core.Vector, f *field, from int, slots []uint32) {
	for i, s := range slots {
		if t.rows.words[int(s)*t.stride+f.valid]&f.mask == 0 {
			v.SetNull(from + i)
		}
	}
}

// gatherWords copies one word of each slot, and returns the conjunction of the words with the validity bit.
func gatherWords(out, words []uint64, stride, at, valid int, slots []uint32) uint64 {
	out = out[:len(slots)]
	all := ^uint64(0)
	for i, s := range slots {
		o := int(s) * stride
		out[i] = words[o+at]
		all &= words[o+valid]
	}
	return all
}

func gather[T any](out []T, words []uint64, stride, at int, slots []uint32, convert func(uint64) T) {
	out = out[:len(slots)]
	for i, s := range slots {
		out[i] = convert(words[int(s)*stride+at])
	}
}

func (t *Table) appendHeap(v *core.Vector, f *field, slots []uint32) error {
	for _, s := range slots {
		row := t.rows.words[int(s)*t.stride:]
		if row[f.valid]&f.mask == 0 {
			v.AppendNull()
			continue
		}
		b := t.heap.at(handle(row[f.offset]))
		if f.storage == storeBytes {
			v.AppendBytes(b)
			continue
		}
		if rest, err := decodePresent(v, b); err != nil || len(rest) != 0 {
			return fmt.Errorf("table %s, column %s: %w", t.options.Table, f.Name, errValue)
		}
	}
	return nil
}
