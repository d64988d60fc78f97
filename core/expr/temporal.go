package expr

import (
	"math"

	"turbo/core"
)

// temporalArithmetic compiles arithmetic with instants, days and intervals:
//
//	TIMESTAMP, TIMESTAMP_LTZ +- INTERVAL     -> the same type
//	DATE +- INTERVAL                         -> DATE when the interval is a constant of whole days or months, else TIMESTAMP(3)
//	TIME +- INTERVAL DAY TO SECOND           -> TIME, around midnight
//	INTERVAL +- INTERVAL, INTERVAL * number, INTERVAL / number -> INTERVAL
//	instant - instant of one type            -> INTERVAL DAY TO SECOND
func (b *binder) temporalArithmetic(n Node, sign byte, l, r op) (op, error) {
	symbol := string(sign)
	lk, rk := l.typ().Kind, r.typ().Kind
	if isInterval(lk) && rk == core.Invalid || lk == core.Invalid && isInterval(rk) || lk == core.Invalid && isDateTime(rk) || rk == core.Invalid && isDateTime(lk) {
		t := l.typ()
		if lk == core.Invalid {
			t = r.typ()
		}
		return nullOp(t), nil
	}
	if sign == '+' && isInterval(lk) && (isDateTime(rk) || rk == core.TimeOfDay) || sign == '*' && isInterval(rk) && lk.IsNumeric() {
		l, r, lk, rk = r, l, rk, lk
	}
	t := withNull(l.typ(), l, r)
	switch {
	case sign != '+' && sign != '-' && isInterval(lk) && rk.IsNumeric() && sign != '%':
		return b.scaleInterval(n, sign, l, r)
	case sign != '+' && sign != '-':
	case isInterval(lk) && lk == rk:
		return &arithOp{t: t, l: l, r: r, kern: arithKernel(sign, lk), node: n}, nil
	case lk.IsTime() && rk == core.IntervalDay:
		if t.Precise < 3 {
			t.Precise = 3
		}
		return &arithOp{t: t, l: l, r: r, kern: arithKernel(sign, core.Int64), node: n}, nil
	case isDateTime(lk) && rk == core.IntervalMonth:
		return b.addMonthsOp(n, l, r, sign == '-'), nil
	case lk == core.Date && rk == core.IntervalDay:
		return b.addToDate(n, sign, l, r)
	case lk == core.TimeOfDay && rk == core.IntervalDay:
		return &rowOp{t: t, args: []op{l, r}, node: n, fn: func(c *call, row int) error {
			d := c.i64(1, row)
			if sign == '-' {
				d = -d
			}
			c.setI64(row, floorMod(c.i64(0, row)+d, usDay))
			return nil
		}}, nil
	case sign == '-' && isDateTime(lk) && isDateTime(rk):
		x, y, err := b.unify(n, symbol, l, r)
		if err != nil {
			return nil, err
		}
		if lk == core.Date && rk == core.Date {
			for _, p := range []*op{&x, &y} {
				if *p, err = b.convert(n, *p, core.Of(core.Timestamp)); err != nil {
					return nil, err
				}
			}
		}
		return &arithOp{t: withNull(core.Of(core.IntervalDay), l, r), l: x, r: y, kern: arithKernel('-', core.Int64), node: n}, nil
	}
	hint := ""
	switch {
	case (lk == core.String || rk == core.String) && sign == '+':
		hint = "strings are joined with ||, numbers in strings converted with CAST"
	case lk == core.String || rk == core.String:
		hint = "convert the string with CAST"
	case isDateTime(lk) && rk.IsNumeric():
		hint = "add an interval, such as INTERVAL '1' DAY, or use TIMESTAMPADD"
	}
	return nil, b.invalid(n, symbol, hint, l, r)
}

func isInterval(k core.Kind) bool { return k == core.IntervalDay || k == core.IntervalMonth }

func (b *binder) scaleInterval(n Node, sign byte, l, r op) (op, error) {
	t := withNull(l.typ(), l, r)
	if r.typ().Kind.IsInteger() && sign == '*' {
		factor := core.Of(core.Int64)
		if t.Kind == core.IntervalMonth {
			factor = core.Of(core.Int32)
		}
		r, err := b.convert(n, r, factor)
		return &arithOp{t: t, l: l, r: r, kern: arithKernel(sign, factor.Kind), node: n}, err
	}
	r, err := b.convert(n, r, core.Of(core.Float64))
	return &rowOp{t: t, args: []op{l, r}, node: n, fn: func(c *call, row int) error {
		f := c.f64(1, row)
		if sign == '/' {
			if f == 0 {
				return ErrDivisionByZero
			}
			f = 1 / f
		}
		if t.Kind == core.IntervalMonth {
			c.setI32(row, toInt32(math.Trunc(float64(c.i32(0, row))*f)))
		} else {
			c.setI64(row, toInt64(math.Trunc(float64(c.i64(0, row))*f)))
		}
		return nil
	}}, err
}

// addMonthsOp adds an INTERVAL YEAR TO MONTH; a day that the month does not have becomes its last.
func (b *binder) addMonthsOp(n Node, l, r op, negative bool) op {
	k := l.typ().Kind
	zone := b.opts.Zone
	return &rowOp{t: withNull(l.typ(), l, r), args: []op{l, r}, node: n, fn: func(c *call, row int) error {
		months := int64(c.i32(1, row))
		if negative {
			months = -months
		}
		switch k {
		case core.Date:
			c.setI32(row, int32(addMonths(int64(c.i32(0, row)), months)))
		case core.TimestampLTZ:
			c.setI64(row, toInstant(addMonthsMicros(toLocal(c.i64(0, row), zone), months), zone))
		default:
			c.setI64(row, addMonthsMicros(c.i64(0, row), months))
		}
		return nil
	}}
}

func addMonthsMicros(us, months int64) int64 {
	day := floorDiv(us, usDay)
	return addMonths(day, months)*usDay + us - day*usDay
}

// addToDate adds an INTERVAL DAY TO SECOND to a DATE.
func (b *binder) addToDate(n Node, sign byte, l, r op) (op, error) {
	if c, ok := r.(*constOp); ok && vals[int64](&c.v)[0]%usDay == 0 {
		return &rowOp{t: withNull(l.typ(), l, r), args: []op{l, r}, node: n, fn: func(c *call, row int) error {
			days := int32(c.i64(1, row) / usDay)
			if sign == '-' {
				days = -days
			}
			c.setI32(row, c.i32(0, row)+days)
			return nil
		}}, nil
	}
	x, err := b.convert(n, l, core.Type{Kind: core.Timestamp, Precise: 3})
	if err != nil {
		return nil, err
	}
	return &arithOp{t: withNull(core.Type{Kind: core.Timestamp, Precise: 3}, l, r), l: x, r: r, kern: arithKernel(sign, core.Int64), node: n}, nil
}
