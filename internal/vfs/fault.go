package vfs

import (
	"io/fs"
	"path"
	"path/filepath"
	"sync"
	"syscall"
)

// Op names a kind of call for a Rule.
type Op string

// The calls that a Rule can make fail. OpAny stands for all of them.
const (
	OpAny       Op = ""
	OpOpen      Op = "open"
	OpCreate    Op = "create"
	OpRead      Op = "read"
	OpWrite     Op = "write"
	OpSync      Op = "sync"
	OpTruncate  Op = "truncate"
	OpRename    Op = "rename" // Rename and Replace; the pattern is matched against the new name
	OpLink      Op = "link"
	OpRemove    Op = "remove"
	OpMkdir     Op = "mkdir"
	OpReadDir   Op = "readdir"
	OpStat      Op = "stat"
	OpSyncDir   Op = "syncdir"
	OpFreeSpace Op = "freespace"
)

// Rule says which calls of a Faulty fail. The zero value fails every call with EIO.
type Rule struct {
	Op      Op
	Pattern string // path.Match pattern for the base name, or for the whole path if it has a slash; "" matches all
	After   int    // so many matching calls succeed first
	Times   int    // so many fail then; 0: all that follow
	Bytes   int64  // OpWrite: bytes that are still written before ENOSPC; used if > 0, instead of After
	Err     error  // default: EIO, or ENOSPC when Bytes is set
}

// Faulty is a file system that fails where its rules say so.
type Faulty struct {
	under FS
	mu    sync.Mutex
	rules []*ruleState
}

type ruleState struct {
	Rule
	calls   int
	written int64
}

// NewFaulty wraps a file system. Without rules it changes nothing.
func NewFaulty(under FS) *Faulty { return &Faulty{under: under} }

// Add adds a rule.
func (f *Faulty) Add(r Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Bytes > 0 {
		r.Op = OpWrite
	}
	if r.Err == nil {
		r.Err = syscall.EIO
		if r.Bytes > 0 {
			r.Err = syscall.ENOSPC
		}
	}
	f.rules = append(f.rules, &ruleState{Rule: r})
}

// Clear removes all rules: the fault is repaired.
func (f *Faulty) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

func (r *ruleState) matches(op Op, name string) bool {
	if r.Op != OpAny && r.Op != op {
		return false
	}
	if r.Pattern == "" {
		return true
	}
	ok, err := path.Match(r.Pattern, filepath.Base(name))
	if err == nil && !ok {
		ok, err = path.Match(r.Pattern, filepath.ToSlash(name))
	}
	return err == nil && ok
}

// fault decides about one call. For writes it returns how many of the size bytes still go through.
func (f *Faulty) fault(op Op, name string, size int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if !r.matches(op, name) {
			continue
		}
		if r.Bytes > 0 {
			left := r.Bytes - r.written
			if int64(size) <= left {
				r.written += int64(size)
				continue
			}
			r.written = r.Bytes
			return int(left), r.Err
		}
		r.calls++
		if r.calls > r.After && (r.Times == 0 || r.calls <= r.After+r.Times) {
			return 0, r.Err
		}
	}
	return size, nil
}

func (f *Faulty) check(op Op, name string) error {
	if _, err := f.fault(op, name, 0); err != nil {
		return pathError(string(op), name, err)
	}
	return nil
}

func (f *Faulty) open(op Op, name string, open func(string) (File, error)) (File, error) {
	if err := f.check(op, name); err != nil {
		return nil, err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f}, nil
}

// Open implements FS.
func (f *Faulty) Open(name string) (File, error) { return f.open(OpOpen, name, f.under.Open) }

// Create implements FS.
func (f *Faulty) Create(name string) (File, error) { return f.open(OpCreate, name, f.under.Create) }

// OpenAppend implements FS; rules see it as OpOpen.
func (f *Faulty) OpenAppend(name string) (File, error) {
	return f.open(OpOpen, name, f.under.OpenAppend)
}

// OpenReadWrite implements FS; rules see it as OpOpen.
func (f *Faulty) OpenReadWrite(name string) (File, error) {
	return f.open(OpOpen, name, f.under.OpenReadWrite)
}

// Rename implements FS.
func (f *Faulty) Rename(oldName, newName string) error {
	if _, err := f.fault(OpRename, newName, 0); err != nil {
		return linkError("rename", oldName, newName, err)
	}
	return f.under.Rename(oldName, newName)
}

// Replace implements FS.
func (f *Faulty) Replace(oldName, newName string) error {
	if _, err := f.fault(OpRename, newName, 0); err != nil {
		return linkError("replace", oldName, newName, err)
	}
	return f.under.Replace(oldName, newName)
}

// Link implements FS.
func (f *Faulty) Link(oldName, newName string) error {
	if _, err := f.fault(OpLink, newName, 0); err != nil {
		return linkError("link", oldName, newName, err)
	}
	return f.under.Link(oldName, newName)
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	if err := f.check(OpRemove, name); err != nil {
		return err
	}
	return f.under.Remove(name)
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(dir string) error {
	if err := f.check(OpMkdir, dir); err != nil {
		return err
	}
	return f.under.MkdirAll(dir)
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(dir string) ([]fs.DirEntry, error) {
	if err := f.check(OpReadDir, dir); err != nil {
		return nil, err
	}
	return f.under.ReadDir(dir)
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (fs.FileInfo, error) {
	if err := f.check(OpStat, name); err != nil {
		return nil, err
	}
	return f.under.Stat(name)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(dir string) error {
	if err := f.check(OpSyncDir, dir); err != nil {
		return err
	}
	return f.under.SyncDir(dir)
}

// Truncate implements FS.
func (f *Faulty) Truncate(name string, size int64) error {
	if err := f.check(OpTruncate, name); err != nil {
		return err
	}
	return f.under.Truncate(name, size)
}

// FreeSpace implements FS; a rule with Bytes also limits what it reports.
func (f *Faulty) FreeSpace(dir string) (int64, error) {
	if err := f.check(OpFreeSpace, dir); err != nil {
		return 0, err
	}
	free, err := f.under.FreeSpace(dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.Bytes > 0 {
			free = min(free, r.Bytes-r.written)
		}
	}
	return free, err
}

type faultyFile struct {
	File
	fs *Faulty
}

func (f *faultyFile) Read(p []byte) (int, error) {
	if err := f.fs.check(OpRead, f.Name()); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *faultyFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.fs.check(OpRead, f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, at)
}

func (f *faultyFile) Write(p []byte) (int, error) {
	n, fault := f.fs.fault(OpWrite, f.Name(), len(p))
	if fault == nil {
		return f.File.Write(p)
	}
	if n > 0 {
		var err error
		if n, err = f.File.Write(p[:n]); err != nil {
			return n, err
		}
	}
	return n, pathError("write", f.Name(), fault)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.check(OpSync, f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.check(OpTruncate, f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}
