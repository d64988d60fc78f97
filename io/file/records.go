package file

import (
	"bytes"
	"fmt"
	"io"

	"turbo/io/connector"
)

const (
	readBuffer = 256 << 10
	// maxRecord bounds one record of a text file: what is longer is no record but a file of another format.
	maxRecord = 64 << 20
)

// recordReader cuts a stream into records.
type recordReader struct {
	in       io.Reader
	splitter connector.Splitter
	buf      []byte
	from, to int   // unread bytes in buf
	looked   int   // bytes of them that the splitter has seen in vain
	offset   int64 // of buf[from] in the stream
	line     int64 // records read so far
	eof      bool
	start    int64 // where the last record began
}

func newRecordReader(in io.Reader, splitter connector.Splitter, offset int64) *recordReader {
	return &recordReader{in: in, splitter: splitter, buf: make([]byte, readBuffer), offset: offset}
}

// next returns the next record, valid until the following call, or io.EOF.
func (r *recordReader) next() ([]byte, error) {
	for {
		if r.to > r.from || r.eof {
			advance, record, err := r.splitter.Split(r.buf[r.from:r.to], r.looked, r.eof)
			if err != nil {
				return nil, fmt.Errorf("byte %d: %w", r.offset, err)
			}
			if advance > 0 {
				r.start = r.offset
				r.from += advance
				r.offset += int64(advance)
				r.looked = 0
				r.line++
				return record, nil
			}
			if r.eof {
				return nil, io.EOF
			}
			r.looked = r.to - r.from
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// skipLine passes over the rest of a line, whatever the format: the splitter of quoted formats must not begin in its middle.
func (r *recordReader) skipLine() error {
	for {
		if i := bytes.IndexByte(r.buf[r.from:r.to], '\n'); i >= 0 {
			r.from += i + 1
			r.offset += int64(i + 1)
			return nil
		}
		r.offset += int64(r.to - r.from)
		r.from, r.to = 0, 0
		if r.eof {
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

func (r *recordReader) fill() error {
	if r.from > 0 {
		copy(r.buf, r.buf[r.from:r.to])
		r.from, r.to = 0, r.to-r.from
	}
	if r.to == len(r.buf) {
		if len(r.buf) >= maxRecord {
			return fmt.Errorf("byte %d: a record of more than %d MiB; is this the right format?", r.offset, maxRecord>>20)
		}
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := r.in.Read(r.buf[r.to:])
	r.to += n
	if err == io.EOF {
		r.eof = true
		return nil
	}
	return err
}

// bytes is the memory that the reader holds.
func (r *recordReader) bytes() int64 { return int64(len(r.buf)) }
