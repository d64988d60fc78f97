package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
)

// File is an open file. Reads and writes share one position, as in package os. A File may be used by one goroutine at a
// time, except ReadAt and Sync, which may be called concurrently: a Sync covers what was written before it began.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Seeker
	io.Closer
	// Name is the path that was used to open the file; a later rename does not change it.
	Name() string
	// Sync makes the content and the size durable; not the name.
	Sync() error
	// Truncate sets the size; a position beyond it is not moved.
	Truncate(size int64) error
	// Stat describes the file.
	Stat() (fs.FileInfo, error)
}

// FS is a file system. All methods may be called by any goroutine. Paths are those of the operating system.
type FS interface {
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// Create makes a new file, open for reading and writing. It fails with fs.ErrExist if the name exists.
	Create(name string) (File, error)
	// OpenAppend opens a file for reading and writing at its end, and makes it if it does not exist.
	OpenAppend(name string) (File, error)
	// OpenReadWrite opens an existing file for reading and writing, positioned at its start.
	OpenReadWrite(name string) (File, error)
	// Rename gives a file or directory another name on the same file system, atomically. It never replaces: fs.ErrExist.
	Rename(oldName, newName string) error
	// Replace is Rename that takes the place of an existing file, atomically.
	Replace(oldName, newName string) error
	// Link gives a file a second name. It fails with fs.ErrExist if the name exists.
	Link(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// MkdirAll makes a directory and its missing parents; one that exists is no error. Nothing is synced.
	MkdirAll(dir string) error
	// ReadDir lists a directory in the order of names.
	ReadDir(dir string) ([]fs.DirEntry, error)
	// Stat describes a file or directory.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a directory durable: additions, renames and removals.
	SyncDir(dir string) error
	// Truncate sets the size of a file. It is durable after a File.Sync of it.
	Truncate(name string, size int64) error
	// FreeSpace is the number of bytes that an ordinary user may still write on the file system that holds dir.
	FreeSpace(dir string) (int64, error)
}

// MkdirSynced makes dir and its missing parents, and makes them durable.
func MkdirSynced(f FS, dir string) error {
	dir = filepath.Clean(dir)
	if info, err := f.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: errNotDir}
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirSynced(f, parent); err != nil {
			return err
		}
	}
	if err := f.MkdirAll(dir); err != nil {
		return err
	}
	return f.SyncDir(parent)
}

// ReadFile reads a whole file.
func ReadFile(f FS, name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// WriteFile makes a new file with the content, durably: fs.ErrExist if the name is taken. After an error the name may
// exist with any part of the content.
func WriteFile(f FS, name string, content []byte) error {
	file, err := f.Create(name)
	if err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		file.Close()
		return err
	}
	if err := file.Sync(); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(name))
}

// Exists reports whether a name exists.
func Exists(f FS, name string) (bool, error) {
	_, err := f.Stat(name)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, err
}
