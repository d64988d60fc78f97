package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	arrowmemory "github.com/apache/arrow/go/v17/arrow/memory"
	arrowparquet "github.com/apache/arrow/go/v17/parquet"
	arrowcompress "github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/parquet-go/parquet-go"

	"turbo/core"
	"turbo/io/connector"
)

var arrowFields = arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String}}, nil)

// recordWriter is a container writer over Arrow records.
type recordWriter struct {
	rows  int64
	write func(arrow.Record) error
	close func() error
}

func (w *recordWriter) Write(b *core.Batch) error {
	defer b.Release()
	builder := array.NewRecordBuilder(arrowmemory.DefaultAllocator, arrowFields)
	defer builder.Release()
	for i := range b.Rows() {
		row := b.Row(i)
		builder.Field(0).(*array.Int64Builder).Append(b.Columns[0].Int64s()[row])
		builder.Field(1).(*array.StringBuilder).Append(b.Columns[1].StringAt(row))
		w.rows++
	}
	record := builder.NewRecord()
	defer record.Release()
	return w.write(record)
}
func (w *recordWriter) Buffered() int64 { return 0 }
func (w *recordWriter) Rows() int64     { return w.rows }
func (w *recordWriter) Close() error    { return w.close() }

var parquetForm = form{"parquet", func(o *Options) {
	o.Extension, o.Parts = ".parquet", PartsOf("parquet")
	o.Roll.Size = 6000
	o.NewContainer = func(w io.Writer) (connector.FileWriter, error) {
		props := arrowparquet.NewWriterProperties(arrowparquet.WithCompression(arrowcompress.Codecs.Zstd), arrowparquet.WithStats(true))
		// The writer closes what it writes to, if it can.
		f, err := pqarrow.NewFileWriter(arrowFields, struct{ io.Writer }{w}, props, pqarrow.DefaultWriterProps())
		if err != nil {
			return nil, err
		}
		return &recordWriter{write: f.WriteBuffered, close: f.Close}, nil
	}
}, func(content []byte) ([]string, error) {
	type row struct {
		ID   int64  `parquet:"id"`
		Text string `parquet:"text"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%d,%s", r.ID, r.Text))
	}
	return out, nil
}}

// teller knows its position, which is all that the writer of Arrow files seeks for.
type teller struct {
	w  io.Writer
	at int64
}

func (t *teller) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.at += int64(n)
	return n, err
}

func (t *teller) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.ErrUnsupported
	}
	return t.at, nil
}

func readArrow(next func() (arrow.Record, error)) (out []string, err error) {
	for {
		record, err := next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range int(record.NumRows()) {
			out = append(out, fmt.Sprintf("%d,%s", record.Column(0).(*array.Int64).Value(i), record.Column(1).(*array.String).Value(i)))
		}
	}
}

var arrowForm = form{"arrow", func(o *Options) {
	o.Extension, o.Parts = ".arrow", PartsOf("arrow")
	o.Roll.Size = 6000
	o.NewContainer = func(w io.Writer) (connector.FileWriter, error) {
		f, err := ipc.NewFileWriter(&teller{w: w}, ipc.WithSchema(arrowFields), ipc.WithZstd())
		if err != nil {
			return nil, err
		}
		return &recordWriter{write: f.Write, close: f.Close}, nil
	}
}, func(content []byte) ([]string, error) {
	rows, err := readArrowFile(content)
	if err != nil {
		return nil, err
	}
	// A reader of streams sees the same.
	s, err := ipc.NewReader(bytes.NewReader(content[arrowMagicPadded:]))
	if err != nil {
		return nil, err
	}
	defer s.Release()
	streamed, err := readArrow(s.Read)
	if err != nil {
		return nil, err
	}
	if fmt.Sprint(rows) != fmt.Sprint(streamed) {
		return nil, errors.New("the file read as a stream has other rows")
	}
	return rows, nil
}}

func readArrowFile(content []byte) ([]string, error) {
	f, err := ipc.NewFileReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readArrow(f.Read)
}

// wholeForm is a container that cannot be made of parts.
var wholeForm = form{"sealed at every checkpoint", func(o *Options) {
	arrowForm.set(o)
	o.Parts = nil
}, readArrowFile}

func TestContainersSurvivePowerLoss(t *testing.T) {
	for _, f := range []form{parquetForm, arrowForm, wholeForm} {
		t.Run(f.name, func(t *testing.T) {
			seeds := uint64(25)
			if f.name == "parquet" {
				seeds = 5 // its writer is slow at small files
			}
			for seed := range seeds {
				if err := life(t, seed, f, seed%2 == 0); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}
