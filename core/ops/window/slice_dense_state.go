package window

import (
	"math"
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
	"turbo/state"
)

// How dense windows begin, grow, come to the table before a checkpoint, and are given up.

// startDense begins with what the table has, if that can be kept densely.
func (s *sliced) startDense() error {
	s.dense = &dense{high: -1, saved: math.MinInt64}
	s.forgetLists()
	err := s.table.Scan(func(slots []uint32) error {
		ids := s.table.Ints(s.bits - 1)
		for _, slot := range slots {
			if err := s.list(s.chunkOf(ids.At(slot)), slot); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		_, err = s.growDense(0, 1)
	}
	return err
}

// Flush implements core.Operator.
func (s *sliced) Flush(core.Emitter) error {
	if s.dense == nil {
		return nil
	}
	return s.syncDense()
}

// syncDense makes the table the state: it brings what has changed into it.
func (s *sliced) syncDense() error {
	d := s.dense
	for id := d.low; id <= d.high; id++ {
		at := &d.slices[d.at(id)]
		if !at.dirty {
			continue
		}
		err := s.each(id, isDirty, func(src, keys []uint32) error {
			n := len(src)
			columns := s.keyColumns()
			for i, v := range columns[:len(columns)-1] {
				if err := d.keys.AppendValues(v, i, keys); err != nil {
					return err
				}
			}
			chunk := floorDiv(id, s.k)
			slots, made, err := s.tableRows(columns, chunk, n)
			if err != nil {
				return err
			}
			c := s.chunkOf(chunk)
			for i, slot := range slots {
				if made[i] {
					if err := s.list(c, slot); err != nil {
						return err
					}
				}
			}
			if s.k > 1 {
				bits, p := s.table.Words(s.bits, 0), id-chunk*s.k
				for _, slot := range slots {
					bits.Set(slot, bits.At(slot)|1<<p)
				}
			}
			to := s.slice[id-chunk*s.k]
			to.Clear(slots)
			if err := to.Merge(slots, d.values, src); err != nil {
				return err
			}
			for _, x := range src {
				d.present[x] = hasRows
			}
			return nil
		})
		if err != nil {
			return err
		}
		at.dirty = false
	}
	if err := s.dropDense(); err != nil {
		return err
	}
	if len(s.chunks) > 0 && s.watermark != core.MinTime && d.saved != s.target {
		d.saved = s.target
		return s.save()
	}
	return nil
}

// dropDense takes out of the table what no window needs.
func (s *sliced) dropDense() error {
	need := s.cut.first(s.closed + 1)
	for len(s.chunks) > 0 && (s.chunks[0].id+1)*s.k <= need {
		if err := s.drop(s.chunks[0]); err != nil {
			return err
		}
		s.chunks = slices.Delete(s.chunks, 0, 1)
	}
	if len(s.chunks) > 0 || len(s.clocks) == 0 {
		return nil
	}
	err := s.clock.Drop(s.clocks)
	s.clocks, s.dense.saved = s.clocks[:0], math.MinInt64
	return err
}

// tableRows finds or makes the table's rows of keys, which are in all columns but the last, in a chunk, and announces that they change.
func (s *sliced) tableRows(columns []*core.Vector, chunk int64, n int) (slots []uint32, made []bool, err error) {
	last := len(columns) - 1
	fill(columns[last], chunk, n)
	s.hashes, s.groups, s.made = resize(s.hashes, n), resize(s.groups, n), resize(s.made, n)
	s.distinct = resize(s.distinct, n)
	hash.Columns(columns[:last], n, nil, s.hashes)
	for i, h := range s.hashes {
		s.groups[i] = int32(core.KeyGroup(h, s.ctx.KeyGroups))
		s.hashes[i] = hash.Mix(uint64(chunk) ^ h)
	}
	if _, err := s.table.UpsertGrouped(s.groups, columns, s.hashes, nil, n, s.distinct, s.made); err != nil {
		return nil, nil, err
	}
	return s.distinct, s.made, s.table.Touch(s.distinct)
}

// growDense makes room for n more keys and span slices, or gives dense up.
func (s *sliced) growDense(n int, span int64) (bool, error) {
	d := s.dense
	if d.keys != nil {
		if err := s.syncDense(); err != nil {
			return false, err
		}
		d.close(s)
	}
	low, high := int64(0), int64(-1)
	err := s.openKeys()
	if err == nil {
		low, high, err = s.loadKeys()
	}
	if err != nil { // with too many keys, or without memory for them, the table does
		return false, s.withoutDense()
	}
	if low <= high {
		span = max(span, high-low+1)
	}
	ring := int64(1)
	for ring < max(span, s.cut.n+4) {
		if ring *= 2; ring > denseLimit { // a row from far in the future, say
			return false, s.withoutDense()
		}
	}
	from, to, of := s.table.KeyGroups()
	limit := int64(denseLimit)
	if pool := s.ctx.Account.Pool().Limit(); pool > 0 {
		limit = min(limit, pool/8/int64(of)*int64(to-from))
	}
	most := int(limit / (ring * int64(1+8*(1+s.fields))))
	if s.cut.n == 1 {
		most = min(most, denseKeys)
	}
	need := d.keys.Len() + n
	if need == 0 { // the first rows say how much is needed
		return true, nil
	}
	capacity := min(need+max(need/4, min(need, 4096), 64), most) // columns that are too long lie in more pages than they need
	if capacity < need || s.openDense(capacity, ring) != nil {
		return false, s.withoutDense()
	}
	if s.loadDense(low, high) != nil {
		return false, s.withoutDense()
	}
	return true, nil
}

// openKeys makes the table of the keys.
func (s *sliced) openKeys() (err error) {
	d, in, keys := s.dense, s.ctx.Inputs[0], len(s.config.Keys)
	var values []core.Field
	if s.cut.n > 1 {
		values = ops.RunningFields(s.config.Calls, in)
	}
	d.keys, err = state.New(state.Options{Operator: s.ctx.ID, Table: "dense keys", Keys: s.table.Fields()[:keys], Values: values, Account: s.ctx.Account, KeyGroups: 1, To: 1})
	if err == nil && s.cut.n > 1 {
		d.running, err = ops.NewRunning(s.config.Calls, in, d.keys, keys)
	}
	return err
}

// openDense makes the sums.
func (s *sliced) openDense(capacity int, ring int64) (err error) {
	d, in, of := s.dense, s.ctx.Inputs[0], s.ctx.Account
	fields := ops.StateFields(s.config.Calls, in)
	if d.sums, err = state.New(state.Options{Operator: s.ctx.ID, Table: "dense sums", Values: fields, Account: of, KeyGroups: 1, To: 1, Bag: true}); err != nil {
		return err
	}
	rows := capacity * int(ring)
	size := int64(rows + 4*capacity)
	if err := of.Reserve(size); err != nil {
		return err
	}
	d.reserved, d.members = size, make([]int32, capacity)
	d.capacity, d.ring, d.present, d.slices = capacity, ring, make([]uint8, rows), make([]denseSlice, ring)
	slots, groups := s.input.slots, []int32{0}
	for at := 0; at < rows; at += len(slots) {
		part := slots[:min(len(slots), rows-at)]
		if _, err := d.sums.Insert(groups, len(part), part); err != nil {
			return err
		}
		for i, slot := range part {
			if int(slot) != at+i {
				return errOrder
			}
		}
	}
	d.values, err = ops.NewAccumulators(s.config.Calls, in, d.sums, 0)
	return err
}

// loadKeys gives each key of the table that some window still needs a number, and returns the first and the last slice with rows.
func (s *sliced) loadKeys() (low, high int64, err error) {
	low, high = math.MaxInt64, math.MinInt64
	err = s.table.Scan(func(slots []uint32) error {
		s.distinct = s.distinct[:0]
		ids, need := s.table.Ints(s.bits-1), s.cut.first(s.closed+1)
		for _, slot := range slots {
			bits, first := s.sliceBits(slot), ids.At(slot)*s.k
			if first < need {
				bits &^= mask(0, min(need-first, s.k))
			}
			if bits != 0 {
				s.distinct = append(s.distinct, slot)
				low, high = min(low, first+int64(trailingZeros(bits))), max(high, first+63-int64(leadingZeros(bits)))
			}
		}
		if _, err := s.numbers(s.distinct); err != nil {
			return err
		}
		if s.cut.n == 1 && s.dense.keys.Len() > denseKeys {
			return errMany
		}
		return nil
	})
	return low, high, err
}

// numbers finds or makes the numbers of the keys of rows of the table.
func (s *sliced) numbers(slots []uint32) ([]uint32, error) {
	keys, n := s.keyColumns()[:len(s.config.Keys)], len(slots)
	for i, v := range keys {
		if err := s.table.AppendValues(v, i, slots); err != nil {
			return nil, err
		}
	}
	s.hashes, s.more = resize(s.hashes, n), resize(s.more, n)
	hash.Columns(keys, n, nil, s.hashes)
	_, err := s.dense.keys.Upsert(keys, s.hashes, nil, n, s.more, nil)
	return s.more, err
}

// loadDense reads the slices low to high of the table. The totals begin with the next window.
func (s *sliced) loadDense(low, high int64) error {
	d := s.dense
	d.from, d.to = math.MinInt64, math.MinInt64
	if d.low, d.high = low, high; low > high {
		d.low, d.high = 0, -1
		return nil
	}
	return s.table.Scan(func(slots []uint32) error {
		some := s.distinct[:0]
		ids := s.table.Ints(s.bits - 1)
		for _, slot := range slots {
			if (ids.At(slot)+1)*s.k > low {
				some = append(some, slot)
			}
		}
		s.distinct = some
		keys, err := s.numbers(some)
		if err != nil {
			return err
		}
		for p := range s.k {
			s.src, s.dst = s.src[:0], s.dst[:0]
			for i, slot := range some {
				id := ids.At(slot)*s.k + p
				if id < low || id > high || s.sliceBits(slot)>>p&1 == 0 {
					continue
				}
				x := keys[i] + uint32(d.at(id)*int64(d.capacity))
				s.src, s.dst = append(s.src, slot), append(s.dst, x)
				d.present[x] = hasRows
				d.slices[d.at(id)] = denseSlice{used: true, nulls: true}
			}
			if err := d.values.Merge(s.dst, s.slice[p], s.src); err != nil {
				return err
			}
		}
		return nil
	})
}

// withoutDense does without dense for a while: the table has all that is at hand then.
func (s *sliced) withoutDense() error {
	d := s.dense
	if d.sums != nil && d.values != nil {
		if err := s.syncDense(); err != nil {
			return err
		}
	}
	d.close(s)
	s.densePause = min(max(2*s.densePause, denseRest), 64*denseRest)
	s.dense, s.denseRest = nil, s.densePause
	s.forgetLists()
	if err := s.readTable(); err != nil {
		return err
	}
	if len(s.chunks) > 0 && s.watermark != core.MinTime {
		return s.save()
	}
	return nil
}

// forgetLists empties the lists of the chunks.
func (s *sliced) forgetLists() {
	for _, c := range s.chunks {
		*c = chunk{id: c.id, slots: c.slots[:0], keys: c.keys[:0], stale: c.stale[:0]}
	}
}

// close gives the memory back.
func (d *dense) close(s *sliced) {
	for _, t := range []*state.Table{d.keys, d.sums} {
		if t != nil {
			t.Close()
		}
	}
	s.ctx.Account.Unreserve(d.reserved)
	*d = dense{high: -1, from: math.MinInt64, to: math.MinInt64, saved: d.saved, in: d.in, out: d.out}
}
