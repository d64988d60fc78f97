package process

import "turbo/core"

// List is a list state: rows of fields for each key, in the order in which they were added. Its methods are about the current key.
type List struct{ entries *entries }

// Stage returns the record of a new element, empty; Add appends what it has become.
func (l *List) Stage() *Record { return l.entries.record.Reset() }

// Add appends the staged element.
func (l *List) Add() { l.AddRow(l.entries.record.Row()) }

// AddRow appends an element whose fields are the columns of r.
func (l *List) AddRow(r Row) {
	e := l.entries
	key := e.key()
	id := e.k.owned()
	number := e.nextNumber()
	e.group[0] = int32(id >> idBits)
	_, err := e.cursor.table.Insert(e.group[:], 1, e.found[:])
	must(err)
	e.move(e.found[0])
	row := e.cursor.row
	row[e.idWord], row[e.number] = uint64(id), uint64(number)
	if e.ttl > 0 {
		row[e.until] = oldest
	}
	must(e.link(e.cursor.slot(), key))
	e.SetRow(r)
	e.begin() // an element may have no field
	e.leave()
}

// Each visits the elements in order; at is access to the one at hand. The function may set its fields and remove it (Remove), and add elements,
// which are visited too unless it is the last one that adds them.
func (l *List) Each(visit func(at *Cells) error) error {
	return l.entries.each(func() error { return visit(&l.entries.Cells) })
}

// Remove removes the element at hand of Each.
func (l *List) Remove() { l.entries.remove() }

// First makes the first element the one at hand and returns access to it, or nil when the list is empty.
func (l *List) First() *Cells {
	e := l.entries
	key := e.key()
	if e.count(key) == 0 {
		return nil
	}
	for at := e.heads[key].first; at > 0; at = e.links[at-1].next {
		if e.move(at - 1); e.see(e.cursor.row) {
			return &e.Cells
		}
	}
	e.leave()
	return nil
}

// Len returns the number of elements.
func (l *List) Len() int { return l.entries.length() }

// Clear removes all elements.
func (l *List) Clear() { l.entries.clear() }

// Map is a map state: for each key, rows of fields by a key of the user's. Its methods are about the current key. Find, Put and Each make
// an entry the current one; At gives access to it.
type Map struct{ entries *entries }

// Key returns the record of a map key, empty: fill it, then call Find, Put or Remove.
func (m *Map) Key() *Record { return m.entries.record.Reset() }

// Find makes the entry of the key in Key the current one, and reports whether there is one.
func (m *Map) Find() bool {
	e := m.entries
	e.key()
	e.leave()
	id := int64(e.k.cur.row[e.k.id])
	if id == 0 {
		return false
	}
	e.record.Row()
	e.probe(id)
	must(e.cursor.table.Lookup(e.keys, e.hash[:], nil, 1, e.found[:]))
	if e.found[0] == core.NoSlot {
		return false
	}
	e.move(e.found[0])
	if !e.see(e.cursor.row) {
		e.leave()
		return false
	}
	return true
}

// Put makes the entry of the key in Key the current one, creating it if there is none, and counts as a write. created says that.
func (m *Map) Put() (created bool) {
	e := m.entries
	key := e.key()
	id := e.k.owned()
	e.record.Row()
	e.probe(id)
	created = e.insert(id)
	if !created && e.ttl > 0 && core.Time(e.cursor.row[e.until]) <= e.k.now[e.clock] {
		e.cursor.touch() // expired, not freed yet: a new entry, at the end
		e.unlink(e.cursor.slot())
		created = true
	}
	if created {
		number := e.nextNumber()
		must(e.link(e.cursor.slot(), key))
		e.begin()
		e.cursor.row[e.number] = uint64(number)
	} else {
		e.begin()
	}
	return created
}

// At returns access to the fields of the current entry.
func (m *Map) At() *Cells { return &m.entries.Cells }

// AppendKey appends field f of the current entry's key to v, which has its type.
func (m *Map) AppendKey(v *core.Vector, f int) {
	e := m.entries
	if e.cursor.slot() == core.NoSlot {
		panic(errNoEntry)
	}
	must(e.cursor.table.AppendValues(v, 1+f, e.cursor.one[:]))
}

// KeyInt64 returns field f of the current entry's key, of an integer kind or one of date and time; 0 for null.
func (m *Map) KeyInt64(f int) int64 {
	e := m.entries
	if e.cursor.slot() == core.NoSlot || e.cursor.table.Null(e.cursor.slot(), 1+f) {
		return 0
	}
	return e.cursor.table.Ints(1 + f).At(e.cursor.slot())
}

// KeyString returns a copy of field f, a STRING or BYTES, of the current entry's key; "" for null.
func (m *Map) KeyString(f int) string {
	e := m.entries
	if e.cursor.slot() == core.NoSlot {
		return ""
	}
	return string(e.cursor.table.BytesAt(e.cursor.slot(), 1+f))
}

// Remove removes the current entry.
func (m *Map) Remove() { m.entries.remove() }

// Each visits the entries in the order in which they were put first. The function may set the entry's fields and remove it; it does not
// call Find or Put of this map.
func (m *Map) Each(visit func() error) error { return m.entries.each(visit) }

// Len returns the number of entries.
func (m *Map) Len() int { return m.entries.length() }

// Clear removes all entries.
func (m *Map) Clear() { m.entries.clear() }
