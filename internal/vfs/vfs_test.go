package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// each runs a test on every implementation; dir is an empty directory of it.
func each(t *testing.T, run func(t *testing.T, f FS, dir string)) {
	t.Run("os", func(t *testing.T) { run(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		if err := m.MkdirAll("/tmp/x"); err != nil {
			t.Fatal(err)
		}
		run(t, m, "/tmp/x")
	})
	t.Run("faulty", func(t *testing.T) { run(t, NewFaulty(NewMem()), "/") })
}

func put(t *testing.T, f FS, name, content string) {
	t.Helper()
	if err := WriteFile(f, name, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, f FS, name, content string) {
	t.Helper()
	got, err := ReadFile(f, name)
	if err != nil || string(got) != content {
		t.Fatalf("%s is %q, %v; want %q", name, got, err, content)
	}
}

func wantErr(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}

func names(t *testing.T, f FS, dir string) string {
	t.Helper()
	list, err := f.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range list {
		s = append(s, e.Name())
	}
	return strings.Join(s, " ")
}

func TestNamesAreNeverReplaced(t *testing.T) {
	each(t, func(t *testing.T, f FS, dir string) {
		a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
		put(t, f, a, "A")
		put(t, f, b, "B")
		_, err := f.Create(a)
		wantErr(t, err, fs.ErrExist)
		wantErr(t, f.Rename(a, b), fs.ErrExist)
		wantErr(t, f.Link(a, b), fs.ErrExist)
		wantErr(t, f.Rename(c, filepath.Join(dir, "d")), fs.ErrNotExist)
		want(t, f, a, "A")
		want(t, f, b, "B")
		if err := f.Rename(a, c); err != nil {
			t.Fatal(err)
		}
		_, err = f.Open(a)
		wantErr(t, err, fs.ErrNotExist)
		if err := f.Link(c, a); err != nil {
			t.Fatal(err)
		}
		if err := f.Replace(b, a); err != nil {
			t.Fatal(err)
		}
		want(t, f, a, "B")
		want(t, f, c, "A")
		if got := names(t, f, dir); got != "a c" {
			t.Fatalf("names %q", got)
		}
		if err := f.Remove(a); err != nil {
			t.Fatal(err)
		}
		wantErr(t, f.Remove(a), fs.ErrNotExist)
	})
}

func TestDirectories(t *testing.T) {
	each(t, func(t *testing.T, f FS, dir string) {
		deep := filepath.Join(dir, "x", "y", "z")
		if err := MkdirSynced(f, deep); err != nil {
			t.Fatal(err)
		}
		if err := MkdirSynced(f, deep); err != nil {
			t.Fatal(err)
		}
		put(t, f, filepath.Join(deep, "f"), "1")
		wantErr(t, f.Remove(deep), syscall.ENOTEMPTY)
		info, err := f.Stat(deep)
		if err != nil || !info.IsDir() || info.Name() != "z" {
			t.Fatalf("stat: %v %v", info, err)
		}
		wantErr(t, MkdirSynced(f, filepath.Join(deep, "f", "g")), syscall.ENOTDIR)
		if err := f.Rename(filepath.Join(dir, "x"), filepath.Join(dir, "w")); err != nil {
			t.Fatal(err)
		}
		want(t, f, filepath.Join(dir, "w", "y", "z", "f"), "1")
		if free, err := f.FreeSpace(dir); err != nil || free <= 0 {
			t.Fatalf("free space %d, %v", free, err)
		}
		if ok, err := Exists(f, deep); ok || err != nil {
			t.Fatalf("exists: %v %v", ok, err)
		}
	})
}

func TestFileOperations(t *testing.T) {
	each(t, func(t *testing.T, f FS, dir string) {
		name := filepath.Join(dir, "f")
		a, err := f.OpenAppend(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(a, "hello")
		if _, err := a.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(a, " world")
		a.Close()
		want(t, f, name, "hello world")
		w, err := f.OpenReadWrite(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Truncate(3); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Seek(5, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, "x")
		if info, err := w.Stat(); err != nil || info.Size() != 6 {
			t.Fatalf("stat %v %v", info, err)
		}
		p := make([]byte, 4)
		if n, err := w.ReadAt(p, 4); n != 2 || err != io.EOF || string(p[:n]) != "\x00x" {
			t.Fatalf("ReadAt: %q %v", p[:n], err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(p)
		wantErr(t, err, fs.ErrClosed)
		want(t, f, name, "hel\x00\x00x")
		if err := f.Truncate(name, 1); err != nil {
			t.Fatal(err)
		}
		want(t, f, name, "h")
		_, err = f.OpenReadWrite(filepath.Join(dir, "none"))
		wantErr(t, err, fs.ErrNotExist)
		r, err := f.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write(p); err == nil {
			t.Fatal("a file opened for reading was written to")
		}
		r.Close()
	})
}

func TestCrashForgetsWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	if err := MkdirSynced(m, "/d/e"); err != nil {
		t.Fatal(err)
	}
	put(t, m, "/d/kept", "kept")
	put(t, m, "/d/old", "moved")
	put(t, m, "/d/removed", "removed")
	f, _ := m.Create("/d/nameless")
	f.Write([]byte("content synced, name not"))
	f.Sync()
	k, _ := m.OpenAppend("/d/kept")
	k.Write([]byte(" and more"))
	k.Sync()
	k.Write([]byte(" and lost"))
	m.Rename("/d/old", "/d/e/new")
	m.Remove("/d/removed")
	m.MkdirAll("/d/unsynced")
	m.Crash()
	if got := names(t, m, "/d"); got != "e kept old removed" {
		t.Fatalf("names after the crash: %q", got)
	}
	want(t, m, "/d/kept", "kept and more")
	want(t, m, "/d/old", "moved")
	if got := names(t, m, "/d/e"); got != "" {
		t.Fatalf("names in e after the crash: %q", got)
	}
	_, err := k.Write([]byte("x"))
	wantErr(t, err, ErrPowerLoss)

	// The same with every step synced.
	m.Rename("/d/old", "/d/e/new")
	m.SyncDir("/d/e")
	m.Remove("/d/removed")
	m.SyncDir("/d")
	m.Truncate("/d/kept", 4)
	m.Crash()
	if got := names(t, m, "/d") + "|" + names(t, m, "/d/e"); got != "e kept|new" {
		t.Fatalf("names after the second crash: %q", got)
	}
	want(t, m, "/d/kept", "kept and more") // the truncation was not synced
}

func TestStopAfter(t *testing.T) {
	m := NewMem()
	put(t, m, "/a", "1")
	before := m.Ops()
	m.StopAfter(2)
	f, err := m.OpenAppend("/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("2")); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if m.Ops()-before != 2 {
		t.Fatalf("%d operations, want 2", m.Ops()-before)
	}
	_, err = f.Write([]byte("3"))
	wantErr(t, err, ErrPowerLoss)
	_, err = m.Open("/a")
	wantErr(t, err, ErrPowerLoss)
	wantErr(t, m.Rename("/a", "/b"), ErrPowerLoss)
	m.Crash()
	want(t, m, "/a", "12")
}

// TestCrashRandom checks what a random crash may and may not do: synced bytes stay, every byte is the old or the new one,
// a rename in one directory is atomic, equal seeds agree, and different seeds reach different outcomes.
func TestCrashRandom(t *testing.T) {
	outcomes := map[string]int{}
	build := func() *Mem {
		m := NewMem()
		put(t, m, "/a", strings.Repeat("s", 3*crashBlock))
		f, _ := m.OpenAppend("/a")
		f.Write(bytes.Repeat([]byte("n"), 3*crashBlock))
		m.Rename("/a", "/b")
		put2, _ := m.Create("/c")
		put2.Write([]byte("c"))
		return m
	}
	for seed := range uint64(200) {
		m, twin := build(), build()
		m.CrashRandom(seed)
		twin.CrashRandom(seed)
		got := names(t, m, "/")
		if got != names(t, twin, "/") {
			t.Fatalf("seed %d is not reproducible", seed)
		}
		outcomes[got]++
		name := "/a"
		if strings.Contains(got, "b") {
			name = "/b"
		}
		if strings.Contains(got, "a") == strings.Contains(got, "b") {
			t.Fatalf("seed %d: the rename was torn: %q", seed, got)
		}
		content, err := ReadFile(m, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(content, bytes.Repeat([]byte("s"), 3*crashBlock)) {
			t.Fatalf("seed %d: synced bytes are gone", seed)
		}
		if rest := bytes.Trim(content[3*crashBlock:], "n\x00"); len(rest) != 0 {
			t.Fatalf("seed %d: bytes that nobody wrote: %q", seed, rest)
		}
	}
	if len(outcomes) != 4 {
		t.Fatalf("only these outcomes: %v", outcomes)
	}
}

// TestMemSyncMatchesModel writes, truncates and syncs at random and compares what a crash keeps with a plain copy.
func TestMemSyncMatchesModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := NewMem()
		put(t, m, "/f", "")
		f, _ := m.OpenReadWrite("/f")
		var now, synced []byte
		for range 100 {
			switch r.IntN(4) {
			case 0, 1:
				at, p := r.IntN(200), bytes.Repeat([]byte{byte('a' + r.IntN(26))}, 1+r.IntN(50))
				f.Seek(int64(at), io.SeekStart)
				f.Write(p)
				if need := at + len(p) - len(now); need > 0 {
					now = append(now, make([]byte, need)...)
				}
				copy(now[at:], p)
			case 2:
				size := r.IntN(250)
				f.Truncate(int64(size))
				if size <= len(now) {
					now = now[:size]
				} else {
					now = append(now, make([]byte, size-len(now))...)
				}
			case 3:
				f.Sync()
				synced = bytes.Clone(now)
			}
		}
		if got, _ := ReadFile(m, "/f"); !bytes.Equal(got, now) {
			t.Fatalf("seed %d: content differs before the crash", seed)
		}
		m.Crash()
		if got, _ := ReadFile(m, "/f"); !bytes.Equal(got, synced) {
			t.Fatalf("seed %d: content differs after the crash", seed)
		}
	}
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10)
	f, _ := m.Create("/f")
	if n, err := f.Write([]byte("12345678")); n != 8 || err != nil {
		t.Fatal(n, err)
	}
	n, err := f.Write([]byte("abcd"))
	wantErr(t, err, syscall.ENOSPC)
	if free, _ := m.FreeSpace("/"); n != 2 || free != 0 {
		t.Fatalf("%d bytes written, %d free", n, free)
	}
}

func TestFaulty(t *testing.T) {
	m := NewMem()
	f := NewFaulty(m)
	f.Add(Rule{Pattern: "*.log", Bytes: 5})
	f.Add(Rule{Op: OpSync, After: 1, Times: 1})
	f.Add(Rule{Op: OpRename, Pattern: "/out/final", Err: syscall.EACCES})
	if err := f.MkdirAll("/out"); err != nil {
		t.Fatal(err)
	}
	log, _ := f.Create("/out/a.log")
	if n, err := log.Write([]byte("123")); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	n, err := log.Write([]byte("456"))
	wantErr(t, err, syscall.ENOSPC)
	if n != 2 {
		t.Fatalf("%d bytes went through", n)
	}
	want(t, m, "/out/a.log", "12345")
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, log.Sync(), syscall.EIO)
	if err := log.Sync(); err != nil {
		t.Fatal("the fault lasts longer than its Times:", err)
	}
	wantErr(t, f.Rename("/out/a.log", "/out/final"), syscall.EACCES)
	if err := f.Rename("/out/a.log", "/out/other"); err != nil {
		t.Fatal(err)
	}
	if free, _ := f.FreeSpace("/"); free != 0 {
		t.Fatalf("%d bytes free after ENOSPC", free)
	}
	f.Clear()
	if _, err := log.Write([]byte("6")); err != nil {
		t.Fatal(err)
	}
}
