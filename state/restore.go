package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"turbo/core"
)

// ErrDamaged is the cause of errors about a page that is not what Write wrote.
var ErrDamaged = errors.New("damaged page of state")

// LayoutError says that a checkpoint's table has other columns than the job's.
type LayoutError struct {
	Operator, Table   string
	Saved, Configured string // the columns: keys -> values
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("the state %s of operator %s does not fit the job: the checkpoint has (%s), the job now has (%s); run the job as it was, or start afresh (--fresh)",
		e.Table, e.Operator, e.Saved, e.Configured)
}

// Restore fills an empty table with the pages of its key groups. After an error the table is of no use but to Close.
func (t *Table) Restore(source PageSource) error {
	o := &t.options
	return source.Pages(o.Operator, o.Table, o.From, o.To, func(group uint16, number uint32, chain []PageVersion) error {
		if err := t.restorePage(group, number, chain); err != nil {
			return fmt.Errorf("restoring %s/%s/%d/%d: %w", o.Operator, o.Table, group, number, err)
		}
		return nil
	})
}

func (t *Table) restorePage(group uint16, number uint32, chain []PageVersion) error {
	if int(group) < t.options.From || int(group) >= t.options.To {
		return fmt.Errorf("key group %d is not of [%d, %d)", group, t.options.From, t.options.To)
	}
	if len(chain) == 0 || chain[0].Kind != WholePage {
		return fmt.Errorf("%w: no whole version", ErrDamaged)
	}
	id := none
	for i, version := range chain {
		r := pageReader{data: version.Data}
		units, err := r.header(t, version.Kind)
		if err != nil {
			return err
		}
		if i == 0 {
			if number >= maxPages || t.hasPage(group, number) {
				return fmt.Errorf("%w: page number", ErrDamaged)
			}
			if id, err = t.newPage(int(group), number, units); err != nil {
				return err
			}
		} else if units != int(t.pages.list[id].units) {
			return fmt.Errorf("%w: %d units in a delta", ErrDamaged, units)
		}
		if err := t.apply(&r, &t.pages.list[id], version.Kind); err != nil {
			return err
		}
	}
	e := &t.pages.list[id]
	e.based, e.deltas = true, uint8(min(len(chain)-1, 255))
	return t.indexPage(e)
}

// maxPages bounds the pages of a key group.
const maxPages = 1 << 26

func (t *Table) hasPage(group uint16, number uint32) bool {
	g := &t.pages.groups[int(group)-t.pages.from]
	return number < g.next && !slices.Contains(g.numbers, number)
}

// apply brings a page up to one version of its chain.
func (t *Table) apply(r *pageReader, e *page, kind PageKind) error {
	units := t.pages.units[e.first : e.first+e.units]
	live := r.take(8 * len(units))
	changed := live
	if kind == DeltaPage {
		changed = r.take(8 * len(units))
	}
	if r.err != nil {
		return r.err
	}
	slots := t.scratch.slots[:0]
	for i := range units {
		u := &units[i]
		now, dirty := binary.LittleEndian.Uint64(live[8*i:]), binary.LittleEndian.Uint64(changed[8*i:])
		if kind == DeltaPage && (now^u.live)&^dirty != 0 {
			return fmt.Errorf("%w: a delta does not fit the version before", ErrDamaged)
		}
		base := (e.first + uint32(i)) << 6
		if t.variable {
			start := len(slots)
			slots = appendBits(slots, base, dirty&u.live)
			for _, s := range slots[start:] {
				t.freeValues(s)
			}
			slots = slots[:start]
		}
		e.live += uint32(bits.OnesCount64(now))
		e.live -= uint32(bits.OnesCount64(u.live))
		u.live = now
		slots = appendBits(slots, base, now&dirty)
	}
	t.scratch.slots = slots
	for _, s := range slots {
		clear(t.rows.words[int(s)*t.stride:][:t.stride])
	}
	if len(slots) > 0 {
		for i := range t.fields {
			if err := t.decodeColumn(r, &t.fields[i], slots); err != nil {
				return err
			}
		}
	}
	if len(r.data) != 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrDamaged, len(r.data))
	}
	return nil
}

func (t *Table) decodeColumn(r *pageReader, f *field, slots []uint32) error {
	words, stride := t.rows.words, t.stride
	n := len(slots)
	mode := r.byte()
	var valid []byte
	if mode == nullsSome {
		valid = r.take((n + 7) / 8)
	}
	if r.err != nil || mode > nullsAll {
		return fmt.Errorf("%w: column %s", ErrDamaged, f.Name)
	}
	if mode == nullsAll {
		return nil
	}
	for i, s := range slots {
		if valid == nil || valid[i>>3]&(1<<(i&7)) != 0 {
			words[int(s)*stride+f.valid] |= f.mask
		}
	}
	if f.storage >= storeBytes {
		for _, s := range slots {
			row := words[int(s)*stride:]
			if row[f.valid]&f.mask == 0 {
				continue
			}
			b := r.take(int(min(r.uvarint(), maxValue+1)))
			if r.err != nil {
				row[f.valid] &^= f.mask // nothing to free
				return fmt.Errorf("%w: column %s", ErrDamaged, f.Name)
			}
			h, err := t.heap.put(b)
			if err != nil {
				row[f.valid] &^= f.mask
				return err
			}
			row[f.offset] = uint64(h)
		}
		return nil
	}
	low := r.packed(n)
	var high packed
	if f.storage == storeWide {
		high = r.packed(n)
	}
	if r.err != nil {
		return fmt.Errorf("%w: column %s", ErrDamaged, f.Name)
	}
	for i, s := range slots {
		row := words[int(s)*stride:][:stride]
		row[f.offset] = f.normal(low.at(i))
		if f.storage == storeWide {
			row[f.offset+1] = high.at(i)
		}
	}
	return nil
}

// normal makes a word one that the field can have: a damaged page must not give a value that its type has not.
func (f *field) normal(x uint64) uint64 {
	if f.storage != storeInt {
		return x
	}
	switch f.Type.Kind.Width() {
	case 1:
		if f.Type.Kind == core.Boolean {
			return x & 1
		}
		return uint64(int64(int8(x)))
	case 2:
		return uint64(int64(int16(x)))
	case 4:
		return uint64(int64(int32(x)))
	}
	return x
}

// indexPage enters the rows of a restored page into the index.
func (t *Table) indexPage(e *page) error {
	slots := make([]uint32, 0, e.live)
	for i, u := range t.pages.units[e.first : e.first+e.units] {
		slots = appendBits(slots, (e.first+uint32(i))<<6, u.live)
	}
	t.live += len(slots)
	for len(slots) > 0 {
		n := min(len(slots), blockRows)
		hashes, err := t.hashes(slots[:n])
		if err != nil {
			return err
		}
		for i, s := range slots[:n] {
			if err := t.index.makeRoom(); err != nil {
				return err
			}
			t.index.add(hashes[i], s)
		}
		slots = slots[n:]
	}
	return nil
}

// pageReader reads an encoded page; the first error stays.
type pageReader struct {
	data []byte
	err  error
}

// fail notes that the page is not what Write wrote.
func (r *pageReader) fail() {
	r.err = fmt.Errorf("%w: it ends early, or a length cannot be", ErrDamaged)
	r.data = nil
}

func (r *pageReader) take(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.fail()
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *pageReader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *pageReader) uvarint() uint64 {
	x, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return x
}

// header reads up to the number of units and checks that the page is of this table.
func (r *pageReader) header(t *Table, kind PageKind) (units int, err error) {
	version, k, sum := r.byte(), PageKind(r.byte()), r.take(4)
	switch {
	case r.err != nil:
		return 0, r.err
	case version != pageVersion:
		return 0, fmt.Errorf("page of format %d: this version reads format %d", version, pageVersion)
	case k != kind:
		return 0, fmt.Errorf("%w: kind %d, not %d", ErrDamaged, k, kind)
	}
	fits := binary.LittleEndian.Uint32(sum) == layoutSum(t.text)
	if kind == WholePage {
		text := string(r.take(int(min(r.uvarint(), 1<<30))))
		if r.err == nil && text != t.text {
			return 0, &LayoutError{t.options.Operator, t.options.Table, text, t.text}
		}
	}
	n := r.uvarint()
	switch {
	case r.err != nil:
		return 0, r.err
	case !fits || n == 0 || n > uint64(len(r.data)/8) || n&(n-1) != 0 || n > uint64(t.pages.largest):
		return 0, fmt.Errorf("%w: header", ErrDamaged)
	}
	return int(n), nil
}

var _ core.KeyedTable = (*Table)(nil)
