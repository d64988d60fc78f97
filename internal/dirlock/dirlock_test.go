package dirlock

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"turbo/internal/vfs"
)

// TestMain doubles as the process that holds a lock: it prints a line when it has it, and keeps it until its input ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DIRLOCK_CHILD"); dir != "" {
		if _, err := Acquire(vfs.OS(), dir, "job child"); err != nil {
			fmt.Println("refused:", err)
			os.Exit(1)
		}
		fmt.Println("locked")
		bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestSecondProcessIsRefusedAndKillReleases(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), "DIRLOCK_CHILD="+dir)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "locked\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	_, err = Acquire(vfs.OS(), dir, "job parent")
	var held *HeldError
	if !errors.As(err, &held) || held.PID != child.Process.Pid {
		t.Fatalf("%v, want a refusal that names pid %d", err, child.Process.Pid)
	}
	for _, part := range []string{dir, "process " + strconv.Itoa(child.Process.Pid), "job child", "use another directory"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not mention %q", err, part)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	lock, err := Acquire(vfs.OS(), dir, "job parent")
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOneLockPerDirectory(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("/out"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{{"real", vfs.OS(), t.TempDir()}, {"memory", mem, "/out"}} {
		t.Run(c.name, func(t *testing.T) {
			first, err := Acquire(c.fs, c.dir, "job one")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Acquire(c.fs, c.dir+"/", "job two")
			var held *HeldError
			if !errors.As(err, &held) || held.Owner != "job one" || !strings.Contains(err.Error(), "this process") {
				t.Fatalf("second: %v", err)
			}
			if err := errors.Join(first.Close(), first.Close()); err != nil {
				t.Fatal(err)
			}
			second, err := Acquire(c.fs, c.dir, "job two")
			if err != nil {
				t.Fatal(err)
			}
			if err := second.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Acquire(c.fs, filepath.Join(c.dir, "missing"), "x"); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("missing directory: %v", err)
			}
		})
	}
}

func TestHalfWrittenHolder(t *testing.T) {
	dir := t.TempDir()
	first, err := Acquire(vfs.OS(), dir, "job one")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(`{"pid":`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(vfs.OS(), dir, "two"); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("%v", err)
	}
}
