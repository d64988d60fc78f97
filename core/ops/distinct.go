package ops

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"turbo/core"
	"turbo/core/hash"
)

// distinct is COUNT(DISTINCT x): a hash table within the state, which grows by doubling, so that most new values are written in place. A state is the count, the bytes of
// values in use and the number of places, which is a power of two (4 bytes each); the places (4 bytes each: 0, or where a value is, plus 1); and the values as appendOrdered
// has them, those without a width behind their length (a varint), with room for more.
type distinct struct {
	width   int
	scratch []byte
}

const distinctHead = 12

func newDistinct(argument core.Type, _ []any) (encoding, error) {
	return &distinct{width: argument.Kind.Width()}, nil
}

func distinctParts(state []byte) (count, used, places uint32, index, values []byte, ok bool) {
	if len(state) < distinctHead {
		return 0, 0, 0, nil, nil, false
	}
	count, used, places = binary.LittleEndian.Uint32(state), binary.LittleEndian.Uint32(state[4:]), binary.LittleEndian.Uint32(state[8:])
	rest := state[distinctHead:]
	if bits.OnesCount32(places) != 1 || uint64(len(rest)) < 4*uint64(places)+uint64(used) || count >= places {
		return 0, 0, 0, nil, nil, false
	}
	return count, used, places, rest[:4*places], rest[4*places:], true
}

// entry returns the entry of a value, which is x with its length when it has no width.
func (s *distinct) entry(in *core.Vector, row int) []byte {
	s.scratch = s.scratch[:0]
	if s.width > 0 {
		s.scratch = appendOrdered(s.scratch, in, row)
		return s.scratch
	}
	s.scratch = appendOrdered(append(s.scratch, make([]byte, binary.MaxVarintLen32)...), in, row)
	n := len(s.scratch) - binary.MaxVarintLen32
	var head [binary.MaxVarintLen32]byte
	k := binary.PutUvarint(head[:], uint64(n))
	entry := s.scratch[binary.MaxVarintLen32-k:]
	copy(entry, head[:k])
	return entry
}

// next returns the length of the entry that values begin with.
func (s *distinct) next(values []byte) (int, bool) {
	if s.width > 0 {
		return s.width, len(values) >= s.width
	}
	n, k := binary.Uvarint(values)
	return k + int(n), k > 0 && uint64(len(values)-k) >= n
}

func (s *distinct) hash(entry []byte) uint64 {
	if s.width == 8 {
		return hash.Int64(int64(binary.LittleEndian.Uint64(entry)))
	}
	return hash.String(entry)
}

// insert adds an entry to a state that has room for it; ok is false when it has not. Entries are whole: none is the beginning of another one.
func (s *distinct) insert(state, entry []byte) (ok bool) {
	count, used, places, index, values, ok := distinctParts(state)
	if !ok {
		return false
	}
	mask := places - 1
	at := uint32(s.hash(entry)) & mask
	for {
		place := binary.LittleEndian.Uint32(index[4*at:])
		if place == 0 {
			break
		}
		if bytes.HasPrefix(values[place-1:used], entry) {
			return true
		}
		at = (at + 1) & mask
	}
	if 4*(count+1) > 3*places || int(used)+len(entry) > len(values) {
		return false
	}
	copy(values[used:], entry)
	binary.LittleEndian.PutUint32(index[4*at:], used+1)
	binary.LittleEndian.PutUint32(state, count+1)
	binary.LittleEndian.PutUint32(state[4:], used+uint32(len(entry)))
	return true
}

// grow writes state with room for an entry more, twice the values as now.
func (s *distinct) grow(dst, state []byte, entry int) ([]byte, error) {
	count, used, places, _, values, ok := distinctParts(state)
	if !ok && len(state) > 0 {
		return nil, errDamagedState
	}
	room := len(values)
	if places = max(places, 4); 4*(count+1) > 3*places {
		places *= 2
	}
	if s.width > 0 {
		room = int(places) * 3 / 4 * s.width
	} else if int(used)+entry > room {
		room = max(2*room, int(used)+entry)
	}
	from := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, count)
	dst = binary.LittleEndian.AppendUint32(dst, used)
	dst = binary.LittleEndian.AppendUint32(dst, places)
	dst = append(dst, make([]byte, 4*int(places))...)
	dst = append(dst, values[:used]...)
	dst = append(dst, make([]byte, room-int(used))...)
	_, _, _, index, values, _ := distinctParts(dst[from:])
	for offset := uint32(0); offset < used; {
		n, ok := s.next(values[offset:used])
		if !ok {
			return nil, errDamagedState
		}
		at := uint32(s.hash(values[offset:][:n])) & (places - 1)
		for binary.LittleEndian.Uint32(index[4*at:]) != 0 {
			at = (at + 1) & (places - 1)
		}
		binary.LittleEndian.PutUint32(index[4*at:], offset+1)
		offset += uint32(n)
	}
	return dst, nil
}

// inPlace implements inPlacer.
func (s *distinct) inPlace(state []byte, in *core.Vector, rows []int32) int {
	for i, r := range rows {
		if !s.insert(state, s.entry(in, int(r))) {
			return i
		}
	}
	return len(rows)
}

func (s *distinct) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	dst = append(dst, old...)
	for {
		rows = rows[s.inPlace(dst, in, rows):]
		if len(rows) == 0 {
			return dst, true, nil
		}
		var err error
		if dst, err = s.grow(nil, dst, len(s.scratch)); err != nil {
			return nil, false, err
		}
	}
}

// mergeInPlace implements inPlacer. What it has merged when there is no more room is merged again.
func (s *distinct) mergeInPlace(state, other []byte) bool {
	missing, err := s.union(state, other)
	return missing == 0 && err == nil
}

func (s *distinct) merge(dst, old, other []byte) ([]byte, bool, error) {
	dst = append(dst, old...)
	for {
		missing, err := s.union(dst, other)
		if missing == 0 || err != nil {
			return dst, true, err
		}
		if dst, err = s.grow(nil, dst, missing); err != nil {
			return nil, false, err
		}
	}
}

// union inserts the entries of other as far as there is room; missing is the length of the first one without.
func (s *distinct) union(state, other []byte) (missing int, err error) {
	_, used, _, _, values, ok := distinctParts(other)
	if !ok {
		return 0, errDamagedState
	}
	for values = values[:used]; len(values) > 0; {
		n, ok := s.next(values)
		if !ok {
			return 0, errDamagedState
		}
		if !s.insert(state, values[:n]) {
			return n, nil
		}
		values = values[n:]
	}
	return 0, nil
}

func (s *distinct) result(out *core.Vector, state []byte) error {
	count, _, _, _, _, ok := distinctParts(state)
	if !ok && len(state) > 0 {
		return errDamagedState
	}
	out.AppendInt64(int64(count))
	return nil
}
