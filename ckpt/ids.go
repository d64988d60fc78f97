package ckpt

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"turbo/internal/vfs"
)

// idLease is how many ids are made unusable at once by one synced write; so many are skipped after a crash, at most.
const idLease = 16

const idsName = "next-id"

// IDs hands out checkpoint ids that were never used before, also if the checkpoint that had one left no other trace:
// sinks name things after them. A file holds a bound below which every id may have been used.
type IDs struct {
	fs  vfs.FS
	dir string

	mu    sync.Mutex
	next  uint64
	bound uint64 // ids below it are covered by the file
}

// OpenIDs reads the file in dir. last is the largest id known from elsewhere (page store, manifests).
func OpenIDs(f vfs.FS, dir string, last uint64) (*IDs, error) {
	s := &IDs{fs: f, dir: dir, next: last + 1}
	path := filepath.Join(dir, idsName)
	content, err := vfs.ReadFile(f, path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint ids: %w", err)
	}
	bound, err := strconv.ParseUint(strings.TrimSuffix(string(content), "\n"), 10, 64)
	if err != nil || !strings.HasSuffix(string(content), "\n") {
		return nil, fmt.Errorf("checkpoint ids: %s: %w: it should hold a number larger than any checkpoint id ever used; the largest known otherwise is %d",
			path, ErrDamaged, last)
	}
	s.next = max(s.next, bound)
	return s, nil
}

// Peek is the id that Take returns next.
func (s *IDs) Peek() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Take returns an id that nobody ever used. It may write and sync a small file.
func (s *IDs) Take() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next >= s.bound {
		if err := s.write(s.next + idLease); err != nil {
			return 0, err
		}
		s.bound = s.next + idLease
	}
	s.next++
	return s.next - 1, nil
}

// Close gives back what was reserved and not used.
func (s *IDs) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound <= s.next {
		return nil
	}
	s.bound = s.next
	return s.write(s.next)
}

func (s *IDs) write(bound uint64) error {
	path := filepath.Join(s.dir, idsName)
	temporary := path + temporarySuffix
	err := s.fs.Remove(temporary)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = vfs.WriteFile(s.fs, temporary, []byte(strconv.FormatUint(bound, 10)+"\n"))
	}
	if err == nil {
		err = s.fs.Replace(temporary, path)
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("checkpoint ids: %w", err)
	}
	return nil
}
