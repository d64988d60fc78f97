package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func init() {
	register(Benchmark{"latency", "sweep of buffer-timeout: throughput at saturation, latency at a common rate and at a trickle, as table and plot", benchLatency})
	register(Benchmark{"small-batches", "throughput when sources hand over 1, 64 and 4096 rows at a time", benchSmallBatches})
	register(Benchmark{"flush", "how punctually buffer-timeout 0.1ms flushes, receivers idle and busy", benchFlush})
}

// setting is a value of the knob.
type setting struct {
	name          string
	timeout       time.Duration
	flushWhenIdle bool
}

var settings = []setting{
	{"-1", -1, false}, {"0", 0, false}, {"0.1 ms", 100 * time.Microsecond, false}, {"1 ms", time.Millisecond, false},
	{"10 ms", 10 * time.Millisecond, false}, {"100 ms", 100 * time.Millisecond, false}, {"10 ms, flush when idle", 10 * time.Millisecond, true},
}

// sweepHand is how many rows the sweep's sources hand over at a time, like a network connector under load.
const sweepHand = 64

// trickle is the low rate of the sweep, rows a second and worker.
const trickle = 10_000

// point is a setting's row in the sweep.
type point struct {
	setting
	saturated float64 // million rows a second
	at        [2]*hdrhistogram.Histogram
}

func (o Options) scale(n int) int {
	if o.Quick {
		return n / 40
	}
	return n
}

func benchLatency(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Two workers, a hash exchange between source and sink, three int64 columns, %d rows handed over at a time (%s)\n\n", sweepHand, machine())
	points := make([]point, len(settings))
	rounds := 3
	if o.Quick {
		rounds = 1
	}
	speeds := make([][]float64, len(settings))
	for range rounds { // interleaved, as neighbours' noise comes and goes
		for i, s := range settings {
			f := flow{timeout: s.timeout, flushWhenIdle: s.flushWhenIdle, rows: o.scale(8_000_000), hand: sweepHand, dir: o.Dir}
			r, _, err := f.run(ctx)
			if err != nil {
				return err
			}
			speeds[i] = append(speeds[i], r.perSecond())
		}
	}
	lowest := 0.0
	for i, s := range settings {
		points[i] = point{setting: s, saturated: median(speeds[i])}
		if i == 0 || points[i].saturated < lowest {
			lowest = points[i].saturated
		}
	}
	common := lowest * 1e6 / 2 / flowWorkers
	for at, rate := range [2]float64{common, trickle} {
		seconds := 2.0
		if o.Quick {
			seconds = 0.35
		}
		for i := range points {
			points[i].at[at] = hdrhistogram.New(1, 60_000_000, 3)
		}
		for range rounds {
			for i, s := range settings {
				f := flow{timeout: s.timeout, flushWhenIdle: s.flushWhenIdle, rows: int(rate * seconds), hand: sweepHand, rate: rate, dir: o.Dir}
				_, delays, err := f.run(ctx)
				if err != nil {
					return err
				}
				points[i].at[at].Merge(delays)
			}
		}
	}
	fmt.Fprintf(w, "Latency in ms from the time at which a row should have been sent to the sink: at %.1f million rows a second (half of the lowest\nsaturated throughput), and at %d\n\n", common*flowWorkers/1e6, trickle*flowWorkers)
	t := newTable(w, "buffer-timeout", "saturated, M rows/s", "p50", "p99", "p99.9", "p50, trickle", "p99, trickle", "p99.9, trickle")
	for _, p := range points {
		cells := []string{p.name, fmt.Sprintf("%.1f", p.saturated)}
		for _, h := range p.at {
			for _, q := range []float64{50, 99, 99.9} {
				cells = append(cells, ms(h.ValueAtQuantile(q)))
			}
		}
		t.row(cells...)
	}
	path := filepath.Join(cmp.Or(o.Plots, o.Dir), "buffer-timeout.png")
	if err := plotSweep(points, common*flowWorkers, path); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nPlot: %s\n", path)
	return nil
}

// ms renders microseconds in milliseconds with three digits that count.
func ms(us int64) string {
	switch x := float64(us) / 1000; {
	case x < 1:
		return fmt.Sprintf("%.3f", x)
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.0f", x)
	}
}

func benchSmallBatches(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Throughput at buffer-timeout 1 ms and 0 beside that at 100 ms, million rows a second, and the same by processor time (%s)\n\n", machine())
	t := newTable(w, "rows at a time", "source", "at 1 ms", "at 100 ms", "1 ms / 100 ms", "spread", "by CPU", "at 0", "0 / 100 ms", "spread", "by CPU")
	for _, queued := range []bool{false, true} {
		for _, hand := range []int{1, 64, 4096} {
			rows := map[int]int{1: 2_000_000, 64: 20_000_000, 4096: 40_000_000}[hand]
			if queued && hand == 1 {
				rows = 500_000
			}
			at := func(timeout time.Duration, used *[]float64) func(context.Context) (Run, error) {
				return func(ctx context.Context) (Run, error) {
					before := processorTime()
					f := flow{timeout: timeout, rows: o.scale(rows), hand: hand, queued: queued, dir: o.Dir}
					r, _, err := f.run(ctx)
					*used = append(*used, (processorTime() - before).Seconds())
					return r, err
				}
			}
			source := "on the worker"
			if queued {
				source = "behind a queue, sink too"
			}
			cells := []string{fmt.Sprint(hand), source}
			for i, timeout := range []time.Duration{time.Millisecond, 0} {
				var used, usedLong []float64
				r, err := pairs(ctx, o.pairs(), at(timeout, &used), at(100*time.Millisecond, &usedLong))
				if err != nil {
					return err
				}
				byCPU := make([]float64, 0, len(used))
				for k := 1; k < len(used); k++ { // the first pair does not count
					byCPU = append(byCPU, usedLong[k]/used[k])
				}
				c := ratioCells(r)
				if i > 0 {
					c = append(c[:1], c[2:]...)
				}
				cells = append(append(cells, c...), fmt.Sprintf("%.2f", median(byCPU)))
			}
			t.row(cells...)
		}
	}
	return nil
}

func benchFlush(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "From the time at which the first row of a batch is sent to its receipt behind the exchange, in ms; buffer-timeout 0.1ms,\n500 rows a second and worker, so that each batch has one row (%s)\n\n", machine())
	t := newTable(w, "receivers", "rows", "p50", "p99", "p99.9", "largest")
	for _, busy := range []bool{false, true} {
		f := flow{timeout: 100 * time.Microsecond, rows: 5000, hand: 1, rate: 500, stampSent: true, busy: busy, dir: o.Dir}
		if o.Quick {
			f.rows = 200
		}
		_, delays, err := f.run(ctx)
		if err != nil {
			return err
		}
		if delays.TotalCount() == 0 {
			return errors.New("no row was measured")
		}
		name := "idle"
		if busy {
			name = "busy with another stream"
		}
		t.row(name, fmt.Sprint(delays.TotalCount()), ms(delays.ValueAtQuantile(50)), ms(delays.ValueAtQuantile(99)), ms(delays.ValueAtQuantile(99.9)), ms(delays.Max()))
	}
	return nil
}
