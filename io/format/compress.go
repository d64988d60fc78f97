package format

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// pageCodec compresses Parquet pages, each on its own. Its memory lives between two files in a pool.
type pageCodec struct {
	name string
	id   int32 // Parquet's CompressionCodec
	// encode appends the compressed page to dst, which is empty.
	encode func(dst, page []byte) ([]byte, error)
}

var codecNames = []string{"zstd", "snappy", "gzip", "lz4", "none"}

// zstdEncoders are kept by level: making one costs far more than a page.
var zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool

func codecOf(name string, level zstd.EncoderLevel) pageCodec {
	switch name {
	case "zstd":
		return pageCodec{name, 6, func(dst, page []byte) ([]byte, error) {
			e, _ := zstdEncoders[level].Get().(*zstd.Encoder)
			if e == nil {
				var err error
				if e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
					zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true)); err != nil {
					return nil, fmt.Errorf("zstd: %w", err)
				}
			}
			dst = e.EncodeAll(page, dst)
			zstdEncoders[level].Put(e)
			return dst, nil
		}}
	case "snappy":
		return pageCodec{name, 1, func(dst, page []byte) ([]byte, error) {
			if n := s2.MaxEncodedLen(len(page)); cap(dst) < n {
				dst = make([]byte, 0, n)
			}
			return s2.EncodeSnappy(dst[:cap(dst)], page), nil
		}}
	case "gzip":
		return pageCodec{name, 2, encodeGzip}
	case "lz4":
		return pageCodec{name, 7, encodeLZ4}
	}
	return pageCodec{name, 0, nil}
}

var gzipWriters sync.Pool

func encodeGzip(dst, page []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, _ := gzipWriters.Get().(*gzip.Writer)
	if w == nil {
		w, _ = gzip.NewWriterLevel(nil, gzip.DefaultCompression)
	}
	w.Reset(out)
	if _, err := w.Write(page); err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	gzipWriters.Put(w)
	return out.Bytes(), nil
}

var lz4Compressors = sync.Pool{New: func() any { return new(lz4.Compressor) }}

func encodeLZ4(dst, page []byte) ([]byte, error) {
	if n := lz4.CompressBlockBound(len(page)) + 16; cap(dst) < n {
		dst = make([]byte, n)
	}
	dst = dst[:cap(dst)]
	c := lz4Compressors.Get().(*lz4.Compressor)
	n, err := c.CompressBlock(page, dst)
	lz4Compressors.Put(c)
	if err != nil {
		return nil, fmt.Errorf("lz4: %w", err)
	}
	if n == 0 { // refused as incompressible: one sequence of literals, by the block format
		return lz4Literals(dst[:0], page), nil
	}
	return dst[:n], nil
}

// lz4Literals appends a block that is page as it is.
func lz4Literals(dst, page []byte) []byte {
	if n := len(page); n < 15 {
		dst = append(dst, byte(n)<<4)
	} else {
		dst = append(dst, 0xf0)
		for n -= 15; n >= 255; n -= 255 {
			dst = append(dst, 255)
		}
		dst = append(dst, byte(n))
	}
	return append(dst, page...)
}

// lz4Raw teaches Arrow's Parquet reader the codec LZ4_RAW, which it does not have.
type lz4Raw struct{}

func init() { compress.RegisterCodec(compress.Compression(7), lz4Raw{}) }

// Decode uncompresses a page; dst has the size that the page's header says. Arrow's contract has no error: it panics, and
// the reader turns that into an error.
func (lz4Raw) Decode(dst, src []byte) []byte {
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		panic(fmt.Errorf("lz4: %w", err))
	}
	return dst[:n]
}

// Encode implements compress.Codec.
func (lz4Raw) Encode(_, src []byte) []byte {
	out, err := encodeLZ4(nil, src)
	if err != nil {
		panic(err)
	}
	return out
}

// EncodeLevel implements compress.Codec.
func (c lz4Raw) EncodeLevel(dst, src []byte, _ int) []byte { return c.Encode(dst, src) }

// CompressBound implements compress.Codec.
func (lz4Raw) CompressBound(n int64) int64 { return int64(lz4.CompressBlockBound(int(n))) + 16 }

// NewReader implements compress.Codec. Raw blocks are no stream; Arrow does not ask for one.
func (lz4Raw) NewReader(r io.Reader) io.ReadCloser { return io.NopCloser(r) }

// NewWriter implements compress.Codec, as NewReader.
func (lz4Raw) NewWriter(io.Writer) io.WriteCloser { return nil }

// NewWriterLevel implements compress.Codec, as NewReader.
func (lz4Raw) NewWriterLevel(io.Writer, int) (io.WriteCloser, error) {
	return nil, fmt.Errorf("lz4 raw blocks are no stream")
}
