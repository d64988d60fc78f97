package vfs

import (
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

func linkError(op, oldName, newName string, err error) error {
	return &os.LinkError{Op: op, Old: oldName, New: newName, Err: err}
}

// memInfo is a fs.FileInfo.
type memInfo struct {
	name  string
	size  int64
	dir   bool
	mtime time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return i.mtime }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o777
	}
	return 0o666
}

func (n *node) info(name string) fs.FileInfo {
	return memInfo{name, int64(len(n.data)), n.dir, n.mtime}
}

// memFile is an open file of a Mem.
type memFile struct {
	fs     *Mem
	node   *node
	name   string
	life   int
	pos    int64
	write  bool
	append bool
	closed bool
}

// check is called with the lock held before every use.
func (f *memFile) check(op string, writes bool) error {
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case f.life != f.fs.life:
		err = ErrPowerLoss
	case writes && !f.write:
		err = syscall.EBADF
	case f.node.dir:
		err = syscall.EISDIR
	default:
		err = f.fs.alive()
	}
	if err != nil {
		return pathError(op, f.name, err)
	}
	return nil
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *memFile) ReadAt(p []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if at < 0 {
		return 0, pathError("read", f.name, syscall.EINVAL)
	}
	if at >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	if err := f.fs.change(); err != nil {
		return 0, pathError("write", f.name, err)
	}
	n := f.node
	if f.append {
		f.pos = int64(len(n.data))
	}
	var full error
	if grow := f.pos + int64(len(p)) - int64(len(n.data)); grow > 0 && f.fs.capacity >= 0 {
		if free := f.fs.free(); grow > free {
			full = pathError("write", f.name, syscall.ENOSPC)
			p = p[:max(int64(len(p))-(grow-free), 0)]
		}
	}
	if len(p) > 0 {
		n.resize(max(len(n.data), int(f.pos)+len(p)))
		n.dirtyFrom = min(n.dirtyFrom, int(f.pos))
		copy(n.data[f.pos:], p)
		f.pos += int64(len(p))
		n.mtime = f.fs.now()
	}
	return len(p), full
}

// resize sets the length of the data, with zeros in what is new.
func (n *node) resize(size int) {
	if size < len(n.data) {
		n.data = n.data[:size]
		n.dirtyFrom = min(n.dirtyFrom, size)
		return
	}
	old := len(n.data)
	n.dirtyFrom = min(n.dirtyFrom, old)
	if size <= cap(n.data) {
		n.data = n.data[:size]
		clear(n.data[old:])
		return
	}
	grown := make([]byte, size, max(2*cap(n.data), size))
	copy(grown, n.data)
	n.data = grown
}

func (f *memFile) Seek(offset int64, whence int) (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("seek", false); err != nil {
		return 0, err
	}
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += int64(len(f.node.data))
	}
	if offset < 0 {
		return 0, pathError("seek", f.name, syscall.EINVAL)
	}
	f.pos = offset
	return offset, nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("sync", false); err != nil {
		return err
	}
	if err := f.fs.change(); err != nil {
		return pathError("sync", f.name, err)
	}
	n := f.node
	keep := min(n.dirtyFrom, len(n.synced), len(n.data))
	n.synced = append(n.synced[:keep], n.data[keep:]...)
	n.dirtyFrom = len(n.data)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, syscall.EINVAL)
	}
	if err := f.fs.change(); err != nil {
		return pathError("truncate", f.name, err)
	}
	f.node.resize(int(size))
	f.node.mtime = f.fs.now()
	return nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return nil, pathError("stat", f.name, fs.ErrClosed)
	}
	return f.node.info(lastPart(f.name)), nil
}

func lastPart(name string) string {
	parts := split(name)
	if len(parts) == 0 {
		return "/"
	}
	return parts[len(parts)-1]
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
