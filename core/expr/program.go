package expr

import (
	"fmt"
	"time"

	"turbo/core"
	"turbo/memory"
)

// Options change how an expression is compiled. The zero value is fine.
type Options struct {
	// Source is the text that the node was parsed from, for messages. CompileText sets it.
	Source string
	// Zone is the session time zone, for TIMESTAMP_LTZ and for functions that read or show wall-clock time; nil: UTC.
	Zone *time.Location
	// Parameters are the values of the ? in the text, in order: nil, bool, int, int64, float64, string, []byte, time.Time.
	Parameters []any
	// Written says, for the errors of rows, where the part [from, to) of Source was written, and its text there; nil or "": as in Source.
	Written func(from, to int) (place, text string)
}

// Program is a compiled expression. It keeps scratch memory (a vector an operation) between batches, so one goroutine at a time may use it: Clone gives
// another one for another worker.
type Program struct {
	root   op
	env    env
	node   Node
	schema *core.Schema
	opts   Options
}

// Compile types the expression over the columns of schema and chooses its kernels. Errors are *SyntaxError and point at the place in opts.Source.
func Compile(node Node, schema *core.Schema, opts Options) (*Program, error) {
	if opts.Source == "" {
		opts.Source = node.String()
		if fresh, err := Parse(opts.Source); err == nil {
			node = fresh
		}
	}
	if opts.Zone == nil {
		opts.Zone = time.UTC
	}
	b := &binder{schema: schema, opts: opts}
	root, err := b.bind(node)
	if err != nil {
		return nil, err
	}
	if untyped(root) {
		return nil, b.errorf(node, "the type of NULL is not known here: write CAST(NULL AS type)")
	}
	p := &Program{root: root, node: node, schema: schema, opts: opts}
	p.env = env{
		zone: opts.Zone, schema: schema, source: opts.Source, written: opts.Written,
		columns: make([]vec, len(schema.Fields)), loaded: make([]uint64, len(schema.Fields)),
	}
	return p, nil
}

// CompileText parses and compiles src.
func CompileText(src string, schema *core.Schema, opts Options) (*Program, error) {
	node, err := Parse(src)
	if err != nil {
		return nil, err
	}
	opts.Source = src
	return Compile(node, schema, opts)
}

// CompileFilter is CompileText for a condition: the expression must be BOOLEAN.
func CompileFilter(src string, schema *core.Schema, opts Options) (*Program, error) {
	p, err := CompileText(src, schema, opts)
	if err == nil && p.Type().Kind != core.Boolean {
		return nil, syntaxErrorf(src, p.node.Pos(), "a condition must be BOOLEAN, but %s is %s", shorten(p.node.String(), 60), p.Type().Optional())
	}
	return p, err
}

// Clone gives a program that computes the same and shares nothing that changes, for another worker.
func (p *Program) Clone() *Program {
	c, err := Compile(p.node, p.schema, p.opts)
	if err != nil {
		panic(fmt.Sprintf("expr: %s compiled once and then not: %v", p.node, err)) // compiling depends on nothing but its arguments
	}
	return c
}

// Type is the type of the result.
func (p *Program) Type() core.Type { return p.root.typ() }

// Node is the expression that was compiled.
func (p *Program) Node() Node { return p.node }

// String is the expression as written.
func (p *Program) String() string { return p.opts.Source }

// Column gives the index of the column when the expression is nothing but a column, and -1 otherwise.
func (p *Program) Column() int {
	if c, ok := p.root.(*columnOp); ok {
		return c.index
	}
	return -1
}

// Columns gives the columns that the expression reads, ascending and each once.
func (p *Program) Columns() []int { return ColumnsOf(p.node, p.schema) }

// ColumnsOf gives the columns of schema that the node names, ascending and each once.
func ColumnsOf(node Node, schema *core.Schema) []int {
	used := make([]bool, len(schema.Fields))
	Walk(node, func(n Node) bool {
		if c, ok := n.(*Column); ok {
			if i := schema.Index(c.Parts[0]); i >= 0 {
				used[i] = true
			}
		}
		return true
	})
	var out []int
	for i, u := range used {
		if u {
			out = append(out, i)
		}
	}
	return out
}

// Constant tells whether the result is the same for every row and batch.
func (p *Program) Constant() bool {
	_, ok := p.root.(*constOp)
	return ok
}

// Eval computes the expression for the batch's live rows. The vector has b.Len rows, aligned with the batch's physical ones; rows outside b.Sel are
// undefined. The caller owns one reference; a column as it is comes shared. The batch stays with the caller. Errors are *EvalError, and then the vector is nil.
func (p *Program) Eval(ctx *Context, b *core.Batch) (*core.Vector, error) {
	if c, ok := p.root.(*columnOp); ok {
		return b.Columns[c.index].Retain(), nil
	}
	account := ctx.Account
	if account == nil {
		account = b.Account()
	}
	t := p.root.typ()
	if b.Rows() == 0 {
		v := core.NewVector(account, t, b.Len)
		fillDead(v, b.Len)
		return v, nil
	}
	p.env.begin(ctx.Now, b)
	sel := b.Sel
	if len(sel) == b.Len {
		sel = nil
	}
	out := core.NewVector(account, t, b.Len)
	var to *target
	if t.Kind.Width() > 0 {
		out.Extend(b.Len)
		if r, ok := p.root.(rootOp); ok {
			to = r.result()
			to.bound = out
		}
	}
	v, err := p.root.eval(&p.env, sel)
	if to != nil {
		to.bound = nil
	}
	if err != nil {
		out.Release()
		return nil, err
	}
	if err := p.emit(out, v, sel, account); err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

// fillDead gives a vector n rows that nobody reads.
func fillDead(v *core.Vector, n int) {
	if v.Type.Kind.Width() > 0 {
		v.Extend(n)
		clear(v.Data())
		return
	}
	v.AppendNulls(n)
}

// emit writes v to out, unless it is there already.
func (p *Program) emit(out *core.Vector, v *vec, sel []int32, _ *memory.Account) error {
	k := out.Type.Kind
	switch {
	case k.Width() > 0:
		var to vec
		to.view(out)
		to.valid = nil
		if to.p != v.p {
			copyFixed(&to, v, sel)
		}
		if v.isConst() && v.valid != nil {
			if v.null(0) {
				for r := range out.Len() {
					out.SetNull(r)
				}
			}
			return nil
		}
		out.SetValidity(v.valid)
	case k == core.String || k == core.Bytes:
		emitBytes(out, v, sel, p.env.n)
		if len(out.Data()) > 1<<31-1 {
			return p.env.fail(p.node, 0, causef(ErrTooLarge, "the strings of one batch are longer than 2 GiB"))
		}
		if !v.isConst() {
			out.SetValidity(v.valid)
		} else if v.null(0) {
			for r := range out.Len() {
				out.SetNull(r)
			}
		}
	default:
		next := 0
		rows := p.env.rows(sel)
		for r := range p.env.n {
			if next < len(rows) && int(rows[next]) == r {
				next++
				appendValue(out, v, r)
			} else {
				out.AppendNull()
			}
		}
	}
	return nil
}

func emitBytes(out *core.Vector, v *vec, sel []int32, n int) {
	if sel == nil {
		for r := range n {
			out.AppendBytes(v.str(r))
		}
		return
	}
	row := 0
	for _, s := range sel {
		for ; row < int(s); row++ {
			out.AppendBytes(nil)
		}
		out.AppendBytes(v.str(row))
		row++
	}
	for ; row < n; row++ {
		out.AppendBytes(nil)
	}
}

// appendValue appends row r of v to out, which has the same kind.
func appendValue(out *core.Vector, v *vec, r int) {
	r &= v.mask
	if v.null(r) {
		out.AppendNull()
		return
	}
	switch k := out.Type.Kind; k.Width() {
	case 1:
		out.AppendInt8(vals[int8](v)[r])
	case 2:
		out.AppendInt16(vals[int16](v)[r])
	case 4:
		out.AppendInt32(vals[int32](v)[r])
	case 8:
		out.AppendInt64(vals[int64](v)[r])
	case 16:
		out.AppendDecimal(vals[decimalNum](v)[r])
	default:
		switch k {
		case core.String, core.Bytes:
			out.AppendBytes(v.str(r))
		case core.Row:
			for i, kid := range v.kids {
				appendValue(out.Child(i), kid, r)
			}
			out.EndElement()
		default:
			for x := int(v.start[r]); x < int(v.end[r]); x++ {
				for i, kid := range v.kids {
					appendValue(out.Child(i), kid, x)
				}
			}
			out.EndElement()
		}
	}
}

// Filter narrows b.Sel to the rows where the expression, which must be BOOLEAN, is true: not false and not null. When every row passes and b.Sel was nil,
// it stays nil. Errors are *EvalError; b.Sel is undefined after one.
func (p *Program) Filter(ctx *Context, b *core.Batch) error {
	if b.Rows() == 0 {
		return nil
	}
	p.env.begin(ctx.Now, b)
	sel := b.Sel
	if len(sel) == b.Len {
		sel = nil
	}
	rows := b.Rows()
	dst := b.SelBuffer(rows)
	out, err := filterRows(&p.env, p.root, sel, dst)
	if err != nil {
		return err
	}
	if len(out) == b.Len {
		b.Sel = nil
		return nil
	}
	b.Sel = out
	return nil
}

// filterRows writes the rows of sel where the BOOLEAN o is true to dst.
func filterRows(e *env, o op, sel, dst []int32) ([]int32, error) {
	if sel != nil && len(sel) == 0 {
		return dst[:0], nil
	}
	if f, ok := o.(filterOp); ok {
		return f.filter(e, sel, dst)
	}
	v, err := o.eval(e, sel)
	if err != nil {
		return nil, err
	}
	return selectTrue(dst, v, sel, e.n), nil
}
