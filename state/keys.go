package state

import (
	"math"

	"turbo/core"
)

// keyBlock is the keys of a block of rows in the shape in which table rows hold them: fixed-width values as words, the others as bytes.
type keyBlock struct {
	ready     bool
	at        []int                // word of the row, by word column
	words     []*[blockRows]uint64 // by word column
	bytesAt   []int                // word of the row, by byte column
	bytesMask []uint64
	bytes     []*[blockRows][]byte
	valid     [blockRows]uint64 // validity bits as in the header
	arena     []byte            // encodings of nested keys
	column    []int             // first word or byte column of each key
}

func (b *keyBlock) init(t *Table) {
	for i := range t.keys {
		switch f := &t.fields[i]; f.storage {
		case storeBytes, storeBlob:
			b.column = append(b.column, len(b.bytes))
			b.bytesAt = append(b.bytesAt, f.offset)
			b.bytesMask = append(b.bytesMask, f.mask)
			b.bytes = append(b.bytes, new([blockRows][]byte))
		case storeWide:
			b.column = append(b.column, len(b.words))
			b.at = append(b.at, f.offset, f.offset+1)
			b.words = append(b.words, new([blockRows]uint64), new([blockRows]uint64))
		default:
			b.column = append(b.column, len(b.words))
			b.at = append(b.at, f.offset)
			b.words = append(b.words, new([blockRows]uint64))
		}
	}
	b.ready = true
}

// load takes n rows: those that sel names, or those from `from` on.
func (b *keyBlock) load(t *Table, keys []*core.Vector, sel []int32, from, n int) {
	if !b.ready {
		b.init(t)
	}
	b.arena = b.arena[:0]
	for i := range n {
		b.valid[i] = t.keyMask
	}
	for c, v := range keys {
		f := &t.fields[c]
		switch f.storage {
		case storeInt:
			words := b.words[b.column[c]]
			switch v.Type.Kind.Width() {
			case 1:
				if v.Type.Kind == core.Boolean {
					loadWords(words, v.Bools(), sel, from, n)
				} else {
					loadWords(words, v.Int8s(), sel, from, n)
				}
			case 2:
				loadWords(words, v.Int16s(), sel, from, n)
			case 4:
				loadWords(words, v.Int32s(), sel, from, n)
			default:
				loadWords(words, v.Int64s(), sel, from, n)
			}
		case storeFloat:
			words := b.words[b.column[c]]
			if v.Type.Kind == core.Float32 {
				loadFloats(words, v.Float32s(), sel, from, n)
			} else {
				loadFloats(words, v.Float64s(), sel, from, n)
			}
		case storeWide:
			lo, hi := b.words[b.column[c]], b.words[b.column[c]+1]
			for i := range n {
				d := v.Decimals()[rowAt(sel, from, i)]
				lo[i], hi[i] = d.LowBits(), uint64(d.HighBits())
			}
		case storeBytes:
			out, offsets, data := b.bytes[b.column[c]], v.Offsets(), v.Data()
			for i := range n {
				r := rowAt(sel, from, i)
				out[i] = data[offsets[r]:offsets[r+1]]
			}
		case storeBlob:
			out := b.bytes[b.column[c]]
			for i := range n {
				r := rowAt(sel, from, i)
				if v.Null(r) {
					continue
				}
				start := len(b.arena)
				b.arena = appendPresent(b.arena, v, r, true)
				out[i] = b.arena[start:len(b.arena):len(b.arena)] // an older array stays valid when it grows
			}
		}
		if v.HasNulls() {
			b.nulls(v, f, c, sel, from, n)
		}
	}
}

// nulls marks the null keys of column c. Their words are zero, so that equal keys have equal words.
func (b *keyBlock) nulls(v *core.Vector, f *field, c int, sel []int32, from, n int) {
	for i := range n {
		if !v.Null(rowAt(sel, from, i)) {
			continue
		}
		b.valid[i] &^= f.mask
		switch f.storage {
		case storeBytes, storeBlob:
			b.bytes[b.column[c]][i] = nil
		case storeWide:
			b.words[b.column[c]+1][i] = 0
			fallthrough
		default:
			b.words[b.column[c]][i] = 0
		}
	}
}

func rowAt(sel []int32, from, i int) int {
	if sel != nil {
		return int(sel[i])
	}
	return from + i
}

func loadWords[T uint8 | int8 | int16 | int32 | int64](out *[blockRows]uint64, values []T, sel []int32, from, n int) {
	if sel == nil {
		for i, x := range values[from:][:n] {
			out[i&(blockRows-1)] = uint64(int64(x))
		}
		return
	}
	for i, r := range sel[:n] {
		out[i&(blockRows-1)] = uint64(int64(values[r]))
	}
}

func loadFloats[T float32 | float64](out *[blockRows]uint64, values []T, sel []int32, from, n int) {
	for i := range n {
		out[i&(blockRows-1)] = math.Float64bits(canonicalFloat(float64(values[rowAt(sel, from, i)])))
	}
}
