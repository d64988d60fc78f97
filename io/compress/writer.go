package compress

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// windowSize bounds the memory of a zstd encoder and of everybody who decodes its output.
const windowSize = 256 << 10

// snappyBlock is the largest block that the snappy framing format allows.
const snappyBlock = 64 << 10

// encoder is what the libraries' writers have in common.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// Writer compresses into an underlying writer, frame by frame. It is used by one goroutine.
type Writer struct {
	under io.Writer
	pool  *sync.Pool // nil for None
	enc   encoder    // nil between frames
	err   error      // the first error; the frame is then broken for good
}

// NewWriter returns a writer of the codec. level 0 is the codec's default, others must pass CheckLevel. Nothing is written
// before the first Write.
func (c Codec) NewWriter(w io.Writer, level int) (*Writer, error) {
	if err := c.CheckLevel(level); err != nil {
		return nil, err
	}
	out := &Writer{under: w}
	if c != None {
		out.pool = pool(c, level)
	}
	return out, nil
}

// Write compresses p, opening a frame if none is open. The bytes may stay in the encoder until EndFrame. After an error
// every later call returns it.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.pool == nil {
		n, err := w.under.Write(p)
		w.err = err
		return n, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if w.enc == nil {
		switch e := w.pool.Get().(type) {
		case encoder:
			e.Reset(w.under)
			w.enc = e
		case error:
			w.err = e
			return 0, e
		}
	}
	n, err := w.enc.Write(p)
	w.err = err
	return n, err
}

// EndFrame closes the open frame, if there is one, and passes all bytes on. The next Write opens another.
func (w *Writer) EndFrame() error {
	if w.err != nil || w.enc == nil {
		return w.err
	}
	if w.err = w.enc.Close(); w.err != nil {
		return w.err
	}
	w.enc.Reset(io.Discard) // lets go of the underlying writer
	w.pool.Put(w.enc)
	w.enc = nil
	return nil
}

// FrameOpen reports whether bytes were written since the last EndFrame.
func (w *Writer) FrameOpen() bool { return w.enc != nil }

// Discard drops the open frame without passing on what the encoder still holds. The Writer must not be used afterwards.
func (w *Writer) Discard() {
	if w.enc != nil && w.err == nil {
		w.enc.Reset(io.Discard)
		w.pool.Put(w.enc)
	}
	w.enc, w.err = nil, io.ErrClosedPipe
}

type poolKey struct {
	codec Codec
	level int
}

var pools sync.Map // poolKey -> *sync.Pool

func pool(c Codec, level int) *sync.Pool {
	key := poolKey{c, level}
	if p, ok := pools.Load(key); ok {
		return p.(*sync.Pool)
	}
	p, _ := pools.LoadOrStore(key, &sync.Pool{New: func() any {
		e, err := newEncoder(c, level)
		if err != nil {
			return err
		}
		return e
	}})
	return p.(*sync.Pool)
}

// newEncoder makes an encoder without goroutines of its own and with little memory.
func newEncoder(c Codec, level int) (encoder, error) {
	switch c {
	case Gzip:
		if level == 0 {
			level = gzip.BestSpeed
		}
		return gzip.NewWriterLevel(io.Discard, level)
	case Zstd:
		return zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowSize),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstdLevel(level)), zstd.WithEncoderCRC(true))
	case Snappy:
		return s2.NewWriter(io.Discard, s2.WriterSnappyCompat(), s2.WriterConcurrency(1), s2.WriterBlockSize(snappyBlock)), nil
	default:
		w := lz4.NewWriter(io.Discard)
		return w, w.Apply(lz4.ConcurrencyOption(1), lz4.BlockSizeOption(lz4.Block256Kb), lz4.ChecksumOption(true),
			lz4.CompressionLevelOption(lz4Level(level)))
	}
}
