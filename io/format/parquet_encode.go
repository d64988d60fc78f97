package format

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"turbo/core"
)

// parquetHybrid appends values of a bit width below 32 in Parquet's hybrid of runs and bit-packed groups of eight.
func parquetHybrid(dst []byte, values []uint32, width int) []byte {
	valueBytes := (width + 7) / 8
	for i := 0; i < len(values); {
		run := 1
		for i+run < len(values) && values[i+run] == values[i] {
			run++
		}
		if run >= 16 || run == len(values)-i {
			dst = binary.AppendUvarint(dst, uint64(run)<<1)
			for b := range valueBytes {
				dst = append(dst, byte(values[i]>>(8*b)))
			}
			i += run
			continue
		}
		// Groups of eight up to the next long run; the last group may reach beyond the end, filled with zeros.
		end := i + 8
		for end < len(values) {
			same := 1
			for same < 16 && end+same < len(values) && values[end+same] == values[end] {
				same++
			}
			if same >= 16 {
				break
			}
			end += 8
		}
		groups := (end - i) / 8
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		dst = packGroups(dst, values[i:min(end, len(values))], width, groups)
		i = end
	}
	return dst
}

// packGroups appends groups of eight values, LSB first.
func packGroups(dst []byte, values []uint32, width, groups int) []byte {
	var pending uint64
	have := 0
	for _, x := range values {
		pending |= uint64(x) << have
		have += width
		for have >= 8 {
			dst = append(dst, byte(pending))
			pending >>= 8
			have -= 8
		}
	}
	for missing := groups*8 - len(values); missing > 0; missing-- {
		have += width
		for have >= 8 {
			dst = append(dst, byte(pending))
			pending >>= 8
			have -= 8
		}
	}
	return dst
}

// appendLevels appends levels with their length in front, as data pages of version 1 have them.
func appendLevels(dst []byte, levels []uint32, highest int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = parquetHybrid(dst, levels, bits.Len(uint(highest)))
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendValidity appends the definition levels of rows [from, to) of a nullable column that is not nested: its bitmap, as it is.
// from is a multiple of eight.
func appendValidity(dst []byte, v *core.Vector, from, to int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if bitmap := v.Validity(); bitmap == nil {
		dst = append(binary.AppendUvarint(dst, uint64(to-from)<<1), 1)
	} else {
		groups := (to - from + 7) / 8
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		dst = append(dst, bitmap[from/8:from/8+groups]...)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendPlain appends values in Parquet's PLAIN encoding: rows [from, to) of v, or the listed ones of them when rows is not nil.
func appendPlain(dst []byte, leaf *parquetLeaf, v *core.Vector, from, to int, rows []int32) []byte {
	if rows != nil {
		return appendPlainRows(dst, leaf, v, rows)
	}
	switch k := leaf.typ.Kind; k {
	case core.Boolean:
		n := len(dst)
		dst = append(dst, make([]byte, (to-from+7)/8)...)
		core.PackBits(dst[n:], v.Bools()[from:to])
		return dst
	case core.Int8:
		for _, x := range v.Int8s()[from:to] {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(x)))
		}
		return dst
	case core.Int16:
		for _, x := range v.Int16s()[from:to] {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(x)))
		}
		return dst
	case core.Decimal:
		for _, x := range v.Decimals()[from:to] {
			dst = appendParquetDecimal(dst, leaf, uint64(x.HighBits()), x.LowBits())
		}
		return dst
	case core.String, core.Bytes:
		offsets, data := v.Offsets()[from:to+1], v.Data()
		at, n := len(dst), len(offsets)-1
		size := at + int(offsets[n]-offsets[0]) + 4*n
		dst = slices.Grow(dst, size-at)[:size]
		for i := range n {
			b := data[offsets[i]:offsets[i+1]]
			binary.LittleEndian.PutUint32(dst[at:], uint32(len(b)))
			at += 4 + copy(dst[at+4:], b)
		}
		return dst
	default:
		w := k.Width()
		return append(dst, v.Data()[from*w:to*w]...)
	}
}

func appendPlainRows(dst []byte, leaf *parquetLeaf, v *core.Vector, rows []int32) []byte {
	switch k := leaf.typ.Kind; k {
	case core.Boolean:
		values := v.Bools()
		n := len(dst)
		dst = append(dst, make([]byte, (len(rows)+7)/8)...)
		for i, r := range rows {
			dst[n+i/8] |= values[r] << (i & 7)
		}
	case core.Int8:
		values := v.Int8s()
		for _, r := range rows {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(values[r])))
		}
	case core.Int16:
		values := v.Int16s()
		for _, r := range rows {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(values[r])))
		}
	case core.Decimal:
		values := v.Decimals()
		for _, r := range rows {
			dst = appendParquetDecimal(dst, leaf, uint64(values[r].HighBits()), values[r].LowBits())
		}
	case core.String, core.Bytes:
		for _, r := range rows {
			b := v.BytesAt(int(r))
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
			dst = append(dst, b...)
		}
	case core.Int32, core.Date, core.Float32:
		values := core.Values[uint32](v)
		for _, r := range rows {
			dst = binary.LittleEndian.AppendUint32(dst, values[r])
		}
	default:
		values := core.Values[uint64](v)
		for _, r := range rows {
			dst = binary.LittleEndian.AppendUint64(dst, values[r])
		}
	}
	return dst
}

func appendParquetDecimal(dst []byte, leaf *parquetLeaf, hi, lo uint64) []byte {
	switch leaf.physical {
	case parquetInt32:
		return binary.LittleEndian.AppendUint32(dst, uint32(lo))
	case parquetInt64:
		return binary.LittleEndian.AppendUint64(dst, lo)
	}
	for i := leaf.length - 1; i >= 0; i-- {
		if i >= 8 {
			dst = append(dst, byte(hi>>(8*(i-8))))
		} else {
			dst = append(dst, byte(lo>>(8*i)))
		}
	}
	return dst
}

// shredder turns rows of nested columns into levels and values, as the paper on Dremel (Melnik et al., 2010) describes.
type shredder struct {
	leaf *parquetLeaf
	defs []uint32
	reps []uint32
	rows []int32 // of the leaf's vector, of the values that are there
	err  error
}

func (s *shredder) shred(leaf *parquetLeaf, v *core.Vector, from, to int) error {
	s.leaf, s.err = leaf, nil
	s.defs, s.reps, s.rows = s.defs[:0], s.reps[:0], s.rows[:0]
	for i := from; i < to; i++ {
		s.walk(v, v.Type.NotNull, 0, i, 0, 0, 0)
	}
	return s.err
}

// walk goes down from row i of v, which is steps[:depth] below the column. level counts the repeated ancestors.
func (s *shredder) walk(v *core.Vector, required bool, depth, i int, rep, def, level uint32) {
	if v.Null(i) {
		if required && s.err == nil {
			s.err = fmt.Errorf("null for %s, which is NOT NULL", v.Type)
		}
		s.defs, s.reps = append(s.defs, def), append(s.reps, rep)
		return
	}
	if !required {
		def++
	}
	switch v.Type.Kind {
	case core.Row:
		c := v.Child(s.leaf.steps[depth])
		s.walk(c, c.Type.NotNull, depth+1, i, rep, def, level)
	case core.Array, core.Map:
		o := v.Offsets()
		from, to := int(o[i]), int(o[i+1])
		if from == to {
			s.defs, s.reps = append(s.defs, def), append(s.reps, rep)
			return
		}
		c := v.Child(s.leaf.steps[depth])
		required := c.Type.NotNull || v.Type.Kind == core.Map && s.leaf.steps[depth] == 0
		for e := from; e < to; e++ {
			s.walk(c, required, depth+1, e, rep, def+1, level+1)
			rep = level + 1
		}
	default:
		s.defs, s.reps, s.rows = append(s.defs, def), append(s.reps, rep), append(s.rows, int32(i))
	}
}
