package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"turbo/internal/killpoint"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
	"turbo/io/ledger"
)

// writeBuffer is how many bytes an open file collects before it writes them.
const writeBuffer = 64 << 10

// appender writes to the end of a file through a buffer and keeps its length and checksum. After an error it is broken.
type appender struct {
	file  vfs.File
	buf   []byte
	bytes int64 // with what is in buf
	sum   ledger.Sum
	err   error
}

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	a.bytes += int64(len(p))
	n := len(p)
	if len(a.buf)+len(p) < writeBuffer {
		a.buf = append(a.buf, p...)
		return n, nil
	}
	if err := a.flush(); err != nil {
		return 0, err
	}
	if len(p) < writeBuffer {
		a.buf = append(a.buf, p...)
		return n, nil
	}
	return n, a.put(p)
}

func (a *appender) put(p []byte) error {
	killpoint.Reach("writing")
	a.sum = a.sum.Add(p)
	_, a.err = a.file.Write(p)
	return a.err
}

func (a *appender) flush() error {
	if a.err == nil && len(a.buf) > 0 {
		_ = a.put(a.buf)
		a.buf = a.buf[:0]
	}
	return a.err
}

// openFile is one hidden file being written. Its worker's goroutine uses it.
type openFile struct {
	path      string // visible, relative to the sink's directory
	partition string
	opened    time.Time
	written   time.Time // last row
	rows      int64
	out       appender
	dirty     bool  // rows since the last barrier
	synced    int64 // bytes that have been given to the disk
	reserved  int64 // bytes of the memory account for buffer and encoder

	text      *compress.Writer     // of text formats
	container connector.FileWriter // of containers, while a part is open
	parts     []int64              // of containers: where each finished part ends
}

// openRecord is what a committable says about an open file, beyond what the ledger keeps.
type openRecord struct {
	ledger.File
	Partition string  `json:"partition,omitempty"`
	Opened    int64   `json:"opened"`  // microseconds
	Written   int64   `json:"written"` // microseconds
	Parts     []int64 `json:"parts,omitempty"`
}

// size is the file's size so far, encoders' buffers included as far as they tell.
func (f *openFile) size() int64 {
	n := f.out.bytes
	if f.container != nil {
		n += f.container.Buffered()
	}
	return n
}

// endFrame makes everything written so far readable: the end of a compression frame or of a container's part.
func (f *openFile) endFrame() error {
	if f.text != nil {
		return f.text.EndFrame()
	}
	if f.container == nil {
		return nil
	}
	err := f.container.Close()
	f.container = nil
	f.parts = append(f.parts, f.out.bytes)
	return err
}

// barrier ends the durable prefix here: everything written so far is on its way to the disk when this returns, except for the file's
// name.
func (f *openFile) barrier(flush *flusher) error {
	if !f.dirty {
		return nil
	}
	if err := f.endFrame(); err != nil {
		return f.failed(err)
	}
	if err := f.out.flush(); err != nil {
		return f.failed(err)
	}
	f.synced = f.out.bytes
	flush.add(flushJob{file: f.out.file})
	f.dirty = false
	return nil
}

// syncEarly has the flusher sync what was written, when that is much and it has nothing else to do.
func (f *openFile) syncEarly(flush *flusher) {
	if f.out.bytes-f.synced >= earlySync && flush.idle() {
		f.synced = f.out.bytes
		flush.add(flushJob{file: f.out.file})
	}
}

func (f *openFile) failed(err error) error { return fileError(f.out.file, err) }

func fileError(file vfs.File, err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return err // it says what was done to which file
	}
	return fmt.Errorf("write %s: %w", file.Name(), err)
}

// seal ends the file: footer, then sync and close by the flusher. It becomes visible by the commit of a checkpoint.
func (f *openFile) seal(parts *Parts, flush *flusher) (ledger.File, error) {
	if err := f.endFrame(); err != nil {
		return ledger.File{}, f.failed(err)
	}
	if parts != nil && (len(f.parts) > 1 || parts.Wrap != nil) {
		if err := f.out.flush(); err != nil {
			return ledger.File{}, f.failed(err)
		}
		tail, err := parts.Footer(f.out.file, f.parts)
		if err != nil {
			return ledger.File{}, f.failed(err)
		}
		// The position is where the last write ended: ReadAt does not move it.
		if _, err := f.out.Write(tail); err != nil {
			return ledger.File{}, f.failed(err)
		}
	}
	if err := f.out.flush(); err != nil {
		return ledger.File{}, f.failed(err)
	}
	info, err := f.out.file.Stat()
	if err != nil {
		return ledger.File{}, f.failed(err)
	}
	if info.Size() != f.out.bytes {
		return ledger.File{}, f.failed(fmt.Errorf("it has %d bytes, written were %d: somebody else changes it", info.Size(), f.out.bytes))
	}
	sealed := f.record()
	sealed.Modified = info.ModTime().UnixNano()
	flush.add(flushJob{file: f.out.file, close: true})
	return sealed, nil
}

// record describes the file as it is after a barrier.
func (f *openFile) record() ledger.File {
	return ledger.File{Path: f.path, Temp: hidden(f.path), Rows: f.rows, Bytes: f.out.bytes, Sum: f.out.sum}
}

func (f *openFile) openRecord() openRecord {
	return openRecord{File: f.record(), Partition: f.partition, Opened: f.opened.UnixMicro(), Written: f.written.UnixMicro(), Parts: f.parts}
}

// abandon closes the file without finishing anything.
func (f *openFile) abandon() {
	f.discard()
	_ = f.out.file.Close()
}

// discard drops what is buffered.
func (f *openFile) discard() {
	if f.text != nil {
		f.text.Discard()
	}
	if f.container != nil {
		f.out.err = io.ErrClosedPipe // what is buffered goes nowhere
		_ = f.container.Close()
		f.container = nil
	}
}

// create makes a hidden file whose directory exists durably when this returns. Its own name is durable after the sync of
// the directory.
func create(fs vfs.FS, dir, visible string) (vfs.File, error) {
	full := join(dir, hidden(visible))
	if err := vfs.MkdirSynced(fs, filepath.Dir(full)); err != nil {
		return nil, err
	}
	return fs.Create(full)
}

// reopen cuts a hidden file back to its durable prefix and opens it for appending.
func reopen(fs vfs.FS, dir string, r ledger.File) (vfs.File, error) {
	full := join(dir, r.Temp)
	file, err := fs.OpenReadWrite(full)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (vfs.File, error) {
		file.Close()
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return fail(err)
	}
	if info.Size() < r.Bytes {
		return fail(fmt.Errorf("%s has %d bytes, but the checkpoint covers %d of it: the output was changed from outside; restore it, or start again with --fresh", full, info.Size(), r.Bytes))
	}
	if info.Size() > r.Bytes {
		keep := r.Bytes
		if mutants.truncateTooLittle {
			keep = min(keep+5, info.Size())
		}
		if err := file.Truncate(keep); err != nil {
			return fail(err)
		}
		if err := file.Sync(); err != nil {
			return fail(err)
		}
	}
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		return fail(err)
	}
	return file, nil
}
