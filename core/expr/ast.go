package expr

// Node is one node of a parsed expression. Nodes are immutable after parsing and may be shared between goroutines.
type Node interface {
	// Pos is the byte offset in the source where the node begins.
	Pos() int
	// End is the byte offset in the source after the node.
	End() int
	// String is the node as canonical SQL text; parsing it gives an equal tree.
	String() string
}

// Span is the place of a node in its source, as byte offsets.
type Span struct{ From, To int }

// Pos gives the first offset.
func (s Span) Pos() int { return s.From }

// End gives the offset after the last byte.
func (s Span) End() int { return s.To }

// widen makes the span take in the brackets around the node.
func (s *Span) widen(from, to int) { s.From, s.To = from, to }

// LiteralKind is the kind of a literal.
type LiteralKind uint8

// The kinds of literals.
const (
	LiteralNull LiteralKind = iota
	LiteralBool
	LiteralNumber // Text may begin with a minus sign
	LiteralString
	LiteralBinary
	LiteralDate      // DATE '2024-02-29'
	LiteralTime      // TIME '12:30:00'
	LiteralTimestamp // TIMESTAMP '2024-02-29 12:30:00.123'
)

type (
	// Literal is a constant as written. Text is the decoded content: TRUE, FALSE, the digits, or what stood in the quotes.
	Literal struct {
		Span
		Kind LiteralKind
		Text string
	}
	// Interval is INTERVAL '1-2' YEAR TO MONTH: Text is what stood in the quotes; ToUnit is empty for a single unit.
	Interval struct {
		Span
		Negative       bool
		Text           string
		Unit, ToUnit   string // upper case: YEAR MONTH DAY HOUR MINUTE SECOND (and QUARTER, WEEK)
		Lead, Fraction int    // precisions as written, -1 when absent
	}
	// Column is a name or a dotted chain of names: a column, a column's field, or (in SQL) table.column.
	Column struct {
		Span
		Parts []string
	}
	// Field is .Name after something that is no plain name.
	Field struct {
		Span
		X    Node
		Name string
	}
	// Index is X[I]: an array's element (from 1) or a map's value.
	Index struct {
		Span
		X, I Node
	}
	// Unary is -X, +X or NOT X.
	Unary struct {
		Span
		Op string
		X  Node
	}
	// Binary is L Op R, with Op one of + - * / % || = <> < <= > >= AND OR, IS DISTINCT FROM, IS NOT DISTINCT FROM.
	Binary struct {
		Span
		Op   string
		L, R Node
	}
	// Is is X IS [NOT] What, with What one of NULL TRUE FALSE UNKNOWN.
	Is struct {
		Span
		X    Node
		Not  bool
		What string
	}
	// Between is X [NOT] BETWEEN [SYMMETRIC] Low AND High.
	Between struct {
		Span
		X, Low, High   Node
		Not, Symmetric bool
	}
	// In is X [NOT] IN (List).
	In struct {
		Span
		X    Node
		Not  bool
		List []Node
	}
	// Like is X [NOT] LIKE Pattern [ESCAPE Escape].
	Like struct {
		Span
		X, Pattern, Escape Node
		Not                bool
	}
	// When is one branch of a Case.
	When struct{ Cond, Value Node }
	// Case is CASE [Operand] WHEN ... THEN ... [ELSE Else] END.
	Case struct {
		Span
		Operand Node // nil for the searched form
		Whens   []When
		Else    Node // nil: NULL
	}
	// Cast is CAST(X AS Type) or, when Try, TRY_CAST. Type is text for core.ParseType.
	Cast struct {
		Span
		X       Node
		Type    string
		TypePos int
		Try     bool
	}
	// Call is a function call. Calls with a syntax of their own (EXTRACT(DAY FROM x), TRIM(BOTH 'x' FROM s)) come as plain arguments, with a
	// Symbol for each unit or flag.
	Call struct {
		Span
		Name     string // upper case
		Written  string // the name as written
		Args     []Node
		Star     bool // COUNT(*)
		Distinct bool // COUNT(DISTINCT x)
		NoParens bool // CURRENT_TIMESTAMP
		JSON     *JSONClauses
	}
	// JSONClauses are the clauses of JSON_VALUE and JSON_EXISTS after their arguments.
	JSONClauses struct {
		Returning        string // type text, "" when absent
		ReturningPos     int
		OnEmpty, OnError string // "", NULL, ERROR, DEFAULT, TRUE, FALSE, UNKNOWN
		EmptyDefault     Node
		ErrorDefault     Node
	}
	// Symbol is a word with a meaning to the function it is given to: a time unit, or BOTH, LEADING, TRAILING.
	Symbol struct {
		Span
		Name string // upper case
	}
	// ArrayLit is ARRAY[a, b].
	ArrayLit struct {
		Span
		Elems []Node
	}
	// MapLit is MAP[k1, v1, k2, v2].
	MapLit struct {
		Span
		Elems []Node // keys and values in turn
	}
	// RowLit is ROW(a, b) or (a, b).
	RowLit struct {
		Span
		Elems []Node
	}
	// Parameter is ?: Index counts from 0.
	Parameter struct {
		Span
		Index int
	}
)

// Walk calls f for the node and everything below it, parents first; it goes no deeper where f gives false.
func Walk(n Node, f func(Node) bool) {
	if n == nil || !f(n) {
		return
	}
	for _, c := range Children(n) {
		Walk(c, f)
	}
}

// Children gives the nodes directly below n, in the order written.
func Children(n Node) []Node {
	var out []Node
	add := func(nodes ...Node) {
		for _, c := range nodes {
			if c != nil {
				out = append(out, c)
			}
		}
	}
	switch n := n.(type) {
	case *Field:
		add(n.X)
	case *Index:
		add(n.X, n.I)
	case *Unary:
		add(n.X)
	case *Binary:
		add(n.L, n.R)
	case *Is:
		add(n.X)
	case *Between:
		add(n.X, n.Low, n.High)
	case *In:
		add(n.X)
		add(n.List...)
	case *Like:
		add(n.X, n.Pattern, n.Escape)
	case *Case:
		add(n.Operand)
		for _, w := range n.Whens {
			add(w.Cond, w.Value)
		}
		add(n.Else)
	case *Cast:
		add(n.X)
	case *Call:
		add(n.Args...)
		if n.JSON != nil {
			add(n.JSON.EmptyDefault, n.JSON.ErrorDefault)
		}
	case *ArrayLit:
		add(n.Elems...)
	case *MapLit:
		add(n.Elems...)
	case *RowLit:
		add(n.Elems...)
	}
	return out
}
