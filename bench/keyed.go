package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/task"
	"turbo/memory"
)

func init() {
	register(Benchmark{"keyed", "running count and sum by an int64 key, through source, exchange and state, beside the two-worker loop", benchKeyed})
	register(Benchmark{"checkpoints", "the same with a checkpoint every second and without", benchCheckpoints})
}

const keyedWorkers = 2

// keyedInput is one worker's input.
type keyedInput struct{ keys, values []int64 }

// newKeyedInput makes rows rows for each worker over keys keys, in random order.
func newKeyedInput(rows, keys int) []keyedInput {
	var out []keyedInput
	for w := range keyedWorkers {
		r := rand.New(rand.NewPCG(uint64(w), uint64(keys)))
		in := keyedInput{make([]int64, rows), make([]int64, rows)}
		for i := range in.keys {
			in.keys[i] = int64(r.IntN(keys)) * 7919 // spread over the integers
			in.values[i] = int64(r.IntN(1000))
		}
		out = append(out, in)
	}
	return out
}

var keyedSchema = core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64).Required()}, core.Field{Name: "v", Type: core.Of(core.Int64).Required()})

// updates is what consumes the updates on both sides: it reads every value, and keeps the newest one of each key whose lowest bits are
// zero, for the check of the answer. With all it keeps that of every key.
type updates struct {
	rows, counts, sums int64
	mask               int64
	last               map[int64][2]int64
	_                  [64]byte
}

// sampled is the mask of keys that are checked in timed runs: key 0 and about one of 1024 others.
const sampled = 1023

func newUpdates(all bool) *updates {
	u := &updates{mask: sampled, last: map[int64][2]int64{}}
	if all {
		u.mask = 0
	}
	return u
}

// take reads a batch of updates, which is dense.
func (u *updates) take(b *core.Batch) {
	u.add(b.Columns[0].Int64s(), b.Columns[1].Int64s(), b.Columns[2].Int64s())
}

func (u *updates) add(keys, counts, sums []int64) {
	u.rows += int64(len(keys))
	var c, s int64
	counts, sums = counts[:len(keys)], sums[:len(keys)]
	for i, k := range keys {
		c += counts[i]
		s += sums[i]
		if k&u.mask == 0 {
			u.last[k] = [2]int64{counts[i], sums[i]}
		}
	}
	u.counts += c
	u.sums += s
}

// keyedJob is turbo's side.
type keyedJob struct {
	input    []keyedInput
	batches  [][]*core.Batch
	pool     *memory.Pool
	repeat   int
	interval time.Duration // of checkpoints; 0: none
	dir      string
	out      []*updates
	watch    stopwatch
	cpu      cpuWatch
}

// cpuWatch counts the processor time of the process from the first row read to the end of the last worker's input: neither start nor the last
// checkpoint, which shorter runs have, too.
type cpuWatch struct {
	mu          sync.Mutex
	begun       bool
	first, last time.Duration
}

func (c *cpuWatch) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		c.begun, c.first = true, processorTime()
	}
}

func (c *cpuWatch) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = processorTime()
}

// untilEnd is a source that says when a reader has come to the end.
type untilEnd struct {
	core.Source
	ended func()
}

func (s untilEnd) Reader(w int) (core.SourceReader, error) {
	r, err := s.Source.Reader(w)
	return untilEndReader{r, s.ended}, err
}

type untilEndReader struct {
	core.SourceReader
	ended func()
}

func (r untilEndReader) Poll() (core.Event, error) {
	e, err := r.SourceReader.Poll()
	if e.Kind == core.EndOfInput {
		r.ended()
	}
	return e, err
}

func newKeyedJob(input []keyedInput, repeat int) *keyedJob {
	j := &keyedJob{input: input, pool: memory.NewPool(0), repeat: repeat}
	for _, in := range input {
		j.batches = append(j.batches, int64Batches(j.pool.Account("input"), keyedSchema, [][]int64{in.keys, in.values}, 4096))
	}
	return j
}

func (j *keyedJob) close() {
	for _, b := range j.batches {
		release(b)
	}
}

func (j *keyedJob) nodes() ([]*task.Node, error) {
	config := ops.AggregateConfig{Keys: []int{0}, Calls: []ops.Call{{Function: ops.Count, Argument: -1, Name: "n"}, {Function: ops.Sum, Argument: 1, Name: "s"}}}
	schema, err := config.Schema(keyedSchema)
	if err != nil {
		return nil, err
	}
	src := &task.Node{ID: "src", Label: "source", Schema: keyedSchema, Source: func() (core.Source, error) {
		return untilEnd{&columnsSource{batches: j.batches, repeat: j.repeat, first: func(w int) {
			j.cpu.begin()
			j.watch.begin(w)
		}}, j.cpu.end}, nil
	}}
	agg := &task.Node{ID: "agg", Label: "aggregate", Schema: schema, Inputs: hashed(src, 0), Operator: func() core.Operator { return ops.NewAggregate(config) }}
	sink := &task.Node{ID: "sink", Label: "sink", Schema: schema, Inputs: forward(agg), Sink: func() (core.Sink, error) {
		return consumer{func(w int, b *core.Batch) {
			j.out[w].take(b)
			j.watch.end(w)
		}}, nil
	}}
	return []*task.Node{src, agg, sink}, nil
}

// run runs the job once.
func (j *keyedJob) run(ctx context.Context, check bool) (Run, error) {
	j.out = nil
	for range keyedWorkers {
		j.out = append(j.out, newUpdates(check))
	}
	j.watch, j.cpu = newStopwatch(keyedWorkers), cpuWatch{}
	nodes, err := j.nodes()
	if err != nil {
		return Run{}, err
	}
	result, err := graphRun{name: "keyed", workers: keyedWorkers, interval: j.interval, dir: j.dir, nodes: nodes,
		options: task.Options{BatchRows: 4096, BufferTimeout: 10 * time.Millisecond, Memory: j.pool}}.run(ctx)
	if err != nil {
		return Run{}, err
	}
	r := Run{Rows: int64(len(j.input[0].keys)) * keyedWorkers * int64(j.repeat), Elapsed: j.watch.elapsed(), Notes: map[string]float64{
		"checkpoints": float64(result.Checkpoints.Completed), "MB per checkpoint": float64(result.Checkpoints.Written) / max(1, float64(result.Checkpoints.Completed)) / 1e6,
		"CPU ns/row": float64(j.cpu.last-j.cpu.first) / (float64(len(j.input[0].keys)) * keyedWorkers * float64(j.repeat)),
	}}
	return r, checkUpdates(j.out, j.input, j.repeat)
}

// checkUpdates compares what came out with the answer, which it counts by itself.
func checkUpdates(out []*updates, input []keyedInput, repeat int) error {
	want := map[int64][2]int64{}
	for _, in := range input {
		for i, k := range in.keys {
			if k&out[0].mask != 0 {
				continue
			}
			x := want[k]
			want[k] = [2]int64{x[0] + int64(repeat), x[1] + int64(repeat)*in.values[i]}
		}
	}
	got := 0
	for _, u := range out {
		got += len(u.last)
		for k, x := range u.last {
			if want[k] != x {
				return fmt.Errorf("key %d: count and sum %v, want %v", k, x, want[k])
			}
		}
	}
	if got != len(want) {
		return fmt.Errorf("%d keys came out, want %d", got, len(want))
	}
	return nil
}

func (o Options) keyedRows() (rows int, total int64) {
	if o.Quick {
		return 1 << 18, 1 << 20
	}
	return 1 << 20, 1 << 25
}

func benchKeyed(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Running count and sum by key, million rows a second over %d workers (%s)\n\n", keyedWorkers, machine())
	t := newTable(w, "keys", "turbo", "loop", "turbo / loop", "spread")
	sizes := []int{1_000, 10_000, 100_000, 1_000_000}
	if o.Quick {
		sizes = sizes[1:2]
	}
	for _, keys := range sizes {
		rows, total := o.keyedRows()
		input := newKeyedInput(rows, keys)
		job := newKeyedJob(input, int(total)/rows)
		job.dir = o.Dir
		if err := checkAnswers(ctx, input, o.Dir); err != nil {
			return err
		}
		r, err := pairs(ctx, o.pairs(), func(ctx context.Context) (Run, error) { return job.run(ctx, false) },
			func(context.Context) (Run, error) { return keyedLoop(input, int(total)/rows, false) })
		job.close()
		if err != nil {
			return err
		}
		t.row(append([]string{fmt.Sprint(keys)}, ratioCells(r)...)...)
	}
	return nil
}

// checkAnswers runs both sides once over the input, keeping every key's last update, and compares it with the answer.
func checkAnswers(ctx context.Context, input []keyedInput, dir string) error {
	job := newKeyedJob(input, 1)
	job.dir = dir
	defer job.close()
	if _, err := job.run(ctx, true); err != nil {
		return fmt.Errorf("turbo: %w", err)
	}
	if _, err := keyedLoop(input, 1, true); err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	return nil
}

func benchCheckpoints(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Running count and sum by key with a checkpoint every second, beside none (%s)\n\n", machine())
	t := newTable(w, "keys", "with", "without", "with / without", "spread", "by processor time", "spread", "checkpoints a run", "MB a checkpoint")
	sizes := []int{10_000, 1_000_000}
	if o.Quick {
		sizes = sizes[:1]
	}
	for _, keys := range sizes {
		rows, total := o.keyedRows()
		input := newKeyedInput(rows, keys)
		probe := newKeyedJob(input, int(total)/rows)
		first, err := probe.run(ctx, false)
		probe.close()
		if err != nil {
			return err
		}
		seconds := 19.0 // 15 checkpoints and some
		if o.Quick {
			seconds = 1.2
		}
		job := newKeyedJob(input, 0)
		job.dir = o.Dir
		repeat := int(seconds * first.perSecond() * 1e6 / float64(rows*keyedWorkers))
		var cost float64
		var costs []float64 // processor time a row, without / with
		r, err := pairs(ctx, o.pairs(), func(ctx context.Context) (Run, error) {
			job.interval, job.repeat = time.Second, repeat
			r, err := job.run(ctx, false)
			cost = r.Notes["CPU ns/row"]
			return r, err
		}, func(ctx context.Context) (Run, error) { // its speed is known sooner
			job.interval, job.repeat = 0, max(repeat/3, 1)
			r, err := job.run(ctx, false)
			costs = append(costs, r.Notes["CPU ns/row"]/cost)
			return r, err
		})
		job.close()
		if err != nil {
			return err
		}
		costs = costs[1:] // the first pair does not count
		t.row(append(append([]string{fmt.Sprint(keys)}, ratioCells(r)...), fmt.Sprintf("%.2f", median(costs)), fmt.Sprintf("%.2f to %.2f", slices.Min(costs), slices.Max(costs)),
			fmt.Sprintf("%.0f", r.Notes["checkpoints"]), fmt.Sprintf("%.1f", r.Notes["MB per checkpoint"]))...)
	}
	return nil
}
