package vfs

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrPowerLoss is what every call returns between the moment set by StopAfter and the next Crash.
var ErrPowerLoss = errors.New("the power is off")

// Mem is a file system in memory that knows what would survive a power loss. Crash takes it back to that. Relative paths
// start at the root. The zero value is not usable; call NewMem.
type Mem struct {
	mu       sync.Mutex
	root     *node
	ops      int   // changing calls so far
	stopAt   int   // the call after which the power is off; -1: never
	life     int   // counts crashes; a file of an earlier life is dead
	capacity int64 // bytes; -1: no limit
}

// node is a file or a directory. The durable half is what a crash keeps.
type node struct {
	dir   bool
	mtime time.Time

	data      []byte
	synced    []byte
	dirtyFrom int // data differs from synced at most from here on; len(data) when clean and of equal size

	entries map[string]*node
	durable map[string]*node
	log     []dirOp // changes of entries since the last SyncDir
}

// dirOp is one change of a directory; set has the names it writes, nil meaning removed. A rename within one directory
// is a single dirOp, because file systems make it atomic.
type dirOp struct {
	set map[string]*node
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newDir(), stopAt: -1, capacity: -1}
}

func newDir() *node {
	return &node{dir: true, entries: map[string]*node{}, durable: map[string]*node{}}
}

// Ops is the number of calls so far that changed or synced something. A test counts them in one run and then takes the
// power away before each of them in turn.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// StopAfter lets n more changing calls succeed; from then on every call fails with ErrPowerLoss until Crash. n < 0 means
// never.
func (m *Mem) StopAfter(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopAt = -1
	if n >= 0 {
		m.stopAt = m.ops + n
	}
}

// SetCapacity limits the bytes in all files; a write beyond fails with ENOSPC after the part that fits. -1: no limit.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// change counts a changing call, or refuses it when the power is off.
func (m *Mem) change() error {
	if m.stopAt >= 0 && m.ops >= m.stopAt {
		return ErrPowerLoss
	}
	m.ops++
	return nil
}

func (m *Mem) alive() error {
	if m.stopAt >= 0 && m.ops >= m.stopAt {
		return ErrPowerLoss
	}
	return nil
}

// now is a time that grows with every change, so that tests are deterministic.
func (m *Mem) now() time.Time { return time.Unix(1e9, int64(m.ops)*1e6).UTC() }

func split(name string) []string {
	clean := strings.Trim(filepath.ToSlash(filepath.Clean("/"+name)), "/")
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

func (m *Mem) lookup(name string) (*node, error) {
	n := m.root
	for _, part := range split(name) {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		next, ok := n.entries[part]
		if !ok {
			return nil, syscall.ENOENT
		}
		n = next
	}
	return n, nil
}

func (m *Mem) parent(name string) (*node, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", syscall.EINVAL
	}
	dir, err := m.lookup(strings.Join(parts[:len(parts)-1], "/"))
	if err != nil {
		return nil, "", err
	}
	if !dir.dir {
		return nil, "", syscall.ENOTDIR
	}
	return dir, parts[len(parts)-1], nil
}

// apply changes a directory and remembers the change as one atomic step.
func (n *node) apply(set map[string]*node) {
	for name, target := range set {
		if target == nil {
			delete(n.entries, name)
		} else {
			n.entries[name] = target
		}
	}
	n.log = append(n.log, dirOp{set})
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.alive(); err != nil {
		return nil, pathError("open", name, err)
	}
	n, err := m.lookup(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &memFile{fs: m, node: n, name: name, life: m.life}, nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err == nil && dir.entries[base] != nil {
		err = syscall.EEXIST
	}
	if err == nil {
		err = m.change()
	}
	if err != nil {
		return nil, pathError("create", name, err)
	}
	n := &node{mtime: m.now()}
	dir.apply(map[string]*node{base: n})
	return &memFile{fs: m, node: n, name: name, life: m.life, write: true}, nil
}

// OpenAppend implements FS.
func (m *Mem) OpenAppend(name string) (File, error) {
	f, err := m.Create(name)
	if errors.Is(err, fs.ErrExist) {
		f, err = m.OpenReadWrite(name)
	}
	if err != nil {
		return nil, err
	}
	f.(*memFile).append = true
	return f, nil
}

// OpenReadWrite implements FS.
func (m *Mem) OpenReadWrite(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.alive()
	var n *node
	if err == nil {
		n, err = m.lookup(name)
	}
	if err == nil && n.dir {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &memFile{fs: m, node: n, name: name, life: m.life, write: true}, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error { return m.move("rename", oldName, newName, false) }

// Replace implements FS.
func (m *Mem) Replace(oldName, newName string) error {
	return m.move("replace", oldName, newName, true)
}

func (m *Mem) move(op, oldName, newName string, replace bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := func() error {
		from, oldBase, err := m.parent(oldName)
		if err != nil {
			return err
		}
		n := from.entries[oldBase]
		if n == nil {
			return syscall.ENOENT
		}
		to, newBase, err := m.parent(newName)
		if err != nil {
			return err
		}
		if old := to.entries[newBase]; old != nil {
			if !replace {
				return syscall.EEXIST
			}
			if old.dir {
				return syscall.EISDIR
			}
		}
		if err := m.change(); err != nil {
			return err
		}
		if from == to {
			if oldBase != newBase {
				from.apply(map[string]*node{oldBase: nil, newBase: n})
			}
			return nil
		}
		to.apply(map[string]*node{newBase: n})
		from.apply(map[string]*node{oldBase: nil})
		return nil
	}()
	if err != nil {
		return linkError(op, oldName, newName, err)
	}
	return nil
}

// Link implements FS.
func (m *Mem) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := func() error {
		n, err := m.lookup(oldName)
		if err != nil {
			return err
		}
		if n.dir {
			return syscall.EPERM
		}
		to, base, err := m.parent(newName)
		if err != nil {
			return err
		}
		if to.entries[base] != nil {
			return syscall.EEXIST
		}
		if err := m.change(); err != nil {
			return err
		}
		to.apply(map[string]*node{base: n})
		return nil
	}()
	if err != nil {
		return linkError("link", oldName, newName, err)
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err == nil {
		switch n := dir.entries[base]; {
		case n == nil:
			err = syscall.ENOENT
		case n.dir && len(n.entries) > 0:
			err = syscall.ENOTEMPTY
		default:
			err = m.change()
		}
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	dir.apply(map[string]*node{base: nil})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, part := range split(name) {
		next := n.entries[part]
		if next == nil {
			if err := m.change(); err != nil {
				return pathError("mkdir", name, err)
			}
			next = newDir()
			next.mtime = m.now()
			n.apply(map[string]*node{part: next})
		}
		if !next.dir {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
		n = next
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.alive()
	var n *node
	if err == nil {
		n, err = m.lookup(name)
	}
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	list := make([]fs.DirEntry, 0, len(n.entries))
	for base, child := range n.entries {
		list = append(list, fs.FileInfoToDirEntry(child.info(base)))
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	return list, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.alive()
	var n *node
	if err == nil {
		n, err = m.lookup(name)
	}
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return n.info(filepath.Base(filepath.Clean("/" + name))), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = m.change()
	}
	if err != nil {
		return pathError("sync", name, err)
	}
	n.log = nil
	n.durable = make(map[string]*node, len(n.entries))
	for base, child := range n.entries {
		n.durable[base] = child
	}
	return nil
}

// Truncate implements FS.
func (m *Mem) Truncate(name string, size int64) error {
	f, err := m.OpenReadWrite(name)
	if err != nil {
		return err
	}
	return f.Truncate(size)
}

// FreeSpace implements FS.
func (m *Mem) FreeSpace(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.alive(); err != nil {
		return 0, err
	}
	return m.free(), nil
}

func (m *Mem) free() int64 {
	if m.capacity < 0 {
		return math.MaxInt64
	}
	seen := map[*node]bool{}
	var used int64
	var walk func(n *node)
	walk = func(n *node) {
		if !seen[n] {
			seen[n] = true
			used += int64(len(n.data))
			for _, child := range n.entries {
				walk(child)
			}
		}
	}
	walk(m.root)
	return max(m.capacity-used, 0)
}
