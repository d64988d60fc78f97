package state

import (
	"fmt"
	"math/bits"

	"turbo/core"
)

// Insert makes n rows in a bag and writes their slots. groups has the key group of each: by row when it is as long as n, else one
// for all. Their NOT NULL fixed-width values are zero, all others null. After an error (the memory limit's) the rows before it exist;
// it returns their number.
func (t *Table) Insert(groups []int32, n int, slots []uint32) (int, error) {
	if !t.options.Bag {
		return 0, fmt.Errorf("table %s: rows without a key are for bags", t.options.Table)
	}
	slots = slots[:n]
	p := &t.pages
	words, stride, header, extra := t.rows.words, t.stride, t.required, len(t.extra)
	for i := range slots {
		g := int(groups[min(i, len(groups)-1)])
		if g < t.options.From || g >= t.options.To {
			return i, fmt.Errorf("table %s of %s: a row of key group %d came to the owner of [%d, %d): the exchange before the operator is wrong",
				t.options.Table, t.options.Operator, g, t.options.From, t.options.To)
		}
		if open := p.groups[g-p.from].open; len(open) > 0 && extra == 0 { // newSlot's usual way, without its calls
			if e := &p.list[open[len(open)-1]]; e.hint < e.units {
				if u := &p.units[e.first+e.hint]; u.live != ^uint64(0) && u.epoch == p.epoch {
					bit := bits.TrailingZeros64(^u.live)
					u.live |= 1 << bit
					u.dirty |= 1 << bit
					e.live++
					t.live++
					slot := (e.first+e.hint)<<6 + uint32(bit)
					row := words[int(slot)*stride:][:stride]
					row[0] = header
					for k := 1; k < len(row); k++ {
						row[k] = 0
					}
					slots[i] = slot
					continue
				}
			}
		}
		slot, err := t.newSlot(g)
		if err != nil {
			return i, err
		}
		words = t.rows.words
		slots[i] = slot
	}
	return n, nil
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
