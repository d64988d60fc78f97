package core

import (
	"log/slog"

	"turbo/internal/clock"
	"turbo/memory"
)

// Operator is one instance of a streaming operator in one chain of one worker. Every call comes from that worker, one at a
// time, in this order: Open; then any of Process, Advance, Resume, Flush, EndInput; then Close (also after an error).
//
// Output goes to out by method call and never blocks. An operator that can emit much for little input emits until
// out.Full, keeps the rest as pending work, and goes on in Resume. While it has pending work (Resume said more), the task
// calls nothing but Resume and Close on it. Operators write no snapshot code: what must survive is in tables and timers.
type Operator interface {
	// Open prepares the instance. Tables asked of the context are already restored when Open returns them.
	Open(ctx *OperatorContext) error
	// Process takes b, the next batch of input port, and owns it, also when it fails.
	Process(port int, b *Batch, out Emitter) error
	// Advance says that the watermark of the inputs together is t: emit what is due. t grows strictly.
	// The task passes the watermark on by itself once no work is pending.
	Advance(t Time, out Emitter) error
	// Resume goes on with pending work until it is done or out is full, and reports whether there is more.
	// It is also how the task asks, after any other call, whether that call has left work pending.
	Resume(out Emitter) (more bool, err error)
	// Flush comes before a barrier: emit what no table holds. Afterwards the tables alone are the state.
	Flush(out Emitter) error
	// EndInput says that no row will come on port any more. Watermarks of other ports may.
	EndInput(port int, out Emitter) error
	// Close frees what the instance holds. Nothing is emitted.
	Close() error
}

// Emitter takes an operator's output.
type Emitter interface {
	// Emit takes b. It never blocks; it may be called once even when Full, for the batch at hand.
	Emit(b *Batch) error
	// Full reports that whoever is behind cannot take more now: stop emitting and keep the rest as pending work.
	Full() bool
}

// OperatorContext is what an operator instance may know of its surroundings.
type OperatorContext struct {
	ID        string // stable operator id: names state and metrics
	Worker    int    // which of Workers this instance is
	Workers   int
	KeyGroups int
	Inputs    []*Schema // by port
	Output    *Schema
	BatchRows int // target rows of an output batch
	Account   *memory.Account
	Tables    TableFactory
	Now       func() Time // processing time
	Counters  *Counters
	Log       *slog.Logger
	// Sides are the operator's further outputs (late rows, side outputs of user functions), with their schemas. An operator that
	// uses one keeps the rest as pending work when any output is Full.
	Sides       []Emitter
	SideSchemas []*Schema
	// Wake makes the worker look at the operator again. Any goroutine may call it.
	Wake func()
	// Clock makes timers beside the worker, such as timeouts of requests; nil: the real one.
	Clock clock.Clock
}

// Timed is an Operator that acts by processing time.
type Timed interface {
	Operator
	// Due returns the processing time at which Tick must be called next; ok is false when there is none.
	Due() (at Time, ok bool)
	// Tick says that processing time is now, at or after Due. It is called between messages, never while work is pending, and
	// never after the end of all input has passed: timers of processing time that are set then do not fire, as in Flink.
	Tick(now Time, out Emitter) error
}

// Waiter is an Operator whose pending work may wait for another goroutine, which calls OperatorContext.Wake when there is something to do.
type Waiter interface {
	// Waiting reports that Resume can do nothing now.
	Waiting() bool
}

// InFlight is an Operator whose functions run beside the worker.
type InFlight interface {
	// InFlight returns how many run, without those that wait for a timer of OperatorContext.Clock.
	InFlight() int
}

// Counters counts rows of one operator, reader or writer instance. The worker that owns the instance writes them plainly;
// the task publishes copies between batches, and takes one at each barrier: those make the ledger's balance.
type Counters struct {
	In           int64 // rows taken (sources: rows read, undecodable ones included)
	Out          int64 // rows emitted (sinks: rows written)
	Filtered     int64 // rows dropped by a condition
	Deduplicated int64 // rows dropped as duplicates
	Late         int64 // rows dropped as late, or sent to the output for late rows
	NoTime       int64 // rows dropped, or sent there, because their event time is null
	Skipped      int64 // undecodable rows dropped by on-error: skip
	DeadLettered int64 // undecodable rows sent to the dead letters
	Retries      int64 // repeated attempts of I/O
}

// Add adds o to c.
func (c *Counters) Add(o Counters) {
	c.In += o.In
	c.Out += o.Out
	c.Filtered += o.Filtered
	c.Deduplicated += o.Deduplicated
	c.Late += o.Late
	c.NoTime += o.NoTime
	c.Skipped += o.Skipped
	c.DeadLettered += o.DeadLettered
	c.Retries += o.Retries
}

// Sub returns c - o.
func (c Counters) Sub(o Counters) Counters {
	return Counters{c.In - o.In, c.Out - o.Out, c.Filtered - o.Filtered, c.Deduplicated - o.Deduplicated, c.Late - o.Late, c.NoTime - o.NoTime,
		c.Skipped - o.Skipped, c.DeadLettered - o.DeadLettered, c.Retries - o.Retries}
}

// BaseOperator does nothing in every optional call; most operators embed it.
type BaseOperator struct{}

// Advance implements Operator.
func (BaseOperator) Advance(Time, Emitter) error { return nil }

// Resume implements Operator: nothing is ever pending.
func (BaseOperator) Resume(Emitter) (bool, error) { return false, nil }

// Flush implements Operator.
func (BaseOperator) Flush(Emitter) error { return nil }

// EndInput implements Operator.
func (BaseOperator) EndInput(int, Emitter) error { return nil }

// Close implements Operator.
func (BaseOperator) Close() error { return nil }
