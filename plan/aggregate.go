package plan

import (
	"slices"
	"strconv"
	"strings"

	"turbo/core"
	"turbo/core/expr"
)

// AggregateFunctions are the names of the aggregates, sorted.
var AggregateFunctions = []string{"AVG", "COUNT", "LAST_VALUE", "MAX", "MIN", "SUM"}

// AggregateType returns the type of an aggregate's result. argument is nil for COUNT(*). The reason of a refusal is "".
func AggregateType(function string, argument *core.Type) (t core.Type, reason string) {
	if function == "COUNT" {
		return core.Of(core.Int64).Required(), ""
	}
	if argument == nil {
		return t, function + "(*) has no meaning, only COUNT(*) has"
	}
	switch function {
	case "SUM", "AVG":
		switch k := argument.Kind; {
		case k == core.Decimal:
			t = core.DecimalOf(38, int(argument.Scale))
			if function == "AVG" {
				t = core.DecimalOf(38, max(int(argument.Scale), 6))
			}
		case k.IsInteger() && function == "SUM":
			t = core.Of(core.Int64)
		case k.IsNumeric():
			t = core.Of(core.Float64)
		default:
			return t, function + " needs a number, this is " + argument.Optional().String()
		}
		t.NotNull = argument.NotNull
		return t, ""
	case "MIN", "MAX":
		if argument.Kind.IsNested() {
			return t, function + " needs a type with an order, this is " + argument.Optional().String()
		}
	}
	return *argument, ""
}

// AggregateColumn is one checked column of an aggregation: an expression of keys and aggregates, such as
// SUM(a * 2) / COUNT(*).
type AggregateColumn struct {
	Name string
	text string
	node expr.Node
	// calls are the aggregates in the expression in the order of the text, at their place in it.
	calls []aggregateCall
	bare  bool // the expression is just one aggregate
}

type aggregateCall struct {
	function string
	argument *Expr // nil for COUNT(*)
	at       expr.Span
}

// NewAggregateColumn checks the text of an aggregation's column over the input's schema; columns outside of aggregates
// must be keys. Errors are *expr.SyntaxError with the offset in text.
func NewAggregateColumn(name, text string, keys []string, input *core.Schema) (*AggregateColumn, error) {
	node, err := expr.Parse(text)
	if err != nil {
		return nil, err
	}
	c := &AggregateColumn{Name: name, text: text, node: node}
	fail := func(at int, message string) {
		if err == nil {
			line, column := expr.Position(text, at)
			err = &expr.SyntaxError{Source: text, Offset: at, Line: line, Column: column, Message: message}
		}
	}
	expr.Walk(node, func(n expr.Node) bool {
		switch n := n.(type) {
		case *expr.Call:
			if slices.Contains(AggregateFunctions, n.Name) {
				c.call(n, input, fail)
				return false
			}
			if near := core.Nearest(n.Name, AggregateFunctions); near != "" && len(n.Args) == 1 {
				fail(n.Pos(), "unknown aggregate "+n.Written+", did you mean "+near+"?")
				return false
			}
		case *expr.Column:
			if !slices.Contains(keys, n.Parts[0]) {
				message := "the column " + n.Parts[0] + " is neither a key nor inside an aggregate such as LAST_VALUE(" + n.Parts[0] + ")"
				if input.Index(n.Parts[0]) < 0 {
					message = "unknown column " + n.Parts[0] + suggest(n.Parts[0], input.Names())
				}
				fail(n.Pos(), message)
			}
		}
		return true
	})
	if err == nil && len(c.calls) == 0 {
		fail(node.Pos(), "there is no aggregate: "+strings.Join(AggregateFunctions, ", "))
	}
	if err != nil {
		return nil, err
	}
	_, c.bare = node.(*expr.Call)
	c.bare = c.bare && len(c.calls) == 1 && c.calls[0].at.From == node.Pos() && c.calls[0].at.To == node.End()
	if !c.bare {
		// Check the whole over the keys and the aggregates' results.
		post := &core.Schema{TimeColumn: -1}
		for _, k := range keys {
			if i := input.Index(k); i >= 0 {
				post.Fields = append(post.Fields, input.Fields[i])
			}
		}
		var hidden []string
		for i, call := range c.calls {
			t, _ := AggregateType(call.function, typeOfArgument(call.argument))
			hidden = append(hidden, hiddenName(i))
			post.Fields = append(post.Fields, core.Field{Name: hidden[i], Type: t})
		}
		rewritten, offsets := c.post(hidden)
		if _, mistake := NewExpr(rewritten, post); mistake != nil {
			offset, message, _ := Offset(mistake)
			fail(offsets(offset), message)
		}
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func typeOfArgument(e *Expr) *core.Type {
	if e == nil {
		return nil
	}
	return &e.Type
}

func suggest(name string, known []string) string {
	if near := core.Nearest(name, known); near != "" {
		return ", did you mean " + near + "?"
	}
	return "; known: " + strings.Join(known, ", ")
}

// call checks one aggregate.
func (c *AggregateColumn) call(n *expr.Call, input *core.Schema, fail func(int, string)) {
	call := aggregateCall{function: n.Name, at: expr.Span{From: n.Pos(), To: n.End()}}
	switch {
	case n.Distinct:
		fail(n.Pos(), n.Name+"(DISTINCT ...) is not supported in a running aggregate")
		return
	case n.Star:
	case len(n.Args) != 1:
		fail(n.Pos(), n.Name+" takes one argument, here are "+strconv.Itoa(len(n.Args)))
		return
	default:
		nested := false
		expr.Walk(n.Args[0], func(m expr.Node) bool {
			if inner, ok := m.(*expr.Call); ok && slices.Contains(AggregateFunctions, inner.Name) {
				nested = true
				fail(inner.Pos(), "an aggregate cannot stand inside another")
			}
			return !nested
		})
		if nested {
			return
		}
		from := n.Args[0].Pos()
		argument, err := NewExpr(c.text[from:n.Args[0].End()], input)
		if err != nil {
			offset, message, _ := Offset(err)
			fail(from+offset, message)
			return
		}
		call.argument = argument
	}
	if _, reason := AggregateType(call.function, typeOfArgument(call.argument)); reason != "" {
		fail(n.Pos(), reason)
		return
	}
	c.calls = append(c.calls, call)
}

// post returns the expression with its aggregates replaced by the columns hidden, and the way from an offset in it back
// to the original text.
func (c *AggregateColumn) post(hidden []string) (string, func(int) int) {
	parts := make([]replacement, len(c.calls))
	for i, call := range c.calls {
		parts[i] = replacement{call.at.From, call.at.To, columnText(hidden[i])}
	}
	return replaceText(c.text, parts), func(offset int) int {
		shift := 0
		for _, p := range parts {
			start := p.from - shift
			if offset < start {
				break
			}
			if offset < start+len(p.text) {
				return p.from
			}
			shift += (p.to - p.from) - len(p.text)
		}
		return offset + shift
	}
}

func hiddenName(i int) string { return "$" + strconv.Itoa(i) }

// NewAggregate puts a running aggregation on in: a projection to keys and arguments, the Aggregate, and a projection of
// its results when a column is more than one aggregate. An error names the offending key or column.
func NewAggregate(at Place, in Node, keys []string, columns []*AggregateColumn, everyRow bool) (Node, error) {
	input := in.Common().Schema
	if input.Changelog {
		return nil, at.errorf("%s is a changelog (rows of it replace earlier ones), and an aggregate over one is not supported", in.Common().Name)
	}
	arguments := at.calc("arguments", in)
	arguments.Columns = []Column{}
	seen := map[string]bool{}
	add := func(name string, e *Expr) {
		if !seen[name] {
			seen[name] = true
			arguments.Columns = append(arguments.Columns, Column{Name: name, Expr: e})
		}
	}
	aggregate := &Aggregate{Base: at.common("aggregate", arguments), Keys: keys, EveryRow: everyRow}
	output := &core.Schema{TimeColumn: -1, Changelog: true}
	for _, k := range keys {
		e := NewColumn(k, input)
		if e == nil {
			return nil, at.errorf("unknown column %s%s", k, suggest(k, input.Names()))
		}
		if seen[k] {
			return nil, at.errorf("the key %s stands twice", k)
		}
		add(k, e)
		output.Fields = append(output.Fields, core.Field{Name: k, Type: e.Type})
	}
	results := []Column{}
	for _, k := range keys {
		results = append(results, Column{Name: k, Expr: NewColumn(k, output)})
	}
	bare := true
	type pending struct {
		column *AggregateColumn
		hidden []string
	}
	var posts []pending
	taken := map[string]bool{}
	for _, k := range keys {
		taken[k] = true
	}
	for _, c := range columns {
		if taken[c.Name] {
			return nil, at.errorf("the column %s stands twice in the result", c.Name)
		}
		taken[c.Name] = true
		var hidden []string
		for _, call := range c.calls {
			made := Call{Function: call.function}
			if call.argument != nil {
				made.Argument = call.argument.AsColumn(input)
				if made.Argument == "" {
					made.Argument = "$" + call.argument.Node.String()
				}
				add(made.Argument, call.argument)
			}
			t, _ := AggregateType(call.function, typeOfArgument(call.argument))
			name := c.Name
			if !c.bare {
				name = hiddenName(len(aggregate.Calls))
			}
			made.Output = core.Field{Name: name, Type: t}
			aggregate.Calls = append(aggregate.Calls, made)
			output.Fields = append(output.Fields, made.Output)
			hidden = append(hidden, name)
		}
		bare = bare && c.bare
		posts = append(posts, pending{c, hidden})
	}
	if len(arguments.Columns) == 0 { // COUNT(*) of a whole stream: rows need a column to be counted by
		add(input.Fields[0].Name, NewColumn(input.Fields[0].Name, input))
	}
	arguments.Schema = schemaOf(arguments.Columns, input)
	aggregate.Schema = output
	if bare {
		return aggregate, nil
	}
	for _, p := range posts {
		text, _ := p.column.post(p.hidden)
		e, err := NewExpr(text, output)
		if err != nil {
			return nil, at.errorf("%s: %v", p.column.Name, err)
		}
		results = append(results, Column{Name: p.column.Name, Expr: e})
	}
	calc := at.calc("results", aggregate)
	calc.Columns = results
	calc.Schema = schemaOf(results, output)
	return calc, nil
}
