package expr

import (
	"math"

	"turbo/core"
)

// arithOp is an operation on one or two columns of fixed width that a kernel computes, null where an operand is null.
type arithOp struct {
	target
	t    core.Type
	l, r op // r is nil for one operand
	kern func(out, a, b *vec, sel []int32) int
	node Node
	// partial: the kernel can fail, so it must not see rows outside the selection.
	partial bool
	// floor: the kernel is FLOOR of a DOUBLE.
	floor bool
}

// sparse gives sel, or nil for all rows when nearly all are in it: then a loop without it is faster, and what it computes for the other rows does no harm.
func sparse(sel []int32, n int) []int32 {
	if len(sel) >= n-n/4 {
		return nil
	}
	return sel
}

func (o *arithOp) typ() core.Type  { return o.t }
func (o *arithOp) result() *target { return &o.target }

func (o *arithOp) eval(e *env, sel []int32) (*vec, error) {
	a, err := o.l.eval(e, sel)
	if err != nil {
		return nil, err
	}
	b := a
	if o.r != nil {
		if b, err = o.r.eval(e, sel); err != nil {
			return nil, err
		}
	}
	n, constant := e.n, a.isConst() && b.isConst()
	if constant {
		n, sel = 1, nil
	}
	out := o.begin(o.t, n, a, b)
	if !out.intersect(n, a, b) {
		out.allNull(o.t)
		return out, nil
	}
	if !o.partial {
		sel = sparse(sel, n)
	}
	if bad := o.kern(out, a, b, sel); bad >= 0 {
		return nil, e.fail(o.node, bad, ErrDivisionByZero)
	}
	if constant {
		out.makeConst()
	}
	return out, nil
}

// arithKernel chooses the kernel of an operator for the Go type of the operands.
func arithKernel(op byte, k core.Kind) func(out, a, b *vec, sel []int32) int {
	switch k {
	case core.Int8:
		return integerKernel[int8](op)
	case core.Int16:
		return integerKernel[int16](op)
	case core.Int32, core.Date, core.IntervalMonth:
		return integerKernel[int32](op)
	case core.Float32:
		return floatKernel[float32](op)
	case core.Float64:
		return floatKernel[float64](op)
	}
	return integerKernel[int64](op)
}

func sumKernel[T number](op byte) func(out, a, b *vec, sel []int32) int {
	return func(out, a, b *vec, sel []int32) int {
		o, x, y := vals[T](out), vals[T](a), vals[T](b)
		switch {
		case op == '+' && b.isConst():
			addVC(o, x, y[0], sel)
		case op == '+' && a.isConst():
			addVC(o, y, x[0], sel)
		case op == '+':
			addVV(o, x, y, sel)
		case op == '-' && b.isConst():
			addVC(o, x, -y[0], sel)
		case op == '-' && a.isConst():
			subCV(o, x[0], y, sel)
		case op == '-':
			subVV(o, x, y, sel)
		case b.isConst():
			mulVC(o, x, y[0], sel)
		case a.isConst():
			mulVC(o, y, x[0], sel)
		default:
			mulVV(o, x, y, sel)
		}
		return -1
	}
}

func integerKernel[T signed](op byte) func(out, a, b *vec, sel []int32) int {
	switch op {
	case '+', '-', '*':
		return sumKernel[T](op)
	case 'n':
		return func(out, a, _ *vec, sel []int32) int { negV(vals[T](out), vals[T](a), sel); return -1 }
	case 'a':
		return func(out, a, _ *vec, sel []int32) int { absV(vals[T](out), vals[T](a), sel); return -1 }
	}
	return func(out, a, b *vec, sel []int32) int {
		o, x, y := vals[T](out), vals[T](a), vals[T](b)
		zero := b.isConst() && y[0] == 0
		switch {
		case op == '/' && b.isConst() && !zero:
			quoVC(o, x, y[0], sel)
		case b.isConst() && !zero:
			remVC(o, x, y[0], sel)
		case zero:
			return firstValid(out, sel)
		case op == '/' && a.isConst():
			return quoCV(o, x[0], y, sel, out.valid)
		case op == '/':
			return quoVV(o, x, y, sel, out.valid)
		case a.isConst():
			return remCV(o, x[0], y, sel, out.valid)
		default:
			return remVV(o, x, y, sel, out.valid)
		}
		return -1
	}
}

// firstValid gives the first row of sel that is not null, or -1.
func firstValid(v *vec, sel []int32) int {
	if sel == nil {
		for r := range v.n {
			if !v.null(r) {
				return r
			}
		}
		return -1
	}
	for _, r := range sel {
		if !v.null(int(r)) {
			return int(r)
		}
	}
	return -1
}

func floatKernel[T float](op byte) func(out, a, b *vec, sel []int32) int {
	switch op {
	case '+', '-', '*':
		return sumKernel[T](op)
	case 'n':
		return func(out, a, _ *vec, sel []int32) int { negV(vals[T](out), vals[T](a), sel); return -1 }
	case 'a':
		return func(out, a, _ *vec, sel []int32) int {
			mapV(vals[T](out), vals[T](a), sel, func(x T) T { return T(math.Abs(float64(x))) })
			return -1
		}
	}
	return func(out, a, b *vec, sel []int32) int {
		o, x, y := vals[T](out), vals[T](a), vals[T](b)
		switch {
		case op == '%':
			eachRow(sel, out.n, func(r int) { o[r] = T(math.Mod(float64(x[r&a.mask]), float64(y[r&b.mask]))) })
		case b.isConst():
			divVC(o, x, y[0], sel)
		case a.isConst():
			divCV(o, x[0], y, sel)
		default:
			divVV(o, x, y, sel)
		}
		return -1
	}
}

func (b *binder) unary(n *Unary) (op, error) {
	x, err := b.bind(n.X)
	if err != nil {
		return nil, err
	}
	if n.Op == "NOT" {
		if x, err = b.condition(n.X, x, "NOT"); err != nil {
			return nil, err
		}
		return &notOp{x: x}, nil
	}
	k := x.typ().Kind
	switch {
	case untyped(x):
		return x, nil
	case !k.IsNumeric() && k != core.IntervalDay && k != core.IntervalMonth:
		return nil, b.errorf(n, "%s cannot be applied to %s: it needs a number or an interval", n.Op, describe(x))
	case n.Op == "+":
		return x, nil
	case k == core.Decimal:
		return &rowOp{t: x.typ(), args: []op{x}, node: n, fn: func(c *call, r int) error {
			vals[decimalNum](c.out)[r] = at[decimalNum](c.arg[0], r).Negate()
			return nil
		}}, nil
	}
	return &arithOp{t: x.typ(), l: x, kern: arithKernel('n', k), node: n}, nil
}

func (b *binder) binary(n *Binary) (op, error) {
	if n.Op == "AND" || n.Op == "OR" {
		return b.logic(n)
	}
	l, err := b.bind(n.L)
	if err != nil {
		return nil, err
	}
	r, err := b.bind(n.R)
	if err != nil {
		return nil, err
	}
	switch n.Op {
	case "=", "<>", "<", "<=", ">", ">=":
		return b.comparison(n, n.Op, l, r)
	case "IS DISTINCT FROM", "IS NOT DISTINCT FROM":
		return b.distinct(n, l, r)
	case "||":
		return b.concat(n, l, r)
	}
	return b.arithmetic(n, n.Op[0], l, r)
}

// arithmetic compiles + - * / %. Integers keep the wider type and wrap around as in Java; / of integers cuts toward zero; a FLOAT or DOUBLE divided by zero is
// infinite; integers and DECIMAL fail. A DECIMAL that does not fit 38 digits is NULL, as in Flink.
func (b *binder) arithmetic(n Node, sign byte, l, r op) (op, error) {
	lt, rt := l.typ(), r.typ()
	if untyped(l) && untyped(r) {
		return l, nil
	}
	if untyped(l) && rt.Kind.IsNumeric() {
		return nullOp(rt), nil
	}
	if untyped(r) && lt.Kind.IsNumeric() {
		return nullOp(lt), nil
	}
	if !lt.Kind.IsNumeric() || !rt.Kind.IsNumeric() {
		return b.temporalArithmetic(n, sign, l, r)
	}
	t := commonNumber(lt, rt)
	if t.Kind == core.Decimal {
		return b.decimalArithmetic(n, sign, l, r)
	}
	t.NotNull = lt.NotNull && rt.NotNull
	x, err := b.convert(n, l, t)
	if err != nil {
		return nil, err
	}
	y, err := b.convert(n, r, t)
	if err != nil {
		return nil, err
	}
	partial := t.Kind.IsInteger() && (sign == '/' || sign == '%')
	var o op = &arithOp{t: t, l: x, r: y, kern: arithKernel(sign, t.Kind), node: n, partial: partial}
	if sign == '%' && rt.Kind < t.Kind && t.Kind.IsInteger() {
		// The remainder has the divisor's type, which always holds it.
		return b.convert(n, o, withNull(core.Of(rt.Kind), l, r))
	}
	return o, nil
}

func (b *binder) decimalArithmetic(n Node, sign byte, l, r op) (op, error) {
	lt, rt := asDecimal(l.typ()), asDecimal(r.typ())
	l, err := b.convert(n, l, lt)
	if err != nil {
		return nil, err
	}
	if r, err = b.convert(n, r, rt); err != nil {
		return nil, err
	}
	p1, s1, p2, s2 := int(lt.Precise), int(lt.Scale), int(rt.Precise), int(rt.Scale)
	var t core.Type
	switch sign {
	case '+', '-':
		scale := max(s1, s2)
		t = fitDecimal(max(p1-s1, p2-s2)+scale+1, scale)
	case '*':
		t = fitDecimal(p1+p2+1, s1+s2)
	case '/':
		scale := max(6, s1+p2+1)
		t = fitDecimal(p1-s1+s2+scale, scale)
	default:
		scale := max(s1, s2)
		t = fitDecimal(max(min(p1-s1, p2-s2)+scale, 1), scale)
	}
	fn := func(c *call, row int) error {
		x, y := at[decimalNum](c.arg[0], row), at[decimalNum](c.arg[1], row)
		var d decimalNum
		var ok bool
		switch sign {
		case '+', '-':
			d, ok = decimalAdd(x, y, s1, s2, t, sign == '-')
		case '*':
			d, ok = decimalMul(x, y, s1, s2, t)
		default:
			if y.Sign() == 0 {
				return ErrDivisionByZero
			}
			if sign == '/' {
				d, ok = decimalDiv(x, y, s1, s2, t)
			} else {
				d, ok = decimalRem(x, y, s1, s2, t)
			}
		}
		if !ok {
			c.setNull(row)
			return nil
		}
		vals[decimalNum](c.out)[row] = d
		return nil
	}
	return &rowOp{t: t, args: []op{l, r}, fn: fn, node: n}, nil
}
