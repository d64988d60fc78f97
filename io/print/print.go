// Package print is the sink connector "print": rows as text lines on standard output, for people. It may import core, io/connector and
// what they import.
//
// Lines are written as they come, before the checkpoint that covers them: after a failure some are printed again.
package print

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"turbo/core"
	"turbo/io/connector"
)

// Output is where lines go: standard output. Tests and the command line set it before a job starts.
var Output io.Writer = os.Stdout

func init() {
	connector.RegisterSink(connector.SinkSpec{
		Name:    "print",
		Summary: "Prints rows on standard output.",
		Description: `One line a row: the row kind where the stream is a changelog (+I, -U, +U, -D), then the columns in order, named or not. Lines are printed
when they come; after a failure, rows since the last checkpoint are printed again.`,
		Guarantee: "at-least-once",
		Changelog: true,
		Fields: []connector.Field{
			{Name: "names", Type: connector.Bool, Default: "true", Doc: "Print name=value; false: values alone, with commas."},
			{Name: "limit", Type: connector.Int, Default: "0", Min: "0", Doc: "Print at most this many rows and count the rest; 0: all."},
			{Name: "prefix", Type: connector.String, Doc: "Text before each line."},
		},
		New: func(ctx *connector.SinkContext) (core.Sink, error) {
			c := ctx.Config
			return &sink{ctx: ctx, names: c.Bool("names"), limit: c.Int("limit"), prefix: c.String("prefix"), out: bufio.NewWriterSize(Output, 32<<10)}, nil
		},
	})
}

type sink struct {
	ctx    *connector.SinkContext
	names  bool
	limit  int64
	prefix string

	mu      sync.Mutex
	out     *bufio.Writer
	printed int64
	line    []byte
}

func (s *sink) Open(context.Context, *core.RestoredSink) error { return nil }

func (s *sink) Writer(int) (core.SinkWriter, error) {
	return connector.NewAsyncWriter(&writer{s}, connector.AsyncWriterOptions{Runtime: s.ctx.Runtime}), nil
}

func (s *sink) Commit(context.Context, core.CommitInfo, [][]byte) error { return s.flush() }

func (s *sink) Close() error { return s.flush() }

func (s *sink) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Flush()
}

// writer runs on the hand-over's goroutine.
type writer struct{ sink *sink }

func (w *writer) Write(_ context.Context, b *core.Batch) error {
	defer b.Release()
	s := w.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Rows() {
		if s.limit > 0 && s.printed >= s.limit {
			return nil
		}
		s.printed++
		s.line = s.appendRow(append(s.line[:0], s.prefix...), b, b.Row(i))
		if _, err := s.out.Write(s.line); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

func (s *sink) appendRow(dst []byte, b *core.Batch, row int) []byte {
	if s.ctx.Schema.Changelog {
		dst = append(append(dst, b.Kind(row).String()...), ' ')
	}
	for c, v := range b.Columns {
		if c > 0 {
			dst = append(dst, ", "...)
		}
		if s.names {
			dst = append(append(dst, s.ctx.Schema.Fields[c].Name...), '=')
		}
		if v.Null(row) {
			dst = append(dst, "NULL"...)
		} else {
			from := len(dst)
			dst = oneLine(v.AppendText(dst, row), from)
		}
	}
	return append(dst, '\n')
}

// oneLine escapes the line ends in dst[from:]: a row is a line.
func oneLine(dst []byte, from int) []byte {
	if bytes.IndexByte(dst[from:], '\n') < 0 && bytes.IndexByte(dst[from:], '\r') < 0 {
		return dst
	}
	text := strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(string(dst[from:]))
	return append(dst[:from], text...)
}

func (w *writer) Tick(context.Context, time.Time) error { return nil }

func (w *writer) Prepare(context.Context, uint64, bool) ([]byte, error) { return nil, w.sink.flush() }

func (w *writer) Close() error { return nil }
