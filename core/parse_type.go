package core

import (
	"fmt"
	"strconv"
	"strings"
)

// TypeError says why a type text is refused and at which byte of it.
type TypeError struct {
	Text   string
	Offset int
	Reason string
}

// Error names the text, the column (from 1) and the reason.
func (e *TypeError) Error() string {
	return fmt.Sprintf("type %q, column %d: %s", e.Text, e.Offset+1, e.Reason)
}

// ParseType reads a type in Flink SQL's syntax, such as BIGINT NOT NULL, TIMESTAMP(3), DECIMAL(10, 2),
// ARRAY<INT>, MAP<STRING, DOUBLE> or ROW<a INT, b STRING>. Names are not case-sensitive. Errors are *TypeError.
func ParseType(text string) (Type, error) {
	p := typeParser{text: text}
	t, err := p.parse(0)
	if err == nil {
		if p.space(); p.at < len(p.text) {
			err = p.fail("unexpected %q after the type", p.text[p.at:])
		}
	}
	if err != nil {
		return Type{}, err
	}
	return t, nil
}

type typeParser struct {
	text string
	at   int
}

const maxTypeDepth = 32

func (p *typeParser) fail(format string, args ...any) error {
	return &TypeError{p.text, p.at, fmt.Sprintf(format, args...)}
}

func (p *typeParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// word reads the next identifier as it stands, or "".
func (p *typeParser) word() string {
	p.space()
	start := p.at
	for p.at < len(p.text) && isWordByte(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

// accept consumes the words (upper case) when they come next.
func (p *typeParser) accept(words ...string) bool {
	save := p.at
	for _, w := range words {
		if !strings.EqualFold(p.word(), w) {
			p.at = save
			return false
		}
	}
	return true
}

func (p *typeParser) symbol(c byte) bool {
	if p.space(); p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

var simpleTypes = map[string]Kind{
	"BOOLEAN": Boolean, "BOOL": Boolean, "TINYINT": Int8, "SMALLINT": Int16, "INT": Int32, "INTEGER": Int32, "BIGINT": Int64,
	"FLOAT": Float32, "REAL": Float32, "DOUBLE": Float64, "STRING": String, "BYTES": Bytes, "DATE": Date,
}

var typeNames = []string{
	"BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "STRING", "BYTES", "DATE", "TIME", "TIMESTAMP",
	"TIMESTAMP_LTZ", "INTERVAL", "ARRAY", "MAP", "ROW",
}

// TypeNames returns the names that a type can begin with, for messages and completion.
func TypeNames() []string { return append([]string(nil), typeNames...) }

func (p *typeParser) parse(depth int) (Type, error) {
	if depth > maxTypeDepth {
		return Type{}, p.fail("types nest deeper than %d levels", maxTypeDepth)
	}
	p.space()
	start := p.at
	name := strings.ToUpper(p.word())
	t, err := p.base(name, start, depth)
	if err != nil {
		return t, err
	}
	if p.accept("NOT") {
		if !p.accept("NULL") {
			return t, p.fail("expected NULL after NOT")
		}
		t.NotNull = true
	} else {
		p.accept("NULL")
	}
	return t, nil
}

func (p *typeParser) base(name string, start, depth int) (t Type, err error) {
	if k, ok := simpleTypes[name]; ok {
		if name == "DOUBLE" {
			p.accept("PRECISION")
		}
		return Of(k), nil
	}
	switch name {
	case "VARCHAR", "CHAR", "VARBINARY", "BINARY":
		// Lengths are read and not enforced, as documented: turbo stores STRING and BYTES.
		if _, err = p.arguments(1, 1<<31-1); err != nil {
			return t, err
		}
		if name == "VARCHAR" || name == "CHAR" {
			return Of(String), nil
		}
		return Of(Bytes), nil
	case "DECIMAL", "NUMERIC", "DEC":
		return p.decimal()
	case "TIME", "TIMESTAMP", "TIMESTAMP_LTZ":
		return p.temporal(name)
	case "INTERVAL":
		return p.interval()
	case "ARRAY":
		e, err := p.members(depth, 1)
		return Type{Kind: Array, Elements: e}, err
	case "MAP":
		e, err := p.members(depth, 2)
		if err == nil && e[0].Type.Kind.IsNested() {
			err = p.fail("a MAP's key cannot be %s", e[0].Type)
		}
		return Type{Kind: Map, Elements: e}, err
	case "ROW":
		e, err := p.rowFields(depth)
		return Type{Kind: Row, Elements: e}, err
	case "":
		return t, p.fail("expected a type, such as BIGINT or STRING")
	}
	p.at = start
	if near := Nearest(name, typeNames); near != "" {
		return t, p.fail("unknown type %s, did you mean %s?", name, near)
	}
	return t, p.fail("unknown type %s; known: %s", name, strings.Join(typeNames, ", "))
}

// arguments reads an optional (a, b, ...) of at most max numbers of at most limit.
func (p *typeParser) arguments(max, limit int) ([]int, error) {
	if !p.symbol('(') {
		return nil, nil
	}
	var out []int
	for {
		p.space()
		start := p.at
		n, err := strconv.Atoi(p.word())
		if err != nil || n < 0 || n > limit {
			p.at = start
			return nil, p.fail("expected a number between 0 and %d", limit)
		}
		out = append(out, n)
		if p.symbol(')') {
			break
		}
		if !p.symbol(',') {
			return nil, p.fail("expected , or )")
		}
	}
	if len(out) > max {
		return nil, p.fail("at most %d numbers in the brackets", max)
	}
	return out, nil
}

func (p *typeParser) decimal() (Type, error) {
	args, err := p.arguments(2, 38)
	t := DecimalOf(10, 0)
	if err != nil {
		return t, err
	}
	if len(args) > 0 {
		t.Precise = uint8(args[0])
	}
	if len(args) > 1 {
		t.Scale = uint8(args[1])
	}
	if t.Precise < 1 || t.Scale > t.Precise {
		return t, p.fail("DECIMAL(%d, %d): needs 1 to 38 digits and a scale not above them", t.Precise, t.Scale)
	}
	return t, nil
}

func (p *typeParser) temporal(name string) (Type, error) {
	args, err := p.arguments(1, 9)
	if err != nil {
		return Type{}, err
	}
	t := Of(Timestamp)
	if name == "TIME" {
		t = Of(TimeOfDay)
	}
	if len(args) > 0 {
		if args[0] > 6 {
			return t, p.fail("%s(%d): turbo keeps microseconds, the precision is 0 to 6", name, args[0])
		}
		t.Precise = uint8(args[0])
	}
	switch {
	case name == "TIMESTAMP_LTZ":
		t.Kind = TimestampLTZ
	case p.accept("WITHOUT", "TIME", "ZONE"):
	case name == "TIMESTAMP" && p.accept("WITH", "LOCAL", "TIME", "ZONE"):
		t.Kind = TimestampLTZ
	}
	return t, nil
}

func (p *typeParser) interval() (Type, error) {
	months := map[string]bool{"YEAR": true, "MONTH": true}
	days := map[string]bool{"DAY": true, "HOUR": true, "MINUTE": true, "SECOND": true}
	first := strings.ToUpper(p.word())
	if _, err := p.arguments(2, 9); err != nil {
		return Type{}, err
	}
	last := first
	if p.accept("TO") {
		last = strings.ToUpper(p.word())
		if _, err := p.arguments(1, 9); err != nil {
			return Type{}, err
		}
	}
	switch {
	case months[first] && months[last]:
		return Of(IntervalMonth), nil
	case days[first] && days[last]:
		return Of(IntervalDay), nil
	}
	return Type{}, p.fail("expected INTERVAL YEAR TO MONTH or INTERVAL DAY TO SECOND")
}

func (p *typeParser) members(depth, n int) ([]Field, error) {
	names := [][]string{1: {"element"}, 2: {"key", "value"}}[n]
	if !p.symbol('<') {
		return nil, p.fail("expected <")
	}
	out := make([]Field, n)
	for i := range out {
		if i > 0 && !p.symbol(',') {
			return nil, p.fail("expected ,")
		}
		t, err := p.parse(depth + 1)
		if err != nil {
			return nil, err
		}
		out[i] = Field{names[i], t}
	}
	if !p.symbol('>') {
		return nil, p.fail("expected >")
	}
	return out, nil
}

func (p *typeParser) rowFields(depth int) ([]Field, error) {
	end := byte('>')
	if !p.symbol('<') {
		if end = ')'; !p.symbol('(') {
			return nil, p.fail("expected <")
		}
	}
	var out []Field
	seen := map[string]bool{}
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, p.fail("field %s stands twice", QuoteName(name))
		}
		seen[name] = true
		t, err := p.parse(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, Field{name, t})
		if p.symbol(end) {
			return out, nil
		}
		if !p.symbol(',') {
			return nil, p.fail("expected , or %c", end)
		}
	}
}

func (p *typeParser) name() (string, error) {
	if !p.symbol('`') {
		if w := p.word(); w != "" {
			return w, nil
		}
		return "", p.fail("expected a field name")
	}
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		if c != '`' {
			b.WriteByte(c)
		} else if p.at < len(p.text) && p.text[p.at] == '`' {
			b.WriteByte('`')
			p.at++
		} else {
			return b.String(), nil
		}
	}
	return "", p.fail("the quoted name is not closed with `")
}
