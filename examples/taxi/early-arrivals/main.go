// Early-arrivals counts as sliding-arrivals does, and speaks early each time that another fifty passengers have arrived in a window: a place
// that gets popular is seen before the window ends.
//
//	go run ./examples/taxi/early-arrivals -input nycTaxiRides.csv.gz -output ./out/early-arrivals
package main

import (
	"fmt"
	"time"

	"turbo/core"
	"turbo/core/ops/window"
	"turbo/examples/taxi/rides"
	"turbo/stream"
)

// early fires when so many passengers have come since it last did, and at the end of the window. Its counter goes back to zero when it fires; the
// contents of the window stay.
type early struct{ threshold int64 }

// State implements window.Trigger: the passengers since it last fired.
func (early) State() []core.Field {
	return []core.Field{{Name: "passengers", Type: core.Of(core.Int64).Required()}}
}

// OnElement implements window.Trigger.
func (t early) OnElement(b *core.Batch, row int, _ core.Time, w window.Window, ctx window.TriggerContext) (window.Result, error) {
	if err := ctx.RegisterEventTime(w.Last()); err != nil {
		return window.Continue, err
	}
	passengers := b.Schema.Index("passengers")
	if passengers < 0 {
		return window.Continue, fmt.Errorf("there is no column passengers in %v", b.Schema)
	}
	v := b.Columns[passengers]
	if v.Null(row) {
		return window.Continue, nil
	}
	n := ctx.Int(0) + int64(v.Int32s()[row])
	if n < t.threshold {
		ctx.SetInt(0, n)
		return window.Continue, nil
	}
	ctx.SetInt(0, 0)
	return window.Fire, nil
}

// OnEventTime implements window.Trigger.
func (early) OnEventTime(at core.Time, w window.Window, _ window.TriggerContext) (window.Result, error) {
	if at == w.Last() {
		return window.Fire, nil
	}
	return window.Continue, nil
}

// OnProcessingTime implements window.Trigger.
func (early) OnProcessingTime(core.Time, window.Window, window.TriggerContext) (window.Result, error) {
	return window.Continue, nil
}

// Merge implements window.Trigger: sliding windows do not merge.
func (early) Merge(_, _ window.State) error { return nil }

// OnMerge implements window.Trigger.
func (early) OnMerge(window.Window, window.TriggerContext) (window.Result, error) {
	return window.Continue, nil
}

// Clear implements window.Trigger.
func (early) Clear(window.Window, window.TriggerContext) error { return nil }

var program = rides.Program[rides.Located]{Name: "early-arrivals", Result: func(arrivals *stream.Stream[rides.Arrival]) *stream.Stream[rides.Located] {
	windows := arrivals.KeyBy("cell").Window(stream.Sliding(15*time.Minute, 5*time.Minute)).
		Trigger(stream.CustomTrigger(func() window.Trigger { return early{threshold: 50} }))
	popular := stream.AggregateWindow[rides.Count](windows, "popular", stream.Column{Name: "arrivals", Expression: "SUM(passengers)"})
	return stream.Map(popular, "located", rides.Locate)
}}

func main() { program.Main() }
