package ops

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"turbo/core"
)

// FunctionSpec describes an aggregate function: one row of the table that parsing, checks and the reference are made from.
type FunctionSpec struct {
	Name       string   // upper case
	Aliases    []string // other names
	Signatures []string
	Doc        string
	// Examples are "call: the values of x => result", one a line.
	Examples   string
	Parameters []Parameter
	// Accumulator says how a program's function encodes its state.
	Accumulator string
	// Ordered says that the result depends on the order of the rows.
	Ordered bool
	// NoMerge says that states cannot be merged.
	NoMerge bool

	result   func(core.Type) (core.Type, error)
	double   bool // the result is a DOUBLE over a number
	sampled  bool // ... and null of one value
	nulls    bool // rows whose argument is null count, too
	retracts func(argument core.Type) bool
	encoding func(argument core.Type, parameters []any) (encoding, error) // of functions whose state is bytes
	multiset func(argument core.Type, parameters []any) (encoding, error) // of those that need another one to take rows back
}

func (s *FunctionSpec) has(name string) bool {
	return s.Name == name || slices.Contains(s.Aliases, name)
}

func (s *FunctionSpec) arguments() string {
	names := []string{"x"}
	for _, p := range s.Parameters {
		names = append(names, p.Name)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// Example is a call over the rows of a column x, as expressions.
type Example struct {
	Call   string
	Over   string // values of x with commas between
	Result string
}

// ExampleList returns the examples by their parts.
func (s *FunctionSpec) ExampleList() (out []Example) {
	for _, line := range strings.Split(strings.TrimSpace(s.Examples), "\n") {
		call, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		over, result, more := strings.Cut(rest, " => ")
		if ok && more {
			out = append(out, Example{call, over, result})
		}
	}
	return out
}

// user are the functions of programs.
var user atomic.Pointer[[]FunctionSpec]

func specs() []FunctionSpec {
	if more := user.Load(); more != nil {
		return *more
	}
	return builtin
}

func (f Function) spec() *FunctionSpec { return &specs()[f] }

// Spec describes the function.
func (f Function) Spec() FunctionSpec { return *f.spec() }

// Functions describes all aggregate functions, those of programs last.
func Functions() []FunctionSpec { return slices.Clone(specs()) }

// FunctionNames returns the names of all aggregate functions as SQL calls them, sorted.
func FunctionNames() []string {
	var out []string
	for i, s := range specs() {
		if Function(i) != CountDistinct {
			out = append(append(out, s.Name), s.Aliases...)
		}
	}
	slices.Sort(out)
	return out
}

func arrayOf(element core.Type, notNull bool) core.Type {
	t := core.ArrayOf(element)
	t.NotNull = notNull
	return t
}

func needsNumber(name string, t core.Type) error {
	return fmt.Errorf("%s needs a number, this is %v", name, t.Optional())
}

func exactSums(argument core.Type) bool {
	return argument.Kind != core.Float32 && argument.Kind != core.Float64
}

func ordered(name string) func(core.Type) (core.Type, error) {
	return func(t core.Type) (core.Type, error) {
		if t.Kind.IsNested() {
			return t, fmt.Errorf("%s needs a type with an order, this is %v", name, t.Optional())
		}
		return t, nil
	}
}

func sumType(argument core.Type) (t core.Type, err error) {
	switch k := argument.Kind; {
	case k == core.Decimal:
		t = core.DecimalOf(38, int(argument.Scale))
	case k.IsInteger():
		t = core.Of(core.Int64)
	case k.IsNumeric():
		t = core.Of(core.Float64)
	default:
		return argument, needsNumber("SUM", argument)
	}
	t.NotNull = argument.NotNull
	return t, nil
}

func meanType(argument core.Type) (t core.Type, err error) {
	switch k := argument.Kind; {
	case k == core.Decimal:
		t = core.DecimalOf(38, max(int(argument.Scale), 6))
	case k.IsNumeric():
		t = core.Of(core.Float64)
	default:
		return argument, needsNumber("AVG", argument)
	}
	t.NotNull = argument.NotNull
	return t, nil
}

var errDamagedState = errors.New("damaged state of an aggregate")
