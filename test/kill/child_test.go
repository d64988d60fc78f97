package kill

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"turbo/internal/killpoint"
	"turbo/job"
	"turbo/run"
	_ "turbo/run/all"
)

const (
	childSpec  = "TURBO_KILL_SPEC"  // the path of the job spec; set in children
	childDrain = "TURBO_KILL_DRAIN" // stop when nothing is left to read
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
		if os.Getenv(childDrain) != "" {
			untilDrained(ctx, p)
		} else {
			<-ctx.Done()
		}
		p.Supervisor.Stop()
		select {
		case <-ended:
		case <-time.After(60 * time.Second):
			panic("the job does not stop")
		}
	}()
	_, err = p.Run(context.Background())
	close(ended)
	return err
}

// untilDrained waits until the job has read everything that is there.
func untilDrained(ctx context.Context, p *run.Process) {
	for zeros := 0; zeros < 3 && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if s := p.Supervisor.Status(); s.LagKnown && s.Lag == 0 && s.Checkpoints.Completed > 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
}
