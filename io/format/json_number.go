package format

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"

	"turbo/core"
)

var exactTens = [23]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// plainNumber reads and appends what most numbers are: at most 18 digits, perhaps a point among them, no exponent, for a BIGINT or a DOUBLE. It
// reports false, and has done nothing, when the number is another one: numberValue then reads it.
func (d *jsonDecoder) plainNumber(v *core.Vector) bool {
	b, i := d.b, d.at
	negative := b[i] == '-'
	if negative {
		i++
	}
	start := i
	m, i := scanDigits(b, i, 0)
	whole, fraction := i-start, 0
	if whole == 0 || i >= len(b) || b[start] == '0' && whole > 1 {
		return false
	}
	if b[i] == '.' {
		point := i + 1
		m, i = scanDigits(b, point, m)
		if fraction = i - point; fraction == 0 || i >= len(b) {
			return false
		}
	}
	if whole+fraction > 18 || b[i]|0x20 == 'e' {
		return false
	}
	switch {
	case v.Type.Kind == core.Int64 && fraction == 0:
		x := int64(m)
		if negative {
			x = -x
		}
		v.AppendInt64(x)
	case v.Type.Kind == core.Float64 && m < 1<<53: // and both are exact
		f := float64(m) / exactTens[fraction]
		if negative {
			f = -f
		}
		v.AppendFloat64(f)
	default:
		return false
	}
	d.at = i
	return true
}

// numberValue reads a number and appends it to a vector of any type that numbers become.
func (d *jsonDecoder) numberValue(v *core.Vector) bool {
	start := d.at
	if !d.number() {
		return false
	}
	token := d.b[start:d.at]
	switch k := v.Type.Kind; {
	case k.IsInteger():
		return d.appendInteger(v, token, start)
	case k == core.Float64:
		// Below 2^53 and with a small power of ten both are exact, so that one rounding gives the nearest value.
		if m, e := d.mantissa, d.exponent; d.digits <= 18 && m < 1<<53 && e >= -22 && e <= 22 {
			f := float64(m)
			if e < 0 {
				f /= exactTens[-e]
			} else {
				f *= exactTens[e]
			}
			if d.negative {
				f = -f
			}
			v.AppendFloat64(f)
			return true
		}
		fallthrough
	case k == core.Float32, k == core.Decimal:
		if err := v.AppendParsed(token); err != nil {
			return d.failAt(start, err.Error())
		}
		return true
	case k.IsTime() && d.millis:
		ms, ok := d.integer(token)
		if !ok {
			return d.failAt(start, fmt.Sprintf("%s is no whole number of milliseconds", token))
		}
		return d.appendMillis(v, ms, start)
	case k.IsTime():
		return d.failAt(start, fmt.Sprintf("expected a text for %s, found %s (numbers are read with timestamps: epoch-millis)", v.Type.Optional(), token))
	}
	return d.failAt(start, fmt.Sprintf("expected %s, found %s", v.Type.Optional(), token))
}

func (d *jsonDecoder) appendMillis(v *core.Vector, ms int64, at int) bool {
	if ms > math.MaxInt64/1000 || ms < math.MinInt64/1000 {
		return d.failAt(at, fmt.Sprintf("%d milliseconds are beyond what a timestamp holds", ms))
	}
	v.AppendInt64(core.TruncateFraction(ms*1000, v.Type.Precise))
	return true
}

// appendInteger appends the number read last, which must be whole and in the range of v's type.
func (d *jsonDecoder) appendInteger(v *core.Vector, token []byte, start int) bool {
	x, ok := d.integer(token)
	if !ok {
		return d.failAt(start, d.noInteger(v, token))
	}
	switch v.Type.Kind {
	case core.Int64:
		v.AppendInt64(x)
	case core.Int32:
		if ok = x == int64(int32(x)); ok {
			v.AppendInt32(int32(x))
		}
	case core.Int16:
		if ok = x == int64(int16(x)); ok {
			v.AppendInt16(int16(x))
		}
	default:
		if ok = x == int64(int8(x)); ok {
			v.AppendInt8(int8(x))
		}
	}
	return ok || d.failAt(start, d.noInteger(v, token))
}

func (d *jsonDecoder) noInteger(v *core.Vector, token []byte) string {
	bitSize := 8 * v.Type.Kind.Width()
	if _, err := core.ParseInt(token, bitSize); err != nil && d.simple {
		return err.Error()
	}
	return fmt.Sprintf("%s is not a valid %s: it is not whole, or too large", token, v.Type.Kind)
}

// integer returns the number read last when it is whole and fits 64 bits.
func (d *jsonScanner) integer(token []byte) (int64, bool) {
	m, e := d.mantissa, d.exponent
	if d.digits > 19 {
		// Zeros at the end may be what makes it long: 1.00000000000000000000.
		return longInteger(token)
	}
	if d.digits == 19 && m > 1<<63 { // 19 digits fit 64 bits without a sign
		return 0, false
	}
	for ; e < 0 && m != 0; e++ {
		if m%10 != 0 {
			return 0, false
		}
		m /= 10
	}
	for ; e > 0 && m != 0; e-- {
		hi, lo := bits.Mul64(m, 10)
		if hi != 0 {
			return 0, false
		}
		m = lo
	}
	return signedInteger(m, d.negative)
}

func signedInteger(m uint64, negative bool) (int64, bool) {
	switch {
	case negative && m <= 1<<63:
		return -int64(m), true
	case !negative && m < 1<<63:
		return int64(m), true
	}
	return 0, false
}

// longInteger is integer for numbers of more digits than the mantissa holds, such as 1.00000000000000000000.
func longInteger(token []byte) (int64, bool) {
	whole, fraction, _ := bytes.Cut(token, []byte("."))
	if len(bytes.Trim(fraction, "0")) > 0 {
		return 0, false
	}
	x, err := core.ParseInt(whole, 64)
	return x, err == nil
}
