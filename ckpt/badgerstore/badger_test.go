package badgerstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"turbo/ckpt"
	"turbo/ckpt/badgerstore"
	"turbo/ckpt/storetest"
	"turbo/internal/vfs"
	"turbo/memory"
)

// harness keeps a store in a directory. A kill copies the files as they are, as another process would find them, and goes on in the
// copy.
type harness struct {
	dir   string
	store *ckpt.Store
	opts  badgerstore.Options
}

func (h *harness) Open(t testing.TB) *ckpt.Store {
	t.Helper()
	store, err := badgerstore.Open(h.dir, h.opts)
	if err != nil {
		t.Fatal(err)
	}
	h.store = store
	t.Cleanup(func() { store.Close() })
	return store
}

func (h *harness) Kill(t testing.TB) {
	t.Helper()
	for range 100 {
		next := t.TempDir()
		before := manifest(t, h.dir)
		entries, err := os.ReadDir(h.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() == "LOCK" {
				continue
			}
			if err := copySparse(filepath.Join(next, e.Name()), filepath.Join(h.dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		after, err := os.ReadDir(h.dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(after) == len(entries) && manifest(t, h.dir) == before { // else Badger compacted meanwhile: no point in time
			h.store.Close()
			h.dir = next
			return
		}
	}
	t.Fatal("no quiet moment for a copy")
}

func manifest(t testing.TB, dir string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func copySparse(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	block := make([]byte, 64<<10)
	zero := make([]byte, len(block))
	var at int64
	for {
		n, err := io.ReadFull(in, block)
		if n > 0 && string(block[:n]) != string(zero[:n]) {
			if _, err := out.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		if at += int64(n); err != nil {
			break
		}
	}
	return out.Truncate(at)
}

func (h *harness) Damage(t testing.TB, _ ckpt.PageID) bool {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(h.dir, "*.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := storetest.FindContent(content); at >= 0 {
			content[at] ^= 1
			if err := os.WriteFile(name, content, 0o666); err != nil {
				t.Fatal(err)
			}
			return true
		}
	}
	t.Fatal("the content is in no value log")
	return false
}

func TestConformance(t *testing.T) {
	storetest.Run(t, 60, func(t testing.TB) storetest.Harness {
		return &harness{dir: t.TempDir(), opts: badgerstore.Options{MemTable: 16 << 10, ValueLogFile: 1 << 20}}
	})
}

func TestOpenRefusesAFullDisk(t *testing.T) {
	full := vfs.NewFaulty(vfs.OS())
	full.Add(vfs.Rule{Op: vfs.OpFreeSpace})
	if _, err := badgerstore.Open(t.TempDir(), badgerstore.Options{FS: full}); err == nil {
		t.Error("opened though the free space is unknown")
	}
	_, err := badgerstore.Open(t.TempDir(), badgerstore.Options{MinFree: 1 << 60})
	var space *ckpt.SpaceError
	if !errors.As(err, &space) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("%v", err)
	}
}

func TestAccount(t *testing.T) {
	pool := memory.NewPool(64 << 20)
	account := pool.Account("ckpt")
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Account: account})
	if err != nil {
		t.Fatal(err)
	}
	if account.Used() == 0 {
		t.Error("nothing is charged while the store is open")
	}
	if err := errors.Join(store.Close(), store.Close()); err != nil {
		t.Fatal(err)
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
	if _, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Account: memory.NewPool(1 << 10).Account("x")}); err == nil {
		t.Error("opened beyond the memory limit")
	}
}

// TestOpenAfterAKillInFileCreation finds files that were made and never filled, some of which Badger itself takes for an error.
func TestOpenAfterAKillInFileCreation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pages")
	for range 2 {
		store, err := badgerstore.Open(dir, badgerstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"000050.vlog", "000051.vlog", "00050.mem", "000052.sst", "DISCARD"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestGarbageCountedTwice: a kill in a compaction makes Badger count the same garbage again, and propose a file once more that it has collected and keeps
// until iterators are closed. That is the end of a collection, no failure.
func TestGarbageCountedTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pages")
	open := func() *ckpt.Store {
		store, err := badgerstore.Open(dir, badgerstore.Options{MemTable: 16 << 10, ValueLogFile: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := open()
	_, err := store.Recover(0, ckpt.Summary{})
	id := uint64(0)
	var sum ckpt.Summary
	checkpoint := func(groups int) {
		id++
		err = errors.Join(err, store.Begin(id, 0))
		for g := range groups {
			page := ckpt.Page{ID: ckpt.PageID{Operator: "o", Table: "t", KeyGroup: uint16(g)}, Kind: ckpt.Whole, Data: bytes.Repeat([]byte{byte(id)}, 50_000)}
			err = errors.Join(err, store.Write(id, []ckpt.Page{page}))
		}
		var sealed error
		sum, sealed = store.Seal(id)
		if err = errors.Join(err, sealed, store.Complete(id)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		checkpoint(40)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil || len(logs) < 3 {
		t.Fatal(logs, err)
	}
	file, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(logs[0]), ".vlog"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := os.ReadFile(filepath.Join(dir, "DISCARD")) // pairs of a file's number and its garbage
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		binary.BigEndian.PutUint64(counts[16*i:], file)
		binary.BigEndian.PutUint64(counts[16*i+8:], 1<<30)
	}
	clear(counts[32:])
	if err := os.WriteFile(filepath.Join(dir, "DISCARD"), counts, 0o666); err != nil {
		t.Fatal(err)
	}
	store = open()
	if _, err = store.Recover(id, sum); err != nil {
		t.Fatal(err)
	}
	if err := store.Retain(id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(logs[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was not collected: %v", filepath.Base(logs[0]), err)
	}
	pages := 0
	err = store.Restore(id, ckpt.Selection{Operator: "o", Table: "t", ToGroup: 40}, func(_ ckpt.PageID, chain []ckpt.Version) error {
		if pages++; len(chain) != 1 || !bytes.Equal(chain[0].Data, bytes.Repeat([]byte{byte(id)}, 50_000)) {
			t.Error("a page is not what was written")
		}
		return nil
	})
	if err := errors.Join(err, store.Close()); err != nil || pages != 40 {
		t.Errorf("%d pages, %v", pages, err)
	}
}

// TestDamagedFooterIsAnError damages the lengths at the end of a table, at which Badger itself panics beyond anybody's reach.
func TestDamagedFooterIsAnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pages")
	store, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Recover(0, ckpt.Summary{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Begin(1, 0); err != nil {
		t.Fatal(err)
	}
	if err := store.Write(1, []ckpt.Page{{ID: ckpt.PageID{Operator: "o", Table: "t"}, Kind: ckpt.Whole, Data: make([]byte, 100)}}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no table: %v", err)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	checksum := int(whole[len(whole)-1]) // its length is below 256
	for _, at := range []int{len(whole) - 4, len(whole) - 8 - checksum} {
		content := bytes.Clone(whole)
		content[at] = 0x11
		if err := os.WriteFile(names[0], content, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := badgerstore.Open(dir, badgerstore.Options{}); !errors.Is(err, ckpt.ErrDamaged) || !strings.Contains(err.Error(), "footer") {
			t.Errorf("byte %d of %d: %v", at, len(whole), err)
		}
	}
	if err := os.WriteFile(names[0], whole, 0o666); err != nil {
		t.Fatal(err)
	}
	store, err = badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}
