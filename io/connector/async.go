package connector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"turbo/core"
	"turbo/memory"
)

// ErrClosed is what a pending Prepare gets when its writer is closed.
var ErrClosed = errors.New("closed before the checkpoint was prepared")

// Fetcher is the blocking side of a source reader. All calls but Close come from one goroutine; Close comes after the last.
type Fetcher interface {
	// Fetch blocks until there is an event or ctx ends (it then returns promptly, with any error). It hands over what it
	// has at once, also a single row: the adapter merges small batches as the buffer timeout allows. A NoEvent brings
	// nothing; the first one, or the first data, says that the splits that there are now have been started: who has none, at first or after
	// a SplitEnd, returns it before it blocks, or it holds back the watermark. After EndOfInput or an error Fetch is not called again.
	//
	// Splits are numbered from 0 in the order of their SplitStart events. A checkpoint can fall between any two events, so
	// Position must cover exactly the rows and dead letters of the events up to this one: a record that cannot be decoded
	// ends the batch before it.
	Fetch(ctx context.Context) (FetchEvent, error)
	// Close frees what the fetcher holds.
	Close() error
}

// FetchEvent is an event with the position of its split after it. Position is copied: the fetcher may reuse it. nil
// means that the position did not change.
type FetchEvent struct {
	core.Event
	Position []byte
}

// Writer is the blocking side of a sink writer. All calls but Close come from one goroutine; Close comes after the last.
// ctx ends when the writer is closed: calls then return promptly. After an error only Close follows.
type Writer interface {
	// Write takes b and owns it, also when it fails.
	Write(ctx context.Context, b *core.Batch) error
	// Tick is called every TickInterval or a little later, also when nothing is written: for what depends on time.
	Tick(ctx context.Context, now time.Time) error
	// Prepare makes everything written so far durable and returns what Commit needs (which the caller keeps).
	Prepare(ctx context.Context, checkpoint uint64, final bool) ([]byte, error)
	// Close frees what the writer holds and gives up what is not prepared.
	Close() error
}

// The default bounds of the adapters' queues.
const (
	defaultQueueBatches = 16
	defaultQueueBytes   = 8 << 20
	defaultTickInterval = 100 * time.Millisecond
	// preciseBelow is the timeout below which the runtime's timers are too coarse (an idle process wakes after 1 ms).
	preciseBelow = 2 * time.Millisecond
)

// safely turns a panic of a connector's goroutine into an error, so that it fails its job and not the process. An
// exhausted memory budget keeps its type.
func safely(call func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *memory.LimitError:
			err = p
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return call()
}
