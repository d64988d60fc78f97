package kill

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"turbo/internal/killpoint"
	"turbo/internal/vfs"
	"turbo/io/ledger"
	"turbo/job"
	"turbo/run"
	_ "turbo/run/all"
)

const (
	childSpec  = "TURBO_KILL_SPEC"  // the path of the job spec; set in children
	childDrain = "TURBO_KILL_DRAIN" // stop when so many records are read and committed
)

// TestMain doubles as the process that is killed.
func TestMain(m *testing.M) {
	if spec := os.Getenv(childSpec); spec != "" {
		if err := child(spec); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(spec string) error {
	if err := killpoint.Arm(os.Getenv(killpoint.Variable)); err != nil {
		return err
	}
	j, err := job.Load(spec, job.Options{})
	if err != nil {
		return err
	}
	p, err := run.New(j, run.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan struct{})
	go func() {
		if records, err := strconv.ParseInt(os.Getenv(childDrain), 10, 64); err == nil {
			untilDrained(ctx, filepath.Join(filepath.Dir(spec), "files"), records)
		} else {
			<-ctx.Done()
		}
		p.Supervisor.Stop()
		select {
		case <-ended:
		case <-time.After(2 * time.Minute):
			panic("the job does not stop")
		}
	}()
	_, err = p.Run(context.Background())
	close(ended)
	return err
}

// untilDrained waits until the ledger of a sink says that so many records were read. The lag says less: records that are no part of it may not have come to
// a worker yet.
func untilDrained(ctx context.Context, dir string, records int64) {
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if s, err := ledger.Read(vfs.OS(), dir); err == nil && s.Balance.Read == records {
			return
		}
	}
}
