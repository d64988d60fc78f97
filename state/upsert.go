package state

import (
	"fmt"

	"turbo/core"
	"turbo/core/hash"
	"turbo/internal/invariants"
)

// blockRows is how many rows go through the stages of a probe together: their candidates stay in the first-level cache.
const blockRows = 256

// block64 is the scratch of a block of probes.
type block64 struct {
	miss  [blockRows]int32 // rows of the block that the first stages could not place
	keys  keyBlock         // keys in the shape in which rows hold them
	given []int32          // key groups by physical row, or nil
}

// Upsert implements core.KeyedTable. The new rows' NOT NULL fixed-width values are zero, all other values null. Their key group follows from
// their hash.
//
// A batch is probed in blocks and in stages (as in Balkesen et al., "Main-memory hash joins on multi-core CPUs", and DuckDB's aggregate):
// candidates of all rows from the index, then the comparison of all keys, then, in order, the few rows that are new or were
// displaced by another key with the same tag.
func (t *Table) Upsert(keys []*core.Vector, hashes []uint64, sel []int32, n int, slots []uint32, created []bool) (int, error) {
	t.block.given = nil
	return t.find(keys, hashes, sel, 0, rowCount(sel, n), slots, created, true)
}

// UpsertRange is Upsert of the rows [from, to) only, counted among the selected ones: operators that go through a batch in blocks
// which fit the first-level cache, from the probe to the last update, spare a round of cache misses per update.
func (t *Table) UpsertRange(keys []*core.Vector, hashes []uint64, sel []int32, from, to int, slots []uint32, created []bool) (int, error) {
	t.block.given = nil
	return t.find(keys, hashes, sel, from, to, slots, created, true)
}

func rowCount(sel []int32, n int) int {
	if sel != nil {
		return len(sel)
	}
	return n
}

// UpsertGrouped is Upsert with the key group of each physical row: for keys that do not determine it by their hash.
func (t *Table) UpsertGrouped(groups []int32, keys []*core.Vector, hashes []uint64, sel []int32, n int, slots []uint32, created []bool) (int, error) {
	t.block.given = groups
	return t.find(keys, hashes, sel, 0, rowCount(sel, n), slots, created, true)
}

// UpsertGroupedRange is UpsertGrouped of the rows [from, to) only, counted among the selected ones (see UpsertRange).
func (t *Table) UpsertGroupedRange(groups []int32, keys []*core.Vector, hashes []uint64, sel []int32, from, to int, slots []uint32, created []bool) (int, error) {
	t.block.given = groups
	return t.find(keys, hashes, sel, from, to, slots, created, true)
}

// Lookup implements core.KeyedTable.
func (t *Table) Lookup(keys []*core.Vector, hashes []uint64, sel []int32, n int, slots []uint32) error {
	_, err := t.find(keys, hashes, sel, 0, rowCount(sel, n), slots, nil, false)
	return err
}

// find places the selected rows [first, last); slots and created begin with that of first.
func (t *Table) find(keys []*core.Vector, hashes []uint64, sel []int32, first, last int, slots []uint32, created []bool, create bool) (int, error) {
	if t.options.Bag {
		return 0, fmt.Errorf("table %s: the rows of a bag are not found by key", t.options.Table)
	}
	if len(keys) != t.keys {
		return 0, fmt.Errorf("table %s: %d key columns given, it has %d", t.options.Table, len(keys), t.keys)
	}
	for i, v := range keys {
		if v.Type.Kind != t.fields[i].Type.Kind {
			return 0, fmt.Errorf("table %s: key column %s is %v, not %v", t.options.Table, t.fields[i].Name, t.fields[i].Type, v.Type)
		}
	}
	slots = slots[:last-first]
	if created != nil {
		created = created[:last-first]
		clear(created)
	}
	words := t.word64 && !keys[0].HasNulls()
	two := t.twoWords(keys)
	made := 0
	for from := first; from < last; from += blockRows {
		to := min(from+blockRows, last)
		block := slots[from-first : to-first]
		var part []int32
		if sel != nil {
			part = sel[from:to]
		}
		var missed int
		loaded := false
		if words && part == nil && len(t.index.entries) <= smallIndex {
			missed = t.probeWords(keys[0].Int64s()[from:to], hashes[from:to], block)
		} else if two && part == nil && len(t.index.entries) <= smallIndex {
			missed = t.probeTwoWords(keys[0].Int64s()[from:to], keys[1].Int64s()[from:to], hashes[from:to], block)
		} else {
			if part != nil {
				t.index.candidatesSelected(hashes, part, block)
			} else {
				t.index.candidates(hashes[from:to], block)
			}
			if words {
				missed = t.compareWords(keys[0].Int64s(), part, from, block)
			} else {
				t.block.keys.load(t, keys, part, from, to-from)
				loaded = true
				missed = t.compareKeys(block)
			}
		}
		if missed == 0 {
			continue
		}
		if !loaded {
			t.block.keys.load(t, keys, part, from, to-from)
		}
		for _, i := range t.block.miss[:missed] {
			row := from + int(i)
			if sel != nil {
				row = int(part[i])
			}
			slot, isNew, err := t.resolve(int(i), row, hashes[row], create)
			if err != nil {
				return made, err
			}
			block[i] = slot
			if isNew {
				made++
				if created != nil {
					created[from-first+int(i)] = true
				}
				if invariants.Enabled {
					t.checkHash(slot, hashes[row])
				}
			}
		}
	}
	return made, nil
}

// smallIndex is the size in entries up to which index and rows are in the second-level cache, and one loop beats two stages.
const smallIndex = 1 << 15

// probeWords is candidates and compareWords in one, for tables that the caches hold.
func (t *Table) probeWords(keys []int64, hashes []uint64, slots []uint32) int {
	entries, words, stride := t.index.entries, t.rows.words, uint(t.stride)
	at, mask := uint(t.fields[0].offset), t.fields[0].mask
	miss := &t.block.miss
	keys, slots = keys[:len(hashes)], slots[:len(hashes)]
	n := 0
	for i, h := range hashes {
		p := h & uint64(len(entries)-1)
		e := entries[p]
		for uint32(e>>32) != uint32(h) && e != 0 {
			p = (p + 1) & uint64(len(entries)-1)
			e = entries[p]
		}
		s := uint32(e) - 1
		slots[i] = s
		base := uint(s) * stride // of NoSlot: far outside of words
		if o := base + at; o < uint(len(words)) && words[o] == uint64(keys[i]) && words[base]&mask != 0 {
			continue
		}
		miss[n&(blockRows-1)] = int32(i)
		n++
	}
	return n
}

// twoWords reports whether keys are two integers of 64 bits without nulls: such as a key and its window.
func (t *Table) twoWords(keys []*core.Vector) bool {
	if len(keys) != 2 {
		return false
	}
	for i, v := range keys {
		if t.fields[i].storage != storeInt || v.Type.Kind.Width() != 8 || v.HasNulls() {
			return false
		}
	}
	return true
}

// probeTwoWords is probeWords for keys of two words.
func (t *Table) probeTwoWords(first, second []int64, hashes []uint64, slots []uint32) int {
	entries, words, stride := t.index.entries, t.rows.words, uint(t.stride)
	at, at2, keyMask := uint(t.fields[0].offset), uint(t.fields[1].offset), t.keyMask
	miss := &t.block.miss
	first, second, slots = first[:len(hashes)], second[:len(hashes)], slots[:len(hashes)]
	n := 0
	for i, h := range hashes {
		p := h & uint64(len(entries)-1)
		e := entries[p]
		for uint32(e>>32) != uint32(h) && e != 0 {
			p = (p + 1) & uint64(len(entries)-1)
			e = entries[p]
		}
		s := uint32(e) - 1
		slots[i] = s
		base := uint(s) * stride // of NoSlot: far outside of words
		if last := base + stride - 1; last < uint(len(words)) {
			row := words[base : last+1]
			if row[at] == uint64(first[i]) && row[at2] == uint64(second[i]) && row[0]&keyMask == keyMask {
				continue
			}
		}
		miss[n&(blockRows-1)] = int32(i)
		n++
	}
	return n
}

// compareWords compares the candidates of a block with keys of one word and lists those that differ or are none.
func (t *Table) compareWords(keys []int64, sel []int32, from int, slots []uint32) int {
	words, stride := t.rows.words, uint(t.stride)
	at, mask := uint(t.fields[0].offset), t.fields[0].mask
	miss := &t.block.miss
	n := 0
	if sel == nil {
		keys = keys[from:][:len(slots)]
		for i, s := range slots {
			o := uint(s)*stride + at // NoSlot is far outside of words
			if o < uint(len(words)) && words[o] == uint64(keys[i]) && words[uint(s)*stride]&mask != 0 {
				continue
			}
			miss[n&(blockRows-1)] = int32(i)
			n++
		}
		return n
	}
	sel = sel[:len(slots)]
	for i, s := range slots {
		o := uint(s)*stride + at
		if o < uint(len(words)) && words[o] == uint64(keys[sel[i]]) && words[uint(s)*stride]&mask != 0 {
			continue
		}
		miss[n&(blockRows-1)] = int32(i)
		n++
	}
	return n
}

// compareKeys is compareWords for keys of any shape, which are loaded.
func (t *Table) compareKeys(slots []uint32) int {
	if b := &t.block.keys; len(b.bytesAt) == 0 && len(b.at) == 2 {
		return t.compareTwoWords(slots)
	}
	n := 0
	for i, s := range slots {
		if s != core.NoSlot && t.equal(s, i) {
			continue
		}
		t.block.miss[n] = int32(i)
		n++
	}
	return n
}

// compareTwoWords is compareKeys for keys of two words, such as those of a key and a window.
func (t *Table) compareTwoWords(slots []uint32) int {
	b := &t.block.keys
	words, stride, keyMask := t.rows.words, uint(t.stride), t.keyMask
	first, second := uint(b.at[0]), uint(b.at[1])
	x, y, valid := b.words[0][:len(slots)], b.words[1][:len(slots)], b.valid[:len(slots)]
	miss := &t.block.miss
	n := 0
	for i, s := range slots {
		base := uint(s) * stride // of NoSlot: far outside of words
		if last := base + stride - 1; last < uint(len(words)) {
			row := words[base : last+1]
			if row[first] == x[i] && row[second] == y[i] && (row[0]^valid[i])&keyMask == 0 {
				continue
			}
		}
		miss[n&(blockRows-1)] = int32(i)
		n++
	}
	return n
}

// equal compares the key of a slot with the i-th key of the loaded block.
func (t *Table) equal(slot uint32, i int) bool {
	b := &t.block.keys
	row := t.rows.words[int(slot)*t.stride:][:t.stride]
	if (row[0]^b.valid[i])&t.keyMask != 0 {
		return false
	}
	for c, at := range b.at {
		if row[at] != b.words[c][i] {
			return false
		}
	}
	for c, at := range b.bytesAt {
		if h := handle(row[at]); row[0]&b.bytesMask[c] != 0 && string(t.heap.at(h)) != string(b.bytes[c][i]) {
			return false
		}
	}
	return true
}

// resolve finds or creates the i-th key of the loaded block, which is physical row `row`.
func (t *Table) resolve(i, row int, h uint64, create bool) (slot uint32, isNew bool, err error) {
	x := &t.index
	mask := uint64(len(x.entries) - 1)
	for p := h & mask; x.entries[p] != 0; p = (p + 1) & mask {
		if e := x.entries[p]; uint32(e>>32) == uint32(h) && t.equal(uint32(e)-1, i) {
			return uint32(e) - 1, false, nil
		}
	}
	if !create {
		return core.NoSlot, false, nil
	}
	var group int
	if t.block.given != nil {
		group = int(t.block.given[row])
	} else {
		group = core.KeyGroup(h, t.options.KeyGroups)
	}
	if group < t.options.From || group >= t.options.To {
		return 0, false, fmt.Errorf("table %s of %s: a row of key group %d came to the owner of [%d, %d): the exchange before the operator is wrong",
			t.options.Table, t.options.Operator, group, t.options.From, t.options.To)
	}
	if err := x.makeRoom(); err != nil {
		return 0, false, err
	}
	if slot, err = t.newSlot(group); err != nil {
		return 0, false, err
	}
	if err := t.writeKey(slot, i); err != nil {
		u := &t.pages.units[slot>>6]
		u.live &^= 1 << (slot & 63)
		t.live--
		t.pages.freed(t, u.page)
		return 0, false, err
	}
	x.add(h, slot)
	return slot, true, nil
}

// writeKey stores the i-th key of the loaded block in a new row.
func (t *Table) writeKey(slot uint32, i int) error {
	b := &t.block.keys
	row := t.rows.words[int(slot)*t.stride:][:t.stride]
	for c, at := range b.at {
		row[at] = b.words[c][i]
	}
	for c, at := range b.bytesAt {
		if b.valid[i]&b.bytesMask[c] == 0 {
			continue
		}
		h, err := t.heap.put(b.bytes[c][i])
		if err != nil {
			for c, at := range b.bytesAt[:c] {
				if b.valid[i]&b.bytesMask[c] != 0 {
					t.heap.drop(handle(row[at]))
				}
			}
			return err
		}
		row[at] = uint64(h)
	}
	row[0] |= b.valid[i]
	return nil
}

// checkHash verifies invariant 2 for a row that was created.
func (t *Table) checkHash(slot uint32, given uint64) {
	columns := make([]*core.Vector, t.keys)
	for i := range columns {
		columns[i] = core.NewVector(t.account, t.fields[i].Type, 1)
		defer columns[i].Release()
	}
	var out [1]uint64
	err := t.AppendKeys(columns, []uint32{slot})
	hash.Columns(columns, 1, nil, out[:])
	invariants.Checkf(err == nil && out[0] == given, "table %s: hash %016x was given for a key whose hash is %016x (%v)", t.options.Table, given, out[0], err)
}
