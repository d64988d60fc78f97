package ops

import (
	"turbo/core"
	"turbo/core/expr"
)

// Calc filters and projects: conditions narrow the selection one after the other, then the columns are computed for the rows that are
// left. A filter alone passes the batch on as it is.
type Calc struct {
	core.BaseOperator
	conditions []*expr.Program
	columns    []*expr.Program
	ctx        *core.OperatorContext
	eval       expr.Context
}

// NewCalc returns an operator for one worker; programs are its own (see expr.Program.Clone). Conditions are BOOLEAN. Columns are the
// output columns in order; nil passes the input's columns on, with their hashes and row kinds.
func NewCalc(conditions, columns []*expr.Program) *Calc {
	return &Calc{conditions: conditions, columns: columns}
}

// NewFilter returns a Calc that keeps the rows for which all conditions are true.
func NewFilter(conditions ...*expr.Program) *Calc { return NewCalc(conditions, nil) }

// NewProject returns a Calc that computes columns.
func NewProject(columns ...*expr.Program) *Calc { return NewCalc(nil, columns) }

// Open implements core.Operator.
func (c *Calc) Open(ctx *core.OperatorContext) error {
	c.ctx = ctx
	c.eval.Account = ctx.Account
	return nil
}

// Process implements core.Operator.
func (c *Calc) Process(_ int, b *core.Batch, out core.Emitter) error {
	c.eval.Now = c.ctx.Now()
	before := b.Rows()
	for _, p := range c.conditions {
		if err := p.Filter(&c.eval, b); err != nil {
			b.Release()
			return core.Permanent(err) // the same rows would fail again
		}
	}
	rows := b.Rows()
	c.ctx.Counters.Filtered += int64(before - rows)
	if rows == 0 {
		b.Release()
		return nil
	}
	if c.columns == nil {
		return out.Emit(b)
	}
	made, err := c.project(b)
	b.Release()
	if err != nil {
		return core.Permanent(err)
	}
	return out.Emit(made)
}

// project computes the columns. Hashes are not passed on: they are those of other columns.
func (c *Calc) project(b *core.Batch) (*core.Batch, error) {
	made := core.NewBatch(c.ctx.Account, c.ctx.Output)
	made.Len = b.Len
	for _, p := range c.columns {
		v, err := p.Eval(&c.eval, b)
		if err != nil {
			made.Release()
			return nil, err
		}
		made.Columns = append(made.Columns, v)
	}
	if b.Sel != nil {
		made.Sel = made.SelBuffer(len(b.Sel))
		copy(made.Sel, b.Sel)
	}
	if b.Kinds != nil {
		copy(made.MakeKinds(len(b.Kinds)), b.Kinds)
	}
	return made, nil
}
