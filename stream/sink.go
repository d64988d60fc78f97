package stream

import (
	"context"
	"encoding/binary"
	"reflect"
	"sync"
	"time"

	"turbo/core"
	"turbo/io/connector"
	"turbo/job"
	"turbo/plan"
)

// To ends the stream in a connector of the registry. text is the sink's block as a job specification has it, without from:
//
//	connector: file
//	path: ./out
//	format: parquet
func (s *Stream[T]) To(name, text string) {
	at := s.env.place(name)
	if s.node == nil {
		return
	}
	sink, err := job.Sink(at, text, s.node)
	if err != nil {
		s.env.fail(at, err)
		return
	}
	s.env.sinks = append(s.env.sinks, sink)
}

// ToFunc ends the stream in a function that gets rows as they come, at least once: after a failure those since the last checkpoint come again.
// It is called by one goroutine a worker, and may block; the slice is only valid during the call.
func (s *Stream[T]) ToFunc(name string, write func(ctx context.Context, rows []T) error) {
	s.end(name, "function", "at least once", func(c *codec, ctx *connector.SinkContext) core.Sink {
		return &funcSink[T]{name: name, write: write, codec: c, ctx: ctx}
	})
}

// Collected is the rows that a stream came to, each once, known when Execute has returned.
type Collected[T any] struct {
	mu   sync.Mutex
	rows []T
	last uint64
}

// Rows returns them. Rows of one worker are in its order; those of several workers are not in any.
func (c *Collected[T]) Rows() []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows
}

// Collect ends the stream in memory.
func (s *Stream[T]) Collect(name string) *Collected[T] {
	out := &Collected[T]{}
	s.end(name, "collect", "exactly once, within one process", func(c *codec, ctx *connector.SinkContext) core.Sink {
		return &collectSink[T]{to: out, codec: c, parts: map[uint64][]T{}}
	})
	return out
}

func (s *Stream[T]) end(name, kind, guarantee string, make1 func(*codec, *connector.SinkContext) core.Sink) {
	at := s.env.place(name)
	if s.node == nil {
		return
	}
	spec := &connector.SinkSpec{Name: kind, Guarantee: guarantee, New: func(ctx *connector.SinkContext) (core.Sink, error) {
		c, err := newCodec(reflect.TypeFor[T](), ctx.Schema)
		if err != nil {
			return nil, err
		}
		return make1(c, ctx), nil
	}}
	config, err := connector.FromYAML(name, nil, "{}")
	if err == nil {
		var sink *plan.Sink
		if sink, err = plan.NewSink(at, s.node, spec, config, ""); err == nil {
			s.env.sinks = append(s.env.sinks, sink)
			return
		}
	}
	s.env.fail(at, err)
}

type funcSink[T any] struct {
	name  string
	write func(context.Context, []T) error
	codec *codec
	ctx   *connector.SinkContext
}

func (s *funcSink[T]) Open(context.Context, *core.RestoredSink) error          { return nil }
func (s *funcSink[T]) Commit(context.Context, core.CommitInfo, [][]byte) error { return nil }
func (s *funcSink[T]) Close() error                                            { return nil }
func (s *funcSink[T]) Writer(int) (core.SinkWriter, error) {
	w := &funcWriter[T]{s: s, in: typed[T]{codec: s.codec}}
	return connector.NewAsyncWriter(w, connector.AsyncWriterOptions{Runtime: s.ctx.Runtime}), nil
}

type funcWriter[T any] struct {
	s  *funcSink[T]
	in typed[T]
}

// Write implements connector.Writer.
func (w *funcWriter[T]) Write(ctx context.Context, b *core.Batch) (err error) {
	defer b.Release()
	at := -1
	defer guard(w.s.name, b, &at, &err)
	if err := w.in.read(b); err != nil {
		at = rowOf(err)
		return err
	}
	return w.s.write(ctx, w.in.rows)
}

// Tick implements connector.Writer.
func (w *funcWriter[T]) Tick(context.Context, time.Time) error { return nil }

// Prepare implements connector.Writer.
func (w *funcWriter[T]) Prepare(context.Context, uint64, bool) ([]byte, error) { return nil, nil }

// Close implements connector.Writer.
func (w *funcWriter[T]) Close() error { return nil }

// collectSink keeps rows by part until their checkpoint is complete.
type collectSink[T any] struct {
	to    *Collected[T]
	codec *codec
	mu    sync.Mutex
	parts map[uint64][]T
	next  uint64
}

func (s *collectSink[T]) Open(context.Context, *core.RestoredSink) error { return nil }
func (s *collectSink[T]) Close() error                                   { return nil }
func (s *collectSink[T]) Writer(int) (core.SinkWriter, error) {
	return &collectWriter[T]{s: s, in: typed[T]{codec: s.codec}}, nil
}

// Commit implements core.Sink. Parts of a process that is gone are gone, too: they are committed there, or come again.
func (s *collectSink[T]) Commit(_ context.Context, info core.CommitInfo, parts [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	if info.Checkpoint <= s.to.last {
		return nil
	}
	s.to.last = info.Checkpoint
	for _, p := range parts {
		if len(p) == 8 {
			id := binary.LittleEndian.Uint64(p)
			s.to.rows = append(s.to.rows, s.parts[id]...)
			delete(s.parts, id)
		}
	}
	return nil
}

type collectWriter[T any] struct {
	s    *collectSink[T]
	in   typed[T]
	rows []T
}

func (w *collectWriter[T]) Full() bool      { return false }
func (w *collectWriter[T]) SetWaker(func()) {}
func (w *collectWriter[T]) Close() error    { return nil }

// Write implements core.SinkWriter.
func (w *collectWriter[T]) Write(b *core.Batch) error {
	defer b.Release()
	if err := w.in.read(b); err != nil {
		return err
	}
	w.rows = append(w.rows, w.in.rows...)
	return nil
}

// Prepare implements core.SinkWriter.
func (w *collectWriter[T]) Prepare(_ uint64, _ bool, done func([]byte, error)) {
	w.s.mu.Lock()
	w.s.next++
	id := w.s.next
	w.s.parts[id], w.rows = w.rows, nil
	w.s.mu.Unlock()
	done(binary.LittleEndian.AppendUint64(nil, id), nil)
}
