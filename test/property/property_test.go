package property

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"turbo/ckpt"
	"turbo/internal/invariants"
)

var (
	firstSeed = flag.Uint64("seed", 1, "seed of the first job")
	runs      = flag.Int("runs", 0, "how many jobs TestJobs runs")
	keep      = flag.Bool("keep", false, "keep the files of jobs that fail")
)

// phases are where a process may kill itself.
var phases = append([]string{ckpt.PhaseFreeze, "writing", "rename", "ledger"}, ckpt.Phases...)

// TestMain doubles as the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(childLife); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// kinds are the kinds of jobs, in turn.
var kinds = []func(r *rand.Rand, s *scenario, dir string) error{freeWindow, orderedWindow, pacedWindow, freeJoin, pacedJoin, chain}

// chain is one of the jobs of several operators.
func chain(r *rand.Rand, s *scenario, dir string) error {
	return []func(r *rand.Rand, s *scenario, dir string) error{deduplicated, running, nested, clocked, joinedWindow, processed}[r.IntN(6)](r, s, dir)
}

// newScenario makes the job of a seed, with its input below dir.
func newScenario(seed uint64, dir string) (*scenario, error) {
	s := &scenario{seed: seed}
	return s, kinds[seed%uint64(len(kinds))](rand.New(rand.NewPCG(seed, 29)), s, filepath.Join(dir, "in"))
}

// try runs the job of a seed.
func try(seed uint64, add func(string, int)) (what string, err error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("turbo-property-%d-", seed))
	if err != nil {
		return "", err
	}
	s, err := newScenario(seed, dir)
	if err != nil {
		return "", err
	}
	if err = s.play(dir, add); err != nil {
		err = fmt.Errorf("%s: %w\n%s\nits life: %v", s.what, err, s.yaml(dir, "1ms"), s.legs)
	}
	if err == nil || !*keep {
		_ = os.RemoveAll(dir)
	}
	return s.what, err
}

// TestJobs runs jobs of consecutive seeds, some at a time.
func TestJobs(t *testing.T) {
	n := 60
	switch {
	case *runs > 0:
		n = *runs
	case invariants.Race:
		n = 24
	case testing.Short():
		n = 12
	}
	var next atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	add := func(what string, n int) {
		mu.Lock()
		counts[what] += n
		mu.Unlock()
	}
	for range 6 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && !t.Failed(); i = next.Add(1) - 1 {
				seed := *firstSeed + uint64(i)
				what, err := try(seed, add)
				if err != nil {
					t.Errorf("%v\n\nagain: go test ./test/property -run TestJobs -seed %d -runs 1", err, seed)
				} else if testing.Verbose() {
					t.Logf("seed %d: %s", seed, what)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d jobs: %v", n, counts)
}
