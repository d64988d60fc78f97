package ops

import (
	"bytes"
	"encoding/binary"
	"slices"

	"turbo/core"
)

// multiset is what COUNT(DISTINCT x), MIN, MAX and TOP_K keep over a changelog: every value with how often it is there. A state is the values in their order: the length, the
// value as appendOrdered has it, and the count; numbers are varints.
type multiset struct {
	function Function
	most     int // of TOP_K
	scratch  []byte
	fresh    []piece
	other    []byte
	entries  []entry
}

type entry struct {
	value []byte
	count uint64
}

func newMultiset(f Function) func(core.Type, []any) (encoding, error) {
	return func(_ core.Type, parameters []any) (encoding, error) {
		s := &multiset{function: f}
		if f == TopK {
			s.most = int(parameters[0].(int64))
		}
		return s, nil
	}
}

func appendEntry(dst []byte, e entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(e.value)))
	return binary.AppendUvarint(append(dst, e.value...), e.count)
}

// nextEntry returns the entry that b begins with, and what follows it.
func nextEntry(b []byte) (e entry, rest []byte, err error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || uint64(len(b)-n) < length {
		return e, nil, errDamagedState
	}
	e.value, b = b[n:n+int(length)], b[n+int(length):]
	if e.count, n = binary.Uvarint(b); n <= 0 {
		return e, nil, errDamagedState
	}
	return e, b[n:], nil
}

func (s *multiset) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	s.scratch, s.fresh, s.other = s.scratch[:0], s.fresh[:0], s.other[:0]
	for _, row := range rows {
		from := len(s.scratch)
		s.scratch = appendOrdered(s.scratch, in, int(row))
		s.fresh = append(s.fresh, piece{from, len(s.scratch)})
	}
	of := func(p piece) []byte { return s.scratch[p.from:p.to] }
	slices.SortFunc(s.fresh, func(a, b piece) int { return bytes.Compare(of(a), of(b)) })
	for i := 0; i < len(s.fresh); {
		e := entry{value: of(s.fresh[i])}
		for ; i < len(s.fresh) && bytes.Equal(of(s.fresh[i]), e.value); i++ {
			e.count++
		}
		s.other = appendEntry(s.other, e)
	}
	return s.merge(dst, old, s.other)
}

func (s *multiset) merge(dst, old, other []byte) ([]byte, bool, error) {
	dst, err := s.add(dst, old, other, false)
	return dst, true, err
}

// take implements taker. What is not there cannot be taken.
func (s *multiset) take(dst, old, other []byte) ([]byte, error) { return s.add(dst, old, other, true) }

func (s *multiset) add(dst, old, other []byte, back bool) (_ []byte, err error) {
	var e, o entry
	have := false
	next := func() {
		if have = len(old) > 0 && err == nil; have {
			e, old, err = nextEntry(old)
		}
	}
	next()
	for len(other) > 0 && err == nil {
		if o, other, err = nextEntry(other); err != nil {
			break
		}
		for have && bytes.Compare(e.value, o.value) < 0 {
			dst = appendEntry(dst, e)
			next()
		}
		switch {
		case have && bytes.Equal(e.value, o.value):
			if back {
				e.count -= min(o.count, e.count)
			} else {
				e.count += o.count
			}
			if e.count > 0 {
				dst = appendEntry(dst, e)
			}
			next()
		case !back:
			dst = appendEntry(dst, o)
		}
	}
	if err != nil {
		return nil, err
	}
	if have {
		dst = appendEntry(dst, e)
	}
	return append(dst, old...), nil
}

func (s *multiset) result(out *core.Vector, b []byte) error {
	s.entries = s.entries[:0]
	for len(b) > 0 {
		e, rest, err := nextEntry(b)
		if err != nil {
			return err
		}
		s.entries, b = append(s.entries, e), rest
	}
	n := len(s.entries)
	switch {
	case s.function == CountDistinct:
		out.AppendInt64(int64(n))
	case n == 0:
		out.AppendNull()
	case s.function == Min:
		appendDecoded(out, s.entries[0].value)
	case s.function == Max:
		appendDecoded(out, s.entries[n-1].value)
	default:
		left := uint64(s.most)
		for i := n - 1; i >= 0 && left > 0; i-- {
			for range min(s.entries[i].count, left) {
				appendDecoded(out.Child(0), s.entries[i].value)
				left--
			}
		}
		out.EndElement()
	}
	return nil
}
