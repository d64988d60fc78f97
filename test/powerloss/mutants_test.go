package powerloss

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"

	"turbo/ckpt"
	"turbo/internal/vfs"
)

// mutant breaks one promise, for the test to notice.
type mutant struct {
	name  string
	fs    func(vfs.FS) vfs.FS
	pages func(ckpt.Backend) ckpt.Backend
}

var mutants = []mutant{
	{name: "directories are not synced", fs: func(f vfs.FS) vfs.FS { return &lazyDirectories{f} }},
	{name: "sinks commit before the manifest", fs: func(f vfs.FS) vfs.FS { return &lateManifests{FS: f} }},
	{name: "a dirty page is left out", pages: func(b ckpt.Backend) ckpt.Backend { return &forgetful{Backend: b} }},
	{name: "open files are truncated too little", fs: func(f vfs.FS) vfs.FS { return &sparing{f} }},
	{name: "files are not synced", fs: func(f vfs.FS) vfs.FS { return &lazyFiles{f} }},
	{name: "pages are not synced", pages: func(b ckpt.Backend) ckpt.Backend { return &lazyPages{b} }},
}

type lazyDirectories struct{ vfs.FS }

func (*lazyDirectories) SyncDir(string) error { return nil }

// lateManifests puts off a manifest's name and its durability until the next operation in the state directory: the sinks have
// committed by then.
type lateManifests struct {
	vfs.FS
	mu       sync.Mutex
	from, to string
	synced   bool
}

func isState(name string) bool { return strings.HasPrefix(filepath.ToSlash(name), stateDir) }

// settle does what was put off.
func (l *lateManifests) settle(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == "" || !isState(name) {
		return
	}
	if err := l.FS.Rename(l.from, l.to); err == nil {
		_ = l.FS.SyncDir(filepath.Dir(l.to))
	}
	l.to = ""
}

func (l *lateManifests) Rename(from, to string) error {
	l.settle(to)
	if !isState(to) {
		return l.FS.Rename(from, to)
	}
	l.mu.Lock()
	l.from, l.to, l.synced = from, to, false
	l.mu.Unlock()
	return nil
}

func (l *lateManifests) SyncDir(dir string) error {
	l.mu.Lock()
	first := l.to != "" && !l.synced && isState(dir)
	l.synced = l.synced || first
	l.mu.Unlock()
	if first {
		return nil
	}
	l.settle(dir)
	return l.FS.SyncDir(dir)
}

func (l *lateManifests) Open(name string) (vfs.File, error) {
	l.settle(name)
	return l.FS.Open(name)
}

func (l *lateManifests) Create(name string) (vfs.File, error) {
	l.settle(name)
	return l.FS.Create(name)
}

func (l *lateManifests) Remove(name string) error {
	l.settle(name)
	return l.FS.Remove(name)
}

func (l *lateManifests) ReadDir(dir string) ([]entry, error) {
	l.settle(dir)
	return l.FS.ReadDir(dir)
}

// sparing leaves some bytes behind the durable prefix.
type sparing struct{ vfs.FS }

func (s *sparing) OpenReadWrite(name string) (vfs.File, error) {
	f, err := s.FS.OpenReadWrite(name)
	if err != nil {
		return nil, err
	}
	return sparingFile{f}, nil
}

type sparingFile struct{ vfs.File }

func (f sparingFile) Truncate(size int64) error {
	if info, err := f.Stat(); err == nil {
		size = min(size+5, info.Size())
	}
	return f.File.Truncate(size)
}

type lazyFiles struct{ vfs.FS }

func (l *lazyFiles) Create(name string) (vfs.File, error) {
	f, err := l.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return lazyFile{f}, nil
}

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error { return nil }

// forgetful leaves out a version of a page now and then.
type forgetful struct {
	ckpt.Backend
	mu     sync.Mutex
	random rand.PCG
}

func (f *forgetful) Put(version uint64, records []ckpt.Record) error {
	f.mu.Lock()
	out := f.random.Uint64()%4 == 0 && len(records) > 1
	f.mu.Unlock()
	if out {
		records = records[1:]
	}
	return f.Backend.Put(version, records)
}

type lazyPages struct{ ckpt.Backend }

func (*lazyPages) Sync() error { return nil }
