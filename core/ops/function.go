package ops

import (
	"fmt"

	"turbo/core"
)

// Function is an aggregate function.
type Function uint8

// The aggregate functions. Nulls in the argument count for none of them; the result over nothing but nulls is null (0 for COUNT).
const (
	Count      Function = iota // COUNT(*) without an argument: rows; COUNT(x): rows where x is not null. BIGINT NOT NULL
	Sum                        // integers: BIGINT; FLOAT, DOUBLE: DOUBLE; DECIMAL(p, s): DECIMAL(38, s). Overflow is an error
	Min                        // least value, of the argument's type; NaN is larger than every number
	Max                        // greatest value, likewise
	Avg                        // DECIMAL(p, s): DECIMAL(38, max(s, 6)), rounded half away from zero; other numbers: DOUBLE
	FirstValue                 // the first value that is not null
	LastValue                  // the last value that is not null
)

var functionNames = [...]string{"COUNT", "SUM", "MIN", "MAX", "AVG", "FIRST_VALUE", "LAST_VALUE"}

// String returns the SQL name.
func (f Function) String() string { return functionNames[f] }

// ParseFunction returns the function of that upper case SQL name.
func ParseFunction(name string) (Function, bool) {
	for i, n := range functionNames {
		if n == name {
			return Function(i), true
		}
	}
	return 0, false
}

// ResultType returns the type of f over an argument. COUNT takes any; COUNT(*) has the zero Type.
func (f Function) ResultType(argument core.Type) (core.Type, error) {
	t := argument
	switch k := argument.Kind; f {
	case Count:
		return core.Of(core.Int64).Required(), nil
	case Sum, Avg:
		switch {
		case k == core.Decimal && f == Sum:
			t = core.DecimalOf(38, int(argument.Scale))
		case k == core.Decimal:
			t = core.DecimalOf(38, max(int(argument.Scale), 6))
		case k.IsInteger() && f == Sum:
			t = core.Of(core.Int64)
		case k.IsNumeric():
			t = core.Of(core.Float64)
		default:
			return t, fmt.Errorf("%v needs a number, this is %v", f, argument.Optional())
		}
		t.NotNull = argument.NotNull
	case Min, Max:
		if k.IsNested() {
			return t, fmt.Errorf("%v needs a type with an order, this is %v", f, argument.Optional())
		}
	}
	return t, nil
}

// Call is one aggregate of an Aggregate.
type Call struct {
	Function Function
	Argument int    // input column, -1 for COUNT(*)
	Name     string // of the output column
}
