package bench

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/badgerstore"
	"turbo/core"
	"turbo/core/supervisor"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/memory"
)

// graphRun runs a graph of task nodes as a job: on the real supervisor, with a state directory, as `turbo run` would.
type graphRun struct {
	name     string
	workers  int
	interval time.Duration // of checkpoints; 0: none but the last
	dir      string        // where the state directory is made
	nodes    []*task.Node
	options  task.Options
}

func (g graphRun) run(ctx context.Context) (supervisor.Result, error) {
	dir, err := os.MkdirTemp(g.dir, g.name)
	if err != nil {
		return supervisor.Result{}, err
	}
	defer os.RemoveAll(dir)
	g.options.Clock = clock.Real()
	s := supervisor.New(supervisor.Job{
		Name: g.name, KeyGroups: core.DefaultKeyGroups, Parallelism: g.workers, FS: vfs.OS(), Dir: filepath.Join(dir, "state"),
		OpenStore: func(path string) (*ckpt.Store, error) { return badgerstore.Open(path, badgerstore.Options{}) },
		Interval:  g.interval,
		Graph: func(string) (*task.Graph, error) {
			return &task.Graph{Job: g.name, Workers: g.workers, KeyGroups: core.DefaultKeyGroups, Nodes: g.nodes, Options: g.options}, nil
		},
	})
	old := runtime.GOMAXPROCS(g.workers + 1)
	defer runtime.GOMAXPROCS(old)
	return s.Run(ctx)
}

// forward are the inputs of a node in the chain of another.
func forward(from *task.Node) []task.Input { return []task.Input{{From: from}} }

func hashed(from *task.Node, key int) []task.Input {
	return []task.Input{{From: from, Exchange: task.Hash, Keys: []int{key}}}
}

// stopwatch runs from the first row read to the last one consumed. Each worker writes its own part.
type stopwatch []struct {
	first, last time.Time
	_           [64]byte
}

func newStopwatch(workers int) stopwatch { return make(stopwatch, workers) }

func (s stopwatch) begin(worker int) { s[worker].first = time.Now() }
func (s stopwatch) end(worker int)   { s[worker].last = time.Now() }

func (s stopwatch) elapsed() time.Duration {
	first, last := s[0].first, s[0].last
	for _, x := range s {
		if x.first.Before(first) {
			first = x.first
		}
		if x.last.After(last) {
			last = x.last
		}
	}
	return last.Sub(first)
}

// processorTime is what this process has used so far, user and system; 0 when the system does not say.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func newPool() *memory.Pool { return memory.NewPool(0) }
