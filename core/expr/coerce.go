package expr

import (
	"turbo/core"
)

// common gives the type to which both operands of a comparison, or all branches of a CASE, are converted; false when there is none.
// Nullability is that of either.
func common(a, b core.Type) (core.Type, bool) {
	t, ok := commonKind(a, b)
	t.NotNull = a.NotNull && b.NotNull
	return t, ok
}

func commonKind(a, b core.Type) (core.Type, bool) {
	switch {
	case a.Kind == core.Invalid:
		return b, true
	case b.Kind == core.Invalid:
		return a, true
	case a.Kind.IsNumeric() && b.Kind.IsNumeric():
		return commonNumber(a, b), true
	case a.Kind == b.Kind && !a.Kind.IsNested():
		a.Precise = max(a.Precise, b.Precise)
		return a, true
	case a.Kind == b.Kind:
		return commonNested(a, b)
	case isDateTime(a.Kind) && isDateTime(b.Kind):
		t := core.Type{Kind: max(a.Kind, b.Kind), Precise: max(a.Precise, b.Precise)}
		return t, true
	}
	return core.Type{}, false
}

// isDateTime tells whether the kind is a day or an instant; a larger one holds the smaller.
func isDateTime(k core.Kind) bool {
	return k == core.Date || k == core.Timestamp || k == core.TimestampLTZ
}

func commonNested(a, b core.Type) (core.Type, bool) {
	if len(a.Elements) != len(b.Elements) {
		return a, false
	}
	out := core.Type{Kind: a.Kind, Elements: make([]core.Field, len(a.Elements))}
	for i, e := range a.Elements {
		t, ok := common(e.Type, b.Elements[i].Type)
		if !ok {
			return a, false
		}
		out.Elements[i] = core.Field{Name: e.Name, Type: t}
	}
	return out, true
}

// commonNumber: the wider integer; DECIMAL takes integers in; DOUBLE takes everything; FLOAT takes integers.
func commonNumber(a, b core.Type) core.Type {
	if a.Kind == b.Kind && a.Kind != core.Decimal {
		return a
	}
	switch {
	case a.Kind == core.Float64 || b.Kind == core.Float64:
		return core.Of(core.Float64)
	case a.Kind == core.Float32 || b.Kind == core.Float32:
		if a.Kind == core.Decimal || b.Kind == core.Decimal {
			return core.Of(core.Float64)
		}
		return core.Of(core.Float32)
	case a.Kind == core.Decimal || b.Kind == core.Decimal:
		x, y := asDecimal(a), asDecimal(b)
		scale := max(x.Scale, y.Scale)
		whole := max(x.Precise-x.Scale, y.Precise-y.Scale)
		return fitDecimal(int(whole)+int(scale), int(scale))
	}
	return core.Of(max(a.Kind, b.Kind))
}

// asDecimal gives the DECIMAL that holds every value of a numeric type.
func asDecimal(t core.Type) core.Type {
	switch t.Kind {
	case core.Int8:
		return core.DecimalOf(3, 0)
	case core.Int16:
		return core.DecimalOf(5, 0)
	case core.Int32:
		return core.DecimalOf(10, 0)
	case core.Int64:
		return core.DecimalOf(19, 0)
	}
	return t
}

// fitDecimal makes DECIMAL(p, s) fit 38 digits as Flink and SQL Server do: digits behind the point go first, down to six.
func fitDecimal(p, s int) core.Type {
	if p <= maxPrecision {
		return core.DecimalOf(p, s)
	}
	return core.DecimalOf(maxPrecision, max(maxPrecision-(p-s), min(s, 6)))
}

// unify converts both operands to their common type. A constant string becomes what it is compared with.
func (b *binder) unify(n Node, what string, l, r op) (op, op, error) {
	t, ok := common(l.typ(), r.typ())
	if !ok {
		_, lText := constString(l)
		_, rText := constString(r)
		switch {
		case lText && stringLiteralMayBe(r.typ().Kind):
			t, ok = r.typ(), true
		case rText && stringLiteralMayBe(l.typ().Kind):
			t, ok = l.typ(), true
		}
	}
	if !ok {
		hint := ""
		if l.typ().Kind == core.String || r.typ().Kind == core.String {
			hint = "convert one side with CAST"
		}
		return nil, nil, b.invalid(n, what, hint, l, r)
	}
	if t.Kind == core.Invalid {
		t = core.Of(core.Boolean)
	}
	l, err := b.convert(n, l, t)
	if err != nil {
		return nil, nil, err
	}
	r, err = b.convert(n, r, t)
	return l, r, err
}

// stringLiteralMayBe tells whether a string constant is read as a value of the kind where one is compared with it.
func stringLiteralMayBe(k core.Kind) bool { return isDateTime(k) || k == core.TimeOfDay }

// unifyAll converts the operands to one type, for CASE and its kin.
func (b *binder) unifyAll(n Node, what string, args []op) ([]op, core.Type, error) {
	t := core.Type{NotNull: true}
	for i, a := range args {
		c, ok := common(t, a.typ())
		if !ok {
			return args, t, b.errorf(n, "%s needs values of one type, but has %s and %s: convert with CAST", what, t.Optional(), describe(args[i]))
		}
		t = c
	}
	if t.Kind == core.Invalid {
		return args, t, nil
	}
	out := make([]op, len(args))
	for i, a := range args {
		var err error
		if out[i], err = b.convert(n, a, t); err != nil {
			return args, t, err
		}
	}
	return out, t, nil
}

// convert casts an operand implicitly to t, whose nullability does not matter; constants are converted here and now.
func (b *binder) convert(n Node, o op, t core.Type) (op, error) {
	t.NotNull = o.typ().NotNull
	if sameValues(o.typ(), t) {
		return o, nil
	}
	c, err := b.cast(n, o, t, false)
	if err != nil {
		return nil, err
	}
	if _, ok := o.(*constOp); ok {
		folded := b.fold(c)
		if e, failed := folded.(*rowOp); failed && !untyped(o) {
			// The text of a constant does not fit: better said now than for every row.
			if _, err := e.eval(&env{n: 1, zone: b.opts.Zone, schema: &core.Schema{TimeColumn: -1}, source: b.opts.Source}, nil); err != nil {
				return nil, b.errorf(n, "%v", err.(*EvalError).Cause)
			}
		}
		return folded, nil
	}
	return c, nil
}

// sameValues tells whether a value of type a is one of type b as it stands.
func sameValues(a, b core.Type) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case core.Decimal:
		return a.Scale == b.Scale && a.Precise <= b.Precise
	case core.TimeOfDay, core.Timestamp, core.TimestampLTZ:
		return a.Precise <= b.Precise
	case core.Array, core.Map, core.Row:
		for i := range a.Elements {
			if len(a.Elements) != len(b.Elements) || !sameValues(a.Elements[i].Type, b.Elements[i].Type) {
				return false
			}
		}
	}
	return true
}
