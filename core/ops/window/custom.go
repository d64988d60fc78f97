package window

import "turbo/core"

// Window is an interval of time [Start, End); of count and global windows [MinTime, MaxTime).
type Window struct{ Start, End core.Time }

// Last returns the last instant of the window, at which it is complete: End - 1.
func (w Window) Last() core.Time { return w.End - 1 }

// Result is what a trigger wants.
type Result uint8

// The results. Fire keeps the window's contents, FireAndPurge drops them after it has spoken.
const (
	Continue     Result = 0
	Fire         Result = 1
	Purge        Result = 2
	FireAndPurge Result = Fire | Purge
)

// Trigger decides when a window speaks: a user's own. An instance serves all keys and windows of one worker; what it must remember of one, it keeps in
// the state of its context. Methods are called for one key and window at a time. An error fails the job.
type Trigger interface {
	// State are the columns of state that it keeps for each key and window, checkpointed with the window; none: nil. They are integers,
	// BOOLEAN, times, FLOAT or DOUBLE.
	State() []core.Field
	// OnElement is called for each row of the window (row is its physical number in batch). What it fires includes the row. at is the row's time, MinTime
	// when it has none.
	OnElement(batch *core.Batch, row int, at core.Time, w Window, ctx TriggerContext) (Result, error)
	// OnEventTime is called when the watermark passes a time that the trigger has registered, and before a window of event time is dropped: at its Last plus
	// the allowed lateness.
	OnEventTime(at core.Time, w Window, ctx TriggerContext) (Result, error)
	// OnProcessingTime is called when the clock passes a time that the trigger has registered, and before a window of processing time is
	// dropped: at its Last.
	OnProcessingTime(at core.Time, w Window, ctx TriggerContext) (Result, error)
	// Merge combines the state of two session windows into the first.
	Merge(into, from State) error
	// OnMerge is called when sessions have been merged into w or a row has changed the bounds of one: the state is what Merge made of it, and the timers of
	// the windows before are gone. It comes before OnElement of the row that did it, and its result counts together with OnElement's.
	OnMerge(w Window, ctx TriggerContext) (Result, error)
	// Clear is called before the window is dropped, with its state and timers.
	Clear(w Window, ctx TriggerContext) error
}

// State is the trigger's state of one key and window. Fields count as in Trigger.State; those never set are zero and Null.
type State interface {
	Null(field int) bool
	Int(field int) int64
	Float(field int) float64
	SetInt(field int, v int64)
	SetFloat(field int, v float64)
	SetNull(field int)
}

// TriggerContext is what a trigger may see and do for the key and window at hand. It is valid during the call. Timers are sets: registering one twice is
// registering it once. One for a time that has passed fires at the next watermark, or the next look at the clock.
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
	// function is yet to be called; both times are asked. times are MinTime for rows without a time.
	Evict(batch *core.Batch, times []core.Time, w Window, before bool, keep []bool) error
}

// Contents are what a window holds when it speaks. It all belongs to the operator and ends with the call.
type Contents struct {
	Window Window
	// Kind is KindEarly, KindFinal or KindLate.
	Kind string
	// Key are the key columns, of one row.
	Key []*core.Vector
	// Rows are the window's rows in the order of their arrival, with the columns of the input; nil with Config.AggregatesOnly.
	Rows *core.Batch
	// Aggregates are the results of Config.Calls, of one row.
	Aggregates []*core.Vector
}

// Function is a user's function over a window. An instance serves all keys and windows of one worker.
type Function interface {
	// Apply appends rows of the function's columns to out, the same number to each. It is not called for windows without rows.
	Apply(c *Contents, out []*core.Vector) error
}
