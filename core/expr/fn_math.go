package expr

import (
	"bytes"
	"math"
	"math/big"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

var mathFunctions = []function{
	{name: "ABS", sig: "ABS(number)", args: "n", doc: "The absolute value, of the same type.", examples: "ABS(-2.5) => 2.5\nABS(-3) => 3", make: makeAbs},
	{name: "FLOOR", sig: "FLOOR(number) | FLOOR(time TO unit)", args: "a", doc: "The largest whole number that is not above, of the same type (DECIMAL without digits behind the point). " +
		"With TO, the beginning of the unit: YEAR, QUARTER, MONTH, WEEK (from Sunday), DAY, HOUR, MINUTE, SECOND, MILLISECOND.",
		examples: "FLOOR(-2.5) => -3\nFLOOR(TIMESTAMP '2024-02-29 13:45:10' TO HOUR) => TIMESTAMP '2024-02-29 13:00:00'", make: makeFloor(false)},
	{name: "CEIL", sig: "CEIL(number) | CEIL(time TO unit)", args: "a", aliases: "CEILING", doc: "The smallest whole number that is not below, of the same type (DECIMAL without digits behind the point). " +
		"With TO, the beginning of the next unit, or the time itself when it is one.",
		examples: "CEIL(2.1) => 3\nCEIL(TIMESTAMP '2024-02-29 13:45:10' TO DAY) => TIMESTAMP '2024-03-01 00:00:00'", make: makeFloor(true)},
	{name: "ROUND", sig: "ROUND(number[, digits])", args: "n?i", doc: "The number rounded to digits behind the point (0 unless given; negative: before it); halves go away from zero.",
		examples: "ROUND(2.345, 2) => 2.35\nROUND(-2.5) => -3\nROUND(1234, -2) => 1200", make: makeRound(true)},
	{name: "TRUNCATE", sig: "TRUNCATE(number[, digits])", args: "n?i", doc: "The number cut to digits behind the point (0 unless given; negative: before it).",
		examples: "TRUNCATE(2.349, 2) => 2.34\nTRUNCATE(CAST(-2.9 AS DOUBLE)) => -2.0", make: makeRound(false)},
	{name: "SIGN", sig: "SIGN(number)", args: "n", doc: "-1, 0 or 1, of the same type.", examples: "SIGN(-7) => -1\nSIGN(CAST(0.5 AS DOUBLE)) => 1.0", make: makeSign},
	{name: "MOD", sig: "MOD(a, b)", args: "nn", doc: "The remainder of a / b, with the sign of a: the same as a % b.", examples: "MOD(-7, 3) => -1",
		make: func(b *binder, n *Call, args []op) (op, error) { return b.arithmetic(n, '%', args[0], args[1]) }},
	{name: "POWER", sig: "POWER(a, b)", args: "ff", ret: doubleType, aliases: "POW", doc: "a to the power of b.", examples: "POWER(2, 10) => 1024.0", row: floatRow2(math.Pow)},
	{name: "SQRT", sig: "SQRT(number)", args: "f", ret: doubleType, doc: "The square root; NaN for a negative number.", examples: "SQRT(2.25) => 1.5", row: floatRow(math.Sqrt)},
	{name: "EXP", sig: "EXP(number)", args: "f", ret: doubleType, doc: "e to the power of the number.", examples: "EXP(0) => 1.0", row: floatRow(math.Exp)},
	{name: "LN", sig: "LN(number)", args: "f", ret: doubleType, doc: "The natural logarithm.", examples: "LN(1) => 0.0", row: floatRow(math.Log)},
	{name: "LOG", sig: "LOG(number) | LOG(base, number)", args: "f?f", ret: doubleType, doc: "The natural logarithm, or the one to the base.", examples: "LOG(2, 8) => 3.0",
		row: func(c *call, r int) error {
			x := math.Log(c.f64(0, r))
			if len(c.arg) > 1 {
				x = math.Log(c.f64(1, r)) / x
			}
			c.setF64(r, x)
			return nil
		}},
	{name: "LOG10", sig: "LOG10(number)", args: "f", ret: doubleType, doc: "The logarithm to the base 10.", examples: "LOG10(1000) => 3.0", row: floatRow(math.Log10)},
	{name: "LOG2", sig: "LOG2(number)", args: "f", ret: doubleType, doc: "The logarithm to the base 2.", examples: "LOG2(8) => 3.0", row: floatRow(math.Log2)},
	{name: "SIN", sig: "SIN(number)", args: "f", ret: doubleType, doc: "The sine of an angle in radians.", examples: "SIN(0) => 0.0", row: floatRow(math.Sin)},
	{name: "COS", sig: "COS(number)", args: "f", ret: doubleType, doc: "The cosine of an angle in radians.", examples: "COS(0) => 1.0", row: floatRow(math.Cos)},
	{name: "TAN", sig: "TAN(number)", args: "f", ret: doubleType, doc: "The tangent of an angle in radians.", examples: "TAN(0) => 0.0", row: floatRow(math.Tan)},
	{name: "COT", sig: "COT(number)", args: "f", ret: doubleType, doc: "The cotangent of an angle in radians.", examples: "ROUND(COT(1), 4) => 0.6421", row: floatRow(func(x float64) float64 { return 1 / math.Tan(x) })},
	{name: "ASIN", sig: "ASIN(number)", args: "f", ret: doubleType, doc: "The arc sine in radians.", examples: "ASIN(0) => 0.0", row: floatRow(math.Asin)},
	{name: "ACOS", sig: "ACOS(number)", args: "f", ret: doubleType, doc: "The arc cosine in radians.", examples: "ACOS(1) => 0.0", row: floatRow(math.Acos)},
	{name: "ATAN", sig: "ATAN(number)", args: "f", ret: doubleType, doc: "The arc tangent in radians.", examples: "ATAN(0) => 0.0", row: floatRow(math.Atan)},
	{name: "ATAN2", sig: "ATAN2(y, x)", args: "ff", ret: doubleType, doc: "The angle in radians from the x axis to the point (x, y).", examples: "ATAN2(0, 1) => 0.0", row: floatRow2(math.Atan2)},
	{name: "SINH", sig: "SINH(number)", args: "f", ret: doubleType, doc: "The hyperbolic sine.", examples: "SINH(0) => 0.0", row: floatRow(math.Sinh)},
	{name: "COSH", sig: "COSH(number)", args: "f", ret: doubleType, doc: "The hyperbolic cosine.", examples: "COSH(0) => 1.0", row: floatRow(math.Cosh)},
	{name: "TANH", sig: "TANH(number)", args: "f", ret: doubleType, doc: "The hyperbolic tangent.", examples: "TANH(0) => 0.0", row: floatRow(math.Tanh)},
	{name: "DEGREES", sig: "DEGREES(number)", args: "f", ret: doubleType, doc: "An angle in radians in degrees.", examples: "DEGREES(PI()) => 180.0", row: floatRow(func(x float64) float64 { return x * 180 / math.Pi })},
	{name: "RADIANS", sig: "RADIANS(number)", args: "f", ret: doubleType, doc: "An angle in degrees in radians.", examples: "RADIANS(0) => 0.0", row: floatRow(func(x float64) float64 { return x / 180 * math.Pi })},
	{name: "PI", sig: "PI()", doc: "The number pi.", examples: "PI() => 3.141592653589793", make: constantCall(math.Pi)},
	{name: "E", sig: "E()", doc: "Euler's number.", examples: "E() => 2.718281828459045", make: constantCall(math.E)},
	{name: "BIN", sig: "BIN(integer)", args: "i", ret: stringType, doc: "The number in binary digits.", examples: "BIN(10) => '1010'",
		row: func(c *call, r int) error {
			c.end(r, strconv.AppendUint(c.begin(r), uint64(c.i64(0, r)), 2))
			return nil
		}},
}

func constantCall(x float64) func(b *binder, n *Call, args []op) (op, error) {
	return func(*binder, *Call, []op) (op, error) { return fixedConst(doubleType, x), nil }
}

func floatRow(f func(float64) float64) func(c *call, r int) error {
	return func(c *call, r int) error { c.setF64(r, f(c.f64(0, r))); return nil }
}

func floatRow2(f func(a, b float64) float64) func(c *call, r int) error {
	return func(c *call, r int) error { c.setF64(r, f(c.f64(0, r), c.f64(1, r))); return nil }
}

// decimalCall compiles a function from DECIMAL to t; false means NULL.
func decimalCall(n Node, t core.Type, x op, f func(d decimalNum) (decimalNum, bool)) op {
	t.NotNull = false
	return &rowOp{t: t, args: []op{x}, node: n, fn: func(c *call, r int) error {
		d, ok := f(at[decimalNum](c.arg[0], r))
		if !ok {
			c.setNull(r)
			return nil
		}
		vals[decimalNum](c.out)[r] = d
		return nil
	}}
}

func makeAbs(b *binder, n *Call, args []op) (op, error) {
	x := args[0]
	if x.typ().Kind == core.Decimal {
		return decimalCall(n, x.typ(), x, func(d decimalNum) (decimalNum, bool) { return d.Abs(), true }), nil
	}
	kern := arithKernel('a', x.typ().Kind)
	if x.typ().Kind == core.Float64 {
		kern = absFloat64
	}
	return &arithOp{t: x.typ(), l: x, kern: kern, node: n}, nil
}

func absFloat64(out, a, _ *vec, sel []int32) int {
	o, x := vals[float64](out), vals[float64](a)
	if sel == nil {
		x = x[:len(o)]
		for i := range o {
			o[i] = math.Abs(x[i])
		}
		return -1
	}
	for _, i := range sel {
		o[i] = math.Abs(x[i])
	}
	return -1
}

func floorFloat64(out, a, _ *vec, sel []int32) int {
	o, x := vals[float64](out), vals[float64](a)
	if sel == nil {
		x = x[:len(o)]
		for i := range o {
			o[i] = math.Floor(x[i])
		}
		return -1
	}
	for _, i := range sel {
		o[i] = math.Floor(x[i])
	}
	return -1
}

func ceilFloat64(out, a, _ *vec, sel []int32) int {
	o, x := vals[float64](out), vals[float64](a)
	if sel == nil {
		x = x[:len(o)]
		for i := range o {
			o[i] = math.Ceil(x[i])
		}
		return -1
	}
	for _, i := range sel {
		o[i] = math.Ceil(x[i])
	}
	return -1
}

// makeFloor compiles FLOOR, or CEIL when up, of numbers and of times.
func makeFloor(up bool) func(b *binder, n *Call, args []op) (op, error) {
	return func(b *binder, n *Call, args []op) (op, error) {
		x := args[0]
		if len(n.Args) > len(args) {
			return b.floorTime(n, x, n.Args[len(n.Args)-1].(*Symbol).Name, up)
		}
		t := x.typ()
		switch k := t.Kind; {
		case k == core.Invalid || k.IsInteger():
			return x, nil
		case k == core.Float64 && up:
			return &arithOp{t: t, l: x, kern: ceilFloat64, node: n}, nil
		case k == core.Float64:
			return &arithOp{t: t, l: x, kern: floorFloat64, node: n, floor: true}, nil
		case k == core.Float32:
			f := math.Floor
			if up {
				f = math.Ceil
			}
			return &arithOp{t: t, l: x, kern: mapKernel(func(x float32) float32 { return float32(f(float64(x))) }), node: n}, nil
		case k == core.Decimal:
			scale := int(t.Scale)
			return decimalCall(n, core.DecimalOf(int(t.Precise), 0), x, func(d decimalNum) (decimalNum, bool) { return decimalFloor(d, scale, up), true }), nil
		case isDateTime(k):
			return nil, b.errorf(n, "%s of a time needs a unit: %s(x TO HOUR)", n.Name, n.Name)
		}
		return nil, b.errorf(n, "%s takes a number, not %s", n.Name, describe(x))
	}
}

// makeRound compiles ROUND, or TRUNCATE when not round.
func makeRound(round bool) func(b *binder, n *Call, args []op) (op, error) {
	return func(b *binder, n *Call, args []op) (op, error) {
		x, digits := args[0], op(fixedConst(bigintType, int64(0)))
		if len(args) > 1 {
			digits = args[1]
		}
		t := withNull(x.typ(), x, digits)
		switch k := t.Kind; {
		case k == core.Decimal:
			return roundDecimal(n, x, digits, round)
		case k.IsInteger():
			return rowCall(n, t, []op{x, digits}, func(c *call, r int) error {
				setInteger(c.out, r, roundInteger(integerAt(c.arg[0], r), c.i64(1, r), round))
				return nil
			}), nil
		case k == core.Float32:
			return rowCall(n, t, []op{x, digits}, func(c *call, r int) error {
				vals[float32](c.out)[r] = float32(roundFloat(float64(at[float32](c.arg[0], r)), c.i64(1, r), round, 32))
				return nil
			}), nil
		}
		return rowCall(n, t, []op{x, digits}, func(c *call, r int) error {
			c.setF64(r, roundFloat(c.f64(0, r), c.i64(1, r), round, 64))
			return nil
		}), nil
	}
}

// roundDecimal: the result of constant digits has that scale; otherwise the argument's type.
func roundDecimal(n Node, x, digits op, round bool) (op, error) {
	t := x.typ()
	precision, scale := int(t.Precise), int(t.Scale)
	if c, ok := digits.(*constOp); ok && !c.v.null(0) {
		k := vals[int64](&c.v)[0]
		switch {
		case k >= int64(scale):
			return x, nil
		case k < 0:
			t = core.DecimalOf(min(maxPrecision, 1+precision-scale), 0)
		default:
			t = core.DecimalOf(min(maxPrecision, 1+precision-scale+int(k)), int(k))
		}
	}
	t.NotNull = false
	return &rowOp{t: t, args: []op{x, digits}, node: n, fn: func(c *call, r int) error {
		d, k := at[decimalNum](c.arg[0], r), c.i64(1, r)
		if k >= int64(scale) {
			setDecimal(c, r, d, scale, t)
			return nil
		}
		if k < -maxPrecision {
			setDecimal(c, r, decimal128.FromI64(0), 0, t)
			return nil
		}
		unit := bigPower(scale - int(k))
		v := d.BigInt()
		if round {
			v = divideHalfUp(v, unit)
		} else {
			v = new(big.Int).Quo(v, unit)
		}
		out, ok := rescaleBig(v.Mul(v, unit), scale, t)
		if !ok {
			c.setNull(r)
			return nil
		}
		vals[decimalNum](c.out)[r] = out
		return nil
	}}, nil
}

func roundInteger(x, digits int64, round bool) int64 {
	if digits >= 0 {
		return x
	}
	if digits < -18 {
		return 0
	}
	unit := int64(powersOfTen[-digits].LowBits())
	rest := x % unit
	if round && (rest >= unit-rest && rest > 0) {
		return x - rest + unit
	}
	if round && (-rest >= unit+rest && rest < 0) {
		return x - rest - unit
	}
	return x - rest
}

// roundFloat rounds the shortest decimal text of x, as Java's BigDecimal.valueOf(x).setScale does.
func roundFloat(x float64, digits int64, round bool, size int) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return x
	case digits == 0 && round:
		return math.Round(x)
	case digits == 0:
		return math.Trunc(x)
	case digits < 0:
		if digits < -308 {
			return 0
		}
		unit := math.Pow10(int(-digits))
		if round {
			return math.Round(x/unit) * unit
		}
		return math.Trunc(x/unit) * unit
	}
	var buf [400]byte
	text := strconv.AppendFloat(buf[:0], x, 'f', -1, size)
	point := bytes.IndexByte(text, '.')
	if point < 0 || int64(len(text)-point-1) <= digits {
		return x
	}
	end := point + 1 + int(digits)
	up := round && text[end] >= '5'
	text = text[:end]
	for i := end - 1; up && i >= 0; i-- {
		switch {
		case text[i] == '.' || text[i] == '-':
		case text[i] == '9':
			text[i] = '0'
		default:
			text[i]++
			up = false
		}
	}
	if up { // 9.99 became 0.00
		from := 0
		if text[0] == '-' {
			from = 1
		}
		text = append(text[:from], append([]byte{'1'}, text[from:]...)...)
	}
	f, _ := strconv.ParseFloat(string(text), 64)
	return f
}

func makeSign(b *binder, n *Call, args []op) (op, error) {
	t := args[0].typ()
	return rowCall(n, t, args, func(c *call, r int) error {
		sign := 0
		switch t.Kind {
		case core.Decimal:
			d, _ := rescale(decimal128.FromI64(int64(at[decimalNum](c.arg[0], r).Sign())), 0, int(t.Scale), maxPrecision)
			vals[decimalNum](c.out)[r] = d
			return nil
		case core.Float32, core.Float64:
			_, f, _ := numberAt(c.arg[0], r)
			if f > 0 {
				f = 1
			} else if f < 0 {
				f = -1
			}
			if t.Kind == core.Float32 {
				vals[float32](c.out)[r] = float32(f)
			} else {
				c.setF64(r, f)
			}
			return nil
		}
		if x := integerAt(c.arg[0], r); x != 0 {
			sign = 1 - 2*b2i(x < 0)
		}
		setInteger(c.out, r, int64(sign))
		return nil
	}), nil
}
