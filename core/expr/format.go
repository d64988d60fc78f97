package expr

import (
	"strings"

	"turbo/core"
)

// quote gives s as a SQL string.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// quoteName gives a name as SQL: in backticks when it is reserved, would call a function, or is no plain word.
func quoteName(name string) string {
	upper := strings.ToUpper(name)
	if reserved[upper] || bareFunctions[upper] || upper == "UNKNOWN" || upper == "TRIM" || upper == "BOTH" || upper == "LEADING" || upper == "TRAILING" {
		return "`" + name + "`"
	}
	return core.QuoteName(name)
}

// String gives the literal as SQL.
func (n *Literal) String() string {
	switch n.Kind {
	case LiteralNull:
		return "NULL"
	case LiteralString:
		return quote(n.Text)
	case LiteralBinary:
		return "X'" + strings.ToUpper(hexText(n.Text)) + "'"
	case LiteralDate:
		return "DATE " + quote(n.Text)
	case LiteralTime:
		return "TIME " + quote(n.Text)
	case LiteralTimestamp:
		return "TIMESTAMP " + quote(n.Text)
	}
	return n.Text
}

func hexText(s string) string {
	return string(appendHex(nil, []byte(s)))
}

func appendHex(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range s {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// String gives the interval as SQL.
func (n *Interval) String() string {
	var b strings.Builder
	b.WriteString("INTERVAL ")
	if n.Negative {
		b.WriteByte('-')
	}
	b.WriteString(quote(n.Text) + " " + n.Unit)
	if n.ToUnit != "" {
		b.WriteString(" TO " + n.ToUnit)
	}
	return b.String()
}

// String gives the name, in backticks where needed.
func (n *Column) String() string {
	parts := make([]string, len(n.Parts))
	for i, p := range n.Parts {
		parts[i] = quoteName(p)
	}
	return strings.Join(parts, ".")
}

// String gives the access as SQL.
func (n *Field) String() string {
	if l, ok := n.X.(*Literal); ok && l.Kind == LiteralNumber {
		return "(" + l.String() + ")." + quoteName(n.Name) // 0.A would be a malformed number
	}
	return operand(n.X) + "." + quoteName(n.Name)
}

// String gives the access as SQL.
func (n *Index) String() string { return operand(n.X) + "[" + n.I.String() + "]" }

// operand puts brackets around everything that is not a single unit.
func operand(n Node) string {
	switch n := n.(type) {
	case *Literal:
		if strings.HasPrefix(n.Text, "-") && n.Kind == LiteralNumber {
			return "(" + n.String() + ")"
		}
		return n.String()
	case *Column, *Call, *Cast, *Index, *Field, *ArrayLit, *MapLit, *RowLit, *Parameter, *Symbol, *Case, *Interval:
		return n.String()
	}
	return "(" + n.String() + ")"
}

// String gives the operation as SQL.
func (n *Unary) String() string {
	if n.Op == "NOT" {
		return "NOT " + operand(n.X)
	}
	if l, ok := n.X.(*Literal); ok && l.Kind == LiteralNumber {
		return n.Op + "(" + l.String() + ")"
	}
	return n.Op + operand(n.X)
}

// String gives the operation as SQL.
func (n *Binary) String() string { return operand(n.L) + " " + n.Op + " " + operand(n.R) }

// String gives the test as SQL.
func (n *Is) String() string { return operand(n.X) + " IS " + notText(n.Not) + n.What }

func notText(not bool) string {
	if not {
		return "NOT "
	}
	return ""
}

// String gives the test as SQL.
func (n *Between) String() string {
	symmetric := ""
	if n.Symmetric {
		symmetric = "SYMMETRIC "
	}
	return operand(n.X) + " " + notText(n.Not) + "BETWEEN " + symmetric + operand(n.Low) + " AND " + operand(n.High)
}

// String gives the test as SQL.
func (n *In) String() string {
	return operand(n.X) + " " + notText(n.Not) + "IN (" + list(n.List) + ")"
}

func list(nodes []Node) string {
	texts := make([]string, len(nodes))
	for i, n := range nodes {
		texts[i] = n.String()
	}
	return strings.Join(texts, ", ")
}

// String gives the test as SQL.
func (n *Like) String() string {
	s := operand(n.X) + " " + notText(n.Not) + "LIKE " + operand(n.Pattern)
	if n.Escape != nil {
		s += " ESCAPE " + operand(n.Escape)
	}
	return s
}

// String gives the expression as SQL.
func (n *Case) String() string {
	var b strings.Builder
	b.WriteString("CASE")
	if n.Operand != nil {
		b.WriteString(" " + n.Operand.String())
	}
	for _, w := range n.Whens {
		b.WriteString(" WHEN " + w.Cond.String() + " THEN " + w.Value.String())
	}
	if n.Else != nil {
		b.WriteString(" ELSE " + n.Else.String())
	}
	return b.String() + " END"
}

// String gives the cast as SQL.
func (n *Cast) String() string {
	name := "CAST("
	if n.Try {
		name = "TRY_CAST("
	}
	return name + n.X.String() + " AS " + n.Type + ")"
}

// String gives the call as SQL, in the syntax that the function has.
func (n *Call) String() string {
	if n.NoParens {
		return n.Name
	}
	a := n.Args
	switch {
	case n.Name == "EXTRACT" && len(a) == 2:
		return "EXTRACT(" + a[0].String() + " FROM " + a[1].String() + ")"
	case n.Name == "TRIM" && len(a) == 3:
		return "TRIM(" + a[0].String() + " " + a[1].String() + " FROM " + a[2].String() + ")"
	case n.Name == "POSITION" && len(a) == 2:
		return "POSITION(" + operand(a[0]) + " IN " + a[1].String() + ")"
	case n.Name == "OVERLAY" && len(a) >= 3:
		s := "OVERLAY(" + a[0].String() + " PLACING " + a[1].String() + " FROM " + a[2].String()
		if len(a) == 4 {
			s += " FOR " + a[3].String()
		}
		return s + ")"
	case (n.Name == "FLOOR" || n.Name == "CEIL") && len(a) > 1:
		if u, ok := a[len(a)-1].(*Symbol); ok {
			return n.Name + "(" + list(a[:len(a)-1]) + " TO " + u.Name + ")"
		}
	}
	var b strings.Builder
	b.WriteString(n.Name + "(")
	if n.Star {
		b.WriteByte('*')
	}
	if n.Distinct {
		b.WriteString("DISTINCT ")
	}
	b.WriteString(list(a))
	if n.JSON != nil {
		n.JSON.write(&b)
	}
	return b.String() + ")"
}

func (j *JSONClauses) write(b *strings.Builder) {
	if j.Returning != "" {
		b.WriteString(" RETURNING " + j.Returning)
	}
	behaviour := func(word string, value Node, on string) {
		if word == "" {
			return
		}
		b.WriteString(" " + word)
		if value != nil {
			b.WriteString(" " + value.String())
		}
		b.WriteString(" ON " + on)
	}
	behaviour(j.OnEmpty, j.EmptyDefault, "EMPTY")
	behaviour(j.OnError, j.ErrorDefault, "ERROR")
}

// String gives the word.
func (n *Symbol) String() string { return n.Name }

// String gives the array as SQL.
func (n *ArrayLit) String() string { return "ARRAY[" + list(n.Elems) + "]" }

// String gives the map as SQL.
func (n *MapLit) String() string { return "MAP[" + list(n.Elems) + "]" }

// String gives the row as SQL.
func (n *RowLit) String() string { return "ROW(" + list(n.Elems) + ")" }

// String gives a question mark.
func (n *Parameter) String() string { return "?" }
