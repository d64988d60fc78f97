package ops

import (
	"fmt"

	"turbo/core"
)

// Function is an aggregate function.
type Function uint8

// The aggregate functions. Nulls in the argument count for none of them but COUNT(*) and ARRAY_AGG; the result over nothing but nulls is null (0 for the counts).
// What each does stands in the table of functions, which is the reference.
const (
	Count Function = iota
	Sum
	Min
	Max
	Avg
	FirstValue
	LastValue
	VarPop
	VarSamp
	StddevPop
	StddevSamp
	CountDistinct
	ApproxCountDistinct
	ApproxQuantile
	Percentile
	Median
	TopK
	ArrayAgg
	Collect
	StringAgg
	firstUser // those that programs register have the numbers from here on
)

// String returns the SQL name; COUNT(DISTINCT x) has COUNT_DISTINCT.
func (f Function) String() string { return f.spec().Name }

// ParseFunction returns the function of that upper case name (or other name), those of programs too.
func ParseFunction(name string) (Function, bool) {
	list := specs()
	for i := range list {
		if list[i].has(name) {
			return Function(i), true
		}
	}
	return 0, false
}

// ResultType returns the type of f over an argument. COUNT takes any; COUNT(*) has the zero Type.
func (f Function) ResultType(argument core.Type) (core.Type, error) {
	return f.spec().result(argument)
}

// Call is one aggregate of an Aggregate.
type Call struct {
	Function Function
	Argument int    // input column, -1 for COUNT(*)
	Name     string // of the output column
	// Parameters are the constants after the argument, as CheckParameters returns them.
	Parameters []any
	// multiset: the state is the function's multiset.
	multiset bool
}

// encoding returns what makes the call's state of bytes, nil when it is of other fields.
func (c Call) encoding() func(argument core.Type, parameters []any) (encoding, error) {
	if c.multiset {
		return c.Function.spec().multiset
	}
	return c.Function.spec().encoding
}

// ParameterKind is the kind of a parameter, and so the Go type of its value.
type ParameterKind uint8

// The kinds of parameters.
const (
	FloatParameter  ParameterKind = iota // float64
	IntParameter                         // int64
	StringParameter                      // string
)

var parameterKinds = [...]string{"a number", "an integer", "a string"}

// Parameter describes a constant that a function takes after its argument.
type Parameter struct {
	Name string
	Kind ParameterKind
	// Least and Most bound a number when Most is larger than Least.
	Least, Most float64
	// Default is the value when there is none; nil: the parameter is required.
	Default any
}

// CheckParameters returns the parameters with their defaults, each of its kind. With an error it returns the number of the parameter at fault (from 0).
func (f Function) CheckParameters(given []any) (checked []any, at int, err error) {
	spec := f.spec()
	if len(given) > len(spec.Parameters) {
		return nil, len(spec.Parameters), fmt.Errorf("%v takes %s, here are %d", f, spec.arguments(), len(given)+1)
	}
	for i, p := range spec.Parameters {
		x := p.Default
		if i < len(given) {
			x = given[i]
		}
		if x == nil {
			return nil, i, fmt.Errorf("%v takes %s: %s is missing", f, spec.arguments(), p.Name)
		}
		if n, ok := x.(int64); ok && p.Kind == FloatParameter {
			x = float64(n)
		}
		var number float64
		fits := false
		switch v := x.(type) {
		case float64:
			number, fits = v, p.Kind == FloatParameter
		case int64:
			number, fits = float64(v), p.Kind == IntParameter
		case string:
			fits = p.Kind == StringParameter
		}
		if !fits {
			return nil, i, fmt.Errorf("%v: %s is %s, not %v", f, p.Name, parameterKinds[p.Kind], x)
		}
		if p.Kind != StringParameter && p.Most > p.Least && !(number >= p.Least && number <= p.Most) {
			return nil, i, fmt.Errorf("%v: %s is %v, it must lie between %v and %v", f, p.Name, x, p.Least, p.Most)
		}
		checked = append(checked, x)
	}
	return checked, 0, nil
}
