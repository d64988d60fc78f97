package stream

import (
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/io/connector"
	"turbo/job"
	"turbo/plan"
	_ "turbo/run/all" // the connectors that From and To name
)

// Watermarks says how event time advances with the rows of a source. The zero value is for rows in the order of their times.
type Watermarks struct {
	Column         string // the TIMESTAMP column with event time; "": the field whose tag says time
	OutOfOrderness time.Duration
	IdleTimeout    time.Duration // a split that is silent for so long does not hold the others back; 0: it does
	Punctuated     string        // an SQL expression instead of OutOfOrderness, as in a job specification
	Generator      func() core.WatermarkGenerator
	MaxDrift       time.Duration // wait for sources of the same Group that are so much behind
	Group          string
	MaxFutureSkew  time.Duration // set rows aside that are so much ahead of the clock
}

func (w Watermarks) plan(schema *core.Schema) (*plan.Watermark, error) {
	if w.Column == "" {
		if schema.TimeColumn < 0 {
			return nil, nil
		}
		w.Column = schema.Fields[schema.TimeColumn].Name
	}
	out := &plan.Watermark{
		Column: w.Column, MaxOutOfOrderness: w.OutOfOrderness, IdleTimeout: w.IdleTimeout, Generator: w.Generator,
		MaxDrift: w.MaxDrift, Group: w.Group, MaxFutureSkew: w.MaxFutureSkew,
	}
	if w.Punctuated != "" {
		e, err := plan.NewExpr(w.Punctuated, schema)
		if err != nil {
			return nil, err
		}
		out.Punctuated = e.Written(plan.Origin{Name: "watermark.punctuated"})
	}
	return out, nil
}

// From reads a connector of the registry. text is the source's block as a job specification has it:
//
//	connector: kafka
//	brokers: localhost:9092
//	topic: rides
//	format: csv
//	watermark: {column: ts, max-out-of-orderness: 5s}
//
// Without a schema key, the columns are T's fields.
func From[T any](e *Env, name, text string) *Stream[T] {
	at := e.place(name)
	record, err := schemaOf(reflect.TypeFor[T]())
	if err != nil {
		e.fail(at, err)
		return broken[T](e)
	}
	node, err := job.Source(at, text, record)
	if err != nil {
		e.fail(at, err)
		return broken[T](e)
	}
	return checked[T](e, at, node, nil)
}

// FromSlice reads rows, in order, as one split. After a failure it goes on at the row after the last checkpoint: rows must be the same then.
func FromSlice[T any](e *Env, name string, rows []T, w Watermarks) *Stream[T] {
	return fromSource[T](e, name, w, "slice", func(c *codec, ctx *connector.SourceContext) core.Source {
		return &sliceSource[T]{rows: rows, codec: c, ctx: ctx}
	})
}

// Reader produces rows, on a goroutine of its own. from is the position of the last row that is not to be produced again, nil at the beginning; emit hands
// a row over, with the position after it, which checkpoints keep. Returning nil ends the input. When ctx ends it returns promptly.
type Reader[T any] func(ctx context.Context, from []byte, emit func(row T, position []byte) error) error

// FromFunc reads rows from a function. It is exactly-once when the function produces the same rows again behind a position.
func FromFunc[T any](e *Env, name string, read Reader[T], w Watermarks) *Stream[T] {
	return fromSource[T](e, name, w, "function", func(c *codec, ctx *connector.SourceContext) core.Source {
		return &funcSource[T]{read: read, codec: c, ctx: ctx}
	})
}

func fromSource[T any](e *Env, name string, w Watermarks, kind string, make1 func(*codec, *connector.SourceContext) core.Source) *Stream[T] {
	at := e.place(name)
	fail := func(err error) *Stream[T] {
		e.fail(at, err)
		return broken[T](e)
	}
	t := reflect.TypeFor[T]()
	record, err := schemaOf(t)
	if err != nil {
		return fail(err)
	}
	marks, err := w.plan(record)
	if err != nil {
		return fail(err)
	}
	config, err := connector.FromYAML(name, nil, "{}")
	if err != nil {
		return fail(err)
	}
	spec := &connector.SourceSpec{Name: kind, Guarantee: "the same rows again after a failure, from the position of the last checkpoint",
		New: func(ctx *connector.SourceContext) (core.Source, error) {
			c, err := newCodecOf(t, ctx.Schema, true)
			if err != nil {
				return nil, err
			}
			return make1(c, ctx), nil
		}}
	plain := core.NewSchema(record.Fields...)
	node, err := plan.NewSource(at, spec, config, plain, nil, connector.FailOnError, marks)
	if err != nil {
		return fail(err)
	}
	return checked[T](e, at, node, nil)
}

// sliceSource reads a slice on the worker 0.
type sliceSource[T any] struct {
	rows  []T
	codec *codec
	ctx   *connector.SourceContext
	at    int
}

func (s *sliceSource[T]) Open(_ context.Context, restored []core.SplitState) error {
	s.at = 0
	for _, r := range restored {
		if len(r.Position) != 8 {
			return fmt.Errorf("the position of %s in the checkpoint is damaged", r.ID)
		}
		s.at = int(binary.LittleEndian.Uint64(r.Position))
	}
	if s.at > len(s.rows) {
		return fmt.Errorf("the checkpoint is behind row %d, but there are only %d", s.at, len(s.rows))
	}
	return nil
}

func (s *sliceSource[T]) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *sliceSource[T]) Close() error                                               { return nil }

func (s *sliceSource[T]) Reader(worker int) (core.SourceReader, error) {
	if worker > 0 {
		return emptyReader{}, nil
	}
	return &sliceReader[T]{s: s, pool: core.NewBatchPool(s.ctx.Account, s.ctx.Schema, s.ctx.BatchRows, 8)}, nil
}

// emptyReader has no split.
type emptyReader struct{}

func (emptyReader) Poll() (core.Event, error)            { return core.Event{Kind: core.EndOfInput}, nil }
func (emptyReader) SetWaker(func())                      {}
func (emptyReader) Snapshot() ([]core.SplitState, error) { return nil, nil }
func (emptyReader) Close() error                         { return nil }

const theSplit = "0"

type sliceReader[T any] struct {
	s       *sliceSource[T]
	pool    *core.BatchPool
	started bool
	ended   bool
}

func (r *sliceReader[T]) SetWaker(func()) {}
func (r *sliceReader[T]) Close() error    { r.pool.Close(); return nil }

func (r *sliceReader[T]) Snapshot() ([]core.SplitState, error) {
	if !r.started {
		return nil, nil
	}
	return []core.SplitState{{ID: theSplit, Position: binary.LittleEndian.AppendUint64(nil, uint64(r.s.at)), Start: make([]byte, 8)}}, nil
}

func (r *sliceReader[T]) Poll() (core.Event, error) {
	s := r.s
	switch {
	case !r.started:
		r.started = true
		return core.Event{Kind: core.SplitStart, ID: theSplit}, nil
	case r.ended:
		return core.Event{Kind: core.EndOfInput}, nil
	case s.at == len(s.rows):
		r.ended = true
		return core.Event{Kind: core.SplitEnd}, nil
	}
	n := min(len(s.rows)-s.at, s.ctx.BatchRows)
	b, err := batchOf(r.pool, s.codec, s.rows[s.at:s.at+n])
	if err != nil {
		return core.Event{}, err
	}
	s.at += n
	return core.Event{Kind: core.DataEvent, Batch: b, Read: int64(n)}, nil
}

// batchOf makes a batch of rows.
func batchOf[T any](pool *core.BatchPool, c *codec, rows []T) (*core.Batch, error) {
	b := pool.Get()
	if err := c.write(b, unsafe.Pointer(unsafe.SliceData(rows)), len(rows)); err != nil {
		b.Release()
		return nil, err
	}
	for _, v := range b.Columns { // columns that no field is for
		v.AppendNulls(len(rows) - v.Len())
	}
	return b, nil
}

// funcSource reads what a function produces.
type funcSource[T any] struct {
	read     Reader[T]
	codec    *codec
	ctx      *connector.SourceContext
	restored []core.SplitState
}

func (s *funcSource[T]) Open(_ context.Context, restored []core.SplitState) error {
	s.restored = restored
	return nil
}
func (s *funcSource[T]) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *funcSource[T]) Close() error                                               { return nil }

func (s *funcSource[T]) Reader(worker int) (core.SourceReader, error) {
	if worker > 0 {
		return emptyReader{}, nil
	}
	f := &funcFetcher[T]{s: s, pool: core.NewBatchPool(s.ctx.Account, s.ctx.Schema, s.ctx.BatchRows, 32), wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	for _, r := range s.restored {
		if len(r.Position) > 0 {
			f.done, f.position = r.Position[0] == positionDone, r.Position[1:]
		}
	}
	return connector.NewAsyncReader(f, connector.AsyncReaderOptions{Runtime: s.ctx.Runtime, Worker: worker, Restored: s.restored}), nil
}

// The first byte of a saved position says whether the function has returned; the rest is its own.
const (
	positionOpen = iota
	positionDone
)

// funcFetcher collects rows from the function's goroutine.
type funcFetcher[T any] struct {
	s      *funcSource[T]
	pool   *core.BatchPool
	cancel context.CancelFunc
	ended  chan struct{}

	started, done, last bool

	mu       sync.Mutex
	rows     []T
	taken    []T
	position []byte
	finished bool
	err      error
	wake     chan struct{} // there are rows, or the end
	room     chan struct{} // rows have been taken
}

func (f *funcFetcher[T]) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel, f.ended = cancel, make(chan struct{})
	from := f.position
	go func() {
		defer close(f.ended)
		err := f.run(ctx, from)
		f.mu.Lock()
		f.finished, f.err = true, err
		f.mu.Unlock()
		notify(f.wake)
	}()
}

func (f *funcFetcher[T]) run(ctx context.Context, from []byte) (err error) {
	at := -1
	defer guard(f.s.ctx.Name, nil, &at, &err)
	return f.s.read(ctx, from, func(row T, position []byte) error {
		f.mu.Lock()
		for len(f.rows) >= f.s.ctx.BatchRows {
			f.mu.Unlock()
			select {
			case <-f.room:
			case <-ctx.Done():
				return ctx.Err()
			}
			f.mu.Lock()
		}
		f.rows = append(f.rows, row)
		f.position = append([]byte{positionOpen}, position...)
		f.mu.Unlock()
		notify(f.wake)
		return ctx.Err()
	})
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Fetch implements connector.Fetcher.
func (f *funcFetcher[T]) Fetch(ctx context.Context) (connector.FetchEvent, error) {
	event := func(e core.Event) (connector.FetchEvent, error) { return connector.FetchEvent{Event: e}, nil }
	switch {
	case !f.started:
		f.started = true
		e := connector.FetchEvent{Event: core.Event{Kind: core.SplitStart, ID: theSplit}}
		if f.done {
			e.Position = []byte{positionDone}
			return e, nil
		}
		if f.position != nil {
			e.Position = append([]byte{positionOpen}, f.position...)
		}
		f.begin() // from here on the position is the function's, which is ahead of what has been fetched
		return e, nil
	case f.done && !f.last:
		f.last = true
		return event(core.Event{Kind: core.SplitEnd})
	case f.done:
		return event(core.Event{Kind: core.EndOfInput})
	}
	for {
		f.mu.Lock()
		rows, position, finished, err := f.rows, f.position, f.finished, f.err
		f.rows, f.taken = f.taken[:0], rows
		f.mu.Unlock()
		if len(rows) > 0 {
			notify(f.room)
			b, err := batchOf(f.pool, f.s.codec, rows)
			if err != nil {
				return connector.FetchEvent{}, err
			}
			return connector.FetchEvent{Event: core.Event{Kind: core.DataEvent, Batch: b, Read: int64(len(rows))}, Position: position}, nil
		}
		if finished {
			if err != nil {
				return connector.FetchEvent{}, err
			}
			f.done, f.last = true, true
			return connector.FetchEvent{Event: core.Event{Kind: core.SplitEnd}, Position: []byte{positionDone}}, nil
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return connector.FetchEvent{}, ctx.Err()
		}
	}
}

// Close implements connector.Fetcher.
func (f *funcFetcher[T]) Close() error {
	if f.cancel != nil {
		f.cancel()
		<-f.ended
	}
	f.pool.Close()
	return nil
}
