package process

import (
	"turbo/core"
)

// RowFunc is a function without state, called row by row: it emits none, one or several rows for each (filter, map, flat map). Instances on
// several workers may share it: it must be safe for that.
type RowFunc func(row Row, out *Output) error

// BlockFunc is the batch form of RowFunc: columns in, columns out.
type BlockFunc func(in *Block, out *Output) error

// NewFlatMap returns an operator that calls f for each row.
func NewFlatMap(name string, f RowFunc) *Process {
	return New(Config{Name: name, Ports: []Port{{}}, New: func() Function { return rowFunc{f: f} }})
}

// NewFlatMapBlocks returns an operator that calls f for each block of rows.
func NewFlatMapBlocks(name string, f BlockFunc) *Process {
	return New(Config{Name: name, Ports: []Port{{}}, NewBatch: func() BatchFunction { return blockFunc{f: f} }})
}

type rowFunc struct {
	BaseFunction
	f RowFunc
}

func (r rowFunc) Process(ctx *Context, row Row) error { return r.f(row, ctx.op.outs.list[0]) }

type blockFunc struct {
	BaseFunction
	f BlockFunc
}

func (b blockFunc) ProcessBlock(ctx *Context, in *Block) error { return b.f(in, ctx.op.outs.list[0]) }

// Filter keeps the rows that a function wants. It narrows the selection and copies nothing.
type Filter struct {
	core.BaseOperator
	name  string
	keep  func(Row) (bool, error)
	batch func(b *core.Batch, sel []int32) ([]int32, error)
	ctx   *core.OperatorContext
	row   Row
}

// NewFilter returns an operator that keeps the rows for which keep is true. Instances on several workers may share keep.
func NewFilter(name string, keep func(Row) (bool, error)) *Filter {
	return &Filter{name: name, keep: keep}
}

// NewFilterBlocks returns a filter in batch form: keep appends the physical rows of b that it wants, in ascending order, to sel.
func NewFilterBlocks(name string, keep func(b *core.Batch, sel []int32) ([]int32, error)) *Filter {
	return &Filter{name: name, batch: keep}
}

// Open implements core.Operator.
func (f *Filter) Open(ctx *core.OperatorContext) error {
	f.ctx = ctx
	return nil
}

// Process implements core.Operator.
func (f *Filter) Process(_ int, b *core.Batch, out core.Emitter) error {
	before := b.Rows()
	if err := f.narrow(b); err != nil {
		b.Release()
		return err
	}
	f.ctx.Counters.Filtered += int64(before - b.Rows())
	if b.Rows() == 0 {
		b.Release()
		return nil
	}
	return out.Emit(b)
}

func (f *Filter) narrow(b *core.Batch) (err error) {
	f.row = Row{}
	defer func() {
		r := recover()
		if r == nil && err == nil {
			return
		}
		e := UserError{Operator: f.ctx.ID, Function: f.name, Call: "Filter"}
		if f.row.batch != nil {
			e.Row = f.row.Render()
		}
		err = asError(e, err, r)
	}()
	n := b.Rows()
	sel := b.SelBuffer(n)
	if f.batch != nil {
		scratch := sel[:0]
		if b.Sel != nil { // keep reads it
			scratch = make([]int32, 0, n)
		}
		kept, err := f.batch(b, scratch)
		if err != nil {
			return err
		}
		if len(kept) < b.Len {
			b.Sel = b.SelBuffer(len(kept))
			copy(b.Sel, kept)
		}
		return nil
	}
	kept := 0
	for i := range n {
		f.row = Row{b, b.Row(i)}
		ok, err := f.keep(f.row)
		if err != nil {
			return err
		}
		sel[kept] = int32(f.row.row)
		if ok {
			kept++
		}
	}
	if kept < b.Len {
		b.Sel = sel[:kept]
	}
	return nil
}
