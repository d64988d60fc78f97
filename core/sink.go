package core

import "context"

// Sink is one sink of a job, shared by its writers, one a worker.
//
// Two-phase commit: a writer's Prepare makes everything written before the barrier durable and describes it by a committable;
// once the manifest with all committables is durable, Commit makes it visible. After a crash, Open gets the
// newest complete checkpoint, finishes its commit if need be, and removes whatever no complete checkpoint covers.
type Sink interface {
	// Open recovers; restored is nil on a fresh start. Blocking I/O is allowed. When it returns, exactly what the
	// checkpoint covers is there (visible, or open with its durable prefix).
	Open(ctx context.Context, restored *RestoredSink) error
	// Writer returns the writer of a worker. Called once for each, after Open.
	Writer(worker int) (SinkWriter, error)
	// Commit makes the checkpoint's output visible. It is idempotent, blocking and serial; committables are those of
	// every writer, by worker; before them, oldest first, may come those of checkpoints that were given up since the one before.
	Commit(ctx context.Context, info CommitInfo, committables [][]byte) error
	// Close frees what writers share, after the writers are closed. What is not committed stays invisible.
	Close() error
}

// RestoredSink is what a sink gets back from the newest complete checkpoint.
type RestoredSink struct {
	Info         CommitInfo
	Committables [][]byte // by the worker that wrote them: the parallelism may have been another
}

// SourceRange is what one split of one source contributed between two checkpoints.
type SourceRange struct {
	Source string `json:"source"`
	Split  string `json:"split"`
	From   []byte `json:"from"` // position at the checkpoint before; of the first range where the split began, or empty when that is not known
	To     []byte `json:"to"`
	First  bool   `json:"first,omitempty"` // no checkpoint before has the split
}

// CommitInfo describes the checkpoint that is being committed.
type CommitInfo struct {
	Checkpoint uint64
	Previous   uint64 // the complete checkpoint before it; 0: none
	Time       Time   // when it completed, processing time
	Final      bool   // the job's input has ended or it was drained: nothing follows, close every file
	Sources    []SourceRange
	// Balance counts the rows between Previous and Checkpoint on the way to this sink. It is nil when an operator on
	// the way is no pass-through (an aggregate), and then no balance can be drawn.
	Balance *Balance
	// Computes is a digest of the expressions on the way to this sink: rows of checkpoints with another one were made by another program.
	Computes string
}

// Balance is the sum that must hold for a pass-through job: Read = Written + Filtered + Deduplicated + DeadLettered + Skipped + Late.
type Balance struct {
	Read         int64 `json:"read"`
	Written      int64 `json:"written"`
	Filtered     int64 `json:"filtered"`
	Deduplicated int64 `json:"deduplicated"`
	DeadLettered int64 `json:"dead_lettered"`
	Skipped      int64 `json:"skipped"`
	Late         int64 `json:"late"`
}

// Holds reports whether the sum is right.
func (b Balance) Holds() bool {
	return b.Read == b.Written+b.Filtered+b.Deduplicated+b.DeadLettered+b.Skipped+b.Late
}

// SinkWriter takes the rows of one worker. Every method but the done callback's run is called by that worker and must not
// block: a connector whose I/O blocks runs it on a goroutine of its own behind a queue (io/connector has the adapter).
type SinkWriter interface {
	// Write takes b and owns it, also when it fails. It is called once even when Full.
	Write(b *Batch) error
	// Full reports that the writer cannot take more now; it calls the waker when it can again.
	Full() bool
	// SetWaker gives the function to call, from any goroutine, when Full turns false.
	SetWaker(wake func())
	// Prepare ends the checkpoint's part of the output: everything written before belongs to it. done is called once,
	// from any goroutine, when that is durable, with what Commit needs, or with the error that fails the checkpoint's attempt.
	Prepare(checkpoint uint64, final bool, done func(committable []byte, err error))
	// Close stops the writer and frees its memory. What was not prepared is given up.
	Close() error
}

// Withdrawer is a sink that can take back what newer checkpoints than the one restored have made visible.
type Withdrawer interface {
	// Withdraw removes what checkpoints after the given one committed. It fails, and changes nothing, when it cannot.
	Withdraw(ctx context.Context, after uint64) error
}

// Validator is a source or sink that can be checked without running: connect, topics, permissions, directories.
type Validator interface {
	Validate(ctx context.Context) error
}

// LagReporter is a source that knows how far behind the end of its input it is, in records; ok is false when it does not now.
type LagReporter interface {
	Lag() (records int64, ok bool)
}
