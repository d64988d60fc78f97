package ops

import (
	"encoding/binary"
	"math"
	"slices"

	"turbo/core"
)

// histogram is a state of numbers of so many bytes (4 or 8), each with its count (8 bytes), in the order of the numbers. It can be taken back exactly.
type histogram int

func (h histogram) entry() int { return int(h) + 8 }

func (h histogram) append(dst []byte, x, n uint64) []byte {
	if h == 4 {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(x))
	} else {
		dst = binary.LittleEndian.AppendUint64(dst, x)
	}
	return binary.LittleEndian.AppendUint64(dst, n)
}

func (h histogram) at(s []byte, i int) (x, n uint64) {
	if h == 4 {
		return uint64(binary.LittleEndian.Uint32(s[i:])), binary.LittleEndian.Uint64(s[i+4:])
	}
	return binary.LittleEndian.Uint64(s[i:]), binary.LittleEndian.Uint64(s[i+8:])
}

func (h histogram) total(s []byte) (total uint64) {
	for i := 0; i+h.entry() <= len(s); i += h.entry() {
		_, n := h.at(s, i)
		total += n
	}
	return total
}

// find returns the number at a rank, and the one at the next (the same at the end).
func (h histogram) find(s []byte, rank uint64) (x, next uint64) {
	for i := 0; i+h.entry() <= len(s); i += h.entry() {
		k, n := h.at(s, i)
		if rank >= n {
			rank -= n
			x, next = k, k
			continue
		}
		if x, next = k, k; rank+1 == n && i+2*h.entry() <= len(s) {
			next, _ = h.at(s, i+h.entry())
		}
		break
	}
	return x, next
}

// add writes old and other, or old without other; what is not there cannot be taken.
func (h histogram) add(dst, old, other []byte, back bool) ([]byte, error) {
	entry := h.entry()
	if len(old)%entry != 0 || len(other)%entry != 0 {
		return nil, errDamagedState
	}
	for i, j := 0, 0; i < len(old) || j < len(other); {
		if j == len(other) {
			return append(dst, old[i:]...), nil
		}
		y, m := h.at(other, j)
		x, n := y, uint64(0)
		if i < len(old) {
			x, n = h.at(old, i)
		}
		switch {
		case i == len(old) || y < x:
			if x, n = y, m; back {
				n = 0
			}
			j += entry
		case x == y:
			if back {
				n -= min(n, m)
			} else {
				n += m
			}
			i += entry
			j += entry
		default:
			i += entry
		}
		if n != 0 {
			dst = h.append(dst, x, n)
		}
	}
	return dst, nil
}

// share is what the quantiles have in common.
type share struct {
	histogram
	q      float64
	scale  float64 // of decimals, as a power of ten
	values []float64
	fresh  []uint64 // numbers of rows, to be added
	other  []byte
}

func newShare(bytes histogram, argument core.Type, parameters []any) share {
	s := share{histogram: bytes, q: 0.5, scale: math.Pow10(int(argument.Scale))}
	if len(parameters) > 0 {
		s.q = parameters[0].(float64)
	}
	return s
}

func (s *share) floats(in *core.Vector, rows []int32) []float64 {
	s.values = resize(s.values, len(rows))
	floats(in, &Rows{Sel: rows}, s.scale, s.values)
	return s.values
}

// addFresh writes old and the fresh numbers.
func (s *share) addFresh(dst, old []byte) ([]byte, bool, error) {
	slices.Sort(s.fresh)
	s.other = s.other[:0]
	for from, i := 0, 1; i <= len(s.fresh); i++ {
		if i == len(s.fresh) || s.fresh[i] != s.fresh[from] {
			s.other = s.append(s.other, s.fresh[from], uint64(i-from))
			from = i
		}
	}
	return s.merge(dst, old, s.other)
}

func (s *share) merge(dst, old, other []byte) ([]byte, bool, error) {
	dst, err := s.add(dst, old, other, false)
	return dst, true, err
}

// take implements taker.
func (s *share) take(dst, old, other []byte) ([]byte, error) {
	return s.add(dst, old, other, true)
}

// percentile is PERCENTILE and MEDIAN: a histogram of the values themselves.
type percentile struct{ share }

func newPercentile(argument core.Type, parameters []any) (encoding, error) {
	return &percentile{newShare(8, argument, parameters)}, nil
}

func (s *percentile) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	s.fresh = s.fresh[:0]
	for _, x := range s.floats(in, rows) {
		s.fresh = append(s.fresh, orderedBits(x))
	}
	return s.addFresh(dst, old)
}

func (s *percentile) result(out *core.Vector, b []byte) error {
	total := s.total(b)
	if total == 0 {
		out.AppendNull()
		return nil
	}
	at := s.q * float64(total-1)
	low, high := s.find(b, uint64(at))
	x, part := unorderedFloat64(low), at-math.Floor(at)
	if part > 0 && high != low {
		x = x*(1-part) + unorderedFloat64(high)*part
	}
	out.AppendFloat64(x)
	return nil
}
