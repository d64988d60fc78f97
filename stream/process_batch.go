package stream

import (
	"fmt"

	"turbo/core"
	"turbo/core/ops/process"
)

// BatchContext is what the batch form of a process function may use during a call: timers by slot, the watermark, outputs.
type BatchContext = process.Context

// ValueColumns is a value state of several fields by column: the batch form of ValueState. Begin announces writes at the slots of a block (Rows.Slots),
// Visible says which have a value; Ints, Floats, Validity and Table give access by slot until the end of the call.
type ValueColumns = process.Value

// Columns declares a value state for the batch form of a process function, with fields of any types. It is nil while the job is built.
func Columns(s *Setup, name string, fields []core.Field, ttl ...TTL) *ValueColumns {
	s.declare(&s.states, process.Descriptor{Name: name, Kind: process.ValueKind, Fields: fields}, ttl)
	if s.open == nil {
		return nil
	}
	return s.open.Value(name)
}

// BatchProcessor is the batch form of a process function: columns in, columns out (ctx.Out has those of the result in the order of its fields).
// Rows and what they give access to are only valid during the call.
type BatchProcessor struct {
	// Rows takes rows of one batch. in.Batch has the stream's columns in the order of Columns, in.Row and in.Sel say the rows, in.Slots has the slot of
	// each row's key. A key may have several rows, in the order in which they came.
	Rows func(ctx *BatchContext, in *Rows) error
	// Timers takes timers that are due, in the order of their times, which are in in.Times; in.Batch has the columns of their keys. Nil when none are set.
	Timers func(ctx *BatchContext, in *Rows) error
}

// ProcessBatch is Process in batch form.
func ProcessBatch[Out, In any](k *Keyed[In], name string, build func(*Setup) BatchProcessor) *Stream[Out] {
	e := k.s.env
	in := inputOf(k.s, k.keys, false)
	in.needs = nil // all columns
	return processOf(e, e.place(name), "process", []input{in}, func(s *Setup, _ []*core.Schema) (*calls[Out], error) {
		f := build(s)
		if f.Rows == nil {
			return nil, fmt.Errorf("a process function needs a function for the rows")
		}
		return &calls[Out]{batch: &f}, nil
	})
}

// batchInstance is the batch form of a function of the program on one worker.
type batchInstance[Out any] struct{ instance[Out] }

// ProcessBlock implements process.BatchFunction.
func (i *batchInstance[Out]) ProcessBlock(c *process.Context, in *process.Block) error {
	i.setup.active = c
	return i.calls.batch.Rows(c, in)
}

// OnTimers implements process.BatchFunction.
func (i *batchInstance[Out]) OnTimers(c *process.Context, in *process.Block) error {
	i.setup.active = c
	if i.calls.batch.Timers == nil {
		return fmt.Errorf("a timer is due, and the function has no Timers")
	}
	return i.calls.batch.Timers(c, in)
}
