package stream

import (
	"context"
	"fmt"
	"log/slog"

	"turbo/job"
	"turbo/run"
)

// Execute runs the job until its input ends, it fails for good, or ctx ends: then it stops with a last checkpoint, from which the next Execute of the
// same job goes on, and the error is ctx's.
func (e *Env) Execute(ctx context.Context) error {
	p, err := e.Plan()
	if err != nil {
		return err
	}
	process, err := run.New(&job.Job{Plan: p}, run.Options{Fresh: e.fresh, Log: e.log()})
	if err != nil {
		return fmt.Errorf("job %s: %w", e.name, err)
	}
	stop := context.AfterFunc(ctx, process.Supervisor.Stop)
	defer stop()
	result, err := process.Run(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("job %s: %w", e.name, err)
	}
	if result.Stopped {
		return context.Cause(ctx)
	}
	return nil
}

func (e *Env) log() *slog.Logger {
	if e.logger != nil {
		return e.logger
	}
	return slog.New(slog.DiscardHandler)
}

// ExecuteAndCollect runs the job and returns the rows of s. They are known at the end: the input must be bounded.
func ExecuteAndCollect[T any](ctx context.Context, s *Stream[T]) ([]T, error) {
	out := s.Collect("collect")
	if err := s.env.Execute(ctx); err != nil {
		return nil, err
	}
	return out.Rows(), nil
}
