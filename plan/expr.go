package plan

import (
	"errors"
	"strings"

	"turbo/core"
	"turbo/core/expr"
)

// Expr is a checked expression over the columns of one schema.
type Expr struct {
	Text string // as written, or as the rules have put it together
	Node expr.Node
	Type core.Type

	segments []segment // where the parts of Text were written, in their order
}

// NewExpr parses text and checks it against schema. Errors are *expr.SyntaxError with the offset in text.
func NewExpr(text string, schema *core.Schema) (*Expr, error) {
	node, err := expr.Parse(text)
	if err != nil {
		return nil, err
	}
	t, err := typeOf(node, text, schema)
	if err != nil {
		return nil, err
	}
	return &Expr{Text: text, Node: node, Type: t}, nil
}

// NewColumn returns the expression that is just the column name of schema, or nil when there is no such column.
func NewColumn(name string, schema *core.Schema) *Expr {
	i := schema.Index(name)
	if i < 0 {
		return nil
	}
	node := &expr.Column{Parts: []string{name}}
	return &Expr{Text: node.String(), Node: node, Type: schema.Fields[i].Type}
}

// Offset returns the byte offset of a mistake within the text of an expression, and its message without a place.
func Offset(err error) (offset int, message string, ok bool) {
	var e *expr.SyntaxError
	if errors.As(err, &e) {
		return e.Offset, e.Message, true
	}
	return 0, "", false
}

// Refs returns the columns of schema that the expression reads.
func (e *Expr) Refs(schema *core.Schema) []string {
	var out []string
	seen := map[string]bool{}
	expr.Walk(e.Node, func(n expr.Node) bool {
		if c, ok := n.(*expr.Column); ok && schema.Index(c.Parts[0]) >= 0 && !seen[c.Parts[0]] {
			seen[c.Parts[0]] = true
			out = append(out, c.Parts[0])
		}
		return true
	})
	return out
}

// AsColumn returns the name of the column that the expression is, or "".
func (e *Expr) AsColumn(schema *core.Schema) string {
	if c, ok := e.Node.(*expr.Column); ok && len(c.Parts) == 1 && schema.Index(c.Parts[0]) >= 0 {
		return c.Parts[0]
	}
	return ""
}

// columnText returns a column name as an expression.
func columnText(name string) string { return (&expr.Column{Parts: []string{name}}).String() }

// replacement is a part of a text to be replaced.
type replacement struct {
	from, to int
	text     string
}

// replaceText carries out replacements, which are in order and do not overlap.
func replaceText(text string, parts []replacement) string {
	var b strings.Builder
	at := 0
	for _, p := range parts {
		b.WriteString(text[at:p.from])
		b.WriteString(p.text)
		at = p.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// substitute rewrites an expression over the output of a projection into one over the projection's input. It gives nil
// when that would compute something more than once or cannot be written.
func substitute(e *Expr, columns []Column, output, input *core.Schema) *Expr {
	by := map[string]*Expr{}
	for _, c := range columns {
		by[c.Name] = c.Expr
	}
	uses := map[string]int{}
	var parts []replacement
	var inners []*Expr
	possible := true
	expr.Walk(e.Node, func(n expr.Node) bool {
		c, ok := n.(*expr.Column)
		if !ok {
			return true
		}
		inner := by[c.Parts[0]]
		if inner == nil {
			possible = false
			return false
		}
		text := "(" + inner.Text + ")"
		if name := inner.AsColumn(input); name != "" {
			text = (&expr.Column{Parts: append([]string{name}, c.Parts[1:]...)}).String()
			inner = nil
		} else if uses[c.Parts[0]]++; len(c.Parts) > 1 || uses[c.Parts[0]] > 1 {
			possible = false
		}
		parts, inners = append(parts, replacement{c.Pos(), c.End(), text}), append(inners, inner)
		return true
	})
	if !possible {
		return nil
	}
	if whole, ok := e.Node.(*expr.Column); ok && len(whole.Parts) == 1 {
		return by[whole.Parts[0]]
	}
	if e.Node.Pos() == 0 && e.Node.End() == 0 { // made by NewColumn, without a place in a text
		return nil
	}
	out, err := NewExpr(replaceText(e.Text, parts), input)
	if err != nil || !out.Type.Same(e.Type) {
		return nil
	}
	out.segments = replaceOrigins(e, parts, inners)
	return out
}

// Syntax checks the syntax of an expression without knowing columns. Errors are *expr.SyntaxError.
func Syntax(text string) error {
	_, err := expr.Parse(text)
	return err
}
