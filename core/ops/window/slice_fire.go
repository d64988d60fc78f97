package window

import (
	"cmp"
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
	"turbo/state"
)

var noMark state.Mark

// firing is a window's rows on their way out.
type firing struct {
	window  int64
	slots   []uint32 // of values
	keys    []uint32 // of table: the keys of slots; nil: slots themselves
	numbers []uint32 // memory for keys
	owned   []uint32 // memory for slots that are no chunk's
	next    int
	table   *state.Table
	values  *ops.Accumulators
	kind    *core.Vector
	active  bool
}

// Advance implements core.Operator.
func (s *sliced) Advance(t core.Time, out core.Emitter) error {
	if t <= s.watermark {
		return nil
	}
	s.watermark = t
	target, closed := s.cut.ended(t), s.cut.ended(s.minusLateness(t))
	if target > s.target || closed > s.closed {
		s.target, s.closed = max(s.target, target), max(s.closed, closed)
		if len(s.chunks) > 0 && s.dense == nil {
			if err := s.save(); err != nil {
				return err
			}
		}
	}
	_, err := s.Resume(out)
	return err
}

// Resume implements core.Operator: it works off what is due, in this order: the rows of the window at hand, windows to fire again, the rest of the
// batch, windows that have ended.
func (s *sliced) Resume(out core.Emitter) (more bool, err error) {
	for {
		switch {
		case s.fire.active:
			if more, err := s.emit(out); more || err != nil {
				return more, err
			}
		case len(s.late) > 0:
			err = s.fireLate()
		case s.input.batch != nil:
			err = s.rows()
		case s.dense != nil:
			k, ok := s.nextDense()
			if !ok {
				s.fired = max(s.fired, s.target)
				return false, s.settleDense()
			}
			err = s.fireDense(k)
		default:
			k, ok := s.nextWindow()
			if !ok {
				s.fired = max(s.fired, s.target)
				return false, s.settle()
			}
			if err = s.free(min(s.closed, k-1)); err == nil {
				err = s.fireWindow(k)
			}
		}
		if err != nil {
			return false, err
		}
	}
}

// nextWindow returns the first window that has ended, has not fired, and has rows.
func (s *sliced) nextWindow() (int64, bool) {
	k := s.fired + 1
	if k > s.target {
		return 0, false
	}
	first := s.cut.first(k)
	for _, c := range s.chunks {
		bits := c.bits
		if low := first - c.id*s.k; low >= s.k {
			continue
		} else if low > 0 {
			bits &^= 1<<low - 1
		}
		if bits == 0 {
			continue
		}
		from, _ := s.cut.windows(c.id*s.k + int64(trailingZeros(bits)))
		k = max(k, from)
		return k, k <= s.target
	}
	return 0, false
}

// fireWindow prepares the rows of a window that has ended.
func (s *sliced) fireWindow(k int64) error {
	s.fired = k
	f := &s.fire
	*f = firing{window: k, kind: s.kinds, active: true, owned: f.owned[:0], numbers: f.numbers}
	if s.directory == nil {
		f.table, f.values, f.slots = s.table, s.slice[0], s.chunkOf(s.cut.first(k)).slots
		return nil
	}
	if s.directory.running != nil {
		return s.fireRunning(k)
	}
	d := s.directory
	f.table, f.values = d.table, d.result
	if err := d.table.BeginDistinct(); err != nil {
		return err
	}
	first, last := s.cut.first(k), s.cut.last(k)
	for _, c := range s.chunks {
		low, high := max(first-c.id*s.k, 0), min(last-c.id*s.k, s.k)
		if low >= s.k {
			continue
		}
		if high <= 0 {
			break
		}
		s.sort(c)
		var err error
		if low == 0 {
			err = s.totalUpTo(c, high)
		} else {
			err = s.totalFrom(c, low)
		}
		if err != nil {
			return err
		}
		// In blocks: the rows of the table and of the directory stay in the caches.
		for block := range slices.Chunk(c.slots, slicedBlock) {
			rows, keys := s.selectRows(block, mask(low, high))
			fresh, err := s.touchDistinct(keys)
			if err != nil {
				return err
			}
			d.result.Clear(fresh)
			f.owned = append(f.owned, fresh...)
			if low == 0 {
				err = d.result.Merge(keys, s.total, rows)
			} else {
				err = d.result.Merge(keys, d.suffix[low], keys)
			}
			if err != nil {
				return err
			}
		}
	}
	f.slots = f.owned
	return nil
}

// mask has the bits [low, high).
func mask(low, high int64) uint64 { return ^uint64(0) >> (64 - high + low) << low }

// totalUpTo brings the totals of a chunk up to its slice high.
func (s *sliced) totalUpTo(c *chunk, high int64) error {
	if len(c.stale) > 0 {
		c.stale = compact(c.stale)
		if err := s.table.Touch(c.stale); err != nil {
			return err
		}
		s.total.Clear(c.stale)
		for p := range c.done {
			if err := s.mergeSlice(c.stale, p, s.total, false); err != nil {
				return err
			}
		}
		c.stale = c.stale[:0]
	}
	for ; c.done < high; c.done++ {
		if c.bits&(1<<c.done) == 0 {
			continue
		}
		for block := range slices.Chunk(c.slots, slicedBlock) {
			rows, _ := s.selectRows(block, 1<<c.done)
			if err := s.table.Touch(rows); err != nil {
				return err
			}
			if err := s.total.Merge(rows, s.slice[c.done], rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// totalFrom makes the totals from each slice, low and later, to the end of the chunk that windows begin in now.
func (s *sliced) totalFrom(c *chunk, low int64) error {
	todo := c.stale
	if !c.suffixed {
		todo = c.slots
	} else if len(todo) > 0 {
		todo = compact(todo)
	}
	d := s.directory
	for block := range slices.Chunk(todo, 256) {
		_, keys := s.selectRows(block, ^uint64(0))
		all := append(s.distinct[:0], keys...)
		s.distinct = all
		if err := d.table.Touch(all); err != nil {
			return err
		}
		for p := s.k - 1; p >= low; p-- {
			d.suffix[p].Clear(all)
			if c.bits&(1<<p) != 0 {
				if err := s.mergeSlice(block, p, d.suffix[p], true); err != nil {
					return err
				}
			}
			if p+1 < s.k {
				if err := d.suffix[p].Merge(all, d.suffix[p+1], all); err != nil {
					return err
				}
			}
		}
	}
	c.suffixed, c.stale = true, c.stale[:0]
	return nil
}

// compact sorts slots and removes repeated ones.
func compact(slots []uint32) []uint32 {
	slices.Sort(slots)
	return slices.Compact(slots)
}

// fireLate prepares the rows of the first window that has to fire again.
func (s *sliced) fireLate() error {
	slices.SortFunc(s.late, func(a, b refire) int {
		return cmp.Or(cmp.Compare(a.window, b.window), cmp.Compare(a.slot, b.slot))
	})
	s.late = slices.Compact(s.late)
	f := &s.fire
	*f = firing{window: s.late[0].window, kind: s.lateCol, active: true, owned: f.owned[:0], numbers: f.numbers}
	n := 0
	for n < len(s.late) && s.late[n].window == f.window {
		f.owned = append(f.owned, s.late[n].slot)
		n++
	}
	s.late = slices.Delete(s.late, 0, n)
	f.slots = f.owned
	if s.dense != nil {
		s.dense.again(f, s.cut.first(f.window))
		return nil
	}
	if s.directory == nil {
		f.table, f.values = s.table, s.slice[0]
		return nil
	}
	f.table, f.values = s.directory.table, s.directory.result
	return s.again(f)
}

// again merges the slices of a window that has fired for some keys.
func (s *sliced) again(f *firing) error {
	d, n := s.directory, len(f.slots)
	if err := d.table.Touch(f.slots); err != nil {
		return err
	}
	d.result.Clear(f.slots)
	keys := s.keyColumns()
	for i, v := range keys[:len(keys)-1] {
		if err := d.table.AppendValues(v, i, f.slots); err != nil {
			return err
		}
	}
	found := make([]uint32, n)
	s.hashes = resize(s.hashes, n)
	ids := keys[len(keys)-1]
	first, last := s.cut.first(f.window), s.cut.last(f.window)
	for _, c := range s.chunks {
		low, high := max(first-c.id*s.k, 0), min(last-c.id*s.k, s.k)
		if low >= high {
			continue
		}
		ids.Reset()
		for range n {
			ids.AppendInt64(c.id)
		}
		hash.Columns(keys, n, nil, s.hashes)
		if err := s.table.Lookup(keys, s.hashes, nil, n, found); err != nil {
			return err
		}
		s.distinct = s.distinct[:0]
		for _, slot := range found {
			if slot != core.NoSlot {
				s.distinct = append(s.distinct, slot)
			}
		}
		for p := low; p < high; p++ {
			if c.bits&(1<<p) == 0 {
				continue
			}
			if err := s.mergeSlice(s.distinct, p, d.result, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// emit sends rows of the window at hand until out is full.
func (s *sliced) emit(out core.Emitter) (more bool, err error) {
	f := &s.fire
	keys := len(s.config.Keys)
	start, end := s.cut.start(f.window), s.cut.end(f.window)
	for f.next < len(f.slots) {
		if out.Full() {
			return true, nil
		}
		n := min(max(s.ctx.BatchRows, 1), len(f.slots)-f.next)
		part := f.slots[f.next : f.next+n]
		of := part
		if f.keys != nil {
			of = f.keys[f.next : f.next+n]
		}
		b := s.pool.Get()
		for i := range keys {
			if err := f.table.AppendValues(b.Columns[i], i, of); err != nil {
				b.Release()
				return false, err
			}
		}
		fill(b.Columns[keys], start, n)
		fill(b.Columns[keys+1], end, n)
		if err := f.values.Emit(b.Columns[keys+2:], part); err != nil {
			b.Release()
			return false, err
		}
		b.Columns[len(b.Columns)-1].AppendRange(f.kind, 0, n)
		b.Len = n
		f.next += n
		if err := out.Emit(b); err != nil {
			return false, err
		}
	}
	f.active, f.slots = false, nil
	return false, nil
}

func fill(v *core.Vector, x int64, n int) {
	from := v.Len()
	v.Extend(n)
	values := v.Int64s()[from:]
	for i := range values {
		values[i] = x
	}
}
