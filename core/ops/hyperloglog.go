package ops

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sort"

	"turbo/core"
	"turbo/core/hash"
	"turbo/state"
)

// hyperLogLog counts distinct values by their hashes. A state is a byte 0 and up to 256 sorted hashes, or a byte 1 and a register (a byte) for each of
// 2^12 parts of the hashes. The estimate is Ertl's (2017), which needs no correction for small numbers.
type hyperLogLog struct {
	fresh   []uint64 // hashes
	scratch []byte
}

const (
	registerBits = 12
	registers    = 1 << registerBits
	mostHashes   = 256
	maxRank      = 64 - registerBits + 1
)

func newHyperLogLog(core.Type, []any) (encoding, error) { return &hyperLogLog{}, nil }

func rank(h uint64) (register int, rank byte) {
	return int(h >> (64 - registerBits)), byte(bits.LeadingZeros64(h<<registerBits|1<<(registerBits-1)) + 1)
}

func (s *hyperLogLog) hash(in *core.Vector, row int) uint64 {
	if in.Type.Kind.IsInteger() {
		return hash.Int64(state.IntAt(in, row))
	}
	s.scratch = appendOrdered(s.scratch[:0], in, row)
	return hash.String(s.scratch)
}

func (s *hyperLogLog) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	s.fresh = s.fresh[:0]
	for _, r := range rows {
		s.fresh = append(s.fresh, s.hash(in, int(r)))
	}
	return s.add(dst, old)
}

// inPlace implements inPlacer: registers are raised.
func (s *hyperLogLog) inPlace(state []byte, in *core.Vector, rows []int32) int {
	if state[0] == 0 {
		return 0
	}
	for _, r := range rows {
		i, rank := rank(s.hash(in, int(r)))
		state[1+i] = max(state[1+i], rank)
	}
	return len(rows)
}

// mergeInPlace implements inPlacer.
func (s *hyperLogLog) mergeInPlace(state, other []byte) bool {
	if state[0] == 0 {
		return false
	}
	if other[0] == 0 {
		for i := 1; i+8 <= len(other); i += 8 {
			k, rank := rank(binary.LittleEndian.Uint64(other[i:]))
			state[1+k] = max(state[1+k], rank)
		}
		return true
	}
	for i, r := range other[1:] {
		state[1+i] = max(state[1+i], r)
	}
	return true
}

// add adds the fresh hashes.
func (s *hyperLogLog) add(dst, old []byte) ([]byte, bool, error) {
	if len(old) > 0 && old[0] == 1 {
		raise := func(h uint64) bool {
			i, r := rank(h)
			return r > old[1+i]
		}
		at := slices.IndexFunc(s.fresh, raise)
		if at < 0 {
			return nil, false, nil
		}
		dst = append(dst, old...)
		raiseAll(dst[1:], s.fresh[at:])
		return dst, true, nil
	}
	n := max(len(old)-1, 0) / 8
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(old[1+8*i:]) }
	s.fresh = slices.DeleteFunc(s.fresh, func(h uint64) bool {
		i := sort.Search(n, func(i int) bool { return word(i) >= h })
		return i < n && word(i) == h
	})
	if len(s.fresh) == 0 {
		return nil, false, nil
	}
	for i := range n {
		s.fresh = append(s.fresh, word(i))
	}
	slices.Sort(s.fresh)
	if s.fresh = slices.Compact(s.fresh); len(s.fresh) > mostHashes {
		dst = append(append(dst, 1), make([]byte, registers)...)
		raiseAll(dst[1:], s.fresh)
		return dst, true, nil
	}
	dst = append(dst, 0)
	for _, h := range s.fresh {
		dst = binary.LittleEndian.AppendUint64(dst, h)
	}
	return dst, true, nil
}

func raiseAll(to []byte, hashes []uint64) {
	for _, h := range hashes {
		i, r := rank(h)
		to[i] = max(to[i], r)
	}
}

func (s *hyperLogLog) merge(dst, old, other []byte) ([]byte, bool, error) {
	if other[0] == 0 || old[0] == 0 {
		few, many := other, old
		if other[0] == 1 {
			few, many = old, other
		}
		s.fresh = s.fresh[:0]
		for i := 1; i+8 <= len(few); i += 8 {
			s.fresh = append(s.fresh, binary.LittleEndian.Uint64(few[i:]))
		}
		made, changed, err := s.add(dst, many)
		if !changed && other[0] == 1 { // nothing of old is new to other, which is the union then
			return append(dst, other...), true, nil
		}
		return made, changed, err
	}
	dst = append(dst, old...)
	for i, r := range other[1:] {
		dst[1+i] = max(dst[1+i], r)
	}
	return dst, true, nil
}

func (s *hyperLogLog) result(out *core.Vector, b []byte) error {
	switch {
	case len(b) == 0:
		out.AppendInt64(0)
	case b[0] == 0:
		out.AppendInt64(int64(len(b)-1) / 8)
	case len(b) != 1+registers:
		return errDamagedState
	default:
		out.AppendInt64(int64(math.Round(estimate(b[1:]))))
	}
	return nil
}

func estimate(ranks []byte) float64 {
	var of [maxRank + 1]float64
	for _, r := range ranks {
		of[min(r, maxRank)]++
	}
	const m = registers
	z := m * tau(1-of[maxRank]/m)
	for k := maxRank - 1; k >= 1; k-- {
		z = 0.5 * (z + of[k])
	}
	z += m * sigma(of[0]/m)
	return m * m / (2 * math.Ln2 * z)
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for last := -1.0; z != last; {
		x *= x
		last = z
		z += x * y
		y += y
	}
	return z
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for last := -1.0; z != last; {
		x = math.Sqrt(x)
		last = z
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
	}
	return z / 3
}
