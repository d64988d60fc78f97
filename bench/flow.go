package bench

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/io/connector"
	"turbo/memory"
)

// A flow is a job of a source, a hash exchange and a sink, two workers each, whose rows carry the time at which they should have been
// sent. With a rate the source sends on schedule, whatever happens, and the sink measures each row's way from its intended time: a
// stall is seen by all rows that it holds up. Without one it sends as fast as it can.
type flow struct {
	timeout       time.Duration // the knob
	flushWhenIdle bool
	rows          int     // all rows of a worker's source
	hand          int     // rows that the source hands over at a time, at most
	rate          float64 // rows a second and worker; 0: as fast as it goes
	stampSent     bool    // measure from the time at which a row was sent, not from when it should have been
	queued        bool    // source and sink are goroutines of their own behind queues, as connectors are
	busy          bool    // both workers have other work all the time
	dir           string
}

const flowWorkers = 2

var flowSchema = core.NewSchema(core.Field{Name: "key", Type: core.Of(core.Int64).Required()},
	core.Field{Name: "at", Type: core.Of(core.Int64).Required()}, core.Field{Name: "value", Type: core.Of(core.Int64).Required()})

// flowResult is what a sink's worker saw.
type flowResult struct {
	rows, keys, values int64
	delays             *hdrhistogram.Histogram // µs
	_                  [64]byte
}

// warmUp is how long rows are sent before their delays count.
const warmUp = 300 * time.Millisecond

// run runs the flow once. delays is nil without a rate and without stampSent.
func (f flow) run(ctx context.Context) (Run, *hdrhistogram.Histogram, error) {
	pool := newPool()
	out := make([]*flowResult, flowWorkers)
	for w := range out {
		out[w] = &flowResult{delays: hdrhistogram.New(1, 60_000_000, 3)}
	}
	watch := newStopwatch(flowWorkers)
	runtimeOf := func(name string) connector.Runtime {
		return connector.Runtime{Name: name, Parallelism: flowWorkers, BatchRows: 4096, BufferTimeout: f.timeout, Account: pool.Account(name), Clock: clock.Real()}
	}
	measured := f.rate > 0 || f.stampSent
	take := func(w int, b *core.Batch) {
		out[w].take(b, measured)
		watch.end(w)
	}
	src := &task.Node{ID: "src", Label: "source", Schema: flowSchema, Source: func() (core.Source, error) {
		return readers(func(w int) core.SourceReader {
			sender := newFlowSender(f, w, pool.Account("source"), watch.begin)
			if f.queued {
				return connector.NewAsyncReader(&flowFetcher{flowSender: sender}, connector.AsyncReaderOptions{Runtime: runtimeOf("source"), Worker: w})
			}
			return &flowReader{flowSender: sender}
		}), nil
	}}
	sink := &task.Node{ID: "sink", Label: "sink", Schema: flowSchema, Inputs: hashed(src, 0), Sink: func() (core.Sink, error) {
		if f.queued {
			return queuedConsumer{consumer{take}, runtimeOf("sink")}, nil
		}
		return consumer{take}, nil
	}}
	nodes := []*task.Node{src, sink}
	if f.busy {
		stop := make(chan struct{})
		load := &task.Node{ID: "load", Label: "other work", Schema: flowSchema, Source: func() (core.Source, error) {
			return readers(func(w int) core.SourceReader {
				other := f
				other.rate, other.stampSent, other.hand, other.rows = 0, false, 4096, math.MaxInt
				return &flowReader{flowSender: newFlowSender(other, w, pool.Account("load"), nil), until: stop}
			}), nil
		}}
		drop := &task.Node{ID: "drop", Label: "other work's end", Schema: flowSchema, Inputs: forward(load), Sink: func() (core.Sink, error) {
			return consumer{func(int, *core.Batch) {}}, nil
		}}
		nodes = append(nodes, load, drop)
		timer := time.AfterFunc(time.Duration(float64(f.rows)/f.rate*1e9)+warmUp, func() { close(stop) })
		defer timer.Stop()
	}
	_, err := graphRun{name: "flow", workers: flowWorkers, dir: f.dir, nodes: nodes,
		options: task.Options{BatchRows: 4096, BufferTimeout: f.timeout, FlushWhenIdle: f.flushWhenIdle, Memory: pool}}.run(ctx)
	if err != nil {
		return Run{}, nil, err
	}
	all := hdrhistogram.New(1, 60_000_000, 3)
	var got flowResult
	for _, x := range out {
		all.Merge(x.delays)
		got.rows, got.keys, got.values = got.rows+x.rows, got.keys+x.keys, got.values+x.values
	}
	r := Run{Rows: got.rows, Elapsed: watch.elapsed()}
	return r, all, f.check(got)
}

// check compares what came with what was sent.
func (f flow) check(got flowResult) error {
	var want flowResult
	for w := range flowWorkers {
		for i := range f.rows {
			want.keys += flowKey(w, i)
		}
		want.rows += int64(f.rows)
		want.values += int64(f.rows) * int64(f.rows-1) / 2
	}
	if got.rows != want.rows || got.keys != want.keys || got.values != want.values {
		return fmt.Errorf("%d rows came with sums %d and %d, want %d with %d and %d", got.rows, got.keys, got.values, want.rows, want.keys, want.values)
	}
	return nil
}

func flowKey(worker, i int) int64 { return int64(hash.Mix(uint64(2*i+worker)) >> 40) }

func (r *flowResult) take(b *core.Batch, measured bool) {
	keys, at, values := b.Columns[0].Int64s(), b.Columns[1].Int64s(), b.Columns[2].Int64s()
	var k, v int64
	for i := range keys {
		k += keys[i]
		v += values[i]
	}
	r.rows, r.keys, r.values = r.rows+int64(len(keys)), r.keys+k, r.values+v
	if !measured {
		return
	}
	now := clock.Real().Nanos()
	for _, t := range at {
		if t != 0 {
			_ = r.delays.RecordValue(max((now-t)/1000, 1)) // out of range is beyond a minute: the answer would be late too
		}
	}
}

// flowSender makes the rows of one worker's source.
type flowSender struct {
	flow
	worker  int
	begin   func(worker int)
	batches *core.BatchPool
	sent    int
	start   int64 // Nanos
}

func newFlowSender(f flow, worker int, account *memory.Account, begin func(int)) flowSender {
	return flowSender{flow: f, worker: worker, begin: begin, batches: core.NewBatchPool(account, flowSchema, min(f.hand, 4096), 64)}
}

// next returns the rows that are due at now, at most hand, or nil; and when the next one is due.
func (s *flowSender) next(now int64) (b *core.Batch, due int64) {
	if s.start == 0 {
		s.start = now
		if s.begin != nil {
			s.begin(s.worker)
		}
	}
	n := min(s.hand, s.rows-s.sent)
	if s.rate > 0 {
		n = min(n, int(float64(now-s.start)*s.rate/1e9)-s.sent)
		if n <= 0 {
			return nil, s.intended(s.sent + 1)
		}
	}
	b = s.batches.Get()
	for _, c := range b.Columns {
		c.Extend(n)
	}
	keys, at, values := b.Columns[0].Int64s(), b.Columns[1].Int64s(), b.Columns[2].Int64s()
	for i := range keys {
		keys[i] = flowKey(s.worker, s.sent+i)
		values[i] = int64(s.sent + i)
	}
	switch {
	case now-s.start < int64(warmUp) && (s.rate > 0 || s.stampSent):
		clear(at)
	case s.stampSent:
		for i := range at {
			at[i] = now
		}
	case s.rate > 0:
		for i := range at {
			at[i] = s.intended(s.sent + i + 1)
		}
	default:
		clear(at)
	}
	b.Len = n
	s.sent += n
	return b, 0
}

// intended is when the n-th row is due: it is sent when n rows should have been.
func (s *flowSender) intended(n int) int64 { return s.start + int64(float64(n)/s.rate*1e9) }

// flowReader is a sender on the worker.
type flowReader struct {
	flowSender
	announced, ended bool
	due              int64
	until            <-chan struct{} // ends it before its rows do
}

func (r *flowReader) Poll() (core.Event, error) {
	if !r.announced {
		r.announced = true
		return core.Event{Kind: core.SplitStart, ID: fmt.Sprint("flow", r.worker)}, nil
	}
	select {
	case <-r.until:
		r.rows = r.sent
	default:
	}
	if r.sent == r.rows {
		if r.ended {
			return core.Event{}, nil
		}
		r.ended, r.due = true, 0
		return core.Event{Kind: core.EndOfInput}, nil
	}
	b, due := r.next(clock.Real().Nanos())
	if r.due = due; b == nil {
		return core.Event{}, nil
	}
	return core.Event{Kind: core.DataEvent, Batch: b, Read: int64(b.Len)}, nil
}

// Deadline has the worker poll when the next row is due.
func (r *flowReader) Deadline() int64 { return r.due }

func (r *flowReader) SetWaker(func())                      {}
func (r *flowReader) Snapshot() ([]core.SplitState, error) { return nil, nil }
func (r *flowReader) Close() error                         { r.batches.Close(); return nil }

// flowFetcher is a sender on a goroutine of its own.
type flowFetcher struct {
	flowSender
	announced bool
}

func (r *flowFetcher) Fetch(ctx context.Context) (connector.FetchEvent, error) {
	if !r.announced {
		r.announced = true
		return connector.FetchEvent{Event: core.Event{Kind: core.SplitStart, ID: fmt.Sprint("flow", r.worker)}}, nil
	}
	for {
		if r.sent == r.rows {
			return connector.FetchEvent{Event: core.Event{Kind: core.EndOfInput}}, nil
		}
		now := clock.Real().Nanos()
		b, due := r.next(now)
		if b != nil {
			return connector.FetchEvent{Event: core.Event{Kind: core.DataEvent, Batch: b, Read: int64(b.Len)}}, nil
		}
		time.Sleep(time.Duration(due - now))
		if err := ctx.Err(); err != nil {
			return connector.FetchEvent{}, err
		}
	}
}

func (r *flowFetcher) Close() error { r.batches.Close(); return nil }

// readers is a source whose readers a function makes.
type readers func(worker int) core.SourceReader

func (r readers) Open(context.Context, []core.SplitState) error              { return nil }
func (r readers) Reader(w int) (core.SourceReader, error)                    { return r(w), nil }
func (r readers) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (r readers) Close() error                                               { return nil }

// queuedConsumer is a consumer on goroutines of its own.
type queuedConsumer struct {
	consumer
	runtime connector.Runtime
}

func (c queuedConsumer) Writer(w int) (core.SinkWriter, error) {
	return connector.NewAsyncWriter(blockingConsumer{c.consumer, w}, connector.AsyncWriterOptions{Runtime: c.runtime, Worker: w}), nil
}

type blockingConsumer struct {
	consumer
	worker int
}

func (c blockingConsumer) Write(_ context.Context, b *core.Batch) error {
	c.take(c.worker, b)
	b.Release()
	return nil
}
func (blockingConsumer) Tick(context.Context, time.Time) error                 { return nil }
func (blockingConsumer) Prepare(context.Context, uint64, bool) ([]byte, error) { return nil, nil }
func (blockingConsumer) Close() error                                          { return nil }
