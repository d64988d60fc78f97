package expr

import (
	"strings"
)

// primary reads an operand: a literal, a name, a call, something in brackets.
func (p *Parser) primary() (Node, error) {
	if p.Primary != nil {
		if n, err := p.Primary(p); n != nil || err != nil {
			return n, err
		}
	}
	t := p.Peek()
	span := Span{t.Pos, t.End}
	switch t.Kind {
	case TokenNumber:
		p.at++
		return &Literal{span, LiteralNumber, t.Text}, nil
	case TokenString:
		p.at++
		return &Literal{span, LiteralString, t.Value}, nil
	case TokenBinary:
		p.at++
		return &Literal{span, LiteralBinary, t.Value}, nil
	case TokenQuoted:
		p.at++
		return &Column{span, []string{t.Value}}, nil
	case TokenParameter:
		p.at++
		p.params++
		return &Parameter{span, p.params - 1}, nil
	case TokenOperator:
		if t.Text == "(" {
			return p.brackets()
		}
	case TokenIdent:
		return p.word(t)
	}
	return nil, p.expected("an expression")
}

func (p *Parser) brackets() (Node, error) {
	open := p.Next()
	if p.Peek().Is("SELECT") {
		return nil, p.Errorf(p.Peek(), "a subquery is not allowed here")
	}
	list, err := p.Expressions()
	if err != nil {
		return nil, err
	}
	if !p.AcceptOp(")") {
		return nil, p.expected("\")\" for the bracket opened at column " + columnText(p.src, open.Pos))
	}
	if len(list) > 1 {
		return &RowLit{Span{open.Pos, p.lastEnd()}, list}, nil
	}
	if n, ok := list[0].(interface{ widen(from, to int) }); ok {
		n.widen(open.Pos, p.lastEnd())
	}
	return list[0], nil
}

func columnText(src string, offset int) string {
	_, column := Position(src, offset)
	return itoa(column)
}

func itoa(n int) string {
	return string(appendInt(nil, int64(n)))
}

// bareFunctions are called without brackets.
var bareFunctions = wordSet("CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIMESTAMP LOCALTIME")

func (p *Parser) word(t Token) (Node, error) {
	word := strings.ToUpper(t.Text)
	span := Span{t.Pos, t.End}
	switch word {
	case "NULL":
		p.at++
		return &Literal{span, LiteralNull, ""}, nil
	case "TRUE", "FALSE":
		p.at++
		return &Literal{span, LiteralBool, word}, nil
	case "UNKNOWN":
		if !p.PeekAt(1).IsOp("(") {
			p.at++
			return &Cast{Span: span, X: &Literal{span, LiteralNull, ""}, Type: "BOOLEAN", TypePos: t.Pos}, nil
		}
	case "CASE":
		return p.caseExpression()
	case "CAST", "TRY_CAST":
		return p.cast(word == "TRY_CAST")
	case "DATE", "TIME", "TIMESTAMP":
		if text := p.PeekAt(1); text.Kind == TokenString {
			p.at += 2
			kind := map[string]LiteralKind{"DATE": LiteralDate, "TIME": LiteralTime, "TIMESTAMP": LiteralTimestamp}[word]
			return &Literal{Span{t.Pos, text.End}, kind, text.Value}, nil
		}
	case "INTERVAL":
		if next := p.PeekAt(1); next.Kind == TokenString || (next.IsOp("-") || next.IsOp("+")) && p.PeekAt(2).Kind == TokenString {
			return p.interval()
		}
		if p.PeekAt(1).Kind == TokenNumber {
			return nil, p.Errorf(p.PeekAt(1), "the value of an INTERVAL stands in quotes: INTERVAL '%s' DAY", p.PeekAt(1).Text)
		}
	case "ARRAY", "MAP":
		if p.PeekAt(1).IsOp("[") {
			return p.collection(word)
		}
	case "EXISTS":
		return nil, p.Errorf(t, "EXISTS and subqueries are not allowed here")
	}
	if p.PeekAt(1).IsOp("(") {
		if reserved[word] && specialCall[word] == nil {
			return nil, p.expected("an expression")
		}
		return p.call(t, word)
	}
	if reserved[word] {
		return nil, p.Errorf(t, "expected an expression, found the reserved word %s: write it in backticks to use it as a name", word)
	}
	p.at++
	if bareFunctions[word] {
		return &Call{Span: span, Name: word, Written: t.Text, NoParens: true}, nil
	}
	return &Column{span, []string{t.Value}}, nil
}

func (p *Parser) caseExpression() (Node, error) {
	start := p.Next()
	n := &Case{}
	var err error
	if !p.Peek().Is("WHEN") {
		if n.Operand, err = p.Expression(); err != nil {
			return nil, err
		}
	}
	for p.Accept("WHEN") {
		var w When
		if w.Cond, err = p.Expression(); err != nil {
			return nil, err
		}
		if err = p.Expect("THEN"); err != nil {
			return nil, err
		}
		if w.Value, err = p.Expression(); err != nil {
			return nil, err
		}
		n.Whens = append(n.Whens, w)
	}
	if len(n.Whens) == 0 {
		return nil, p.expected("WHEN")
	}
	if p.Accept("ELSE") {
		if n.Else, err = p.Expression(); err != nil {
			return nil, err
		}
	}
	if !p.Accept("END") {
		return nil, p.expected("WHEN, ELSE or END of the CASE at column " + columnText(p.src, start.Pos))
	}
	n.Span = Span{start.Pos, p.lastEnd()}
	return n, nil
}

func (p *Parser) cast(try bool) (Node, error) {
	start := p.Next()
	if err := p.ExpectOp("("); err != nil {
		return nil, err
	}
	x, err := p.Expression()
	if err != nil {
		return nil, err
	}
	if !p.Accept("AS") {
		return nil, p.expected("AS and a type, as in CAST(x AS INT)")
	}
	text, at, err := p.TypeText(nil)
	if err != nil {
		return nil, err
	}
	if err := p.ExpectOp(")"); err != nil {
		return nil, err
	}
	return &Cast{Span{start.Pos, p.lastEnd()}, x, text, at, try}, nil
}

// TypeText takes the text of a type and gives it with its offset: everything up to a "," or ")" outside of brackets, or a token at which stop,
// which may be nil, is true. core.ParseType judges it.
func (p *Parser) TypeText(stop func(Token) bool) (text string, offset int, err error) {
	first := p.Peek()
	depth := 0
	for {
		t := p.Peek()
		if t.Kind == TokenEOF || depth == 0 && (t.IsOp(")") || t.IsOp(",") || t.IsOp(";") || stop != nil && stop(t)) {
			break
		}
		switch {
		case t.IsOp("(") || t.IsOp("<"):
			depth++
		case t.IsOp(")") || t.IsOp(">"):
			depth--
		}
		p.at++
	}
	if p.Peek().Pos == first.Pos {
		return "", 0, p.expected("a type such as INT, STRING or TIMESTAMP(3)")
	}
	return p.src[first.Pos:p.lastEnd()], first.Pos, nil
}

// intervalUnits are the units of an INTERVAL, in order.
var intervalUnits = []string{"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"}

func (p *Parser) interval() (Node, error) {
	start := p.Next()
	n := &Interval{Lead: -1, Fraction: -1}
	if p.AcceptOp("-") {
		n.Negative = true
	} else {
		p.AcceptOp("+")
	}
	n.Text = p.Next().Value
	var err error
	if n.Unit, err = p.intervalUnit(); err != nil {
		return nil, err
	}
	if n.Lead, n.Fraction, err = p.precisions(); err != nil {
		return nil, err
	}
	if p.Accept("TO") {
		if n.ToUnit, err = p.intervalUnit(); err != nil {
			return nil, err
		}
		if n.Fraction, _, err = p.precisions(); err != nil {
			return nil, err
		}
	}
	n.Span = Span{start.Pos, p.lastEnd()}
	return n, nil
}

func (p *Parser) intervalUnit() (string, error) {
	t := p.Peek()
	if t.Kind == TokenIdent {
		word := strings.TrimSuffix(strings.ToUpper(t.Text), "S")
		for _, u := range intervalUnits {
			if u == word {
				p.at++
				return u, nil
			}
		}
	}
	return "", p.expected("a unit of the interval (" + strings.Join(intervalUnits, ", ") + ")")
}

// precisions reads (n) or (n, m).
func (p *Parser) precisions() (a, b int, err error) {
	a, b = -1, -1
	if !p.Peek().IsOp("(") || p.PeekAt(1).Kind != TokenNumber {
		return a, b, nil
	}
	p.at++
	for _, v := range []*int{&a, &b} {
		t := p.Next()
		if t.Kind != TokenNumber || len(t.Text) > 2 || !allDigits(t.Text) {
			return a, b, p.Errorf(t, "expected a precision of at most two digits, found %s", t.describe())
		}
		*v = 0
		for i := 0; i < len(t.Text); i++ {
			*v = *v*10 + int(t.Text[i]-'0')
		}
		if !p.AcceptOp(",") {
			break
		}
	}
	return a, b, p.ExpectOp(")")
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return len(s) > 0
}

func (p *Parser) collection(word string) (Node, error) {
	start := p.Next()
	p.at++
	var list []Node
	if !p.Peek().IsOp("]") {
		var err error
		if list, err = p.Expressions(); err != nil {
			return nil, err
		}
	}
	if !p.AcceptOp("]") {
		return nil, p.expected("\",\" or \"]\"")
	}
	span := Span{start.Pos, p.lastEnd()}
	if word == "ARRAY" {
		return &ArrayLit{span, list}, nil
	}
	if len(list)%2 != 0 {
		return nil, p.Errorf(start, "MAP[...] needs a value for every key: it has %d elements", len(list))
	}
	return &MapLit{span, list}, nil
}
