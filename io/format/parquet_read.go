package format

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	arrowmemory "github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/apache/arrow/go/v17/parquet/schema"

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
	rows     pqarrow.RecordReader // nil: all columns are in whole
	whole    arrow.Record         // columns that are decoded a row group at a time; nil: none
	record   arrow.Record         // what is left of it begins at used
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
	leaves := p.file.MetaData().Schema
	wanted := map[string]bool{}
	for _, f := range p.plan.fields {
		if f >= 0 {
			wanted[p.fields.Field(f).Name] = true
		}
	}
	for i := range leaves.NumColumns() {
		if wanted[leaves.ColumnRoot(i).Name()] {
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
	leaves := p.file.MetaData().Schema
	buffer := make([]byte, 64<<10)
	atOnce := map[string]bool{} // top-level columns
	values := int64(0)
	for _, leaf := range p.leaves {
		chunk, err := group.ColumnChunk(leaf)
		if err != nil {
			return err
		}
		if err := readable(chunk); err != nil {
			return fmt.Errorf("column %s: %w", core.QuoteName(chunk.PathInSchema().String()), err)
		}
		if err := verifyChunk(p.source, p.size, chunk, buffer); err != nil {
			return err
		}
		if needsWholePages(leaves.Column(leaf), chunk) {
			atOnce[leaves.ColumnRoot(leaf).Name()] = true
			values = max(values, chunk.NumValues())
			need += 16 * chunk.NumValues()
		}
		need += min(2*chunk.TotalUncompressedSize(), 4<<20) + 64<<10
	}
	if err := p.plan.context.Account.Reserve(need); err != nil {
		return err
	}
	p.reserved = need
	p.unit, p.next = unit, 0
	var rest, first []int
	for _, leaf := range p.leaves {
		if atOnce[leaves.ColumnRoot(leaf).Name()] {
			first = append(first, leaf)
		} else {
			rest = append(rest, leaf)
		}
	}
	if len(first) > 0 {
		if err := p.decodeWhole(unit, first, values); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		p.rows, err = p.arrow.GetRecordReader(context.Background(), rest, []int{unit})
	}
	return err
}

// readable reports why Arrow's reader cannot decode a column. It would say nothing, or panic.
func readable(chunk *metadata.ColumnChunkMetaData) error {
	for _, e := range chunk.Encodings() {
		switch e {
		case parquet.Encodings.Plain, parquet.Encodings.PlainDict, parquet.Encodings.RLEDict, parquet.Encodings.RLE, parquet.Encodings.BitPacked:
			continue
		case parquet.Encodings.DeltaBinaryPacked:
			if t := chunk.Type(); t == parquet.Types.Int32 || t == parquet.Types.Int64 {
				continue
			}
		case parquet.Encodings.DeltaLengthByteArray, parquet.Encodings.DeltaByteArray:
			if chunk.Type() == parquet.Types.ByteArray {
				continue
			}
		}
		return fmt.Errorf("its encoding %s of %s cannot be read: write the file with the encoding PLAIN or a dictionary", e, chunk.Type())
	}
	return nil
}

// needsWholePages says that a column is read right only by pages: Arrow Go 17 loses the rest of a miniblock when a page of
// DELTA_BINARY_PACKED INT64 values among nulls is decoded in several steps.
func needsWholePages(column *schema.Column, chunk *metadata.ColumnChunkMetaData) bool {
	return chunk.Type() == parquet.Types.Int64 && column.MaxDefinitionLevel() > 0 && slices.Contains(chunk.Encodings(), parquet.Encodings.DeltaBinaryPacked)
}

// decodeWhole reads columns of a row group in one batch of at most values values, so that each page is decoded in one step.
func (p *parquetReader) decodeWhole(unit int, leaves []int, values int64) error {
	at, err := pqarrow.NewFileReader(p.file, pqarrow.ArrowReadProperties{BatchSize: max(values, p.Rows(unit))}, arrowmemory.NewGoAllocator())
	if err != nil {
		return err
	}
	rows, err := at.GetRecordReader(context.Background(), leaves, []int{unit})
	if err != nil {
		return err
	}
	defer rows.Release()
	if !rows.Next() {
		if err := rows.Err(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return fmt.Errorf("it has no rows, the footer says %d", p.Rows(unit))
	}
	if n := rows.Record().NumRows(); n != p.Rows(unit) {
		return fmt.Errorf("it ends after %d rows, the footer says %d", n, p.Rows(unit))
	}
	p.whole = rows.Record()
	p.whole.Retain()
	return nil
}

// advance fetches the next record.
func (p *parquetReader) advance() error {
	p.drop()
	if p.rows == nil {
		p.record = p.whole.NewSlice(p.next, min(p.next+int64(p.batchRows()), p.whole.NumRows()))
		return nil
	}
	if !p.rows.Next() {
		if err := p.rows.Err(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return fmt.Errorf("it ends after %d rows, the footer says %d", p.next, p.Rows(p.unit))
	}
	record := p.rows.Record() // belongs to the reader until the next Next
	if p.whole == nil {
		record.Retain()
		p.record = record
		return nil
	}
	if p.next+record.NumRows() > p.whole.NumRows() {
		return fmt.Errorf("it has more than the %d rows of the footer", p.whole.NumRows())
	}
	part := p.whole.NewSlice(p.next, p.next+record.NumRows())
	defer part.Release()
	p.record = array.NewRecord(arrow.NewSchema(append(slices.Clone(record.Schema().Fields()), part.Schema().Fields()...), nil),
		append(slices.Clone(record.Columns()), part.Columns()...), record.NumRows())
	return nil
}

// drop lets the record go.
func (p *parquetReader) drop() {
	if p.record != nil {
		p.record.Release()
	}
	p.record, p.used = nil, 0
}

func (p *parquetReader) batchRows() int { return max(p.plan.context.BatchRows, 1024) }

func (p *parquetReader) shut() {
	p.drop()
	if p.rows != nil {
		p.rows.Release()
	}
	if p.whole != nil {
		p.whole.Release()
	}
	p.rows, p.whole, p.unit = nil, nil, -1
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
