package window

import (
	"math"
	"slices"

	"turbo/core"
	"turbo/core/ops"
	"turbo/state"
)

// buffer keeps the rows of windows, for evictors and functions: a bag of rows with the window's id, the order of arrival, the time and the input's columns.
// Lists in memory lead from a window to its rows. A nil buffer serves functions that look at aggregates only.
type buffer struct {
	g        *general
	table    *state.Table
	lists    [][]uint32 // by window slot, in the order of arrival
	sequence int64
	reserved int64
	evictor  Evictor
	slots    []uint32
	groups   []int32
	// aggregates over rows that are left: one row of a table of its own
	scratch    *state.Table
	acc        *ops.Accumulators
	slot       []uint32
	keep       []bool
	selected   []int32
	aggregates []*core.Vector
}

// Fields of the bag.
const (
	rowWindow = iota
	rowSequence
	rowTime
	rowColumns
)

func newBuffer(g *general, bags state.Bags, input *core.Schema) (*buffer, error) {
	b := &buffer{g: g}
	bigint := core.Of(core.Int64).Required()
	fields := []core.Field{{Name: "window", Type: bigint}, {Name: "sequence", Type: bigint}, {Name: "time", Type: bigint}}
	for _, f := range input.Fields {
		fields = append(fields, core.Field{Name: "row " + f.Name, Type: f.Type})
	}
	var err error
	if b.table, err = bags.Bag("rows", fields); err != nil {
		return nil, err
	}
	if g.config.Evictor.Kind == CustomEvictor {
		b.evictor = g.config.Evictor.Custom()
	}
	if g.acc == nil && len(g.config.Calls) > 0 {
		b.scratch, err = state.New(state.Options{Operator: g.ctx.ID, Table: "aggregates of rows", Values: ops.StateFields(g.config.Calls, input),
			Account: g.ctx.Account, KeyGroups: 1, From: 0, To: 1, Bag: true})
		if err != nil {
			return nil, err
		}
		b.slot = make([]uint32, 1)
		if _, err = b.scratch.Insert([]int32{0}, 1, b.slot); err != nil {
			return nil, err
		}
		b.acc, err = ops.NewAccumulators(g.config.Calls, input, b.scratch, 0)
	}
	return b, err
}

// adopt makes room for the list of a window that is new in memory.
func (b *buffer) adopt(s uint32) (err error) {
	b.lists, err = grow(b.g.chains, b.lists, int(s), 24, nil)
	return err
}

// restore gives the rows of the table to their windows.
func (b *buffer) restore(windows map[int64]uint32) error {
	err := b.table.Scan(func(slots []uint32) error {
		ids, sequences := b.table.Ints(rowWindow), b.table.Ints(rowSequence)
		for _, r := range slots {
			s, ok := windows[ids.At(r)]
			if !ok {
				continue // cannot be: rows go with their window
			}
			b.lists[s] = append(b.lists[s], r)
			b.sequence = max(b.sequence, sequences.At(r)+1)
		}
		return b.reserve(len(slots))
	})
	for _, list := range b.lists {
		b.sort(list)
	}
	return err
}

func (b *buffer) sort(list []uint32) {
	sequences := b.table.Ints(rowSequence)
	slices.SortFunc(list, func(x, y uint32) int {
		if sequences.At(x) < sequences.At(y) {
			return -1
		}
		return 1
	})
}

// reserve accounts for entries of lists.
func (b *buffer) reserve(n int) error {
	bytes := int64(n) * 8
	if err := b.g.ctx.Account.Reserve(bytes); err != nil {
		return err
	}
	b.reserved += bytes
	return nil
}

// append keeps rows of the batch at hand.
func (b *buffer) append(windows []uint32, rows []int32) error {
	g := b.g
	n := len(windows)
	if err := b.reserve(n); err != nil {
		return err
	}
	b.slots, b.groups = fit(b.slots, n), fit(b.groups, n)
	for i, s := range windows {
		b.groups[i] = int32(g.table.Group(s))
	}
	if n == 1 {
		b.groups = b.groups[:1]
	}
	if _, err := b.table.Insert(b.groups, n, b.slots); err != nil {
		return err
	}
	ids, times, sequences := b.table.Ints(rowWindow), b.table.Ints(rowTime), b.table.Ints(rowSequence)
	of := g.table.Ints(g.idField)
	for i, s := range windows {
		r := b.slots[i]
		ids.Set(r, of.At(s))
		times.Set(r, int64(g.timeOf(rows[i])))
		sequences.Set(r, b.sequence)
		b.sequence++
		b.lists[s] = append(b.lists[s], r)
	}
	for c, v := range g.batch.Columns {
		if err := b.table.SetColumn(rowColumns+c, b.slots, v, rows, 0); err != nil {
			return err
		}
	}
	return nil
}

// timeOf is the time of a row of the batch at hand, MinTime when it has none.
func (g *general) timeOf(row int32) core.Time {
	switch {
	case g.config.ProcessingTime:
		return g.clockNow
	case g.time < 0 || g.batch.Columns[g.time].Null(int(row)):
		return core.MinTime
	}
	return core.Time(g.batch.Columns[g.time].Int64s()[row] + int64(g.shift))
}

// purge drops the rows of a window.
func (b *buffer) purge(s uint32) error {
	if len(b.lists[s]) == 0 {
		return nil
	}
	err := b.table.Drop(b.lists[s])
	b.unreserve(len(b.lists[s]))
	b.lists[s] = nil
	return err
}

func (b *buffer) unreserve(n int) {
	b.g.ctx.Account.Unreserve(int64(n) * 8)
	b.reserved -= int64(n) * 8
}

// merge moves the rows of window from to window into.
func (b *buffer) merge(into, from uint32) error {
	if err := b.table.Touch(b.lists[from]); err != nil {
		return err
	}
	ids := b.table.Ints(rowWindow)
	id := b.g.table.Ints(b.g.idField).At(into)
	for _, r := range b.lists[from] {
		ids.Set(r, id)
	}
	b.lists[into] = append(b.lists[into], b.lists[from]...)
	b.lists[from] = nil
	b.sort(b.lists[into])
	return nil
}

func (b *buffer) close() {
	if b.scratch != nil {
		b.scratch.Close()
	}
	for _, v := range b.aggregates {
		v.Release()
	}
	b.g.ctx.Account.Unreserve(b.reserved)
	b.reserved = 0
}

// evict finds the rows that stay, and reports whether all do. rows is the window's list, batch its rows.
func (b *buffer) evict(batch *core.Batch, times []core.Time, w Window, before bool) (bool, error) {
	e := &b.g.config.Evictor
	n := batch.Len
	b.keep = fit(b.keep, n)
	for i := range b.keep {
		b.keep[i] = true
	}
	if e.Kind == NoEvictor || n == 0 || e.Kind != CustomEvictor && before == e.After {
		return true, nil
	}
	switch e.Kind {
	case EvictByCount:
		for i := range max(0, n-int(min(e.Count, math.MaxInt32))) {
			b.keep[i] = false
		}
	case EvictByTime:
		limit := slices.Max(times)
		if limit > core.MinTime+core.Time(e.Span) {
			limit -= core.Time(e.Span)
			for i, t := range times {
				b.keep[i] = t > limit
			}
		}
	case EvictByDelta:
		v := batch.Columns[e.Column]
		if v.Null(n - 1) {
			break
		}
		last := numberAt(v, n-1)
		for i := range b.keep {
			b.keep[i] = v.Null(i) || math.Abs(numberAt(v, i)-last) < e.Threshold
		}
	case CustomEvictor:
		if err := b.evictCustom(batch, times, w, before); err != nil {
			return false, err
		}
	}
	for _, k := range b.keep {
		if !k {
			return false, nil
		}
	}
	return true, nil
}

func (b *buffer) evictCustom(batch *core.Batch, times []core.Time, w Window, before bool) (err error) {
	defer b.g.guard(&err, "evictor", w, -1)
	return b.evictor.Evict(batch, times, w, before, b.keep)
}

// remove drops the rows of a window that do not stay, from the table, the list, and batch and times.
func (b *buffer) remove(s uint32, batch *core.Batch, times []core.Time) (*core.Batch, []core.Time, error) {
	list := b.lists[s]
	b.selected, b.slots = b.selected[:0], b.slots[:0]
	n := 0
	for i, r := range list {
		if b.keep[i] {
			list[n], times[n] = r, times[i]
			n++
			b.selected = append(b.selected, int32(i))
		} else {
			b.slots = append(b.slots, r)
		}
	}
	b.lists[s] = list[:n]
	b.unreserve(len(b.slots))
	if err := b.table.Drop(b.slots); err != nil {
		return batch, times, err
	}
	kept := core.NewBatch(b.g.ctx.Account, batch.Schema)
	for _, v := range batch.Columns {
		k := core.NewVector(b.g.ctx.Account, v.Type, n)
		k.AppendSelected(v, b.selected)
		kept.Columns = append(kept.Columns, k)
	}
	kept.Len = n
	batch.Release()
	return kept, times[:n], nil
}
