package state

import (
	"fmt"
	"math/bits"

	"turbo/core"
	"turbo/internal/invariants"
)

// Insert makes n rows in a bag and writes their slots. groups has the key group of each: by row when it is as long as n, else one
// for all. Their NOT NULL fixed-width values are zero, all others null. After an error (the memory limit's) the rows before it exist;
// it returns their number.
func (t *Table) Insert(groups []int32, n int, slots []uint32) (int, error) {
	n, err := t.allocate(groups, slots[:n])
	t.blank(slots[:n])
	return n, err
}

// insertBlock is how many rows are written together: they stay in the first-level cache from one column to the next.
const insertBlock = 256

// InsertColumns is Insert with values: those of the first len(columns) fields, from the rows of columns that sel names (nil: the first n).
func (t *Table) InsertColumns(groups []int32, n int, slots []uint32, columns []*core.Vector, sel []int32) (int, error) {
	n, err := t.allocate(groups, slots[:n])
	filled := len(t.extra) == 0 && t.fill(columns)
	for from := 0; from < n; from += insertBlock {
		block := slots[from:min(from+insertBlock, n)]
		if filled && err == nil {
			for _, s := range block {
				t.rows.words[int(s)*t.stride] = t.required
			}
		} else {
			t.blank(block)
		}
		if err != nil {
			continue
		}
		var part []int32
		if sel != nil {
			part = sel[from:][:len(block)]
		}
		for f, v := range columns {
			if err = t.SetColumn(f, block, v, part, from); err != nil {
				break
			}
		}
	}
	return n, err
}

// cursor is where the next rows of a key group go while a batch of rows is made: the free slots of a unit.
type cursor struct {
	free uint64
	base uint32 // the unit's first slot
	used bool
}

// allocate gives a slot to each of len(slots) rows, whose words are undefined. What the pages know of a unit is written once for all slots that are taken of it.
func (t *Table) allocate(groups []int32, slots []uint32) (done int, err error) {
	if !t.options.Bag {
		return 0, fmt.Errorf("table %s: rows without a key are for bags", t.options.Table)
	}
	if t.cursors == nil {
		t.cursors = make([]cursor, len(t.pages.groups))
	}
	cursors, from, last := t.cursors, int32(t.pages.from), len(groups)-1
	used := t.filled[:0]
	for i := range slots {
		g := groups[min(i, last)] - from
		if uint(g) >= uint(len(cursors)) {
			err = fmt.Errorf("table %s of %s: a row of key group %d came to the owner of [%d, %d): the exchange before the operator is wrong",
				t.options.Table, t.options.Operator, g+from, t.options.From, t.options.To)
			break
		}
		c := &cursors[g]
		if c.free == 0 {
			if c.used {
				t.settle(c)
			} else {
				used = append(used, g)
			}
			var unit uint32
			if unit, err = t.openUnit(int(g + from)); err != nil {
				break
			}
			c.free, c.base, c.used = ^t.pages.units[unit].live, unit<<6, true
		}
		slots[i] = c.base + uint32(bits.TrailingZeros64(c.free))
		c.free &= c.free - 1
		done++
	}
	for _, g := range used {
		if c := &cursors[g]; c.used {
			t.settle(c)
			*c = cursor{}
		}
	}
	t.filled = used
	return done, err
}

// settle notes the slots that a cursor has taken.
func (t *Table) settle(c *cursor) {
	u := &t.pages.units[c.base>>6]
	taken := ^u.live &^ c.free
	u.live |= taken
	u.dirty |= taken
	n := bits.OnesCount64(taken)
	t.pages.list[u.page].live += uint32(n)
	t.live += n
	c.used = false
}

// fill reports that columns write every word of a row behind its header.
func (t *Table) fill(columns []*core.Vector) bool {
	if len(columns) != t.stride-1 || len(columns) != len(t.fields) {
		return false
	}
	for f, v := range columns {
		if t.fields[f].storage != storeInt && v.Type.Kind != core.Float64 || v.HasNulls() {
			return false
		}
	}
	return true
}

// blank makes new rows of slots.
func (t *Table) blank(slots []uint32) {
	words, stride, header := t.rows.words, t.stride, t.required
	for _, s := range slots {
		row := words[int(s)*stride:][:stride]
		row[0] = header
		for k := 1; k < len(row); k++ {
			row[k] = 0
		}
		if len(t.extra) > 0 {
			copy(row[1:], t.extra)
		}
	}
}

// Blank makes the rows [from, to), which are live, what Insert made them. Rows of a table whose values have a variable width, or that is in checkpoints, must not
// be given.
func (t *Table) Blank(from, to int) {
	words, stride := t.rows.words[from*t.stride:to*t.stride], t.stride
	clear(words)
	for at := 0; at < len(words); at += stride {
		words[at] = t.required
	}
	if len(t.extra) > 0 {
		for at := 0; at < len(words); at += stride {
			copy(words[at+1:], t.extra)
		}
	}
}

// dropBag is drop of a bag's rows.
func (t *Table) dropBag(slots []uint32) error {
	p := &t.pages
	for _, s := range slots {
		u := &p.units[s>>6]
		if invariants.Enabled {
			invariants.Checkf(u.live&(1<<(s&63)) != 0, "slot %d is dropped but not live", s)
		}
		if u.epoch != p.epoch {
			if err := t.thaw(s >> 6); err != nil {
				return err
			}
		}
		if t.variable {
			t.freeValues(s)
		}
		u.dirty |= 1 << (s & 63)
		u.live &^= 1 << (s & 63)
		t.live--
		if e := &p.list[u.page]; e.live > 1 && e.open {
			e.live--
			e.hint = min(e.hint, s>>6-e.first)
		} else {
			p.freed(t, u.page)
		}
	}
	return nil
}

// SetColumn writes a value field of many slots: the rows of v that sel names (nil: those from `from` on), one a slot. v has the field's type.
// The slots have been announced (a new row is).
func (t *Table) SetColumn(field int, slots []uint32, v *core.Vector, sel []int32, from int) error {
	f := &t.fields[field]
	if f.storage == storeInt && !v.HasNulls() {
		switch v.Type.Kind.Width() {
		case 1:
			if v.Type.Kind == core.Boolean {
				setWords(t, f, slots, v.Bools(), sel, from)
			} else {
				setWords(t, f, slots, v.Int8s(), sel, from)
			}
		case 2:
			setWords(t, f, slots, v.Int16s(), sel, from)
		case 4:
			setWords(t, f, slots, v.Int32s(), sel, from)
		default:
			setWords(t, f, slots, v.Int64s(), sel, from)
		}
		return nil
	}
	if v.Type.Kind == core.Float64 && !v.HasNulls() {
		setWords(t, f, slots, core.Values[uint64](v), sel, from)
		return nil
	}
	for i, s := range slots {
		if err := t.SetValue(s, field, v, rowAt(sel, from, i)); err != nil {
			return err
		}
	}
	return nil
}

// setWords writes one word of each slot and its validity.
func setWords[T uint8 | int8 | int16 | int32 | int64 | uint64](t *Table, f *field, slots []uint32, values []T, sel []int32, from int) {
	words, stride, at, valid, mask := t.rows.words, t.stride, f.offset, f.valid, f.mask
	if sel == nil {
		values = values[from:][:len(slots)]
		for i, s := range slots {
			o := int(s) * stride
			words[o+at] = uint64(int64(values[i]))
			words[o+valid] |= mask
		}
		return
	}
	sel = sel[:len(slots)]
	for i, s := range slots {
		o := int(s) * stride
		words[o+at] = uint64(int64(values[sel[i]]))
		words[o+valid] |= mask
	}
}
