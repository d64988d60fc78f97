package expr

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// TokenKind says what a Token is.
type TokenKind uint8

// The kinds of tokens. Keywords are identifiers: whether a word is a keyword depends on where it stands.
const (
	TokenEOF       TokenKind = iota
	TokenIdent               // an unquoted word
	TokenQuoted              // a word in backticks; Value is without them
	TokenNumber              // 1, 1.5, .5, 1e3
	TokenString              // 'text'; Value is decoded
	TokenBinary              // X'45F0'; Value holds the decoded bytes
	TokenOperator            // an operator or punctuation; Value equals Text
	TokenParameter           // ?
)

// Token is one lexical unit of a SQL text.
type Token struct {
	Kind  TokenKind
	Text  string // as written
	Value string // decoded
	Pos   int    // byte offset of the first byte
	End   int    // byte offset after the last byte
}

// Is tells whether the token is the unquoted word given, in any case.
func (t Token) Is(word string) bool {
	return t.Kind == TokenIdent && len(t.Text) == len(word) && strings.EqualFold(t.Text, word)
}

// IsOp tells whether the token is the operator given.
func (t Token) IsOp(op string) bool { return t.Kind == TokenOperator && t.Text == op }

// describe names the token in an error message.
func (t Token) describe() string {
	switch t.Kind {
	case TokenEOF:
		return "the end of the text"
	case TokenString:
		return "the string " + shorten(t.Text, 40)
	case TokenNumber:
		return "the number " + shorten(t.Text, 40)
	}
	return "\"" + shorten(t.Text, 40) + "\""
}

// shorten cuts s to at most n bytes at a rune boundary.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// Tokenize splits a SQL text into tokens, the last of which is TokenEOF. White space and comments (-- to the end of the line,
// and /* */) are left out. The error is a *SyntaxError.
func Tokenize(src string) ([]Token, error) {
	l := lexer{src: src}
	tokens := make([]Token, 0, len(src)/4+2)
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		if t.Kind == TokenEOF {
			return tokens, nil
		}
	}
}

type lexer struct {
	src string
	off int
}

func (l *lexer) next() (Token, error) {
	if err := l.skipSpace(); err != nil {
		return Token{}, err
	}
	start := l.off
	if start >= len(l.src) {
		return Token{Kind: TokenEOF, Pos: start, End: start}, nil
	}
	c := l.src[start]
	switch {
	case c == '\'':
		return l.quoted(start, start, '\'', TokenString, "string")
	case c == '`':
		t, err := l.quoted(start, start, '`', TokenQuoted, "quoted identifier")
		if err == nil && t.Value == "" {
			return t, syntaxErrorf(l.src, start, "an identifier in backticks must not be empty")
		}
		return t, err
	case (c == 'x' || c == 'X') && l.at(start+1) == '\'':
		return l.binary(start)
	case (c == 'u' || c == 'U') && l.at(start+1) == '&' && l.at(start+2) == '\'':
		return l.unicodeString(start)
	case isDigit(c) || c == '.' && isDigit(l.at(start+1)):
		return l.number(start)
	}
	r, size := utf8.DecodeRuneInString(l.src[start:])
	if r == utf8.RuneError && size <= 1 {
		return Token{}, syntaxErrorf(l.src, start, "the text is not valid UTF-8")
	}
	if isIdentStart(r) {
		l.off += size
		for l.off < len(l.src) {
			r, size = utf8.DecodeRuneInString(l.src[l.off:])
			if !isIdentPart(r) {
				break
			}
			l.off += size
		}
		text := l.src[start:l.off]
		return Token{Kind: TokenIdent, Text: text, Value: text, Pos: start, End: l.off}, nil
	}
	for _, op := range [...]string{"<=", ">=", "<>", "!=", "||", "=>"} {
		if strings.HasPrefix(l.src[start:], op) {
			return l.emit(TokenOperator, start, start+2), nil
		}
	}
	if c == '?' {
		return l.emit(TokenParameter, start, start+1), nil
	}
	if strings.IndexByte("+-*/%=<>(),.[]{};:|", c) >= 0 {
		return l.emit(TokenOperator, start, start+1), nil
	}
	if c == '"' {
		return Token{}, syntaxErrorf(l.src, start, "unexpected '\"': a string is written in single quotes, an identifier in backticks")
	}
	return Token{}, syntaxErrorf(l.src, start, "unexpected character %q", r)
}

func (l *lexer) emit(kind TokenKind, start, end int) Token {
	l.off = end
	return Token{Kind: kind, Text: l.src[start:end], Value: l.src[start:end], Pos: start, End: end}
}

func (l *lexer) at(i int) byte {
	if i < len(l.src) {
		return l.src[i]
	}
	return 0
}

func (l *lexer) skipSpace() error {
	for l.off < len(l.src) {
		c := l.src[l.off]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			l.off++
		case c == '-' && l.at(l.off+1) == '-':
			if end := strings.IndexByte(l.src[l.off:], '\n'); end >= 0 {
				l.off += end + 1
			} else {
				l.off = len(l.src)
			}
		case c == '/' && l.at(l.off+1) == '*':
			end := strings.Index(l.src[l.off+2:], "*/")
			if end < 0 {
				return syntaxErrorf(l.src, l.off, "this comment is not closed: expected */")
			}
			l.off += 2 + end + 2
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(l.src[l.off:])
			if !unicode.IsSpace(r) {
				return nil
			}
			l.off += size
		default:
			return nil
		}
	}
	return nil
}

// quoted reads a text in quotes that starts at open; a doubled quote stands for one.
func (l *lexer) quoted(start, open int, quote byte, kind TokenKind, what string) (Token, error) {
	var b strings.Builder
	plain := open + 1
	for i := open + 1; i < len(l.src); i++ {
		if l.src[i] != quote {
			continue
		}
		if l.at(i+1) == quote {
			b.WriteString(l.src[plain : i+1])
			i++
			plain = i + 1
			continue
		}
		value := l.src[plain:i]
		if b.Len() > 0 {
			b.WriteString(value)
			value = b.String()
		}
		if !utf8.ValidString(value) {
			return Token{}, syntaxErrorf(l.src, start, "this %s is not valid UTF-8", what)
		}
		l.off = i + 1
		return Token{Kind: kind, Text: l.src[start:l.off], Value: value, Pos: start, End: l.off}, nil
	}
	return Token{}, syntaxErrorf(l.src, start, "this %s is not closed: expected %c", what, quote)
}

func (l *lexer) binary(start int) (Token, error) {
	t, err := l.quoted(start, start+1, '\'', TokenBinary, "binary string")
	if err != nil {
		return t, err
	}
	out, ok := appendHexDecoded(nil, t.Value)
	if !ok {
		return t, syntaxErrorf(l.src, start, "a binary string holds pairs of hexadecimal digits, such as X'45F0'")
	}
	t.Value = string(out)
	return t, nil
}

// unicodeString reads U&'\0041': a backslash and four hexadecimal digits, or \+ and six, or two backslashes.
func (l *lexer) unicodeString(start int) (Token, error) {
	t, err := l.quoted(start, start+2, '\'', TokenString, "string")
	if err != nil {
		return t, err
	}
	var b strings.Builder
	v := t.Value
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' {
			b.WriteByte(v[i])
			continue
		}
		if i+1 < len(v) && v[i+1] == '\\' {
			b.WriteByte('\\')
			i++
			continue
		}
		from, digits := i+1, 4
		if from < len(v) && v[from] == '+' {
			from, digits = from+1, 6
		}
		if from+digits > len(v) {
			return t, syntaxErrorf(l.src, start, "expected four hexadecimal digits after \\ in this string")
		}
		r, ok := hexRune(v[from : from+digits])
		if !ok {
			return t, syntaxErrorf(l.src, start, "expected four hexadecimal digits of a character after \\ in this string")
		}
		b.WriteRune(r)
		i = from + digits - 1
	}
	t.Value = b.String()
	return t, nil
}

func hexRune(s string) (rune, bool) {
	var r rune
	for i := 0; i < len(s); i++ {
		d, ok := hexDigit(s[i])
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, utf8.ValidRune(r)
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// appendHexDecoded appends the bytes that s, pairs of hexadecimal digits, stands for.
func appendHexDecoded(dst []byte, s string) ([]byte, bool) {
	if len(s)%2 != 0 {
		return dst, false
	}
	for i := 0; i < len(s); i += 2 {
		hi, ok1 := hexDigit(s[i])
		lo, ok2 := hexDigit(s[i+1])
		if !ok1 || !ok2 {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}

func (l *lexer) number(start int) (Token, error) {
	i := start
	digits := func() {
		for isDigit(l.at(i)) {
			i++
		}
	}
	digits()
	if l.at(i) == '.' {
		i++
		digits()
	}
	if c := l.at(i); c == 'e' || c == 'E' {
		mark := i
		i++
		if c := l.at(i); c == '+' || c == '-' {
			i++
		}
		if !isDigit(l.at(i)) {
			return Token{}, syntaxErrorf(l.src, mark, "expected the digits of an exponent after %q", l.src[start:i])
		}
		digits()
	}
	if r, _ := utf8.DecodeRuneInString(l.src[i:]); i < len(l.src) && isIdentStart(r) {
		return Token{}, syntaxErrorf(l.src, start, "a word must not begin with a digit: put %q in backticks or leave a space after the number", l.src[start:i+1])
	}
	return l.emit(TokenNumber, start, i), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isIdentStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }

func isIdentPart(r rune) bool {
	return r == '_' || r == '$' || r == '@' || unicode.IsLetter(r) || unicode.IsDigit(r)
}
