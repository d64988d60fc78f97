package expr

import (
	"bytes"
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

// shortText is a text that rows are compared with; of up to eight bytes by one load (little-endian, as every platform that turbo is built for).
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
	if !s.short || n == 0 || sel != nil && len(sel) == 0 {
		return s.filterLong(dst, v, sel, n, exact)
	}
	rows := n
	if sel != nil {
		rows = len(sel)
		n = int(sel[rows-1]) + 1 // a selection is ascending: this is the only check of its bounds
	}
	dst = dst[:rows]
	run := wordRun{
		dst: unsafe.Pointer(unsafe.SliceData(dst)), sel: unsafe.Pointer(unsafe.SliceData(sel)),
		start: unsafe.Pointer(&v.start[:n][0]), end: unsafe.Pointer(&v.end[:n][0]), data: unsafe.Pointer(unsafe.SliceData(v.data)),
		safe: int32(max(len(v.data)-8, -1)), size: int32(len(s.text)), word: s.word, mask: s.mask,
	}
	k := 0
	for at := 0; at < rows; at++ {
		switch {
		case sel == nil && exact:
			k, at = run.equalAll(k, at, rows)
		case sel == nil:
			k, at = run.prefixAll(k, at, rows)
		case exact:
			k, at = run.equalSelected(k, at, rows)
		default:
			k, at = run.prefixSelected(k, at, rows)
		}
		if at == rows {
			break
		}
		// A row so near the end of the data that eight bytes cannot be read.
		r := int32(at)
		if sel != nil {
			r = sel[at]
		}
		dst[k] = r
		k += b2i(s.matches(v.str(int(r)), exact))
	}
	return dst[:k]
}

// wordRun compares the first bytes of rows with a word of at most eight bytes. Its loops stop at a row that is too near the end of the data; they keep to what fits
// the registers, which a bounds check or a call in them would not.
type wordRun struct {
	dst, sel, start, end, data unsafe.Pointer
	safe, size                 int32 // the last offset at which eight bytes can be read; the length of the text
	word, mask                 uint64
}

func int32At(p unsafe.Pointer, i int) int32 { return *(*int32)(unsafe.Add(p, i*4)) }

func (w *wordRun) prefixAll(k, at, rows int) (int, int) {
	dst, start, end, data := w.dst, w.start, w.end, w.data
	safe, size, word, mask := w.safe, w.size, w.word, w.mask
	for ; at < rows; at++ {
		i := int32(at)
		from := int32At(start, int(i))
		if from > safe {
			break
		}
		*(*int32)(unsafe.Add(dst, k*4)) = i
		k += b2i(*(*uint64)(unsafe.Add(data, int(from)))&mask == word) & b2i(int32At(end, int(i))-from >= size)
	}
	return k, at
}

func (w *wordRun) prefixSelected(k, at, rows int) (int, int) {
	dst, sel, start, end, data := w.dst, w.sel, w.start, w.end, w.data
	safe, size, word, mask := w.safe, w.size, w.word, w.mask
	for ; at < rows; at++ {
		i := int32At(sel, at)
		from := int32At(start, int(i))
		if from > safe {
			break
		}
		*(*int32)(unsafe.Add(dst, k*4)) = i
		k += b2i(*(*uint64)(unsafe.Add(data, int(from)))&mask == word) & b2i(int32At(end, int(i))-from >= size)
	}
	return k, at
}

func (w *wordRun) equalAll(k, at, rows int) (int, int) {
	dst, start, end, data := w.dst, w.start, w.end, w.data
	safe, size, word, mask := w.safe, w.size, w.word, w.mask
	for ; at < rows; at++ {
		i := int32(at)
		from := int32At(start, int(i))
		if from > safe {
			break
		}
		*(*int32)(unsafe.Add(dst, k*4)) = i
		k += b2i(*(*uint64)(unsafe.Add(data, int(from)))&mask == word) & b2i(int32At(end, int(i))-from == size)
	}
	return k, at
}

func (w *wordRun) equalSelected(k, at, rows int) (int, int) {
	dst, sel, start, end, data := w.dst, w.sel, w.start, w.end, w.data
	safe, size, word, mask := w.safe, w.size, w.word, w.mask
	for ; at < rows; at++ {
		i := int32At(sel, at)
		from := int32At(start, int(i))
		if from > safe {
			break
		}
		*(*int32)(unsafe.Add(dst, k*4)) = i
		k += b2i(*(*uint64)(unsafe.Add(data, int(from)))&mask == word) & b2i(int32At(end, int(i))-from == size)
	}
	return k, at
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
