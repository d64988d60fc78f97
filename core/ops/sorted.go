package ops

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/state"
)

// sortedValues is TOP_K: a state of encoded values in the order of their bytes. Values of fixed width stand one after the other; of others, the state has the number (4 bytes), where
// each ends (4 bytes each), and then the values.
type sortedValues struct {
	kind    core.Kind
	width   int
	limit   int // the largest ones stay
	scratch []byte
	fresh   []piece
	ends    []uint32
}

type piece struct{ from, to int }

func newTop(argument core.Type, parameters []any) (encoding, error) {
	return &sortedValues{kind: argument.Kind, width: argument.Kind.Width(), limit: int(parameters[0].(int64))}, nil
}

func (s *sortedValues) count(b []byte) int {
	switch {
	case s.width > 0:
		return len(b) / s.width
	case len(b) < 4:
		return 0
	}
	return int(binary.LittleEndian.Uint32(b))
}

func (s *sortedValues) at(b []byte, n, i int) []byte {
	if s.width > 0 {
		return b[i*s.width:][:s.width]
	}
	from, data := uint32(0), b[4+4*n:]
	if i > 0 {
		from = binary.LittleEndian.Uint32(b[4*i:])
	}
	return data[from:binary.LittleEndian.Uint32(b[4+4*i:])]
}

func (s *sortedValues) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	s.scratch, s.fresh = s.scratch[:0], s.fresh[:0]
	n := s.count(old)
	for _, row := range rows {
		from := len(s.scratch)
		s.scratch = appendOrdered(s.scratch, in, int(row))
		x := s.scratch[from:]
		if n >= s.limit && bytes.Compare(x, s.at(old, n, 0)) <= 0 {
			s.scratch = s.scratch[:from]
			continue
		}
		s.fresh = append(s.fresh, piece{from, len(s.scratch)})
	}
	if len(s.fresh) == 0 {
		return nil, old == nil && len(rows) > 0, nil
	}
	of := func(p piece) []byte { return s.scratch[p.from:p.to] }
	slices.SortFunc(s.fresh, func(a, b piece) int { return bytes.Compare(of(a), of(b)) })
	return s.join(dst, old, len(s.fresh), func(i int) []byte { return of(s.fresh[i]) }), true, nil
}

func (s *sortedValues) merge(dst, old, other []byte) ([]byte, bool, error) {
	n := s.count(other)
	return s.join(dst, old, n, func(i int) []byte { return s.at(other, n, i) }), true, nil
}

// join writes the values of old and m others, both sorted.
func (s *sortedValues) join(dst, old []byte, m int, other func(int) []byte) []byte {
	n := s.count(old)
	s.ends = s.ends[:0]
	drop := n + m - s.limit
	var data []byte // the values, behind the ends
	if s.width > 0 {
		data = dst
	}
	for i, j := 0, 0; i < n || j < m; {
		var x []byte
		c := -1
		if i == n {
			c = 1
		} else if j < m {
			c = bytes.Compare(s.at(old, n, i), other(j))
		}
		if c > 0 {
			x = other(j)
			j++
		} else {
			x = s.at(old, n, i)
			i++
		}
		if drop > 0 {
			drop--
			continue
		}
		data = append(data, x...)
		s.ends = append(s.ends, uint32(len(data)))
	}
	if s.width > 0 {
		return data
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s.ends)))
	for _, end := range s.ends {
		dst = binary.LittleEndian.AppendUint32(dst, end)
	}
	return append(dst, data...)
}

func (s *sortedValues) result(out *core.Vector, b []byte) error {
	n := s.count(b)
	if n == 0 {
		out.AppendNull()
		return nil
	}
	for i := n - 1; i >= 0; i-- {
		appendDecoded(out.Child(0), s.at(b, n, i))
	}
	out.EndElement()
	return nil
}

// appendOrdered appends a value, not null, such that bytes compare as the values do (nested ones: are equal as they are). NaN is the largest number.
func appendOrdered(dst []byte, v *core.Vector, i int) []byte {
	switch k := v.Type.Kind; k {
	case core.String, core.Bytes:
		return append(dst, v.BytesAt(i)...)
	case core.Float32, core.Float64:
		return binary.BigEndian.AppendUint64(dst, orderedFloat(v, i))[:len(dst)+k.Width()]
	case core.Decimal:
		d := v.Decimals()[i]
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(d.HighBits())^1<<63), d.LowBits())
	default:
		if k.IsNested() {
			return state.EncodeValue(dst, v, i, true)
		}
		w := k.Width()
		x := (uint64(state.IntAt(v, i)) ^ 1<<(8*w-1)) << (64 - 8*w)
		return binary.BigEndian.AppendUint64(dst, x)[:len(dst)+w]
	}
}

// appendDecoded appends what appendOrdered has encoded, of a type that is not nested.
func appendDecoded(out *core.Vector, b []byte) {
	k := out.Type.Kind
	switch k {
	case core.String, core.Bytes:
		out.AppendBytes(b)
		return
	case core.Decimal:
		out.AppendDecimal(decimal128.New(int64(binary.BigEndian.Uint64(b)^1<<63), binary.BigEndian.Uint64(b[8:])))
		return
	}
	x := uint64(0)
	for _, c := range b {
		x = x<<8 | uint64(c)
	}
	switch w := k.Width(); {
	case k == core.Float32:
		out.AppendFloat32(unorderedFloat32(uint32(x)))
	case k == core.Float64:
		out.AppendFloat64(unorderedFloat64(x))
	case k == core.Boolean:
		out.AppendBool(x^0x80 != 0)
	case w == 1:
		out.AppendInt8(int8(x ^ 1<<7))
	case w == 2:
		out.AppendInt16(int16(x ^ 1<<15))
	case w == 4:
		out.AppendInt32(int32(x ^ 1<<31))
	default:
		out.AppendInt64(int64(x ^ 1<<63))
	}
}
