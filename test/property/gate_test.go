package property

import (
	"errors"
	"io"
	"strings"
	"sync"

	"turbo/internal/vfs"
)

// gate is the real file system with a lock before the files of one directory: they can be read up to their limits only, a reader that comes further waits.
type gate struct {
	vfs.FS
	dir string

	mu     sync.Mutex
	moved  sync.Cond
	limits map[string]int64 // by path; a file without one is closed
	broken int              // how often it was
	closed bool
}

var (
	errGate   = errors.New("the gate is closed: the job's attempt is over")
	errBroken = errors.New("a disk that fails for a moment")
)

func newGate(dir string) *gate {
	g := &gate{FS: vfs.OS(), dir: dir, limits: map[string]int64{}}
	g.moved.L = &g.mu
	return g
}

// open sets limits.
func (g *gate) open(limits map[string]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for path, limit := range limits {
		g.limits[path] = limit
	}
	g.moved.Broadcast()
}

// close lets all who wait go, with an error.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.moved.Broadcast()
}

// fail makes all files that are open fail, and shuts the others again.
func (g *gate) fail() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.limits)
	g.broken++
	g.moved.Broadcast()
}

// wait returns the limit of a file once it is beyond off.
func (g *gate) wait(f *gated, off int64) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.closed && g.broken == f.broken && g.limits[f.Name()] <= off {
		g.moved.Wait()
	}
	switch {
	case g.closed:
		return 0, errGate
	case g.broken != f.broken:
		return 0, errBroken
	}
	return g.limits[f.Name()], nil
}

// Open implements vfs.FS.
func (g *gate) Open(name string) (vfs.File, error) {
	f, err := g.FS.Open(name)
	if err != nil || !strings.HasPrefix(name, g.dir) {
		return f, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return &gated{File: f, gate: g, broken: g.broken}, nil
}

// gated is a file of the input. Sources read it by ReadAt.
type gated struct {
	vfs.File
	gate   *gate
	broken int // as the gate's, or it fails
}

// ReadAt reads less than is asked for when the limit is near, without an error: io.SectionReader passes that on as a short read.
func (f *gated) ReadAt(p []byte, off int64) (int, error) {
	limit, err := f.gate.wait(f, off)
	if err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(p[:min(int64(len(p)), limit-off)], off)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Read is not for gated files: it would go past the gate.
func (f *gated) Read([]byte) (int, error) {
	return 0, errors.New("the gate expects sources to use ReadAt")
}
