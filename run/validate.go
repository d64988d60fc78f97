package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"turbo/core"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/job"
	"turbo/memory"
	"turbo/plan/physical"
)

// Check is what the validation of one source or sink has found.
type Check struct {
	Node string // such as "source rides"
	Err  error  // nil: it is well
	// Tried says that the connector has tried what it would need; others have nothing outside to check.
	Tried bool
}

// Validate makes every source and sink of a job, which finds what only connectors can check, and, when connect is set, lets those that can
// try it: connect, find topics, look at permissions and directories. All of them are tried, at the same time, until ctx ends; a connector
// that does not answer by then is reported. The error is a mistake in the spec.
func Validate(ctx context.Context, j *job.Job, connect bool) ([]Check, error) {
	s := j.Plan.Settings
	pool := memory.NewPool(memory.Plan(s.Memory).Pool())
	g, err := physical.Build(j.Plan, physical.Environment{Run: "validate", Parallelism: Parallelism(s), Memory: pool, FS: vfs.OS(), Clock: clock.Real(), Log: slog.New(slog.DiscardHandler)})
	if err != nil || !connect {
		return nil, err
	}
	var nodes []*task.Node
	for _, n := range g.Nodes {
		if n.Source != nil || n.Sink != nil {
			nodes = append(nodes, n)
		}
	}
	checks := make([]Check, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		checks[i].Node = n.Label
		all.Go(func() { checks[i].Tried, checks[i].Err = validate(ctx, n) })
	}
	all.Wait()
	slices.SortStableFunc(checks, func(a, b Check) int { // what is well first
		switch {
		case a.Err == nil && b.Err != nil:
			return -1
		case a.Err != nil && b.Err == nil:
			return 1
		}
		return 0
	})
	return checks, nil
}

func validate(ctx context.Context, n *task.Node) (tried bool, err error) {
	var made any
	if n.Source != nil {
		made, err = n.Source()
	} else {
		made, err = n.Sink()
	}
	if err != nil {
		return false, err
	}
	v, ok := made.(core.Validator)
	if !ok {
		return false, nil
	}
	done := make(chan error, 1)
	go func() { done <- v.Validate(ctx) }()
	select {
	case err = <-done:
	case <-ctx.Done(): // it may not look at ctx everywhere
		err = ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true, fmt.Errorf("no answer within the time that was given: %w", err)
	}
	return true, err
}
