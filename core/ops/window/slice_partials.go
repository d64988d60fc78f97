package window

import (
	"errors"

	"turbo/core"
	"turbo/core/ops"
	"turbo/state"
)

// partials aggregate rows in front of the table, in memory that the caches hold: the keys in a table of their own, found by the hash that came with the
// batch, and a column of sums for each of a few open slices, by the key's slot. So a row costs one probe of a small table and one addition; the row of the state
// is found once a key and slice when the slice's windows end, and before a checkpoint: afterwards the tables alone are the state.
//
// They serve windows of one slice with aggregates whose merge is exact (so that results do not depend on when a checkpoint came), few keys with many rows each.
// With many keys, or few rows a key and slice, they are given up for a while: then rows go to the table at once, as those of windows that have fired always do.
type partials struct {
	keys     *state.Table // without values; one key group, so its slots are 0, 1, 2, ...
	sums     *state.Table // a bag: slice at ring position r and key slot k are row r*capacity+k
	values   *ops.Accumulators
	capacity int
	ring     [partialRing]int64 // the slices at hand, noSlice: none
	present  []uint8            // hasRows, by row of sums
	in, out  int                // rows that came, and rows of sums that went to the table, since the last trial
	came     int                // rows since the tables are empty
	rest     int                // rows to come before they are tried again
	pause    int                // how long the last rest was
	reserved int64
	src      []uint32
}

const (
	// partialRing is how many slices are aggregated at a time: a power of two.
	partialRing = 4
	// partialKeys and partialBytes bound them: more would not be in the second-level cache.
	partialKeys  = 1 << 15
	partialBytes = 4 << 20
	// Partials that turn fewer than partialGain rows into one are given up for partialRest rows, and for longer when that happens again.
	partialGain = 3
	partialRest = 1 << 20
)

// errNoPartials: slots are not what partials count on.
var errNoPartials = errors.New("the rows of a bag do not follow each other")

// partialsOf returns partials if windows can have them, else nil.
func partialsOf(s *sliced, input *core.Schema) *partials {
	if s.cut.n > 1 || len(s.config.Keys) == 0 || !exactMerge(s.config.Calls, input) {
		return nil
	}
	p := &partials{}
	for i := range p.ring {
		p.ring[i] = noSlice
	}
	return p
}

// exactMerge reports whether the calls' results are the same however their rows are cut into parts that are merged, in any order.
func exactMerge(calls []ops.Call, input *core.Schema) bool {
	for _, c := range calls {
		kind := core.Int64
		if c.Argument >= 0 {
			kind = input.Fields[c.Argument].Type.Kind
		}
		switch c.Function {
		case ops.Count:
			continue
		case ops.Sum, ops.Avg, ops.Min, ops.Max:
		default:
			return false
		}
		switch kind {
		case core.Int8, core.Int16, core.Int32, core.Int64, core.Date, core.TimeOfDay, core.Timestamp, core.TimestampLTZ:
		default:
			return false
		}
	}
	return true
}

// partial aggregates rows [from, to) of the batch, whose times are given, in front of the table and reports true, or leaves them to the table.
func (s *sliced) partial(from, to int, sel []int32, times []int64) (bool, error) {
	p, in, n := s.partials, &s.input, to-from
	if p.rest > 0 {
		p.rest -= n
		return false, nil
	}
	least, most := in.cut.span(in.low, in.high)
	if most-least >= partialRing {
		return false, nil
	}
	for id := least; id <= most; id++ {
		r := id & (partialRing - 1)
		if p.ring[r] == id {
			continue
		}
		if p.ring[r] != noSlice {
			if err := s.flushSlice(int(r)); err != nil {
				return false, err
			}
		}
		p.ring[r] = id
	}
	if p.out > partialKeys/4 {
		if p.in < partialGain*p.out {
			return false, s.withoutPartials()
		}
		p.in, p.out, p.pause = 0, 0, 0
	}
	if p.keys == nil || p.keys.Len()+n > p.capacity {
		if ok, err := s.growPartials(n); !ok {
			return false, err
		}
	}
	slots := in.slots[:n]
	if _, err := p.keys.UpsertRange(in.keys[:len(in.keys)-1], in.base, in.sel, from, to, slots, nil); err != nil {
		return false, err
	}
	p.in += n
	p.came += n
	in.cut.ring(slots, times, in.low, in.high, in.ids, partialRing, p.capacity, p.present, hasRows)
	return true, p.values.Update(in.batch.Columns, ops.Rows{Slots: slots, Sel: sel, From: from})
}

// growPartials makes room for n more keys, or gives the partials up.
func (s *sliced) growPartials(n int) (bool, error) {
	p := s.partials
	known := 0
	if p.keys != nil {
		known = p.keys.Len()
	}
	ring, in, out, came := p.ring, p.in, p.out, p.came // what growing takes does not count
	if err := s.flushPartials(); err != nil {
		return false, err
	}
	p.close(s)
	limit := min(partialKeys, partialBytes/(8*partialRing*(1+s.fields)))
	if known+n > limit {
		if came < 8*known || n > limit { // too many keys, not keys that come and go
			p.giveUp()
			return false, nil
		}
		known = 0
	}
	if s.openPartials(min(max(4*known, 2*slicedBlock), limit)) != nil { // without memory for them the table does
		p.close(s)
		p.giveUp()
		return false, nil
	}
	p.ring, p.in, p.out = ring, in, out
	if known > 0 {
		p.came = came
	}
	return true, nil
}

// withoutPartials does without partials for a while.
func (s *sliced) withoutPartials() error {
	err := s.flushPartials()
	s.partials.close(s)
	s.partials.giveUp()
	return err
}

// giveUp does without partials for a while: twice as long each time.
func (p *partials) giveUp() {
	p.pause = min(max(2*p.pause, partialRest), 64*partialRest)
	p.rest = p.pause
}

// openPartials makes the tables, with room for so many keys, at once: rows of sums are addressed by number.
func (s *sliced) openPartials(capacity int) (err error) {
	p := s.partials
	schema, of := s.table.Fields(), s.ctx.Account
	keys := len(s.config.Keys)
	if p.keys, err = state.New(state.Options{Operator: s.ctx.ID, Table: "partial keys", Keys: schema[:keys], Account: of, KeyGroups: 1, To: 1}); err != nil {
		return err
	}
	fields := ops.StateFields(s.config.Calls, s.ctx.Inputs[0])
	if p.sums, err = state.New(state.Options{Operator: s.ctx.ID, Table: "partial sums", Values: fields, Account: of, KeyGroups: 1, To: 1, Bag: true}); err != nil {
		return err
	}
	capacity = (capacity + 63) &^ 63
	rows := partialRing * capacity
	if err := of.Reserve(int64(rows)); err != nil {
		return err
	}
	p.reserved = int64(rows)
	p.capacity, p.present = capacity, make([]uint8, rows)
	slots, groups := make([]uint32, rows), []int32{0}
	if _, err := p.sums.Insert(groups, rows, slots); err != nil {
		return err
	}
	for i, slot := range slots {
		if int(slot) != i {
			return errNoPartials
		}
	}
	p.values, err = ops.NewAccumulators(s.config.Calls, s.ctx.Inputs[0], p.sums, 0)
	return err
}

// close gives the memory back. Nothing is in it.
func (p *partials) close(s *sliced) {
	for _, t := range []*state.Table{p.keys, p.sums} {
		if t != nil {
			t.Close()
		}
	}
	s.ctx.Account.Unreserve(p.reserved)
	*p = partials{src: p.src, pause: p.pause}
	for i := range p.ring {
		p.ring[i] = noSlice
	}
}

// flushBefore brings the slices before id into the table.
func (s *sliced) flushBefore(id int64) error {
	if s.partials == nil {
		return nil
	}
	for r, at := range s.partials.ring {
		if at != noSlice && at < id {
			if err := s.flushSlice(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// flushPartials brings everything into the table.
func (s *sliced) flushPartials() error {
	for r, id := range s.partials.ring {
		if id != noSlice {
			if err := s.flushSlice(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush implements core.Operator.
func (s *sliced) Flush(core.Emitter) error {
	if s.dense != nil {
		return s.syncDense()
	}
	if s.partials == nil {
		return nil
	}
	if err := s.flushPartials(); err != nil {
		return err
	}
	if len(s.chunks) > 0 && len(s.clocks) == 0 && s.watermark != core.MinTime {
		return s.save()
	}
	return nil
}

// flushSlice brings the slice at ring position r into the table.
func (s *sliced) flushSlice(r int) error {
	p := s.partials
	id := p.ring[r]
	p.ring[r] = noSlice
	if p.keys == nil {
		return nil
	}
	first := r * p.capacity
	end := first + p.keys.Len()
	for ; first < end; first += slicedBlock {
		part := p.present[first:min(end, first+slicedBlock)]
		p.src = p.src[:0]
		for i, x := range part {
			if x != 0 {
				p.src = append(p.src, uint32(first+i))
			}
		}
		clear(part)
		if err := s.flushRows(id, p.src, uint32(r*p.capacity)); err != nil {
			return err
		}
	}
	return nil
}

// flushRows brings rows of a slice into the table: those of keys from base on.
func (s *sliced) flushRows(id int64, src []uint32, base uint32) error {
	p, n := s.partials, len(src)
	if n == 0 {
		return nil
	}
	p.out += n
	s.dst = resize(s.dst, n)
	for i, slot := range src {
		s.dst[i] = slot - base
	}
	keys := s.keyColumns()
	for i, v := range keys[:len(keys)-1] {
		if err := p.keys.AppendValues(v, i, s.dst); err != nil {
			return err
		}
	}
	slots, made, err := s.tableRows(keys, id, n)
	if err != nil {
		return err
	}
	var c *chunk
	for i, slot := range slots {
		if !made[i] {
			continue
		}
		if c == nil {
			c = s.chunkOf(id)
			c.bits, c.nulls = 1, 1
		}
		if err := s.list(c, slot); err != nil {
			return err
		}
		c.rows[0]++
	}
	if err := s.slice[0].Merge(slots, p.values, src); err != nil {
		return err
	}
	p.values.Clear(src)
	return nil
}
