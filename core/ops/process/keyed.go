package process

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
	"turbo/memory"
	"turbo/state"
)

// keyed is the keyed state of an operator instance: a row a key, with all its values as columns, and the tables of entries of lists and maps.
//
// The row's fields after the key: the bit set of the values that are present, the id by which entries name their key (0: none
// yet), and for each value its fields and, with a time to live, until when it lives.
type keyed struct {
	cur     cursor
	table   *state.Table
	fields  []core.Field // of the key
	present int          // word
	id      int          // word
	values  []*Value
	entries []*entries
	byName  map[string]any
	now     [2]core.Time // by clockKind: the time of the access at hand
	expiry  [2]*expiry   // of the values, nil when none expires by that clock
	nextID  []int64      // by key group: the last id given
	from    int          // the first key group
	maybe   []uint32     // slots that may have become empty
	hashes  []uint64
	groups  []int32
	slots   []uint32
	created []bool
	schema  *core.Schema // of the key, to render it
	noRow   []uint64
	memory  *memory.Account
}

const (
	presentField = 0 // after the key
	idField      = 1
	firstField   = 2
)

// openKeyed opens the tables. keys are the fields of the key.
func openKeyed(ctx *core.OperatorContext, keys []core.Field, states []Descriptor) (*keyed, error) {
	k, err := openStates(ctx, keys, states)
	if err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// openStates returns what it has opened also when it fails.
func openStates(ctx *core.OperatorContext, keys []core.Field, states []Descriptor) (*keyed, error) {
	k := &keyed{memory: ctx.Account, fields: keys, byName: map[string]any{}, now: [2]core.Time{core.MinTime, core.MinTime}, schema: core.NewSchema(keys...)}
	columns := []core.Field{
		{Name: "present", Type: core.Of(core.Int64).Required()},
		{Name: "id", Type: core.Of(core.Int64).Required()},
	}
	states = slices.Clone(states) // instances share them
	bits := 0
	for i := range states {
		d := &states[i]
		if err := d.check(); err != nil {
			return k, err
		}
		if len(d.Calls) > 0 {
			d.Fields = ops.StateFields(d.Calls, d.Input)
		}
		if d.Kind == ListKind || d.Kind == MapKind {
			continue
		}
		if bits++; bits > 64 {
			return k, fmt.Errorf("an operator has at most 64 value states")
		}
		for _, f := range d.Fields {
			columns = append(columns, core.Field{Name: d.Name + "." + f.Name, Type: f.Type})
		}
		if d.TTL.After > 0 {
			columns = append(columns, core.Field{Name: d.Name + " until", Type: core.Of(core.Int64).Required()})
		}
	}
	t, err := tableOf(ctx.Tables.Table("keys", keys, columns))
	if err != nil {
		return k, err
	}
	k.table, k.cur.table = t, t
	k.present, k.id = t.Words(len(keys)+presentField, 0).Offset, t.Words(len(keys)+idField, 0).Offset
	from, to, _ := t.KeyGroups()
	k.from, k.nextID = from, make([]int64, to-from)
	field, bit := len(keys)+firstField, 0
	for i := range states {
		d := &states[i]
		if k.byName[d.Name] != nil {
			return k, fmt.Errorf("two states are named %q", d.Name)
		}
		if d.Kind == ListKind || d.Kind == MapKind {
			e, err := openEntries(ctx, k, d)
			if err != nil {
				return k, err
			}
			k.entries = append(k.entries, e)
			if d.Kind == ListKind {
				k.byName[d.Name] = &List{e}
			} else {
				k.byName[d.Name] = &Map{e}
			}
			continue
		}
		v := &Value{Cells: Cells{k: k, cur: &k.cur, cells: cellsOf(t, field, len(d.Fields)), first: field, present: k.present, bit: 1 << bit, value: true}, descriptor: d}
		field += len(d.Fields)
		bit++
		if d.TTL.After > 0 {
			v.until = t.Words(field, 0).Offset
			v.setTTL(ctx, d.TTL, &k.expiry[d.TTL.clock()])
			field++
		}
		k.values = append(k.values, v)
		switch d.Kind {
		case ReducingKind:
			k.byName[d.Name] = &Reducing{v}
		case AggregatingKind:
			a := &Aggregating{Value: v}
			if len(d.Calls) > 0 {
				if a.calls, err = ops.NewAccumulators(d.Calls, d.Input, t, v.first); err != nil {
					return k, err
				}
			}
			k.byName[d.Name] = a
		default:
			k.byName[d.Name] = v
		}
	}
	return k, k.restore()
}

// setTTL gives cells a time to live; e is where the timers of the table's rows are.
func (c *Cells) setTTL(ctx *core.OperatorContext, ttl TTL, e **expiry) {
	c.ttl, c.onRead, c.clock = core.Time(ttl.After.Microseconds()), ttl.OnRead, ttl.clock()
	if *e == nil {
		*e = newExpiry(ctx.Account)
	}
	c.expiry = *e
}

func tableOf(t core.KeyedTable, err error) (*state.Table, error) {
	if err != nil {
		return nil, err
	}
	s, ok := t.(*state.Table)
	if !ok {
		return nil, fmt.Errorf("its table is a %T", t)
	}
	return s, nil
}

// restore rebuilds what is not in the tables: timers of expiry, ids, and the chains of entries.
func (k *keyed) restore() error {
	var owners []owner
	err := k.table.Scan(func(slots []uint32) error {
		for _, s := range slots {
			k.seek(s)
			if id := int64(k.cur.row[k.id]); id != 0 {
				group := k.table.Group(s) - k.from
				k.nextID[group] = max(k.nextID[group], id&idMask)
				owners = append(owners, owner{id, s})
			}
			if err := k.noteValues(s); err != nil {
				return err
			}
		}
		return nil
	})
	k.leave()
	if err != nil {
		return err
	}
	slices.SortFunc(owners, func(a, b owner) int { return compare(a.id, b.id) })
	for _, e := range k.entries {
		if err := e.restore(owners); err != nil {
			return err
		}
	}
	return nil
}

// owner is a key that has an id.
type owner struct {
	id   int64
	slot uint32
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// noteValues sets the expiry timers of the current row's values.
func (k *keyed) noteValues(slot uint32) error {
	row := k.cur.row
	for _, v := range k.values {
		if v.ttl > 0 && row[k.present]&v.bit != 0 {
			if err := v.expiry.note(slot, core.Time(row[v.until])); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ids: the key group in the upper bits, so that they are unique in the job, and a number above it.
const (
	idBits = 48
	idMask = 1<<idBits - 1
)

// owned returns the id of the current key, giving it one if it has none.
func (k *keyed) owned() int64 {
	if id := int64(k.cur.row[k.id]); id != 0 {
		return id
	}
	k.cur.touch()
	group := k.table.Group(k.cur.slot())
	k.nextID[group-k.from]++
	id := int64(group)<<idBits | k.nextID[group-k.from]
	k.cur.row[k.id] = uint64(id)
	return id
}

// find turns the rows [from, to) of a batch, counted among the selected ones, into slots of k.slots, creating those that are not there.
func (k *keyed) find(keys []*core.Vector, hashes []uint64, sel []int32, from, to int) error {
	n := to - from
	k.slots, k.created = resize(k.slots, n), resize(k.created, n)
	var made int
	var err error
	if len(k.fields) > 0 {
		made, err = k.table.UpsertRange(keys, hashes, sel, from, to, k.slots, k.created)
	} else { // one key for the whole stream
		k.groups, k.hashes = resize(k.groups, n), resize(k.hashes, n)
		clear(k.groups)
		hash.Columns(nil, n, nil, k.hashes)
		made, err = k.table.UpsertGrouped(k.groups, nil, k.hashes, nil, n, k.slots, k.created)
	}
	if err != nil {
		return err
	}
	if made > 0 {
		for i, c := range k.created {
			if c {
				k.maybe = append(k.maybe, k.slots[i])
			}
		}
	}
	return nil
}

// load makes the key of a slot of the last find the current one; words are the table's, as of after the find.
func (k *keyed) load(words []uint64, stride int, slot uint32) {
	k.cur.row = words[int(slot)*stride:][:stride:stride]
	k.cur.one[0] = slot
	k.cur.serial++
}

// seek is load for a single slot.
func (k *keyed) seek(slot uint32) {
	c := k.table.Words(0, 0)
	k.load(c.Words, c.Stride, slot)
}

// leave says that there is no current key.
func (k *keyed) leave() {
	k.cur.row = k.noRow
	k.cur.one[0] = core.NoSlot
	k.cur.serial++
}

// empty reports whether a live slot holds no state.
func (k *keyed) empty(slot uint32, words []uint64, stride int) bool {
	if words[int(slot)*stride+k.present] != 0 {
		return false
	}
	for _, e := range k.entries {
		if e.count(slot) > 0 {
			return false
		}
	}
	return true
}

// tidy drops the keys that have no state any more. No key is current afterwards.
func (k *keyed) tidy() error {
	k.leave()
	if len(k.maybe) == 0 {
		return nil
	}
	c := k.table.Words(0, 0)
	gone := k.maybe[:0]
	for _, s := range k.maybe {
		if k.table.Live(s) && k.empty(s, c.Words, c.Stride) {
			gone = append(gone, s)
		}
	}
	slices.Sort(gone)
	gone = slices.Compact(gone)
	for _, s := range gone {
		for _, e := range k.expiry {
			if e != nil {
				e.forget(s)
			}
		}
	}
	err := k.table.Drop(gone)
	k.maybe = k.maybe[:0]
	return err
}

// sweep frees a bounded number of values and entries that have expired at limit, and reports whether there may be more.
func (k *keyed) sweep(clock clockKind, limit core.Time) (more bool, err error) {
	if e := k.expiry[clock]; e != nil {
		slots, m, err := e.pop(limit)
		if err != nil {
			return false, err
		}
		more = more || m
		for _, s := range slots {
			if !k.table.Live(s) {
				continue
			}
			k.seek(s)
			for _, v := range k.values {
				if v.ttl > 0 && v.clock == clock && k.cur.row[k.present]&v.bit != 0 && core.Time(k.cur.row[v.until]) <= limit {
					v.Clear()
				}
			}
			if err := k.noteValues(s); err != nil {
				return false, err
			}
		}
	}
	for _, e := range k.entries {
		if e.ttl > 0 && e.clock == clock {
			m, err := e.sweep(limit)
			if err != nil {
				return false, err
			}
			more = more || m
		}
	}
	return more, k.tidy()
}

// due returns when the first value or entry may expire by that clock.
func (k *keyed) due(clock clockKind) (at core.Time, ok bool) {
	look := func(e *expiry) {
		if e != nil {
			if t, some := e.queue.Next(); some && (!ok || t < at) {
				at, ok = t, true
			}
		}
	}
	look(k.expiry[clock])
	for _, e := range k.entries {
		if e.clock == clock {
			look(e.expiry)
		}
	}
	return at, ok
}

func (k *keyed) close() {
	for _, e := range k.expiry {
		if e != nil {
			e.close()
		}
	}
	for _, e := range k.entries {
		e.close()
	}
}

// resize returns a slice of length n, of undefined contents, in place if it fits.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, max(n, 2*cap(s)))
	}
	return s[:n]
}
