package expr

import (
	"strings"
)

// Parser reads expressions from a SQL text by operator precedence (Pratt 1973). A parser of whole statements embeds it: it takes the clauses'
// keywords with Accept and Expect and calls Expression where the grammar has an expression. All errors are *SyntaxError.
type Parser struct {
	// Primary, when set, is asked first wherever an operand may begin. It returns a nil Node to leave the operand to the Parser. A parser of statements
	// uses it for subqueries.
	Primary func(*Parser) (Node, error)

	src    string
	tokens []Token
	at     int
	depth  int
	params int
}

// maxDepth bounds the nesting of an expression, so that no text can exhaust the stack.
const maxDepth = 400

// maxChain bounds the operators in a row without brackets, for the same reason.
const maxChain = 5000

// NewParser returns a parser at the first token of src.
func NewParser(src string) (*Parser, error) {
	tokens, err := Tokenize(src)
	if err != nil {
		return nil, err
	}
	return &Parser{src: src, tokens: tokens}, nil
}

// Parse reads src, which must be one expression.
func Parse(src string) (Node, error) {
	p, err := NewParser(src)
	if err != nil {
		return nil, err
	}
	if p.Peek().Kind == TokenEOF {
		return nil, p.Errorf(p.Peek(), "expected an expression, found an empty text")
	}
	n, err := p.Expression()
	if err != nil {
		return nil, err
	}
	if t := p.Peek(); t.Kind != TokenEOF {
		return nil, p.Errorf(t, "expected an operator or the end of the expression, found %s%s", t.describe(), p.hintAfter(t))
	}
	return n, nil
}

// hintAfter helps with what people write who come from other languages.
func (p *Parser) hintAfter(t Token) string {
	switch {
	case t.IsOp("=") && p.at > 0 && p.tokens[p.at-1].IsOp("="):
		return " (equality is one =)"
	case t.Kind == TokenString && p.at > 0 && p.tokens[p.at-1].Kind == TokenIdent:
		return " (is an operator or a comma missing before it?)"
	case t.IsOp(")"):
		return " (this bracket was not opened)"
	case t.IsOp("|"):
		return " (OR is the logical operator, || joins strings)"
	}
	return ""
}

// Source is the text that is parsed.
func (p *Parser) Source() string { return p.src }

// Peek gives the next token without taking it.
func (p *Parser) Peek() Token { return p.tokens[p.at] }

// PeekAt gives the token n places ahead; PeekAt(0) is Peek. Beyond the end it gives TokenEOF.
func (p *Parser) PeekAt(n int) Token { return p.tokens[min(p.at+n, len(p.tokens)-1)] }

// Next takes the next token. At the end it gives TokenEOF again and again.
func (p *Parser) Next() Token {
	t := p.tokens[p.at]
	if t.Kind != TokenEOF {
		p.at++
	}
	return t
}

// Accept takes the words when they come next, in this order and in any case, and tells whether they did.
func (p *Parser) Accept(words ...string) bool {
	for i, w := range words {
		if !p.PeekAt(i).Is(w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

// AcceptOp takes the operator when it comes next.
func (p *Parser) AcceptOp(op string) bool {
	if p.Peek().IsOp(op) {
		p.at++
		return true
	}
	return false
}

// Expect takes the words or fails.
func (p *Parser) Expect(words ...string) error {
	for _, w := range words {
		if !p.Accept(w) {
			return p.expected(w)
		}
	}
	return nil
}

// ExpectOp takes the operator or fails.
func (p *Parser) ExpectOp(op string) error {
	if !p.AcceptOp(op) {
		return p.expected("\"" + op + "\"")
	}
	return nil
}

// Errorf makes an error at the token.
func (p *Parser) Errorf(t Token, format string, args ...any) error {
	return syntaxErrorf(p.src, t.Pos, format, args...)
}

func (p *Parser) expected(what string) error {
	t := p.Peek()
	return p.Errorf(t, "expected %s, found %s", what, t.describe())
}

// Identifier takes a name: a word that is not reserved, or one in backticks.
func (p *Parser) Identifier(what string) (string, error) {
	t := p.Peek()
	if t.Kind == TokenQuoted || t.Kind == TokenIdent && !reserved[strings.ToUpper(t.Text)] {
		p.at++
		return t.Value, nil
	}
	if t.Kind == TokenIdent {
		return "", p.Errorf(t, "expected %s, found the reserved word %s: write it in backticks to use it as a name", what, strings.ToUpper(t.Text))
	}
	return "", p.expected(what)
}

// reserved words are no names unless in backticks.
var reserved = wordSet("ALL AND ANY AS BETWEEN BY CASE CAST CROSS DISTINCT ELSE END EXCEPT EXISTS FALSE FROM FULL GROUP HAVING IN INNER INTERSECT INTO IS JOIN " +
	"LIKE LIMIT NATURAL NOT NULL ON OR ORDER OUTER SELECT SIMILAR THEN TRUE TRY_CAST UNION USING VALUES WHEN WHERE WITH")

func wordSet(words string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// Binding powers, as in the SQL standard: a higher one binds tighter.
const (
	powerOr       = 10
	powerAnd      = 20
	powerNot      = 30
	powerIs       = 40
	powerCompare  = 50
	powerRange    = 60 // BETWEEN, IN, LIKE
	powerAdd      = 70
	powerMultiply = 80
	powerUnary    = 90
	powerPostfix  = 100
)

// Expression reads one expression and stops before what cannot continue it.
func (p *Parser) Expression() (Node, error) { return p.parse(0) }

// Expressions reads a comma-separated list of at least one expression.
func (p *Parser) Expressions() ([]Node, error) {
	var out []Node
	for {
		n, err := p.Expression()
		if err != nil {
			return nil, err
		}
		out = append(out, n)
		if !p.AcceptOp(",") {
			return out, nil
		}
	}
}

// parse reads an expression whose operators all bind tighter than power.
func (p *Parser) parse(power int) (Node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.Errorf(p.Peek(), "the expression is nested deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	left, err := p.prefix()
	if err != nil {
		return nil, err
	}
	for links := 0; ; links++ {
		if links > maxChain {
			return nil, p.Errorf(p.Peek(), "the expression has more than %d operators in a row", maxChain)
		}
		next, err := p.infix(left, power)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return left, nil
		}
		left = next
	}
}

func (p *Parser) prefix() (Node, error) {
	t := p.Peek()
	switch {
	case t.Is("NOT"):
		p.at++
		x, err := p.parse(powerNot - 1)
		if err != nil {
			return nil, err
		}
		return &Unary{Span{t.Pos, x.End()}, "NOT", x}, nil
	case t.IsOp("-") && p.PeekAt(1).Kind == TokenNumber:
		number := p.PeekAt(1)
		p.at += 2
		return &Literal{Span{t.Pos, number.End}, LiteralNumber, "-" + number.Text}, nil
	case t.IsOp("-") || t.IsOp("+"):
		p.at++
		x, err := p.parse(powerUnary)
		if err != nil {
			return nil, err
		}
		return &Unary{Span{t.Pos, x.End()}, t.Text, x}, nil
	}
	return p.primary()
}

var binaryPower = map[string]int{
	"=": powerCompare, "<>": powerCompare, "!=": powerCompare, "<": powerCompare, "<=": powerCompare, ">": powerCompare, ">=": powerCompare,
	"+": powerAdd, "-": powerAdd, "*": powerMultiply, "/": powerMultiply, "%": powerMultiply, "||": powerMultiply,
}

// infix continues left with the operator that comes next, or gives nil when that binds no tighter than power.
func (p *Parser) infix(left Node, power int) (Node, error) {
	t := p.Peek()
	switch t.Kind {
	case TokenOperator:
		if op, ok := binaryPower[t.Text]; ok {
			if op <= power {
				return nil, nil
			}
			p.at++
			name := t.Text
			if name == "!=" {
				name = "<>"
			}
			return p.binary(left, name, op)
		}
		if powerPostfix <= power {
			return nil, nil
		}
		switch t.Text {
		case "[":
			p.at++
			i, err := p.Expression()
			if err != nil {
				return nil, err
			}
			if err := p.ExpectOp("]"); err != nil {
				return nil, err
			}
			return &Index{Span{left.Pos(), p.lastEnd()}, left, i}, nil
		case ".":
			p.at++
			return p.field(left)
		}
	case TokenIdent:
		return p.infixWord(left, power, t)
	}
	return nil, nil
}

func (p *Parser) lastEnd() int { return p.tokens[p.at-1].End }

// field reads the name after a dot.
func (p *Parser) field(left Node) (Node, error) {
	t := p.Peek()
	if t.Kind != TokenIdent && t.Kind != TokenQuoted {
		return nil, p.expected("a field name after \".\"")
	}
	p.at++
	span := Span{left.Pos(), t.End}
	if c, ok := left.(*Column); ok {
		return &Column{span, append(append([]string(nil), c.Parts...), t.Value)}, nil
	}
	return &Field{span, left, t.Value}, nil
}

func (p *Parser) binary(left Node, op string, power int) (Node, error) {
	right, err := p.parse(power)
	if err != nil {
		return nil, err
	}
	return &Binary{Span{left.Pos(), right.End()}, op, left, right}, nil
}

func (p *Parser) infixWord(left Node, power int, t Token) (Node, error) {
	word := strings.ToUpper(t.Text)
	switch word {
	case "OR", "AND":
		op := powerOr
		if word == "AND" {
			op = powerAnd
		}
		if op <= power {
			return nil, nil
		}
		p.at++
		return p.binary(left, word, op)
	case "IS":
		if powerIs <= power {
			return nil, nil
		}
		p.at++
		return p.is(left)
	}
	not := word == "NOT"
	if not {
		word = strings.ToUpper(p.PeekAt(1).Text)
	}
	if word != "BETWEEN" && word != "IN" && word != "LIKE" && word != "SIMILAR" || powerRange <= power {
		return nil, nil
	}
	if not {
		p.at++
	}
	p.at++
	switch word {
	case "BETWEEN":
		return p.between(left, not)
	case "IN":
		return p.in(left, not)
	case "SIMILAR":
		return nil, p.Errorf(t, "SIMILAR TO is not supported: use LIKE or REGEXP(text, regex)")
	}
	pattern, err := p.parse(powerRange)
	if err != nil {
		return nil, err
	}
	n := &Like{Span: Span{left.Pos(), pattern.End()}, X: left, Pattern: pattern, Not: not}
	if p.Accept("ESCAPE") {
		if n.Escape, err = p.parse(powerRange); err != nil {
			return nil, err
		}
		n.To = n.Escape.End()
	}
	return n, nil
}

func (p *Parser) is(left Node) (Node, error) {
	not := p.Accept("NOT")
	if p.Accept("DISTINCT") {
		if err := p.Expect("FROM"); err != nil {
			return nil, err
		}
		op := "IS DISTINCT FROM"
		if not {
			op = "IS NOT DISTINCT FROM"
		}
		return p.binary(left, op, powerIs)
	}
	for _, what := range [...]string{"NULL", "TRUE", "FALSE", "UNKNOWN"} {
		if p.Accept(what) {
			return &Is{Span{left.Pos(), p.lastEnd()}, left, not, what}, nil
		}
	}
	return nil, p.expected("NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM after IS")
}

func (p *Parser) between(left Node, not bool) (Node, error) {
	n := &Between{X: left, Not: not}
	n.Symmetric = p.Accept("SYMMETRIC")
	if !n.Symmetric {
		p.Accept("ASYMMETRIC")
	}
	var err error
	if n.Low, err = p.parse(powerRange); err != nil {
		return nil, err
	}
	if !p.Accept("AND") {
		return nil, p.expected("AND and the upper bound of BETWEEN")
	}
	if n.High, err = p.parse(powerRange); err != nil {
		return nil, err
	}
	n.Span = Span{left.Pos(), n.High.End()}
	return n, nil
}

func (p *Parser) in(left Node, not bool) (Node, error) {
	if p.Primary != nil {
		n, err := p.Primary(p)
		if n != nil || err != nil {
			return &In{Span{left.Pos(), p.lastEnd()}, left, not, []Node{n}}, err
		}
	}
	if err := p.ExpectOp("("); err != nil {
		return nil, err
	}
	if p.Peek().Is("SELECT") {
		return nil, p.Errorf(p.Peek(), "a subquery is not allowed here")
	}
	list, err := p.Expressions()
	if err != nil {
		return nil, err
	}
	if !p.AcceptOp(")") {
		return nil, p.expected("\",\" or \")\" in the list of IN")
	}
	return &In{Span{left.Pos(), p.lastEnd()}, left, not, list}, nil
}
