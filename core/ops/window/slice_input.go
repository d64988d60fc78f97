package window

import (
	"fmt"
	"math"
	"math/bits"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
)

// input is the batch at hand on its way into the slices.
type input struct {
	cut       cut // of the time column's values
	time      int
	shift     int64
	gaps      bool // between windows: slide > size
	batch     *core.Batch
	sel       []int32 // its rows that are on time, nil: all
	rows      int
	next      int
	low, high int64          // the times of its rows are from low to high
	keys      []*core.Vector // and the chunk
	chunks    *core.Vector   // by physical row
	base      []uint64       // hashes of the keys, by physical row
	hashes    []uint64       // with the chunk
	groups    []int32

	kept, late         []int32
	times, ids         []int64 // of the block
	slots              []uint32
	created            []bool
	sorted             []uint32 // slots by slice
	sortedRows         []int32
	seen               [64]int64
	marked             [64]int
	ofKeys, found      []uint32 // by way of the directory
	missed, missedRows []int32
	made               []bool
	fresh              []uint32
	members            []member // of the running totals
	slice              []uint8  // within its chunk
}

func (in *input) open(s *sliced, schema *core.Schema) {
	in.time, in.shift = schema.TimeColumn, schema.TimeShift
	in.cut = s.cut
	in.cut.offset -= in.shift
	in.gaps = s.config.Kind == Sliding && s.config.Slide > s.config.Size
	in.chunks = core.NewVector(s.ctx.Account, core.Of(core.Int64).Required(), s.ctx.BatchRows)
	in.times, in.ids, in.slots = make([]int64, slicedBlock), make([]int64, slicedBlock), make([]uint32, slicedBlock)
	in.created, in.slice = make([]bool, slicedBlock), make([]uint8, slicedBlock)
	in.sorted, in.sortedRows = make([]uint32, slicedBlock), make([]int32, slicedBlock)
}

func (in *input) close() {
	if in.batch != nil {
		in.batch.Release()
		in.batch = nil
	}
	if in.chunks != nil {
		in.chunks.Release()
		in.chunks = nil
	}
}

// Process implements core.Operator.
func (s *sliced) Process(_ int, b *core.Batch, out core.Emitter) error {
	in := &s.input
	in.batch, in.sel, in.next, in.rows = b, b.Sel, 0, b.Rows()
	if err := s.sortOut(); err != nil {
		return err
	}
	if in.rows == 0 {
		s.done()
		return nil
	}
	in.keys = in.keys[:0]
	for _, k := range s.config.Keys {
		in.keys = append(in.keys, b.Columns[k])
	}
	switch {
	case len(in.keys) == 0:
	case b.Hashes != nil:
		in.base = b.Hashes
	default:
		in.hashes = resize(in.hashes, b.Len)
		in.base = resize(in.base, b.Len)
		hash.Columns(in.keys, b.Len, in.sel, in.base)
	}
	in.chunks.Reset()
	in.chunks.Extend(b.Len)
	in.keys = append(in.keys, in.chunks)
	in.hashes, in.groups = resize(in.hashes, b.Len), resize(in.groups, b.Len)
	if len(s.config.Keys) == 0 {
		clear(in.groups)
	}
	if s.dense != nil {
		if err := s.denseRoom(); err != nil {
			return fmt.Errorf("window: %w", err)
		}
	}
	_, err := s.Resume(out)
	return err
}

// done gives the batch back.
func (s *sliced) done() {
	in := &s.input
	if in.batch.Hashes != nil {
		in.base = nil // it was the batch's
	}
	clear(in.keys)
	in.batch.Release()
	in.batch, in.sel = nil, nil
}

// sortOut takes the rows out of the batch that are late for all windows, in none, or have no time.
func (s *sliced) sortOut() error {
	in := &s.input
	times := in.batch.Columns[in.time]
	values := times.Int64s()
	limit := s.cut.start(s.closed+1) - in.shift
	if !times.HasNulls() && !in.gaps {
		if in.rows == 0 {
			return nil
		}
		if in.low, in.high = core.Extremes(values, in.sel); in.low >= limit {
			return nil
		}
	}
	in.kept, in.late = in.kept[:0], in.late[:0]
	noTime := 0
	for i := range in.rows {
		row := in.batch.Row(i)
		switch {
		case times.Null(row):
			noTime++
			in.late = append(in.late, int32(row))
		case in.gaps && in.between(values[row]) && core.Time(values[row]+in.shift) > s.minusLateness(s.watermark):
			s.ctx.Counters.Filtered++
		case values[row] < limit || in.gaps && in.between(values[row]):
			in.late = append(in.late, int32(row))
		default:
			in.kept = append(in.kept, int32(row))
		}
	}
	in.sel, in.rows = in.kept, len(in.kept)
	if in.rows > 0 {
		in.low, in.high = core.Extremes(values, in.sel)
	}
	s.ctx.Counters.NoTime += int64(noTime)
	s.ctx.Counters.Late += int64(len(in.late) - noTime)
	if len(in.late) == 0 || !s.config.LateOutput {
		return nil
	}
	late := in.batch.Share()
	sel := late.SelBuffer(len(in.late))
	copy(sel, in.late)
	late.Sel = sel
	return s.ctx.Sides[0].Emit(late)
}

// between reports whether a time is in no window.
func (in *input) between(t int64) bool {
	t -= in.cut.offset
	return t-floorDiv(t, in.cut.width)*in.cut.width >= in.cut.size
}

// rows takes rows of the batch at hand: all, or those up to the first that makes a window fire again when each such row does.
func (s *sliced) rows() error {
	in := &s.input
	for in.next < in.rows {
		from, to := in.next, min(in.next+slicedBlock, in.rows)
		if s.config.EveryRow && s.config.Lateness > 0 {
			values, merged := in.batch.Columns[in.time].Int64s(), s.cut.end(s.fired)-in.shift
			for i := from; i < to; i++ {
				row := i
				if in.sel != nil {
					row = int(in.sel[i])
				}
				if values[row] < merged {
					to = i + 1
				}
			}
		}
		in.next = to
		if err := s.block(from, to); err != nil {
			return fmt.Errorf("window: %w", err)
		}
		if s.config.EveryRow && len(s.late) > 0 {
			break
		}
	}
	if in.next == in.rows {
		s.done()
	}
	return nil
}

// block adds rows [from, to) of the batch to their slices.
func (s *sliced) block(from, to int) error {
	in, n := &s.input, to-from
	times := in.batch.Columns[in.time].Int64s()
	var sel []int32
	if in.sel != nil {
		sel = in.sel[from:to]
		for i, r := range sel {
			in.times[i] = times[r]
		}
		times = in.times[:n]
	} else {
		times = times[from:to]
	}
	if s.dense != nil {
		return s.denseBlock(from, to, sel, times)
	}
	s.denseRest -= n
	low, high := core.Extremes(times, nil)
	fired := low < s.cut.end(s.fired)-in.shift
	ids := in.ids[:n]
	least, most := in.cut.slices(times, low, high, ids)
	one := s.place(from, sel, ids, least, most)
	slots := in.slots[:n]
	made, err := s.find(from, to, sel, slots)
	if err != nil {
		return err
	}
	if err := s.table.Touch(slots); err != nil {
		return err
	}
	if made > 0 {
		if err := s.enterNew(slots, ids); err != nil {
			return err
		}
	}
	running := fired && s.directory != nil && s.directory.running != nil
	if running { // rows of slices that the running totals have: out with these, in again below
		if err := s.retractSome(slots, ids); err != nil {
			return err
		}
	}
	if s.k > 1 {
		s.setBits(slots, ids)
	}
	if err := s.add(from, sel, slots, one); err != nil {
		return err
	}
	if running {
		if err := s.addAgain(); err != nil {
			return err
		}
	}
	if fired {
		s.afterFiring(slots, ids)
	}
	return nil
}

// place writes the chunk of each row, and its slice in it. It reports whether all are in one slice of one chunk.
func (s *sliced) place(from int, sel []int32, ids []int64, least, most int64) (one bool) {
	in, k := &s.input, s.k
	chunks := in.chunks.Int64s()
	one = least == most
	first := floorDiv(least, k)
	if first == floorDiv(most, k) {
		if sel == nil {
			part := chunks[from:][:len(ids)]
			for i := range part {
				part[i] = first
			}
		} else {
			for _, r := range sel {
				chunks[r] = first
			}
		}
		if k > 1 {
			for i, id := range ids {
				in.slice[i] = uint8(id - first*k)
			}
		}
		return one
	}
	if k == 1 {
		if sel == nil {
			copy(chunks[from:], ids)
			return one
		}
		for i, r := range sel {
			chunks[r] = ids[i]
		}
		return one
	}
	for i, id := range ids {
		x := uint64(id - first*k)
		q := x / uint64(k)
		in.slice[i] = uint8(x - q*uint64(k))
		row := from + i
		if sel != nil {
			row = int(sel[i])
		}
		chunks[row] = first + int64(q)
	}
	return one
}

// find finds or makes the rows of the table of rows [from, to), and marks those made.
func (s *sliced) find(from, to int, sel []int32, slots []uint32) (made int, err error) {
	in, d := &s.input, s.directory
	if d == nil || len(s.config.Keys) == 0 {
		s.hash(from, to, sel)
		return s.table.UpsertGroupedRange(in.groups, in.keys, in.hashes, in.sel, from, to, slots, in.created[:len(slots)])
	}
	// By way of the directory, which is smaller, and whose hashes the batch has: it knows the key's recent chunks.
	n := len(slots)
	in.ofKeys, in.missed = resize(in.ofKeys, n), resize(in.missed, n)
	ofKeys := in.ofKeys
	if _, err := d.table.UpsertRange(in.keys[:len(in.keys)-1], in.base, in.sel, from, to, ofKeys, nil); err != nil {
		return 0, err
	}
	recent, chunks, ids := [2]int{d.table.Ints(d.recent[0]).Offset, d.table.Ints(d.recent[1]).Offset}, in.chunks.Int64s(), s.table.Ints(s.bits-1)
	keys := d.table.Ints(d.refs)
	missed := 0
	for i, key := range ofKeys {
		row := from + i
		if sel != nil {
			row = int(sel[i])
		}
		id := chunks[row]
		slot := uint32(keys.Words[int(key)*keys.Stride+recent[id&1]]) - 1
		slots[i] = slot
		if at := uint(slot)*uint(ids.Stride) + uint(ids.Offset); at >= uint(len(ids.Words)) || ids.Words[at] != id { // none: far outside
			in.missed[missed] = int32(i)
			missed++
		}
	}
	created := in.created[:n]
	clear(created)
	if missed == 0 {
		return 0, nil
	}
	in.missedRows, in.found, in.made = resize(in.missedRows, missed), resize(in.found, missed), resize(in.made, missed)
	for k, i := range in.missed[:missed] {
		in.missedRows[k] = int32(from) + i
		if sel != nil {
			in.missedRows[k] = sel[i]
		}
	}
	s.hash(0, 0, in.missedRows)
	if made, err = s.table.UpsertGrouped(in.groups, in.keys, in.hashes, in.missedRows, 0, in.found, in.made); err != nil {
		return made, err
	}
	for k, i := range in.missed[:missed] {
		slots[i], created[i] = in.found[k], in.made[k]
		keys.Words[int(ofKeys[i])*keys.Stride+recent[chunks[in.missedRows[k]]&1]] = int64(in.found[k]) + 1
	}
	return made, nil
}

// hash computes the hashes of keys and chunk, and the key groups, of rows [from, to).
func (s *sliced) hash(from, to int, sel []int32) {
	in := &s.input
	chunks, hashes, groups := in.chunks.Int64s(), in.hashes, in.groups
	count := s.ctx.KeyGroups
	switch {
	case len(s.config.Keys) == 0 && sel == nil:
		for i := from; i < to; i++ {
			hashes[i] = hash.Int64(chunks[i])
		}
	case len(s.config.Keys) == 0:
		for _, r := range sel {
			hashes[r] = hash.Int64(chunks[r])
		}
	case sel == nil:
		base := in.base[from:to]
		chunks, hashes, groups = chunks[from:to], hashes[from:to], groups[from:to]
		chunks, hashes, groups = chunks[:len(base)], hashes[:len(base)], groups[:len(base)]
		for i, h := range base {
			hashes[i] = hash.Mix(uint64(chunks[i]) ^ h)
			groups[i] = int32(core.KeyGroup(h, count))
		}
	default:
		for _, r := range sel {
			h := in.base[r]
			hashes[r] = hash.Mix(uint64(chunks[r]) ^ h)
			groups[r] = int32(core.KeyGroup(h, count))
		}
	}
}

// enterNew puts the rows that were made on the lists of their chunks.
func (s *sliced) enterNew(slots []uint32, ids []int64) error {
	in := &s.input
	in.fresh = in.fresh[:0]
	var c *chunk
	for i, made := range in.created[:len(slots)] {
		if !made {
			continue
		}
		if id := floorDiv(ids[i], s.k); c == nil || c.id != id {
			c = s.chunkOf(id)
			if s.k == 1 {
				c.bits = 1
			}
		}
		if err := s.list(c, slots[i]); err != nil {
			return err
		}
		if s.k == 1 {
			c.rows[0]++
			c.nulls = 1
		}
		in.fresh = append(in.fresh, slots[i])
	}
	if s.directory == nil {
		return nil
	}
	return s.enter(in.fresh)
}

// setBits notes the slices of the rows, in the rows and in the chunks.
func (s *sliced) setBits(slots []uint32, ids []int64) {
	in := &s.input
	nulls := false
	for _, c := range s.config.Calls {
		nulls = nulls || c.Argument >= 0 && in.batch.Columns[c.Argument].HasNulls()
	}
	// The slices at hand are in a small table by their number: how many rows have got their bit.
	flush := func(at int) {
		if id := in.seen[at]; id != noSlice {
			first := floorDiv(id, s.k)
			c, p := s.chunkOf(first), id-first*s.k
			c.bits |= 1 << p
			c.rows[p] += in.marked[at]
			if nulls {
				c.nulls |= 1 << p
			}
		}
		in.seen[at], in.marked[at] = noSlice, 0
	}
	for i := range in.seen {
		in.seen[i] = noSlice
	}
	w := s.table.Words(s.bits, 0)
	words, stride, offset, slice := w.Words, w.Stride, w.Offset, in.slice[:len(slots)]
	ids = ids[:len(slots)]
	for i, slot := range slots {
		p, row := slice[i]&63, int(slot)*stride+offset
		old := words[row]
		words[row] = old | 1<<p
		id := ids[i]
		at := int(id & 63)
		if in.seen[at] != id {
			flush(at)
			in.seen[at] = id
		}
		in.marked[at] += int(^old >> p & 1)
	}
	for at := range in.seen {
		flush(at)
	}
}

// noSlice is not a slice.
const noSlice = math.MinInt64

// add gives the rows to the accumulators of their slices.
func (s *sliced) add(from int, sel []int32, slots []uint32, one bool) error {
	in := &s.input
	rows := ops.Rows{Slots: slots, Sel: sel, From: from}
	if s.k == 1 {
		return s.slice[0].Update(in.batch.Columns, rows)
	}
	slice := in.slice[:len(slots)]
	if one {
		return s.slice[slice[0]].Update(in.batch.Columns, rows)
	}
	var ends [64]int // counting sort, stable: rows of a slot keep their order
	for _, p := range slice {
		ends[p&63]++
	}
	at := 0
	for p, n := range ends[:s.k] {
		ends[p] = at
		at += n
	}
	for i, p := range slice {
		row := int32(from + i)
		if sel != nil {
			row = sel[i]
		}
		e := ends[p&63]
		in.sorted[e], in.sortedRows[e] = slots[i], row
		ends[p&63] = e + 1
	}
	begin := 0
	for p, end := range ends[:s.k] {
		if end == begin {
			continue
		}
		rows := ops.Rows{Slots: in.sorted[begin:end], Sel: in.sortedRows[begin:end]}
		if err := s.slice[p].Update(in.batch.Columns, rows); err != nil {
			return err
		}
		begin = end
	}
	return nil
}

// afterFiring looks at rows of windows that have fired: these fire again when they still take rows, and what later windows have merged of them
// already is stale.
func (s *sliced) afterFiring(slots []uint32, ids []int64) {
	merged := s.cut.last(s.fired)
	for i, id := range ids {
		if id >= merged {
			continue
		}
		slot := slots[i]
		if s.directory != nil {
			if s.directory.running == nil {
				c := s.chunkOf(floorDiv(id, s.k))
				c.stale = append(c.stale, slot)
			}
			slot = s.keyOf[slot]
		}
		if s.config.Lateness == 0 {
			continue
		}
		from, to := s.cut.windows(id)
		for k := max(from, s.closed+1); k <= min(to, s.fired); k++ {
			s.late = append(s.late, refire{k, slot})
		}
	}
}

func trailingZeros(x uint64) int { return bits.TrailingZeros64(x) }
func leadingZeros(x uint64) int  { return bits.LeadingZeros64(x) }
