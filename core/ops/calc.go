package ops

import (
	"fmt"

	"turbo/core"
	"turbo/core/expr"
)

// Calc filters and projects in one step: first the conditions, each on the rows that the ones before it kept, then the columns.
// Columns that are passed on as they are cost a reference; the others are computed for the rows that are left. The output keeps the
// input's physical rows and selection: nothing is compacted before an exchange or a sink copies rows anyway.
type Calc struct {
	core.BaseOperator
	conditions []*expr.Program
	columns    []*expr.Program // nil: the input's columns go on
	ctx        *core.OperatorContext
	eval       expr.Context
}

// NewCalc returns a Calc. Programs are compiled for the input's schema and belong to the operator.
func NewCalc(conditions, columns []*expr.Program) *Calc {
	return &Calc{conditions: conditions, columns: columns}
}

// Open implements core.Operator.
func (c *Calc) Open(ctx *core.OperatorContext) error {
	c.ctx = ctx
	c.eval.Account = ctx.Account
	if c.columns != nil && len(c.columns) != len(ctx.Output.Fields) {
		return fmt.Errorf("projection of %d columns for the schema %v", len(c.columns), ctx.Output)
	}
	return nil
}

// Process implements core.Operator.
func (c *Calc) Process(_ int, b *core.Batch, out core.Emitter) error {
	c.eval.Now = c.ctx.Now()
	before := b.Rows()
	for _, p := range c.conditions {
		if err := p.Filter(&c.eval, b); err != nil {
			b.Release()
			return core.Permanent(err)
		}
		if b.Rows() == 0 {
			break
		}
	}
	c.ctx.Counters.Filtered += int64(before - b.Rows())
	switch {
	case b.Rows() == 0:
		b.Release()
		return nil
	case c.columns == nil:
		b.Schema = c.ctx.Output
		return out.Emit(b)
	}
	result, err := c.project(b)
	b.Release()
	if err != nil {
		return core.Permanent(err)
	}
	return out.Emit(result)
}

// project computes the output batch. b stays the caller's.
func (c *Calc) project(b *core.Batch) (*core.Batch, error) {
	o := core.NewBatch(c.ctx.Account, c.ctx.Output)
	o.Len = b.Len
	for _, p := range c.columns {
		v, err := p.Eval(&c.eval, b)
		if err != nil {
			o.Release()
			return nil, err
		}
		o.Columns = append(o.Columns, v)
	}
	if b.Sel != nil {
		o.Sel = o.SelBuffer(len(b.Sel))
		copy(o.Sel, b.Sel)
	}
	if b.Kinds != nil {
		copy(o.MakeKinds(len(b.Kinds)), b.Kinds)
	}
	return o, nil
}
