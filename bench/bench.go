package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Options are what all benchmarks take.
type Options struct {
	Pairs int  // interleaved pairs, default 10
	Quick bool // fewer rows and pairs: to see that it works
	// Dir is where benchmarks that write files may do so; they remove them.
	Dir string
	// Plots is where plots go; empty: Dir.
	Plots string
}

func (o Options) pairs() int {
	switch {
	case o.Pairs > 0:
		return o.Pairs
	case o.Quick:
		return 2
	}
	return 10
}

// Benchmark is one entry of the harness.
type Benchmark struct {
	Name    string
	Summary string
	Run     func(ctx context.Context, w io.Writer, o Options) error
}

var benchmarks []Benchmark

func register(b Benchmark) { benchmarks = append(benchmarks, b) }

// List returns all benchmarks by name.
func List() []Benchmark {
	out := slices.Clone(benchmarks)
	slices.SortFunc(out, func(a, b Benchmark) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Run is one timed run: how many rows it took and how long. Answers have been checked by whoever returns it.
type Run struct {
	Rows    int64
	Elapsed time.Duration
	// Notes are further figures for the table, such as checkpoints taken.
	Notes map[string]float64
}

// perSecond is the speed in millions of rows a second.
func (r Run) perSecond() float64 { return float64(r.Rows) / r.Elapsed.Seconds() / 1e6 }

// Ratio is what pairs of runs say: turbo's speed over the loop's.
type Ratio struct {
	Median, Low, High float64
	Turbo, Loop       float64 // median millions of rows a second
	Notes             map[string]float64
}

// pairs runs turbo and the loop in turn, n times, after one pair that is not counted.
func pairs(ctx context.Context, n int, turbo, loop func(context.Context) (Run, error)) (Ratio, error) {
	var ratios, a, b []float64
	notes := map[string][]float64{}
	for i := range n + 1 {
		runtime.GC()
		x, err := turbo(ctx)
		if err != nil {
			return Ratio{}, err
		}
		runtime.GC()
		y, err := loop(ctx)
		if err != nil {
			return Ratio{}, err
		}
		if i == 0 {
			continue
		}
		ratios = append(ratios, x.perSecond()/y.perSecond())
		a, b = append(a, x.perSecond()), append(b, y.perSecond())
		for k, v := range x.Notes {
			notes[k] = append(notes[k], v)
		}
	}
	r := Ratio{Median: median(ratios), Low: slices.Min(ratios), High: slices.Max(ratios), Turbo: median(a), Loop: median(b), Notes: map[string]float64{}}
	for k, v := range notes {
		r.Notes[k] = median(v)
	}
	return r, nil
}

func median(x []float64) float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// table prints rows of text in columns, as Markdown.
type table struct {
	w    *tabwriter.Writer
	cols int
}

func newTable(w io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 1, ' ', 0), len(head)}
	t.row(head...)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
	}
	t.row(rule...)
	return t
}

func (t *table) row(cells ...string) {
	fmt.Fprintf(t.w, "| %s\t|\n", strings.Join(cells, "\t| "))
	_ = t.w.Flush() // rows appear as they are measured; the writer's error shows in the next print
}

// machine says what the figures were measured on.
func machine() string {
	return fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}

// ratioCells are the usual cells of a Ratio.
func ratioCells(r Ratio) []string {
	return []string{fmt.Sprintf("%.1f", r.Turbo), fmt.Sprintf("%.1f", r.Loop), fmt.Sprintf("%.2f", r.Median), fmt.Sprintf("%.2f to %.2f", r.Low, r.High)}
}
