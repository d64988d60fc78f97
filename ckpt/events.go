package ckpt

import "turbo/core"

// Event is something that happened; the Coordinator takes one at a time.
type Event interface{ event() }

// The events.
type (
	// Tick says that time has passed; the Coordinator looks at the clock at every event, this one does nothing else.
	Tick struct{}
	// Demand asks for a checkpoint that covers everything up to now. Reply carries the token back.
	Demand struct{ Token uint64 }
	// StopRequested asks for a last checkpoint; the sources read nothing behind its barrier.
	StopRequested struct{}
	// Begun answers Begin. Err: nothing was started.
	Begun struct {
		ID  uint64
		Err error
	}
	// Ack is a task's report about a checkpoint. Every task reports each barrier that it got once, also when the
	// checkpoint was aborted meanwhile, and also when it could not take part (Err).
	Ack struct {
		Task       int
		Checkpoint uint64
		Err        error
		// Sources, Operators and Bytes (of pages written) count only when Err is nil.
		Sources   []SourceState
		Operators []OperatorState
		Bytes     int64
		// Committables are what the task's sink writers prepared: also when Err is set, for they are handed to the
		// next checkpoint.
		Committables []Committable
		// Counters are cumulative since the task started.
		Counters []OperatorCounters
	}
	// TaskEnded says that no row will come out of the task any more: its input has ended, or it is drained. The task still
	// takes part in checkpoints.
	TaskEnded struct{ Task int }
	// Sealed answers Seal.
	Sealed struct {
		ID  uint64
		Sum Summary
		Err error
	}
	// Written answers WriteManifest. Unknown: the manifest may be there or not.
	Written struct {
		ID      uint64
		Err     error
		Unknown bool
	}
	// Committed answers Commit.
	Committed struct {
		ID  uint64
		Err error
	}
	// Retained answers Retain.
	Retained struct{ Err error }
	// Aborted answers Abort.
	Aborted struct{ ID uint64 }
)

func (Tick) event()          {}
func (Demand) event()        {}
func (StopRequested) event() {}
func (Begun) event()         {}
func (Ack) event()           {}
func (TaskEnded) event()     {}
func (Sealed) event()        {}
func (Written) event()       {}
func (Committed) event()     {}
func (Retained) event()      {}
func (Aborted) event()       {}

// Action is something that the Driver must do. Actions of one Step are done in order.
type Action interface{ action() }

// The actions.
type (
	// Begin takes an id and starts a checkpoint in the page store. Answer: Begun.
	Begin struct{ Trigger Trigger }
	// Inject makes every source send a barrier. Answer: one Ack a task.
	Inject struct{ Barrier Barrier }
	// Seal makes all pages durable. Answer: Sealed.
	Seal struct{ ID uint64 }
	// WriteManifest makes the manifest durable. Answer: Written.
	WriteManifest struct{ Content Content }
	// Commit makes the sinks' output visible. Answer: Committed.
	Commit struct{ ID uint64 }
	// Notify tells everybody that the checkpoint is complete and committed. No answer.
	Notify struct {
		ID      uint64
		Trigger Trigger
	}
	// Retain lets old checkpoints go. Answer: Retained.
	Retain struct{}
	// Abort gives a checkpoint up: tasks merge what they froze back, the page store forgets. Answer: Aborted.
	Abort struct {
		ID    uint64
		Cause error
	}
	// Wake asks for a Tick at a time of the Driver's clock; it replaces the one asked for before.
	Wake struct{ At int64 }
	// Reply answers Demands.
	Reply struct {
		Tokens []uint64
		ID     uint64
		Err    error
	}
	// Finish ends the coordination: the last checkpoint is complete and committed.
	Finish struct {
		ID      uint64
		Trigger Trigger
	}
	// Fail ends the coordination with an error that a checkpoint alone cannot repair.
	Fail struct{ Err error }
)

func (Begin) action()         {}
func (Inject) action()        {}
func (Seal) action()          {}
func (WriteManifest) action() {}
func (Commit) action()        {}
func (Notify) action()        {}
func (Retain) action()        {}
func (Abort) action()         {}
func (Wake) action()          {}
func (Reply) action()         {}
func (Finish) action()        {}
func (Fail) action()          {}

// Barrier is what the sources send.
type Barrier struct {
	ID      uint64
	Trigger Trigger // Final: nothing follows it, unless it is aborted
}

// Flags are the flags that the barrier has in a core.Message.
func (b Barrier) Flags() core.MessageFlags {
	if b.Trigger.Final() {
		return core.FinalBarrier
	}
	return 0
}

// Content is what the Coordinator knows of a manifest.
type Content struct {
	ID           uint64
	Trigger      Trigger
	Store        Summary
	Acks         []Ack         // by task
	Committables []Committable // carried over ones first, then those of Acks
}
