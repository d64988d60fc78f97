package state

import (
	"math/bits"
	"slices"
)

// A unit is 64 neighbouring slots: a word of each bitmap. Pages are a power of two of units.
type unit struct {
	dirty uint64 // slots announced since the last freeze (or since the checkpoint that was abandoned)
	live  uint64 // slots in use
	epoch uint32 // the epoch in which the page was last thawed: equal to pages.epoch when it may be written
	page  uint32
}

// unitBytes is what a unit costs in bookkeeping, pages included.
const unitBytes = 32

// pageBytes bounds a page: rows times their words.
const pageBytes = 64 << 10

// wholeEvery: a page is written whole after this many deltas.
const wholeEvery = 8

type page struct {
	first  uint32 // unit
	units  uint32 // 0: the entry is not in use
	live   uint32 // slots in use
	hint   uint32 // units before it (from first) are full
	number uint32 // within the key group
	serial uint32 // changes when the entry is used again
	group  uint16
	deltas uint8 // since the last whole version
	based  bool  // the last completed checkpoint has the page
	open   bool  // in its group's list of pages with free slots
}

// group is the pages of one key group.
type group struct {
	pages   uint32   // in use
	next    uint32   // page numbers from here on were never used
	numbers []uint32 // free ones below
	open    []uint32 // pages with free slots; the last one is filled first
}

// name is a page that is gone.
type name struct {
	group  uint16
	number uint32
}

// pages is the bookkeeping of a table's slots.
type pages struct {
	units   []unit
	list    []page
	unused  []uint32 // entries of list
	groups  []group
	from    int // the first group's number
	end     int // units handed out ever
	largest int // units of a full page
	runs    [16][]uint32
	dropped []name // pages gone since the last freeze that the last checkpoint has
	used    int    // pages in use
	epoch   uint32
	serial  uint32
}

func (p *pages) init(stride, from, to int) {
	p.from, p.groups, p.epoch = from, make([]group, to-from), 1
	p.largest = 1
	for 2*p.largest*64*stride*8 <= pageBytes {
		p.largest *= 2
	}
}

// newSlot hands out a slot of a key group; the row's words are zero but for the header.
func (t *Table) newSlot(groupNumber int) (uint32, error) {
	unit, err := t.openUnit(groupNumber)
	if err != nil {
		return 0, err
	}
	u := &t.pages.units[unit]
	bit := bits.TrailingZeros64(^u.live)
	u.live |= 1 << bit
	u.dirty |= 1 << bit
	t.pages.list[u.page].live++
	t.live++
	slot := unit<<6 + uint32(bit)
	row := t.rows.words[int(slot)*t.stride:][:t.stride]
	clear(row)
	row[0] = t.required
	copy(row[1:], t.extra)
	return slot, nil
}

// openUnit finds a unit of a key group with free slots, which may be written.
func (t *Table) openUnit(groupNumber int) (uint32, error) {
	g := &t.pages.groups[groupNumber-t.pages.from]
	for len(g.open) > 0 {
		p := &t.pages.list[g.open[len(g.open)-1]]
		for ; p.hint < p.units; p.hint++ {
			u := &t.pages.units[p.first+p.hint]
			if u.live == ^uint64(0) {
				continue
			}
			if u.epoch != t.pages.epoch {
				if err := t.thaw(p.first + p.hint); err != nil {
					return 0, err
				}
			}
			return p.first + p.hint, nil
		}
		p.open = false
		g.open = g.open[:len(g.open)-1]
	}
	number := g.next
	if n := len(g.numbers); n > 0 {
		number = g.numbers[n-1]
	}
	size := 1
	for i := uint32(0); i < g.pages && size < t.pages.largest; i++ {
		size *= 2
	}
	id, err := t.newPage(groupNumber, number, size)
	if err != nil {
		return 0, err
	}
	return t.pages.list[id].first, nil
}

// newPage makes an empty page of that name and puts it on the list of open ones.
func (t *Table) newPage(groupNumber int, number uint32, units int) (uint32, error) {
	p := &t.pages
	first, err := t.newRun(units)
	if err != nil {
		return 0, err
	}
	var id uint32
	if n := len(p.unused); n > 0 {
		id = p.unused[n-1]
		p.unused = p.unused[:n-1]
	} else {
		id = uint32(len(p.list))
		p.list = append(p.list, page{})
	}
	p.serial++
	p.used++
	p.list[id] = page{first: uint32(first), units: uint32(units), number: number, group: uint16(groupNumber), open: true, serial: p.serial}
	for u := first; u < first+units; u++ {
		p.units[u] = unit{epoch: p.epoch, page: id}
	}
	g := &p.groups[groupNumber-p.from]
	g.open = append(g.open, id)
	g.pages++
	if number >= g.next {
		for ; g.next < number; g.next++ {
			g.numbers = append(g.numbers, g.next)
		}
		g.next = number + 1
	} else if i := slices.Index(g.numbers, number); i >= 0 {
		g.numbers = slices.Delete(g.numbers, i, i+1)
	}
	return id, nil
}

// newRun finds free units: a freed page's, whole or a part of it, or new ones at the end.
func (t *Table) newRun(units int) (int, error) {
	p := &t.pages
	class := bits.Len(uint(units)) - 1
	for c := class; c < len(p.runs); c++ {
		n := len(p.runs[c])
		if n == 0 {
			continue
		}
		first := int(p.runs[c][n-1])
		if err := t.rows.recommit(first*64*t.stride, (first+1<<c)*64*t.stride); err != nil {
			return 0, err
		}
		p.runs[c] = p.runs[c][:n-1]
		for c > class { // keep the first half, free the other
			c--
			p.runs[c] = append(p.runs[c], uint32(first+1<<c))
		}
		return first, nil
	}
	first := p.end
	if err := t.rows.grow((first + units) * 64 * t.stride); err != nil {
		return 0, err
	}
	if need := first + units; need > len(p.units) {
		if need > cap(p.units) {
			size := max(need, 2*cap(p.units), 256)
			if err := t.account.Reserve(int64(size-cap(p.units)) * unitBytes); err != nil {
				return 0, err
			}
			t.overhead += int64(size-cap(p.units)) * unitBytes
			p.units = append(make([]unit, 0, size), p.units...)
		}
		p.units = p.units[:need]
	}
	p.end = first + units
	return first, nil
}

// entry returns the page that a checkpoint froze, or nil when it was given up meanwhile.
func (p *pages) entry(f *frozenPage) *page {
	if int(f.entry) >= len(p.list) || p.list[f.entry].serial != f.page.serial {
		return nil
	}
	return &p.list[f.entry]
}

// freed notes that one slot of a page is free again, and gives the page up with its last one.
func (p *pages) freed(t *Table, id uint32) {
	g := &p.groups[int(p.list[id].group)-p.from]
	e := &p.list[id]
	e.live--
	e.hint = 0
	if e.live > 0 {
		if !e.open {
			e.open = true
			g.open = append(g.open, id)
		}
		return
	}
	if e.open {
		g.open = slices.Delete(g.open, slices.Index(g.open, id), slices.Index(g.open, id)+1)
	}
	if e.based {
		p.dropped = append(p.dropped, name{e.group, e.number})
	}
	g.numbers = append(g.numbers, e.number)
	g.pages--
	p.used--
	first, units := int(e.first), int(e.units)
	clear(p.units[first : first+units])
	if p.used == 0 { // every checkpoint has saved what it needs: all memory can go
		*e = page{}
		p.list, p.unused, p.runs, p.end, p.units = p.list[:0], p.unused[:0], [16][]uint32{}, 0, p.units[:0]
		t.rows.reset()
		return
	}
	t.rows.discard(first*64*t.stride, (first+units)*64*t.stride)
	class := bits.Len(uint(units)) - 1
	p.runs[class] = append(p.runs[class], e.first)
	*e = page{}
	p.unused = append(p.unused, id)
}

// appendBits appends base plus the number of each bit that is set.
func appendBits(dst []uint32, base uint32, word uint64) []uint32 {
	for ; word != 0; word &= word - 1 {
		dst = append(dst, base+uint32(bits.TrailingZeros64(word)))
	}
	return dst
}
