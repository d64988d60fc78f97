package ops

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"turbo/core"
	"turbo/core/expr"
	"turbo/state"
)

// UserAggregate is the aggregate function of a program.
type UserAggregate struct {
	Name       string // upper case in SQL
	Doc        string
	Parameters []Parameter
	// Accumulator says how accumulators are encoded: state of a job that was written with another one is refused.
	Accumulator string
	// Ordered says that the result depends on the order of rows; windows then keep no slices.
	Ordered bool
	// NoMerge says that accumulators cannot be merged: then windows keep no slices, and sessions are refused.
	NoMerge bool
	// Retracts says that the aggregators are Retracters, exact ones: windows that slide then keep one running state.
	Retracts bool
	// Type returns the type of the result over an argument of a type, or why there is none.
	Type func(argument core.Type) (core.Type, error)
	// New returns the function for an argument's type and parameters (float64, int64 or string). Each worker has its own.
	New func(argument core.Type, parameters []any) (Aggregator, error)
}

// Aggregator computes an aggregate over accumulators that it encodes itself; turbo keeps them in its state. Rows with a null argument do not come.
// A result over no row is null. Slices that are passed are not to be changed or kept, but dst, which the new accumulator is appended to and returned.
type Aggregator interface {
	// Add makes the accumulator of old (nil: of no row) and rows of the argument. It sets *at to the row at hand, for the message when one fails.
	Add(dst, old []byte, argument *core.Vector, rows []int32, at *int32) ([]byte, error)
	// Merge makes the accumulator of two; the rows of other are later.
	Merge(dst, old, other []byte) ([]byte, error)
	// Result appends exactly one value to out.
	Result(out *core.Vector, accumulator []byte) error
}

// Retracter is an Aggregator that can take back what Merge has added.
type Retracter interface {
	Aggregator
	Retract(dst, old, other []byte) ([]byte, error)
}

var registering sync.Mutex

// RegisterAggregate adds a function to those that SQL knows. Names that are taken or are no upper case word, and functions without Type or New, are errors.
func RegisterAggregate(u UserAggregate) error {
	registering.Lock()
	defer registering.Unlock()
	if u.Name == "" || strings.Trim(u.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || u.Name[0] < 'A' || u.Name[0] > 'Z' {
		return fmt.Errorf("aggregate %q: the name must be letters A to Z, digits and _", u.Name)
	}
	if _, taken := ParseFunction(u.Name); taken {
		return fmt.Errorf("aggregate %s: the name is taken", u.Name)
	}
	if u.Type == nil || u.New == nil {
		return fmt.Errorf("aggregate %s: it needs Type and New", u.Name)
	}
	if u.NoMerge && u.Retracts {
		return fmt.Errorf("aggregate %s: what cannot be merged cannot be taken back", u.Name)
	}
	list := slices.Clone(specs())
	if len(list) > 255 {
		return fmt.Errorf("aggregate %s: there are 256 functions already", u.Name)
	}
	s := FunctionSpec{Name: u.Name, Doc: u.Doc, Parameters: u.Parameters, Accumulator: u.Accumulator, Ordered: u.Ordered, NoMerge: u.NoMerge, result: func(t core.Type) (core.Type, error) {
		t, err := u.Type(t)
		t.NotNull = false
		return t, err
	}, retracts: func(core.Type) bool { return u.Retracts }}
	s.Signatures = []string{u.Name + s.arguments()}
	s.encoding = func(t core.Type, parameters []any) (encoding, error) {
		a, err := u.New(t, parameters)
		if err != nil {
			return nil, err
		}
		if _, ok := a.(Retracter); u.Retracts && !ok {
			return nil, fmt.Errorf("aggregate %s: a %T has no Retract", u.Name, a)
		}
		return &userState{name: u.Name, Aggregator: a}, nil
	}
	list = append(list, s)
	user.Store(&list)
	expr.ReserveAggregates(u.Name)
	return nil
}

// userState is a program's aggregator.
type userState struct {
	operator, name string
	Aggregator
}

// guard, deferred, makes what a call of the program's code ended with an error. row is the one at hand, or -1.
func (s *userState) guard(call string, row *int32, err *error) {
	panicked := recover()
	if panicked != nil || *err != nil {
		*err = UserError{Operator: s.operator, Function: s.name, Call: call, row: int(*row) + 1}.AsError(*err, panicked)
	}
}

func (s *userState) fold(dst, old []byte, in *core.Vector, rows []int32) (out []byte, changed bool, err error) {
	row := int32(-1)
	defer s.guard("Add", &row, &err)
	out, err = s.Add(dst, old, in, rows, &row)
	return out, len(rows) > 0, err
}

func (s *userState) merge(dst, old, other []byte) (out []byte, changed bool, err error) {
	row := int32(-1)
	defer s.guard("Merge", &row, &err)
	out, err = s.Merge(dst, old, other)
	return out, true, err
}

// take implements taker.
func (s *userState) take(dst, old, other []byte) (out []byte, err error) {
	row := int32(-1)
	defer s.guard("Retract", &row, &err)
	return s.Aggregator.(Retracter).Retract(dst, old, other)
}

func (s *userState) result(out *core.Vector, b []byte) (err error) {
	if b == nil {
		out.AppendNull()
		return nil
	}
	row := int32(-1)
	defer s.guard("Result", &row, &err)
	before := out.Len()
	if err = s.Result(out, b); err == nil && out.Len() != before+1 {
		err = fmt.Errorf("it has appended %d values, not one", out.Len()-before)
	}
	return err
}

// encodedAccumulator is the accumulator of a function whose state is bytes.
func (c Call) encodedAccumulator(t *state.Table, field int, argument core.Type) (accumulator, error) {
	spec := c.Function.spec()
	parameters, _, err := c.Function.CheckParameters(c.Parameters)
	if err != nil {
		return nil, err
	}
	e, err := c.encoding()(argument, parameters)
	if err != nil {
		return nil, err
	}
	if u, ok := e.(*userState); ok {
		u.operator, _ = t.Name()
	}
	return &encoded{single: single{table: t, field: field, kind: core.Bytes}, encoding: e, nulls: spec.nulls}, nil
}
