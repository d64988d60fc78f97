package format

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner walks over one record. After the first mistake its functions report false.
type jsonScanner struct {
	b        []byte
	at       int
	maxDepth int

	reason  string
	errorAt int
	column  string

	// of the number read last
	mantissa         uint64 // its digits, when there are at most 18
	digits           int    // how many, leading zeros not counted
	exponent         int    // the number is mantissa * 10^exponent
	negative, simple bool   // simple: neither a point nor an exponent
}

func (d *jsonScanner) reset(record []byte) {
	d.b, d.at, d.reason, d.column = record, 0, "", ""
}

// failAt notes the first mistake. It returns false.
func (d *jsonScanner) failAt(at int, reason string) bool {
	if d.reason == "" {
		d.reason, d.errorAt = reason, at
	}
	return false
}

// expected says what should have stood at the current position, and what does.
func (d *jsonScanner) expected(what string) string {
	if d.at >= len(d.b) {
		return fmt.Sprintf("expected %s, but the record ends", what)
	}
	switch c := d.b[d.at]; {
	case c == '"':
		return fmt.Sprintf("expected %s, found a string", what)
	case c == '{':
		return fmt.Sprintf("expected %s, found an object", what)
	case c == '[':
		return fmt.Sprintf("expected %s, found an array", what)
	}
	end := d.at
	for end < len(d.b) && end < d.at+16 && d.b[end] > ' ' && d.b[end] != ',' && d.b[end] != '}' && d.b[end] != ']' {
		end++
	}
	return fmt.Sprintf("expected %s, found %q", what, d.b[d.at:max(end, d.at+1)])
}

func (d *jsonScanner) tooDeep() bool {
	return d.failAt(d.at, fmt.Sprintf("arrays and objects nest deeper than %d levels", d.maxDepth))
}

func (d *jsonScanner) space() {
	for d.at < len(d.b) {
		if c := d.b[d.at]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return
		}
		d.at++
	}
}

func (d *jsonScanner) symbol(c byte) bool {
	if d.at < len(d.b) && d.b[d.at] == c {
		d.at++
		return true
	}
	if c == ',' {
		return d.failAt(d.at, d.expected("a comma or the end"))
	}
	return d.failAt(d.at, d.expected("'"+string(rune(c))+"'"))
}

func (d *jsonScanner) word(w string) bool {
	if end := d.at + len(w); end <= len(d.b) && string(d.b[d.at:end]) == w {
		d.at = end
		return true
	}
	return d.failAt(d.at, d.expected(w))
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// skipString goes over the string at the current position. plain says that it has no escapes.
func (d *jsonScanner) skipString() (plain, ok bool) {
	b := d.b
	start := d.at
	i := start + 1
	plain = true
	high := false
	for {
		for i+8 <= len(b) {
			// A byte of the sums has its high bit set where a quote, a backslash or a control character is, and
			// perhaps above the first such byte.
			x := binary.LittleEndian.Uint64(b[i:])
			q := x ^ '"'*eachByte
			s := x ^ '\\'*eachByte
			hits := ((q - eachByte) &^ q) | ((s - eachByte) &^ s) | ((x - ' '*eachByte) &^ x)
			if hits &= highBits; hits != 0 {
				n := bits.TrailingZeros64(hits) / 8
				high = high || x&highBits&(1<<(8*n)-1) != 0
				i += n
				break
			}
			high = high || x&highBits != 0
			i += 8
		}
		if i >= len(b) {
			d.at = i
			return plain, d.failAt(start, "the string is not closed")
		}
		switch c := b[i]; {
		case c == '"':
			d.at = i + 1
			if high && !utf8.Valid(b[start+1:i]) {
				return plain, d.failAt(start, "the string is not valid UTF-8")
			}
			return plain, true
		case c == '\\':
			if plain = false; i+1 >= len(b) {
				return plain, d.failAt(start, "the string is not closed")
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				n, end := d.escapedRune(i)
				if n < 0 {
					return plain, false
				}
				i = end
			default:
				return plain, d.failAt(i, fmt.Sprintf("unknown escape \\%c", b[i+1]))
			}
		case c < ' ':
			return plain, d.failAt(i, fmt.Sprintf("a control character (0x%02x) in a string must be escaped", c))
		default:
			high = high || c >= utf8.RuneSelf
			i++
		}
	}
}

// hex4 reads four hexadecimal digits at i, or returns -1.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// escapedRune reads \uXXXX, or a surrogate pair of two, at i and returns the rune and the position behind it; -1 after a mistake.
func (d *jsonScanner) escapedRune(i int) (rune, int) {
	r := hex4(d.b, i+2)
	if r < 0 {
		d.failAt(i, "expected four hexadecimal digits after \\u")
		return -1, i
	}
	if !utf16.IsSurrogate(r) {
		return r, i + 6
	}
	if i+8 <= len(d.b) && d.b[i+6] == '\\' && d.b[i+7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(d.b, i+8)); pair != utf8.RuneError {
			return pair, i + 12
		}
	}
	d.failAt(i, "half of a surrogate pair")
	return -1, i
}

// unescape appends the text between two positions of a string that skipString has accepted.
func (d *jsonScanner) unescape(dst []byte, from, to int) ([]byte, bool) {
	b := d.b
	for i := from; i < to; {
		if b[i] != '\\' {
			start := i
			for i < to && b[i] != '\\' {
				i++
			}
			dst = append(dst, b[start:i]...)
			continue
		}
		c := b[i+1]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, end := d.escapedRune(i)
			if r < 0 {
				return dst, false
			}
			dst = utf8.AppendRune(dst, r)
			i = end
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst, true
}

var wholeTens = [9]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// scanDigits reads the decimal digits at i, as many as there are, behind those that are in m already. It returns what they are together, modulo
// 2^64, and the position behind them.
func scanDigits(b []byte, i int, m uint64) (uint64, int) {
	for len(b)-i >= 8 {
		// Eight bytes at a time: a byte of x is a digit's value when it is below 10.
		x := binary.LittleEndian.Uint64(b[i:]) ^ '0'*eachByte
		n := uint(bits.TrailingZeros64(((x&^highBits)+(128-10)*eachByte|x)&highBits)) / 8
		x <<= 64 - 8*n // zeros in front of them
		x = (x * (10<<8 + 1)) >> 8 & 0x00ff00ff00ff00ff
		x = (x * (100<<16 + 1)) >> 16 & 0x0000ffff0000ffff
		m = m*wholeTens[n] + x*(10000<<32+1)>>32
		i += int(n)
		if n < 8 {
			return m, i
		}
	}
	for i < len(b) && b[i]-'0' <= 9 {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	return m, i
}

// number reads a number into mantissa, digits, exponent, negative and simple.
func (d *jsonScanner) number() bool {
	b, i := d.b, d.at
	if d.negative = b[i] == '-'; d.negative {
		i++
	}
	var m uint64
	start := i
	if i < len(b) && b[i] == '0' {
		i++
		if i < len(b) && b[i]-'0' <= 9 {
			return d.failAt(d.at, "a number must not begin with a zero and more digits")
		}
		start = i // no significant digit yet
	} else {
		if m, i = scanDigits(b, i, 0); i == start {
			return d.failAt(d.at, "a digit must follow the minus sign")
		}
	}
	digits, exponent := i-start, 0
	d.simple = true
	if i < len(b) && b[i] == '.' {
		d.simple = false
		i++
		point := i
		m, i = scanDigits(b, i, m)
		if exponent = point - i; exponent == 0 {
			return d.failAt(d.at, "a digit must follow the point")
		}
		digits -= exponent
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		d.simple = false
		i++
		minus := i < len(b) && b[i] == '-'
		if minus || i < len(b) && b[i] == '+' {
			i++
		}
		first, n := i, 0
		for i < len(b) && b[i]-'0' <= 9 {
			n = min(n*10+int(b[i]-'0'), 1_000_000)
			i++
		}
		if i == first {
			return d.failAt(d.at, "a digit must follow the exponent's e")
		}
		if minus {
			n = -n
		}
		exponent += n
	}
	d.mantissa, d.digits, d.exponent, d.at = m, digits, exponent, i
	return true
}

// skipValue goes over a value of any kind and checks its syntax.
func (d *jsonScanner) skipValue(depth int) bool {
	if d.at >= len(d.b) {
		return d.failAt(d.at, d.expected("a value"))
	}
	switch c := d.b[d.at]; {
	case c == '"':
		_, ok := d.skipString()
		return ok
	case c == '-' || c-'0' <= 9:
		return d.number()
	case c == '{' || c == '[':
		return d.skipNested(c, depth)
	case c == 't':
		return d.word("true")
	case c == 'f':
		return d.word("false")
	case c == 'n':
		return d.word("null")
	}
	return d.failAt(d.at, d.expected("a value"))
}

func (d *jsonScanner) skipNested(open byte, depth int) bool {
	if depth >= d.maxDepth {
		return d.tooDeep()
	}
	closing := open + 2 // of both { and [
	d.at++
	if d.space(); d.at < len(d.b) && d.b[d.at] == closing {
		d.at++
		return true
	}
	for {
		d.space()
		if open == '{' {
			if d.at >= len(d.b) || d.b[d.at] != '"' {
				return d.failAt(d.at, d.expected("a name in quotes"))
			}
			if _, ok := d.skipString(); !ok {
				return false
			}
			if d.space(); !d.symbol(':') {
				return false
			}
			d.space()
		}
		if !d.skipValue(depth + 1) {
			return false
		}
		if d.space(); d.at < len(d.b) && d.b[d.at] == closing {
			d.at++
			return true
		}
		if !d.symbol(',') {
			return false
		}
	}
}
