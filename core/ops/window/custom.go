package window

import "turbo/core"

// Window is an interval of time [Start, End); of count and global windows [MinTime, MaxTime).
type Window struct{ Start, End core.Time }

// Result is what a trigger wants.
type Result uint8

// The results. Fire keeps the window's contents, FireAndPurge drops them after it has spoken.
const (
	Continue Result = iota
	Fire
	Purge
	FireAndPurge
)

// Trigger decides when a window speaks: a user's own. An instance serves all keys and windows of one worker; what it must remember of one, it keeps in
// the state of its context. Methods are called for one key and window at a time.
type Trigger interface {
	// State are the columns of state that it keeps for each key and window, checkpointed with the window; none: nil.
	State() []core.Field
	// OnElement is called for each row (row is its number in batch), after it was added to the window.
	OnElement(batch *core.Batch, row int, at core.Time, w Window, ctx TriggerContext) (Result, error)
	// OnEventTime is called when the watermark passes a time that the trigger has registered, or the end of the window.
	OnEventTime(at core.Time, w Window, ctx TriggerContext) (Result, error)
	// OnProcessingTime is called when the clock passes a time that the trigger has registered.
	OnProcessingTime(at core.Time, w Window, ctx TriggerContext) (Result, error)
	// OnMerge is called when windows have been merged into w: state of the merged window is there already as Merge made it.
	OnMerge(w Window, ctx TriggerContext) (Result, error)
	// Merge combines the state of two windows into the first: for session windows; nil error and no change when there is no state.
	Merge(into, from State) error
}

// State is the trigger's state of one key and window. Fields count as in Trigger.State; unset ones are zero and Null.
type State interface {
	Null(field int) bool
	Int(field int) int64
	Float(field int) float64
	SetInt(field int, v int64)
	SetFloat(field int, v float64)
	SetNull(field int)
}

// TriggerContext is what a trigger may see and do for the key and window at hand.
type TriggerContext interface {
	State
	Watermark() core.Time
	Now() core.Time // processing time
	RegisterEventTime(at core.Time) error
	RegisterProcessingTime(at core.Time) error
	DeleteEventTime(at core.Time) error
	DeleteProcessingTime(at core.Time) error
}

// Evictor takes rows out of a window: a user's own.
type Evictor interface {
	// Evict marks rows of batch, which are the window's in the order of their arrival, as gone: keep[i] = false. before says whether the window's
	// function is yet to be called.
	Evict(batch *core.Batch, times []core.Time, w Window, before bool, keep []bool) error
}

// Function is a user's function over the rows of a window.
type Function interface {
	// Apply gets the window's rows in the order of their arrival (columns of the input) and, when the operator aggregates as well, the results in row
	// aggregates[0]; nil otherwise. It appends rows of the function's columns to out, all of the same length.
	Apply(w Window, rows *core.Batch, aggregates *core.Batch, out []*core.Vector) error
}
