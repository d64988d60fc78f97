package window

import (
	"cmp"
	"slices"
)

// The running totals of the directory: the slices [from, to) of all keys, for aggregates that can be taken back.

// member is a slice of a row of the table that is in its key's running total.
type member struct {
	slot  uint32
	slice uint8 // within its chunk
	had   bool  // it had rows before
}

// fireRunning brings the running totals to window k and prepares its rows.
func (s *sliced) fireRunning(k int64) error {
	d, f := s.directory, &s.fire
	first, last := s.cut.first(k), s.cut.last(k)
	if first >= d.to {
		if err := s.clearRunning(); err != nil {
			return err
		}
		d.from, d.to = first, first
	}
	if err := s.retractUpTo(first); err != nil {
		return err
	}
	if err := s.run(d.to, last, false); err != nil {
		return err
	}
	d.from, d.to = first, last
	f.table, f.values = d.table, d.running.Accumulators
	members := d.table.Ints(d.members)
	err := d.table.Scan(func(slots []uint32) error {
		n := len(f.owned)
		f.owned = slices.Grow(f.owned, len(slots))[:n+len(slots)]
		for _, slot := range slots {
			f.owned[n] = slot
			if members.Words[int(slot)*members.Stride+members.Offset] > 0 {
				n++
			}
		}
		f.owned = f.owned[:n]
		return nil
	})
	f.slots = f.owned
	return err
}

// clearRunning empties the running totals.
func (s *sliced) clearRunning() error {
	d := s.directory
	return d.table.Scan(func(slots []uint32) error {
		if err := d.table.Touch(slots); err != nil {
			return err
		}
		d.running.Clear(slots)
		members := d.table.Ints(d.members)
		for _, slot := range slots {
			members.Set(slot, 0)
		}
		return nil
	})
}

// retractUpTo takes the slices before `to` out of the running totals.
func (s *sliced) retractUpTo(to int64) error {
	d := s.directory
	if d.running == nil || to <= d.from {
		return nil
	}
	if err := s.run(d.from, min(to, d.to), true); err != nil {
		return err
	}
	d.from = to
	d.to = max(d.to, to)
	return nil
}

// run adds the slices [from, to) to the running totals, or takes them back.
func (s *sliced) run(from, to int64, back bool) error {
	for _, c := range s.chunks {
		low, high := max(from-c.id*s.k, 0), min(to-c.id*s.k, s.k)
		if low >= high {
			continue
		}
		s.sort(c)
		for at := 0; at < len(c.slots); at += 256 { // some slices of a block: its rows stay in the caches
			for p := low; p < high; p++ {
				if c.bits&(1<<p) == 0 {
					continue
				}
				rows, keys := s.with(c, at, min(at+256, len(c.slots)), p)
				if err := s.runRows(rows, keys, p, c.nulls&(1<<p) != 0, back); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// runRows adds slice p of rows of the table to the totals of their keys, or takes it back. The directory is in no checkpoint: nothing is announced.
func (s *sliced) runRows(rows, keys []uint32, p int64, nulls, back bool) error {
	d := s.directory
	members := d.table.Ints(d.members)
	words, stride, offset := members.Words, members.Stride, members.Offset
	if back {
		for _, key := range keys {
			words[int(key)*stride+offset]--
		}
		return d.running.Retract(keys, s.slice[p], rows, nulls)
	}
	for _, key := range keys {
		words[int(key)*stride+offset]++
	}
	return d.running.Add(keys, s.slice[p], rows, nulls)
}

// retractSome takes the slices of rows that come into windows that have fired out of the running totals, before the rows are added.
func (s *sliced) retractSome(slots []uint32, ids []int64) error {
	d, in := s.directory, &s.input
	in.members = in.members[:0]
	for i, id := range ids {
		if id < d.from || id >= d.to {
			continue
		}
		p := uint8(id - floorDiv(id, s.k)*s.k)
		in.members = append(in.members, member{slots[i], p, s.sliceBits(slots[i])&(1<<p) != 0 && (s.k > 1 || !in.created[i])})
	}
	slices.SortFunc(in.members, func(a, b member) int { return cmp.Or(cmp.Compare(a.slice, b.slice), cmp.Compare(a.slot, b.slot)) })
	n := 0
	for _, m := range in.members { // of the same slice, once: it had rows unless the first one made it
		if n > 0 && in.members[n-1].slot == m.slot && in.members[n-1].slice == m.slice {
			in.members[n-1].had = in.members[n-1].had && m.had
			continue
		}
		in.members[n] = m
		n++
	}
	in.members = in.members[:n]
	return s.runMembers(true)
}

// addAgain adds what retractSome has taken out.
func (s *sliced) addAgain() error { return s.runMembers(false) }

func (s *sliced) runMembers(back bool) error {
	list := s.input.members
	for len(list) > 0 {
		p := list[0].slice
		s.src, s.dst = s.src[:0], s.dst[:0]
		for len(list) > 0 && list[0].slice == p {
			if list[0].had || !back {
				s.src, s.dst = append(s.src, list[0].slot), append(s.dst, s.keyOf[list[0].slot])
			}
			list = list[1:]
		}
		if err := s.runRows(s.src, s.dst, int64(p), true, back); err != nil {
			return err
		}
	}
	return nil
}
