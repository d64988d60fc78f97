package expr

import (
	"bytes"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"turbo/core"
)

func badText(s []byte, t core.Type, hint string) error {
	if hint != "" {
		hint = " (" + hint + ")"
	}
	return causef(ErrCast, "%s is no %s%s", quote(shorten(string(s), 60)), t.Optional(), hint)
}

// castFromString reads a text as a value of t. White space around it does not count.
func castFromString(t core.Type, b *binder) func(c *call, r int) error {
	zone := b.opts.Zone
	switch k := t.Kind; {
	case k.IsInteger():
		low, high := int64(-1)<<(k.Width()*8-1), int64(1)<<(k.Width()*8-1)-1
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			x, ok := parseInteger(s)
			if !ok || x < low || x > high {
				hint := ""
				if ok {
					hint = "it is out of range"
				}
				return badText(s, t, hint)
			}
			setInteger(c.out, r, x)
			return nil
		}
	case k == core.Float32 || k == core.Float64:
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			f, ok := parseFloat(s, k.Width()*8)
			if !ok {
				return badText(s, t, "")
			}
			if k == core.Float32 {
				vals[float32](c.out)[r] = float32(f)
			} else {
				c.setF64(r, f)
			}
			return nil
		}
	case k == core.Decimal:
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			d, malformed, ok := parseDecimal(s, int(t.Precise), int(t.Scale))
			switch {
			case malformed:
				return badText(s, t, "")
			case !ok:
				c.setNull(r)
			default:
				vals[decimalNum](c.out)[r] = d
			}
			return nil
		}
	case k == core.Boolean:
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			x, ok := parseBool(s)
			if !ok {
				return badText(s, t, "true, t, yes, y, 1 and false, f, no, n, 0 are")
			}
			c.setBool(r, x)
			return nil
		}
	case k == core.Bytes:
		return func(c *call, r int) error { c.setStr(r, c.str(0, r)); return nil }
	case k == core.Date:
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			if us, _, _, err := parseInstant(s); err == nil {
				c.setI32(r, int32(floorDiv(us, usDay)))
				return nil
			}
			return badText(s, t, "expected yyyy-MM-dd")
		}
	case k == core.TimeOfDay:
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			us, _, err := parseTime(s)
			if err != nil {
				return badText(s, t, "expected HH:mm:ss")
			}
			c.setI64(r, cutPrecision(us, t.Precise))
			return nil
		}
	case k.IsTime():
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			us, offset, _, err := parseInstant(s)
			if err != nil {
				return badText(s, t, "expected yyyy-MM-dd HH:mm:ss[.fraction]")
			}
			us = cutPrecision(us, t.Precise)
			switch {
			case k == core.TimestampLTZ && offset != noOffset:
				us -= offset
			case k == core.TimestampLTZ:
				us = toInstant(us, zone)
			case offset != noOffset:
				return badText(s, t, "a TIMESTAMP has no zone: cast to TIMESTAMP_LTZ")
			}
			c.setI64(r, us)
			return nil
		}
	case isInterval(k):
		first, last := "DAY", "SECOND"
		if k == core.IntervalMonth {
			first, last = "YEAR", "MONTH"
		}
		return func(c *call, r int) error {
			s := bytes.TrimSpace(c.str(0, r))
			x, ok := parseUnits(string(s), first, last)
			if !ok {
				return badText(s, t, "")
			}
			setInteger(c.out, r, x)
			return nil
		}
	}
	return nil
}

// parseInteger reads [+-]digits[.digits]; the fraction is cut, as in Flink.
func parseInteger(s []byte) (int64, bool) {
	if whole, fraction, ok := bytes.Cut(s, []byte(".")); ok {
		if len(fraction) > 0 && !allDigits(string(fraction)) || len(whole) == 0 {
			return 0, false
		}
		s = whole
	}
	negative := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if len(s) == 0 {
		return 0, false
	}
	var x uint64
	for _, ch := range s {
		if !isDigit(ch) || x > math.MaxUint64/10-1 {
			return 0, false
		}
		x = x*10 + uint64(ch-'0')
	}
	if negative {
		return -int64(x), x <= 1<<63
	}
	return int64(x), x < 1<<63
}

func parseFloat(s []byte, size int) (float64, bool) {
	for _, c := range s {
		if c == '_' || c == 'x' || c == 'X' || c == 'p' || c == 'P' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(s), size)
	if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
		return f, true // an infinity, or zero
	}
	return f, err == nil
}

func parseBool(s []byte) (value, ok bool) {
	switch string(bytes.ToLower(s)) {
	case "true", "t", "yes", "y", "1":
		return true, true
	case "false", "f", "no", "n", "0":
		return false, true
	}
	return false, false
}

// castToString writes any value as text.
func castToString(b *binder) func(c *call, r int) error {
	zone := b.opts.Zone
	return func(c *call, r int) error {
		if a := c.arg[0]; a.typ.Kind == core.Bytes && !utf8.Valid(a.str(r)) {
			return causef(ErrCast, "the bytes X'%s' are not UTF-8", shorten(hexText(string(a.str(r))), 60))
		}
		c.end(r, appendText(c.begin(r), c.arg[0], r, zone))
		return nil
	}
}

// appendText writes row r as CAST(... AS STRING) does.
func appendText(dst []byte, v *vec, r int, zone *time.Location) []byte {
	r &= v.mask
	if v.null(r) {
		return append(dst, "NULL"...)
	}
	switch k := v.typ.Kind; k {
	case core.Boolean:
		if vals[uint8](v)[r] != 0 {
			return append(dst, "TRUE"...)
		}
		return append(dst, "FALSE"...)
	case core.Int8, core.Int16, core.Int32, core.Int64:
		return appendInt(dst, integerAt(v, r))
	case core.Float32:
		return appendFloat(dst, float64(vals[float32](v)[r]), 32)
	case core.Float64:
		return appendFloat(dst, vals[float64](v)[r], 64)
	case core.Decimal:
		return appendDecimal(dst, vals[decimalNum](v)[r], int(v.typ.Scale))
	case core.Date:
		return appendDate(dst, int64(vals[int32](v)[r]))
	case core.TimeOfDay:
		return appendClock(dst, vals[int64](v)[r], int(v.typ.Precise))
	case core.Timestamp:
		return appendTimestamp(dst, vals[int64](v)[r], int(v.typ.Precise))
	case core.TimestampLTZ:
		return appendTimestamp(dst, toLocal(vals[int64](v)[r], zone), int(v.typ.Precise))
	case core.IntervalDay:
		return appendDayInterval(dst, vals[int64](v)[r])
	case core.IntervalMonth:
		return appendMonthInterval(dst, int64(vals[int32](v)[r]))
	case core.String, core.Bytes:
		return append(dst, v.str(r)...)
	case core.Row:
		dst = append(dst, '(')
		for i, kid := range v.kids {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendText(dst, kid, r, zone)
		}
		return append(dst, ')')
	case core.Array, core.Map:
		open, shut := byte('['), byte(']')
		if k == core.Map {
			open, shut = '{', '}'
		}
		dst = append(dst, open)
		for i := int(v.start[r]); i < int(v.end[r]); i++ {
			if i > int(v.start[r]) {
				dst = append(dst, ", "...)
			}
			dst = appendText(dst, v.kids[0], i, zone)
			if k == core.Map {
				dst = append(dst, '=')
				dst = appendText(dst, v.kids[1], i, zone)
			}
		}
		return append(dst, shut)
	}
	return dst
}

// appendFloat writes f as Java's Double.toString: 1.0, 1.0E10, NaN, Infinity.
func appendFloat(dst []byte, f float64, size int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case f == 0:
		if math.Signbit(f) {
			dst = append(dst, '-')
		}
		return append(dst, "0.0"...)
	}
	start := len(dst)
	if a := math.Abs(f); a >= 1e-3 && a < 1e7 {
		dst = strconv.AppendFloat(dst, f, 'f', -1, size)
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	var buf [40]byte
	text := strconv.AppendFloat(buf[:0], f, 'e', -1, size)
	mantissa, exponent, _ := bytes.Cut(text, []byte("e"))
	dst = append(dst, mantissa...)
	if bytes.IndexByte(mantissa, '.') < 0 {
		dst = append(dst, ".0"...)
	}
	dst = append(dst, 'E')
	if exponent[0] == '-' {
		dst = append(dst, '-')
	}
	return append(dst, bytes.TrimLeft(exponent, "+-0")...)
}

// FormatValue gives row r of a column as SQL text: strings in quotes, instants in UTC.
func FormatValue(c *core.Vector, r int) string {
	var v vec
	v.view(c)
	return string(appendSQL(nil, &v, r))
}

func appendSQL(dst []byte, v *vec, r int) []byte {
	r &= v.mask
	k := v.typ.Kind
	if v.null(r) {
		return append(dst, "NULL"...)
	}
	switch k {
	case core.String:
		return append(dst, quote(string(v.str(r)))...)
	case core.Bytes:
		return append(appendUpper(append(dst, "X'"...), appendHex(nil, v.str(r))), '\'')
	case core.Date:
		dst = append(dst, "DATE '"...)
	case core.TimeOfDay:
		dst = append(dst, "TIME '"...)
	case core.Timestamp:
		dst = append(dst, "TIMESTAMP '"...)
	case core.TimestampLTZ:
		return append(append(append(dst, "TIMESTAMP_LTZ '"...), appendTimestamp(nil, vals[int64](v)[r], int(v.typ.Precise))...), "Z'"...)
	case core.IntervalDay, core.IntervalMonth:
		dst = append(dst, "INTERVAL '"...)
	case core.Row, core.Array, core.Map:
		return appendNestedSQL(dst, v, r)
	default:
		return appendText(dst, v, r, time.UTC)
	}
	dst = append(appendText(dst, v, r, time.UTC), '\'')
	switch k {
	case core.IntervalDay:
		dst = append(dst, " DAY TO SECOND"...)
	case core.IntervalMonth:
		dst = append(dst, " YEAR TO MONTH"...)
	}
	return dst
}

func appendNestedSQL(dst []byte, v *vec, r int) []byte {
	if v.typ.Kind == core.Row {
		dst = append(dst, "ROW("...)
		for i, kid := range v.kids {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendSQL(dst, kid, r)
		}
		return append(dst, ')')
	}
	dst = append(append(dst, v.typ.Kind.String()...), '[')
	for i := int(v.start[r]); i < int(v.end[r]); i++ {
		if i > int(v.start[r]) {
			dst = append(dst, ", "...)
		}
		for j, kid := range v.kids {
			if j > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendSQL(dst, kid, i)
		}
	}
	return append(dst, ']')
}
