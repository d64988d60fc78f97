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
	Parameters []Parameter
	// Ordered says that the result depends on the order of the rows.
	Ordered bool

	result   func(core.Type) (core.Type, error)
	nulls    bool // rows whose argument is null count, too
	retracts func(argument core.Type) bool
	encoding func(argument core.Type, parameters []any) (encoding, error) // of functions whose state is bytes
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

var builtin []FunctionSpec

func init() {
	same := func(t core.Type) (core.Type, error) { return t, nil }
	double := func(name string, always bool) func(core.Type) (core.Type, error) {
		return func(t core.Type) (core.Type, error) {
			if !t.Kind.IsNumeric() {
				return t, needsNumber(name, t)
			}
			d := core.Of(core.Float64)
			d.NotNull = t.NotNull && always
			return d, nil
		}
	}
	count := func(core.Type) (core.Type, error) { return core.Of(core.Int64).Required(), nil }
	const quantile = "A sketch: the result is within 1 % of the value at rank FLOOR(q * (n - 1)) of the n sorted values, whatever their distribution; sketches merge without a " +
		"loss. NaN is larger than every number. State grows with the decades that the values span: some 115 buckets of 12 bytes for each."
	builtin = []FunctionSpec{
		Count: {Name: "COUNT", Signatures: []string{"COUNT(*) -> BIGINT", "COUNT(x) -> BIGINT"}, Doc: "Rows, or rows where x is not null.", result: count,
			retracts: func(core.Type) bool { return true }},
		Sum: {Name: "SUM", Signatures: []string{"SUM(integer) -> BIGINT", "SUM(float) -> DOUBLE", "SUM(DECIMAL(p, s)) -> DECIMAL(38, s)"}, Doc: "The sum. Overflow is an error.",
			result: sumType, retracts: exactSums},
		Min: {Name: "MIN", Signatures: []string{"MIN(x) -> type of x"}, Doc: "The least value. NaN is larger than every number.", result: ordered("MIN")},
		Max: {Name: "MAX", Signatures: []string{"MAX(x) -> type of x"}, Doc: "The greatest value. NaN is larger than every number.", result: ordered("MAX")},
		Avg: {Name: "AVG", Signatures: []string{"AVG(number) -> DOUBLE", "AVG(DECIMAL(p, s)) -> DECIMAL(38, max(s, 6))"},
			Doc: "The mean; of decimals, rounded half away from zero.", result: meanType, retracts: exactSums},
		FirstValue: {Name: "FIRST_VALUE", Signatures: []string{"FIRST_VALUE(x) -> type of x"}, Doc: "The first value to arrive that is not null.", Ordered: true, result: same},
		LastValue:  {Name: "LAST_VALUE", Signatures: []string{"LAST_VALUE(x) -> type of x"}, Doc: "The last value to arrive that is not null.", Ordered: true, result: same},
		VarPop: {Name: "VAR_POP", Signatures: []string{"VAR_POP(number) -> DOUBLE"}, Doc: "The population variance, by Welford's method, which large means do not disturb.",
			result: double("VAR_POP", true)},
		VarSamp: {Name: "VAR_SAMP", Aliases: []string{"VARIANCE"}, Signatures: []string{"VAR_SAMP(number) -> DOUBLE"}, Doc: "The sample variance; null of one value.",
			result: double("VAR_SAMP", false)},
		StddevPop:  {Name: "STDDEV_POP", Signatures: []string{"STDDEV_POP(number) -> DOUBLE"}, Doc: "The square root of VAR_POP.", result: double("STDDEV_POP", true)},
		StddevSamp: {Name: "STDDEV_SAMP", Signatures: []string{"STDDEV_SAMP(number) -> DOUBLE"}, Doc: "The square root of VAR_SAMP.", result: double("STDDEV_SAMP", false)},
		CountDistinct: {Name: "COUNT_DISTINCT", Signatures: []string{"COUNT(DISTINCT x) -> BIGINT"},
			Doc:    "How many different values there are, exactly. Every one of them is kept: use APPROX_COUNT_DISTINCT where there are more than some thousands for a key.",
			result: count, encoding: newDistinct},
		ApproxCountDistinct: {Name: "APPROX_COUNT_DISTINCT", Signatures: []string{"APPROX_COUNT_DISTINCT(x) -> BIGINT"},
			Doc:    "About how many different values there are, by HyperLogLog: exact up to 256, then with a standard error of 1.6 % in 4 KiB.",
			result: count, encoding: newHyperLogLog},
		ApproxQuantile: {Name: "APPROX_QUANTILE", Aliases: []string{"PERCENTILE"}, Signatures: []string{"APPROX_QUANTILE(number, q) -> DOUBLE"},
			Doc: "The value below which a share q (0 to 1) of the values lies. " + quantile, Parameters: []Parameter{{Name: "q", Kind: FloatParameter, Most: 1}},
			result: double("APPROX_QUANTILE", true), encoding: newQuantile, retracts: func(core.Type) bool { return true }},
		Median: {Name: "MEDIAN", Signatures: []string{"MEDIAN(number) -> DOUBLE"}, Doc: "APPROX_QUANTILE(x, 0.5), within the same bound.",
			result: double("MEDIAN", true), encoding: newQuantile, retracts: func(core.Type) bool { return true }},
		TopK: {Name: "TOP_K", Signatures: []string{"TOP_K(x, k) -> ARRAY<type of x>"}, Doc: "The k greatest values (k from 1 to 10000), the greatest first; equal ones as often as they come.",
			Parameters: []Parameter{{Name: "k", Kind: IntParameter, Least: 1, Most: 10000}}, encoding: newTop, result: func(t core.Type) (core.Type, error) {
				if _, err := ordered("TOP_K")(t); err != nil {
					return t, err
				}
				return arrayOf(t.Required(), t.NotNull), nil
			}},
		ArrayAgg: {Name: "ARRAY_AGG", Aliases: []string{"COLLECT"}, Signatures: []string{"ARRAY_AGG(x) -> ARRAY<type of x>"},
			Doc: "All values in the order of arrival, nulls too. Every row is kept, and copied with each batch.", Ordered: true, nulls: true,
			encoding: newCollect, result: func(t core.Type) (core.Type, error) { return arrayOf(t, t.NotNull), nil }},
		StringAgg: {Name: "STRING_AGG", Aliases: []string{"LISTAGG"}, Signatures: []string{"STRING_AGG(STRING [, separator]) -> STRING"},
			Doc: "The strings in the order of arrival with separator (a comma) between them.", Ordered: true, Parameters: []Parameter{{Name: "separator", Kind: StringParameter, Default: ","}},
			encoding: newConcat, result: func(t core.Type) (core.Type, error) {
				if t.Kind != core.String {
					return t, fmt.Errorf("STRING_AGG needs a STRING, this is %v: CAST it", t.Optional())
				}
				return t, nil
			}},
	}
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
