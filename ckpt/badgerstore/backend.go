package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"turbo/ckpt"
)

// Put implements ckpt.Backend.
func (b *backend) Put(version uint64, records []ckpt.Record) (err error) {
	defer catch(&err)
	if len(records) == 0 {
		return nil
	}
	batch := b.db.NewManagedWriteBatch()
	defer batch.Cancel()
	for _, r := range records {
		entry := badger.NewEntry(r.Key, r.Value).WithMeta(byte(r.Kind))
		if r.Ends {
			entry = entry.WithDiscard()
		}
		if err := batch.SetEntryAt(entry, version); err != nil {
			return err
		}
	}
	return batch.Flush() // waits: the values have been copied
}

// Scan implements ckpt.Backend.
func (b *backend) Scan(s ckpt.Scan, visit func(ckpt.Item) (ckpt.Next, error)) (err error) {
	defer catch(&err)
	txn := b.db.NewTransactionAt(s.At, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true, SinceTs: s.After, Prefix: commonPrefix(s.From, s.To)})
	defer it.Close()
	var skip, value []byte // skip: the key whose older versions are not wanted
	for it.Seek(s.From); it.Valid(); it.Next() {
		found := it.Item()
		key := found.Key()
		if s.To != nil && bytes.Compare(key, s.To) >= 0 {
			return nil
		}
		if skip != nil && bytes.Equal(key, skip) {
			continue
		}
		item := ckpt.Item{Key: key, Version: found.Version(), Kind: ckpt.Kind(found.UserMeta()), Size: int(found.ValueSize())}
		if s.Values {
			value, item.Err = read(found, value)
			item.Value = value
		}
		next, err := visit(item)
		if err != nil {
			return err
		}
		if skip = skip[:0]; next == ckpt.NextKey {
			skip = append(skip, key...)
		}
	}
	return nil
}

// read copies the value out of the mapped file: the file's lock is not held while the visitor works.
func read(item *badger.Item, into []byte) (value []byte, err error) {
	defer catch(&err)
	return item.ValueCopy(into[:0])
}

// commonPrefix lets Badger leave out tables without a key in [from, to).
func commonPrefix(from, to []byte) []byte {
	n := 0
	for n < len(from) && n < len(to) && from[n] == to[n] {
		n++
	}
	return from[:n]
}

// MaxVersion implements ckpt.Backend.
func (b *backend) MaxVersion() (version uint64, err error) {
	defer catch(&err)
	return b.db.MaxVersion(), nil
}

// Sync implements ckpt.Backend. Badger may compact meanwhile: new files are looked for until there are none.
func (b *backend) Sync() error {
	b.syncing.Lock()
	defer b.syncing.Unlock()
	for range 10 {
		entries, err := b.opts.FS.ReadDir(b.dir)
		if err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		if err := b.syncFiles(entries); err != nil {
			return err
		}
		if err := b.opts.FS.SyncDir(b.dir); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		again, err := b.opts.FS.ReadDir(b.dir)
		if err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		if !hasNew(entries, again) {
			return nil
		}
	}
	return nil // only compaction makes files that fast, and it syncs what it makes
}

func (b *backend) syncFiles(entries []fs.DirEntry) error {
	lastLog := ""
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".vlog") {
			lastLog = max(lastLog, e.Name())
		}
	}
	present := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		present[name] = true
		if b.synced[name] || e.IsDir() || name == "LOCK" {
			continue
		}
		if err := b.syncFile(filepath.Join(b.dir, name)); err != nil {
			return err
		}
		// Tables never change; nor do value logs once there is a newer one.
		if strings.HasSuffix(name, ".sst") || (strings.HasSuffix(name, ".vlog") && name != lastLog) {
			b.synced[name] = true
		}
	}
	for name := range b.synced {
		if !present[name] {
			delete(b.synced, name)
		}
	}
	return nil
}

func (b *backend) syncFile(name string) error {
	file, err := b.opts.FS.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // compacted away: what it held is in a newer file
	}
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	err = file.Sync()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}

func hasNew(before, after []fs.DirEntry) bool {
	seen := map[string]bool{}
	for _, e := range before {
		seen[e.Name()] = true
	}
	for _, e := range after {
		if !seen[e.Name()] {
			return true
		}
	}
	return false
}

// garbageShare is the share of a value log file that must be garbage before the rest is copied out of it.
const garbageShare = 0.7

// collectAtOnce bounds how many value log files one Discard collects, so that it ends.
const collectAtOnce = 8

// Discard implements ckpt.Backend.
func (b *backend) Discard(oldest uint64) (err error) {
	defer catch(&err)
	b.discarding.Lock()
	defer b.discarding.Unlock()
	b.db.SetDiscardTs(oldest)
	// While this iterator is open, Badger removes no value log file.
	txn := b.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	hold := txn.NewIterator(badger.IteratorOptions{Prefix: []byte("none")})
	defer hold.Close()
	collected := 0
	for collected < collectAtOnce {
		err := b.db.RunValueLogGC(garbageShare)
		if isEnd(err) {
			break
		}
		if err != nil {
			return fmt.Errorf("collecting garbage: %w", err)
		}
		collected++
	}
	if collected > 0 {
		return b.Sync()
	}
	return nil
}

// Size implements ckpt.Backend.
func (b *backend) Size() (ckpt.Size, error) {
	entries, err := b.opts.FS.ReadDir(b.dir)
	if err != nil {
		return ckpt.Size{}, err
	}
	var size ckpt.Size
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return ckpt.Size{}, err
		}
		size.Disk += allocated(info)
	}
	size.Free, err = b.opts.FS.FreeSpace(b.dir)
	return size, err
}
