package window

import (
	"errors"

	"turbo/core"
	"turbo/core/ops"
	"turbo/state"
)

// dense is windows of not too many keys, kept apart from the table between two checkpoints: a column of sums for each slice at hand and, if windows have
// several slices, a running total, all by the number of the key. A row costs one probe of a small table and one addition. A window of one slice gives the sums of
// its column; a longer one that ends adds the column of each slice that it has more than the one before to the totals, takes back those that it has not any more,
// and gives the totals: loops through memory from one end to the other. Before a checkpoint, what has changed since the last one is brought into the table, which
// alone is the state; after a restore it is read from there.
//
// It serves aggregates of fixed width; of windows of several slices those that can be taken back exactly, without allowed lateness. When there are too many keys, or
// too few rows a key, it is given up for a while: everything goes to the table.
//
//	row of sums = number of the key + capacity * (slice modulo ring)
type dense struct {
	keys     *state.Table // keys -> running totals; one key group, nothing is dropped: slots are 0, 1, 2, ...
	members  []int32      // by key: slices in the total with rows of it
	running  *ops.Running
	sums     *state.Table // a bag
	values   *ops.Accumulators
	capacity int     // keys
	ring     int64   // slices, a power of two
	present  []uint8 // by row of sums: hasRows, isDirty
	slices   []denseSlice
	low      int64 // slices [low, high] are at hand; none when low > high
	high     int64
	from, to int64 // the slices [from, to) are in the running totals
	reserved int64
	saved    int64 // the last window that had ended when the watermark was saved
	in, out  int   // rows that came, and rows of sums that were freed, since that was looked at
	sparse   int   // windows in a row in which few keys have something
	poor     bool  // to be given up
}

// denseSlice is what is known of a slice of all keys.
type denseSlice struct{ used, dirty, nulls bool }

const (
	hasRows = 1 << iota
	isDirty // the table does not have it yet

	// denseLimit bounds the bytes of a worker's sums, together with an eighth of the job's memory; denseKeys the keys of windows of one slice: with more, the
	// sums are not in the second-level cache, and the table is as fast.
	denseLimit = 64 << 20
	denseKeys  = 1 << 15
	// Windows of one slice with fewer than denseGain rows a key are given up for denseRest rows, and for longer when that happens again.
	denseGain = 3
	denseRest = 1 << 20
	// Windows of several slices are given up after so many windows a slice, each with less than an eighth of the keys.
	denseSparse = 2
)

// What dense is given up for, besides the memory limit: slots that are not what it counts on, and too many keys.
var (
	errOrder = errors.New("the rows of a bag do not follow each other")
	errMany  = errors.New("too many keys")
)

// densely reports whether windows may be kept densely: with aggregates of fixed width, which can be taken back if windows have several slices.
func (s *sliced) densely() bool {
	in := s.ctx.Inputs[0]
	if len(s.config.Keys) == 0 || s.cut.n > 1 && (s.config.Lateness > 0 || !ops.Retracts(s.config.Calls, in)) {
		return false
	}
	for _, c := range s.config.Calls {
		kind := core.Int64
		if c.Argument >= 0 {
			kind = in.Fields[c.Argument].Type.Kind
		}
		switch c.Function {
		case ops.Count:
			continue
		case ops.Sum, ops.Avg, ops.Min, ops.Max:
		default:
			return false
		}
		switch kind {
		case core.Int8, core.Int16, core.Int32, core.Int64, core.Float32, core.Float64, core.Date, core.TimeOfDay, core.Timestamp, core.TimestampLTZ:
		default:
			return false
		}
	}
	return true
}

func (d *dense) empty() bool { return d.low > d.high }

// at is the place of a slice in the ring.
func (d *dense) at(id int64) int64 { return id & (d.ring - 1) }

// denseRoom makes room for the batch, or gives dense up.
func (s *sliced) denseRoom() error {
	d, in := s.dense, &s.input
	first, last := in.cut.span(in.low, in.high)
	if !d.empty() {
		first, last = min(first, d.low), max(last, d.high)
	}
	if last-first >= d.ring || d.keys.Len()+in.rows > d.capacity {
		if ok, err := s.growDense(in.rows, last-first+1); !ok || err != nil {
			return err
		}
	}
	d.low, d.high = first, last
	return nil
}

// denseBlock adds rows [from, to) of the batch, whose times are given, to their slices. There is room for them.
func (s *sliced) denseBlock(from, to int, sel []int32, times []int64) error {
	d, in, n := s.dense, &s.input, to-from
	low, high := in.low, in.high
	least, most := in.cut.span(low, high)
	slots := in.slots[:n]
	if _, err := d.keys.UpsertRange(in.keys[:len(in.keys)-1], in.base, in.sel, from, to, slots, nil); err != nil {
		return err
	}
	d.in += n
	nulls := false
	for _, c := range s.config.Calls {
		nulls = nulls || c.Argument >= 0 && in.batch.Columns[c.Argument].HasNulls()
	}
	for id := least; id <= most; id++ {
		at := &d.slices[d.at(id)]
		if !at.used {
			d.clear(id)
		}
		at.used, at.dirty, at.nulls = true, true, at.nulls || nulls
	}
	rows := ops.Rows{Slots: slots, Sel: sel, From: from}
	if least < d.to {
		return s.denseAgain(rows, times, low, high)
	}
	in.cut.ring(slots, times, low, high, in.ids, d.ring, d.capacity, d.present, hasRows|isDirty)
	if err := d.values.Update(in.batch.Columns, rows); err != nil || s.config.Lateness == 0 || low >= s.cut.end(s.fired)-in.shift {
		return err
	}
	ids := in.ids[:n]
	in.cut.slices(times, low, high, ids)
	for i, id := range ids {
		from, to := s.cut.windows(id)
		for k := max(from, s.closed+1); k <= min(to, s.fired); k++ {
			s.late = append(s.late, refire{k, slots[i] % uint32(d.capacity)})
		}
	}
	return nil
}

// again prepares the rows of a window of one slice that fires again: f.slots has the keys.
func (d *dense) again(f *firing, slice int64) {
	f.table, f.values = d.keys, d.values
	f.numbers = append(f.numbers[:0], f.slots...)
	f.keys = f.numbers
	for i := range f.slots {
		f.slots[i] += uint32(d.at(slice) * int64(d.capacity))
	}
}

// denseAgain adds rows of which some are of slices that are in the running totals already: these are taken out and come in again. rows.Slots has the keys.
func (s *sliced) denseAgain(rows ops.Rows, times []int64, low, high int64) error {
	d, in := s.dense, &s.input
	ids := in.ids[:len(rows.Slots)]
	in.cut.slices(times, low, high, ids)
	again := in.fresh[:0]
	for i, id := range ids {
		rows.Slots[i] += uint32(d.at(id) * int64(d.capacity))
		if id >= d.from && id < d.to {
			again = append(again, rows.Slots[i])
		}
	}
	again = compact(again)
	in.fresh = again
	s.src, s.dst = s.src[:0], s.dst[:0]
	for _, x := range again {
		if d.present[x]&hasRows != 0 {
			s.src, s.dst = append(s.src, x), append(s.dst, x%uint32(d.capacity))
		}
	}
	if err := d.run(s.src, s.dst, true, true); err != nil {
		return err
	}
	for _, x := range rows.Slots {
		d.present[x] = hasRows | isDirty
	}
	if err := d.values.Update(in.batch.Columns, rows); err != nil {
		return err
	}
	s.dst = s.dst[:0]
	for _, x := range again {
		s.dst = append(s.dst, x%uint32(d.capacity))
	}
	return d.run(again, s.dst, true, false)
}

// clear makes the column of a slice that of no row: at its first row, not when it is freed, so that it is in the caches when the rows come.
func (d *dense) clear(id int64) {
	base := int(d.at(id)) * d.capacity
	d.sums.Blank(base, base+d.keys.Len())
	clear(d.present[base : base+d.keys.Len()])
}

// run adds rows of sums to the totals of their keys, or takes them back.
func (d *dense) run(src, keys []uint32, nulls, back bool) error {
	members := d.members
	if back {
		for _, key := range keys {
			members[key]--
		}
		return d.running.Retract(keys, d.values, src, nulls)
	}
	for _, key := range keys {
		members[key]++
	}
	return d.running.Add(keys, d.values, src, nulls)
}

// each calls visit with the rows of sums of a slice that have a mark, and their keys, a block at a time.
func (s *sliced) each(id int64, mark uint8, visit func(src, keys []uint32) error) error {
	d := s.dense
	if !d.slices[d.at(id)].used {
		return nil
	}
	base := int(d.at(id)) * d.capacity
	present := d.present[base : base+d.keys.Len()]
	for from := 0; from < len(present); from += slicedBlock {
		part := present[from:min(from+slicedBlock, len(present))]
		s.src, s.dst = resize(s.src, len(part)), resize(s.dst, len(part))
		src, keys, n := s.src, s.dst[:len(s.src)], 0
		for i, x := range part {
			src[n], keys[n] = uint32(base+from+i), uint32(from+i)
			if x&mark != 0 {
				n++
			}
		}
		if n > 0 {
			if err := visit(src[:n], keys[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// expire frees the slices before first: it takes them out of the totals.
func (s *sliced) expire(first int64) error {
	d := s.dense
	for ; d.low < first && !d.empty(); d.low++ {
		id := d.low
		at := &d.slices[d.at(id)]
		running, nulls := id >= d.from && id < d.to, at.nulls
		err := s.each(id, hasRows, func(src, keys []uint32) error {
			d.out += len(src)
			if running {
				return d.run(src, keys, nulls, true)
			}
			return nil
		})
		if err != nil {
			return err
		}
		*at = denseSlice{}
	}
	d.from = max(d.from, first)
	d.to = max(d.to, d.from)
	if d.out > denseKeys/4 {
		d.poor = d.poor || s.cut.n == 1 && d.in < denseGain*d.out
		d.in, d.out = 0, 0
		if !d.poor {
			s.densePause = 0
		}
	}
	return nil
}

// nextDense is nextWindow.
func (s *sliced) nextDense() (int64, bool) {
	d, k := s.dense, s.fired+1
	if k > s.target {
		return 0, false
	}
	for id := max(s.cut.first(k), d.low); id <= d.high; id++ {
		if d.slices[d.at(id)].used {
			from, _ := s.cut.windows(id)
			k = max(k, from)
			return k, k <= s.target
		}
	}
	return 0, false
}

// fireDense prepares the rows of a window that has ended.
func (s *sliced) fireDense(k int64) error {
	d, f := s.dense, &s.fire
	s.fired = k
	*f = firing{window: k, kind: s.kinds, active: true, owned: f.owned[:0], numbers: f.numbers}
	first, last := s.cut.first(k), s.cut.last(k)
	if err := s.expire(s.cut.first(min(s.closed, k-1) + 1)); err != nil {
		return err
	}
	if s.cut.n == 1 {
		f.table, f.values, f.numbers = d.keys, d.values, f.numbers[:0]
		err := s.each(first, hasRows, func(src, keys []uint32) error {
			f.owned, f.numbers = append(f.owned, src...), append(f.numbers, keys...)
			return nil
		})
		f.slots, f.keys = f.owned, f.numbers
		return err
	}
	for id := max(d.to, first, d.low); id < min(last, d.high+1); id++ {
		nulls := d.slices[d.at(id)].nulls
		if err := s.each(id, hasRows, func(src, keys []uint32) error { return d.run(src, keys, nulls, false) }); err != nil {
			return err
		}
	}
	d.from, d.to = first, last
	n := d.keys.Len()
	f.owned = resize(f.owned, n)
	slots, some := f.owned, 0
	for i, m := range d.members[:n] {
		slots[some] = uint32(i)
		if m > 0 {
			some++
		}
	}
	f.owned = slots[:some]
	f.table, f.values, f.slots = d.keys, d.running.Accumulators, f.owned
	if d.sparse++; !few(some, n) {
		d.sparse = 0
	}
	return nil
}

// few reports whether so many of all keys are too few for loops over all.
func few(some, all int) bool { return 8*some < all && all > slicedBlock }

// settleDense frees what no window needs when all is done.
func (s *sliced) settleDense() error {
	d := s.dense
	if err := s.expire(s.cut.first(s.closed + 1)); err != nil {
		return err
	}
	if d.sparse > denseSparse*int(s.cut.n) { // once more, without the keys that have nothing any more
		some := len(s.fire.owned)
		if ok, err := s.growDense(0, 1); !ok || err != nil {
			return err
		}
		d.poor = few(some, d.keys.Len())
	}
	if d.poor {
		return s.withoutDense()
	}
	return s.dropDense()
}
