package ops

import "turbo/core"

// Pass gives on what it gets: the operator behind an exchange that several streams read.
type Pass struct {
	core.BaseOperator
	schema *core.Schema
}

// Open implements core.Operator.
func (p *Pass) Open(ctx *core.OperatorContext) error { p.schema = ctx.Output; return nil }

// Process implements core.Operator.
func (p *Pass) Process(_ int, b *core.Batch, out core.Emitter) error {
	b.Schema = p.schema
	return out.Emit(b)
}
