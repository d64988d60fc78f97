package expr

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"net/url"
	"regexp"
	"unicode/utf8"

	"turbo/core"
)

var bytesType = core.Of(core.Bytes)

var textFunctions = []function{
	{name: "REGEXP", sig: "REGEXP(string, regex)", args: "ss", ret: boolType,
		doc:      "Whether a part of the text matches the regular expression, in RE2's syntax (no back references, no look-around).",
		examples: "REGEXP('turbo 12', '[0-9]+') => TRUE",
		row: func(c *call, r int) error {
			re, err := regexOf(c, c.str(1, r))
			if err == nil {
				c.setBool(r, re.Match(c.str(0, r)))
			}
			return err
		}},
	{name: "REGEXP_EXTRACT", sig: "REGEXP_EXTRACT(string, regex[, group])", args: "ss?i", ret: stringType, mayNull: true,
		doc:      "The part of the text that the group, 0 for the whole unless given, of the regular expression matches first; NULL when nothing matches.",
		examples: "REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2) => 'bar'", row: regexpExtract},
	{name: "REGEXP_REPLACE", sig: "REGEXP_REPLACE(string, regex, by)", args: "sss", ret: stringType,
		doc:      "The text with every match of the regular expression replaced; $1 in by stands for what the first group matched.",
		examples: "REGEXP_REPLACE('foobar', 'oo|ar', '') => 'fb'\nREGEXP_REPLACE('a1b2', '([a-z])([0-9])', '$2$1') => '1a2b'", row: regexpReplace},
	{name: "MD5", sig: "MD5(string)", args: "x", ret: stringType, doc: "The MD5 hash as 32 hexadecimal digits.", examples: "MD5('abc') => '900150983cd24fb0d6963f7d28e17f72'", make: hashCall(md5.New)},
	{name: "SHA1", sig: "SHA1(string)", args: "x", ret: stringType, doc: "The SHA-1 hash as 40 hexadecimal digits.", examples: "SHA1('abc') => 'a9993e364706816aba3e25717850c26c9cd0d89d'", make: hashCall(sha1.New)},
	{name: "SHA224", sig: "SHA224(string)", args: "x", ret: stringType, doc: "The SHA-224 hash as 56 hexadecimal digits.", examples: "SHA224('abc') => '23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7'", make: hashCall(sha256.New224)},
	{name: "SHA256", sig: "SHA256(string)", args: "x", ret: stringType, doc: "The SHA-256 hash as 64 hexadecimal digits.", examples: "SHA256('abc') => 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'", make: hashCall(sha256.New)},
	{name: "SHA384", sig: "SHA384(string)", args: "x", ret: stringType, doc: "The SHA-384 hash as 96 hexadecimal digits.", examples: "LEFT(SHA384('abc'), 16) => 'cb00753f45a35e8b'", make: hashCall(sha512.New384)},
	{name: "SHA512", sig: "SHA512(string)", args: "x", ret: stringType, doc: "The SHA-512 hash as 128 hexadecimal digits.", examples: "LEFT(SHA512('abc'), 16) => 'ddaf35a193617aba'", make: hashCall(sha512.New)},
	{name: "TO_BASE64", sig: "TO_BASE64(string or bytes)", args: "x", ret: stringType, doc: "The bytes in base 64.", examples: "TO_BASE64('turbo') => 'dHVyYm8='",
		row: func(c *call, r int) error {
			c.end(r, base64.StdEncoding.AppendEncode(c.begin(r), c.str(0, r)))
			return nil
		}},
	{name: "FROM_BASE64", sig: "FROM_BASE64(string)", args: "s", ret: stringType, mayNull: true, doc: "The text that a text in base 64 stands for; NULL when it is not base 64 or not UTF-8.",
		examples: "FROM_BASE64('dHVyYm8=') => 'turbo'",
		row: func(c *call, r int) error {
			b := c.begin(r)
			out, err := base64.StdEncoding.AppendDecode(b, c.str(0, r))
			if err != nil || !utf8.Valid(out[len(b):]) {
				c.end(r, b)
				c.setNull(r)
				return nil
			}
			c.end(r, out)
			return nil
		}},
	{name: "HEX", sig: "HEX(integer or string or bytes)", args: "a", doc: "The number, or every byte, in hexadecimal digits, upper case.", examples: "HEX(255) => 'FF'\nHEX('turbo') => '747572626F'", make: hexCall},
	{name: "UNHEX", sig: "UNHEX(string)", args: "s", ret: bytesType, mayNull: true, doc: "The bytes that pairs of hexadecimal digits stand for; NULL when the text is something else.", examples: "UNHEX('747572626F') => X'747572626F'",
		row: func(c *call, r int) error {
			b := c.begin(r)
			out, ok := appendHexDecoded(b, string(c.str(0, r)))
			if !ok {
				out = b
				c.setNull(r)
			}
			c.end(r, out)
			return nil
		}},
	{name: "ENCODE", sig: "ENCODE(string, 'UTF-8')", args: "ss", ret: bytesType, doc: "The bytes of the text.", examples: "ENCODE('é', 'UTF-8') => X'C3A9'", row: recode},
	{name: "DECODE", sig: "DECODE(bytes, 'UTF-8')", args: "xs", ret: stringType, doc: "The text that the bytes stand for. It fails for bytes that are not UTF-8.", examples: "DECODE(X'C3A9', 'UTF-8') => 'é'", row: recode},
	{name: "URL_ENCODE", sig: "URL_ENCODE(string)", args: "s", ret: stringType, doc: "The text as a part of an URL's query.", examples: "URL_ENCODE('a b&c') => 'a+b%26c'",
		row: func(c *call, r int) error { c.setStr(r, []byte(url.QueryEscape(string(c.str(0, r))))); return nil }},
	{name: "URL_DECODE", sig: "URL_DECODE(string)", args: "s", ret: stringType, mayNull: true, doc: "The text that a part of an URL's query stands for; NULL when it is malformed.", examples: "URL_DECODE('a+b%26c') => 'a b&c'",
		row: func(c *call, r int) error {
			s, err := url.QueryUnescape(string(c.str(0, r)))
			if err != nil || !utf8.ValidString(s) {
				c.setNull(r)
				return nil
			}
			c.setStr(r, []byte(s))
			return nil
		}},
}

// lastRegex is the compiled form of the regular expression that a call saw last.
type lastRegex struct {
	text, by string
	re       *regexp.Regexp
	template []byte
}

func regexOf(c *call, text []byte) (*regexp.Regexp, error) {
	l, ok := c.state.(*lastRegex)
	if !ok || l.text != string(text) {
		re, err := regexp.Compile(string(text))
		if err != nil {
			return nil, causef(ErrArgument, "%v", err)
		}
		l = &lastRegex{text: string(text), re: re}
		c.state = l
	}
	return l.re, nil
}

func regexpExtract(c *call, r int) error {
	re, err := regexOf(c, c.str(1, r))
	if err != nil {
		return err
	}
	group := int64(0)
	if len(c.arg) > 2 {
		group = c.i64(2, r)
	}
	match := re.FindSubmatchIndex(c.str(0, r))
	if match == nil || group < 0 || group > int64(re.NumSubexp()) || match[2*group] < 0 {
		c.part(0, r, 0, 0)
		c.setNull(r)
		return nil
	}
	c.part(0, r, match[2*group], match[2*group+1])
	return nil
}

func regexpReplace(c *call, r int) error {
	re, err := regexOf(c, c.str(1, r))
	if err != nil {
		return err
	}
	l := c.state.(*lastRegex)
	if by := c.str(2, r); l.template == nil || l.by != string(by) {
		l.by, l.template = string(by), replacement(by)
	}
	s, out, from := c.str(0, r), c.begin(r), 0
	for _, m := range re.FindAllSubmatchIndex(s, -1) {
		out = append(out, s[from:m[0]]...)
		out = re.Expand(out, l.template, s, m)
		from = m[1]
	}
	c.end(r, append(out, s[from:]...))
	return nil
}

// replacement turns Java's $1 and \$ into Go's ${1} and $$.
func replacement(by []byte) []byte {
	out := []byte{}
	for i := 0; i < len(by); i++ {
		switch c := by[i]; {
		case c == '\\' && i+1 < len(by):
			i++
			if by[i] == '$' {
				out = append(out, '$')
			}
			out = append(out, by[i])
		case c == '$' && i+1 < len(by) && isDigit(by[i+1]):
			out = append(out, '$', '{', by[i+1], '}')
			i++
		case c == '$' && i+1 < len(by) && by[i+1] == '{':
			out = append(out, '$')
		case c == '$':
			out = append(out, '$', '$')
		default:
			out = append(out, c)
		}
	}
	return out
}

func hashCall(algorithm func() hash.Hash) func(b *binder, n *Call, args []op) (op, error) {
	return func(b *binder, n *Call, args []op) (op, error) {
		h := algorithm()
		var sum []byte
		return rowCall(n, stringType, args, func(c *call, r int) error {
			h.Reset()
			h.Write(c.str(0, r))
			sum = h.Sum(sum[:0])
			c.end(r, appendHex(c.begin(r), sum))
			return nil
		}), nil
	}
}

func hexCall(b *binder, n *Call, args []op) (op, error) {
	switch k := args[0].typ().Kind; {
	case k.IsInteger():
		x, err := b.convert(n, args[0], bigintType)
		return rowCall(n, stringType, []op{x}, func(c *call, r int) error {
			out, started := c.begin(r), false
			for shift := 60; shift >= 0; shift -= 4 {
				d := uint64(c.i64(0, r)) >> shift & 15
				if started = started || d != 0 || shift == 0; started {
					out = append(out, "0123456789ABCDEF"[d])
				}
			}
			c.end(r, out)
			return nil
		}), err
	case k == core.String || k == core.Bytes:
		return rowCall(n, stringType, args, func(c *call, r int) error {
			out := c.begin(r)
			from := len(out)
			out = appendHex(out, c.str(0, r))
			copy(out[from:], bytes.ToUpper(out[from:]))
			c.end(r, out)
			return nil
		}), nil
	}
	return nil, b.errorf(n, "HEX takes an integer, a STRING or BYTES, not %s", describe(args[0]))
}

func recode(c *call, r int) error {
	switch string(bytes.ToUpper(c.str(1, r))) {
	case "UTF-8", "UTF8", "US-ASCII":
	default:
		return causef(ErrArgument, "the character set %q is not supported: only UTF-8", c.str(1, r))
	}
	if !utf8.Valid(c.str(0, r)) {
		return causef(ErrCast, "the bytes are not UTF-8")
	}
	c.setStr(r, c.str(0, r))
	return nil
}
