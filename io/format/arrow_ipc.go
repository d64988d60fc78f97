package format

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"

	"turbo/core"
	"turbo/io/connector"
)

func init() {
	connector.RegisterFormat(connector.FormatSpec{
		Name:    "arrow",
		Summary: "Apache Arrow IPC files (Feather version 2)",
		Description: "Every type is carried exactly. Foreign files are read by column name under the rules of the format parquet, dictionaries and " +
			"large strings included.",
		Fields: []connector.Field{
			{Name: "compression", Type: connector.Enum, Enum: []string{"zstd", "lz4", "none"}, Default: "none", Doc: "The codec of the buffers."},
			{Name: "batch-size", Type: connector.ByteSize, Default: "1MiB", Min: "4KiB", Max: "256MiB", Doc: "Bytes of a record batch, which a writer holds in memory until it writes it."},
			missingColumnsField,
		},
		Extension: "arrow",
		Supports:  supportsJSON, // everything
		Check:     func(*connector.Config, *core.Schema) error { return nil },
		OpenFile:  openArrow,
		NewFile:   newArrowWriter,
	})
}

// arrowReader reads an Arrow file, one record batch at a time.
type arrowReader struct {
	plan   *filePlan
	file   *ipc.FileReader
	types  *core.Schema
	rows   []int64 // of each unit, -1 when not known yet
	unit   int
	record arrow.Record
}

func openArrow(c connector.FileContext, r io.ReaderAt, size int64) (connector.FileReader, error) {
	a := &arrowReader{unit: -1}
	err := guard("read the Arrow footer", func() (err error) {
		a.file, err = ipc.NewFileReader(section(r, size), ipc.WithAllocator(c.Account))
		if err != nil {
			return err
		}
		a.types = supportedColumns(a.file.Schema())
		units := a.file.NumRecords()
		if int64(units) > size/8 {
			return fmt.Errorf("%d record batches in a file of %d bytes", units, size)
		}
		a.rows = make([]int64, units)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if a.plan, err = planFile(c, a.file.Schema()); err != nil {
		_ = a.file.Close()
		return nil, err
	}
	for i := range a.rows {
		a.rows[i] = -1
	}
	return a, nil
}

// Units implements connector.FileReader.
func (a *arrowReader) Units() int { return len(a.rows) }

// Rows implements connector.FileReader. It reads the record batch; one that cannot be read has 0 rows here, and Read says why.
func (a *arrowReader) Rows(unit int) int64 {
	if a.rows[unit] < 0 && a.load(unit) != nil {
		return 0
	}
	return a.rows[unit]
}

// FileSchema implements connector.FileReader.
func (a *arrowReader) FileSchema() *core.Schema { return a.types }

func (a *arrowReader) load(unit int) error {
	if unit == a.unit {
		return nil
	}
	a.drop()
	return guard(fmt.Sprintf("record batch %d", unit), func() error {
		record, err := a.file.RecordAt(unit)
		if err != nil {
			return err
		}
		a.record, a.unit, a.rows[unit] = record, unit, record.NumRows()
		return nil
	})
}

func (a *arrowReader) drop() {
	if a.record != nil {
		a.record.Release()
	}
	a.record, a.unit = nil, -1
}

// Read implements connector.FileReader.
func (a *arrowReader) Read(unit int, skip int64, maxRows int) (*core.Batch, error) {
	if err := a.load(unit); err != nil {
		return nil, err
	}
	rows := a.rows[unit]
	if skip < 0 || skip >= rows || maxRows <= 0 {
		return nil, nil
	}
	var b *core.Batch
	err := guard(fmt.Sprintf("record batch %d", unit), func() (err error) {
		b, err = a.plan.batch(a.record, func(field int) int { return field }, skip, min(rows, skip+int64(maxRows)))
		return err
	})
	return b, err
}

// Close implements connector.FileReader.
func (a *arrowReader) Close() error {
	a.drop()
	return guard("close the Arrow file", a.file.Close)
}

// arrowWriter writes an Arrow file. Rows are collected until they make a record batch of a good size.
type arrowWriter struct {
	out     *positionWriter
	file    *ipc.FileWriter
	context connector.FileContext
	schema  *arrow.Schema
	max     int64
	batch   *core.Batch
	rows    int64
	err     error
	closed  bool
}

// positionWriter is the seeker that Arrow's writer wants to ask for its position.
type positionWriter struct {
	w   io.Writer
	at  int64
	err error // the first: Arrow's writer does not pass on every one
}

func (p *positionWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.at += int64(n)
	if err != nil && p.err == nil {
		p.err = err
	}
	return n, err
}

// Seek answers where the writer is; it cannot move.
func (p *positionWriter) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, fmt.Errorf("an Arrow file is written from front to back")
	}
	return p.at, nil
}

func newArrowWriter(c connector.FileContext, out io.Writer) (connector.FileWriter, error) {
	w := &arrowWriter{out: &positionWriter{w: out}, context: c, schema: core.ArrowSchema(c.Schema), max: c.Config.Bytes("batch-size")}
	options := []ipc.Option{ipc.WithSchema(w.schema), ipc.WithAllocator(c.Account)}
	switch c.Config.String("compression") {
	case "zstd":
		options = append(options, ipc.WithZstd(), ipc.WithCompressConcurrency(1))
	case "lz4":
		options = append(options, ipc.WithLZ4(), ipc.WithCompressConcurrency(1))
	}
	err := guard("start the Arrow file", func() (err error) {
		w.file, err = ipc.NewFileWriter(w.out, options...)
		return err
	})
	if err != nil {
		return nil, err
	}
	w.begin()
	return w, nil
}

func (w *arrowWriter) begin() {
	w.batch = core.NewBatch(w.context.Account, w.context.Schema)
	for _, f := range w.context.Schema.Fields {
		w.batch.Columns = append(w.batch.Columns, core.NewVector(w.context.Account, f.Type, 0))
	}
}

// Write implements connector.FileWriter.
func (w *arrowWriter) Write(b *core.Batch) error {
	defer b.Release()
	if w.err != nil {
		return w.err
	}
	for i, v := range b.Columns {
		into := w.batch.Columns[i]
		if b.Sel != nil {
			into.AppendSelected(v, b.Sel)
		} else {
			into.AppendRange(v, 0, b.Len)
		}
		if into.Type.NotNull && into.HasNulls() {
			w.err = &RecordError{w.context.Schema.Fields[i].Name, -1, reasonNotNull}
			return w.err
		}
		if hasNullKeys(into) {
			w.err = &RecordError{w.context.Schema.Fields[i].Name, -1, "a key of a MAP is null, which Arrow cannot carry"}
			return w.err
		}
	}
	w.batch.Len += b.Rows()
	w.rows += int64(b.Rows())
	if w.Buffered() >= w.max {
		w.err = w.flush()
	}
	return w.err
}

func (w *arrowWriter) flush() error {
	if w.batch.Len == 0 {
		return nil
	}
	err := guard("write a record batch", func() error {
		record := w.batch.Record(w.schema)
		defer record.Release()
		return w.file.Write(record)
	})
	if err == nil {
		err = w.out.err
	}
	w.batch.Release()
	w.begin()
	return err
}

// Buffered implements connector.FileWriter.
func (w *arrowWriter) Buffered() int64 {
	n := int64(0)
	for _, v := range w.batch.Columns {
		n += filled(v)
	}
	return n
}

// Rows implements connector.FileWriter.
func (w *arrowWriter) Rows() int64 { return w.rows }

// Close implements connector.FileWriter.
func (w *arrowWriter) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if w.err == nil {
		w.err = w.flush()
	}
	if w.err == nil {
		w.err = guard("write the Arrow footer", w.file.Close)
	}
	if w.err == nil {
		w.err = w.out.err
	}
	w.batch.Release()
	w.batch = nil
	return w.err
}
