package streamtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"turbo/core"
	"turbo/io/connector"
	"turbo/plan"
	"turbo/stream"
)

// Source makes a stream for a piece of a program: what Input pushes under that name. A field of T whose tag says time is event time.
func Source[T any](job *stream.Env, name string) *stream.Stream[T] {
	return stream.FromSlice[T](job, name, nil, stream.Watermarks{})
}

// In is the pushing end of a source.
type In[T any] struct {
	h     *Harness
	s     *source
	codec *stream.Codec[T]
}

// Input returns the pushing end of the source of that name. T has the source's columns, or those that the test wants to fill.
func Input[T any](h *Harness, name string) *In[T] {
	in := &In[T]{h: h}
	if h.err != nil {
		return in
	}
	if h.t != nil {
		h.t.Helper()
	}
	s := end(h, h.inputs, "source", name)
	if s == nil {
		return in
	}
	c, err := stream.NewCodec[T](s.ctx.Schema)
	if h.fail(err) == nil {
		in.s, in.codec = s, c
	}
	return in
}

// end finds a source or sink of the job. Nil: there is none of that name, which fails the harness.
func end[E any](h *Harness, ends map[string]*E, what, name string) *E {
	if h.t != nil {
		h.t.Helper()
	}
	e := ends[name]
	if e == nil {
		_ = h.fail(fmt.Errorf("job %s has no %s %s%s", h.plan.Settings.Name, what, name, near(name, slices.Sorted(maps.Keys(ends)))))
	}
	return e
}

// Push gives rows to the job, in order, and returns when all that follows from them has happened.
func (in *In[T]) Push(rows ...T) error {
	if in.h.t != nil {
		in.h.t.Helper()
	}
	if in.h.err != nil {
		return in.h.err
	}
	if in.s.over {
		return in.h.fail(fmt.Errorf("source %s: rows are pushed after its end", in.s.name))
	}
	for len(rows) > 0 && !in.h.closed {
		n := min(len(rows), in.s.ctx.BatchRows)
		b := in.s.pool.Get()
		if err := in.codec.Append(b, rows[:n]); err != nil {
			b.Release()
			return in.h.fail(fmt.Errorf("source %s: %w", in.s.name, err))
		}
		in.s.queue = append(in.s.queue, core.Event{Kind: core.DataEvent, Batch: b, Read: int64(n)})
		rows = rows[n:]
	}
	return in.h.fail(in.h.settle())
}

// Watermark says that no row with an event time of t or before will be pushed.
func (in *In[T]) Watermark(t time.Time) error {
	if in.h.t != nil {
		in.h.t.Helper()
	}
	switch {
	case in.h.err != nil:
		return in.h.err
	case !in.s.timed:
		return in.h.fail(fmt.Errorf("source %s has no event time: say so in the tag of a field, as in `turbo:\"ts,TIMESTAMP(3),time\"`", in.s.name))
	case in.h.own:
		return in.h.fail(fmt.Errorf("source %s makes its own watermarks: that is what OwnWatermarks says", in.s.name))
	case in.s.over:
		return in.h.fail(fmt.Errorf("source %s: a watermark is pushed after its end", in.s.name))
	}
	in.s.queue = append(in.s.queue, core.Event{Kind: markEvent})
	in.s.marks = append(in.s.marks, core.Time(t.UnixMicro()))
	return in.h.fail(in.h.settle())
}

// End says that nothing more comes: the source holds no window open any more, and when all sources have ended, all windows speak.
func (in *In[T]) End() error {
	if in.h.t != nil {
		in.h.t.Helper()
	}
	if in.h.err != nil {
		return in.h.err
	}
	if !in.s.over {
		in.s.over = true
		in.s.queue = append(in.s.queue, core.Event{Kind: core.SplitEnd}, core.Event{Kind: core.EndOfInput})
	}
	return in.h.fail(in.h.settle())
}

// Out is the reading end of a sink.
type Out[T any] struct {
	h     *Harness
	s     *sink
	codec *stream.Codec[T]
}

// Output returns the reading end of the sink of that name. T names some of its columns.
func Output[T any](h *Harness, name string) *Out[T] {
	out := &Out[T]{h: h}
	if h.err != nil {
		return out
	}
	if h.t != nil {
		h.t.Helper()
	}
	s := end(h, h.outputs, "sink", name)
	if s == nil {
		return out
	}
	c, err := stream.NewCodec[T](s.ctx.Schema)
	if h.fail(err) == nil {
		out.s, out.codec = s, c
	}
	return out
}

// Rows returns the rows that came since the last call, in the order in which each worker wrote them. It returns nil after an error: see Harness.Err.
func (o *Out[T]) Rows() []T {
	if o.h.t != nil {
		o.h.t.Helper()
	}
	if o.h.err != nil {
		return nil
	}
	var out []T
	for _, b := range o.s.taken {
		var err error
		if out, err = o.codec.Read(b, out); err != nil {
			_ = o.h.fail(fmt.Errorf("sink %s: %w", o.s.name, err))
			return nil
		}
	}
	o.s.clear()
	return out
}

// markEvent, in a source's queue, is a watermark.
const markEvent core.EventKind = 0xff

// source gives what a test pushes, on worker 0. The generator of its watermarks is itself.
type source struct {
	name  string
	ctx   *connector.SourceContext
	pool  *core.BatchPool
	timed bool

	queue []core.Event
	marks []core.Time // of the watermarks in it
	mark  core.Time   // said, but not seen: nothing else is given meanwhile
	news  bool        // the workers must be run again for it
	over  bool        // it has been told to end, maybe before the snapshot
	ended bool        // the split has ended
	begun bool
}

// newSource replaces the connector of a source.
func newSource(h *Harness, n *plan.Source) *source {
	s := &source{name: n.Name, timed: n.Watermark != nil, mark: core.MinTime}
	spec := *n.Spec
	spec.New = func(ctx *connector.SourceContext) (core.Source, error) {
		s.ctx = ctx
		return s, nil
	}
	n.Spec, n.OnError = &spec, connector.FailOnError
	if n.Watermark != nil && !h.own {
		n.Watermark = &plan.Watermark{Column: n.Watermark.Column, Generator: func() core.WatermarkGenerator { return s }}
	}
	return s
}

// Observe implements core.WatermarkGenerator.
func (s *source) Observe(*core.Batch) (core.Time, error) { return core.MinTime, nil }

// Tick implements core.WatermarkGenerator.
func (s *source) Tick(core.Time) core.Time {
	t := s.mark
	s.mark = core.MinTime
	return t
}

// Open implements core.Source.
func (s *source) Open(_ context.Context, restored []core.SplitState) error {
	for _, r := range restored {
		s.over = s.over || len(r.Position) == 1 && r.Position[0] == positionEnded
	}
	if s.over {
		s.queue = append(s.queue, core.Event{Kind: core.SplitEnd}, core.Event{Kind: core.EndOfInput})
	}
	s.pool = core.NewBatchPool(s.ctx.Account, s.ctx.Schema, s.ctx.BatchRows, 8)
	return nil
}

// Reader implements core.Source.
func (s *source) Reader(worker int) (core.SourceReader, error) {
	if worker > 0 {
		return nothing{}, nil
	}
	return &reader{s}, nil
}

// Committed implements core.Source.
func (s *source) Committed(context.Context, uint64, []core.SplitState) error { return nil }

// Close implements core.Source.
func (s *source) Close() error {
	for _, e := range s.queue {
		if e.Batch != nil {
			e.Batch.Release()
		}
	}
	s.queue = nil
	if s.pool != nil {
		s.pool.Close()
	}
	return nil
}

// What a snapshot says of a source.
const (
	positionOpen byte = iota
	positionEnded
)

type reader struct{ s *source }

// Poll implements core.SourceReader.
func (r *reader) Poll() (core.Event, error) {
	s := r.s
	if !s.begun {
		s.begun = true
		return core.Event{Kind: core.SplitStart, ID: "0"}, nil
	}
	if len(s.queue) == 0 || s.mark != core.MinTime {
		if s.ended {
			return core.Event{Kind: core.EndOfInput}, nil
		}
		return core.Event{}, nil
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	switch e.Kind {
	case markEvent:
		s.mark, s.marks, s.news = s.marks[0], s.marks[1:], true
		return core.Event{}, nil
	case core.SplitEnd:
		s.ended = true
	}
	return e, nil
}

// SetWaker implements core.SourceReader: the harness runs the workers after each push.
func (r *reader) SetWaker(func()) {}

// Snapshot implements core.SourceReader.
func (r *reader) Snapshot() ([]core.SplitState, error) {
	at := positionOpen
	if r.s.ended {
		at = positionEnded
	}
	return []core.SplitState{{ID: "0", Position: []byte{at}}}, nil
}

// Close implements core.SourceReader.
func (r *reader) Close() error { return nil }

// nothing is the reader of the other workers.
type nothing struct{}

func (nothing) Poll() (core.Event, error)            { return core.Event{Kind: core.EndOfInput}, nil }
func (nothing) SetWaker(func())                      {}
func (nothing) Snapshot() ([]core.SplitState, error) { return nil, nil }
func (nothing) Close() error                         { return nil }

// sink keeps what is written.
type sink struct {
	name  string
	ctx   *connector.SinkContext
	taken []*core.Batch
}

// newSink replaces the connector of a sink.
func newSink(n *plan.Sink) *sink {
	s := &sink{name: n.Name}
	spec := *n.Spec
	spec.Fields = nil
	spec.New = func(ctx *connector.SinkContext) (core.Sink, error) {
		s.ctx = ctx
		return s, nil
	}
	n.Spec = &spec
	return s
}

func (s *sink) clear() {
	for _, b := range s.taken {
		b.Release()
	}
	s.taken = nil
}

// Open implements core.Sink.
func (s *sink) Open(context.Context, *core.RestoredSink) error { return nil }

// Writer implements core.Sink. All workers are run by one goroutine.
func (s *sink) Writer(int) (core.SinkWriter, error) { return writer{s}, nil }

// Commit implements core.Sink.
func (s *sink) Commit(context.Context, core.CommitInfo, [][]byte) error { return nil }

// Close implements core.Sink.
func (s *sink) Close() error { return nil }

type writer struct{ s *sink }

// Write implements core.SinkWriter.
func (w writer) Write(b *core.Batch) error {
	w.s.taken = append(w.s.taken, b)
	return nil
}

func (writer) Full() bool                                         { return false }
func (writer) SetWaker(func())                                    {}
func (writer) Prepare(_ uint64, _ bool, done func([]byte, error)) { done(nil, nil) }
func (writer) Close() error                                       { return nil }
