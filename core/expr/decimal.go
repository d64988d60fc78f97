package expr

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

type decimalNum = decimal128.Num

// maxPrecision is the number of digits of the widest DECIMAL.
const maxPrecision = 38

var powersOfTen [maxPrecision + 1]decimalNum

func init() {
	p := big.NewInt(1)
	for i := range powersOfTen {
		powersOfTen[i] = decimal128.FromBigInt(p)
		p = new(big.Int).Mul(p, big.NewInt(10))
	}
}

func bigPower(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimalFromBig gives v when it has at most so many digits.
func decimalFromBig(v *big.Int, precision int) (decimalNum, bool) {
	if v.CmpAbs(powersOfTen[precision].BigInt()) >= 0 {
		return decimalNum{}, false
	}
	return decimal128.FromBigInt(v), true
}

// small gives d as an int64 when it is one.
func small(d decimalNum) (int64, bool) {
	lo := int64(d.LowBits())
	return lo, d.HighBits() == lo>>63
}

func fitsDigits(d decimalNum, precision int) bool { return d.FitsInPrecision(int32(precision)) }

// divideHalfUp divides by a positive number and rounds halves away from zero, as Java's HALF_UP.
func divideHalfUp(v, by *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(v, by, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(by) >= 0 {
		if v.Sign()*by.Sign() < 0 {
			q.Sub(q, big.NewInt(1))
		} else {
			q.Add(q, big.NewInt(1))
		}
	}
	return q
}

// rescale changes the scale of d and rounds halves away from zero; false when the result has more digits than precision.
func rescale(d decimalNum, from, to, precision int) (decimalNum, bool) {
	switch {
	case to == from:
		return d, fitsDigits(d, precision)
	case to > from:
		k := to - from
		if k > maxPrecision || !fitsDigits(d, maxPrecision-k) {
			if d.Sign() == 0 {
				return d, true
			}
			return decimalNum{}, false
		}
		d = d.Mul(powersOfTen[k])
		return d, fitsDigits(d, precision)
	}
	k := from - to
	if v, ok := small(d); ok && k <= 18 {
		by := int64(powersOfTen[k].LowBits())
		q, r := v/by, v%by
		if r >= by-r && r > 0 {
			q++
		} else if -r >= by+r && r < 0 {
			q--
		}
		d = decimal128.FromI64(q)
		return d, fitsDigits(d, precision)
	}
	return decimalFromBig(divideHalfUp(d.BigInt(), bigPower(k)), precision)
}

// decimalAdd gives a + b, or a - b when negative, as a value of t.
func decimalAdd(a, b decimalNum, sa, sb int, t core.Type, negative bool) (decimalNum, bool) {
	if negative {
		b = b.Negate()
	}
	scale := max(sa, sb)
	x, ok1 := rescale(a, sa, scale, maxPrecision)
	y, ok2 := rescale(b, sb, scale, maxPrecision)
	if ok1 && ok2 {
		// Two numbers of 38 digits add up to less than 2 to the power of 127.7: look at the sign for an overflow.
		sum := x.Add(y)
		if x.Sign()*y.Sign() <= 0 || sum.Sign() == x.Sign() {
			if fitsDigits(sum, maxPrecision) {
				return rescale(sum, scale, int(t.Scale), int(t.Precise))
			}
		}
	}
	v := new(big.Int).Mul(a.BigInt(), bigPower(scale-sa))
	v.Add(v, new(big.Int).Mul(b.BigInt(), bigPower(scale-sb)))
	return rescaleBig(v, scale, t)
}

func rescaleBig(v *big.Int, from int, t core.Type) (decimalNum, bool) {
	if k := from - int(t.Scale); k > 0 {
		v = divideHalfUp(v, bigPower(k))
	} else if k < 0 {
		v = v.Mul(v, bigPower(-k))
	}
	return decimalFromBig(v, int(t.Precise))
}

func decimalMul(a, b decimalNum, sa, sb int, t core.Type) (decimalNum, bool) {
	x, ok1 := small(a)
	y, ok2 := small(b)
	if ok1 && ok2 {
		hi, lo := bits.Mul64(abs64(x), abs64(y))
		if hi>>63 == 0 {
			product := decimal128.New(int64(hi), lo)
			if (x < 0) != (y < 0) {
				product = product.Negate()
			}
			if fitsDigits(product, maxPrecision) {
				return rescale(product, sa+sb, int(t.Scale), int(t.Precise))
			}
		}
	}
	return rescaleBig(new(big.Int).Mul(a.BigInt(), b.BigInt()), sa+sb, t)
}

func abs64(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

// decimalDiv gives a / b for b not zero, rounded to t.
func decimalDiv(a, b decimalNum, sa, sb int, t core.Type) (decimalNum, bool) {
	k := int(t.Scale) - sa + sb
	x, y := a.BigInt(), b.BigInt()
	if k >= 0 {
		x = new(big.Int).Mul(x, bigPower(k))
	} else {
		y = new(big.Int).Mul(y, bigPower(-k))
	}
	return decimalFromBig(divideHalfUp(x, y), int(t.Precise))
}

// decimalRem gives the remainder of a / b with the sign of a.
func decimalRem(a, b decimalNum, sa, sb int, t core.Type) (decimalNum, bool) {
	scale := max(sa, sb)
	x := new(big.Int).Mul(a.BigInt(), bigPower(scale-sa))
	y := new(big.Int).Mul(b.BigInt(), bigPower(scale-sb))
	return rescaleBig(x.Rem(x, y), scale, t)
}

// decimalCompare compares numbers of different scales.
func decimalCompare(a, b decimalNum, sa, sb int) int {
	if sa == sb {
		return a.Cmp(b)
	}
	scale := max(sa, sb)
	x, ok1 := rescale(a, sa, scale, maxPrecision)
	y, ok2 := rescale(b, sb, scale, maxPrecision)
	if ok1 && ok2 {
		return x.Cmp(y)
	}
	return new(big.Int).Mul(a.BigInt(), bigPower(scale-sa)).Cmp(new(big.Int).Mul(b.BigInt(), bigPower(scale-sb)))
}

// decimalFloor gives the whole number below d (or above, for up), at scale 0.
func decimalFloor(d decimalNum, scale int, up bool) decimalNum {
	q, r := new(big.Int).QuoRem(d.BigInt(), bigPower(scale), new(big.Int))
	if r.Sign() < 0 && !up {
		q.Sub(q, big.NewInt(1))
	} else if r.Sign() > 0 && up {
		q.Add(q, big.NewInt(1))
	}
	return decimal128.FromBigInt(q)
}

// truncated cuts the digits behind the point.
func truncated(d decimalNum, scale int) *big.Int {
	return new(big.Int).Quo(d.BigInt(), bigPower(scale))
}

// decimalInt64 gives the low 64 bits of the whole part, as Java's longValue.
func decimalInt64(d decimalNum, scale int) int64 {
	if v, ok := small(d); ok && scale <= 18 {
		return v / int64(powersOfTen[scale].LowBits())
	}
	v := truncated(d, scale)
	if v.IsInt64() {
		return v.Int64()
	}
	return int64(decimal128.FromBigInt(v).LowBits())
}

func decimalFloat(d decimalNum, scale int) float64 {
	if v, ok := small(d); ok && scale <= 22 && -1<<53 <= v && v <= 1<<53 {
		return float64(v) / math.Pow10(scale)
	}
	var buf [64]byte
	f, _ := strconv.ParseFloat(string(appendDecimal(buf[:0], d, scale)), 64)
	return f
}

// floatDecimal converts by way of the shortest text of f, as Java's BigDecimal.valueOf.
func floatDecimal(f float64, size int, t core.Type) (decimalNum, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return decimalNum{}, false
	}
	var buf [400]byte
	d, malformed, ok := parseDecimal(strconv.AppendFloat(buf[:0], f, 'f', -1, size), int(t.Precise), int(t.Scale))
	return d, ok && !malformed
}

// appendDecimal writes d with all its digits behind the point.
func appendDecimal(dst []byte, d decimalNum, scale int) []byte {
	var buf [48]byte
	var digits []byte
	negative := d.Sign() < 0
	if v, ok := small(d); ok {
		digits = strconv.AppendUint(buf[:0], abs64(v), 10)
	} else {
		digits = new(big.Int).Abs(d.BigInt()).Append(buf[:0], 10)
	}
	if negative {
		dst = append(dst, '-')
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	if len(digits) <= scale {
		dst = append(dst, '0', '.')
		for range scale - len(digits) {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[:len(digits)-scale]...)
	dst = append(dst, '.')
	return append(dst, digits[len(digits)-scale:]...)
}

// parseDecimal reads [+-]digits[.digits][E[+-]digits] and rounds halves up to scale. malformed: s is no number; ok false: it has too many digits.
func parseDecimal(s []byte, precision, scale int) (d decimalNum, malformed, ok bool) {
	i, negative := 0, false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	var digits []byte
	var buf [64]byte
	digits = buf[:0]
	exponent, seen, point := 0, false, false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case isDigit(c):
			seen = true
			if len(digits) > 0 || c != '0' {
				digits = append(digits, c)
			}
			if point {
				exponent--
			}
			continue
		case c == '.' && !point:
			point = true
			continue
		}
		break
	}
	if !seen {
		return d, true, false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		e, err := strconv.Atoi(string(s[i+1:]))
		if err != nil {
			return d, true, false
		}
		if e > 1000 || e < -1000 {
			return d, false, e < 0 || len(digits) == 0
		}
		exponent += e
		i = len(s)
	}
	if i < len(s) {
		return d, true, false
	}
	if len(digits) <= 18 && exponent <= 0 && exponent >= -maxPrecision {
		v := int64(0)
		for _, c := range digits {
			v = v*10 + int64(c-'0')
		}
		if negative {
			v = -v
		}
		d, ok = rescale(decimal128.FromI64(v), -exponent, scale, precision)
		return d, false, ok
	}
	if len(digits) > 2000 {
		return d, false, false
	}
	v, _ := new(big.Int).SetString("0"+string(digits), 10)
	if negative {
		v.Neg(v)
	}
	if exponent > 0 {
		v.Mul(v, bigPower(exponent))
		exponent = 0
	}
	d, ok = rescaleBig(v, -exponent, core.DecimalOf(precision, scale))
	return d, false, ok
}
