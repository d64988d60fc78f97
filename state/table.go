package state

import (
	"fmt"

	"turbo/core"
	"turbo/core/hash"
	"turbo/internal/invariants"
	"turbo/memory"
)

// Options describe a table.
type Options struct {
	Operator, Table string // its name in checkpoints
	Keys, Values    []core.Field
	Account         *memory.Account
	KeyGroups       int // of the job
	From, To        int // the key groups that this table holds, [From, To)
	// Bag makes a table without keys whose rows are found by slot only: any number of rows, made by Insert, without an index.
	Bag bool
}

// Table is a core.KeyedTable. One worker owns it and makes every call; what a background goroutine may call is said where.
type Table struct {
	*layout
	options  Options
	account  *memory.Account
	rows     *arena
	heap     heap
	index    index
	pages    pages
	live     int
	stamp    uint32
	frozen   *Frozen // not resolved yet
	spent    *Frozen // the last one that was completed: nobody looks at its slices any more
	overhead int64   // bytes of bookkeeping that are reserved
	block    block64
	scratch  scratch
	cursors  []cursor // of a bag, by key group; all zero between batches
	filled   []int32  // key groups whose cursors are in use
	closed   bool
}

// New returns an empty table.
func New(o Options) (*Table, error) {
	l, err := newLayout(o.Keys, o.Values)
	if err != nil {
		return nil, fmt.Errorf("table %s of %s: %w", o.Table, o.Operator, err)
	}
	if o.Bag && len(o.Keys) > 0 {
		return nil, fmt.Errorf("table %s of %s: a bag has no keys", o.Table, o.Operator)
	}
	if o.KeyGroups < 1 || o.KeyGroups > core.MaxKeyGroups || o.From < 0 || o.To > o.KeyGroups || o.From > o.To {
		return nil, fmt.Errorf("table %s of %s: key groups %d to %d of %d", o.Table, o.Operator, o.From, o.To, o.KeyGroups)
	}
	t := &Table{layout: l, options: o, account: o.Account, rows: newArena(o.Account)}
	t.rows.last = t.heap.close
	t.heap.init(o.Account)
	t.pages.init(l.stride, o.From, o.To)
	if t.index.off = o.Bag; o.Bag {
		return t, nil
	}
	if err := t.index.init(o.Account); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Len implements core.KeyedTable.
func (t *Table) Len() int { return t.live }

// Bytes returns the memory that the table holds: rows, variable-width values, index and bookkeeping.
func (t *Table) Bytes() int64 {
	n := t.rows.reserved + t.heap.used + t.overhead
	if t.index.arena != nil {
		n += t.index.arena.reserved
	}
	return n
}

// Touch implements core.KeyedTable. An error is the memory limit's: nothing may be written then.
func (t *Table) Touch(slots []uint32) error {
	units, epoch := t.pages.units, t.pages.epoch
	for _, s := range slots {
		u := &units[s>>6]
		if u.epoch != epoch {
			if err := t.thaw(s >> 6); err != nil {
				return err
			}
		}
		u.dirty |= 1 << (s & 63)
	}
	return nil
}

// BeginDistinct starts a batch of rows for TouchDistinct.
func (t *Table) BeginDistinct() error {
	if t.stamp++; t.stamp == 0 {
		return t.clearStamps()
	}
	return nil
}

// Mark is what TouchDistinct does to the rows on its way through them: what would cost a pass of its own.
type Mark struct {
	count int    // word of the row to add one to for each slot; 0: none
	valid uint64 // bits to set in the header
}

// Count adds one to an integer value field for every slot, repeated ones included.
func (m *Mark) Count(t *Table, field int) { m.count = t.fields[field].offset }

// Present makes a fixed-width field not null, which leaves it zero if it was null. It reports whether a Mark can do that for this field.
func (m *Mark) Present(t *Table, field int) bool {
	f := &t.fields[field]
	if f.valid != 0 || f.storage >= storeBytes {
		return false
	}
	m.valid |= f.mask
	return true
}

// TouchDistinct is Touch that also finds the slots that it meets for the first time since BeginDistinct: it writes each to
// distinct, in the order of appearance, and to first where in slots that was, plus base. Both must be as long as slots. It returns
// their number. They are found by a stamp in the row, without a map.
func (t *Table) TouchDistinct(slots []uint32, base int, distinct []uint32, first []int32, mark Mark) (int, error) {
	units, epoch := t.pages.units, t.pages.epoch
	distinct, first = distinct[:len(slots)], first[:len(slots)]
	if t.frozen != nil && t.frozen.frozen != 0 { // announce first: a running checkpoint may still need the rows
		for _, s := range slots {
			if u := &units[s>>6]; u.epoch != epoch {
				if err := t.thaw(s >> 6); err != nil {
					return 0, err
				}
			}
		}
	}
	n := 0
	words, stride := t.rows.words, t.stride
	stamp, clear, count := uint64(t.stamp)|mark.valid, uint64(stampMask), mark.count
	if count == 0 {
		for i, s := range slots {
			header := words[int(s)*stride]
			distinct[n], first[n] = s, int32(base+i)
			if uint32(header) != uint32(stamp) {
				n++
			}
			words[int(s)*stride] = header&^clear | stamp
		}
	} else {
		for i, s := range slots {
			row := words[int(s)*stride:][:count+1]
			header := row[0]
			distinct[n], first[n] = s, int32(base+i)
			if uint32(header) != uint32(stamp) {
				n++
			}
			row[0] = header&^clear | stamp
			row[count]++
		}
	}
	for _, s := range distinct[:n] {
		units[s>>6].dirty |= 1 << (s & 63)
	}
	return n, nil
}

// clearStamps starts the stamps again after 2^32 batches. Stamps are not part of a checkpoint, but they share a word with what
// is, so every page is announced first.
func (t *Table) clearStamps() error {
	t.stamp = 1
	return t.Scan(func(slots []uint32) error {
		for _, s := range slots {
			if t.pages.units[s>>6].epoch != t.pages.epoch {
				if err := t.thaw(s >> 6); err != nil {
					return err
				}
			}
			t.rows.words[int(s)*t.stride] &^= stampMask
		}
		return nil
	})
}

// Drop implements core.KeyedTable. Slots are distinct and live. An error is the memory limit's: rows before it are dropped.
func (t *Table) Drop(slots []uint32) error {
	for len(slots) > 0 {
		n := min(len(slots), blockRows)
		if err := t.drop(slots[:n]); err != nil {
			return err
		}
		slots = slots[n:]
	}
	if t.live == 0 || 16*t.live < len(t.index.entries) {
		return t.index.shrink()
	}
	return nil
}

func (t *Table) drop(slots []uint32) error {
	if t.options.Bag {
		return t.dropBag(slots)
	}
	hashes, err := t.hashes(slots)
	if err != nil {
		return err
	}
	for i, s := range slots {
		u := &t.pages.units[s>>6]
		if invariants.Enabled {
			invariants.Checkf(u.live&(1<<(s&63)) != 0, "slot %d is dropped but not live", s)
		}
		if u.epoch != t.pages.epoch {
			if err := t.thaw(s >> 6); err != nil {
				return err
			}
		}
		found := t.index.remove(hashes[i], s)
		if invariants.Enabled {
			invariants.Checkf(found, "slot %d is not in the index", s)
		}
		if t.variable {
			t.freeValues(s)
		}
		u.dirty |= 1 << (s & 63)
		u.live &^= 1 << (s & 63)
		t.live--
		t.pages.freed(t, u.page)
	}
	return nil
}

// freeValues gives back the bytes that a row holds in the heap.
func (t *Table) freeValues(slot uint32) {
	row := t.rows.words[int(slot)*t.stride:]
	for i := range t.fields {
		if f := &t.fields[i]; f.storage >= storeBytes && row[f.valid]&f.mask != 0 {
			t.heap.drop(handle(row[f.offset]))
			row[f.offset] = 0
		}
	}
}

// hashes returns the key hashes of up to blockRows slots, valid until the next call.
func (t *Table) hashes(slots []uint32) ([]uint64, error) {
	out := t.scratch.hashes[:len(slots)]
	if t.keys == 1 && (t.fields[0].storage == storeInt || t.fields[0].storage == storeBytes) {
		f := &t.fields[0]
		nulls := false
		for i, s := range slots {
			row := t.rows.words[int(s)*t.stride:]
			switch {
			case row[0]&f.mask == 0:
				nulls = true
			case f.storage == storeInt:
				out[i] = hash.Int64(int64(row[f.offset]))
			default:
				out[i] = hash.String(t.heap.at(handle(row[f.offset])))
			}
		}
		if !nulls {
			return out, nil
		}
	}
	return t.hashColumns(slots, out)
}

// hashColumns is hashes for any key.
func (t *Table) hashColumns(slots []uint32, out []uint64) (hashes []uint64, err error) {
	defer recoverLimit(&err)
	columns := t.scratch.columns(t)
	if err := t.AppendKeys(columns, slots); err != nil {
		return nil, err
	}
	hash.Columns(columns, len(slots), nil, out)
	return out, nil
}

// recoverLimit turns a panic with a *memory.LimitError into an error.
func recoverLimit(err *error) {
	if r := recover(); r != nil {
		limit, ok := r.(*memory.LimitError)
		if !ok {
			panic(r)
		}
		*err = limit
	}
}

// scratch is reused memory of a table.
type scratch struct {
	hashes  [blockRows]uint64
	slots   []uint32
	vectors []*core.Vector
	bytes   []byte
}

// columns returns empty vectors of the key's types.
func (c *scratch) columns(t *Table) []*core.Vector {
	if c.vectors == nil {
		for i := range t.keys {
			c.vectors = append(c.vectors, core.NewVector(t.account, t.fields[i].Type, 0))
		}
	}
	for _, v := range c.vectors {
		v.Reset()
	}
	return c.vectors
}

// Group returns the key group of a live slot.
func (t *Table) Group(slot uint32) int {
	return int(t.pages.list[t.pages.units[slot>>6].page].group)
}

// KeyGroups returns the range [from, to) of key groups that the table holds, and their number in the job.
func (t *Table) KeyGroups() (from, to, of int) {
	return t.options.From, t.options.To, t.options.KeyGroups
}

// Live reports whether slot holds a row.
func (t *Table) Live(slot uint32) bool {
	return int(slot>>6) < len(t.pages.units) && t.pages.units[slot>>6].live&(1<<(slot&63)) != 0
}

// Scan calls visit with all live slots, up to a few thousand at a time. visit may write values and drop the
// slots it was given; it must not upsert.
func (t *Table) Scan(visit func(slots []uint32) error) error {
	for u := 0; u < len(t.pages.units); {
		t.scratch.slots = t.scratch.slots[:0]
		for ; u < len(t.pages.units) && len(t.scratch.slots) < 4096-64; u++ {
			t.scratch.slots = appendBits(t.scratch.slots, uint32(u)<<6, t.pages.units[u].live)
		}
		if len(t.scratch.slots) > 0 {
			if err := visit(t.scratch.slots); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close frees everything. A Frozen that is being written keeps what it needs until Write returns.
func (t *Table) Close() {
	if t.closed {
		return
	}
	t.closed = true
	if t.frozen != nil {
		t.frozen.Abandon()
	}
	for _, v := range t.scratch.vectors {
		v.Release()
	}
	t.scratch.vectors = nil
	t.index.close()
	t.account.Unreserve(t.overhead)
	t.overhead = 0
	t.rows.release() // and the heap, once no Frozen needs them
}
