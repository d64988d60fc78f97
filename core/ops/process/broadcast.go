package process

import (
	"fmt"

	"turbo/core"
	"turbo/core/hash"
	"turbo/state"
)

// Broadcast is broadcast state: a map that is the same on every worker, because each builds it from the same rows. It is written for rows of a
// broadcast port only, and read anywhere. The rows of one sender come in the same order everywhere, those of different senders
// do not: what a function makes of them must not depend on that order, as in Flink.
//
// Each worker has all entries, and saves those whose key's group is its own; after a restart at any parallelism all are there again.
//
// Find, Put and Each make an entry the current one; At gives access to it.
type Broadcast struct {
	Cells
	op     *Process
	cursor cursor
	all    *state.Table
	own    *state.Table
	from   int // own's key groups
	to     int
	keyN   int
	pool   *core.BatchPool
	record *Record
	keys   []*core.Vector
	hash   [1]uint64
	group  [1]int32
	found  [1]uint32
	fresh  [1]bool
	dirty  []uint32
	value  []*core.Vector // scratch: one a field of the entry
	absent []uint64
}

func (p *Process) openBroadcast() error {
	for i := range p.config.Broadcasts {
		d := &p.config.Broadcasts[i]
		if err := d.check(); err != nil {
			return err
		}
		if d.Kind != MapKind || d.TTL.After != 0 {
			return fmt.Errorf("broadcast state %q: it must be a map without a time to live", d.Name)
		}
		if p.broadcasts[d.Name] != nil {
			return fmt.Errorf("two broadcast states are named %q", d.Name)
		}
		tables, ok := p.ctx.Tables.(state.BroadcastTables)
		if !ok {
			return fmt.Errorf("broadcast state %q: tables of type %T cannot hold it", d.Name, p.ctx.Tables)
		}
		values := append([]core.Field{{Name: "entry", Type: core.Of(core.Int64).Required()}}, d.Fields...)
		all, own, err := tables.BroadcastTable("broadcast "+d.Name, d.Keys, values)
		if err != nil {
			return err
		}
		b := &Broadcast{op: p, all: all, own: own, keyN: len(d.Keys)}
		b.from, b.to, _ = own.KeyGroups()
		b.cursor.table = all
		valid := all.Validity(b.keyN)
		b.Cells = Cells{cur: &b.cursor, cells: cellsOf(all, b.keyN+1, len(d.Fields)), first: b.keyN + 1, present: valid.Offset, bit: valid.Mask, shared: b}
		b.absent = make([]uint64, all.Words(0, 0).Stride)
		b.pool = core.NewBatchPool(p.ctx.Account, core.NewSchema(d.Keys...), 1, 1)
		b.record = NewRecord(b.pool)
		for _, f := range d.Keys {
			b.keys = append(b.keys, core.NewVector(p.ctx.Account, f.Type, 1))
		}
		for _, f := range values {
			b.value = append(b.value, core.NewVector(p.ctx.Account, f.Type, 1))
		}
		b.leave()
		if p.broadcasts == nil {
			p.broadcasts = map[string]*Broadcast{}
		}
		p.broadcasts[d.Name] = b
	}
	return nil
}

func (p *Process) closeBroadcast() {
	for _, b := range p.broadcasts {
		b.all.Close()
		b.record.Release()
		b.pool.Close()
		for _, v := range append(b.keys, b.value...) {
			v.Release()
		}
	}
	p.broadcasts = nil
}

// settleBroadcasts brings what was written to the tables that are saved.
func (p *Process) settleBroadcasts() error {
	for _, b := range p.broadcasts {
		if len(b.dirty) == 0 {
			continue
		}
		b.leave() // slots may move
		for _, s := range b.dirty {
			if b.all.Live(s) {
				if err := b.save(s); err != nil {
					return err
				}
			}
		}
		b.dirty = b.dirty[:0]
	}
	return nil
}

// owner returns the key group under which an entry is saved here; ok is false when another worker saves it.
func (b *Broadcast) owner(slot uint32) (group int, ok bool) {
	if b.op.config.Alone || b.op.keyed != nil && len(b.op.keyed.fields) == 0 {
		return 0, b.from == 0 && b.to > 0
	}
	group = b.all.Group(slot)
	return group, group >= b.from && group < b.to
}

// load reads the key of an entry into b.keys, and its hash.
func (b *Broadcast) load(slot uint32) error {
	for _, v := range b.keys {
		v.Reset()
	}
	b.found[0] = slot
	if err := b.all.AppendKeys(b.keys, b.found[:]); err != nil {
		return err
	}
	hash.Columns(b.keys, 1, nil, b.hash[:])
	return nil
}

// save copies an entry to the table that is saved.
func (b *Broadcast) save(slot uint32) error {
	group, ok := b.owner(slot)
	if !ok {
		return nil
	}
	if err := b.load(slot); err != nil {
		return err
	}
	var to [1]uint32
	b.group[0] = int32(group)
	if _, err := b.own.UpsertGrouped(b.group[:], b.keys, b.hash[:], nil, 1, to[:], nil); err != nil {
		return err
	}
	if err := b.own.Touch(to[:]); err != nil {
		return err
	}
	for i, v := range b.value {
		v.Reset()
		if err := b.all.AppendValues(v, b.keyN+i, b.found[:]); err != nil {
			return err
		}
		if err := b.own.SetValue(to[0], b.keyN+i, v, 0); err != nil {
			return err
		}
	}
	return nil
}

// written notes that the current entry changes.
func (b *Broadcast) written() {
	b.mayWrite()
	b.dirty = append(b.dirty, b.cursor.slot())
}

func (b *Broadcast) mayWrite() {
	p := b.op
	if p.in == nil || !p.config.Ports[p.context.port].Broadcast {
		panic(ErrReadOnly)
	}
}

func (b *Broadcast) move(slot uint32) {
	c := b.all.Words(0, 0)
	b.cursor.row = c.Words[int(slot)*c.Stride:][:c.Stride:c.Stride]
	b.cursor.one[0] = slot
	b.cursor.serial++
}

func (b *Broadcast) leave() {
	b.cursor.row = b.absent
	b.cursor.one[0] = core.NoSlot
	b.cursor.serial++
}

// Key returns the record of a map key, empty: fill it, then call Find or Put.
func (b *Broadcast) Key() *Record { return b.record.Reset() }

// Find makes the entry of the key in Key the current one, and reports whether there is one.
func (b *Broadcast) Find() bool {
	b.record.Row()
	keys := b.record.batch.Columns
	hash.Columns(keys, 1, nil, b.hash[:])
	must(b.all.Lookup(keys, b.hash[:], nil, 1, b.found[:]))
	if b.found[0] == core.NoSlot {
		b.leave()
		return false
	}
	b.move(b.found[0])
	return true
}

// Put makes the entry of the key in Key the current one, creating it if there is none: created says that.
func (b *Broadcast) Put() (created bool) {
	b.mayWrite()
	b.record.Row()
	keys := b.record.batch.Columns
	hash.Columns(keys, 1, nil, b.hash[:])
	_, err := b.all.Upsert(keys, b.hash[:], nil, 1, b.found[:], b.fresh[:])
	must(err)
	b.move(b.found[0])
	b.begin()
	return b.fresh[0]
}

// At returns access to the fields of the current entry.
func (b *Broadcast) At() *Cells { return &b.Cells }

// AppendKey appends field f of the current entry's key to v, which has its type.
func (b *Broadcast) AppendKey(v *core.Vector, f int) {
	if b.cursor.slot() == core.NoSlot {
		panic(errNoEntry)
	}
	must(b.all.AppendValues(v, f, b.cursor.one[:]))
}

// Remove removes the current entry.
func (b *Broadcast) Remove() {
	b.mayWrite()
	slot := b.cursor.slot()
	if slot == core.NoSlot {
		panic(errNoEntry)
	}
	if _, ok := b.owner(slot); ok {
		must(b.load(slot))
		must(b.own.Lookup(b.keys, b.hash[:], nil, 1, b.found[:]))
		if b.found[0] != core.NoSlot {
			must(b.own.Drop(b.found[:]))
		}
	}
	must(b.all.Drop(b.cursor.one[:]))
	b.leave()
}

// Each visits the entries in no particular order. The function may set the fields of the entry at hand and, as the last thing, remove it.
func (b *Broadcast) Each(visit func() error) error {
	defer b.leave()
	return b.all.Scan(func(slots []uint32) error {
		for _, s := range slots {
			b.move(s)
			if err := visit(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Len returns the number of entries.
func (b *Broadcast) Len() int { return b.all.Len() }
