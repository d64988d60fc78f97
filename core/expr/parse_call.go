package expr

import (
	"strings"
)

// specialCall holds the functions whose arguments have a syntax of their own. Each reads from behind the opening bracket to before the closing one
// and fills the call.
var specialCall map[string]func(*Parser, *Call) error

func init() {
	specialCall = map[string]func(*Parser, *Call) error{
		"EXTRACT":       (*Parser).extract,
		"FLOOR":         (*Parser).floorTo,
		"CEIL":          (*Parser).floorTo,
		"CEILING":       (*Parser).floorTo,
		"TRIM":          (*Parser).trim,
		"SUBSTRING":     (*Parser).substring,
		"POSITION":      (*Parser).position,
		"OVERLAY":       (*Parser).overlay,
		"TIMESTAMPADD":  (*Parser).unitFirst,
		"TIMESTAMPDIFF": (*Parser).unitFirst,
		"JSON_VALUE":    (*Parser).jsonClauses,
		"JSON_EXISTS":   (*Parser).jsonClauses,
		"ROW":           (*Parser).anyArguments,
	}
}

// timeUnits are the units that EXTRACT, FLOOR ... TO, TIMESTAMPADD and TIMESTAMPDIFF may name; each function takes some of them.
var timeUnits = wordSet("MILLENNIUM CENTURY DECADE YEAR ISOYEAR QUARTER MONTH WEEK DAY DOW ISODOW DOY HOUR MINUTE SECOND MILLISECOND MICROSECOND EPOCH " +
	"SQL_TSI_YEAR SQL_TSI_QUARTER SQL_TSI_MONTH SQL_TSI_WEEK SQL_TSI_DAY SQL_TSI_HOUR SQL_TSI_MINUTE SQL_TSI_SECOND")

func (p *Parser) call(name Token, word string) (Node, error) {
	p.at += 2
	n := &Call{Name: word, Written: name.Text}
	read := specialCall[word]
	if read == nil {
		read = (*Parser).anyArguments
	}
	if err := read(p, n); err != nil {
		return nil, err
	}
	if !p.AcceptOp(")") {
		return nil, p.expected("\",\" or \")\" in the call of " + word)
	}
	n.Span = Span{name.Pos, p.lastEnd()}
	if word == "ROW" {
		return &RowLit{n.Span, n.Args}, nil
	}
	return n, nil
}

func (p *Parser) anyArguments(n *Call) error {
	if p.Peek().IsOp(")") {
		return nil
	}
	if p.Peek().IsOp("*") && p.PeekAt(1).IsOp(")") {
		p.at++
		n.Star = true
		return nil
	}
	if p.Accept("DISTINCT") {
		n.Distinct = true
	} else {
		p.Accept("ALL")
	}
	list, err := p.Expressions()
	n.Args = append(n.Args, list...)
	return err
}

func (p *Parser) argument(n *Call) error {
	x, err := p.Expression()
	n.Args = append(n.Args, x)
	return err
}

func (p *Parser) unit(n *Call) error {
	t := p.Peek()
	word := strings.ToUpper(t.Text)
	if t.Kind == TokenString {
		word = strings.ToUpper(t.Value)
	}
	if (t.Kind == TokenIdent || t.Kind == TokenString) && timeUnits[word] {
		p.at++
		n.Args = append(n.Args, &Symbol{Span{t.Pos, t.End}, strings.TrimPrefix(word, "SQL_TSI_")})
		return nil
	}
	return p.expected("a time unit such as YEAR, MONTH, DAY, HOUR, MINUTE or SECOND")
}

func (p *Parser) extract(n *Call) error {
	if err := p.unit(n); err != nil {
		return err
	}
	if err := p.Expect("FROM"); err != nil {
		return err
	}
	return p.argument(n)
}

// floorTo reads FLOOR(x) and FLOOR(x TO unit).
func (p *Parser) floorTo(n *Call) error {
	if n.Name == "CEILING" {
		n.Name = "CEIL"
	}
	if err := p.anyArguments(n); err != nil {
		return err
	}
	if p.Accept("TO") {
		return p.unit(n)
	}
	return nil
}

// trim reads TRIM([BOTH|LEADING|TRAILING] [chars] FROM s) and TRIM(s): the arguments become a Symbol, the characters and s.
func (p *Parser) trim(n *Call) error {
	t := p.Peek()
	flag := &Symbol{Span{t.Pos, t.Pos}, "BOTH"}
	written := false
	for _, word := range [...]string{"BOTH", "LEADING", "TRAILING"} {
		// A column may have one of these names: then a comma, an operator or the end follows.
		if t.Is(word) && (p.PeekAt(1).Kind != TokenOperator || p.PeekAt(1).IsOp("(")) {
			p.at++
			flag = &Symbol{Span{t.Pos, t.End}, word}
			written = true
			break
		}
	}
	space := &Literal{Span{t.Pos, t.Pos}, LiteralString, " "}
	if written && p.Accept("FROM") {
		n.Args = append(n.Args, flag, space)
		return p.argument(n)
	}
	x, err := p.Expression()
	if err != nil {
		return err
	}
	if p.Accept("FROM") {
		n.Args = append(n.Args, flag, x)
		return p.argument(n)
	}
	if written {
		return p.expected("FROM in TRIM")
	}
	if p.Peek().IsOp(",") {
		return p.Errorf(p.Peek(), "TRIM with characters is written TRIM(BOTH chars FROM text)")
	}
	n.Args = append(n.Args, flag, space, x)
	return nil
}

// substring reads SUBSTRING(s FROM a [FOR b]) and SUBSTRING(s, a[, b]).
func (p *Parser) substring(n *Call) error {
	if err := p.anyArguments(n); err != nil {
		return err
	}
	if len(n.Args) != 1 || !p.Accept("FROM") {
		return nil
	}
	if err := p.argument(n); err != nil {
		return err
	}
	if p.Accept("FOR") {
		return p.argument(n)
	}
	return nil
}

// position reads POSITION(part IN s).
func (p *Parser) position(n *Call) error {
	x, err := p.parse(powerRange)
	if err != nil {
		return err
	}
	n.Args = append(n.Args, x)
	if !p.Accept("IN") {
		return p.expected("IN, as in POSITION('b' IN text)")
	}
	return p.argument(n)
}

// overlay reads OVERLAY(s PLACING r FROM a [FOR b]).
func (p *Parser) overlay(n *Call) error {
	for i, word := range [...]string{"PLACING", "FROM", "FOR"} {
		if err := p.argument(n); err != nil {
			return err
		}
		if !p.Accept(word) {
			if i == 2 {
				return nil
			}
			return p.expected(word + ", as in OVERLAY(text PLACING other FROM 2 FOR 3)")
		}
	}
	return p.argument(n)
}

// unitFirst reads TIMESTAMPADD(unit, n, t) and TIMESTAMPDIFF(unit, a, b).
func (p *Parser) unitFirst(n *Call) error {
	if err := p.unit(n); err != nil {
		return err
	}
	if err := p.ExpectOp(","); err != nil {
		return err
	}
	return p.anyArguments(n)
}

// jsonClauses reads what may follow the arguments of JSON_VALUE and JSON_EXISTS.
func (p *Parser) jsonClauses(n *Call) error {
	if err := p.anyArguments(n); err != nil {
		return err
	}
	n.JSON = &JSONClauses{}
	if p.Accept("RETURNING") {
		var err error
		n.JSON.Returning, n.JSON.ReturningPos, err = p.TypeText(func(t Token) bool { return t.Is("NULL") || t.Is("ERROR") || t.Is("DEFAULT") })
		if err != nil {
			return err
		}
	}
	for !p.Peek().IsOp(")") {
		t := p.Next()
		word := strings.ToUpper(t.Text)
		if t.Kind != TokenIdent || !jsonBehaviours[word] {
			p.at--
			return p.expected("RETURNING, NULL, ERROR, DEFAULT or \")\" in the call of " + n.Name)
		}
		var value Node
		if word == "DEFAULT" {
			var err error
			if value, err = p.Expression(); err != nil {
				return err
			}
		}
		if err := p.Expect("ON"); err != nil {
			return err
		}
		switch {
		case p.Accept("EMPTY") && n.JSON.OnEmpty == "":
			n.JSON.OnEmpty, n.JSON.EmptyDefault = word, value
		case p.Accept("ERROR") && n.JSON.OnError == "":
			n.JSON.OnError, n.JSON.ErrorDefault = word, value
		default:
			return p.expected("EMPTY or ERROR, each once, after ON")
		}
	}
	return nil
}

var jsonBehaviours = wordSet("NULL ERROR DEFAULT TRUE FALSE UNKNOWN")
