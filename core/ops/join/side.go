package join

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/memory"
	"turbo/state"
)

// side is the rows of one input that a join keeps: a bag with the columns that are needed, and beside it, by slot, what is derived from them.
type side struct {
	schema   *core.Schema
	keys     []int
	time     int   // input column, or -1
	columns  []int // input columns that are kept: fields 0, 1, ... of the bag
	field    []int // by input column: its field of the bag, or -1
	extra    int   // the first field behind the columns
	table    *state.Table
	nodes    []node
	values   []*core.Vector // scratch of insert
	account  *memory.Account
	reserved int64
}

// node is a kept row in the chain of its key.
type node struct {
	time int64  // event time; freed: no row
	next uint32 // slot + 1; 0: the last
	prev uint32 // slot; with headMark: the key's slot, this is the first
}

const (
	freed     = int64(core.MinTime)
	headMark  = 1 << 31
	nodeBytes = 16
)

// newSide opens the bag `name`; needed are the input columns to keep besides the keys and the time column.
func newSide(ctx *core.OperatorContext, name string, schema *core.Schema, keys []int, needed []int, extra ...core.Field) (*side, error) {
	s := &side{schema: schema, keys: keys, time: schema.TimeColumn, account: ctx.Account, field: make([]int, len(schema.Fields))}
	s.columns = append(append(s.columns, keys...), needed...)
	if s.time >= 0 {
		s.columns = append(s.columns, s.time)
	}
	slices.Sort(s.columns)
	s.columns = slices.Compact(s.columns)
	for i := range s.field {
		s.field[i] = -1
	}
	var fields []core.Field
	for i, c := range s.columns {
		s.field[c] = i
		fields = append(fields, schema.Fields[c])
	}
	s.extra = len(fields)
	bags, ok := ctx.Tables.(state.Bags)
	if !ok {
		return nil, fmt.Errorf("join: tables of type %T have no bags", ctx.Tables)
	}
	var err error
	s.table, err = bags.Bag(name, append(fields, extra...))
	return s, err
}

func (s *side) close() {
	s.account.Unreserve(s.reserved)
	s.reserved, s.nodes = 0, nil
}

// room makes nodes for all slots.
func (s *side) room(slots []uint32) error {
	top := uint32(0)
	for _, x := range slots {
		top = max(top, x)
	}
	if int(top) < len(s.nodes) {
		return nil
	}
	if top >= headMark {
		return fmt.Errorf("join: more than %d rows are kept on one worker", headMark)
	}
	size := max(1024, int(top)+1+len(s.nodes)/2)
	more := int64(size-len(s.nodes)) * nodeBytes
	if err := s.account.Reserve(more); err != nil {
		return err
	}
	s.reserved += more
	fresh := make([]node, size)
	copy(fresh, s.nodes)
	for i := len(s.nodes); i < size; i++ {
		fresh[i].time = freed
	}
	s.nodes = fresh
	return nil
}

// keepNodes is how many nodes an empty side keeps.
const keepNodes = 1 << 16

// drop removes rows. They are out of their chains.
func (s *side) drop(slots []uint32) error {
	for _, x := range slots {
		s.nodes[x].time = freed
	}
	if err := s.table.Drop(slots); err != nil {
		return err
	}
	if s.table.Len() == 0 && len(s.nodes) > keepNodes {
		s.close()
	}
	return nil
}

// insert keeps rows of b (physical ones; nil: all n), with their key groups, and gives their slots.
func (s *side) insert(b *core.Batch, rows []int32, n int, groups []int32, slots []uint32) error {
	s.values = s.values[:0]
	for _, c := range s.columns {
		s.values = append(s.values, b.Columns[c])
	}
	if _, err := s.table.InsertColumns(groups, n, slots, s.values, rows); err != nil {
		return err
	}
	return s.room(slots[:n])
}

// times gives the event times of slots, from the table.
func (s *side) times(slots []uint32, visit func(slot uint32, t int64)) {
	if s.time < 0 {
		return
	}
	column, shift := s.table.Ints(s.field[s.time]), s.schema.TimeShift
	for _, x := range slots {
		visit(x, column.At(x)+shift)
	}
}

// hashes returns the key hashes of a batch by physical row: its own, or computed into scratch.
func (s *side) hashes(b *core.Batch, keys []*core.Vector, scratch []uint64) (hashes, kept []uint64) {
	if b.Hashes != nil && len(keys) > 0 {
		return b.Hashes, scratch
	}
	scratch = resize(scratch, b.Len)
	hash.Columns(keys, b.Len, b.Sel, scratch)
	return scratch, scratch
}

// resize returns a slice of length n, of undefined contents, in place if it fits.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
