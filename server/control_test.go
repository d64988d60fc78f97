package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turbo/core/supervisor"
	"turbo/memory"
)

func TestControlSocket(t *testing.T) {
	short := filepath.Join(t.TempDir(), "s")
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	for _, dir := range []string{short, long} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := Status(ctx, dir); !errors.Is(err, ErrNotRunning) {
			t.Fatalf("without a socket: %v", err)
		}
		pool := memory.NewPool(1 << 20)
		s := supervisor.New(supervisor.Job{Name: "arrivals", Parallelism: 3})
		for range 2 { // the second one takes the place of a process that is gone
			stop, err := Serve(dir, s, pool)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Status(ctx, dir)
			if err != nil {
				t.Fatal(err)
			}
			if r.Job != "arrivals" || r.PID != os.Getpid() || r.State != supervisor.Starting || r.Parallelism != 3 || r.Memory.Limit != 1<<20 {
				t.Errorf("report %+v", r)
			}
			if _, err := Checkpoint(ctx, dir); err == nil || !strings.Contains(err.Error(), "the job is not running at the moment") {
				t.Errorf("a checkpoint before the workers run: %v", err)
			}
			if err := Stop(ctx, dir); err != nil {
				t.Error(err)
			}
			stop()
			if _, err := Status(ctx, dir); !errors.Is(err, ErrNotRunning) {
				t.Errorf("after the end: %v", err)
			}
		}
		if note, err := os.ReadFile(filepath.Join(dir, SocketPathName)); err == nil {
			_ = os.RemoveAll(filepath.Dir(string(note)))
		} else if dir == long {
			t.Error("the long directory has no note of the socket's path")
		}
	}
}
