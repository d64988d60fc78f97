package ops

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/core/expr"
)

// builtin is the table of aggregate functions, which parsing, checks and the reference are made from.
var builtin []FunctionSpec

func init() {
	always := func(core.Type) bool { return true }
	builtin = slices.Concat(plainFunctions(always), varianceFunctions(), sketchFunctions(always), listFunctions())
	for i := range builtin {
		s := &builtin[i]
		if s.double {
			s.result = doubleOf(s.Name, s.sampled)
		}
		expr.ReserveAggregates(append([]string{s.Name}, s.Aliases...)...)
	}
}

func same(t core.Type) (core.Type, error) { return t, nil }

func countType(core.Type) (core.Type, error) { return core.Of(core.Int64).Required(), nil }

// doubleOf is the type of a DOUBLE over a number. sampled: null over one value, too.
func doubleOf(name string, sampled bool) func(core.Type) (core.Type, error) {
	return func(t core.Type) (core.Type, error) {
		if !t.Kind.IsNumeric() {
			return t, needsNumber(name, t)
		}
		d := core.Of(core.Float64)
		d.NotNull = t.NotNull && !sampled
		return d, nil
	}
}

func plainFunctions(always func(core.Type) bool) []FunctionSpec {
	return []FunctionSpec{
		Count: {Name: "COUNT", Signatures: []string{"COUNT(*) -> BIGINT", "COUNT(x) -> BIGINT"},
			Doc:      "Rows, or rows where x is not null.",
			Examples: "COUNT(*): 5, NULL, 7 => 3\nCOUNT(x): 5, NULL, 7 => 2",
			result:   countType, retracts: always},
		Sum: {Name: "SUM", Signatures: []string{"SUM(integer) -> BIGINT", "SUM(float) -> DOUBLE", "SUM(DECIMAL(p, s)) -> DECIMAL(38, s)"},
			Doc:      "The sum. Overflow is an error.",
			Examples: "SUM(x): 5, NULL, 7 => 12\nSUM(x): 0.5, 1.25 => 1.75",
			result:   sumType, retracts: exactSums},
		Min: {Name: "MIN", Signatures: []string{"MIN(x) -> type of x"},
			Doc:      "The least value. NaN is larger than every number.",
			Examples: "MIN(x): 5, NULL, 7 => 5\nMIN(x): 'b', 'a' => 'a'",
			result:   ordered("MIN"), multiset: newMultiset(Min)},
		Max: {Name: "MAX", Signatures: []string{"MAX(x) -> type of x"},
			Doc:      "The greatest value. NaN is larger than every number.",
			Examples: "MAX(x): 5, NULL, 7 => 7",
			result:   ordered("MAX"), multiset: newMultiset(Max)},
		Avg: {Name: "AVG", Signatures: []string{"AVG(number) -> DOUBLE", "AVG(DECIMAL(p, s)) -> DECIMAL(38, max(s, 6))"},
			Doc:      "The mean; of decimals, rounded half away from zero.",
			Examples: "AVG(x): 5, NULL, 8 => 6.5\nAVG(x): 0.01, 0.02, 0.02 => 0.016667",
			result:   meanType, retracts: exactSums},
		FirstValue: {Name: "FIRST_VALUE", Signatures: []string{"FIRST_VALUE(x) -> type of x"},
			Doc:      "The first value to arrive that is not null.",
			Examples: "FIRST_VALUE(x): NULL, 7, 5 => 7",
			Ordered:  true, result: same},
		LastValue: {Name: "LAST_VALUE", Signatures: []string{"LAST_VALUE(x) -> type of x"},
			Doc:      "The last value to arrive that is not null.",
			Examples: "LAST_VALUE(x): 7, 5, NULL => 5",
			Ordered:  true, result: same},
	}
}

func varianceFunctions() []FunctionSpec {
	return []FunctionSpec{
		{Name: "VAR_POP", Signatures: []string{"VAR_POP(number) -> DOUBLE"},
			Doc:      "The population variance, by Welford's method, which large means do not disturb.",
			Examples: "VAR_POP(x): 1, 2, NULL, 3, 4 => 1.25",
			double:   true},
		{Name: "VAR_SAMP", Aliases: []string{"VARIANCE"}, Signatures: []string{"VAR_SAMP(number) -> DOUBLE"},
			Doc:      "The sample variance; null of one value.",
			Examples: "VAR_SAMP(x): 1, 2, NULL, 3 => 1.0\nVARIANCE(x): 1 => NULL",
			double:   true, sampled: true},
		{Name: "STDDEV_POP", Signatures: []string{"STDDEV_POP(number) -> DOUBLE"},
			Doc:      "The square root of VAR_POP.",
			Examples: "STDDEV_POP(x): 2, 4, 4, 4, 5, 5, 7, 9 => 2.0",
			double:   true},
		{Name: "STDDEV_SAMP", Aliases: []string{"STDDEV"}, Signatures: []string{"STDDEV_SAMP(number) -> DOUBLE"},
			Doc:      "The square root of VAR_SAMP; null of one value.",
			Examples: "STDDEV_SAMP(x): 1, 2, NULL, 3 => 1.0",
			double:   true, sampled: true},
	}
}

func sketchFunctions(always func(core.Type) bool) []FunctionSpec {
	share := Parameter{Name: "q", Kind: FloatParameter, Most: 1}
	return []FunctionSpec{
		{Name: "COUNT_DISTINCT", Signatures: []string{"COUNT(DISTINCT x) -> BIGINT"},
			Doc: "How many different values there are, exactly; 0 of none. Every one of them is kept, some 20 bytes for a number, at most 128 MiB for a key, and a checkpoint writes all of a key that has " +
				"changed: use APPROX_COUNT_DISTINCT where there are millions.",
			Examples: "COUNT(DISTINCT x): 7, 5, NULL, 7 => 2",
			result:   countType, encoding: newDistinct, multiset: newMultiset(CountDistinct)},
		{Name: "APPROX_COUNT_DISTINCT", Signatures: []string{"APPROX_COUNT_DISTINCT(x) -> BIGINT"},
			Doc:      "About how many different values there are, by HyperLogLog: exact up to 256, then with a standard error of 1.6 % in 4 KiB.",
			Examples: "APPROX_COUNT_DISTINCT(x): 7, 5, NULL, 7 => 2",
			result:   countType, encoding: newHyperLogLog},
		{Name: "APPROX_QUANTILE", Aliases: []string{"APPROX_PERCENTILE"}, Signatures: []string{"APPROX_QUANTILE(number, q) -> DOUBLE"},
			Doc: "The value below which a share q (0 to 1) of the values lies, from a sketch: within 1 % of the value at rank FLOOR(q * (n - 1)) of the n sorted values, whatever their distribution; sketches " +
				"merge without a loss. NaN is larger than every number. State grows with the decades that the values span: some 115 buckets of 12 bytes for each.",
			Examples:   "APPROX_QUANTILE(x, 0.5): 0, 0, NULL, 1000 => 0.0",
			Parameters: []Parameter{share}, double: true, encoding: newQuantile, retracts: always},
		{Name: "PERCENTILE", Signatures: []string{"PERCENTILE(number, q) -> DOUBLE"},
			Doc: "The value below which a share q (0 to 1) of the values lies, exactly, in arithmetic of DOUBLE: between two values it is interpolated. Every different value is kept with its number, " +
				"and a batch writes them all anew: use APPROX_QUANTILE where a key has more than some thousands. NaN is larger than every number.",
			Examples:   "PERCENTILE(x, 0.25): 1, 2, 3, NULL, 4 => 1.75\nPERCENTILE(x, 1): 1, 2, 3 => 3.0",
			Parameters: []Parameter{share}, double: true, encoding: newPercentile, retracts: always},
		{Name: "MEDIAN", Signatures: []string{"MEDIAN(number) -> DOUBLE"},
			Doc:      "PERCENTILE(x, 0.5).",
			Examples: "MEDIAN(x): 9, 1, NULL, 2 => 2.0\nMEDIAN(x): 1, 2 => 1.5",
			double:   true, encoding: newPercentile, retracts: always},
	}
}

func listFunctions() []FunctionSpec {
	return []FunctionSpec{
		{Name: "TOP_K", Signatures: []string{"TOP_K(x, k) -> ARRAY<type of x>"},
			Doc:        "The k greatest values (k from 1 to 10000), the greatest first; equal ones as often as they come.",
			Examples:   "TOP_K(x, 2): 5, NULL, 9, 7 => ARRAY[9, 7]",
			Parameters: []Parameter{{Name: "k", Kind: IntParameter, Least: 1, Most: 10000}}, encoding: newTop, multiset: newMultiset(TopK),
			result: func(t core.Type) (core.Type, error) {
				if _, err := ordered("TOP_K")(t); err != nil {
					return t, err
				}
				return arrayOf(t.Required(), t.NotNull), nil
			}},
		{Name: "ARRAY_AGG", Signatures: []string{"ARRAY_AGG(x) -> ARRAY<type of x>"},
			Doc:      "All values in the order of arrival, nulls too. Every one is kept, at most 128 MiB for a key, and a checkpoint writes all of a key that has changed.",
			Examples: "ARRAY_AGG(x): 5, NULL, 7 => ARRAY[5, NULL, 7]",
			Ordered:  true, nulls: true, encoding: newCollect,
			result: func(t core.Type) (core.Type, error) { return arrayOf(t, t.NotNull), nil }},
		{Name: "COLLECT", Signatures: []string{"COLLECT(x) -> ARRAY<type of x>"},
			Doc:      "ARRAY_AGG without the nulls.",
			Examples: "COLLECT(x): 5, NULL, 7 => ARRAY[5, 7]",
			Ordered:  true, encoding: newCollect,
			result: func(t core.Type) (core.Type, error) { return arrayOf(t.Required(), t.NotNull), nil }},
		{Name: "STRING_AGG", Aliases: []string{"LISTAGG"}, Signatures: []string{"STRING_AGG(STRING [, separator]) -> STRING"},
			Doc:      "The strings in the order of arrival with separator (a comma) between them.",
			Examples: "STRING_AGG(x): 'a', NULL, 'b' => 'a,b'\nLISTAGG(x, ' + '): 'a', 'b' => 'a + b'",
			Ordered:  true, Parameters: []Parameter{{Name: "separator", Kind: StringParameter, Default: ","}}, encoding: newConcat,
			result: func(t core.Type) (core.Type, error) {
				if t.Kind != core.String {
					return t, fmt.Errorf("STRING_AGG needs a STRING, this is %v: CAST it", t.Optional())
				}
				return t, nil
			}},
	}
}
