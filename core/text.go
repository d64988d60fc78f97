package core

import (
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
)

// AppendText appends the canonical text of a row, as Flink's CAST AS STRING gives it (with UTC as the session's zone):
// TRUE, 1.0E10, 12.50, 2013-01-01 00:00:36.000, +1 02:03:04.000, [a, NULL], {k=v}, (1, x). BYTES are read as UTF-8,
// with U+FFFD for what is none. A null is the word NULL: who needs to tell it from the string asks Null first.
func (v *Vector) AppendText(dst []byte, row int) []byte {
	if v.Null(row) {
		return append(dst, "NULL"...)
	}
	switch v.Type.Kind {
	case Boolean:
		if v.Bools()[row] != 0 {
			return append(dst, "TRUE"...)
		}
		return append(dst, "FALSE"...)
	case Int8:
		return strconv.AppendInt(dst, int64(v.Int8s()[row]), 10)
	case Int16:
		return strconv.AppendInt(dst, int64(v.Int16s()[row]), 10)
	case Int32:
		return strconv.AppendInt(dst, int64(v.Int32s()[row]), 10)
	case Int64:
		return strconv.AppendInt(dst, v.Int64s()[row], 10)
	case Float32:
		return AppendDouble(dst, float64(v.Float32s()[row]), 32)
	case Float64:
		return AppendDouble(dst, v.Float64s()[row], 64)
	case Decimal:
		return AppendDecimal(dst, v.Decimals()[row], int(v.Type.Scale))
	case String:
		return append(dst, v.BytesAt(row)...)
	case Bytes:
		return appendValidUTF8(dst, v.BytesAt(row))
	case Date:
		return AppendDate(dst, v.Int32s()[row])
	case TimeOfDay:
		return AppendTime(dst, v.Int64s()[row], int(v.Type.Precise))
	case Timestamp, TimestampLTZ:
		return AppendTimestamp(dst, v.Int64s()[row], int(v.Type.Precise))
	case IntervalDay:
		return AppendIntervalDay(dst, v.Int64s()[row])
	case IntervalMonth:
		return AppendIntervalMonth(dst, v.Int32s()[row])
	}
	return v.appendNestedText(dst, row)
}

func (v *Vector) appendNestedText(dst []byte, row int) []byte {
	switch v.Type.Kind {
	case Array:
		o := v.Offsets()
		dst = append(dst, '[')
		for i := o[row]; i < o[row+1]; i++ {
			if i > o[row] {
				dst = append(dst, ", "...)
			}
			dst = v.children[0].AppendText(dst, int(i))
		}
		return append(dst, ']')
	case Map:
		o := v.Offsets()
		dst = append(dst, '{')
		for i := o[row]; i < o[row+1]; i++ {
			if i > o[row] {
				dst = append(dst, ", "...)
			}
			dst = append(v.children[0].AppendText(dst, int(i)), '=')
			dst = v.children[1].AppendText(dst, int(i))
		}
		return append(dst, '}')
	case Row:
		dst = append(dst, '(')
		for i, c := range v.children {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = c.AppendText(dst, row)
		}
		return append(dst, ')')
	}
	return dst
}

func appendValidUTF8(dst, b []byte) []byte {
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			dst = append(dst, b[0])
			b = b[1:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}

// AppendDouble appends a FLOAT (size 32) or DOUBLE (64) in the shortest form that reads back as the same value, written
// as Java does: 1.0, 0.001, 1.0E7, 1.5E-4, NaN, Infinity, -Infinity.
func AppendDouble(dst []byte, f float64, size int) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case f > 1.7976931348623157e308:
		return append(dst, "Infinity"...)
	case f < -1.7976931348623157e308:
		return append(dst, "-Infinity"...)
	case f == 0:
		if 1/f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "0.0"...)
	}
	if abs := max(f, -f); abs >= 1e-3 && abs < 1e7 {
		start := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, size)
		for _, c := range dst[start:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	var buffer [32]byte
	b := strconv.AppendFloat(buffer[:0], f, 'e', -1, size) // d[.ddd]e±dd
	e := len(b) - 1
	for b[e] != 'e' {
		e--
	}
	dst = append(dst, b[:e]...)
	if (b[0] == '-' && e == 2) || e == 1 {
		dst = append(dst, ".0"...)
	}
	dst = append(dst, 'E')
	if b[e+1] == '-' {
		dst = append(dst, '-')
	}
	exponent := b[e+2:]
	for len(exponent) > 1 && exponent[0] == '0' {
		exponent = exponent[1:]
	}
	return append(dst, exponent...)
}

const ten19 = 10_000_000_000_000_000_000

// AppendDecimal appends a DECIMAL in plain notation with scale digits behind the point: -0.05.
func AppendDecimal(dst []byte, n decimal128.Num, scale int) []byte {
	hi, lo := uint64(n.HighBits()), n.LowBits()
	if n.HighBits() < 0 {
		dst = append(dst, '-')
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	var buffer [48]byte
	digits := buffer[:0]
	if hi == 0 {
		digits = strconv.AppendUint(digits, lo, 10)
	} else {
		q, r := bits.Div64(hi%ten19, lo, ten19) // hi < 2^63 < 10^19, so the quotient fits
		digits = strconv.AppendUint(digits, q, 10)
		digits = appendPadded(digits, r, 19)
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	if whole := len(digits) - scale; whole > 0 {
		dst = append(append(dst, digits[:whole]...), '.')
		return append(dst, digits[whole:]...)
	}
	dst = append(dst, "0."...)
	for i := len(digits); i < scale; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// appendPadded appends n with leading zeros up to width digits.
func appendPadded(dst []byte, n uint64, width int) []byte {
	start := len(dst)
	for range width {
		dst = append(dst, '0')
	}
	for i := start + width - 1; n > 0 && i >= start; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

func append2(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// AppendDate appends a DATE as 2013-01-01. Years before 0 have a minus sign, those after 9999 more digits.
func AppendDate(dst []byte, days int32) []byte { return appendDay(dst, int(days)) }

func appendDay(dst []byte, days int) []byte {
	y, m, d := CivilFromDays(days)
	if y < 0 {
		dst = append(dst, '-')
		y = -y
	}
	if y > 9999 {
		dst = strconv.AppendInt(dst, int64(y), 10)
	} else {
		dst = append2(append2(dst, y/100), y%100)
	}
	return append2(append(append2(append(dst, '-'), m), '-'), d)
}

func appendClock(dst []byte, seconds int) []byte {
	dst = append(append2(dst, seconds/3600), ':')
	dst = append(append2(dst, seconds/60%60), ':')
	return append2(dst, seconds%60)
}

// appendFraction appends the fraction of a second with at least least digits, zeros at the end dropped beyond them.
func appendFraction(dst []byte, us int64, least int) []byte {
	if us == 0 && least == 0 {
		return dst
	}
	dst = appendPadded(append(dst, '.'), uint64(us), 6)
	for drop := 6; drop > least && dst[len(dst)-1] == '0'; drop-- {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// AppendTime appends a TIME as 12:34:56, with a fraction when the precision is above 0 or the value has one.
func AppendTime(dst []byte, us int64, precision int) []byte {
	return appendFraction(appendClock(dst, int(us/microsPerSecond)), us%microsPerSecond, min(precision, 1))
}

// AppendTimestamp appends a TIMESTAMP as 2013-01-01 00:00:36.000, with at least precision digits behind the point.
func AppendTimestamp(dst []byte, us int64, precision int) []byte {
	return appendTimestamp(dst, us, precision, ' ')
}

func appendTimestamp(dst []byte, us int64, precision int, separator byte) []byte {
	days, ofDay := SplitTimestamp(us)
	dst = append(appendDay(dst, days), separator)
	return appendFraction(appendClock(dst, int(ofDay/microsPerSecond)), ofDay%microsPerSecond, precision)
}

// AppendIntervalDay appends an INTERVAL DAY TO SECOND as +1 02:03:04.000.
func AppendIntervalDay(dst []byte, us int64) []byte {
	sign, u := byte('+'), uint64(us)
	if us < 0 {
		sign, u = '-', -u
	}
	dst = strconv.AppendUint(append(dst, sign), u/microsPerDay, 10)
	u %= microsPerDay
	dst = appendClock(append(dst, ' '), int(u/microsPerSecond))
	return appendFraction(dst, int64(u%microsPerSecond), 3)
}

// AppendIntervalMonth appends an INTERVAL YEAR TO MONTH as +10-04.
func AppendIntervalMonth(dst []byte, months int32) []byte {
	sign, m := byte('+'), int64(months)
	if m < 0 {
		sign, m = '-', -m
	}
	return append2(append(strconv.AppendInt(append(dst, sign), m/12, 10), '-'), int(m%12))
}
