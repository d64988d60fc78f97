package stream

import (
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"turbo/core"
	"turbo/core/ops"
	"turbo/memory"
	"turbo/plan"
	"turbo/state"
)

// AggregateFunc is an aggregate function of a program. In is the Go type of the argument's column; for several arguments it is a struct, and the call is NAME(ROW(a, b)),
// with its fields in that order. Acc is a struct of columns or the Go type of one: turbo keeps it in its state, where it is in checkpoints. Out is the Go type of the result's column.
//
// Rows whose argument is null do not come, and the result over no row is null.
type AggregateFunc[In, Acc, Out any] struct {
	Doc string
	// New makes the accumulator of no row; nil: the zero Acc.
	New func() Acc
	// Add adds a row.
	Add func(acc *Acc, x In) error
	// Merge adds another accumulator, whose rows are later: windows merge their slices, and sessions that meet. nil: sliding windows add each row to each of theirs, and sessions are refused.
	Merge func(acc, other *Acc) error
	// Retract takes back what Merge has added, exactly; nil: nothing can be taken back. Sliding windows are faster with it, and rows that replace others can be aggregated.
	Retract func(acc, other *Acc) error
	// Result is what the rows come to.
	Result func(acc *Acc) (Out, error)
	// Ordered says that the result depends on the order of rows.
	Ordered bool
	// Type is the SQL type of the result, when it does not follow from Out (a decimal128.Num, a TIMESTAMP).
	Type string
}

// RegisterAggregate gives an aggregate function a name that columns of Aggregate and AggregateWindow, and the aggregate block of a job specification, call like those of SQL. Call it in an
// init function, in a package that the program's main imports. A name that is taken or no word, and types that are no columns, panic: mistakes of the program.
func RegisterAggregate[In, Acc, Out any](name string, f AggregateFunc[In, Acc, Out]) {
	name = strings.ToUpper(name)
	fail := func(what string, err error) {
		panic(fmt.Sprintf("stream: the aggregate %s: %s: %v", name, what, err))
	}
	if f.Add == nil || f.Result == nil {
		fail("AggregateFunc", fmt.Errorf("it needs Add and Result"))
	}
	acc, err := accumulatorOf(reflect.TypeFor[Acc]())
	if err != nil {
		fail("the accumulator", err)
	}
	out, err := resultOf(reflect.TypeFor[Out](), f.Type)
	if err != nil {
		fail("the result", err)
	}
	plan.RegisterAggregate(ops.UserAggregate{Name: name, Doc: f.Doc, Accumulator: acc.String(), Ordered: f.Ordered, NoMerge: f.Merge == nil, Retracts: f.Retract != nil,
		Type: func(argument core.Type) (core.Type, error) {
			_, err := argumentCodec(reflect.TypeFor[In](), argument)
			return out, err
		},
		New: func(argument core.Type, _ []any) (ops.Aggregator, error) {
			a := &aggregator[In, Acc, Out]{f: f, argument: argument}
			if a.in.codec, err = argumentCodec(reflect.TypeFor[In](), argument); err != nil {
				return nil, err
			}
			if a.out, err = valueCodec(reflect.TypeFor[Out](), out); err != nil {
				return nil, err
			}
			if a.acc, err = newStored[Acc](acc); err != nil {
				return nil, err
			}
			a.other, err = newStored[Acc](acc)
			return a, err
		}})
}

// RegisterColumnAggregate is RegisterAggregate for a function that works on columns, with accumulators that it encodes itself.
func RegisterColumnAggregate(u ops.UserAggregate) { plan.RegisterAggregate(u) }

// accumulatorOf is the schema of an accumulator. Everything in it must be stored: a field that would be lost is an error.
func accumulatorOf(t reflect.Type) (*core.Schema, error) {
	if err := wholly(t); err != nil {
		return nil, err
	}
	s, err := recordOf(t, "value")
	if err == nil {
		_, err = newRecordCodec(t, "value", s)
	}
	return s, err
}

// wholly refuses types with fields that are no columns.
func wholly(t reflect.Type) error {
	switch {
	case t.Kind() == reflect.Map:
		if err := wholly(t.Key()); err != nil {
			return err
		}
		return wholly(t.Elem())
	case t.Kind() == reflect.Slice:
		return wholly(t.Elem())
	case t.Kind() == reflect.Struct && t.Implements(nullableType):
		return wholly(t.Field(0).Type)
	case !isRecord(t):
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Tag.Get("turbo") == "-" {
			return fmt.Errorf("the field %s of %v would not be stored: export it", f.Name, t)
		}
		if err := wholly(f.Type); err != nil {
			return err
		}
	}
	return nil
}

func resultOf(t reflect.Type, sql string) (out core.Type, err error) {
	if sql != "" {
		out, err = core.ParseType(sql)
	} else {
		out, err = typeOf(t)
	}
	if err == nil {
		_, err = valueCodec(t, out)
	}
	return out, err
}

// valueCodec moves values of one column.
func valueCodec(t reflect.Type, column core.Type) (*codec, error) {
	k := fieldCodec{name: "value", path: "value", typ: t, kind: column}
	if t.Implements(nullableType) {
		k.null, k.typ, k.valid = true, t.Field(0).Type, t.Field(1).Offset
	}
	if err := k.resolve(); err != nil {
		return nil, err
	}
	return &codec{of: t, fields: []fieldCodec{k}}, nil
}

// argumentCodec reads arguments: a struct from the columns of a ROW, by their places, other types from one column.
func argumentCodec(t reflect.Type, argument core.Type) (*codec, error) {
	if !isRecord(t) {
		return valueCodec(t, argument)
	}
	s, err := schemaOf(t)
	if err != nil {
		return nil, err
	}
	if argument.Kind != core.Row || len(argument.Elements) != len(s.Fields) {
		return nil, fmt.Errorf("it takes a ROW of %s, this is %v", strings.Join(s.Names(), ", "), argument.Optional())
	}
	for i := range s.Fields {
		s.Fields[i].Type = argument.Elements[i].Type
	}
	return newCodec(t, s)
}

// stored is an accumulator between Go and the bytes of a state: its columns, encoded one after the other.
type stored[Acc any] struct {
	codec *codec
	batch core.Batch
	value Acc
}

func newStored[Acc any](schema *core.Schema) (*stored[Acc], error) {
	s := &stored[Acc]{batch: core.Batch{Schema: schema}}
	var err error
	s.codec, err = newRecordCodec(reflect.TypeFor[Acc](), "value", schema)
	account := memory.NewPool(0).Account("accumulator") // one value at a time: what is kept is the state's
	for _, f := range schema.Fields {
		s.batch.Columns = append(s.batch.Columns, core.NewVector(account, f.Type, 1))
	}
	return s, err
}

func (s *stored[Acc]) reset(n int) {
	for _, v := range s.batch.Columns {
		v.Reset()
	}
	s.batch.Len = n
}

func (s *stored[Acc]) load(b []byte) (err error) {
	s.reset(1)
	for _, v := range s.batch.Columns {
		if b, err = state.DecodeEncoded(v, b); err != nil {
			return err
		}
	}
	var zero Acc
	s.value = zero
	return s.codec.read(&s.batch, unsafe.Pointer(&s.value))
}

func (s *stored[Acc]) save(dst []byte) ([]byte, error) {
	s.reset(0)
	if err := s.codec.write(&s.batch, unsafe.Pointer(&s.value), 1); err != nil {
		return nil, err
	}
	for _, v := range s.batch.Columns {
		dst = state.EncodeValue(dst, v, 0, false)
	}
	return dst, nil
}

// aggregator implements ops.Retracter over an AggregateFunc.
type aggregator[In, Acc, Out any] struct {
	f        AggregateFunc[In, Acc, Out]
	argument core.Type
	in       typed[In]
	batch    core.Batch
	acc      *stored[Acc]
	other    *stored[Acc]
	out      *codec
	to       core.Batch // the result's column
	result   Out
}

// Add implements ops.Aggregator.
func (a *aggregator[In, Acc, Out]) Add(dst, old []byte, argument *core.Vector, rows []int32, at *int32) ([]byte, error) {
	a.batch.Columns = append(a.batch.Columns[:0], argument)
	if isRecord(reflect.TypeFor[In]()) {
		a.batch.Columns = a.batch.Columns[:0]
		for i := range a.argument.Elements {
			a.batch.Columns = append(a.batch.Columns, argument.Child(i))
		}
	}
	a.batch.Len, a.batch.Sel = argument.Len(), rows
	err := a.in.read(&a.batch)
	clear(a.batch.Columns)
	if err != nil {
		if i := rowOf(err); i >= 0 {
			*at = rows[i]
		}
		return nil, err
	}
	if old != nil {
		err = a.acc.load(old)
	} else if a.f.New != nil {
		a.acc.value = a.f.New()
	} else {
		var zero Acc
		a.acc.value = zero
	}
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		*at = row
		if err := a.f.Add(&a.acc.value, a.in.rows[i]); err != nil {
			return nil, err
		}
	}
	return a.acc.save(dst)
}

// Merge implements ops.Aggregator.
func (a *aggregator[In, Acc, Out]) Merge(dst, old, other []byte) ([]byte, error) {
	return a.combine(dst, old, other, a.f.Merge)
}

// Retract implements ops.Retracter.
func (a *aggregator[In, Acc, Out]) Retract(dst, old, other []byte) ([]byte, error) {
	return a.combine(dst, old, other, a.f.Retract)
}

func (a *aggregator[In, Acc, Out]) combine(dst, old, other []byte, f func(acc, other *Acc) error) ([]byte, error) {
	if err := a.acc.load(old); err != nil {
		return nil, err
	}
	if err := a.other.load(other); err != nil {
		return nil, err
	}
	if err := f(&a.acc.value, &a.other.value); err != nil {
		return nil, err
	}
	return a.acc.save(dst)
}

// Result implements ops.Aggregator.
func (a *aggregator[In, Acc, Out]) Result(out *core.Vector, accumulator []byte) error {
	if err := a.acc.load(accumulator); err != nil {
		return err
	}
	var err error
	if a.result, err = a.f.Result(&a.acc.value); err != nil {
		return err
	}
	a.to.Columns = append(a.to.Columns[:0], out)
	err = a.out.write(&a.to, unsafe.Pointer(&a.result), 1)
	a.to.Columns[0] = nil
	return err
}
