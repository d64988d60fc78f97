package expr

import (
	"math"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// cast compiles CAST(x AS t), or TRY_CAST when try. Numbers narrow as in Java and Flink: integers wrap around, floats saturate and NaN becomes 0; a DECIMAL that
// does not fit is NULL. A text that is no value of t fails, or is NULL under TRY_CAST.
func (b *binder) cast(n Node, x op, t core.Type, try bool) (op, error) {
	from := x.typ()
	if untyped(x) {
		return nullOp(t), nil
	}
	if sameValues(from, t) {
		if from.Precise == t.Precise && from.Scale == t.Scale {
			return &retypeOp{x, t}, nil
		}
		if from.Kind == core.Decimal || from.Kind == core.TimeOfDay || from.Kind.IsTime() {
			return &retypeOp{x, t}, nil
		}
	}
	switch {
	case t.Kind.IsNested() && from.Kind == t.Kind && len(from.Elements) == len(t.Elements):
		return b.castNested(n, x, t, try)
	case isPlainNumber(from.Kind) && isPlainNumber(t.Kind):
		if f, ok := x.(*arithOp); ok && f.floor && (t.Kind == core.Int32 || t.Kind == core.Int64) {
			// CAST(FLOOR(x) AS INT) is how cells are numbered: one pass instead of two.
			kern := floorToInt32
			if t.Kind == core.Int64 {
				kern = floorToInt64
			}
			return &arithOp{t: t, l: f.l, kern: kern, node: n}, nil
		}
		return &arithOp{t: t, l: x, kern: convertKernel(from.Kind, t.Kind), node: n}, nil
	}
	fn := castFunction(from, t, b)
	if fn == nil {
		hint := ""
		switch {
		case from.Kind.IsNumeric() && t.Kind.IsTime():
			hint = ": use TO_TIMESTAMP_LTZ(number, 0 or 3), FROM_UNIXTIME or TIMESTAMPADD"
		case from.Kind.IsTime() && t.Kind.IsNumeric():
			hint = ": use UNIX_TIMESTAMP, EXTRACT or TIMESTAMPDIFF"
		}
		return nil, b.errorf(n, "%s cannot be cast to %s%s", describe(x), t.Optional(), hint)
	}
	if t.Kind == core.Decimal {
		t.NotNull = false
	}
	return &rowOp{t: t, args: []op{x}, fn: fn, node: n, try: try}, nil
}

func isPlainNumber(k core.Kind) bool { return k.IsNumeric() && k != core.Decimal }

// retypeOp gives the same values another type.
type retypeOp struct {
	x op
	t core.Type
}

func (o *retypeOp) typ() core.Type                         { return o.t }
func (o *retypeOp) eval(e *env, sel []int32) (*vec, error) { return o.x.eval(e, sel) }

// toInt32 converts as Java's (int): it cuts the fraction, saturates, and NaN becomes 0.
func toInt32(f float64) int32 {
	if f > math.MinInt32 && f < math.MaxInt32 {
		return int32(f)
	}
	switch {
	case f >= math.MaxInt32:
		return math.MaxInt32
	case f <= math.MinInt32:
		return math.MinInt32
	}
	return 0
}

// toInt64 converts as Java's (long).
func toInt64(f float64) int64 {
	if f > math.MinInt64 && f < math.MaxInt64 {
		return int64(f)
	}
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return 0
}

// convertKernel converts between integers and floats.
func convertKernel(from, to core.Kind) func(out, a, _ *vec, sel []int32) int {
	switch from {
	case core.Int8:
		return convertFrom[int8](to)
	case core.Int16:
		return convertFrom[int16](to)
	case core.Int32:
		return convertFrom[int32](to)
	case core.Int64:
		return convertFrom[int64](to)
	case core.Float32:
		return convertFloat[float32](to)
	}
	return convertFloat[float64](to)
}

func convertFrom[A signed](to core.Kind) func(out, a, _ *vec, sel []int32) int {
	switch to {
	case core.Int8:
		return convertTo[A, int8]
	case core.Int16:
		return convertTo[A, int16]
	case core.Int32:
		return convertTo[A, int32]
	case core.Int64:
		return convertTo[A, int64]
	case core.Float32:
		return convertTo[A, float32]
	}
	return convertTo[A, float64]
}

func convertTo[A, T number](out, a, _ *vec, sel []int32) int {
	o, x := vals[T](out), vals[A](a)
	if sel == nil {
		x = x[:len(o)]
		for i := range o {
			o[i] = T(x[i])
		}
		return -1
	}
	for _, i := range sel {
		o[i] = T(x[i])
	}
	return -1
}

func convertFloat[A float](to core.Kind) func(out, a, _ *vec, sel []int32) int {
	switch to {
	case core.Int8:
		return mapKernel(func(x A) int8 { return int8(toInt32(float64(x))) })
	case core.Int16:
		return mapKernel(func(x A) int16 { return int16(toInt32(float64(x))) })
	case core.Int32:
		return floatToInt32[A]
	case core.Int64:
		return mapKernel(func(x A) int64 { return toInt64(float64(x)) })
	case core.Float32:
		return convertTo[A, float32]
	}
	return convertTo[A, float64]
}

func floatToInt32[A float](out, a, _ *vec, sel []int32) int {
	o, x := vals[int32](out), vals[A](a)
	if sel == nil {
		x = x[:len(o)]
		for i := range o {
			o[i] = toInt32(float64(x[i]))
		}
		return -1
	}
	for _, i := range sel {
		o[i] = toInt32(float64(x[i]))
	}
	return -1
}

// floorToInt32 is CAST(FLOOR(x) AS INT) in one pass.
func floorToInt32(out, a, _ *vec, sel []int32) int {
	o, x := vals[int32](out), vals[float64](a)
	if sel == nil {
		x = x[:len(o)]
		for i := range o {
			o[i] = toInt32(math.Floor(x[i]))
		}
		return -1
	}
	for _, i := range sel {
		o[i] = toInt32(math.Floor(x[i]))
	}
	return -1
}

// floorToInt64 is CAST(FLOOR(x) AS BIGINT) in one pass.
func floorToInt64(out, a, _ *vec, sel []int32) int {
	mapV(vals[int64](out), vals[float64](a), sel, func(x float64) int64 { return toInt64(math.Floor(x)) })
	return -1
}

func mapKernel[A, T any](f func(A) T) func(out, a, _ *vec, sel []int32) int {
	return func(out, a, _ *vec, sel []int32) int {
		mapV(vals[T](out), vals[A](a), sel, f)
		return -1
	}
}

// numberAt reads row r of a number as the type that loses least.
func numberAt(a *vec, r int) (i int64, f float64, isFloat bool) {
	switch a.typ.Kind {
	case core.Float32:
		return 0, float64(at[float32](a, r)), true
	case core.Float64:
		return 0, at[float64](a, r), true
	}
	return integerAt(a, r), 0, false
}

// setInteger writes an integer of any width, wrapping around.
func setInteger(v *vec, r int, x int64) {
	switch v.typ.Kind.Width() {
	case 1:
		vals[int8](v)[r] = int8(x)
	case 2:
		vals[int16](v)[r] = int16(x)
	case 4:
		vals[int32](v)[r] = int32(x)
	default:
		vals[int64](v)[r] = x
	}
}

// castFunction gives the row function of a cast that no kernel does, or nil when there is none.
func castFunction(from, to core.Type, b *binder) func(c *call, r int) error {
	switch {
	case to.Kind == core.String:
		return castToString(b)
	case from.Kind == core.String:
		return castFromString(to, b)
	case to.Kind == core.Boolean && from.Kind.IsNumeric():
		return func(c *call, r int) error {
			if from.Kind == core.Decimal {
				c.setBool(r, at[decimalNum](c.arg[0], r).Sign() != 0)
				return nil
			}
			i, f, isFloat := numberAt(c.arg[0], r)
			c.setBool(r, i != 0 || isFloat && f != 0)
			return nil
		}
	case from.Kind == core.Boolean && to.Kind.IsNumeric():
		return func(c *call, r int) error {
			x := int64(b2u(c.bool(0, r)))
			switch to.Kind {
			case core.Float32:
				vals[float32](c.out)[r] = float32(x)
			case core.Float64:
				c.setF64(r, float64(x))
			case core.Decimal:
				setDecimal(c, r, decimal128.FromI64(x), 0, to)
			default:
				setInteger(c.out, r, x)
			}
			return nil
		}
	case to.Kind == core.Decimal && from.Kind.IsNumeric():
		return func(c *call, r int) error {
			if from.Kind == core.Decimal {
				setDecimal(c, r, at[decimalNum](c.arg[0], r), int(from.Scale), to)
				return nil
			}
			i, f, isFloat := numberAt(c.arg[0], r)
			if !isFloat {
				setDecimal(c, r, decimal128.FromI64(i), 0, to)
				return nil
			}
			d, ok := floatDecimal(f, from.Kind.Width()*8, to)
			if !ok {
				c.setNull(r)
				return nil
			}
			vals[decimalNum](c.out)[r] = d
			return nil
		}
	case from.Kind == core.Decimal && to.Kind.IsNumeric():
		return func(c *call, r int) error {
			d := at[decimalNum](c.arg[0], r)
			switch to.Kind {
			case core.Float32:
				vals[float32](c.out)[r] = float32(decimalFloat(d, int(from.Scale)))
			case core.Float64:
				c.setF64(r, decimalFloat(d, int(from.Scale)))
			default:
				setInteger(c.out, r, decimalInt64(d, int(from.Scale)))
			}
			return nil
		}
	}
	return castTime(from, to, b)
}

func setDecimal(c *call, r int, d decimalNum, scale int, t core.Type) {
	d, ok := rescale(d, scale, int(t.Scale), int(t.Precise))
	if !ok {
		c.setNull(r)
		return
	}
	vals[decimalNum](c.out)[r] = d
}

// castTime converts between days, times of day and instants. Precision is cut, not rounded.
func castTime(from, to core.Type, b *binder) func(c *call, r int) error {
	zone := b.opts.Zone
	local := func(c *call, r int) int64 { // the argument as wall-clock microseconds
		switch from.Kind {
		case core.Date:
			return int64(c.i32(0, r)) * usDay
		case core.TimestampLTZ:
			return toLocal(c.i64(0, r), zone)
		}
		return c.i64(0, r)
	}
	if from.Kind == core.TimeOfDay && to.Kind == core.TimeOfDay {
		return func(c *call, r int) error { c.setI64(r, cutPrecision(c.i64(0, r), to.Precise)); return nil }
	}
	if !isDateTime(from.Kind) {
		return nil
	}
	switch to.Kind {
	case core.Date:
		return func(c *call, r int) error { c.setI32(r, int32(floorDiv(local(c, r), usDay))); return nil }
	case core.TimeOfDay:
		if from.Kind == core.Date {
			return nil
		}
		return func(c *call, r int) error {
			c.setI64(r, cutPrecision(floorMod(local(c, r), usDay), to.Precise))
			return nil
		}
	case core.Timestamp:
		return func(c *call, r int) error { c.setI64(r, cutPrecision(local(c, r), to.Precise)); return nil }
	case core.TimestampLTZ:
		if from.Kind == core.TimestampLTZ {
			return func(c *call, r int) error { c.setI64(r, cutPrecision(c.i64(0, r), to.Precise)); return nil }
		}
		return func(c *call, r int) error {
			c.setI64(r, toInstant(cutPrecision(local(c, r), to.Precise), zone))
			return nil
		}
	}
	return nil
}

// cutPrecision drops the digits of a second behind precision.
func cutPrecision(us int64, precision uint8) int64 {
	unit := [...]int64{1000000, 100000, 10000, 1000, 100, 10, 1}[min(precision, 6)]
	return us - floorMod(us, unit)
}

// feedOp gives the vec that another operation has put there.
type feedOp struct {
	t core.Type
	v *vec
}

func (o *feedOp) typ() core.Type                   { return o.t }
func (o *feedOp) eval(*env, []int32) (*vec, error) { return o.v, nil }

// nestedOp casts the children of ARRAY, MAP or ROW.
type nestedOp struct {
	t     core.Type
	x     op
	feeds []*feedOp
	kids  []op
	out   vec
	sel   []int32
	rows  []int32 // the row that each of sel belongs to
	inner env
	node  Node
}

func (b *binder) castNested(n Node, x op, t core.Type, try bool) (op, error) {
	o := &nestedOp{t: t, x: x, node: n}
	for i, e := range x.typ().Elements {
		feed := &feedOp{t: e.Type}
		kid, err := b.cast(n, feed, t.Elements[i].Type, try)
		if err != nil {
			return nil, err
		}
		o.feeds, o.kids = append(o.feeds, feed), append(o.kids, kid)
	}
	return o, nil
}

func (o *nestedOp) typ() core.Type { return o.t }

func (o *nestedOp) eval(e *env, sel []int32) (*vec, error) {
	v, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	n := e.n
	if v.isConst() {
		n, sel = 1, nil
	}
	out := &o.out
	out.typ, out.mask, out.n, out.valid, out.scratch = o.t, v.mask, v.n, v.valid, false
	out.start, out.end = v.start, v.end
	out.kids = out.kids[:0]
	o.sel, o.rows = o.sel[:0], o.rows[:0]
	eachRow(sel, n, func(r int) {
		if v.null(r) {
			return
		}
		if o.t.Kind == core.Row {
			o.sel, o.rows = append(o.sel, int32(r)), append(o.rows, int32(r))
			return
		}
		for i := v.start[r]; i < v.end[r]; i++ {
			o.sel, o.rows = append(o.sel, i), append(o.rows, int32(r))
		}
	})
	for i, kid := range o.kids {
		o.feeds[i].v = v.kids[i]
		o.inner = *e
		o.inner.n, o.inner.identity, o.inner.batch = v.kids[i].n, nil, nil
		k := v.kids[i]
		if len(o.sel) > 0 {
			if k, err = kid.eval(&o.inner, o.sel); err != nil {
				return nil, o.locate(e, err)
			}
		}
		out.kids = append(out.kids, k)
	}
	return out, nil
}

// locate turns an error in an element into one of the row that has the element.
func (o *nestedOp) locate(e *env, err error) error {
	inner, ok := err.(*EvalError)
	if !ok {
		return err
	}
	for i, at := range o.sel {
		if int(at) == inner.Row {
			return e.fail(o.node, int(o.rows[i]), inner.Cause)
		}
	}
	return err
}
