package core

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
)

// ValueError says that a text is no value of a type, and why.
type ValueError struct {
	Text   string // the text, cut to 64 bytes
	Type   string
	Reason string
}

// Error names the text, the type and the reason.
func (e *ValueError) Error() string {
	return fmt.Sprintf("%q is not a valid %s: %s", e.Text, e.Type, e.Reason)
}

func badValue(text []byte, typ, reason string, args ...any) error {
	if len(args) > 0 {
		reason = fmt.Sprintf(reason, args...)
	}
	if len(text) > 64 {
		return &ValueError{string(text[:61]) + "...", typ, reason}
	}
	return &ValueError{string(text), typ, reason}
}

// ParseBool reads true, t, yes, y, 1 and false, f, no, n, 0, in any case. Errors of the parsers are *ValueError;
// none of them allocates unless it fails.
func ParseBool(text []byte) (bool, error) {
	switch len(text) {
	case 1:
		switch text[0] {
		case '1', 't', 'T', 'y', 'Y':
			return true, nil
		case '0', 'f', 'F', 'n', 'N':
			return false, nil
		}
	case 2:
		if foldsTo(text, "no") {
			return false, nil
		}
	case 3:
		if foldsTo(text, "yes") {
			return true, nil
		}
	case 4:
		if foldsTo(text, "true") {
			return true, nil
		}
	case 5:
		if foldsTo(text, "false") {
			return false, nil
		}
	}
	return false, badValue(text, "BOOLEAN", "expected true or false")
}

// foldsTo reports whether text is word, which is in lower case and as long, in any case.
func foldsTo(text []byte, word string) bool {
	for i, c := range text {
		if c|0x20 != word[i] {
			return false
		}
	}
	return true
}

// ParseInt reads a decimal integer with an optional sign. bitSize is 8, 16, 32 or 64.
func ParseInt(text []byte, bitSize int) (int64, error) {
	b := text
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, badValue(text, intName(bitSize), "no digits")
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 {
			return 0, badValue(text, intName(bitSize), "%q is no digit", rune(c))
		}
		if n > (math.MaxUint64-9)/10 {
			return 0, outOfRange(text, bitSize)
		}
		n = n*10 + d
	}
	limit := uint64(1) << (bitSize - 1)
	if negative {
		if n > limit {
			return 0, outOfRange(text, bitSize)
		}
		return -int64(n), nil
	}
	if n >= limit {
		return 0, outOfRange(text, bitSize)
	}
	return int64(n), nil
}

func intName(bitSize int) string {
	return map[int]string{8: "TINYINT", 16: "SMALLINT", 32: "INT"}[bitSize] + map[int]string{64: "BIGINT"}[bitSize]
}

func outOfRange(text []byte, bitSize int) error {
	limit := uint64(1) << (bitSize - 1)
	return badValue(text, intName(bitSize), "it is outside -%d to %d", limit, limit-1)
}

var floatTens = [23]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// ParseFloat reads a FLOAT (bitSize 32) or DOUBLE (64): decimal notation with an optional exponent, NaN, Infinity and
// -Infinity (any case; inf too). It gives the value nearest to the text. A number too large for the type is an error.
func ParseFloat(text []byte, bitSize int) (float64, error) {
	name := "DOUBLE"
	if bitSize == 32 {
		name = "FLOAT"
	}
	b := text
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	var mantissa uint64
	digits, dropped, exponent := 0, 0, 0
	i := 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if mantissa < 1e18 {
			mantissa = mantissa*10 + uint64(b[i]-'0')
		} else {
			dropped++
			exponent++
		}
		digits++
	}
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
			if mantissa < 1e18 {
				mantissa = mantissa*10 + uint64(b[i]-'0')
				exponent--
			} else {
				dropped++
			}
			digits++
		}
	}
	if digits == 0 {
		return specialFloat(text, b, negative, name)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		n, end := parseExponent(b, i+1)
		if end < 0 {
			return 0, badValue(text, name, "no digits in the exponent")
		}
		exponent += n
		i = end
	}
	if i < len(b) {
		return 0, badValue(text, name, "unexpected %q", rune(b[i]))
	}
	// Small numbers times small powers of ten are exact in the type, so one rounding gives the nearest value.
	f := float64(mantissa)
	switch {
	case dropped > 0:
	case mantissa == 0:
		return signed(0, negative), nil
	case bitSize == 64 && mantissa < 1<<53 && exponent >= 0 && exponent <= 22:
		return signed(f*floatTens[exponent], negative), nil
	case bitSize == 64 && mantissa < 1<<53 && exponent < 0 && exponent >= -22:
		return signed(f/floatTens[-exponent], negative), nil
	case bitSize == 32 && mantissa < 1<<24 && exponent >= 0 && exponent <= 10:
		return signed(float64(float32(f)*float32(floatTens[exponent])), negative), nil
	case bitSize == 32 && mantissa < 1<<24 && exponent < 0 && exponent >= -10:
		return signed(float64(float32(f)/float32(floatTens[-exponent])), negative), nil
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), bitSize)
	if err != nil {
		return 0, badValue(text, name, "it is too large")
	}
	return signed(f, negative), nil
}

func signed(f float64, negative bool) float64 {
	if negative {
		return -f
	}
	return f
}

func specialFloat(text, b []byte, negative bool, name string) (float64, error) {
	switch {
	case len(b) == 3 && foldsTo(b, "nan"):
		return math.NaN(), nil
	case len(b) == 3 && foldsTo(b, "inf"), len(b) == 8 && foldsTo(b, "infinity"):
		return signed(math.Inf(1), negative), nil
	}
	return 0, badValue(text, name, "expected a number")
}

// parseExponent reads the digits behind an e, saturating, and returns the position behind them, or -1 when there are none.
func parseExponent(b []byte, i int) (n, end int) {
	negative := false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		negative = b[i] == '-'
		i++
	}
	start := i
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if n < 1_000_000 {
			n = n*10 + int(b[i]-'0')
		}
	}
	if i == start {
		return 0, -1
	}
	if negative {
		n = -n
	}
	return n, i
}

// uint128 is an unsigned 128-bit number, for the magnitude of decimals.
type uint128 struct{ hi, lo uint64 }

func (u uint128) mulAdd(factor, more uint64) uint128 {
	h, l := bits.Mul64(u.lo, factor)
	l, carry := bits.Add64(l, more, 0)
	return uint128{u.hi*factor + h + carry, l}
}

func (u uint128) less(o uint128) bool { return u.hi < o.hi || u.hi == o.hi && u.lo < o.lo }

var decimalTens = func() (t [39]uint128) {
	t[0] = uint128{0, 1}
	for i := 1; i < len(t); i++ {
		t[i] = t[i-1].mulAdd(10, 0)
	}
	return t
}()

// ParseDecimal reads a number in decimal notation, with an optional exponent, as DECIMAL(precision, scale), exactly, never by a
// float. Digits beyond the scale are rounded half away from zero, as SQL's assignment does; more digits before the
// point than the type has are an error.
func ParseDecimal(text []byte, precision, scale int) (decimal128.Num, error) {
	b := text
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	fail := func(reason string, args ...any) (decimal128.Num, error) {
		return decimal128.Num{}, badValue(text, fmt.Sprintf("DECIMAL(%d, %d)", precision, scale), reason, args...)
	}
	for len(b) > 1 && b[0] == '0' && b[1]-'0' <= 9 {
		b = b[1:]
	}
	whole := 0
	for whole < len(b) && b[whole]-'0' <= 9 {
		whole++
	}
	i, total := whole, whole
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
			total++
		}
	}
	if total == 0 {
		return fail("expected a number")
	}
	point := whole
	if i < len(b) && b[i]|0x20 == 'e' {
		n, end := parseExponent(b, i+1)
		if end < 0 {
			return fail("no digits in the exponent")
		}
		point += n
		i = end
	}
	if i < len(b) {
		return fail("unexpected %q", rune(b[i]))
	}
	keep := point + scale // this many of the digits, counted from the first, are the unscaled value
	var u uint128
	significant := 0
	for d := 0; d < keep; d++ {
		var c uint64
		if d < total {
			c = uint64(digitAt(b, whole, d))
		} else if significant == 0 {
			break // only zeros
		}
		if significant > 0 || c > 0 {
			if significant++; significant > precision {
				return fail("it has more than %d digits before the point", precision-scale)
			}
		}
		u = u.mulAdd(10, c)
	}
	if keep >= 0 && keep < total && digitAt(b, whole, keep) >= 5 {
		if u = u.mulAdd(1, 1); !u.less(decimalTens[precision]) {
			return fail("rounded it has more than %d digits before the point", precision-scale)
		}
	}
	if negative {
		var borrow uint64
		u.lo, borrow = bits.Sub64(0, u.lo, 0)
		u.hi, _ = bits.Sub64(0, u.hi, borrow)
	}
	return decimal128.New(int64(u.hi), u.lo), nil
}

// digitAt returns the d-th digit of a number whose point stands behind whole digits.
func digitAt(b []byte, whole, d int) byte {
	if d >= whole {
		d++
	}
	return b[d] - '0'
}

// AppendParsed appends the value of a text: the inverse of AppendText, for every kind but ARRAY, MAP and ROW. STRING and
// BYTES take the text as it is; times are cut to the type's precision. On an error nothing is appended.
func (v *Vector) AppendParsed(text []byte) error {
	switch v.Type.Kind {
	case String, Bytes:
		v.AppendBytes(text)
		return nil
	case Boolean:
		x, err := ParseBool(text)
		if err == nil {
			v.AppendBool(x)
		}
		return err
	case Int8, Int16, Int32, Int64:
		return v.appendParsedInt(text)
	case Float32, Float64:
		x, err := ParseFloat(text, 8*v.Type.Kind.Width())
		if err == nil && v.Type.Kind == Float32 {
			v.AppendFloat32(float32(x))
		} else if err == nil {
			v.AppendFloat64(x)
		}
		return err
	case Decimal:
		x, err := ParseDecimal(text, int(v.Type.Precise), int(v.Type.Scale))
		if err == nil {
			v.AppendDecimal(x)
		}
		return err
	case Date, IntervalMonth:
		parse := ParseDate
		if v.Type.Kind == IntervalMonth {
			parse = ParseIntervalMonth
		}
		x, err := parse(text)
		if err == nil {
			v.AppendInt32(x)
		}
		return err
	case TimeOfDay, Timestamp, TimestampLTZ, IntervalDay:
		return v.appendParsedTime(text)
	}
	return badValue(text, v.Type.String(), "the type has no form as a single text")
}

func (v *Vector) appendParsedInt(text []byte) error {
	k := v.Type.Kind
	x, err := ParseInt(text, 8*k.Width())
	if err != nil {
		return err
	}
	switch k {
	case Int8:
		v.AppendInt8(int8(x))
	case Int16:
		v.AppendInt16(int16(x))
	case Int32:
		v.AppendInt32(int32(x))
	default:
		v.AppendInt64(x)
	}
	return nil
}

func (v *Vector) appendParsedTime(text []byte) (err error) {
	var x int64
	switch v.Type.Kind {
	case TimeOfDay:
		x, err = ParseTime(text)
	case Timestamp:
		x, err = ParseTimestamp(text)
	case TimestampLTZ:
		x, err = ParseTimestampLTZ(text)
	default:
		if x, err = ParseIntervalDay(text); err == nil {
			v.AppendInt64(x)
		}
		return err
	}
	if err == nil {
		v.AppendInt64(TruncateFraction(x, v.Type.Precise))
	}
	return err
}
