package state

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// An encoded page is, in this order: version (1 byte), kind (1), the checksum of the table's layout (4), in a whole page the layout's text
// (length, bytes), the number of units, the bitmap of live slots (8 bytes a unit), in a delta that of dirty slots, and
// then, column by column, the rows that are live (and dirty): how nulls are given (1 byte), the validity bitmap if some are null, the words of
// all rows as a packed run (DECIMAL: two, low and high), or the values that are not null with their length before them. Numbers are little
// endian; counts are varints.
const pageVersion = 2

// How the nulls of a column are given.
const (
	nullsNone = iota
	nullsSome
	nullsAll
)

func layoutSum(text string) uint32 { return uint32(xxh3.HashString(text)) }

// encode appends a page whose needed rows are packed in rows.
func (f *Frozen) encode(dst []byte, p *frozenPage, rows []uint64) []byte {
	t := f.table
	dst = append(dst, pageVersion, byte(p.kind))
	dst = binary.LittleEndian.AppendUint32(dst, layoutSum(t.text))
	if p.kind == WholePage {
		dst = binary.AppendUvarint(dst, uint64(len(t.text)))
		dst = append(dst, t.text...)
	}
	dst = binary.AppendUvarint(dst, uint64(p.page.units))
	units := f.units[p.units : p.units+int(p.page.units)]
	for _, u := range units {
		dst = binary.LittleEndian.AppendUint64(dst, u.live)
	}
	if p.kind == DeltaPage {
		for _, u := range units {
			dst = binary.LittleEndian.AppendUint64(dst, u.dirty)
		}
	}
	if p.rows == 0 {
		return dst
	}
	rows = rows[:p.rows*t.stride]
	for i := range t.fields {
		dst = encodeColumn(dst, &t.fields[i], rows, t.stride, f.data)
	}
	return dst
}

func encodeColumn(dst []byte, f *field, rows []uint64, stride int, data [][]byte) []byte {
	n := len(rows) / stride
	all, some := f.mask, uint64(0)
	for o := f.valid; o < len(rows); o += stride {
		all &= rows[o]
		some |= rows[o]
	}
	switch {
	case all != 0:
		dst = append(dst, nullsNone)
	case some&f.mask == 0:
		return append(dst, nullsAll)
	default:
		dst = append(dst, nullsSome)
		start := len(dst)
		dst = append(dst, make([]byte, (n+7)/8)...)
		for r, o := 0, f.valid; o < len(rows); r, o = r+1, o+stride {
			if rows[o]&f.mask != 0 {
				dst[start+r>>3] |= 1 << (r & 7)
			}
		}
	}
	if f.storage >= storeBytes {
		for r := range n {
			row := rows[r*stride:]
			if row[f.valid]&f.mask == 0 {
				continue
			}
			b := valueAt(data, handle(row[f.offset]))
			dst = binary.AppendUvarint(dst, uint64(len(b)))
			dst = append(dst, b...)
		}
		return dst
	}
	dst = appendPacked(dst, rows, f.offset, stride)
	if f.storage == storeWide {
		dst = appendPacked(dst, rows, f.offset+1, stride)
	}
	return dst
}

// grow lengthens b by n bytes of undefined contents.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		b = append(make([]byte, 0, max(2*cap(b), len(b)+n, 4096)), b...)
	}
	return b[:len(b)+n]
}
