package format

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/zeebo/xxh3"

	"turbo/core"
)

const (
	dictionarySample = 1024
	dictionaryValues = 1 << 15
	dictionaryBytes  = 512 << 10
)

// dictionary numbers the distinct values of a leaf vector. It is used again for each column chunk.
type dictionary struct {
	slots []uint32 // open addressing: number of the value + 1
	shift int
	rows  []int32  // row of the first occurrence, by number
	codes []uint32 // number of each row's value
	bytes int
}

// build numbers the values of v, or reports false when a dictionary does not pay: a sample repeats less than four times, or there
// are too many values.
func (d *dictionary) build(v *core.Vector) bool {
	n := v.Len()
	width := v.Type.Kind.Width()
	if n < 64 || width != 0 && width != 4 && width != 8 || v.Type.Kind.IsNested() {
		return false
	}
	d.start(min(n, dictionarySample))
	step := max(n/dictionarySample, 1)
	sampled := 0
	for i := 0; i < n; i += step {
		if !v.Null(i) {
			d.add(v, i, width)
			sampled++
		}
	}
	if sampled == 0 || len(d.rows) > sampled/4 {
		return false
	}
	d.start(dictionaryValues)
	if cap(d.codes) < n {
		d.codes = make([]uint32, n)
	}
	d.codes = d.codes[:n]
	for i := range n {
		if v.Null(i) {
			d.codes[i] = 0
			continue
		}
		d.codes[i] = d.add(v, i, width)
		if len(d.rows) >= dictionaryValues || d.bytes > dictionaryBytes {
			return false
		}
	}
	// The indices and the dictionary must be well below the plain values.
	plain := n * width
	if width == 0 {
		plain = len(v.Data()) + 4*n
	}
	return d.bytes+n*d.width()/8 < plain*3/4
}

// start empties the dictionary for up to n values.
func (d *dictionary) start(n int) {
	size := 1 << bits.Len(uint(2*n-1))
	if cap(d.slots) < size {
		d.slots = make([]uint32, size)
	}
	d.slots = d.slots[:size]
	clear(d.slots)
	d.shift = 64 - bits.Len(uint(size-1))
	d.rows, d.bytes = d.rows[:0], 0
}

// width returns the bits of an index.
func (d *dictionary) width() int { return bits.Len(uint(max(len(d.rows)-1, 0))) }

// add returns the number of row i's value. width is that of the vector's kind.
func (d *dictionary) add(v *core.Vector, i, width int) uint32 {
	data := v.Data()
	var hash uint64
	var value []byte
	switch width {
	case 8:
		value = data[8*i : 8*i+8]
		hash = binary.LittleEndian.Uint64(value) * 0x9e3779b97f4a7c15
	case 4:
		value = data[4*i : 4*i+4]
		hash = uint64(binary.LittleEndian.Uint32(value)) * 0x9e3779b97f4a7c15
	default:
		value = v.BytesAt(i)
		hash = xxh3.Hash(value)
	}
	mask := len(d.slots) - 1
	for at := int(hash >> d.shift); ; at = (at + 1) & mask {
		s := d.slots[at]
		if s == 0 {
			d.rows = append(d.rows, int32(i))
			d.bytes += len(value)
			if width == 0 {
				d.bytes += 4
			}
			d.slots[at] = uint32(len(d.rows))
			return uint32(len(d.rows) - 1)
		}
		r := int(d.rows[s-1])
		var other []byte
		if width == 0 {
			other = v.BytesAt(r)
		} else {
			other = data[width*r : width*r+width]
		}
		if bytes.Equal(value, other) {
			return s - 1
		}
	}
}

// chunkStatistics finds the least and the greatest value of a column that is not nested, in PLAIN encoding without a length.
// They are nil when there is none, when a NaN is among them, or when they are long. rows limits the search to those rows.
func chunkStatistics(leaf *parquetLeaf, v *core.Vector, rows []int32) (low, high []byte) {
	n := v.Len()
	if rows != nil {
		n = len(rows)
	}
	row := func(i int) int {
		if rows != nil {
			return int(rows[i])
		}
		return i
	}
	switch leaf.typ.Kind {
	case core.Boolean:
		return minMax(v, v.Bools(), n, row, func(dst []byte, x uint8) []byte { return append(dst, x) })
	case core.Int8:
		return minMax(v, v.Int8s(), n, row, func(dst []byte, x int8) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(int32(x))) })
	case core.Int16:
		return minMax(v, v.Int16s(), n, row, func(dst []byte, x int16) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(int32(x))) })
	case core.Int32, core.Date:
		return minMax(v, v.Int32s(), n, row, func(dst []byte, x int32) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(x)) })
	case core.Float32:
		low, high = minMax(v, v.Float32s(), n, row, func(dst []byte, x float32) []byte { return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x)) })
		return zeroBounds(low, high)
	case core.Float64:
		low, high = minMax(v, v.Float64s(), n, row, func(dst []byte, x float64) []byte { return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x)) })
		return zeroBounds(low, high)
	case core.Decimal:
		return decimalBounds(leaf, v, n, row)
	case core.String, core.Bytes:
		return byteBounds(v, n, row)
	}
	return minMax(v, v.Int64s(), n, row, func(dst []byte, x int64) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(x)) })
}

func minMax[T uint8 | int8 | int16 | int32 | int64 | float32 | float64](v *core.Vector, values []T, n int, row func(int) int, encode func([]byte, T) []byte) (low, high []byte) {
	if !v.HasNulls() && n == len(values) && n > 0 {
		least, greatest := values[0], values[0]
		ordered := true
		for _, x := range values {
			least, greatest = min(least, x), max(greatest, x)
			ordered = ordered && x == x
		}
		if !ordered {
			return nil, nil
		}
		return encode(nil, least), encode(nil, greatest)
	}
	found := false
	var least, greatest T
	for i := range n {
		r := row(i)
		if v.Null(r) {
			continue
		}
		x := values[r]
		if x != x {
			return nil, nil
		}
		if !found {
			least, greatest, found = x, x, true
		}
		least, greatest = min(least, x), max(greatest, x)
	}
	if !found {
		return nil, nil
	}
	return encode(nil, least), encode(nil, greatest)
}

// zeroBounds follows the format's rule that a bound of zero is written with the sign that covers both zeros.
func zeroBounds(low, high []byte) ([]byte, []byte) {
	if low == nil {
		return nil, nil
	}
	top := len(low) - 1
	if isZeroFloat(low) {
		low[top] = 0x80
	}
	if isZeroFloat(high) {
		high[top] = 0
	}
	return low, high
}

func isZeroFloat(b []byte) bool {
	for _, c := range b[:len(b)-1] {
		if c != 0 {
			return false
		}
	}
	return b[len(b)-1]&0x7f == 0
}

func decimalBounds(leaf *parquetLeaf, v *core.Vector, n int, row func(int) int) (low, high []byte) {
	var least, greatest decimal128.Num
	found := false
	values := v.Decimals()
	for i := range n {
		r := row(i)
		if v.Null(r) {
			continue
		}
		x := values[r]
		if !found || x.Less(least) {
			least = x
		}
		if !found || greatest.Less(x) {
			greatest = x
		}
		found = true
	}
	if !found {
		return nil, nil
	}
	return appendParquetDecimal(nil, leaf, uint64(least.HighBits()), least.LowBits()), appendParquetDecimal(nil, leaf, uint64(greatest.HighBits()), greatest.LowBits())
}

func byteBounds(v *core.Vector, n int, row func(int) int) (low, high []byte) {
	found := false
	var least, greatest uint64 // the first eight bytes of low and high: where they differ they decide
	for i := range n {
		r := row(i)
		if v.Null(r) {
			continue
		}
		x := v.BytesAt(r)
		first := firstBytes(x)
		if !found || first < least || first == least && bytes.Compare(x, low) < 0 {
			low, least = x, first
		}
		if !found || first > greatest || first == greatest && bytes.Compare(x, high) > 0 {
			high, greatest = x, first
		}
		found = true
	}
	if !found || len(low) > 64 || len(high) > 64 {
		return nil, nil
	}
	return bytes.Clone(low), bytes.Clone(high)
}

// firstBytes returns the first eight bytes, with zeros behind shorter values, as a number in the order of the values.
func firstBytes(x []byte) uint64 {
	if len(x) >= 8 {
		return binary.BigEndian.Uint64(x)
	}
	var b [8]byte
	copy(b[:], x)
	return binary.BigEndian.Uint64(b[:])
}
