package dirlock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"turbo/internal/vfs"
)

// FileName is the name of the lock's file in the directory. It starts with a dot, so readers of output directories skip it.
const FileName = ".turbo.lock"

// Lock is a directory that belongs to this process until Close.
type Lock struct {
	file *os.File // nil for a lock in this process's table
	key  tableKey
}

// HeldError says that somebody else has the directory.
type HeldError struct {
	Dir   string
	PID   int    // 0 if the holder has not written it yet
	Owner string // what the holder said it was doing
	Since time.Time
}

func (e *HeldError) Error() string {
	who := "another process"
	switch {
	case e.PID == os.Getpid():
		who = fmt.Sprintf("this process (pid %d)", e.PID)
	case e.PID != 0:
		who = fmt.Sprintf("process %d", e.PID)
	}
	if e.Owner != "" {
		who += " (" + e.Owner + ")"
	}
	if !e.Since.IsZero() {
		who += " since " + e.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("directory %s is in use by %s; stop it, or use another directory", e.Dir, who)
}

type holder struct {
	PID   int       `json:"pid"`
	Owner string    `json:"owner"`
	Since time.Time `json:"since"`
}

type tableKey struct {
	fs  vfs.FS
	dir string
}

var (
	tableMu sync.Mutex
	table   = map[tableKey]holder{}
)

// Acquire takes the lock of dir, which must exist. owner says in a few words what it is for, as the refused will read it
// ("job arrivals"). It never waits: a *HeldError says that the directory is taken.
func Acquire(f vfs.FS, dir, owner string) (*Lock, error) {
	dir = filepath.Clean(dir)
	me := holder{PID: os.Getpid(), Owner: owner, Since: time.Now().UTC().Truncate(time.Second)}
	if f != vfs.OS() {
		return acquireInTable(f, dir, me)
	}
	file, err := os.OpenFile(filepath.Join(dir, FileName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("lock directory %s: %w", dir, err)
	}
	if err := flock(file); err != nil {
		defer file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock directory %s: %w", dir, err)
		}
		other := read(file)
		return nil, &HeldError{Dir: dir, PID: other.PID, Owner: other.Owner, Since: other.Since}
	}
	if err := write(file, me); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock directory %s: %w", dir, err)
	}
	return &Lock{file: file}, nil
}

func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// read returns who wrote the file; the zero holder if it is empty or half-written.
func read(file *os.File) holder {
	var h holder
	content, err := io.ReadAll(io.NewSectionReader(file, 0, 4096))
	if err != nil || json.Unmarshal(content, &h) != nil {
		return holder{}
	}
	return h
}

func write(file *os.File, h holder) error {
	content, err := json.Marshal(h)
	if err != nil {
		return err
	}
	content = append(content, '\n')
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(content, 0)
	return err
}

func acquireInTable(f vfs.FS, dir string, me holder) (*Lock, error) {
	if _, err := f.Stat(dir); err != nil {
		return nil, fmt.Errorf("lock directory %s: %w", dir, err)
	}
	key := tableKey{f, dir}
	tableMu.Lock()
	defer tableMu.Unlock()
	if other, taken := table[key]; taken {
		return nil, &HeldError{Dir: dir, PID: other.PID, Owner: other.Owner, Since: other.Since}
	}
	table[key] = me
	return &Lock{key: key}, nil
}

// Close gives the directory back. The second call does nothing.
func (l *Lock) Close() error {
	if l.key.fs != nil {
		tableMu.Lock()
		delete(table, l.key)
		tableMu.Unlock()
		l.key = tableKey{}
		return nil
	}
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return errors.Join(file.Truncate(0), file.Close()) // closing the only descriptor releases the lock
}
