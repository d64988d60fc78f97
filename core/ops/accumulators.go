package ops

import (
	"bytes"
	"fmt"

	"turbo/core"
	"turbo/state"
)

// Accumulators is the state of some aggregates in fields of a table: what a running aggregate, a window or a process function keeps for
// a slot. Slots that are written have been announced to the table (Upsert of a new one, Touch, TouchDistinct). A new row's accumulators
// are those of no input row.
type Accumulators struct {
	input  *core.Schema
	calls  []Call
	fields []int // of the table: the first one of each
	list   []accumulator
}

// StateFields returns the table's fields for the calls, in order.
func StateFields(calls []Call, input *core.Schema) []core.Field {
	var out []core.Field
	for _, c := range calls {
		out = append(out, c.stateFields(c.argument(input))...)
	}
	return out
}

// NewAccumulators returns the accumulators whose StateFields stand in table from the field first on (keys are counted).
func NewAccumulators(calls []Call, input *core.Schema, table *state.Table, first int) (*Accumulators, error) {
	a := &Accumulators{input: input, calls: calls}
	for _, c := range calls {
		acc, err := c.accumulator(table, first, c.argument(input))
		if err != nil {
			return nil, err
		}
		a.list, a.fields = append(a.list, acc), append(a.fields, first)
		first += len(c.stateFields(c.argument(input)))
	}
	return a, nil
}

// Update adds rows of the input to their slots, in order.
func (a *Accumulators) Update(columns []*core.Vector, r Rows) error {
	for i := range a.list {
		if err := a.update(i, columns, r); err != nil {
			return err
		}
	}
	return nil
}

// update is Update of one call.
func (a *Accumulators) update(i int, columns []*core.Vector, r Rows) error {
	var argument *core.Vector
	if c := a.calls[i].Argument; c >= 0 {
		argument = columns[c]
	}
	if err := a.list[i].update(argument, r); err != nil {
		return fmt.Errorf("%s: %w", a.calls[i].Name, ofRow(err, a.input, columns))
	}
	return nil
}

// Merge adds the state of src[i] in from to dst[i], in order; dst may repeat. from is of the same calls, over this table or another one. The rows of
// src count as later than those of dst (FIRST_VALUE, LAST_VALUE).
func (a *Accumulators) Merge(dst []uint32, from *Accumulators, src []uint32) error {
	for i, acc := range a.list {
		if err := acc.merge(dst, from.list[i], src); err != nil {
			return fmt.Errorf("%s: %w", a.calls[i].Name, err)
		}
	}
	return nil
}

// Clear makes the state of slots that of no row.
func (a *Accumulators) Clear(slots []uint32) {
	for _, acc := range a.list {
		acc.clear(slots)
	}
}

// Emit appends the results of slots to one vector a call.
func (a *Accumulators) Emit(out []*core.Vector, slots []uint32) error {
	for i, acc := range a.list {
		if err := acc.emit(out[i], slots); err != nil {
			return fmt.Errorf("%s: %w", a.calls[i].Name, err)
		}
	}
	return nil
}

// Merges reports whether the results of windows can be merged from slices: FIRST_VALUE and ARRAY_AGG depend on the order in which the rows of all slices came.
func Merges(calls []Call) bool {
	for _, c := range calls {
		if s := c.Function.spec(); s.Ordered || s.NoMerge {
			return false
		}
	}
	return true
}

// argument returns the type of the call's argument, the zero Type without one.
func (c Call) argument(input *core.Schema) (t core.Type) {
	if c.Argument >= 0 {
		t = input.Fields[c.Argument].Type
	}
	return t
}

// stateFields returns the table columns that an aggregate needs.
func (c Call) stateFields(argument core.Type) []core.Field {
	field := func(suffix string, t core.Type) core.Field { return core.Field{Name: c.Name + suffix, Type: t} }
	number := func(t core.Type) core.Type {
		t.NotNull = argument.NotNull // starts as zero, is never null
		return t
	}
	if c.encoding() != nil {
		return []core.Field{field("", core.Of(core.Bytes))}
	}
	switch c.Function {
	case Count:
		return []core.Field{field("", core.Of(core.Int64).Required())}
	case Sum:
		t, _ := Sum.ResultType(argument)
		return []core.Field{field("", t)}
	case Avg:
		var sum core.Type
		switch k := argument.Kind; {
		case k == core.Decimal:
			sum = core.DecimalOf(38, int(argument.Scale))
		case k.IsInteger():
			sum = core.DecimalOf(38, 0)
		default:
			sum = core.Of(core.Float64)
		}
		return []core.Field{field(" sum", number(sum)), field(" count", core.Of(core.Int64).Required())}
	case VarPop, VarSamp, StddevPop, StddevSamp:
		float := core.Of(core.Float64).Required()
		return []core.Field{field(" count", core.Of(core.Int64).Required()), field(" mean", float), field(" squares", float)}
	}
	return []core.Field{field("", argument.Optional())}
}

// accumulator makes the aggregate whose state begins at field of t.
func (c Call) accumulator(t *state.Table, field int, argument core.Type) (accumulator, error) {
	if c.encoding() != nil {
		return c.encodedAccumulator(t, field, argument)
	}
	of := t.Fields()[field].Type
	s := single{table: t, field: field, kind: of.Kind, required: of.NotNull}
	switch k := argument.Kind; c.Function {
	case Count:
		rows := countRows{t, field}
		if c.Argument < 0 || argument.NotNull {
			return &rows, nil
		}
		return &countValues{countRows: rows}, nil
	case Sum:
		switch k {
		case core.Int8:
			return &sumInts[int8]{s}, nil
		case core.Int16:
			return &sumInts[int16]{s}, nil
		case core.Int32:
			return &sumInts[int32]{s}, nil
		case core.Int64:
			return &sumInts[int64]{s}, nil
		case core.Float32:
			return &sumFloats[float32]{s}, nil
		case core.Float64:
			return &sumFloats[float64]{s}, nil
		case core.Decimal:
			return &sumDecimals{s}, nil
		}
	case Avg:
		switch k {
		case core.Int8:
			return &meanInts[int8]{s, field + 1}, nil
		case core.Int16:
			return &meanInts[int16]{s, field + 1}, nil
		case core.Int32:
			return &meanInts[int32]{s, field + 1}, nil
		case core.Int64:
			return &meanInts[int64]{s, field + 1}, nil
		case core.Float32:
			return &meanFloats[float32]{s, field + 1}, nil
		case core.Float64:
			return &meanFloats[float64]{s, field + 1}, nil
		case core.Decimal:
			result, _ := Avg.ResultType(argument)
			return &meanDecimals{sumDecimals{s}, field + 1, int(result.Scale) - int(argument.Scale)}, nil
		}
	case Min, Max:
		sign := -1
		if c.Function == Max {
			sign = 1
		}
		switch {
		case k == core.Float32:
			return &leastFloats[float32]{s, c.Function == Max}, nil
		case k == core.Float64:
			return &leastFloats[float64]{s, c.Function == Max}, nil
		case k == core.Decimal:
			return &anyValue{s, decimalBetter(sign), decimalWins(sign)}, nil
		case k == core.String || k == core.Bytes:
			return &anyValue{s, bytesBetter(sign), bytesWins(sign)}, nil
		case k == core.Boolean:
			return &leastInts[uint8]{s, c.Function == Max}, nil
		case k.Width() == 1:
			return &leastInts[int8]{s, c.Function == Max}, nil
		case k.Width() == 2:
			return &leastInts[int16]{s, c.Function == Max}, nil
		case k.Width() == 4:
			return &leastInts[int32]{s, c.Function == Max}, nil
		case k.Width() == 8:
			return &leastInts[int64]{s, c.Function == Max}, nil
		}
	case VarPop, VarSamp, StddevPop, StddevSamp:
		return newVariance(t, field, c.Function, argument), nil
	case FirstValue:
		return &anyValue{s, never, neverWins}, nil
	case LastValue:
		switch {
		case k == core.Float32 || k == core.Float64 || k == core.Decimal || k.Width() == 0:
			return &anyValue{s, always, alwaysWins}, nil
		case k == core.Boolean:
			return &lastInts[uint8]{s}, nil
		case k.Width() == 1:
			return &lastInts[int8]{s}, nil
		case k.Width() == 2:
			return &lastInts[int16]{s}, nil
		case k.Width() == 4:
			return &lastInts[int32]{s}, nil
		default:
			return &lastInts[int64]{s}, nil
		}
	}
	return nil, fmt.Errorf("%v of %v: not supported", c.Function, argument)
}

// bytesBetter compares for MIN (sign -1) and MAX (sign 1), by bytes.
func bytesBetter(sign int) func(*state.Table, uint32, int, *core.Vector, int) bool {
	return func(t *state.Table, slot uint32, field int, v *core.Vector, i int) bool {
		return bytes.Compare(v.BytesAt(i), t.BytesAt(slot, field)) == sign
	}
}
