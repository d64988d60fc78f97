package expr

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// selectTrue writes the rows of sel (nil: all n) where v, a BOOLEAN, is true to dst.
func selectTrue(dst []int32, v *vec, sel []int32, n int) []int32 {
	return selectBool(dst, v, sel, n, 1)
}

// selectBool writes the rows where v is want (1 true, 0 false) and not null.
func selectBool(dst []int32, v *vec, sel []int32, n int, want uint8) []int32 {
	values := vals[uint8](v)
	if v.isConst() {
		if v.null(0) || values[0] != want {
			return dst[:0]
		}
		return selectAll(dst, sel, n)
	}
	if v.valid != nil {
		sel = selectValid(dst, v.valid, sel, n)
		dst = dst[:len(sel)]
	}
	return eqFilterVC(dst, values, want, sel, n)
}

// selectAll copies sel (nil: all n) to dst.
func selectAll(dst, sel []int32, n int) []int32 {
	if sel == nil {
		dst = dst[:n]
		for i := range dst {
			dst[i] = int32(i)
		}
		return dst
	}
	return dst[:copy(dst[:len(sel)], sel)]
}

// selectValid writes the rows of sel (nil: all n) whose bit is set to dst; never nil.
func selectValid(dst []int32, valid []byte, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		dst = dst[:n]
		for i := range dst {
			dst[k] = int32(i)
			k += int(valid[i>>3] >> (i & 7) & 1)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += int(valid[i>>3] >> (i & 7) & 1)
	}
	return dst[:k]
}

// selectNull writes the rows of sel (nil: all n) whose bit is not set to dst.
func selectNull(dst []int32, valid []byte, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		dst = dst[:n]
		for i := range dst {
			dst[k] = int32(i)
			k += int(^valid[i>>3] >> (i & 7) & 1)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += int(^valid[i>>3] >> (i & 7) & 1)
	}
	return dst[:k]
}

// without writes the rows of sel that are not in hit to dst; both are ascending and hit is part of sel. dst may be sel.
func without(dst, sel, hit []int32) []int32 {
	k, h := 0, 0
	dst = dst[:len(sel)]
	for _, r := range sel {
		if h < len(hit) && hit[h] == r {
			h++
			continue
		}
		dst[k] = r
		k++
	}
	return dst[:k]
}

// merge writes the union of two ascending selections without common rows to dst, which is neither of them.
func merge(dst, a, b []int32) []int32 {
	dst = dst[:len(a)+len(b)]
	i, j := 0, 0
	for k := range dst {
		if j == len(b) || i < len(a) && a[i] < b[j] {
			dst[k] = a[i]
			i++
		} else {
			dst[k] = b[j]
			j++
		}
	}
	return dst
}

// shortText is a text of at most eight bytes that a row's bytes are compared with by one load.
type shortText struct {
	text       []byte
	word, mask uint64
	short      bool
}

func newShortText(text []byte) shortText {
	s := shortText{text: append([]byte(nil), text...), short: len(text) <= 8}
	for i := range min(len(text), 8) {
		s.word |= uint64(text[i]) << (8 * i)
		s.mask |= 0xff << (8 * i)
	}
	return s
}

// filterPrefix writes the rows of sel (nil: all n) that begin with the text to dst; exact: that are the text.
func (s *shortText) filterPrefix(dst []int32, v *vec, sel []int32, n int, exact bool) []int32 {
	if !s.short {
		return s.filterLong(dst, v, sel, n, exact)
	}
	size, word, mask := int32(len(s.text)), s.word, s.mask
	safe := len(v.data) - 8 // the last offset at which eight bytes can be read
	k := 0
	if sel == nil {
		dst = dst[:n]
		start, end := v.start[:n], v.end[:n]
		for i := range start {
			from, length := int(start[i]), end[i]-start[i]
			dst[k] = int32(i)
			if from > safe {
				k += b2i(s.matches(v.str(i), exact))
				continue
			}
			k += b2i(binary.LittleEndian.Uint64(v.data[from:from+8])&mask == word) & s.fits(length, size, exact)
		}
		return dst[:k]
	}
	if len(sel) == 0 {
		return dst[:0]
	}
	// A selection is ascending: check its last row, and the loop needs no bounds checks. Written with them it runs out of registers.
	dst = dst[:len(sel)]
	last := sel[len(sel)-1]
	start, end, data := unsafe.Pointer(&v.start[:last+1][0]), unsafe.Pointer(&v.end[:last+1][0]), unsafe.Pointer(unsafe.SliceData(v.data))
	for _, i := range sel {
		at := uintptr(uint32(i)) * 4
		from := *(*int32)(unsafe.Add(start, at))
		length := *(*int32)(unsafe.Add(end, at)) - from
		dst[k] = i
		if int(from) > safe {
			k += b2i(s.matches(v.str(int(i)), exact))
			continue
		}
		k += b2i(*(*uint64)(unsafe.Add(data, uintptr(from)))&mask == word) & s.fits(length, size, exact)
	}
	return dst[:k]
}

// fits tells, as 1 or 0, whether a row of that length can match.
func (s *shortText) fits(length, size int32, exact bool) int {
	if exact {
		return b2i(length == size)
	}
	return b2i(length >= size)
}

// filterLong does the same for a text of more than eight bytes.
func (s *shortText) filterLong(dst []int32, v *vec, sel []int32, n int, exact bool) []int32 {
	k := 0
	if sel == nil {
		for i := range n {
			dst[k] = int32(i)
			k += b2i(s.matches(v.str(i), exact))
		}
		return dst[:k]
	}
	for _, i := range sel {
		dst[k] = i
		k += b2i(s.matches(v.str(int(i)), exact))
	}
	return dst[:k]
}

func (s *shortText) matches(row []byte, exact bool) bool {
	return bytes.HasPrefix(row, s.text) && (!exact || len(row) == len(s.text))
}
