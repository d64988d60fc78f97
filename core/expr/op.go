package expr

import (
	"errors"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/memory"
)

// Context is what an evaluation needs besides the batch. A Context may be shared by all programs of a worker.
type Context struct {
	// Account pays for the vectors that Eval returns; nil: the batch's account.
	Account *memory.Account
	// Now is the value of CURRENT_TIMESTAMP and its kin for the whole batch.
	Now core.Time
}

// env is the state of a Program while it evaluates one batch.
type env struct {
	batch    *core.Batch
	n        int
	now      core.Time
	zone     *time.Location
	schema   *core.Schema
	source   string
	written  func(from, to int) (place, text string)
	epoch    uint64   // counts batches
	columns  []vec    // views of the batch's columns
	loaded   []uint64 // the epoch in which columns[i] was made
	identity []int32  // 0, 1, 2, ...
}

// begin starts a new batch.
func (e *env) begin(now core.Time, b *core.Batch) {
	e.batch, e.n, e.now = b, b.Len, now
	e.epoch++
}

// all gives a selection of all rows.
func (e *env) all() []int32 {
	for i := len(e.identity); i < e.n; i++ {
		e.identity = append(e.identity, int32(i))
	}
	return e.identity[:e.n]
}

// rows gives sel, or all rows when it is nil.
func (e *env) rows(sel []int32) []int32 {
	if sel == nil {
		return e.all()
	}
	return sel
}

func (e *env) column(i int) *vec {
	if e.loaded[i] != e.epoch {
		e.columns[i].view(e.batch.Columns[i])
		e.loaded[i] = e.epoch
	}
	return &e.columns[i]
}

// fail describes an error in row r of the part n of the expression.
func (e *env) fail(n Node, r int, cause error) error {
	if inner, ok := cause.(*EvalError); ok {
		return inner
	}
	line, column := Position(e.source, n.Pos())
	out := &EvalError{Expr: e.text(n), Line: line, Column: column, Row: r, Cause: cause}
	if e.written != nil {
		out.Place, _ = e.written(n.Pos(), n.End())
	}
	if _, ok := n.(*Cast); ok && errors.Is(cause, ErrCast) {
		out.Remedy = "TRY_CAST gives NULL there, or filter such rows out"
	}
	if e.batch == nil || r >= e.n {
		return out
	}
	seen := make(map[string]bool)
	Walk(n, func(n Node) bool {
		if c, ok := n.(*Column); ok {
			if i := e.schema.Index(c.Parts[0]); i >= 0 && i < len(e.batch.Columns) && !seen[c.Parts[0]] {
				seen[c.Parts[0]] = true
				out.Values = append(out.Values, e.name(c)+" = "+shorten(FormatValue(e.batch.Columns[i], r), 120))
			}
		}
		return true
	})
	return out
}

// name gives the column as written, which may be an expression that has been computed before.
func (e *env) name(c *Column) string {
	if e.written != nil && len(c.Parts) == 1 {
		if _, text := e.written(c.Pos(), c.End()); text != "" {
			return text
		}
	}
	return core.QuoteName(c.Parts[0])
}

// text gives the node as written.
func (e *env) text(n Node) string {
	if e.written != nil {
		if _, text := e.written(n.Pos(), n.End()); text != "" {
			return text
		}
	}
	if n.End() <= len(e.source) && n.Pos() < n.End() {
		return e.source[n.Pos():n.End()]
	}
	return n.String()
}

// op is one compiled operation. It belongs to one Program and keeps its scratch memory between batches.
type op interface {
	// typ is the type of the result.
	typ() core.Type
	// eval computes the rows of sel, ascending and not empty (nil: all, of which there is at least one). The result is valid until the next call.
	eval(e *env, sel []int32) (*vec, error)
}

// filterOp is a BOOLEAN op that can write the rows where it is true straight into a selection.
type filterOp interface {
	op
	// filter writes the rows of sel (nil: all) where the op is true to dst and returns it cut to their number. dst has room for all of sel and may be sel itself.
	filter(e *env, sel, dst []int32) ([]int32, error)
}

// rootOp is an op with a fixed-width result that can write to memory given from outside.
type rootOp interface {
	op
	result() *target
}

// target is the scratch result of an op. While bound, the op writes its values to the memory that bind gave.
type target struct {
	out   vec
	bound *core.Vector
}

// begin prepares the result: n rows of t, in the bound vector if there is one, in reuse's memory when that is scratch of the same width, or in own memory.
func (o *target) begin(t core.Type, n int, reuse ...*vec) *vec {
	v := &o.out
	v.typ, v.mask, v.n, v.valid, v.scratch = t, -1, n, nil, true
	if o.bound != nil && n == o.bound.Len() {
		v.p = unsafe.Pointer(unsafe.SliceData(o.bound.Data()))
		v.scratch = false
		return v
	}
	for _, r := range reuse {
		if r.scratch && !r.isConst() && r.n == n && r.typ.Kind.Width() == t.Kind.Width() {
			v.p = r.p
			return v
		}
	}
	v.ownFixed(n * t.Kind.Width())
	return v
}

// columnOp reads a column of the batch.
type columnOp struct {
	t     core.Type
	index int
}

func (o *columnOp) typ() core.Type                       { return o.t }
func (o *columnOp) eval(e *env, _ []int32) (*vec, error) { return e.column(o.index), nil }

func (o *columnOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	return selectTrue(dst, e.column(o.index), sel, e.n), nil
}

// constOp is a constant.
type constOp struct{ v vec }

func (o *constOp) typ() core.Type                   { return o.v.typ }
func (o *constOp) eval(*env, []int32) (*vec, error) { return &o.v, nil }

// untyped tells whether o is a NULL that has no type yet.
func untyped(o op) bool { return o.typ().Kind == core.Invalid }

// nowOp is one of CURRENT_TIMESTAMP and its kin: constant within a batch.
type nowOp struct {
	t   core.Type
	out vec
	get func(now core.Time, zone *time.Location) int64
}

func (o *nowOp) typ() core.Type { return o.t }

func (o *nowOp) eval(e *env, _ []int32) (*vec, error) {
	o.out.reset(o.t, 1)
	o.out.makeConst()
	x := o.get(e.now, e.zone)
	if o.t.Kind.Width() == 4 {
		vals[int32](&o.out)[0] = int32(x)
	} else {
		vals[int64](&o.out)[0] = x
	}
	return &o.out, nil
}

// rowOp is a function that is computed row by row and gives null when an argument is null.
type rowOp struct {
	t      core.Type
	args   []op
	fn     func(c *call, r int) error
	node   Node
	try    bool // an error becomes a null
	onNull bool // fn sees nulls too
	call   call
}

// call is what a row function works on.
type call struct {
	arg   []*vec
	out   *vec
	env   *env
	state any // what the function keeps between rows and batches
	own   vec
}

func (o *rowOp) typ() core.Type { return o.t }

func (o *rowOp) eval(e *env, sel []int32) (*vec, error) {
	c := &o.call
	c.arg = c.arg[:0]
	constant := true
	for _, a := range o.args {
		v, err := a.eval(e, sel)
		if err != nil {
			return nil, err
		}
		constant = constant && v.isConst()
		c.arg = append(c.arg, v)
	}
	n := e.n
	if constant {
		n, sel = 1, nil
	}
	c.env, c.out = e, &c.own
	c.out.reset(o.t, n)
	if !o.onNull && !c.out.intersect(n, c.arg...) {
		c.out.allNull(o.t)
		return c.out, nil
	}
	rows := len(sel)
	if sel == nil {
		rows = n
	}
	checked := c.out.valid
	for i := range rows {
		r := i
		if sel != nil {
			r = int(sel[i])
		}
		if checked != nil && checked[r>>3]>>(r&7)&1 == 0 {
			continue
		}
		if err := o.fn(c, r); err != nil {
			if !o.try {
				return nil, e.fail(o.node, r, err)
			}
			c.out.setNull(r)
		}
	}
	if err := c.out.keep(); err != nil {
		return nil, e.fail(o.node, 0, err)
	}
	if constant {
		c.out.makeConst()
	}
	return c.out, nil
}

// Row functions read arguments and write results with these.

func (c *call) str(k, r int) []byte     { return c.arg[k].str(r) }
func (c *call) i64(k, r int) int64      { return at[int64](c.arg[k], r) }
func (c *call) i32(k, r int) int32      { return at[int32](c.arg[k], r) }
func (c *call) f64(k, r int) float64    { return at[float64](c.arg[k], r) }
func (c *call) bool(k, r int) bool      { return at[uint8](c.arg[k], r) != 0 }
func (c *call) null(k, r int) bool      { return c.arg[k].null(r) }
func (c *call) setI64(r int, x int64)   { vals[int64](c.out)[r] = x }
func (c *call) setI32(r int, x int32)   { vals[int32](c.out)[r] = x }
func (c *call) setF64(r int, x float64) { vals[float64](c.out)[r] = x }
func (c *call) setBool(r int, x bool)   { vals[uint8](c.out)[r] = b2u(x) }
func (c *call) setNull(r int)           { c.out.setNull(r) }
func (c *call) setStr(r int, s []byte)  { c.out.setBytes(r, s) }

// begin gives the bytes to append a result to, end closes it. In between nothing else may be written.
func (c *call) begin(r int) []byte {
	c.out.start[r] = int32(len(c.out.data))
	return c.out.data
}

func (c *call) end(r int, b []byte) {
	c.out.data = b
	c.out.end[r] = int32(len(b))
}

// part makes row r the piece [from, to) of argument k's row, sharing its bytes. All rows of one op must share the same argument.
func (c *call) part(k, r int, from, to int) {
	a := c.arg[k]
	c.out.data, c.out.shared = a.data, true
	base := a.start[r&a.mask]
	c.out.start[r], c.out.end[r] = base+int32(from), base+int32(to)
}

func b2u(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
