package compress

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxWindow bounds the memory that a file written elsewhere can make the zstd decoder take: what the zstd tool accepts
// without being asked.
const maxWindow = 128 << 20

// inputBuffer is the size of the reads from the underlying reader.
const inputBuffer = 64 << 10

// NewReader returns a reader of everything that is in r, over all frames. An empty input is an empty stream. Closing it does
// not close r. It is used by one goroutine.
func (c Codec) NewReader(r io.Reader) (io.ReadCloser, error) {
	if c == None {
		return io.NopCloser(r), nil
	}
	in := bufio.NewReaderSize(r, inputBuffer)
	if _, err := in.Peek(1); err == io.EOF {
		return io.NopCloser(in), nil
	}
	switch c {
	case Gzip:
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, readError(c, err)
		}
		return &reader{codec: c, r: z, close: z.Close}, nil
	case Zstd:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, readError(c, err)
		}
		return &reader{codec: c, r: z, close: func() error { z.Close(); return nil }}, nil
	case Snappy:
		return &reader{codec: c, r: s2.NewReader(in, s2.ReaderMaxBlockSize(4<<20))}, nil
	default:
		return &reader{codec: c, r: &lz4Reader{in: in, z: lz4.NewReader(in)}}, nil
	}
}

// reader gives errors their codec and makes a torn end io.ErrUnexpectedEOF.
type reader struct {
	codec Codec
	r     io.Reader
	close func() error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = readError(r.codec, err)
	}
	return n, err
}

func (r *reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

func readError(c Codec, err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s data: %w", c, err)
}

// lz4Reader reads one frame after the other; it looks ahead to tell the end of the input from the end of a frame.
type lz4Reader struct {
	in   *bufio.Reader
	z    *lz4.Reader
	read bool // the current frame has been read from
}

func (l *lz4Reader) Read(p []byte) (int, error) {
	for {
		n, err := l.z.Read(p)
		l.read = true
		if n > 0 || err == nil {
			if err == io.EOF {
				err = nil // the next call sees it again
			}
			return n, err
		}
		if err != io.EOF {
			return 0, err
		}
		if _, err := l.in.Peek(1); err != nil {
			return 0, err
		}
		l.z.Reset(l.in)
	}
}
