package window

import (
	"fmt"

	"turbo/core"
	"turbo/core/ops"
)

// speak makes the output of one firing of a window whose rows are kept, or that has a function: evict, aggregate, call the function.
func (b *buffer) speak(g *general, f speech) error {
	if !f.fire {
		return nil
	}
	w := g.window(f.slot)
	g.two[0] = f.slot
	if b == nil {
		if g.canPurge && *g.word(f.slot, g.flags)&flagFilled == 0 {
			return nil
		}
		return g.apply(f, w, nil)
	}
	if len(b.lists[f.slot]) == 0 {
		return nil
	}
	batch, times, err := b.load(f.slot)
	if err == nil {
		var all bool
		if all, err = b.evict(batch, times, w, true); err == nil && !all {
			batch, times, err = b.remove(f.slot, batch, times)
		}
	}
	if err == nil && batch.Len > 0 {
		err = g.apply(f, w, batch)
	}
	if err == nil && batch.Len > 0 && (g.config.Evictor.After || g.config.Evictor.Kind == CustomEvictor) {
		var all bool
		if all, err = b.evict(batch, times, w, false); err == nil && !all {
			batch, _, err = b.remove(f.slot, batch, times)
		}
	}
	batch.Release()
	return err
}

// load reads the rows of a window.
func (b *buffer) load(s uint32) (*core.Batch, []core.Time, error) {
	list := b.lists[s]
	input := b.g.ctx.Inputs[0]
	batch := core.NewBatch(b.g.ctx.Account, input)
	for c, f := range input.Fields {
		v := core.NewVector(b.g.ctx.Account, f.Type, len(list))
		batch.Columns = append(batch.Columns, v)
		if err := b.table.AppendValues(v, rowColumns+c, list); err != nil {
			return batch, nil, err
		}
	}
	batch.Len = len(list)
	at := b.table.Ints(rowTime)
	times := make([]core.Time, len(list))
	for i, r := range list {
		times[i] = core.Time(at.At(r))
	}
	return batch, times, nil
}

// apply makes the rows of one firing: the function's, or one. rows are the window's, nil when none are kept.
func (g *general) apply(f speech, w Window, rows *core.Batch) error {
	g.one[0] = f.slot
	slot := g.one[:]
	m := g.making()
	if g.config.Function == nil {
		if err := g.emitKeys(m, slot); err != nil {
			return err
		}
		if err := g.aggregate(m.Columns[g.firstCall():], slot, rows); err != nil {
			return err
		}
		m.Columns[len(m.Columns)-1].AppendString(f.kind)
		m.Len++
		if m.Len >= g.ctx.BatchRows {
			g.finishMade()
		}
		return nil
	}
	if g.function == nil {
		g.function = g.config.Function()
		for _, field := range g.ctx.Output.Fields {
			g.single = append(g.single, core.NewVector(g.ctx.Account, field.Type, 1))
		}
	}
	for _, v := range g.single {
		v.Reset()
	}
	one := core.Batch{Columns: g.single}
	if err := g.emitKeys(&one, slot); err != nil {
		return err
	}
	first := g.firstCall()
	calls := len(g.config.Calls)
	if err := g.aggregate(g.single[first:first+calls], slot, rows); err != nil {
		return err
	}
	out := m.Columns[first+calls : len(m.Columns)-1]
	c := Contents{Window: w, Kind: f.kind, Key: g.single[:g.keys], Rows: rows, Aggregates: g.single[first : first+calls]}
	if g.config.AggregatesOnly {
		c.Rows = nil
	}
	if err := g.call(&c, out); err != nil {
		return err
	}
	n := m.Len
	if len(out) > 0 {
		n = out[0].Len()
	}
	for i, v := range out {
		if v.Len() != n || n < m.Len {
			return core.Permanent(fmt.Errorf("the window's function appended %d values to column %s and %d to %s: it must append the same number to all",
				out[0].Len()-m.Len, g.config.FunctionColumns[0].Name, v.Len()-m.Len, g.config.FunctionColumns[i].Name))
		}
	}
	for ; m.Len < n; m.Len++ {
		for i, v := range g.single[:first+calls] {
			m.Columns[i].AppendRow(v, 0)
		}
		m.Columns[len(m.Columns)-1].AppendString(f.kind)
	}
	if m.Len >= g.ctx.BatchRows {
		g.finishMade()
	}
	return nil
}

func (g *general) call(c *Contents, out []*core.Vector) (err error) {
	defer g.guard(&err, "window function", c.Window, -1)
	return g.function.Apply(c, out)
}

// aggregate appends the results of the calls for one window: from its accumulators, or over the rows that are left.
func (g *general) aggregate(out []*core.Vector, slot []uint32, rows *core.Batch) error {
	if g.acc != nil {
		return g.acc.Emit(out, slot)
	}
	b := g.rows
	if b == nil || b.acc == nil {
		return nil
	}
	if err := b.scratch.Touch(b.slot); err != nil {
		return err
	}
	b.acc.Clear(b.slot)
	b.slots = fit(b.slots, rows.Len)
	for i := range b.slots {
		b.slots[i] = b.slot[0]
	}
	if err := b.acc.Update(rows.Columns, ops.Rows{Slots: b.slots, Distinct: b.slot}); err != nil {
		return err
	}
	return b.acc.Emit(out, b.slot)
}
