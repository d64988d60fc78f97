package run

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/badgerstore"
	"turbo/ckpt/modelstore"
	"turbo/core/supervisor"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/job"
	"turbo/memory"
	"turbo/plan"
	"turbo/plan/physical"
	"turbo/server"
)

// Options are what the command line adds to a job.
type Options struct {
	Fresh bool // forget state and replace output
	Log   *slog.Logger
	FS    vfs.FS // of state and output; nil: the real one
}

// Process is a job in this process.
type Process struct {
	Job        *job.Job
	Supervisor *supervisor.Supervisor
	Memory     *memory.Pool
	Shares     memory.Shares
	StateDir   string
	Volatile   bool // checkpoint: off, state is in memory only

	closeControl func()
}

// StateDir is the directory of a job's state.
func StateDir(s plan.Settings) string {
	if s.Checkpoint.Dir != "" {
		return s.Checkpoint.Dir
	}
	return filepath.Join(".turbo", s.Name)
}

// Parallelism is the number of workers of a job.
func Parallelism(s plan.Settings) int {
	if s.Parallelism > 0 {
		return s.Parallelism
	}
	return runtime.NumCPU()
}

// New sizes the process for the job and prepares its supervisor. Nothing is opened yet.
func New(j *job.Job, o Options) (*Process, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	s := j.Plan.Settings
	workers := Parallelism(s)
	if workers > s.KeyGroups {
		return nil, fmt.Errorf("engine.parallelism %d is more than engine.key-groups %d: lower the one or raise the other (which needs --fresh)", workers, s.KeyGroups)
	}
	shares := memory.Plan(s.Memory)
	runtime.GOMAXPROCS(workers + 1) // or the network starves beside busy workers
	p := &Process{Job: j, Memory: memory.NewPool(shares.Pool()), Shares: shares, StateDir: StateDir(s), Volatile: s.Checkpoint.Off}
	strategy, ok := supervisor.Strategies[s.Restart.Strategy]
	if !ok {
		return nil, fmt.Errorf("engine.restart.strategy %q is not known", s.Restart.Strategy)
	}
	state, differences, err := StatePlan(j.Plan)
	if err != nil {
		return nil, err
	}
	config := supervisor.Job{
		Name: s.Name, Plan: state, Differences: differences, KeyGroups: s.KeyGroups, Parallelism: workers,
		FS: o.FS, Dir: p.StateDir, Fresh: o.Fresh, Interval: s.Checkpoint.Interval, MinPause: s.Checkpoint.MinPause, Timeout: s.Checkpoint.Timeout, Retain: s.Checkpoint.Retain,
		Restart: supervisor.Restart{
			Strategy: strategy, Initial: s.Restart.Initial, Max: s.Restart.Max, Multiplier: s.Restart.Multiplier, Jitter: s.Restart.Jitter,
			ResetAfter: s.Restart.ResetAfter, Attempts: s.Restart.Attempts, Delay: s.Restart.Delay, MaxFailures: s.Restart.MaxFailures, Window: s.Restart.Interval,
		},
		Clock: clock.Real(), Log: o.Log,
		Graph: func(run string) (*task.Graph, error) { // called once, when the state directory is locked
			if !p.Volatile {
				stop, err := server.Serve(p.StateDir, p.Supervisor, p.Memory)
				if err != nil {
					o.Log.Warn("turbo status and turbo stop cannot reach this job", "error", err)
				} else {
					p.closeControl = stop
				}
			}
			return physical.Build(j.Plan, physical.Environment{Run: run, Fresh: o.Fresh, Parallelism: workers, Memory: p.Memory, FS: o.FS, Clock: clock.Real(), Log: o.Log})
		},
		OpenStore: func(dir string) (*ckpt.Store, error) {
			return badgerstore.Open(dir, badgerstore.Options{FS: o.FS, Account: p.Memory.Account("badger"), Log: o.Log})
		},
	}
	if p.Volatile {
		config.FS, config.Dir = vfs.NewMem(), "/state"
		config.OpenStore = func(string) (*ckpt.Store, error) {
			return ckpt.NewStore(modelstore.NewDisk().Open(), ckpt.StoreOptions{}), nil
		}
	}
	p.Supervisor = supervisor.New(config)
	return p, nil
}

// Run runs the job to its end. Beside it, burst memory is given back once a second.
func (p *Process) Run(ctx context.Context) (supervisor.Result, error) {
	done := make(chan struct{})
	defer close(done)
	defer func() {
		if p.closeControl != nil {
			p.closeControl()
		}
	}()
	go func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				p.Memory.Tidy()
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return p.Supervisor.Run(ctx)
}
