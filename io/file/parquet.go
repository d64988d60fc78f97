package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/parquet/metadata"
)

const parquetMagic = "PAR1"

// parquetFooter makes one Parquet file of several that lie one after the other. A Parquet file is found from its end, and
// everything in its footer is an absolute offset: so the footer of the whole has the row groups of all parts with their
// offsets moved by where the part begins. The parts' own footers remain as bytes that nobody points to.
func parquetFooter(r io.ReaderAt, ends []int64) ([]byte, error) {
	var whole *metadata.FileMetaData
	start := int64(0)
	for i, end := range ends {
		part, err := readParquetFooter(r, start, end)
		if err != nil {
			return nil, fmt.Errorf("part %d, bytes %d to %d: %w", i, start, end, err)
		}
		moveParquet(part, start)
		if whole == nil {
			whole = part
		} else if err := whole.AppendRowGroups(part); err != nil {
			return nil, fmt.Errorf("part %d: %w", i, err)
		}
		start = end
	}
	for i, group := range whole.RowGroups {
		if group.Ordinal != nil {
			ordinal := int16(i)
			group.Ordinal = &ordinal
		}
	}
	body, err := whole.Serialize(context.Background())
	if err != nil {
		return nil, err
	}
	body = bytes.Clone(body)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(body)))
	return append(body, parquetMagic...), nil
}

func readParquetFooter(r io.ReaderAt, start, end int64) (*metadata.FileMetaData, error) {
	var tail [8]byte
	if end-start < 12 {
		return nil, fmt.Errorf("too short for a Parquet file")
	}
	if _, err := r.ReadAt(tail[:], end-8); err != nil {
		return nil, err
	}
	size := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != parquetMagic || size > end-start-12 {
		return nil, fmt.Errorf("no Parquet footer at its end")
	}
	footer := make([]byte, size)
	if _, err := r.ReadAt(footer, end-8-size); err != nil {
		return nil, err
	}
	return metadata.NewFileMetaData(footer, nil)
}

// moveParquet adds a distance to every offset in a footer.
func moveParquet(m *metadata.FileMetaData, by int64) {
	move := func(offset *int64) {
		if offset != nil {
			*offset += by
		}
	}
	for _, group := range m.RowGroups {
		move(group.FileOffset)
		for _, chunk := range group.Columns {
			move(&chunk.FileOffset)
			move(chunk.OffsetIndexOffset)
			move(chunk.ColumnIndexOffset)
			if data := chunk.MetaData; data != nil {
				move(&data.DataPageOffset)
				move(data.IndexPageOffset)
				move(data.DictionaryPageOffset)
				move(data.BloomFilterOffset)
			}
		}
	}
}
