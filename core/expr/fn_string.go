package expr

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"turbo/core"
)

// maxRepeat bounds the result of REPEAT, LPAD and RPAD for one row.
const maxRepeat = 64 << 20

var (
	stringType = core.Of(core.String)
	intType    = core.Of(core.Int32)
	bigintType = core.Of(core.Int64)
	boolType   = core.Of(core.Boolean)
	doubleType = core.Of(core.Float64)
)

var stringFunctions = []function{
	{name: "UPPER", sig: "UPPER(string)", args: "s", ret: stringType, doc: "The text in upper case.", examples: "UPPER('Straße é') => 'STRASSE É'",
		row: func(c *call, r int) error { c.end(r, appendUpper(c.begin(r), c.str(0, r))); return nil }},
	{name: "LOWER", sig: "LOWER(string)", args: "s", ret: stringType, doc: "The text in lower case.", examples: "LOWER('ÄB') => 'äb'",
		row: func(c *call, r int) error { c.end(r, appendLower(c.begin(r), c.str(0, r))); return nil }},
	{name: "INITCAP", sig: "INITCAP(string)", args: "s", ret: stringType, doc: "The text with the first letter of every word in upper case and the others in lower case.",
		examples: "INITCAP('new YORK-city') => 'New York-City'", row: initcap},
	{name: "TRIM", sig: "TRIM([BOTH | LEADING | TRAILING] [chars FROM] string)", args: "ss", doc: "The text without the characters of chars, blanks unless given, at its ends.",
		examples: "TRIM('  a ') => 'a'\nTRIM(LEADING 'xy' FROM 'xyyxaxy') => 'axy'", make: makeTrim},
	{name: "LTRIM", sig: "LTRIM(string[, chars])", args: "s?s", ret: stringType, doc: "The text without the characters of chars, blanks unless given, at its beginning.",
		examples: "LTRIM('  a ') => 'a '", row: trimRow(true, false)},
	{name: "RTRIM", sig: "RTRIM(string[, chars])", args: "s?s", ret: stringType, doc: "The text without the characters of chars, blanks unless given, at its end.",
		examples: "RTRIM('axx', 'x') => 'a'", row: trimRow(false, true)},
	{name: "BTRIM", sig: "BTRIM(string[, chars])", args: "s?s", ret: stringType, doc: "The text without the characters of chars, blanks unless given, at both ends.",
		examples: "BTRIM('xax', 'x') => 'a'", row: trimRow(true, true)},
	{name: "SUBSTRING", sig: "SUBSTRING(string FROM start [FOR length]) | SUBSTRING(string, start[, length])", args: "si?i", ret: stringType, mayNull: true, aliases: "SUBSTR",
		doc:      "The part of the text from the character start, counted from 1, or from the end when negative. NULL when length is negative.",
		examples: "SUBSTRING('Übermut' FROM 2 FOR 3) => 'ber'\nSUBSTRING('turbo', -2) => 'bo'", row: substring},
	{name: "LEFT", sig: "LEFT(string, n)", args: "si", ret: stringType, doc: "The first n characters.", examples: "LEFT('turbo', 2) => 'tu'",
		row: func(c *call, r int) error {
			s := c.str(0, r)
			c.part(0, r, 0, runeOffset(s, c.i64(1, r)))
			return nil
		}},
	{name: "RIGHT", sig: "RIGHT(string, n)", args: "si", ret: stringType, doc: "The last n characters.", examples: "RIGHT('turbo', 2) => 'bo'",
		row: func(c *call, r int) error {
			s := c.str(0, r)
			c.part(0, r, runeOffset(s, int64(utf8.RuneCount(s))-max(c.i64(1, r), 0)), len(s))
			return nil
		}},
	{name: "CHAR_LENGTH", sig: "CHAR_LENGTH(string)", args: "s", ret: intType, aliases: "CHARACTER_LENGTH", doc: "The number of characters.", examples: "CHAR_LENGTH('Äpfel') => 5",
		row: func(c *call, r int) error { c.setI32(r, int32(utf8.RuneCount(c.str(0, r)))); return nil }},
	{name: "OCTET_LENGTH", sig: "OCTET_LENGTH(string or bytes)", args: "x", ret: intType, doc: "The number of bytes.", examples: "OCTET_LENGTH('Äpfel') => 6",
		row: func(c *call, r int) error { c.setI32(r, int32(len(c.str(0, r)))); return nil }},
	{name: "CONCAT", sig: "CONCAT(value, ...)", args: "a+", doc: "The texts one after the other; NULL when one of them is. What is no STRING is cast.",
		examples: "CONCAT('a', 1, 'b') => 'a1b'", make: func(b *binder, n *Call, args []op) (op, error) { return b.concat(n, args...) }},
	{name: "CONCAT_WS", sig: "CONCAT_WS(separator, string, ...)", args: "ss+", doc: "The texts that are not NULL, with the separator between them. NULL when the separator is.",
		examples: "CONCAT_WS('-', 'a', NULL, 'b') => 'a-b'", make: concatWS},
	{name: "POSITION", sig: "POSITION(part IN string)", args: "ss", ret: intType, doc: "Where part begins in the text, counted in characters from 1; 0 when it is not there.",
		examples: "POSITION('r' IN 'türbo') => 3",
		row:      func(c *call, r int) error { c.setI32(r, position(c.str(1, r), c.str(0, r), 1)); return nil }},
	{name: "LOCATE", sig: "LOCATE(part, string[, start])", args: "ss?i", ret: intType, doc: "Where part begins in the text from the character start on, counted from 1; 0 when it is not there.",
		examples: "LOCATE('a', 'banana', 3) => 4",
		row: func(c *call, r int) error {
			start := int64(1)
			if len(c.arg) > 2 {
				start = c.i64(2, r)
			}
			c.setI32(r, position(c.str(1, r), c.str(0, r), start))
			return nil
		}},
	{name: "INSTR", sig: "INSTR(string, part)", args: "ss", ret: intType, doc: "Where part begins in the text, counted in characters from 1; 0 when it is not there.",
		examples: "INSTR('turbo', 'bo') => 4",
		row:      func(c *call, r int) error { c.setI32(r, position(c.str(0, r), c.str(1, r), 1)); return nil }},
	{name: "REPLACE", sig: "REPLACE(string, part, by)", args: "sss", ret: stringType, doc: "The text with every occurrence of part replaced.",
		examples: "REPLACE('a-b-c', '-', '+') => 'a+b+c'", row: replace},
	{name: "TRANSLATE", sig: "TRANSLATE(string, from, to)", args: "sss", ret: stringType, doc: "The text with each character of from replaced by the one at its place in to, or left out when to is shorter.",
		examples: "TRANSLATE('abcba', 'ab', 'x') => 'xcx'", row: translate},
	{name: "OVERLAY", sig: "OVERLAY(string PLACING other FROM start [FOR length])", args: "ssi?i", ret: stringType, doc: "The text with length characters, as many as other has unless given, from start on replaced by other.",
		examples: "OVERLAY('abcdef' PLACING 'XY' FROM 2 FOR 3) => 'aXYef'", row: overlay},
	{name: "LPAD", sig: "LPAD(string, length, pad)", args: "sis", ret: stringType, mayNull: true, doc: "The text made so many characters long: filled with pad on the left, or cut. NULL when length is negative or pad is empty and needed.",
		examples: "LPAD('7', 3, '0') => '007'\nLPAD('turbo', 2, '0') => 'tu'", row: padRow(true)},
	{name: "RPAD", sig: "RPAD(string, length, pad)", args: "sis", ret: stringType, mayNull: true, doc: "The text made so many characters long: filled with pad on the right, or cut. NULL when length is negative or pad is empty and needed.",
		examples: "RPAD('a', 4, 'xy') => 'axyx'", row: padRow(false)},
	{name: "REPEAT", sig: "REPEAT(string, n)", args: "si", ret: stringType, doc: "The text n times.", examples: "REPEAT('ab', 3) => 'ababab'",
		row: func(c *call, r int) error {
			s, n := c.str(0, r), max(c.i64(1, r), 0)
			if n > maxRepeat || int64(len(s))*n > maxRepeat {
				return causef(ErrTooLarge, "REPEAT would give %d bytes, more than %d", int64(len(s))*n, maxRepeat)
			}
			b := c.begin(r)
			for range n {
				b = append(b, s...)
			}
			c.end(r, b)
			return nil
		}},
	{name: "REVERSE", sig: "REVERSE(string)", args: "s", ret: stringType, doc: "The characters in reverse order.", examples: "REVERSE('öl!') => '!lö'",
		row: func(c *call, r int) error {
			s, b := c.str(0, r), c.begin(r)
			for len(s) > 0 {
				_, size := utf8.DecodeLastRune(s)
				b = append(b, s[len(s)-size:]...)
				s = s[:len(s)-size]
			}
			c.end(r, b)
			return nil
		}},
	{name: "SPLIT_INDEX", sig: "SPLIT_INDEX(string, separator, index)", args: "ssi", ret: stringType, mayNull: true, doc: "The index-th piece, counted from 0, of the text cut at every separator. NULL when there is none.",
		examples: "SPLIT_INDEX('a,b,,c', ',', 3) => 'c'\nSPLIT_INDEX('a,b', ',', 2) => NULL", row: splitIndex},
	{name: "STARTSWITH", sig: "STARTSWITH(string, prefix)", args: "xx", ret: boolType, doc: "Whether the text begins with prefix.", examples: "STARTSWITH('turbo', 'tu') => TRUE",
		row: func(c *call, r int) error { c.setBool(r, bytes.HasPrefix(c.str(0, r), c.str(1, r))); return nil }},
	{name: "ENDSWITH", sig: "ENDSWITH(string, suffix)", args: "xx", ret: boolType, doc: "Whether the text ends with suffix.", examples: "ENDSWITH('turbo', 'tu') => FALSE",
		row: func(c *call, r int) error { c.setBool(r, bytes.HasSuffix(c.str(0, r), c.str(1, r))); return nil }},
	{name: "ASCII", sig: "ASCII(string)", args: "s", ret: intType, doc: "The first byte as a number; 0 for an empty text.", examples: "ASCII('abc') => 97",
		row: func(c *call, r int) error {
			if s := c.str(0, r); len(s) > 0 {
				c.setI32(r, int32(s[0]))
			} else {
				c.setI32(r, 0)
			}
			return nil
		}},
	{name: "CHR", sig: "CHR(n)", args: "i", ret: stringType, doc: "The character with the code n modulo 256; empty when n is negative.", examples: "CHR(97) => 'a'",
		row: func(c *call, r int) error {
			b := c.begin(r)
			if n := c.i64(0, r); n >= 0 {
				b = utf8.AppendRune(b, rune(n&255))
			}
			c.end(r, b)
			return nil
		}},
}

func appendUpper(dst, s []byte) []byte {
	for i, c := range s {
		if c >= utf8.RuneSelf {
			return append(dst, strings.ReplaceAll(strings.ToUpper(string(s[i:])), "ß", "SS")...)
		}
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendLower(dst, s []byte) []byte {
	for i, c := range s {
		if c >= utf8.RuneSelf {
			return append(dst, bytes.ToLower(s[i:])...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func initcap(c *call, r int) error {
	s, b := c.str(0, r), c.begin(r)
	inside := false
	for len(s) > 0 {
		x, size := utf8.DecodeRune(s)
		s = s[size:]
		if inside {
			b = utf8.AppendRune(b, unicode.ToLower(x))
		} else {
			b = utf8.AppendRune(b, unicode.ToUpper(x))
		}
		inside = unicode.IsLetter(x) || unicode.IsDigit(x)
	}
	c.end(r, b)
	return nil
}

// makeTrim compiles TRIM: the arguments are the characters and the text.
func makeTrim(b *binder, n *Call, args []op) (op, error) {
	side := n.Args[0].(*Symbol).Name
	return rowCall(n, stringType, []op{args[1], args[0]}, trimRow(side != "TRAILING", side != "LEADING")), nil
}

// trimRow trims argument 0 by the characters of argument 1, or blanks.
func trimRow(left, right bool) func(c *call, r int) error {
	blank := []byte(" ")
	return func(c *call, r int) error {
		s, chars := c.str(0, r), blank
		if len(c.arg) > 1 {
			chars = c.str(1, r)
		}
		from, to := 0, len(s)
		for left && from < to {
			_, size := utf8.DecodeRune(s[from:to])
			if !bytes.Contains(chars, s[from:from+size]) {
				break
			}
			from += size
		}
		for right && from < to {
			_, size := utf8.DecodeLastRune(s[from:to])
			if !bytes.Contains(chars, s[to-size:to]) {
				break
			}
			to -= size
		}
		c.part(0, r, from, to)
		return nil
	}
}

// runeOffset gives the byte at which the n-th character, counted from 0, begins, or the length.
func runeOffset(s []byte, n int64) int {
	if n <= 0 {
		return 0
	}
	at := 0
	for ; n > 0 && at < len(s); n-- {
		if s[at] < utf8.RuneSelf {
			at++
			continue
		}
		_, size := utf8.DecodeRune(s[at:])
		at += size
	}
	return at
}

func substring(c *call, r int) error {
	s, start := c.str(0, r), c.i64(1, r)
	length := int64(1) << 40
	if len(c.arg) > 2 {
		if length = c.i64(2, r); length < 0 {
			c.part(0, r, 0, 0)
			c.setNull(r)
			return nil
		}
	}
	switch {
	case start > 0:
		start--
	case start < 0:
		if start += int64(utf8.RuneCount(s)); start < 0 {
			c.part(0, r, 0, 0)
			return nil
		}
	}
	from := runeOffset(s, start)
	c.part(0, r, from, from+runeOffset(s[from:], length))
	return nil
}

// concat compiles || and CONCAT.
func (b *binder) concat(n Node, args ...op) (op, error) {
	texts := make([]op, len(args))
	for i, a := range args {
		k := a.typ().Kind
		if be, ok := n.(*Binary); ok && k != core.Invalid && k != core.String && k != core.Bytes {
			return nil, b.invalid(n, be.Op, "strings are joined; convert with CAST(... AS STRING)", args...)
		}
		if k == core.Bytes {
			texts[i] = a
			continue
		}
		var err error
		if texts[i], err = b.convert(n, a, stringType); err != nil {
			return nil, err
		}
	}
	t := texts[0].typ()
	for _, x := range texts {
		if x.typ().Kind != t.Kind {
			return nil, b.invalid(n, "||", "STRING and BYTES do not mix", args...)
		}
	}
	return rowCall(n, core.Of(t.Kind), texts, func(c *call, r int) error {
		out := c.begin(r)
		for k := range c.arg {
			out = append(out, c.str(k, r)...)
		}
		c.end(r, out)
		return nil
	}), nil
}

func concatWS(b *binder, n *Call, args []op) (op, error) {
	t := stringType
	t.NotNull = args[0].typ().NotNull
	return &rowOp{t: t, args: args, node: n, onNull: true, fn: func(c *call, r int) error {
		if c.null(0, r) {
			c.setNull(r)
			return nil
		}
		out, first := c.begin(r), true
		for k := 1; k < len(c.arg); k++ {
			if c.null(k, r) {
				continue
			}
			if !first {
				out = append(out, c.str(0, r)...)
			}
			first = false
			out = append(out, c.str(k, r)...)
		}
		c.end(r, out)
		return nil
	}}, nil
}

// position gives the character, from 1, at which part begins in s from the character start on, or 0.
func position(s, part []byte, start int64) int32 {
	if start < 1 {
		return 0
	}
	from := runeOffset(s, start-1)
	at := bytes.Index(s[from:], part)
	if at < 0 || start > 1 && int64(utf8.RuneCount(s[:from])) < start-1 {
		return 0
	}
	return int32(utf8.RuneCount(s[:from+at])) + 1
}

func replace(c *call, r int) error {
	s, part, by, out := c.str(0, r), c.str(1, r), c.str(2, r), c.begin(r)
	for len(part) > 0 {
		at := bytes.Index(s, part)
		if at < 0 {
			break
		}
		out = append(append(out, s[:at]...), by...)
		s = s[at+len(part):]
	}
	c.end(r, append(out, s...))
	return nil
}

func translate(c *call, r int) error {
	s, from, to, out := c.str(0, r), []rune(string(c.str(1, r))), []rune(string(c.str(2, r))), c.begin(r)
next:
	for len(s) > 0 {
		x, size := utf8.DecodeRune(s)
		for i, f := range from {
			if f == x {
				if i < len(to) {
					out = utf8.AppendRune(out, to[i])
				}
				s = s[size:]
				continue next
			}
		}
		out = append(out, s[:size]...)
		s = s[size:]
	}
	c.end(r, out)
	return nil
}

func overlay(c *call, r int) error {
	s, other, start := c.str(0, r), c.str(1, r), c.i64(2, r)
	length := int64(utf8.RuneCount(other))
	if len(c.arg) > 3 {
		length = c.i64(3, r)
	}
	out := c.begin(r)
	if start < 1 || start > int64(utf8.RuneCount(s)) {
		c.end(r, append(out, s...))
		return nil
	}
	from := runeOffset(s, start-1)
	rest := from + runeOffset(s[from:], length)
	c.end(r, append(append(append(out, s[:from]...), other...), s[rest:]...))
	return nil
}

func padRow(left bool) func(c *call, r int) error {
	return func(c *call, r int) error {
		s, want, pad := c.str(0, r), c.i64(1, r), c.str(2, r)
		missing := want - int64(utf8.RuneCount(s))
		if want < 0 || missing > 0 && len(pad) == 0 {
			c.setNull(r)
			return nil
		}
		if missing > 0 && missing > maxRepeat/int64(len(pad)) {
			return causef(ErrTooLarge, "padding to %d characters is more than %d bytes", want, maxRepeat)
		}
		out := c.begin(r)
		if missing <= 0 {
			c.end(r, append(out, s[:runeOffset(s, want)]...))
			return nil
		}
		if !left {
			out = append(out, s...)
		}
		for missing > 0 {
			n := runeOffset(pad, missing)
			out = append(out, pad[:n]...)
			missing -= int64(utf8.RuneCount(pad[:n]))
		}
		if left {
			out = append(out, s...)
		}
		c.end(r, out)
		return nil
	}
}

func splitIndex(c *call, r int) error {
	s, separator, index := c.str(0, r), c.str(1, r), c.i64(2, r)
	from := 0
	for ; index > 0 && len(separator) > 0; index-- {
		at := bytes.Index(s[from:], separator)
		if at < 0 {
			break
		}
		from += at + len(separator)
	}
	if index != 0 {
		c.part(0, r, 0, 0)
		c.setNull(r)
		return nil
	}
	to := len(s)
	if at := bytes.Index(s[from:], separator); at >= 0 && len(separator) > 0 {
		to = from + at
	}
	c.part(0, r, from, to)
	return nil
}
