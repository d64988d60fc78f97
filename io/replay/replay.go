// Package replay is the source connector "replay": files, read as the connector file reads them, whose rows are served by their event time,
// at a chosen speed and out of order by a seeded delay. For demos, for tests of out-of-order streams, and for running history as if it were live.
//
// Invariants:
//
//  1. The order in which rows are served depends on the files, the seed and the bound of delay alone, not on speed, batches or restarts: a
//     position is the number of rows that were served, and rows before it are read again and passed over.
//  2. A row is served only when no row that comes later in the files can have to be served before it. That needs files in the order of time; a row
//     that goes back in time is served as soon as it is read.
package replay

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"turbo/core"
	"turbo/core/hash"
	"turbo/io/connector"
	_ "turbo/io/file" // reads the files
)

func init() {
	files := connector.LookupSource("file")
	fields := slices.Clone(files.Fields)
	for i := range fields {
		if fields[i].Name == "watch" {
			fields[i].Doc, fields[i].Example = "Refused: the files of a replay are those that are there at its start.", ""
		}
	}
	connector.RegisterSource(connector.SourceSpec{
		Name:    "replay",
		Summary: "Files whose rows are served by their event time, at any speed, out of order if wanted",
		Description: `Reads files as the connector file does, and serves each row at its time: the first one at once, a row an hour later after an hour divided by
` + "`serving-speed`" + `. Each row is delayed by a random time up to ` + "`max-serving-delay`" + ` of its own time scale, so rows come out of order by up to that. The
files should be in the order of the column ` + "`time`" + `. One worker reads them.`,
		Guarantee: "exactly once: the number of rows served is in the checkpoint",
		Fields: append(fields,
			connector.Field{Name: "time", Type: connector.String, Required: true, Example: "ts", Doc: "The TIMESTAMP column by which rows are served. Rows without a time are served at once."},
			connector.Field{Name: "serving-speed", Type: connector.Float, Default: "0", Min: "0", Doc: "How much faster than in the column time passes: 600 serves ten minutes in a second; 0: as fast as possible."},
			connector.Field{Name: "max-serving-delay", Type: connector.Duration, Default: "0", Identity: true, Doc: "Each row is served later than its time by a random part of this."},
			connector.Field{Name: "seed", Type: connector.Int, Default: "1", Identity: true, Doc: "Another seed gives other delays."}),
		Metadata:      files.Metadata,
		DefaultSchema: files.DefaultSchema,
		New: func(c *connector.SourceContext) (core.Source, error) {
			if c.Config.Has("watch") {
				return nil, c.Config.Errorf("watch", "a replay reads the files that are there at its start; the connector file watches a directory")
			}
			one := *c
			one.Parallelism = 1
			inner, err := files.New(&one)
			if err != nil {
				return nil, err
			}
			s := &source{inner: inner, c: c, time: -1, speed: c.Config.Float("serving-speed"), delay: c.Config.Duration("max-serving-delay"), seed: uint64(c.Config.Int("seed"))}
			name := c.Config.String("time")
			if c.Record != nil {
				i := c.Record.Index(name)
				if i < 0 {
					return nil, c.Config.Errorf("time", "there is no column %s", core.QuoteName(name))
				}
				if !c.Record.Fields[i].Type.Kind.IsTime() {
					return nil, c.Config.Errorf("time", "rows are served by a TIMESTAMP or TIMESTAMP_LTZ column, %s is %s", core.QuoteName(name), c.Record.Fields[i].Type.Optional())
				}
				if i < len(c.Columns) {
					s.time = c.Columns[i]
				}
				if s.time < 0 {
					return nil, c.Config.Errorf("time", "the column %s is not read by the job: use it in a stream, or as the watermark's column", core.QuoteName(name))
				}
			}
			return s, nil
		},
	})
}

type source struct {
	inner core.Source
	c     *connector.SourceContext
	time  int // column of the schema
	speed float64
	delay time.Duration
	seed  uint64

	restored []core.SplitState
}

// Open implements core.Source. The files are always read from their beginning.
func (s *source) Open(ctx context.Context, restored []core.SplitState) error {
	s.restored = restored
	return s.inner.Open(ctx, nil)
}

func (s *source) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *source) Close() error                                               { return s.inner.Close() }

// Validate implements core.Validator.
func (s *source) Validate(ctx context.Context) error {
	if v, ok := s.inner.(core.Validator); ok {
		return v.Validate(ctx)
	}
	return nil
}

const splitID = "replay"

func (s *source) Reader(worker int) (core.SourceReader, error) {
	if worker > 0 {
		return none{}, nil
	}
	r, err := s.inner.Reader(0)
	if err != nil {
		return nil, err
	}
	f := &fetcher{s: s, inner: r, wake: make(chan struct{}, 1), pool: core.NewBatchPool(s.c.Account, s.c.Schema, s.c.BatchRows, 32)}
	r.SetWaker(func() {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	})
	for _, p := range s.restored {
		if p.ID != splitID || len(p.Position) != 16 {
			return nil, fmt.Errorf("source %s: the checkpoint has the split %s of another connector", s.c.Name, p.ID)
		}
		f.skip = position{int64(binary.LittleEndian.Uint64(p.Position)), int64(binary.LittleEndian.Uint64(p.Position[8:]))}
	}
	return connector.NewAsyncReader(f, connector.AsyncReaderOptions{Runtime: s.c.Runtime, Worker: worker, Restored: s.restored}), nil
}

// none is the reader of the workers that have nothing to read.
type none struct{}

func (none) Poll() (core.Event, error)            { return core.Event{Kind: core.EndOfInput}, nil }
func (none) SetWaker(func())                      {}
func (none) Snapshot() ([]core.SplitState, error) { return nil, nil }
func (none) Close() error                         { return nil }

// position counts what was served.
type position struct{ rows, letters int64 }

// held is a batch of the files with rows that wait.
type held struct {
	batch *core.Batch
	left  int
}

// waiting is a row and when it is to be served, on the time scale of the files.
type waiting struct {
	at     core.Time
	number int64 // in the files
	row    int32
	in     *held
}

type queue []waiting

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].number < q[j].number
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(waiting)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// fetcher is the blocking side of the reader.
type fetcher struct {
	s     *source
	inner core.SourceReader
	wake  chan struct{}
	pool  *core.BatchPool
	skip  position // what was served before the restart

	started, ended, over bool
	read                 int64
	queue                queue
	reached              core.Time // no row that comes will be served before
	ready                []waiting // rows to serve, in order
	served               position
	origin               time.Time // when the first row was served
	first                core.Time
	skipped              int64 // undecodable records that were passed over, not reported yet
	buffer               [16]byte
}

// Close implements connector.Fetcher.
func (f *fetcher) Close() error {
	for _, w := range append(f.queue, f.ready...) {
		f.drop(w)
	}
	f.queue, f.ready = nil, nil
	f.pool.Close()
	return f.inner.Close()
}

func (f *fetcher) drop(w waiting) {
	if w.in.left--; w.in.left == 0 {
		w.in.batch.Release()
	}
}

func (f *fetcher) event(e core.Event) connector.FetchEvent {
	binary.LittleEndian.PutUint64(f.buffer[:], uint64(f.served.rows))
	binary.LittleEndian.PutUint64(f.buffer[8:], uint64(f.served.letters))
	return connector.FetchEvent{Event: e, Position: f.buffer[:]}
}

// Fetch implements connector.Fetcher.
func (f *fetcher) Fetch(ctx context.Context) (connector.FetchEvent, error) {
	if !f.started {
		f.started = true
		f.served = f.skip
		e := f.event(core.Event{Kind: core.SplitStart, ID: splitID})
		f.served = position{}
		return e, nil
	}
	for {
		if e, ok, err := f.serve(ctx); ok || err != nil {
			return e, err
		}
		if f.ended {
			if !f.over {
				f.over = true
				return f.event(core.Event{Kind: core.SplitEnd}), nil
			}
			return connector.FetchEvent{Event: core.Event{Kind: core.EndOfInput}}, nil
		}
		e, err := f.inner.Poll()
		if err != nil {
			return connector.FetchEvent{}, err
		}
		switch e.Kind {
		case core.NoEvent:
			select {
			case <-f.wake:
			case <-time.After(100 * time.Millisecond): // the reader holds small batches back, and tells by its deadline only
			case <-ctx.Done():
				return connector.FetchEvent{}, ctx.Err()
			}
		case core.DataEvent:
			f.skipped += e.Skipped
			if e.Batch != nil {
				f.take(e.Batch)
			}
		case core.DeadLetter:
			if f.served.letters++; f.served.letters > f.skip.letters {
				return f.event(core.Event{Kind: core.DeadLetter, Batch: e.Batch, Read: e.Read, DeadLettered: e.DeadLettered}), nil
			}
			e.Batch.Release()
		case core.EndOfInput:
			f.ended, f.reached = true, core.MaxTime
		}
	}
}

// take puts the rows of a batch into the queue.
func (f *fetcher) take(b *core.Batch) {
	n := b.Rows()
	if n == 0 {
		b.Release()
		return
	}
	h := &held{b, n}
	times := b.Columns[f.s.time]
	for i := range n {
		row := b.Row(i)
		w := waiting{at: f.reached, number: f.read, row: int32(row), in: h}
		f.read++
		if !times.Null(row) {
			at := core.Time(times.Int64s()[row])
			f.reached = max(f.reached, at)
			if bound := uint64(f.s.delay / time.Microsecond); bound > 0 {
				at += core.Time(hash.Int64(int64(f.s.seed)^int64(hash.Int64(w.number))) % (bound + 1))
			}
			w.at = at
		}
		heap.Push(&f.queue, w)
		for len(f.queue) > 0 && f.queue[0].at < f.reached {
			f.ready = append(f.ready, heap.Pop(&f.queue).(waiting))
		}
	}
}

// serve returns the next rows whose time has come.
func (f *fetcher) serve(ctx context.Context) (connector.FetchEvent, bool, error) {
	for f.ended && len(f.queue) > 0 {
		f.ready = append(f.ready, heap.Pop(&f.queue).(waiting))
	}
	for len(f.ready) > 0 && f.served.rows < f.skip.rows {
		f.drop(f.ready[0])
		f.ready = f.ready[1:]
		f.served.rows++
	}
	if len(f.ready) == 0 {
		return connector.FetchEvent{}, false, nil
	}
	n := min(len(f.ready), f.s.c.BatchRows)
	if f.s.speed > 0 {
		due, err := f.await(ctx)
		if err != nil {
			return connector.FetchEvent{}, false, err
		}
		for i := range n {
			if f.ready[i].at > due {
				n = i
				break
			}
		}
	}
	out := f.pool.Get()
	for _, w := range f.ready[:n] {
		for c, v := range w.in.batch.Columns {
			out.Columns[c].AppendRow(v, int(w.row))
		}
		f.drop(w)
	}
	out.Len = n
	f.ready = append(f.ready[:0], f.ready[n:]...)
	f.served.rows += int64(n)
	e := core.Event{Kind: core.DataEvent, Batch: out, Read: int64(n) + f.skipped, Skipped: f.skipped}
	f.skipped = 0
	return f.event(e), true, nil
}

// await blocks until the first ready row is due, and returns the time up to which rows are.
func (f *fetcher) await(ctx context.Context) (core.Time, error) {
	now := f.s.c.Clock.Now()
	if f.origin.IsZero() {
		f.origin, f.first = now, f.ready[0].at
	}
	at := func(now time.Time) core.Time {
		return f.first + core.Time(float64(now.Sub(f.origin).Microseconds())*f.s.speed)
	}
	for f.ready[0].at > at(now) {
		wait := time.Duration(float64(f.ready[0].at-at(now))/f.s.speed*1000) + time.Microsecond
		timer := f.s.c.Clock.NewTimer(wait)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
		now = f.s.c.Clock.Now()
	}
	return at(now), nil
}
