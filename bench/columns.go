package bench

import (
	"context"

	"turbo/core"
	"turbo/memory"
)

// columnsSource is a source over batches that were made before: reading costs a reference a column. Each worker has its own list, which
// it reads Repeat times.
type columnsSource struct {
	batches [][]*core.Batch // by worker
	repeat  int
	first   func(worker int) // called when a reader begins
}

func (s *columnsSource) Open(context.Context, []core.SplitState) error { return nil }

func (s *columnsSource) Reader(w int) (core.SourceReader, error) {
	return &columnsReader{source: s, worker: w, batches: s.batches[w], left: s.repeat * len(s.batches[w])}, nil
}

func (s *columnsSource) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *columnsSource) Close() error                                               { return nil }

type columnsReader struct {
	source    *columnsSource
	worker    int
	batches   []*core.Batch
	at, left  int
	announced bool
	ended     bool
}

func (r *columnsReader) SetWaker(func()) {}

func (r *columnsReader) Poll() (core.Event, error) {
	if !r.announced {
		r.announced = true
		if r.source.first != nil {
			r.source.first(r.worker)
		}
		return core.Event{Kind: core.SplitStart, ID: "columns"}, nil
	}
	if r.left == 0 {
		if r.ended {
			return core.Event{}, nil
		}
		r.ended = true
		return core.Event{Kind: core.EndOfInput}, nil
	}
	b := r.batches[r.at]
	if r.at++; r.at == len(r.batches) {
		r.at = 0
	}
	r.left--
	return core.Event{Kind: core.DataEvent, Batch: b.Share(), Read: int64(b.Len)}, nil
}

func (r *columnsReader) Snapshot() ([]core.SplitState, error) { return nil, nil }
func (r *columnsReader) Close() error                         { return nil }

// consumer is a sink that hands every batch to a function, on the worker.
type consumer struct {
	take func(worker int, b *core.Batch)
}

func (c consumer) Open(context.Context, *core.RestoredSink) error          { return nil }
func (c consumer) Writer(w int) (core.SinkWriter, error)                   { return consumerWriter{c, w}, nil }
func (c consumer) Commit(context.Context, core.CommitInfo, [][]byte) error { return nil }
func (c consumer) Close() error                                            { return nil }

type consumerWriter struct {
	consumer
	worker int
}

func (w consumerWriter) Write(b *core.Batch) error {
	w.take(w.worker, b)
	b.Release()
	return nil
}
func (w consumerWriter) Full() bool                                         { return false }
func (w consumerWriter) SetWaker(func())                                    {}
func (w consumerWriter) Prepare(_ uint64, _ bool, done func([]byte, error)) { done(nil, nil) }
func (w consumerWriter) Close() error                                       { return nil }

// int64Batches cuts columns into batches of rows rows.
func int64Batches(account *memory.Account, schema *core.Schema, columns [][]int64, rows int) []*core.Batch {
	var out []*core.Batch
	for from := 0; from < len(columns[0]); from += rows {
		n := min(rows, len(columns[0])-from)
		b := core.NewBatch(account, schema)
		b.Len = n
		for i, c := range columns {
			v := core.NewVector(account, schema.Fields[i].Type, n)
			v.Extend(n)
			copy(v.Int64s(), c[from:from+n])
			b.Columns = append(b.Columns, v)
		}
		out = append(out, b)
	}
	return out
}

func release(batches []*core.Batch) {
	for _, b := range batches {
		b.Release()
	}
}
