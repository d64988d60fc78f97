package ops

import (
	"fmt"

	"turbo/core"
	"turbo/state"
)

// Rows is a block of input rows with their slots: row i is Sel[i], or From+i when Sel is nil. Distinct are the slots among them, each at
// least once. Present says that the table's mark has made sums of arguments without nulls not null (see Accumulators.Mark).
type Rows struct {
	Slots    []uint32
	Sel      []int32
	From     int
	Distinct []uint32
	Present  bool
}

// Accumulators are the aggregates of a list of calls over fields of one table: running aggregates, windows and user functions share them.
// Slots have been announced to the table (Touch) before they are written.
type Accumulators struct {
	calls   []Call
	list    []accumulator
	fields  []int // of the table: the first one of each
	table   *state.Table
	present []bool
	counted int // the call that the table's mark counts, or -1
	columns []*core.Vector
}

// StateFields returns the table fields that calls need, in order.
func StateFields(calls []Call, input *core.Schema) []core.Field {
	var out []core.Field
	for _, c := range calls {
		out = append(out, c.stateFields(c.argumentType(input))...)
	}
	return out
}

func (c Call) argumentType(input *core.Schema) (t core.Type) {
	if c.Argument >= 0 {
		t = input.Fields[c.Argument].Type
	}
	return t
}

// NewAccumulators returns the accumulators of calls, whose fields (StateFields) begin at firstField of table; keys count.
func NewAccumulators(calls []Call, input *core.Schema, table *state.Table, firstField int) (*Accumulators, error) {
	a := &Accumulators{calls: calls, table: table, counted: -1, present: make([]bool, len(calls))}
	for _, c := range calls {
		t := c.argumentType(input)
		acc, err := c.accumulator(table, firstField, t)
		if err != nil {
			return nil, err
		}
		a.list, a.fields = append(a.list, acc), append(a.fields, firstField)
		firstField += len(c.stateFields(t))
	}
	return a, nil
}

// Mark returns what the table's TouchDistinct can do for the rows of a batch on its way through them: count for one COUNT, and make sums not null. The
// Update calls of this batch leave that out, for blocks with Present set.
func (a *Accumulators) Mark(columns []*core.Vector) (mark state.Mark) {
	a.counted = -1
	for i, c := range a.calls {
		a.present[i] = false
		if c.Argument >= 0 && columns[c.Argument].HasNulls() {
			continue
		}
		switch {
		case c.Function == Count && a.counted < 0:
			mark.Count(a.table, a.fields[i])
			a.counted = i
		case c.Function == Sum || c.Function == Avg:
			a.present[i] = mark.Present(a.table, a.fields[i])
		}
	}
	return mark
}

// Update adds rows, in order. columns are those of the batch.
func (a *Accumulators) Update(columns []*core.Vector, r Rows) error {
	block := rows{slots: r.Slots, sel: r.Sel, from: r.From, distinct: r.Distinct}
	for i, acc := range a.list {
		if r.Present && i == a.counted {
			continue
		}
		var argument *core.Vector
		if c := a.calls[i].Argument; c >= 0 {
			argument = columns[c]
		}
		block.present = r.Present && a.present[i]
		if err := acc.update(argument, block); err != nil {
			return fmt.Errorf("%s: %w", a.calls[i].Name, err)
		}
	}
	return nil
}

// Merge adds what the slots src of from hold to the slots dst, pair by pair in order: what came first is in dst. from are accumulators of the same
// calls, over this table or another one. A dst may repeat.
func (a *Accumulators) Merge(dst []uint32, from *Accumulators, src []uint32) error {
	for i := range a.list {
		if err := a.merge(i, dst, from, src, false); err != nil {
			return fmt.Errorf("%s: %w", a.calls[i].Name, err)
		}
	}
	return nil
}

// Invertible reports whether Unmerge can take back exactly what Merge has added.
func (a *Accumulators) Invertible() bool {
	for i, c := range a.calls {
		kind := a.table.Fields()[a.fields[i]].Type.Kind
		if c.Function != Count && (c.Function != Sum && c.Function != Avg || kind == core.Float32 || kind == core.Float64) {
			return false
		}
	}
	return true
}

// Unmerge takes back what Merge has added, for accumulators that are Invertible. A sum stays not null when only nulls are left: the caller knows when that is.
func (a *Accumulators) Unmerge(dst []uint32, from *Accumulators, src []uint32) error {
	for i := range a.list {
		if err := a.merge(i, dst, from, src, true); err != nil {
			return fmt.Errorf("%s: %w", a.calls[i].Name, err)
		}
	}
	return nil
}

// Clear makes slots as those of new rows.
func (a *Accumulators) Clear(slots []uint32) {
	for i := range a.list {
		for f := a.fields[i]; f < a.end(i); f++ {
			clearField(a.table, f, slots)
		}
	}
}

func (a *Accumulators) end(i int) int {
	if i+1 < len(a.fields) {
		return a.fields[i+1]
	}
	return a.fields[i] + a.width(i)
}

func (a *Accumulators) width(i int) int {
	if a.calls[i].Function == Avg {
		return 2
	}
	return 1
}

func clearField(t *state.Table, field int, slots []uint32) {
	f := t.Fields()[field]
	if f.Type.Kind.Width() == 0 {
		for _, s := range slots {
			t.SetNull(s, field)
		}
		return
	}
	w := t.Words(field, 0)
	for _, s := range slots {
		w.Set(s, 0)
	}
	if f.Type.Kind == core.Decimal {
		w = t.Words(field, 1)
		for _, s := range slots {
			w.Set(s, 0)
		}
	}
	if !f.Type.NotNull {
		v := t.Validity(field)
		for _, s := range slots {
			v.SetNull(s)
		}
	}
}

// Emit appends the results of slots, one column a call.
func (a *Accumulators) Emit(out []*core.Vector, slots []uint32) error {
	for i, acc := range a.list {
		if err := acc.emit(out[i], slots); err != nil {
			return fmt.Errorf("%s: %w", a.calls[i].Name, err)
		}
	}
	return nil
}
