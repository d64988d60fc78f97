package format

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	arrowmemory "github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"turbo/core"
	"turbo/io/connector"
)

// parquetReader reads a Parquet file by Arrow's reader, one row group at a time. Arrow's buffers are of the Go heap (it leaves
// some to finalizers, so they cannot be an account's); what it needs is reserved on the account while a row group is open.
type parquetReader struct {
	plan   *filePlan
	source io.ReaderAt
	size   int64
	file   *file.Reader
	arrow  *pqarrow.FileReader
	fields *arrow.Schema
	types  *core.Schema
	leaves []int // leaf columns of the plan's fields

	unit     int // the open row group, or -1
	next     int64
	rows     pqarrow.RecordReader
	record   arrow.Record // what is left of it begins at used
	used     int64
	reserved int64
}

func openParquet(c connector.FileContext, r io.ReaderAt, size int64) (connector.FileReader, error) {
	p := &parquetReader{unit: -1, source: r, size: size}
	err := guard("read the Parquet footer", func() (err error) {
		if size < 12 {
			return fmt.Errorf("a file of %d bytes is no Parquet file", size)
		}
		props := parquet.NewReaderProperties(arrowmemory.NewGoAllocator())
		props.BufferedStreamEnabled = true
		props.BufferSize = 64 << 10
		if p.file, err = file.NewParquetReader(section(r, size), file.WithReadProps(props)); err != nil {
			return err
		}
		p.arrow, err = pqarrow.NewFileReader(p.file, pqarrow.ArrowReadProperties{BatchSize: int64(max(c.BatchRows, 1024))}, props.Allocator())
		if err != nil {
			return err
		}
		p.fields, err = p.arrow.Schema()
		return err
	})
	if err != nil {
		return nil, err
	}
	p.types = p.fileTypes()
	if p.plan, err = planFile(c, p.fields); err != nil {
		return nil, err
	}
	schema := p.file.MetaData().Schema
	wanted := map[string]bool{}
	for _, f := range p.plan.fields {
		if f >= 0 {
			wanted[p.fields.Field(f).Name] = true
		}
	}
	for i := range schema.NumColumns() {
		if wanted[schema.ColumnRoot(i).Name()] {
			p.leaves = append(p.leaves, i)
		}
	}
	return p, nil
}

// fileTypes returns the file's columns: as turbo wrote them, else as Parquet's types say.
func (p *parquetReader) fileTypes() *core.Schema {
	out := supportedColumns(p.fields)
	text := p.file.MetaData().KeyValueMetadata().FindValue(turboSchemaKey)
	if text == nil {
		return out
	}
	row, err := core.ParseType(*text)
	if err != nil || len(row.Elements) != len(p.fields.Fields()) {
		return out
	}
	for i, f := range row.Elements {
		if f.Name != p.fields.Field(i).Name || core.CheckArrow(p.fields.Field(i).Type, f.Type) != nil {
			return out
		}
	}
	return core.NewSchema(row.Elements...)
}

// Units implements connector.FileReader.
func (p *parquetReader) Units() int { return p.file.NumRowGroups() }

// Rows implements connector.FileReader.
func (p *parquetReader) Rows(unit int) int64 { return p.file.MetaData().RowGroup(unit).NumRows() }

// FileSchema implements connector.FileReader.
func (p *parquetReader) FileSchema() *core.Schema { return p.types }

// Read implements connector.FileReader. Reading on where the last call ended is cheap.
func (p *parquetReader) Read(unit int, skip int64, maxRows int) (b *core.Batch, err error) {
	err = guard(fmt.Sprintf("row group %d", unit), func() error {
		if unit < 0 || unit >= p.Units() || skip < 0 {
			return fmt.Errorf("there is no row %d", skip)
		}
		rows := p.Rows(unit)
		if skip >= rows || maxRows <= 0 {
			return nil
		}
		if len(p.leaves) == 0 { // only counted, or all null
			b, err = p.plan.batch(nil, nil, skip, min(rows, skip+int64(maxRows)))
			return err
		}
		if unit != p.unit || skip < p.next {
			if err := p.open(unit); err != nil {
				return err
			}
		}
		for {
			left := int64(0)
			if p.record != nil {
				left = p.record.NumRows() - p.used
			}
			if gap := skip - p.next; gap > 0 && left > 0 {
				n := min(gap, left)
				p.used += n
				p.next += n
				continue
			}
			if left > 0 {
				n := min(left, int64(maxRows))
				if b, err = p.plan.batch(p.record, p.position, p.used, p.used+n); err != nil {
					return err
				}
				p.used += n
				p.next += n
				return nil
			}
			if err := p.advance(); err != nil {
				return err
			}
		}
	})
	return b, err
}

// position returns where the record has a field of the file.
func (p *parquetReader) position(field int) int {
	return p.record.Schema().FieldIndices(p.fields.Field(field).Name)[0]
}

func (p *parquetReader) open(unit int) (err error) {
	p.shut()
	// Per column at most about a page and what is decoded of it.
	need := int64(0)
	group := p.file.MetaData().RowGroup(unit)
	buffer := make([]byte, 64<<10)
	for _, leaf := range p.leaves {
		chunk, err := group.ColumnChunk(leaf)
		if err != nil {
			return err
		}
		if err := verifyChunk(p.source, p.size, chunk, buffer); err != nil {
			return err
		}
		need += min(2*chunk.TotalUncompressedSize(), 4<<20) + 64<<10
	}
	if err := p.plan.context.Account.Reserve(need); err != nil {
		return err
	}
	p.reserved = need
	if p.rows, err = p.arrow.GetRecordReader(context.Background(), p.leaves, []int{unit}); err != nil {
		return err
	}
	p.unit, p.next = unit, 0
	return nil
}

// advance fetches the next record.
func (p *parquetReader) advance() error {
	p.record, p.used = nil, 0
	if !p.rows.Next() {
		if err := p.rows.Err(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return fmt.Errorf("it ends after %d rows, the footer says %d", p.next, p.Rows(p.unit))
	}
	p.record = p.rows.Record() // belongs to the reader until the next Next
	return nil
}

func (p *parquetReader) shut() {
	if p.rows != nil {
		p.rows.Release()
	}
	p.rows, p.record, p.used, p.unit = nil, nil, 0, -1
	p.plan.context.Account.Unreserve(p.reserved)
	p.reserved = 0
}

// Close implements connector.FileReader.
func (p *parquetReader) Close() error {
	return guard("close the Parquet file", func() error {
		p.shut()
		return p.file.Close()
	})
}
