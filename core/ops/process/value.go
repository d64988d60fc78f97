package process

import (
	"fmt"

	"turbo/core"
	"turbo/core/ops"
	"turbo/state"
)

// Value is a value state: one row of fields for each key. Its methods are about the current key. It is also the accumulator of reducing
// and aggregating states.
type Value struct {
	Cells
	descriptor *Descriptor
}

// Present reports whether the current key has a value that has not expired.
func (v *Value) Present() bool { return v.see(v.cur.row) }

// Clear removes the value; when nothing else is left of the key, its memory is freed after the batch.
func (v *Value) Clear() {
	row := v.cur.row
	if len(row) == 0 {
		panic(ErrNoKey)
	}
	if row[v.present]&v.bit == 0 {
		return
	}
	v.cur.touch()
	v.reset()
	row[v.present] &^= v.bit
	v.open = 0
	v.k.maybe = append(v.k.maybe, v.cur.slot())
}

// Set makes the value present without changing its fields: for a state whose presence alone says something.
func (v *Value) Set() { v.begin() }

// Reducing is a state that folds rows into one.
type Reducing struct{ *Value }

// Add folds in, whose columns are the state's fields, into the value.
func (r *Reducing) Add(in Row) error {
	if !r.Present() {
		r.SetRow(in)
		return nil
	}
	r.begin()
	return r.descriptor.Reduce(r.Value, in)
}

// Aggregating is a state that rows are added to, and that has a result.
type Aggregating struct {
	*Value
	calls *ops.Accumulators // nil: the descriptor's functions
	sel   [1]int32
}

// Add adds a row: of the descriptor's Input when the state is made of Calls, else of any schema.
func (a *Aggregating) Add(in Row) error {
	if a.calls != nil {
		a.begin()
		a.sel[0] = int32(in.row)
		return a.calls.Update(in.batch.Columns, ops.Rows{Slots: a.cur.one[:], Sel: a.sel[:], Distinct: a.cur.one[:]})
	}
	if err := a.descriptor.Add(a.Value, in); err != nil {
		return err
	}
	a.begin() // it counts as written, also when the function changed nothing
	return nil
}

// AddBlock adds the rows of a block: the batch form, of states made of Calls.
func (a *Aggregating) AddBlock(in *Block) error {
	if a.calls == nil {
		return fmt.Errorf("aggregating state %q: it is not made of Calls", a.descriptor.Name)
	}
	if err := a.Begin(in.Slots); err != nil {
		return err
	}
	return a.calls.Update(in.Batch.Columns, ops.Rows{Slots: in.Slots, Sel: in.Sel(), From: in.From, Distinct: in.Slots})
}

// Result emits the result: by the descriptor's Result, or one column a call (or a field) to the columns of out from `first` on. The row is the
// caller's to end.
func (a *Aggregating) Result(out *Output, first int) error {
	switch {
	case a.descriptor.Result != nil:
		return a.descriptor.Result(a.Value, out)
	case a.calls != nil:
		if !a.Present() {
			a.Clear() // what has expired; the fields of an absent value are those of no rows
		}
		return a.calls.Emit(out.all()[first:first+len(a.descriptor.Calls)], a.cur.one[:])
	}
	for f := range a.cells {
		a.AppendTo(out.column(first+f), f)
	}
	return nil
}

// Begin prepares the value for writing at each slot of a block, which may repeat: the batch form. Values that are absent or have expired are
// there afterwards, with fields that are null (or zero when NOT NULL). Then the fields may be written through Ints, Floats and Table.
func (v *Value) Begin(slots []uint32) error {
	t := v.cur.table
	if err := t.Touch(slots); err != nil {
		return err
	}
	c := t.Words(0, 0)
	if v.ttl == 0 {
		for _, s := range slots {
			c.Words[int(s)*c.Stride+v.present] |= v.bit
		}
		return nil
	}
	defer v.k.leave()
	for _, s := range slots {
		v.k.load(c.Words, c.Stride, s)
		v.cur.touched = v.cur.serial
		v.begin()
	}
	return nil
}

// Visible reports for each slot of a block whether its value is present and has not expired.
func (v *Value) Visible(slots []uint32, out []bool) {
	c := v.cur.table.Words(0, 0)
	now := v.k.now[v.clock]
	for i, s := range slots {
		row := c.Words[int(s)*c.Stride:]
		out[i] = row[v.present]&v.bit != 0 && (v.ttl == 0 || core.Time(row[v.until]) > now)
	}
}

// ClearAll removes the value at each slot of a block, which may repeat.
func (v *Value) ClearAll(slots []uint32) {
	defer v.k.leave()
	c := v.cur.table.Words(0, 0)
	for _, s := range slots {
		v.k.load(c.Words, c.Stride, s)
		v.Clear()
	}
}

// Ints gives access by slot to a field of an integer kind, BOOLEAN, or one of date and time, until the end of the call.
func (v *Value) Ints(f int) state.Column[int64] { return v.cur.table.Ints(v.first + f) }

// Floats gives access by slot to a FLOAT or DOUBLE field.
func (v *Value) Floats(f int) state.Column[float64] { return v.cur.table.Floats(v.first + f) }

// Validity gives access by slot to whether a field is null.
func (v *Value) Validity(f int) state.Validity { return v.cur.table.Validity(v.first + f) }

// Table returns the table that the value is in, and the number of field f there: for fields of other types.
func (v *Value) Table(f int) (*state.Table, int) { return v.cur.table, v.first + f }
