package expr

import (
	"strings"
	"time"

	"turbo/core"
)

// binder turns a syntax tree into typed operations.
type binder struct {
	schema *core.Schema
	opts   Options
	// varying counts the operations so far whose value is not known before a batch comes. A subtree that adds none is folded.
	varying int
}

func (b *binder) errorf(n Node, format string, args ...any) error {
	return syntaxErrorf(b.opts.Source, n.Pos(), format, args...)
}

// bind compiles a node, and computes it when it is constant. A constant that fails is left alone: its row may never be taken.
func (b *binder) bind(n Node) (op, error) {
	before := b.varying
	o, err := b.bindNode(n)
	if err != nil {
		return nil, err
	}
	if _, ok := o.(*constOp); ok || b.varying != before {
		return o, nil
	}
	return b.fold(o), nil
}

// fold evaluates an operation without columns.
func (b *binder) fold(o op) op {
	e := &env{n: 1, zone: b.opts.Zone, schema: &core.Schema{TimeColumn: -1}, source: b.opts.Source}
	v, err := o.eval(e, nil)
	if err != nil {
		return o
	}
	c := &constOp{}
	c.v.reset(o.typ(), 1)
	copyRows(&c.v, v, nil)
	c.v.makeConst()
	return c
}

func (b *binder) bindNode(n Node) (op, error) {
	switch n := n.(type) {
	case *Literal:
		return b.literal(n)
	case *Interval:
		return b.interval(n)
	case *Parameter:
		return b.parameter(n)
	case *Column:
		return b.column(n)
	case *Field:
		x, err := b.bind(n.X)
		if err != nil {
			return nil, err
		}
		return b.field(n, x, n.Name)
	case *Index:
		return b.index(n)
	case *Unary:
		return b.unary(n)
	case *Binary:
		return b.binary(n)
	case *Is:
		return b.is(n)
	case *Between:
		return b.between(n)
	case *In:
		return b.in(n)
	case *Like:
		return b.like(n)
	case *Case:
		return b.caseOf(n)
	case *Cast:
		return b.castNode(n)
	case *Call:
		return b.call(n)
	case *ArrayLit:
		return b.arrayLit(n)
	case *MapLit:
		return b.mapLit(n)
	case *RowLit:
		return b.rowLit(n)
	case *Symbol:
		return nil, b.errorf(n, "%s is not a value", n.Name)
	}
	return nil, b.errorf(n, "%s cannot stand in an expression", n)
}

func (b *binder) binds(nodes ...Node) ([]op, error) {
	out := make([]op, len(nodes))
	for i, n := range nodes {
		var err error
		if out[i], err = b.bind(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *binder) column(n *Column) (op, error) {
	b.varying++
	i := b.schema.Index(n.Parts[0])
	if i < 0 {
		names := b.schema.Names()
		for _, name := range names {
			if strings.EqualFold(name, n.Parts[0]) {
				return nil, b.errorf(n, "unknown column %s: names are case-sensitive, did you mean %s?", quoteName(n.Parts[0]), quoteName(name))
			}
		}
		if near := core.Nearest(n.Parts[0], names); near != "" {
			return nil, b.errorf(n, "unknown column %s, did you mean %s?", quoteName(n.Parts[0]), quoteName(near))
		}
		if len(names) == 0 {
			return nil, b.errorf(n, "unknown column %s: no columns can be used here", quoteName(n.Parts[0]))
		}
		return nil, b.errorf(n, "unknown column %s; there are %s", quoteName(n.Parts[0]), shorten(strings.Join(names, ", "), 200))
	}
	var o op = &columnOp{b.schema.Fields[i].Type, i}
	for _, name := range n.Parts[1:] {
		var err error
		if o, err = b.field(n, o, name); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (b *binder) parameter(n *Parameter) (op, error) {
	if n.Index >= len(b.opts.Parameters) {
		return nil, b.errorf(n, "parameter %d has no value: %d are given", n.Index+1, len(b.opts.Parameters))
	}
	switch x := b.opts.Parameters[n.Index].(type) {
	case nil:
		return nullOp(core.Type{}), nil
	case bool:
		return boolConst(x), nil
	case int:
		return fixedConst(core.Of(core.Int64), int64(x)), nil
	case int64:
		return fixedConst(core.Of(core.Int64), x), nil
	case int32:
		return fixedConst(core.Of(core.Int32), x), nil
	case float64:
		return fixedConst(core.Of(core.Float64), x), nil
	case string:
		return bytesConst(core.String, x), nil
	case []byte:
		return bytesConst(core.Bytes, string(x)), nil
	case time.Time:
		return fixedConst(core.Of(core.TimestampLTZ), x.UnixMicro()), nil
	default:
		return nil, b.errorf(n, "parameter %d has the Go type %T, which is no SQL type", n.Index+1, x)
	}
}

// fixedConst makes a constant that is not null of a fixed-width type.
func fixedConst[T any](t core.Type, x T) *constOp {
	c := &constOp{}
	c.v.reset(t.Required(), 1)
	vals[T](&c.v)[0] = x
	c.v.makeConst()
	return c
}

func boolConst(x bool) *constOp { return fixedConst(core.Of(core.Boolean), b2u(x)) }

func bytesConst(k core.Kind, s string) *constOp {
	c := &constOp{}
	c.v.reset(core.Of(k).Required(), 1)
	c.v.setBytes(0, []byte(s))
	c.v.makeConst()
	return c
}

// nullOp is a constant NULL; the zero Type means that the type is to be found by the context.
func nullOp(t core.Type) *constOp {
	c := &constOp{}
	c.v.allNull(t.Optional())
	return c
}

// describe names the type of an operand in a message.
func describe(o op) string {
	if untyped(o) {
		return "NULL"
	}
	return o.typ().Optional().String()
}

// nullable tells whether any operand can be null.
func nullable(args ...op) bool {
	for _, a := range args {
		if !a.typ().NotNull {
			return true
		}
	}
	return false
}

// withNull gives t, NOT NULL unless an operand can be null.
func withNull(t core.Type, args ...op) core.Type {
	t.NotNull = !nullable(args...)
	return t
}

// constString gives the value of a constant string that is not null.
func constString(o op) (string, bool) {
	c, ok := o.(*constOp)
	if !ok || c.v.typ.Kind != core.String || c.v.null(0) {
		return "", false
	}
	return string(c.v.str(0)), true
}

func (b *binder) castNode(n *Cast) (op, error) {
	x, err := b.bind(n.X)
	if err != nil {
		return nil, err
	}
	t, err := b.typeText(n.Type, n.TypePos)
	if err != nil {
		return nil, err
	}
	t.NotNull = x.typ().NotNull && !n.Try
	return b.cast(n, x, t, n.Try)
}

func (b *binder) typeText(text string, pos int) (core.Type, error) {
	t, err := core.ParseType(text)
	if e, ok := err.(*core.TypeError); ok {
		return t, syntaxErrorf(b.opts.Source, pos+e.Offset, "%s", e.Reason)
	}
	if err != nil {
		return t, syntaxErrorf(b.opts.Source, pos, "%v", err)
	}
	return t, nil
}

// invalid is the error for operands that do not fit an operator.
func (b *binder) invalid(n Node, name, hint string, args ...op) error {
	types := make([]string, len(args))
	for i, a := range args {
		types[i] = describe(a)
	}
	if hint != "" {
		hint = ": " + hint
	}
	return b.errorf(n, "%s cannot be applied to %s%s", name, strings.Join(types, " and "), hint)
}
