package ops

import "turbo/core"

// Upserts makes plain rows of a changelog for a sink that only appends: +I and +U rows go on, -U and -D rows are dropped
// (and counted as filtered).
type Upserts struct {
	core.BaseOperator
	ctx *core.OperatorContext
}

// Open implements core.Operator.
func (u *Upserts) Open(ctx *core.OperatorContext) error { u.ctx = ctx; return nil }

// Process implements core.Operator.
func (u *Upserts) Process(_ int, b *core.Batch, out core.Emitter) error {
	b.Schema = u.ctx.Output
	if b.Kinds == nil {
		return out.Emit(b)
	}
	rows := b.Rows()
	sel := b.SelBuffer(rows) // Sel may be the same buffer: it is read ahead of what is written
	kept := 0
	for i := range rows {
		r := b.Row(i)
		if k := b.Kinds[r]; k == core.Insert || k == core.UpdateAfter {
			sel[kept] = int32(r)
			kept++
		}
	}
	u.ctx.Counters.Filtered += int64(rows - kept)
	b.Sel, b.Kinds = sel[:kept], nil
	return out.Emit(b)
}

// KindColumn adds the row kind as a last column, STRING: +I, -U, +U or -D. All rows go on.
type KindColumn struct {
	core.BaseOperator
	ctx *core.OperatorContext
}

// Open implements core.Operator.
func (k *KindColumn) Open(ctx *core.OperatorContext) error { k.ctx = ctx; return nil }

// Process implements core.Operator.
func (k *KindColumn) Process(_ int, b *core.Batch, out core.Emitter) error {
	o := core.NewBatch(k.ctx.Account, k.ctx.Output)
	o.Len = b.Len
	for _, c := range b.Columns {
		o.Columns = append(o.Columns, c.Retain())
	}
	kinds := core.NewVector(k.ctx.Account, core.Of(core.String).Required(), b.Len)
	for r := range b.Len {
		kinds.AppendString(b.Kind(r).String())
	}
	o.Columns = append(o.Columns, kinds)
	if b.Sel != nil {
		o.Sel = o.SelBuffer(len(b.Sel))
		copy(o.Sel, b.Sel)
	}
	b.Release()
	return out.Emit(o)
}
