package ops

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"turbo/core"
	"turbo/state"
)

// UserAggregate is the aggregate function of a program.
type UserAggregate struct {
	Name       string // upper case in SQL
	Doc        string
	Parameters []Parameter
	// Ordered says that the result depends on the order of rows; windows then keep no slices.
	Ordered bool
	// Retracts says that the aggregators are Retracters, exact ones: windows that slide then keep one running state.
	Retracts bool
	// Type returns the type of the result over an argument of a type, or why there is none.
	Type func(argument core.Type) (core.Type, error)
	// New returns the function for an argument's type and parameters (float64, int64 or string). Each worker has its own.
	New func(argument core.Type, parameters []any) (Aggregator, error)
}

// Aggregator computes an aggregate over accumulators that it encodes itself; turbo keeps them in its state. Rows with a null argument do not come.
// A result over no row is null. What is returned may be the slice that was passed, changed or appended to; other is not to be changed or kept.
type Aggregator interface {
	// Create appends the accumulator of no row to dst.
	Create(dst []byte) []byte
	// Add adds row of argument.
	Add(accumulator []byte, argument *core.Vector, row int) ([]byte, error)
	// Merge adds another accumulator, whose rows are later.
	Merge(accumulator, other []byte) ([]byte, error)
	// Result appends exactly one value to out.
	Result(out *core.Vector, accumulator []byte) error
}

// Retracter is an Aggregator that can take back what Merge has added.
type Retracter interface {
	Aggregator
	Retract(accumulator, other []byte) ([]byte, error)
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
	list := slices.Clone(specs())
	if len(list) > 255 {
		return fmt.Errorf("aggregate %s: there are 256 functions already", u.Name)
	}
	s := FunctionSpec{Name: u.Name, Doc: u.Doc, Parameters: u.Parameters, Ordered: u.Ordered, result: func(t core.Type) (core.Type, error) {
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
		return &userState{u.Name, a}, nil
	}
	list = append(list, s)
	user.Store(&list)
	return nil
}

// userState is a program's aggregator.
type userState struct {
	name string
	Aggregator
}

// UserError is a failure, or a panic, of a program's aggregate function.
type UserError struct {
	Function string
	Row      int // of the batch, -1 when it is not about one
	Err      error
	Stack    string // of a panic
}

// Error implements error.
func (e *UserError) Error() string {
	text := fmt.Sprintf("aggregate function %s: %v", e.Function, e.Err)
	if e.Row >= 0 {
		text = fmt.Sprintf("aggregate function %s, row %d of the batch: %v", e.Function, e.Row, e.Err)
	}
	if e.Stack != "" {
		text += "\n" + e.Stack
	}
	return text
}

// Unwrap returns the cause.
func (e *UserError) Unwrap() error { return e.Err }

func (s *userState) guard(row *int, err *error) {
	if r := recover(); r != nil {
		*err = &UserError{s.name, *row, fmt.Errorf("panic: %v", r), string(debug.Stack())}
	} else if *err != nil {
		*err = &UserError{s.name, *row, *err, ""}
	}
}

func (s *userState) fold(dst, old []byte, in *core.Vector, rows []int32) (out []byte, changed bool, err error) {
	row := -1
	defer s.guard(&row, &err)
	var acc []byte
	if old == nil {
		acc = s.Create(dst)
	} else {
		acc = append(dst, old...)
	}
	for _, r := range rows {
		row = int(r)
		if acc, err = s.Add(acc, in, row); err != nil {
			return nil, false, err
		}
	}
	return acc, len(rows) > 0, nil
}

func (s *userState) merge(dst, old, other []byte) (out []byte, changed bool, err error) {
	row := -1
	defer s.guard(&row, &err)
	out, err = s.Merge(append(dst, old...), other)
	return out, true, err
}

// take implements taker.
func (s *userState) take(dst, old, other []byte) (out []byte, err error) {
	row := -1
	defer s.guard(&row, &err)
	return s.Aggregator.(Retracter).Retract(append(dst, old...), other)
}

func (s *userState) result(out *core.Vector, b []byte) (err error) {
	if b == nil {
		out.AppendNull()
		return nil
	}
	row := -1
	defer s.guard(&row, &err)
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
	e, err := spec.encoding(argument, parameters)
	if err != nil {
		return nil, err
	}
	return &encoded{single: single{table: t, field: field, kind: core.Bytes}, encoding: e, nulls: spec.nulls}, nil
}
