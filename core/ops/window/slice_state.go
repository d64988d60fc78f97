package window

import (
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
)

// scratch is reused memory of the operator.
type scratch struct {
	src, dst, distinct, more []uint32
	at                       []int32
	groups                   []int32
	made                     []bool
	hashes                   []uint64
	keys                     []*core.Vector // columns of the key's types, and one of chunks
}

func (c *scratch) close() {
	for _, v := range c.keys {
		v.Release()
	}
	c.keys = nil
}

// keyColumns returns empty columns of the key's types and one of chunks.
func (s *sliced) keyColumns() []*core.Vector {
	if s.scratch.keys == nil {
		for _, f := range s.table.Fields()[:len(s.config.Keys)+1] {
			s.scratch.keys = append(s.scratch.keys, core.NewVector(s.ctx.Account, f.Type, 0))
		}
	}
	for _, v := range s.scratch.keys {
		v.Reset()
	}
	return s.scratch.keys
}

// restore makes the lists and the directory from the tables.
func (s *sliced) restore() error {
	err := s.clock.Scan(func(slots []uint32) error {
		s.clocks = append(s.clocks, slots...)
		at := s.clock.Ints(1)
		for _, slot := range slots {
			s.watermark = max(s.watermark, core.Time(at.At(slot)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.target = s.cut.ended(s.watermark)
	s.fired, s.closed = s.target, s.cut.ended(s.minusLateness(s.watermark))
	if s.denseRest <= 0 && s.densely() {
		err = s.startDense()
	} else {
		err = s.readTable()
	}
	if from, to, _ := s.clock.KeyGroups(); err == nil && len(s.chunks) > 0 && len(s.clocks) != to-from {
		return s.save() // the other key groups came from workers without chunks: each group must have it, wherever it goes
	}
	return err
}

// readTable makes lists and directory.
func (s *sliced) readTable() error {
	return s.table.Scan(func(slots []uint32) error {
		if s.directory != nil {
			if err := s.enter(slots); err != nil {
				return err
			}
		}
		ids := s.table.Ints(s.bits - 1)
		for _, slot := range slots {
			c := s.chunkOf(ids.At(slot))
			if err := s.list(c, slot); err != nil {
				return err
			}
			c.stale = append(c.stale, slot) // its totals may be those of a later window
			of := s.sliceBits(slot)
			c.bits |= of
			c.nulls = ^uint64(0)
			for ; of != 0; of &= of - 1 {
				c.rows[trailingZeros(of)]++
			}
		}
		return nil
	})
}

// minusLateness is the watermark at which windows that have ended take no more rows.
func (s *sliced) minusLateness(t core.Time) core.Time {
	if t < core.MinTime+core.Time(s.config.Lateness) {
		return core.MinTime
	}
	return t - core.Time(s.config.Lateness)
}

// sliceBits returns the slices with rows of a row of the table.
func (s *sliced) sliceBits(slot uint32) uint64 {
	if s.k == 1 {
		return 1
	}
	return uint64(s.table.Ints(s.bits).At(slot))
}

// settle drops what nobody needs when all is done. Without chunks there is nothing that could fire again after a restore, so the watermark goes too.
func (s *sliced) settle() error {
	if err := s.free(s.closed); err != nil {
		return err
	}
	switch {
	case len(s.chunks) == 0 && len(s.clocks) > 0:
		err := s.clock.Drop(s.clocks)
		s.clocks = s.clocks[:0]
		return err
	case s.denseRest <= 0 && s.densely() && (len(s.chunks) == 0 || s.cut.n == 1 && s.table.Len() <= 4*denseKeys):
		return s.startDense()
	case len(s.chunks) > 0 && len(s.clocks) == 0 && s.watermark != core.MinTime:
		return s.save()
	}
	return nil
}

// save remembers the watermark.
func (s *sliced) save() error {
	from, to, _ := s.clock.KeyGroups()
	if len(s.clocks) != to-from {
		v := core.NewVector(s.ctx.Account, core.Of(core.Int64).Required(), to-from)
		defer v.Release()
		groups := make([]int32, to-from)
		for i := range groups {
			groups[i] = int32(from + i)
			v.AppendInt64(int64(from + i))
		}
		hashes := make([]uint64, to-from)
		keys := []*core.Vector{v}
		hash.Columns(keys, to-from, nil, hashes)
		s.clocks = resize(s.clocks, to-from)
		if _, err := s.clock.UpsertGrouped(groups, keys, hashes, nil, to-from, s.clocks, nil); err != nil {
			return err
		}
	}
	if err := s.clock.Touch(s.clocks); err != nil {
		return err
	}
	at := s.clock.Ints(1)
	for _, slot := range s.clocks {
		at.Set(slot, int64(s.watermark))
	}
	return nil
}

// chunkOf finds or makes a chunk.
func (s *sliced) chunkOf(id int64) *chunk {
	i, found := slices.BinarySearchFunc(s.chunks, id, func(c *chunk, id int64) int { return int(min(max(c.id-id, -1), 1)) })
	if found {
		return s.chunks[i]
	}
	var c *chunk
	if n := len(s.unused); n > 0 {
		c = s.unused[n-1]
		s.unused = s.unused[:n-1]
	} else {
		c = new(chunk)
	}
	*c = chunk{id: id, slots: c.slots[:0], keys: c.keys[:0], stale: c.stale[:0]}
	s.chunks = slices.Insert(s.chunks, i, c)
	return c
}

// list adds a row to its chunk's list.
func (s *sliced) list(c *chunk, slot uint32) error {
	if len(c.slots) == cap(c.slots) {
		size := max(64, 2*cap(c.slots))
		lists := 1
		if s.directory != nil {
			lists = 2
		}
		if err := s.reserve(lists * (size - cap(c.slots))); err != nil {
			return err
		}
		c.slots = append(make([]uint32, 0, size), c.slots...)
	}
	c.slots = append(c.slots, slot)
	c.tail++
	return nil
}

// sort brings the slots into the order of memory, when many have come since: then the loops over them go through it in one direction. It
// completes the keys.
func (s *sliced) sort(c *chunk) {
	if 4*c.tail >= len(c.slots) && c.tail > 0 {
		slices.Sort(c.slots)
		c.tail, c.keys = 0, c.keys[:0]
	}
	if cap(c.keys) < len(c.slots) {
		c.keys = append(make([]uint32, 0, cap(c.slots)), c.keys...) // list has reserved it
	}
	for _, slot := range c.slots[len(c.keys):] {
		c.keys = append(c.keys, s.keyOf[slot])
	}
}

// with returns those of the slots [from, to) of a chunk that have rows in slice p, and their keys. The chunk is sorted.
func (s *sliced) with(c *chunk, from, to int, p int64) (rows, keys []uint32) {
	if c.rows[p] == len(c.slots) {
		return c.slots[from:to], c.keys[from:to]
	}
	return s.selectRows(c.slots[from:to], 1<<p)
}

// reserve takes memory for n more slot numbers.
func (s *sliced) reserve(n int) error {
	if err := s.ctx.Account.Reserve(4 * int64(n)); err != nil {
		return err
	}
	s.reserved += 4 * int64(n)
	return nil
}

// enter finds or makes the directory's rows for new rows of the table.
func (s *sliced) enter(slots []uint32) error {
	d, n := s.directory, len(slots)
	keys := s.keyColumns()[:len(s.config.Keys)]
	for i, v := range keys {
		if err := s.table.AppendValues(v, i, slots); err != nil {
			return err
		}
	}
	s.groups, s.hashes, s.dst = resize(s.groups, n), resize(s.hashes, n), resize(s.dst, n)
	hash.Columns(keys, n, nil, s.hashes)
	for i, slot := range slots {
		s.groups[i] = int32(s.table.Group(slot))
	}
	if _, err := d.table.UpsertGrouped(s.groups, keys, s.hashes, nil, n, s.dst, nil); err != nil {
		return err
	}
	refs := d.table.Ints(d.refs)
	for i, slot := range slots {
		if int(slot) >= len(s.keyOf) {
			size := max(int(slot)+1, 2*len(s.keyOf), 1024)
			if err := s.reserve(size - len(s.keyOf)); err != nil {
				return err
			}
			s.keyOf = append(s.keyOf, make([]uint32, size-len(s.keyOf))...)
		}
		s.keyOf[slot] = s.dst[i]
		refs.Set(s.dst[i], refs.At(s.dst[i])+1)
	}
	return nil
}

// free drops the chunks that no window up to `closed` or later needs.
func (s *sliced) free(closed int64) error {
	need := s.cut.first(closed + 1)
	n := 0
	for n < len(s.chunks) && (s.chunks[n].id+1)*s.k <= need {
		c := s.chunks[n]
		if s.directory != nil {
			if err := s.retractUpTo((c.id + 1) * s.k); err != nil {
				return err
			}
			if err := s.leave(c); err != nil {
				return err
			}
		}
		if err := s.drop(c); err != nil {
			return err
		}
		n++
	}
	s.chunks = slices.Delete(s.chunks, 0, n)
	return nil
}

// drop drops the rows of a chunk, which is not used any more.
func (s *sliced) drop(c *chunk) error {
	if err := s.table.Drop(c.slots); err != nil {
		return err
	}
	if cap(c.slots) > 1<<16 && len(s.unused) > 1 || len(s.unused) > 4 {
		lists := int64(1)
		if s.directory != nil {
			lists = 2
		}
		s.ctx.Account.Unreserve(lists * 4 * int64(cap(c.slots)))
		s.reserved -= lists * 4 * int64(cap(c.slots))
		c.slots, c.keys = nil, nil
		return nil
	}
	s.unused = append(s.unused, c)
	return nil
}

// leave takes the chunk's rows out of the directory.
func (s *sliced) leave(c *chunk) error {
	d := s.directory
	refs, recent := d.table.Ints(d.refs), d.table.Ints(d.recent[c.id&1])
	s.dst = s.dst[:0]
	for _, slot := range c.slots {
		key := s.keyOf[slot]
		if recent.At(key) == int64(slot)+1 {
			recent.Set(key, 0)
		}
		left := refs.At(key) - 1
		refs.Set(key, left)
		if left == 0 {
			s.dst = append(s.dst, key)
		}
	}
	return d.table.Drop(s.dst)
}

// touchDistinct announces slots of the directory and returns those among them that are new since BeginDistinct.
func (s *sliced) touchDistinct(slots []uint32) ([]uint32, error) {
	s.more, s.at = resize(s.more, len(slots)), resize(s.at, len(slots))
	n, err := s.directory.table.TouchDistinct(slots, 0, s.more, s.at, noMark)
	return s.more[:n], err
}

// select returns the rows among slots that have rows in a slice of mask, and the slots of their keys.
func (s *sliced) selectRows(slots []uint32, mask uint64) (rows, keys []uint32) {
	s.src, s.dst = resize(s.src, len(slots)), resize(s.dst, len(slots))
	src, dst := s.src, s.dst
	if s.k == 1 {
		for i, slot := range slots {
			src[i], dst[i] = slot, s.keyOf[slot]
		}
		return src, dst
	}
	bits := s.table.Words(s.bits, 0)
	n := 0
	for _, slot := range slots {
		src[n], dst[n] = slot, s.keyOf[slot]
		if bits.Words[int(slot)*bits.Stride+bits.Offset]&mask != 0 {
			n++
		}
	}
	return src[:n], dst[:n]
}

// resize returns a slice of length n, of undefined contents, in place if it fits.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// mergeSlice adds slice p of the rows that have it to the accumulators of to, which are over the table itself or the directory.
func (s *sliced) mergeSlice(slots []uint32, p int64, to *ops.Accumulators, ofKeys bool) error {
	rows, keys := s.selectRows(slots, 1<<p)
	if !ofKeys {
		keys = rows
	}
	return to.Merge(keys, s.slice[p], rows)
}
