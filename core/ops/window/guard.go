package window

import (
	"fmt"

	"turbo/core"
	"turbo/core/ops"
)

// guard, deferred, makes what a call of a user's trigger, evictor or function ended with an ops.UserError. row is the physical row of the batch that it was
// about, or -1.
func (g *general) guard(err *error, call string, w Window, row int) {
	p := recover()
	if p == nil && *err == nil {
		return
	}
	if w.End != core.MaxTime {
		call += fmt.Sprintf(" in window [%v, %v)", w.Start, w.End)
	}
	e := ops.UserError{Operator: g.ctx.ID, Call: call}
	if row >= 0 && g.batch != nil {
		e.Row = ops.RenderRow(g.batch.Schema.Fields, g.batch.Columns, row)
	}
	*err = e.AsError(*err, p)
}
