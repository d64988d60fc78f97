package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"turbo/core"
	"turbo/core/ops/join"
	"turbo/core/task"
	"turbo/memory"
)

func init() {
	register(Benchmark{"joins", "interval and window join of two streams by key, one partner a row on average, beside a two-worker hash join", benchJoins})
}

const (
	joinSize     = 10_000_000 // microseconds: a window, and the time in which an interval join's row has its partners
	joinDisorder = 1_000_000
	joinDrift    = 6 * joinSize // at most between two sources, on both sides
)

// joinJob is turbo's side: two sources, each divided by key, a join, and a sink that reads every value.
type joinJob struct {
	input    [2][]timedInput
	batches  [2][][]*core.Batch
	pool     *memory.Pool
	schema   *core.Schema
	operator func() core.Operator
	repeat   int
	interval time.Duration
	dir      string
	out      []joinResults
	watch    stopwatch
	cpu      cpuWatch
}

func newJoinJob(input [2][]timedInput, interval bool) (*joinJob, error) {
	j := &joinJob{input: input, pool: memory.NewPool(0)}
	for side := range input {
		for _, in := range input[side] {
			j.batches[side] = append(j.batches[side], int64Batches(j.pool.Account("input"), timedSchema, [][]int64{in.keys, in.values, in.times}, 4096))
		}
	}
	config := join.Config{Keys: [2][]int{{0}, {0}}, Output: []join.Column{{Side: 0, Index: 0}, {Side: 0, Index: 1}, {Side: 1, Index: 1, Name: "w"}}}
	var err error
	if interval {
		c := join.IntervalConfig{Config: config, Lower: -joinSize / 2, Upper: joinSize / 2, Time: "at"}
		j.schema, err = c.Schema(timedSchema, timedSchema)
		j.operator = func() core.Operator { return join.NewInterval(c) }
	} else {
		c := join.WindowConfig{Config: config, Windows: join.Windows{Size: joinSize}}
		j.schema, err = c.Schema(timedSchema, timedSchema)
		j.operator = func() core.Operator { return join.NewWindow(c) }
	}
	return j, err
}

func (j *joinJob) close() {
	for _, side := range j.batches {
		for _, b := range side {
			release(b)
		}
	}
}

func (j *joinJob) run(ctx context.Context) (Run, joinResults, error) {
	j.out = make([]joinResults, windowWorkers)
	j.watch, j.cpu = newStopwatch(windowWorkers), cpuWatch{}
	var sources []*task.Node
	for side, name := range []string{"left", "right"} {
		sources = append(sources, &task.Node{ID: name, Label: name, Schema: timedSchema, Watermark: &task.Watermark{Column: 2, MaxDelay: joinDisorder * time.Microsecond, MaxDrift: joinDrift * time.Microsecond},
			Source: func() (core.Source, error) {
				s := &timedSource{input: j.input[side], batches: j.batches[side], repeat: j.repeat, account: j.pool.Account("times")}
				if side == 0 {
					s.first = func(w int) {
						j.cpu.begin()
						j.watch.begin(w)
					}
				}
				return untilEnd{s, j.cpu.end}, nil
			}})
	}
	inputs := append(hashed(sources[0], 0), hashed(sources[1], 0)...)
	inputs[1].Port = 1
	op := &task.Node{ID: "join", Label: "join", Schema: j.schema, Inputs: inputs, Operator: j.operator}
	sink := &task.Node{ID: "sink", Label: "sink", Schema: j.schema, Inputs: forward(op), Sink: func() (core.Sink, error) {
		columns := make([][][]int64, windowWorkers)
		return consumer{func(w int, b *core.Batch) {
			columns[w] = columns[w][:0]
			for _, v := range b.Columns {
				columns[w] = append(columns[w], v.Int64s())
			}
			j.out[w].add(columns[w]...)
			j.watch.end(w)
		}}, nil
	}}
	result, err := graphRun{name: "joins", workers: windowWorkers, interval: j.interval, dir: j.dir, nodes: append(sources, op, sink),
		options: task.Options{BatchRows: 4096, BufferTimeout: 10 * time.Millisecond, Memory: j.pool}}.run(ctx)
	if err != nil {
		return Run{}, joinResults{}, err
	}
	var out joinResults
	for i := range j.out {
		out.rows += j.out[i].rows
		out.sum += j.out[i].sum
	}
	rows := j.rows() + out.rows
	return Run{Rows: rows, Elapsed: j.watch.elapsed(), Notes: map[string]float64{
		"checkpoints": float64(result.Checkpoints.Completed), "MB per checkpoint": float64(result.Checkpoints.Written) / max(1, float64(result.Checkpoints.Completed)) / 1e6,
		"CPU ns/row": float64(j.cpu.last-j.cpu.first) / float64(rows), "out": float64(out.rows) / float64(j.rows()),
	}}, out, nil
}

// rows is how many go in.
func (j *joinJob) rows() int64 {
	return int64(len(j.input[0][0].keys)) * 2 * windowWorkers * int64(j.repeat)
}

func benchJoins(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Inner joins on a key, partners within 5 s either way or in the same window of 10 s, one a row on average, up to 1 s out of order; million rows in and out a second (%s)\n\n", machine())
	t := newTable(w, "join", "keys", "turbo", "loop", "turbo / loop", "spread", "ns of CPU a row", "the loop's", "rows out a row in", "checkpoints a run", "MB a checkpoint")
	sizes, seconds, rows := []int{10_000, 1_000_000}, 2.0, 1<<19
	if o.Quick {
		sizes, seconds, rows = []int{10_000}, 0.05, 1<<15
	}
	for _, name := range []string{"interval", "window"} {
		for _, keys := range sizes {
			left, right := newTimedInput(rows, keys, 1, joinSize, joinDisorder), newTimedInput(rows, keys, 1, joinSize, joinDisorder)
			for i, in := range right { // keys of their own: partners by chance alone
				r := rand.New(rand.NewPCG(uint64(i), uint64(keys)+1))
				for k := range in.keys {
					in.keys[k] = int64(r.IntN(keys)) * 7919
				}
			}
			if err := benchJoin(ctx, t, o, name, keys, seconds, [2][]timedInput{left, right}); err != nil {
				return err
			}
		}
	}
	return nil
}

// benchJoin measures one join without and with checkpoints.
func benchJoin(ctx context.Context, t *table, o Options, name string, keys int, seconds float64, input [2][]timedInput) error {
	job, err := newJoinJob(input, name == "interval")
	if err != nil {
		return err
	}
	defer job.close()
	hand := func() handJoin { return newHandWindows(joinSize) }
	if name == "interval" {
		hand = func() handJoin { return newHandInterval(joinSize / 2) }
	}
	job.dir, job.repeat = o.Dir, max(2, 4*keys/len(input[0][0].keys))
	first, _, err := job.run(ctx)
	if err != nil {
		return err
	}
	job.repeat = max(job.repeat, int(seconds*first.perSecond()*1e6/float64(job.rows()/int64(job.repeat))))
	for _, job.interval = range []time.Duration{0, time.Second} {
		var got joinResults
		var loop []float64
		r, err := pairs(ctx, o.pairs(), func(ctx context.Context) (r Run, err error) {
			r, got, err = job.run(ctx)
			return r, err
		}, func(context.Context) (Run, error) {
			before := processorTime()
			r, want := joinLoop(input, job.repeat, hand)
			loop = append(loop, float64(processorTime()-before)/float64(r.Rows))
			if got.rows != want.rows || got.sum != want.sum {
				return r, fmt.Errorf("%s join: turbo has %d results that come to %d, the loop %d that come to %d", name, got.rows, got.sum, want.rows, want.sum)
			}
			return r, nil
		})
		if err != nil {
			return err
		}
		t.row(append(append([]string{name, fmt.Sprint(keys)}, ratioCells(r)...), fmt.Sprintf("%.1f", r.Notes["CPU ns/row"]), fmt.Sprintf("%.1f", median(loop)),
			fmt.Sprintf("%.2f", r.Notes["out"]), fmt.Sprintf("%.0f", r.Notes["checkpoints"]), fmt.Sprintf("%.1f", r.Notes["MB per checkpoint"]))...)
	}
	return nil
}
