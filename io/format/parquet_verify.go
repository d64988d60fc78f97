package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/apache/arrow/go/v17/parquet/metadata"
)

// pageHeader is what a check of a page needs of its header.
type pageHeader struct {
	plain, packed int64 // bytes of the page, uncompressed and as it lies in the file
	values        int64
	crc           uint32
	hasCRC        bool
}

// verifyChunk walks over the pages of a column chunk before Arrow's reader does, which trusts what stands there: sizes and
// counts must agree with the footer, and checksums, where the writer has put any, with the bytes.
func verifyChunk(r io.ReaderAt, size int64, chunk *metadata.ColumnChunkMetaData, buffer []byte) error {
	at := chunk.DataPageOffset()
	if d := chunk.DictionaryPageOffset(); chunk.HasDictionaryPage() && d > 0 && d < at {
		at = d
	}
	end := at + chunk.TotalCompressedSize()
	if at < 4 || end < at || end > size {
		return fmt.Errorf("the footer places a column at bytes %d to %d of a file of %d", at, end, size)
	}
	largest := max(2*chunk.TotalUncompressedSize(), 64<<20)
	for values := int64(0); at < end && values < chunk.NumValues(); {
		n, err := r.ReadAt(buffer[:min(int64(len(buffer)), end-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		h, used, ok := parsePageHeader(buffer[:n])
		if !ok || h.packed < 0 || h.packed > end-at-int64(used) || h.plain < 0 || h.plain > largest || h.values < 0 || h.values > chunk.NumValues() {
			return fmt.Errorf("the header of the page at byte %d is damaged", at)
		}
		if h.hasCRC {
			sum := uint32(0)
			for from := at + int64(used); from < at+int64(used)+h.packed; {
				piece := buffer[:min(int64(len(buffer)), at+int64(used)+h.packed-from)]
				if _, err := r.ReadAt(piece, from); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				sum = crc32.Update(sum, crc32.IEEETable, piece)
				from += int64(len(piece))
			}
			if sum != h.crc {
				return fmt.Errorf("the page at byte %d is damaged: its checksum does not match", at)
			}
		}
		values += h.values
		at += int64(used) + h.packed
	}
	return nil
}

// thriftReader reads Thrift's compact protocol. After a mistake bad is set and everything is zero.
type thriftReader struct {
	b   []byte
	at  int
	bad bool
}

func (r *thriftReader) byte() byte {
	if r.at >= len(r.b) {
		r.bad = true
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *thriftReader) number() int64 {
	if r.at > len(r.b) {
		return 0
	}
	x, n := binary.Varint(r.b[r.at:])
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.at += n
	return x
}

func (r *thriftReader) length() int {
	x, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 || x > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	r.at += n
	return int(x)
}

// fields calls each with the id and type of every field of a structure; what it does not read itself, it skips.
func (r *thriftReader) fields(each func(id int16, typ byte)) {
	for id := int16(0); !r.bad; {
		b := r.byte()
		if b == 0 {
			return
		}
		if delta := int16(b >> 4); delta != 0 {
			id += delta
		} else {
			id = int16(r.number())
		}
		each(id, b&15)
	}
}

func (r *thriftReader) skip(typ byte, depth int) {
	if depth > 16 {
		r.bad = true
	}
	if r.bad {
		return
	}
	switch typ {
	case thriftTrue, thriftFalse:
	case thriftI8:
		r.byte()
	case thriftI16, thriftI32, thriftI64:
		r.number()
	case 7: // double
		r.at += 8
	case thriftBinary:
		n := r.length()
		r.at += n
	case thriftStruct:
		r.fields(func(_ int16, typ byte) { r.skip(typ, depth+1) })
	default: // lists and maps do not occur in page headers
		r.bad = true
	}
	if r.at > len(r.b) {
		r.at, r.bad = len(r.b), true
	}
}

func parsePageHeader(b []byte) (h pageHeader, used int, ok bool) {
	r := thriftReader{b: b}
	r.fields(func(id int16, typ byte) {
		switch {
		case id == 2 && typ == thriftI32:
			h.plain = r.number()
		case id == 3 && typ == thriftI32:
			h.packed = r.number()
		case id == 4 && typ == thriftI32:
			h.crc, h.hasCRC = uint32(r.number()), true
		case (id == 5 || id == 8) && typ == thriftStruct:
			r.fields(func(id int16, typ byte) {
				if id == 1 && typ == thriftI32 {
					h.values = r.number()
				} else {
					r.skip(typ, 1)
				}
			})
		default:
			r.skip(typ, 0)
		}
	})
	return h, r.at, !r.bad
}
