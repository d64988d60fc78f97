package timers

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/memory"
)

// Table is what a Service needs of the tables that its factory makes, beyond core.KeyedTable.
type Table interface {
	core.KeyedTable
	// UpsertGrouped is Upsert with the key group of each physical row given.
	UpsertGrouped(groups []int32, keys []*core.Vector, hashes []uint64, sel []int32, n int, slots []uint32, created []bool) (int, error)
	// Scan visits all live slots in pieces.
	Scan(visit func(slots []uint32) error) error
	// Live reports whether slot holds a row.
	Live(slot uint32) bool
	// AppendValues appends a field (keys are counted first) of slots to v.
	AppendValues(v *core.Vector, field int, slots []uint32) error
}

// Service keeps timers that are part of the checkpoint: a set of (key group, time, namespace), where the namespace is any columns (a key, a window's end, or
// none). They are the keys of a table without values, so they are divided and restored by key group like all state. Over it
// stands a Queue of slots, which is filled from the table when the job starts. One worker owns it.
type Service struct {
	table   Table
	queue   *Queue
	account *memory.Account
	keys    []*core.Vector // group, time: scratch
	fields  []core.Field
	hashes  []uint64
	slots   []uint32
	created []bool
	entries []Entry
}

// batchTimers is how many timers go through the table at a time.
const batchTimers = 1024

// NewService opens the timers of that name with the given namespace columns, restored if the job is. account pays for the queue.
func NewService(tables core.TableFactory, account *memory.Account, name string, namespace []core.Field) (*Service, error) {
	fields := append([]core.Field{
		{Name: "key group", Type: core.Of(core.Int32).Required()},
		{Name: "time", Type: core.Of(core.Int64).Required()},
	}, namespace...)
	keyed, err := tables.Table(name, fields, nil)
	if err != nil {
		return nil, err
	}
	t, ok := keyed.(Table)
	if !ok {
		return nil, fmt.Errorf("timers: a table of type %T cannot hold timers", keyed)
	}
	s := &Service{table: t, queue: NewQueue(account), account: account, fields: fields, entries: make([]Entry, batchTimers)}
	for _, f := range fields[:2] {
		s.keys = append(s.keys, core.NewVector(account, f.Type, batchTimers))
	}
	return s, t.Scan(func(slots []uint32) error {
		times := core.NewVector(account, fields[1].Type, len(slots))
		defer times.Release()
		if err := t.AppendValues(times, 1, slots); err != nil {
			return err
		}
		return s.queue.PushSlots(asTimes(times), slots)
	})
}

func asTimes(v *core.Vector) []core.Time { return core.Values[core.Time](v) }

// Len returns the number of timers.
func (s *Service) Len() int { return s.table.Len() }

// Next returns a time before which no timer is due, or false when there is none. Deleted timers may count.
func (s *Service) Next() (core.Time, bool) { return s.queue.Next() }

// Register sets the timers (groups[i], times[i], row i of namespace) that are not set yet.
func (s *Service) Register(groups []int32, times []core.Time, namespace []*core.Vector) error {
	return s.find(groups, times, namespace, func() error {
		if _, err := s.table.UpsertGrouped(groups, s.keys, s.hashes, nil, len(groups), s.slots, s.created); err != nil {
			return err
		}
		for i, slot := range s.slots {
			if s.created[i] {
				if err := s.queue.Push(Entry{times[i], uint64(slot)}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Delete removes the timers that are set; the others are ignored.
func (s *Service) Delete(groups []int32, times []core.Time, namespace []*core.Vector) error {
	return s.find(groups, times, namespace, func() error {
		if err := s.table.Lookup(s.keys, s.hashes, nil, len(groups), s.slots); err != nil {
			return err
		}
		slices.Sort(s.slots)
		s.slots = slices.Compact(s.slots)
		if n := len(s.slots); n > 0 && s.slots[n-1] == core.NoSlot {
			s.slots = s.slots[:n-1]
		}
		return s.table.Drop(s.slots) // the queue's entries find the row gone
	})
}

// find prepares keys, hashes and room for all rows.
func (s *Service) find(groups []int32, times []core.Time, namespace []*core.Vector, do func() error) error {
	n := len(groups)
	s.keys = s.keys[:2]
	s.keys[0].Reset()
	s.keys[1].Reset()
	s.keys[0].Extend(n)
	s.keys[1].Extend(n)
	copy(s.keys[0].Int32s(), groups)
	copy(asTimes(s.keys[1]), times[:n])
	s.keys = append(s.keys, namespace...)
	s.hashes = slices.Grow(s.hashes[:0], n)[:n]
	s.slots = slices.Grow(s.slots[:0], n)[:n]
	s.created = slices.Grow(s.created[:0], n)[:n]
	hash.Columns(s.keys, n, nil, s.hashes)
	err := do()
	clear(s.keys[2:])
	s.keys = s.keys[:2]
	return err
}

// Fired is a batch of timers that are due: parallel columns, in the order of time.
type Fired struct {
	Groups    *core.Vector // INT
	Times     *core.Vector // BIGINT, microseconds
	Namespace []*core.Vector
}

// Len returns the number of timers.
func (f *Fired) Len() int { return f.Times.Len() }

// Release frees the columns.
func (f *Fired) Release() {
	f.Groups.Release()
	f.Times.Release()
	for _, v := range f.Namespace {
		v.Release()
	}
}

// Fire takes up to about a thousand timers due at now from the service and returns them; the caller releases them. When there
// are none it returns nil.
func (s *Service) Fire(now core.Time) (*Fired, error) {
	for {
		n, err := s.queue.Pop(now, s.entries)
		if err != nil || n == 0 {
			return nil, err
		}
		s.slots = s.slots[:0]
		for _, e := range s.entries[:n] {
			if s.table.Live(uint32(e.Ref)) {
				s.slots = append(s.slots, uint32(e.Ref))
			}
		}
		f, err := s.take(now)
		if err != nil || f != nil {
			return f, err
		}
	}
}

// take reads the rows of s.slots whose time has come and drops them. A slot may hold another timer by now than the entry that led
// here was made for, and may then be there twice.
func (s *Service) take(now core.Time) (*Fired, error) {
	if len(s.slots) == 0 {
		return nil, nil
	}
	times := core.NewVector(s.account, s.fields[1].Type, len(s.slots))
	err := s.table.AppendValues(times, 1, s.slots)
	type due struct {
		time core.Time
		slot uint32
	}
	var list []due
	for i, t := range asTimes(times) {
		if t <= now {
			list = append(list, due{t, s.slots[i]})
		}
	}
	times.Release()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b due) int {
		switch {
		case a.time != b.time:
			if a.time < b.time {
				return -1
			}
			return 1
		default:
			return int(int64(a.slot) - int64(b.slot))
		}
	})
	list = slices.Compact(list)
	if len(list) == 0 {
		return nil, nil
	}
	s.slots = s.slots[:0]
	for _, d := range list {
		s.slots = append(s.slots, d.slot)
	}
	f := &Fired{}
	var columns []*core.Vector
	for i, field := range s.fields {
		v := core.NewVector(s.account, field.Type, len(s.slots))
		columns = append(columns, v)
		if e := s.table.AppendValues(v, i, s.slots); e != nil {
			err = e
		}
	}
	f.Groups, f.Times, f.Namespace = columns[0], columns[1], columns[2:]
	if err == nil {
		err = s.table.Drop(s.slots)
	}
	if err != nil {
		f.Release()
		return nil, err
	}
	return f, nil
}

// Close gives the queue's memory back; the table is its factory's.
func (s *Service) Close() {
	s.queue.Clear()
	for _, v := range s.keys[:2] {
		v.Release()
	}
	s.keys = nil
}
