package ops

import (
	"fmt"
	"slices"
	"strings"

	"turbo/core"
	"turbo/state"
)

// Aggregates over a changelog: rows that replace others take them back. Each row of a block is a state by itself, which is added to its key's or taken from it; a key without
// rows is forgotten, and its result withdrawn.

// CheckChangelog reports why a function over an argument cannot take rows back, as aggregates over a changelog must.
func (f Function) CheckChangelog(argument core.Type) error {
	spec := f.spec()
	if spec.multiset != nil || spec.retracts != nil && spec.retracts(argument) {
		return nil
	}
	switch f {
	case Sum, Avg:
		return fmt.Errorf("%v of %v cannot take rows back exactly: CAST the argument to DECIMAL", f, argument.Optional())
	case ApproxCountDistinct:
		return fmt.Errorf("%v cannot take rows back: use COUNT(DISTINCT x)", f)
	}
	var can []string
	for i, s := range specs() {
		if i != int(CountDistinct) && (s.multiset != nil || s.retracts != nil && s.retracts(core.Of(core.Int64))) {
			can = append(can, s.Name)
		}
	}
	return fmt.Errorf("%v cannot take rows back; %s can", f, strings.Join(can, ", "))
}

// changelog is what an Aggregate over a changelog has beyond others.
type changelog struct {
	running *Running
	rows    int // the table's field: rows of the key
	scratch *state.Table
	states  *Accumulators // in scratch: of one row each
	slots   []uint32      // of scratch

	kinds []core.RowKind // of the output
	there []uint32       // slots that had rows before
	picks []int32
	// What is added and what is taken back: the slots of the table and of scratch.
	to, from [2][]uint32
}

// overChangelog returns the calls as they are computed over a changelog.
func (c *AggregateConfig) overChangelog(input *core.Schema) ([]Call, error) {
	calls := slices.Clone(c.Calls)
	for i := range calls {
		if err := calls[i].Function.CheckChangelog(calls[i].argument(input)); err != nil {
			return nil, fmt.Errorf("aggregate %s: the input is a changelog, and %w", calls[i].Name, err)
		}
		calls[i].multiset = calls[i].Function.spec().multiset != nil
	}
	return calls, nil
}

// openChangelog opens the table of an aggregate over a changelog.
func (a *Aggregate) openChangelog(keys []core.Field) error {
	input := a.ctx.Inputs[0]
	calls, err := a.config.overChangelog(input)
	if err != nil {
		return err
	}
	values := append(RunningFields(calls, input), core.Field{Name: "rows", Type: core.Of(core.Int64).Required()})
	if err := a.openTable(keys, values); err != nil {
		return err
	}
	c := &changelog{rows: len(keys) + len(values) - 1}
	a.changelog = c
	if c.running, err = NewRunning(calls, input, a.table, len(keys)); err != nil {
		return err
	}
	a.accumulators = c.running.Accumulators
	c.scratch, err = state.New(state.Options{Operator: a.ctx.ID, Table: "rows of a batch", Values: StateFields(calls, input), Account: a.ctx.Account, KeyGroups: 1, To: 1, Bag: true})
	if err != nil {
		return err
	}
	c.states, err = NewAccumulators(calls, input, c.scratch, 0)
	return err
}

func (c *changelog) close() {
	if c.scratch != nil {
		c.scratch.Close()
	}
}

// prepare makes room for the states of n rows.
func (c *changelog) prepare(n int) error {
	more := n - len(c.slots)
	if more <= 0 {
		return nil
	}
	made := make([]uint32, more)
	if _, err := c.scratch.Insert(make([]int32, more), more, made); err != nil {
		return err
	}
	c.slots = append(c.slots, made...)
	return nil
}

// change adds the selected rows [from, to), or takes them back, and fills made with what that comes to for each changed key.
func (a *Aggregate) change(b *core.Batch, hashes []uint64, from, to int, made *core.Batch) error {
	c := a.changelog
	if err := a.table.BeginDistinct(); err != nil {
		return err
	}
	if _, err := a.upsert(b, hashes, from, to); err != nil {
		return err
	}
	slots := a.slots[from:to]
	changed, err := a.table.TouchDistinct(slots, from, a.distinct[:to-from], a.first[:to-from], state.Mark{})
	if err != nil {
		return err
	}
	distinct, first := a.distinct[:changed], a.first[:changed]
	for i, at := range first {
		first[i] = int32(b.Row(int(at)))
	}
	// What was there before.
	rows := a.table.Ints(c.rows)
	c.there, a.rowOf = c.there[:0], a.rowOf[:0]
	for i, s := range distinct {
		if rows.At(s) > 0 {
			c.there, a.rowOf = append(c.there, s), append(a.rowOf, first[i])
		}
	}
	old := a.pool.Get()
	defer old.Release()
	if err := a.fill(b, old, c.there, a.rowOf, len(c.there)); err != nil {
		return err
	}
	if err := a.apply(b, slots, from); err != nil {
		return err
	}
	// Withdraw it, or what is to be replaced.
	c.picks = c.picks[:0]
	for i, s := range c.there {
		switch {
		case rows.At(s) <= 0:
			c.kinds = append(c.kinds, core.Delete)
		case a.config.Before:
			c.kinds = append(c.kinds, core.UpdateBefore)
		default:
			continue
		}
		c.picks = append(c.picks, int32(i))
	}
	for i, v := range old.Columns {
		made.Columns[i].AppendSelected(v, c.picks)
	}
	a.updates, a.rowOf = a.updates[:0], a.rowOf[:0]
	gone := c.to[0][:0]
	next := 0
	for i, s := range distinct {
		was := next < len(c.there) && c.there[next] == s
		if was {
			next++
		}
		if rows.At(s) <= 0 {
			gone = append(gone, s)
			continue
		}
		kind := core.Insert
		if was {
			kind = core.UpdateAfter
		}
		c.kinds = append(c.kinds, kind)
		a.updates, a.rowOf = append(a.updates, s), append(a.rowOf, first[i])
	}
	if err := a.fill(b, made, a.updates, a.rowOf, len(c.kinds)); err != nil {
		return err
	}
	c.to[0] = gone
	return a.table.Drop(gone)
}

// apply brings the rows that slots belong to into their keys' states: those that are added first, since sums may overflow without them.
func (a *Aggregate) apply(b *core.Batch, slots []uint32, from int) error {
	c := a.changelog
	n := len(slots)
	if err := c.prepare(n); err != nil {
		return err
	}
	block := Rows{Slots: c.slots[:n], From: from, Distinct: c.slots[:n]}
	if b.Sel != nil {
		block.Sel = b.Sel[from : from+n]
	}
	for i := range c.to {
		c.to[i], c.from[i] = c.to[i][:0], c.from[i][:0]
	}
	rows := a.table.Ints(c.rows)
	for i, s := range slots {
		back, more := 0, int64(1)
		if k := b.Kind(b.Row(from + i)); k == core.UpdateBefore || k == core.Delete {
			back, more = 1, -1
		}
		rows.Set(s, rows.At(s)+more)
		c.to[back], c.from[back] = append(c.to[back], s), append(c.from[back], c.slots[i])
	}
	err := c.states.Update(b.Columns, block)
	if err == nil {
		err = c.running.Add(c.to[0], c.states, c.from[0], true)
	}
	if err == nil {
		err = c.running.Retract(c.to[1], c.states, c.from[1], true)
	}
	c.states.Clear(block.Slots)
	return err
}

// changes adds a batch of a changelog and fills made.
func (a *Aggregate) changes(b *core.Batch, n int, hashes []uint64, made *core.Batch) error {
	c := a.changelog
	c.kinds = c.kinds[:0]
	step := n
	if a.config.EveryRow {
		step = 1
	}
	for from := 0; from < n; from += step {
		if err := a.change(b, hashes, from, min(from+step, n), made); err != nil {
			return err
		}
	}
	copy(made.MakeKinds(len(c.kinds)), c.kinds)
	return nil
}
