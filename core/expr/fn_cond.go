package expr

import (
	"turbo/core"
)

var conditionalFunctions = []function{
	{name: "COALESCE", sig: "COALESCE(value, ...)", args: "a+", aliases: "IFNULL", doc: "The first value that is not NULL. Later ones are evaluated only for rows that need them.",
		examples: "COALESCE(NULL, 5, 7) => 5", make: (*binder).coalesce},
	{name: "NULLIF", sig: "NULLIF(a, b)", args: "aa", doc: "NULL when a = b, else a.", examples: "NULLIF(5, 5) => NULL\nNULLIF(5, 0) => 5", make: (*binder).nullIf},
	{name: "IF", sig: "IF(condition, value, other)", args: "baa", doc: "value where the condition is true, else other. Each is evaluated only for the rows that take it.",
		examples: "IF(5 > 3, 'yes', 'no') => 'yes'", make: (*binder).ifCall},
	{name: "GREATEST", sig: "GREATEST(value, ...)", args: "a+", doc: "The largest value; NULL when one of them is.", examples: "GREATEST(3, 7.5, 5) => 7.5", make: extreme(greater)},
	{name: "LEAST", sig: "LEAST(value, ...)", args: "a+", doc: "The smallest value; NULL when one of them is.", examples: "LEAST('b', 'a', 'c') => 'a'", make: extreme(less)},
	{name: "IS_DECIMAL", sig: "IS_DECIMAL(string)", args: "s", ret: boolType, doc: "Whether the text is a number.", examples: "IS_DECIMAL('-1.5e3') => TRUE",
		row: func(c *call, r int) error {
			_, malformed, _ := parseDecimal(c.str(0, r), maxPrecision, 0)
			c.setBool(r, !malformed)
			return nil
		}},
	{name: "IS_DIGIT", sig: "IS_DIGIT(string)", args: "s", ret: boolType, doc: "Whether the text is digits 0 to 9 only, at least one.", examples: "IS_DIGIT('12a') => FALSE",
		row: func(c *call, r int) error { c.setBool(r, allDigits(string(c.str(0, r)))); return nil }},
	{name: "IS_ALPHA", sig: "IS_ALPHA(string)", args: "s", ret: boolType, doc: "Whether the text is letters a to z and A to Z only, at least one.", examples: "IS_ALPHA('abC') => TRUE",
		row: func(c *call, r int) error {
			s := c.str(0, r)
			all := len(s) > 0
			for _, x := range s {
				all = all && (x|0x20) >= 'a' && (x|0x20) <= 'z'
			}
			c.setBool(r, all)
			return nil
		}},
}

// extreme compiles GREATEST and LEAST.
func extreme(rel relation) func(b *binder, n *Call, args []op) (op, error) {
	return func(b *binder, n *Call, args []op) (op, error) {
		args, t, err := b.unifyAll(n, n.Name, args)
		if err != nil || t.Kind == core.Invalid {
			return args[0], err
		}
		if t.Kind.IsNested() {
			return nil, b.errorf(n, "%s cannot order %s", n.Name, t.Optional())
		}
		t.NotNull = !nullable(args...)
		cmp := comparerOf(t.Kind)
		return &rowOp{t: t, args: args, node: n, fn: func(c *call, r int) error {
			best := c.arg[0]
			for _, a := range c.arg[1:] {
				if rel.holds(compareRow(cmp, a, best, r)) {
					best = a
				}
			}
			setRow(c.out, r, best, r)
			return nil
		}}, nil
	}
}

// compareRow gives -1, 0 or 1 for one row; NaN equals everything here.
func compareRow(cmp comparer, a, b *vec, r int) int {
	switch cmp := cmp.(type) {
	case rowComparer:
		return cmp.compare(a, b, r)
	case numberComparer[float32], numberComparer[float64]:
		_, x, _ := numberAt(a, r)
		_, y, _ := numberAt(b, r)
		return b2i(x > y) - b2i(x < y)
	}
	x, y := integerAt(a, r), integerAt(b, r)
	return b2i(x > y) - b2i(x < y)
}
