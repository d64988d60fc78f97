package property

import (
	"turbo/core"
	"turbo/core/ops/window"
	"turbo/stream"
)

// pulseAt is the sum of v at which a window with the trigger "pulse" speaks and drops its contents.
const pulseAt = 20

func init() { stream.RegisterTrigger("pulse", func() window.Trigger { return pulse{} }) }

// pulse is a trigger of a program: a sum in its own state, fire and purge at pulseAt, and at the end of the window what is left.
type pulse struct{}

func (pulse) State() []core.Field {
	return []core.Field{{Name: "sum", Type: core.Of(core.Int64)}}
}

func (pulse) OnElement(b *core.Batch, row int, _ core.Time, w window.Window, ctx window.TriggerContext) (window.Result, error) {
	if v := b.Columns[b.Schema.Index("v")]; !v.Null(row) {
		ctx.SetInt(0, ctx.Int(0)+v.Int64s()[row])
	}
	if ctx.Int(0) >= pulseAt {
		ctx.SetInt(0, 0)
		return window.FireAndPurge, end(w, ctx)
	}
	if w.Last() <= ctx.Watermark() {
		return window.Fire, nil
	}
	return window.Continue, end(w, ctx)
}

// end registers the end of the window.
func end(w window.Window, ctx window.TriggerContext) error {
	if w.Last() <= ctx.Watermark() {
		return nil
	}
	return ctx.RegisterEventTime(w.Last())
}

func (pulse) OnEventTime(at core.Time, w window.Window, _ window.TriggerContext) (window.Result, error) {
	if at == w.Last() {
		return window.Fire, nil
	}
	return window.Continue, nil // the window is dropped
}

func (pulse) OnProcessingTime(core.Time, window.Window, window.TriggerContext) (window.Result, error) {
	return window.Continue, nil
}

func (pulse) Merge(into, from window.State) error {
	into.SetInt(0, into.Int(0)+from.Int(0))
	return nil
}

func (pulse) OnMerge(w window.Window, ctx window.TriggerContext) (window.Result, error) {
	return window.Continue, end(w, ctx)
}

func (pulse) Clear(w window.Window, ctx window.TriggerContext) error {
	return ctx.DeleteEventTime(w.Last())
}
