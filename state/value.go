package state

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// A nested value is stored encoded: a byte 0 for null, else 1 and the value. Fixed-width values are little endian of their kind's width,
// strings have their length before them, arrays and maps their number of elements, rows nothing. In the canonical form, which keys
// have, two encodings are the same bytes exactly if the values are equal: map entries are sorted, floats normalised.

var errValue = errors.New("state: damaged nested value")

// appendValue appends the encoding of row i of v.
func appendValue(dst []byte, v *core.Vector, i int, canonical bool) []byte {
	if v.Null(i) {
		return append(dst, 0)
	}
	return appendPresent(append(dst, 1), v, i, canonical)
}

func appendPresent(dst []byte, v *core.Vector, i int, canonical bool) []byte {
	switch k := v.Type.Kind; k {
	case core.Float32:
		x := v.Float32s()[i]
		if canonical {
			x = float32(canonicalFloat(float64(x)))
		}
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	case core.Float64:
		x := v.Float64s()[i]
		if canonical {
			x = canonicalFloat(x)
		}
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	case core.String, core.Bytes:
		b := v.BytesAt(i)
		return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	case core.Array:
		o := v.Offsets()
		dst = binary.AppendUvarint(dst, uint64(o[i+1]-o[i]))
		for j := o[i]; j < o[i+1]; j++ {
			dst = appendValue(dst, v.Child(0), int(j), canonical)
		}
		return dst
	case core.Map:
		o := v.Offsets()
		dst = binary.AppendUvarint(dst, uint64(o[i+1]-o[i]))
		start := len(dst)
		var ends []int
		for j := o[i]; j < o[i+1]; j++ {
			dst = appendValue(dst, v.Child(0), int(j), canonical)
			dst = appendValue(dst, v.Child(1), int(j), canonical)
			ends = append(ends, len(dst))
		}
		if canonical {
			sortEntries(dst, start, ends)
		}
		return dst
	case core.Row:
		for c := range v.Type.Elements {
			dst = appendValue(dst, v.Child(c), i, canonical)
		}
		return dst
	default:
		w := k.Width()
		return append(dst, v.Data()[i*w:i*w+w]...)
	}
}

// sortEntries sorts the pieces of dst[start:] that end at ends.
func sortEntries(dst []byte, start int, ends []int) {
	entries := make([][]byte, len(ends))
	at := start
	for i, end := range ends {
		entries[i] = slices.Clone(dst[at:end])
		at = end
	}
	slices.SortFunc(entries, slices.Compare[[]byte])
	dst = dst[:start]
	for _, e := range entries {
		dst = append(dst, e...)
	}
}

// canonicalFloat makes -0.0 and 0.0, and all NaN, the same bits.
func canonicalFloat(x float64) float64 {
	if x != x {
		return math.Float64frombits(0x7FF8000000000001)
	}
	return x + 0
}

// decodeValue appends the value that b begins with to v and returns what follows it.
func decodeValue(v *core.Vector, b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] > 1 {
		return nil, errValue
	}
	if b[0] == 0 {
		v.AppendNull()
		return b[1:], nil
	}
	return decodePresent(v, b[1:])
}

func decodePresent(v *core.Vector, b []byte) ([]byte, error) {
	k := v.Type.Kind
	if w := k.Width(); w > 0 {
		if len(b) < w {
			return nil, errValue
		}
		switch w {
		case 1:
			if k == core.Boolean {
				v.AppendBool(b[0] != 0)
			} else {
				v.AppendInt8(int8(b[0]))
			}
		case 2:
			v.AppendInt16(int16(binary.LittleEndian.Uint16(b)))
		case 4:
			v.AppendInt32(int32(binary.LittleEndian.Uint32(b)))
		case 8:
			v.AppendInt64(int64(binary.LittleEndian.Uint64(b)))
		default:
			v.AppendDecimal(decimal128.New(int64(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint64(b)))
		}
		return b[w:], nil
	}
	if k == core.Row {
		var err error
		for c := range v.Type.Elements {
			if b, err = decodeValue(v.Child(c), b); err != nil {
				return nil, err
			}
		}
		v.EndElement()
		return b, nil
	}
	count, size := binary.Uvarint(b)
	if size <= 0 || count > uint64(len(b)-size) {
		return nil, errValue
	}
	b = b[size:]
	if k == core.String || k == core.Bytes {
		v.AppendBytes(b[:count])
		return b[count:], nil
	}
	var err error
	for range count {
		for c := range v.Type.Elements {
			if b, err = decodeValue(v.Child(c), b); err != nil {
				return nil, err
			}
		}
	}
	v.EndElement()
	return b, nil
}
