package process

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/state"
)

// entries is the table behind a list or a map: a row an entry, with the id of its key and a number. A map's rows are found by id and the user's
// key, a list's are a bag: nothing but the chain leads to them.
//
// The entries of a key are chained by slots in memory, in the order in which they were added: the chains are rebuilt from the ids
// and numbers when the job starts. So going over them costs a row each, and no probe.
type entries struct {
	Cells
	cursor     cursor
	descriptor *Descriptor
	userKeys   int
	idWord     int // word
	number     int // word: counts the entries of a key in their order
	group      [1]int32
	id         *core.Vector // of a map
	record     *Record      // of a map's key, or a list's element
	pool       *core.BatchPool
	keys       []*core.Vector
	hash       [1]uint64
	found      [1]uint32
	created    [1]bool
	heads      []head // by slot of the key
	links      []link // by slot of the entry
	bytes      int64
	gone       []uint32
	absent     []uint64
}

// head is the chain of a key.
type head struct {
	first, last uint32 // slots + 1, 0: none
	count       uint32
}

// link is an entry's place in its chain.
type link struct {
	next, prev uint32 // slots + 1
	owner      uint32 // slot of the key
}

const (
	headBytes = 12
	linkBytes = 12
)

func openEntries(ctx *core.OperatorContext, k *keyed, d *Descriptor) (*entries, error) {
	e := &entries{descriptor: d, userKeys: len(d.Keys)}
	bigint := core.Of(core.Int64).Required()
	keys := []core.Field{{Name: "id", Type: bigint}}
	for _, f := range d.Keys {
		keys = append(keys, core.Field{Name: "key." + f.Name, Type: f.Type})
	}
	values := []core.Field{{Name: "number", Type: bigint}}
	for _, f := range d.Fields {
		values = append(values, core.Field{Name: d.Name + "." + f.Name, Type: f.Type})
	}
	if d.TTL.After > 0 {
		values = append(values, core.Field{Name: "until", Type: bigint})
	}
	var t *state.Table
	var err error
	if d.Kind == MapKind {
		t, err = tableOf(ctx.Tables.Table("map "+d.Name, keys, values))
	} else if bags, ok := ctx.Tables.(state.Bags); ok {
		t, err = bags.Bag("list "+d.Name, append(keys, values...))
	} else {
		err = fmt.Errorf("tables of type %T cannot hold list state %q", ctx.Tables, d.Name)
	}
	if err != nil {
		return nil, err
	}
	e.cursor.table = t
	first := len(keys) + 1 // behind id, the user's key and the number
	e.idWord, e.number = t.Words(0, 0).Offset, t.Words(first-1, 0).Offset
	valid := t.Validity(0)
	e.Cells = Cells{k: k, cur: &e.cursor, cells: cellsOf(t, first, len(d.Fields)), first: first, present: valid.Offset, bit: valid.Mask}
	e.absent = make([]uint64, t.Words(0, 0).Stride)
	e.leave()
	e.id = core.NewVector(ctx.Account, bigint, 1)
	e.keys = []*core.Vector{e.id}
	record := d.Keys
	if d.Kind == ListKind {
		record = d.Fields
	}
	e.pool = core.NewBatchPool(ctx.Account, core.NewSchema(record...), 1, 1)
	e.record = NewRecord(e.pool)
	if d.Kind == MapKind {
		e.keys = append(e.keys, e.record.batch.Columns...)
	}
	if d.TTL.After > 0 {
		e.until = t.Words(first+len(d.Fields), 0).Offset
		e.setTTL(ctx, d.TTL, &e.expiry)
	}
	return e, nil
}

// restore chains the entries of a restored table. owners are sorted by id.
func (e *entries) restore(owners []owner) error {
	type entry struct {
		id, number int64
		slot       uint32
	}
	var all []entry
	ids := e.cursor.table.Ints(0)
	err := e.cursor.table.Scan(func(slots []uint32) error {
		for _, s := range slots {
			all = append(all, entry{ids.At(s), ids.Words[int(s)*ids.Stride+e.number], s})
			if e.ttl > 0 {
				if err := e.expiry.note(s, core.Time(ids.Words[int(s)*ids.Stride+e.until])); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b entry) int {
		if c := compare(a.id, b.id); c != 0 {
			return c
		}
		return compare(a.number, b.number)
	})
	at := 0
	for _, x := range all {
		for at < len(owners) && owners[at].id < x.id {
			at++
		}
		if at == len(owners) || owners[at].id != x.id {
			return fmt.Errorf("%v state %q: an entry's key %d is not there", e.descriptor.Kind, e.descriptor.Name, x.id)
		}
		if err := e.link(x.slot, owners[at].slot); err != nil {
			return err
		}
	}
	return nil
}

// count returns how many entries a key has, expired ones included.
func (e *entries) count(slot uint32) int {
	if int(slot) >= len(e.heads) {
		return 0
	}
	return int(e.heads[slot].count)
}

// link puts an entry at the end of its key's chain.
func (e *entries) link(slot, owner uint32) error {
	var err error
	if e.heads, err = room(e, e.heads, int(owner), headBytes); err != nil {
		return err
	}
	if e.links, err = room(e, e.links, int(slot), linkBytes); err != nil {
		return err
	}
	h := &e.heads[owner]
	e.links[slot] = link{prev: h.last, owner: owner}
	if h.last > 0 {
		e.links[h.last-1].next = slot + 1
	} else {
		h.first = slot + 1
	}
	h.last = slot + 1
	h.count++
	return nil
}

// room makes list long enough for index i.
func room[T any](e *entries, list []T, i int, size int64) ([]T, error) {
	if i < len(list) {
		return list, nil
	}
	n := max(256, 2*len(list), i+1)
	if err := e.k.memory.Reserve(int64(n-len(list)) * size); err != nil {
		return list, err
	}
	e.bytes += int64(n-len(list)) * size
	return append(make([]T, 0, n), list...)[:n], nil
}

// unlink takes an entry out of its chain.
func (e *entries) unlink(slot uint32) {
	l := e.links[slot]
	h := &e.heads[l.owner]
	if l.prev > 0 {
		e.links[l.prev-1].next = l.next
	} else {
		h.first = l.next
	}
	if l.next > 0 {
		e.links[l.next-1].prev = l.prev
	} else {
		h.last = l.prev
	}
	if h.count--; h.count == 0 {
		e.k.maybe = append(e.k.maybe, l.owner)
	}
	if e.expiry != nil {
		e.expiry.forget(slot)
	}
}

// move makes an entry the current one.
func (e *entries) move(slot uint32) {
	c := e.cursor.table.Words(0, 0)
	e.cursor.row = c.Words[int(slot)*c.Stride:][:c.Stride:c.Stride]
	e.cursor.one[0] = slot
	e.cursor.serial++
}

// leave says that there is no current entry.
func (e *entries) leave() {
	e.cursor.row = e.absent
	e.cursor.one[0] = core.NoSlot
	e.cursor.serial++
}

// key returns the slot of the current key.
func (e *entries) key() uint32 {
	if len(e.k.cur.row) == 0 {
		panic(ErrNoKey)
	}
	return e.k.cur.slot()
}

// next number of an entry of the current key.
func (e *entries) nextNumber() int64 {
	key := e.k.cur.slot()
	if e.count(key) == 0 {
		return 1
	}
	c := e.cursor.table.Words(0, 0)
	return int64(c.Words[int(e.heads[key].last-1)*c.Stride+e.number]) + 1
}

// probe prepares keys and hash for the current key's id.
func (e *entries) probe(id int64) {
	e.id.Reset()
	e.id.AppendInt64(id)
	hash.Columns(e.keys, 1, nil, e.hash[:])
}

// insert finds or creates the entry whose key has been probed, and moves there.
func (e *entries) insert(id int64) (created bool) {
	e.group[0] = int32(id >> idBits)
	_, err := e.cursor.table.UpsertGrouped(e.group[:], e.keys, e.hash[:], nil, 1, e.found[:], e.created[:])
	must(err)
	e.move(e.found[0])
	if e.created[0] && e.ttl > 0 {
		e.cursor.row[e.until] = oldest
	}
	return e.created[0]
}

// each visits the entries of the current key that have not expired. The function may remove the current one, and add others.
func (e *entries) each(visit func() error) error {
	key := e.key()
	if e.count(key) == 0 {
		return nil
	}
	defer e.leave()
	for at := e.heads[key].first; at > 0; {
		slot := at - 1
		at = e.links[slot].next
		e.move(slot)
		if !e.see(e.cursor.row) {
			continue
		}
		if err := visit(); err != nil {
			return err
		}
	}
	return nil
}

// length counts the entries of the current key that have not expired.
func (e *entries) length() int {
	key := e.key()
	n := e.count(key)
	if e.ttl == 0 || n == 0 {
		return n
	}
	n = 0
	until, now := e.cursor.table.Words(0, 0), e.k.now[e.clock]
	for at := e.heads[key].first; at > 0; at = e.links[at-1].next {
		if core.Time(until.Words[int(at-1)*until.Stride+e.until]) > now {
			n++
		}
	}
	return n
}

// remove drops the current entry.
func (e *entries) remove() {
	slot := e.cursor.slot()
	if slot == core.NoSlot {
		panic(errNoEntry)
	}
	e.unlink(slot)
	must(e.cursor.table.Drop(e.cursor.one[:]))
	e.leave()
}

// clear drops all entries of the current key.
func (e *entries) clear() {
	key := e.key()
	if e.count(key) == 0 {
		return
	}
	e.gone = e.gone[:0]
	for at := e.heads[key].first; at > 0; at = e.links[at-1].next {
		e.gone = append(e.gone, at-1)
		if e.expiry != nil {
			e.expiry.forget(at - 1)
		}
	}
	e.heads[key] = head{}
	e.k.maybe = append(e.k.maybe, key)
	must(e.cursor.table.Drop(e.gone))
	e.leave()
}

// sweep drops entries that have expired.
func (e *entries) sweep(limit core.Time) (more bool, err error) {
	slots, more, err := e.expiry.pop(limit)
	if err != nil {
		return false, err
	}
	e.gone = e.gone[:0]
	until := e.cursor.table.Words(0, 0)
	for _, s := range slots {
		if t := core.Time(until.Words[int(s)*until.Stride+e.until]); t > limit {
			if err := e.expiry.note(s, t); err != nil {
				return false, err
			}
			continue
		}
		e.unlink(s)
		e.gone = append(e.gone, s)
	}
	e.leave()
	return more, e.cursor.table.Drop(e.gone)
}

func (e *entries) close() {
	if e.expiry != nil {
		e.expiry.close()
	}
	e.k.memory.Unreserve(e.bytes)
	e.bytes, e.heads, e.links = 0, nil, nil
	if e.id != nil {
		e.id.Release()
		e.record.Release()
		e.pool.Close()
		e.id = nil
	}
}
