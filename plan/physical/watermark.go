package physical

import (
	"fmt"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/task"
	"turbo/memory"
	"turbo/plan"
)

// readerSchema is what a source's readers give: the task adds the time of ingestion.
func readerSchema(n *plan.Source) *core.Schema {
	if n.Ingestion == "" {
		return n.Schema
	}
	s := *n.Schema
	s.Fields = s.Fields[:len(s.Fields)-1]
	if s.TimeColumn == len(s.Fields) {
		s.TimeColumn = -1
	}
	return &s
}

// watermark is the strategy of a source; nil when its rows have no event time.
func (b *builder) watermark(n *plan.Source) (*task.Watermark, error) {
	w := n.Watermark
	if w == nil {
		return nil, nil
	}
	out := &task.Watermark{
		Column: n.Schema.Index(w.Column), MaxDelay: w.MaxOutOfOrderness, IdleTimeout: w.IdleTimeout, Generator: w.Generator,
		MaxDrift: w.MaxDrift, Group: w.Group, MaxFutureSkew: w.MaxFutureSkew,
	}
	if w.Punctuated == nil {
		return out, nil
	}
	program, err := w.Punctuated.Compile(n.Schema)
	if err != nil {
		return nil, fmt.Errorf("%s: watermark.punctuated: %w", n.ID, err)
	}
	account := b.env.Memory.Account(b.plan.Settings.Name + "/" + n.ID + "/watermark")
	out.Generator = func() core.WatermarkGenerator { return newPunctuated(program.Clone(), account, out.Column) }
	return out, nil
}

// punctuated makes the watermark from what rows say.
type punctuated struct {
	program *expr.Program
	eval    expr.Context
	column  int
}

func newPunctuated(program *expr.Program, account *memory.Account, column int) *punctuated {
	return &punctuated{program: program, eval: expr.Context{Account: account}, column: column}
}

// Observe implements core.WatermarkGenerator.
func (p *punctuated) Observe(b *core.Batch) (core.Time, error) {
	says, err := p.program.Eval(&p.eval, b)
	if err != nil {
		return core.MinTime, core.Permanent(fmt.Errorf("watermark.punctuated: %w", err))
	}
	defer says.Release()
	marker := says.Type.Kind == core.Boolean
	mark, times := core.MinTime, says
	if marker {
		times = b.Columns[p.column]
	}
	for i, n := 0, b.Rows(); i < n; i++ {
		row := b.Row(i)
		if says.Null(row) || times.Null(row) || marker && says.Bools()[row] == 0 {
			continue
		}
		mark = max(mark, core.Time(times.Int64s()[row]))
	}
	return mark, nil
}

// Tick implements core.WatermarkGenerator.
func (p *punctuated) Tick(core.Time) core.Time { return core.MinTime }
