package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops"
)

// AggregateColumn is one checked column of an aggregation: an expression of keys and aggregates, such as
// SUM(a * 2) / COUNT(*).
type AggregateColumn struct {
	Name string
	text string
	node expr.Node
	// calls are the aggregates in the expression in the order of the text, at their place in it.
	calls []aggregateCall
	bare  bool // the expression is just one aggregate

	origin *Origin // nil: not known
}

type aggregateCall struct {
	function   ops.Function
	parameters []any
	argument   *Expr // nil for COUNT(*)
	result     core.Type
	at         expr.Span
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
			if f, ok := aggregateFunction(n.Name); ok {
				c.call(n, f, input, fail)
				return false
			}
			if n.Name == ops.CountDistinct.String() {
				fail(n.Pos(), "write COUNT(DISTINCT x)")
				return false
			}
			if reason := unknownFunction(n); reason != "" {
				fail(n.Pos(), reason)
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
		fail(node.Pos(), "there is no aggregate: "+strings.Join(ops.FunctionNames(), ", "))
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
			hidden = append(hidden, hiddenName(i))
			post.Fields = append(post.Fields, core.Field{Name: hidden[i], Type: call.result})
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

// aggregateFunction returns the function of an upper case name in SQL.
func aggregateFunction(name string) (ops.Function, bool) {
	f, ok := ops.ParseFunction(name)
	return f, ok && f != ops.CountDistinct // which is COUNT(DISTINCT x)
}

// unknownFunction says what is wrong with a call of no aggregate and no scalar function, "" when it is one.
func unknownFunction(n *expr.Call) string {
	scalar, aggregates := expr.Functions(), ops.FunctionNames()
	if slices.Contains(scalar, n.Name) {
		return ""
	}
	if near := core.Nearest(n.Name, aggregates); near != "" {
		return "unknown aggregate " + n.Written + ", did you mean " + near + "?"
	}
	if near := core.Nearest(n.Name, scalar); near != "" {
		return "unknown function " + n.Written + ", did you mean " + near + "?"
	}
	return "unknown function " + n.Written + "; the aggregates are " + strings.Join(aggregates, ", ")
}

func suggest(name string, known []string) string {
	if near := core.Nearest(name, known); near != "" {
		return ", did you mean " + near + "?"
	}
	return "; known: " + strings.Join(known, ", ")
}

// call checks one aggregate.
func (c *AggregateColumn) call(n *expr.Call, f ops.Function, input *core.Schema, fail func(int, string)) {
	call := aggregateCall{function: f, at: expr.Span{From: n.Pos(), To: n.End()}}
	switch {
	case !n.Distinct || f == ops.Min || f == ops.Max: // which do not mind equal values
	case f != ops.Count:
		fail(n.Pos(), n.Name+"(DISTINCT x) is not supported: COUNT, MIN and MAX take DISTINCT")
		return
	case len(n.Args) != 1:
		fail(n.Pos(), "COUNT(DISTINCT x) takes one argument, here are "+strconv.Itoa(len(n.Args))+": write COUNT(DISTINCT ROW(a, b))")
		return
	default:
		call.function = ops.CountDistinct
	}
	var argument core.Type
	switch {
	case n.Star:
		if f != ops.Count {
			fail(n.Pos(), n.Name+"(*) has no meaning, only COUNT(*) has")
			return
		}
	case len(n.Args) == 0 || len(n.Args) > 1 && len(f.Spec().Parameters) == 0:
		fail(n.Pos(), n.Name+" takes one argument, here are "+strconv.Itoa(len(n.Args)))
		return
	default:
		for _, a := range n.Args {
			nested := false
			expr.Walk(a, func(m expr.Node) bool {
				if inner, ok := m.(*expr.Call); ok {
					if _, ok = aggregateFunction(inner.Name); ok {
						nested = true
						fail(inner.Pos(), "an aggregate cannot stand inside another")
					}
				}
				return !nested
			})
			if nested {
				return
			}
		}
		from := n.Args[0].Pos()
		e, err := NewExpr(c.text[from:n.Args[0].End()], input)
		if err != nil {
			offset, message, _ := Offset(err)
			fail(from+offset, message)
			return
		}
		call.argument, argument = e, e.Type
		if !call.constants(n, fail) {
			return
		}
	}
	var err error
	if call.result, err = call.function.ResultType(argument); err != nil {
		fail(n.Pos(), err.Error())
		return
	}
	if input.Changelog {
		if err := call.function.CheckChangelog(argument); err != nil {
			fail(n.Pos(), "the input is a changelog (rows of it replace earlier ones), and "+err.Error())
			return
		}
	}
	c.calls = append(c.calls, call)
}

// constants reads the arguments after the first, which are the function's parameters.
func (c *aggregateCall) constants(n *expr.Call, fail func(int, string)) bool {
	var given []any
	for _, a := range n.Args[1:] {
		x, ok := constant(a)
		if !ok {
			fail(a.Pos(), "this argument of "+n.Name+" must be a number or a string as it is written, not an expression")
			return false
		}
		given = append(given, x)
	}
	checked, at, err := c.function.CheckParameters(given)
	if err != nil {
		place := n.Pos()
		if at+1 < len(n.Args) {
			place = n.Args[at+1].Pos()
		}
		fail(place, err.Error())
		return false
	}
	c.parameters = checked
	return true
}

// constant returns the int64, float64 or string of a literal.
func constant(n expr.Node) (any, bool) {
	l, ok := n.(*expr.Literal)
	if !ok {
		return nil, false
	}
	switch l.Kind {
	case expr.LiteralString:
		return l.Text, true
	case expr.LiteralNumber:
		if i, err := strconv.ParseInt(l.Text, 10, 64); err == nil {
			return i, true
		}
		x, err := strconv.ParseFloat(l.Text, 64)
		return x, err == nil
	}
	return nil, false
}

// plan returns the aggregate under the name of its output.
func (c *aggregateCall) plan(output, argument string) Call {
	return Call{Function: c.function.String(), Parameters: c.parameters, Argument: argument, Output: core.Field{Name: output, Type: c.result}}
}

// text writes the call over an argument.
func (c *Call) text(argument string) string {
	if c.Function == ops.CountDistinct.String() {
		return "COUNT(DISTINCT " + argument + ")"
	}
	for _, p := range c.Parameters {
		if s, ok := p.(string); ok {
			argument += ", '" + strings.ReplaceAll(s, "'", "''") + "'"
		} else {
			argument += fmt.Sprintf(", %v", p)
		}
	}
	return c.Function + "(" + argument + ")"
}

// state writes the call over an argument with what its state depends on.
func (c *Call) state(argument string) string {
	text := fmt.Sprintf("%s %s", c.text(argument), c.Output.Type)
	if f, ok := ops.ParseFunction(c.Function); ok && f.Spec().Accumulator != "" {
		text += " by " + f.Spec().Accumulator
	}
	return text
}

// Bind returns the aggregate over the input's column of that index.
func (c *Call) Bind(argument int) (ops.Call, error) {
	f, ok := ops.ParseFunction(c.Function)
	if !ok {
		return ops.Call{}, fmt.Errorf("there is no aggregate function %s", c.Function)
	}
	return ops.Call{Function: f, Argument: argument, Name: c.Output.Name, Parameters: c.Parameters}, nil
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
// its results when a column is more than one aggregate. Over a changelog, rows that are replaced are taken back. An error names the offending key or column.
func NewAggregate(at Place, in Node, keys []string, columns []*AggregateColumn, everyRow bool) (Node, error) {
	input := in.Common().Schema
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
			argument := ""
			if call.argument != nil {
				if argument = call.argument.AsColumn(input); argument == "" {
					argument = "$" + call.argument.Node.String()
				}
				add(argument, call.argument)
			}
			name := c.Name
			if !c.bare {
				name = hiddenName(len(aggregate.Calls))
			}
			made := call.plan(name, argument)
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
		results = append(results, Column{Name: p.column.Name, Expr: p.column.result(e, p.hidden)})
	}
	calc := at.calc("results", aggregate)
	calc.Columns = results
	calc.Schema = schemaOf(results, output)
	return calc, nil
}
