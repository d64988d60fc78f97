package core

import "context"

// Source is one source of a job, shared by its readers, one a worker. It divides its splits (Kafka partitions, files,
// file ranges, generator sequences) among its readers by itself.
type Source interface {
	// Open finds the splits and the start positions; blocking I/O is allowed. restored has the last snapshot of every split
	// that any reader had ever claimed, nil on a fresh start. A split that is found now and is not in restored starts at
	// its beginning.
	Open(ctx context.Context, restored []SplitState) error
	// Reader returns the reader of a worker, in [0, Parallelism) of the context that the source was made with. Called once for each, after Open.
	Reader(worker int) (SourceReader, error)
	// Committed says that the checkpoint with these positions is complete. It may come late, or never. It must not block long.
	Committed(ctx context.Context, checkpoint uint64, splits []SplitState) error
	// Close frees what readers share, after the readers are closed.
	Close() error
}

// SplitState is the saved state of one split.
type SplitState struct {
	ID       string // stable name within the source, such as "rides/3" or a file's path and range
	Position []byte // how far it was read: the source's own encoding
	// Start is the position where a split began that no checkpoint knew; empty when that is not known. It is told, not kept: the first
	// checkpoint that has the split uses it.
	Start []byte `json:"-"`
	// Watermark and Idle are filled in by the task that generates watermarks, and given back to it.
	Watermark Time
	Idle      bool
}

// EventKind says what a reader's Poll returned.
type EventKind uint8

// The kinds of events.
const (
	NoEvent    EventKind = iota // nothing now: the waker is called when there is
	DataEvent                   // Batch, rows of one split
	DeadLetter                  // Batch of DeadLetterSchema: records of one split that could not be decoded
	SplitStart                  // Split is claimed; ID names it. Until it ends or idles it holds back the watermark
	SplitEnd                    // Split is at its end
	EndOfInput                  // no split will bring anything any more
)

// Event is what a reader hands to its task.
type Event struct {
	Kind  EventKind
	Split int    // index of the split in this reader, in the order of SplitStart
	ID    string // of SplitStart
	Batch *Batch // of DataEvent and DeadLetter; may be nil on DataEvent when only counts or a position moved on
	// Read counts the records that stand behind the event: rows of the batch, skipped and dead-lettered ones.
	Read, Skipped, DeadLettered int64
}

// WatermarkGenerator makes the watermark of one split from its rows. One worker calls it. It is not part of checkpoints: a restored split
// goes on from the watermark that it had, with a new generator. A watermark t says that no row with an event time of t or before will come.
type WatermarkGenerator interface {
	// Observe takes the next rows of the split, which it does not keep, and returns the watermark after them; MinTime: none yet. One that is
	// before an earlier one is ignored.
	Observe(b *Batch) (Time, error)
	// Tick is asked once a watermark interval, also while no rows come, with processing time.
	Tick(now Time) Time
}

// SourceReader feeds one worker. Poll and Snapshot are called by that worker only and never block: a connector whose I/O
// blocks runs it on a goroutine of its own behind a queue (io/connector has the adapter).
type SourceReader interface {
	// Poll returns the next event. The caller owns its batch. The splits that Open has found start before the first
	// data, or the first watermark would be too early for those that have not started. An error ends the job's attempt.
	Poll() (Event, error)
	// SetWaker gives the function to call, from any goroutine, when Poll has something again after NoEvent.
	SetWaker(wake func())
	// Snapshot returns the state of every split that this reader has ever claimed (ended ones too), after the last event
	// that Poll returned. Positions are not changed afterwards. A restored split that no reader has claimed yet keeps its
	// restored state without anybody's doing.
	Snapshot() ([]SplitState, error)
	// Close stops the reader's I/O and frees its memory.
	Close() error
}

// DeadLetterSchema is the schema of dead letters: where a record stood, its bytes as they were, and why it was refused.
var DeadLetterSchema = NewSchema(
	Field{"source", Of(String).Required()},
	Field{"split", Of(String).Required()},   // topic/partition or file
	Field{"position", Of(Int64).Required()}, // offset, or line from 1
	Field{"error", Of(String).Required()},   //
	Field{"key", Of(Bytes)},                 // Kafka: the record's key
	Field{"value", Of(Bytes)},               // the raw bytes
	Field{"time", Of(TimestampLTZ)},         // Kafka: the record's time
)
