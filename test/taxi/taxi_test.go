package taxi

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is one of the three.
type program struct {
	name   string
	at     string // its column of time
	kind   bool   // it has the column kind
	oracle func([]ride) []row
}

var programs = []program{
	{"total-arrivals", "time", false, totalArrivals},
	{"sliding-arrivals", "window_end", true, slidingArrivals},
	{"early-arrivals", "window_end", true, earlyArrivals},
}

// bin is the directory of the binary.
var bin string

// TestMain has a directory for the binary.
func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "turbo-taxi-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(bin) // what stays is in the temporary directory
	os.Exit(code)
}

var turbo = sync.OnceValues(func() (string, error) {
	name := filepath.Join(bin, "turbo")
	if out, err := exec.Command("go", "build", "-o", name, "turbo/cmd/turbo").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return name, nil
})

// rig is one program on one input in one way of running.
type rig struct {
	program
	in          *input
	turbo       string // the binary
	delay       bool
	parallelism []int // of one run after the other
	dir         string
	runs        int
}

func (r *rig) out() string { return filepath.Join(r.dir, "out") }

// start runs the job spec with the state and the output of this rig.
func (r *rig) start(t *testing.T, more ...string) *process {
	t.Helper()
	spec, err := filepath.Abs("../../examples/taxi/" + r.name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := r.parallelism[min(r.runs, len(r.parallelism)-1)]
	r.runs++
	args := []string{"run", spec, "-p", fmt.Sprint(p), "-D", "input=" + r.in.file, "-D", "output=./out"}
	if r.delay {
		args = append(args, "-D", "max-serving-delay=60s")
	}
	command := exec.Command(r.turbo, append(args, more...)...)
	command.Dir = r.dir
	return start(t, command)
}

// run runs the program to its end and returns what it wrote.
func (r *rig) run(t *testing.T) []row {
	t.Helper()
	r.start(t).succeed(t)
	return output(t, r.out(), r.at, r.kind)
}

// runKilled runs the program to its end with kills, each after a checkpoint and with input left, and returns what it wrote. How fast the machine is does not
// matter: rides are served slowly enough for the ledger to be watched, and when it is not, more slowly.
func (r *rig) runKilled(t *testing.T) []row {
	t.Helper()
	all := int64(len(r.in.rides))
	speed := 6000.0 // a second for everything
	if r.in.real {
		speed /= 3
	}
	base := r.dir
	for attempt := 0; ; attempt++ {
		r.dir, r.runs = filepath.Join(base, fmt.Sprint(attempt)), 0
		if err := os.Mkdir(r.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if r.toldKills(t, all, speed) {
			break
		}
		if attempt == 7 {
			t.Fatal("no kill came before the end")
		}
		speed /= 2
	}
	said := r.start(t).succeed(t)
	if !strings.Contains(said, "began at checkpoint") {
		t.Errorf("the last run did not begin at a checkpoint:\n%s", said)
	}
	return output(t, r.out(), r.at, r.kind)
}

// toldKills kills the program when it has committed a third of its input, and two thirds, and reports whether both kills came with input left.
func (r *rig) toldKills(t *testing.T, all int64, speed float64) bool {
	t.Helper()
	for kill := range int64(2) {
		p := r.start(t, "-D", fmt.Sprintf("serving-speed=%g", speed), "--set", "engine.checkpoint.interval=20ms")
		for before := int64(0); p.running(); {
			rows, _ := served(t, r.out())
			if rows < before {
				t.Fatalf("the ledger says %d rows, and has said %d", rows, before)
			}
			if before = rows; rows >= all*(kill+1)/3 {
				break
			}
		}
		p.kill()
		if p.command.ProcessState.Exited() && !p.command.ProcessState.Success() {
			t.Fatalf("%v: %v\n%s", p.command.Args, p.command.ProcessState, &p.said)
		}
		rows, final := served(t, r.out())
		if final || rows >= all {
			return false
		}
		t.Logf("%s: kill -9 with %d of %d rows behind a checkpoint", r.name, rows, all)
		if wrong := minus(output(t, r.out(), r.at, r.kind), r.wanted()); len(wrong) > 0 && !r.delay {
			t.Fatalf("after the kill there are %d rows that should not be visible: %v", len(wrong), wrong[:min(3, len(wrong))])
		}
	}
	return true
}

func (r *rig) wanted() []row { return r.oracle(r.in.rides) }

// order sorts rows.
func order(rows []row) []row {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.cell, b.cell), cmp.Compare(a.kind, b.kind), cmp.Compare(a.arrivals, b.arrivals), cmp.Compare(a.lon, b.lon), cmp.Compare(a.lat, b.lat))
	})
	return rows
}

// minus is a without b, as bags.
func minus(a, b []row) (rest []row) {
	count := map[row]int{}
	for _, r := range b {
		count[r]++
	}
	for _, r := range a {
		if count[r]--; count[r] < 0 {
			rest = append(rest, r)
		}
	}
	return order(rest)
}

func kind(rows []row, kind string) (out []row) {
	for _, r := range rows {
		if r.kind == kind {
			out = append(out, r)
		}
	}
	return out
}

// equal compares rows as bags.
func equal(t *testing.T, what string, got, want []row) {
	t.Helper()
	missing, wrong := minus(want, got), minus(got, want)
	if len(missing)+len(wrong) > 0 {
		t.Errorf("%s: %d of %d rows are missing, such as %v; %d of %d should not be there, such as %v", what, len(missing), len(want), missing[:min(3, len(missing))],
			len(wrong), len(got), wrong[:min(3, len(wrong))])
	}
}

// check compares what a program wrote with the oracle.
func (r *rig) check(t *testing.T, got []row) {
	t.Helper()
	want := r.wanted()
	switch {
	case len(want) == 0:
		t.Fatal("there is nothing to compare")
	case !r.delay:
		equal(t, "every row", got, want)
	case r.name == "total-arrivals":
		if len(got) != len(want) {
			t.Errorf("%d updates, want %d", len(got), len(want))
		}
	case r.name == "early-arrivals":
		steps(t, got)
		if first, loaded := delayed.LoadOrStore(r.in.what, got); loaded {
			equal(t, "every row, beside another run", got, first.([]row))
		}
	default:
		equal(t, "every row", got, want)
	}
	if r.name == "total-arrivals" {
		equal(t, "last value per cell", lastPerCell(got), lastPerCell(want))
	} else {
		equal(t, "final counts", kind(got, "final"), kind(want, "final"))
	}
	if r.name == "early-arrivals" && len(kind(want, "early")) < 20 {
		t.Errorf("only %d early firings: these rides are no test of them", len(kind(want, "early")))
	}
}

// delayed has the rows of the first run of early-arrivals out of order: the delays are seeded, so all runs see the same order.
var delayed sync.Map

// steps checks early counts in whatever order rides came: each is fifty passengers or, as a ride has up to six, a few more above the one before, and less than fifty
// are left at the end of the window.
func steps(t *testing.T, rows []row) {
	t.Helper()
	type window struct{ cell, end int64 }
	last := map[window]int64{}
	for _, r := range order(slices.Clone(rows)) { // by window, early ones first, by their counts
		w := window{r.cell, r.at}
		step := r.arrivals - last[w]
		last[w] = r.arrivals
		if r.kind == "early" && (step < 50 || step > 55) || r.kind == "final" && (step < 0 || step >= 50) {
			t.Errorf("%s count of %d for cell %d, window to %s: %d more than the one before", r.kind, r.arrivals, r.cell, time.UnixMicro(r.at).UTC().Format(time.RFC3339), step)
			return
		}
	}
}

// each calls f for each program, order of rides and parallelism.
func each(t *testing.T, parallelisms [][]int, f func(t *testing.T, r *rig)) {
	in := theInput(t)
	name, err := turbo()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("on %s", in.what)
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			for _, delay := range []bool{false, true} {
				for _, parallelism := range parallelisms {
					how := fmt.Sprintf("in order, p%v", parallelism)
					if delay {
						how = fmt.Sprintf("delayed, p%v", parallelism)
					}
					t.Run(how, func(t *testing.T) {
						t.Parallel()
						r := &rig{program: p, in: in, turbo: name, delay: delay, parallelism: parallelism, dir: t.TempDir()}
						f(t, r)
					})
				}
			}
		})
	}
}

// TestPrograms compares the output of each program with the oracle.
func TestPrograms(t *testing.T) {
	each(t, [][]int{{1}, {2}, {4}}, func(t *testing.T, r *rig) { r.check(t, r.run(t)) })
}

// TestKilled does so with a SIGKILL at a third and at two thirds of the rides, after which the program goes on at the same parallelism, or another one.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("kills are not short")
	}
	each(t, [][]int{{1}, {2}, {4}, {2, 4, 1}}, func(t *testing.T, r *rig) {
		if !r.in.real && r.delay != (r.parallelism[0] == 2) {
			t.Skip("generated rides: each parallelism once")
		}
		r.check(t, r.runKilled(t))
	})
}
