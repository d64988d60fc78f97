package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/ops/window"
	"turbo/core/task"
	"turbo/memory"
)

func init() {
	register(Benchmark{"windows", "tumbling windows of event time by key, out of order, with a checkpoint every second, beside the two-worker loop", benchWindows})
	register(Benchmark{"window-kinds", "sliding 60 s by 1 s, and sessions, beside tumbling windows", benchWindowKinds})
}

// timedInput is one worker's rows: keys, values and times, which are relative to the pass: pass p is span later than pass p-1.
type timedInput struct {
	keys, values, times []int64 // microseconds
	span                int64
}

const (
	windowSize    = 10_000_000 // microseconds
	windowPerKey  = 100        // rows of a key in a window
	disorder      = 5_000_000
	windowDrift   = windowSize // at most between the workers' sources
	windowWorkers = keyedWorkers
)

// newTimedInput makes rows rows for each worker: perKey rows of each of keys keys in every size microseconds, each up to disorder late.
func newTimedInput(rows, keys int, perKey float64, size int64, late int64) []timedInput {
	var out []timedInput
	step := float64(size) / (float64(keys) * perKey / windowWorkers) // between the rows of one worker
	for w := range windowWorkers {
		r := rand.New(rand.NewPCG(uint64(w), uint64(keys)))
		in := timedInput{make([]int64, rows), make([]int64, rows), make([]int64, rows), int64(step * float64(rows))}
		for i := range in.keys {
			in.keys[i] = int64(r.IntN(keys)) * 7919
			in.values[i] = int64(r.IntN(1000))
			in.times[i] = int64(step*float64(i)) + disorder
			if late > 0 {
				in.times[i] -= r.Int64N(late)
			}
		}
		out = append(out, in)
	}
	return out
}

var timedSchema = &core.Schema{Fields: []core.Field{
	{Name: "k", Type: core.Of(core.Int64).Required()}, {Name: "v", Type: core.Of(core.Int64).Required()}, {Name: "t", Type: core.Of(core.Timestamp).Required()},
}, TimeColumn: 2}

// timedSource is a source over timed input: a row costs a reference to two columns, and a sum for its time.
type timedSource struct {
	input   []timedInput
	batches [][]*core.Batch
	repeat  int
	account *memory.Account
	first   func(worker int)
}

func (s *timedSource) Open(context.Context, []core.SplitState) error { return nil }
func (s *timedSource) Reader(w int) (core.SourceReader, error) {
	inner := &columnsReader{source: &columnsSource{first: s.first}, worker: w, batches: s.batches[w], left: s.repeat * len(s.batches[w])}
	return &timedReader{columnsReader: inner, source: s}, nil
}
func (s *timedSource) Committed(context.Context, uint64, []core.SplitState) error { return nil }
func (s *timedSource) Close() error                                               { return nil }

type timedReader struct {
	*columnsReader
	source *timedSource
	shift  int64
}

// Poll gives the next batch, its times moved to the pass.
func (r *timedReader) Poll() (core.Event, error) {
	wrapped := r.announced && r.at == 0 && r.left < r.source.repeat*len(r.batches) && r.left > 0
	if wrapped {
		r.shift += r.source.input[r.worker].span
	}
	e, err := r.columnsReader.Poll()
	if e.Batch == nil || err != nil {
		return e, err
	}
	b := core.NewBatch(r.source.account, timedSchema)
	b.Len = e.Batch.Len
	times := core.NewVector(r.source.account, timedSchema.Fields[2].Type, b.Len)
	times.Extend(b.Len)
	out, in, shift := times.Int64s(), e.Batch.Columns[2].Int64s(), r.shift
	for i := range out {
		out[i] = in[i] + shift
	}
	b.Columns = append(b.Columns, e.Batch.Columns[0].Retain(), e.Batch.Columns[1].Retain(), times)
	e.Batch.Release()
	e.Batch = b
	return e, nil
}

// windowResults consumes results on both sides: how many, and the sum of all sums.
type windowResults struct {
	rows, sum, all int64
	_              [104]byte
}

func (u *windowResults) add(keys, ends, sums []int64) {
	u.rows += int64(len(keys))
	var s, all int64
	for i, k := range keys {
		s += sums[i]
		all ^= k ^ ends[i] // every value is read
	}
	u.sum += s
	u.all ^= all
}

// windowJob is turbo's side.
type windowJob struct {
	input    []timedInput
	batches  [][]*core.Batch
	pool     *memory.Pool
	config   window.Config
	repeat   int
	delay    time.Duration
	interval time.Duration
	dir      string
	out      []windowResults
	watch    stopwatch
	cpu      cpuWatch
}

func newWindowJob(input []timedInput, config window.Config, delay time.Duration) *windowJob {
	j := &windowJob{input: input, pool: memory.NewPool(0), config: config, delay: delay}
	for _, in := range input {
		j.batches = append(j.batches, int64Batches(j.pool.Account("input"), timedSchema, [][]int64{in.keys, in.values, in.times}, 4096))
	}
	return j
}

func (j *windowJob) close() {
	for _, b := range j.batches {
		release(b)
	}
}

func sumConfig(kind window.Kind, size, slide int64) window.Config {
	return window.Config{Keys: []int{0}, Kind: kind, Size: size, Slide: slide, Gap: size, GapColumn: -1,
		Calls: []ops.Call{{Function: ops.Sum, Argument: 1, Name: "s"}}}
}

func (j *windowJob) rows() int64 {
	return int64(len(j.input[0].keys)) * windowWorkers * int64(j.repeat)
}

func (j *windowJob) run(ctx context.Context) (Run, error) {
	j.out = make([]windowResults, windowWorkers)
	j.watch, j.cpu = newStopwatch(windowWorkers), cpuWatch{}
	schema, err := j.config.Schema(timedSchema)
	if err != nil {
		return Run{}, err
	}
	sum := schema.Index("s")
	src := &task.Node{ID: "src", Label: "source", Schema: timedSchema, Watermark: &task.Watermark{Column: 2, MaxDelay: j.delay, MaxDrift: windowDrift * time.Microsecond}, Source: func() (core.Source, error) {
		return untilEnd{&timedSource{input: j.input, batches: j.batches, repeat: j.repeat, account: j.pool.Account("times"), first: func(w int) {
			j.cpu.begin()
			j.watch.begin(w)
		}}, j.cpu.end}, nil
	}}
	win := &task.Node{ID: "win", Label: "window", Schema: schema, Inputs: hashed(src, 0), Operator: func() core.Operator { return window.New(j.config) }}
	sink := &task.Node{ID: "sink", Label: "sink", Schema: schema, Inputs: forward(win), Sink: func() (core.Sink, error) {
		return consumer{func(w int, b *core.Batch) {
			j.out[w].add(b.Columns[0].Int64s(), b.Columns[2].Int64s(), b.Columns[sum].Int64s())
			j.watch.end(w)
		}}, nil
	}}
	result, err := graphRun{name: "windows", workers: windowWorkers, interval: j.interval, dir: j.dir, nodes: []*task.Node{src, win, sink},
		options: task.Options{BatchRows: 4096, BufferTimeout: 10 * time.Millisecond, Memory: j.pool}}.run(ctx)
	if err != nil {
		return Run{}, err
	}
	r := Run{Rows: j.rows(), Elapsed: j.watch.elapsed(), Notes: map[string]float64{
		"checkpoints": float64(result.Checkpoints.Completed), "MB per checkpoint": float64(result.Checkpoints.Written) / max(1, float64(result.Checkpoints.Completed)) / 1e6,
		"CPU ns/row": float64(j.cpu.last-j.cpu.first) / float64(j.rows()),
	}}
	for _, u := range j.out {
		r.Notes["out"] += float64(u.rows)
	}
	return r, nil
}

// sum is that of all results.
func (j *windowJob) sum() (total int64) {
	for _, u := range j.out {
		total += u.sum
	}
	return total
}

// values is the sum of all values that went in.
func (j *windowJob) values() (total int64) {
	for _, in := range j.input {
		for _, v := range in.values {
			total += v
		}
	}
	return total * int64(j.repeat)
}

func benchWindows(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Sum by key over tumbling windows of 10 s, %d rows a key and window, up to 5 s out of order, a checkpoint every second (%s)\n\n", windowPerKey, machine())
	t := newTable(w, "keys", "turbo", "loop", "turbo / loop", "spread", "ns of CPU a row", "checkpoints a run", "MB a checkpoint")
	sizes := []int{10_000, 1_000_000}
	seconds, rows := 24.0, 1<<20
	if o.Quick {
		sizes, seconds, rows = []int{1000}, 1.2, 1<<17
	}
	for _, keys := range sizes {
		input := newTimedInput(rows, keys, windowPerKey, windowSize, disorder)
		job := newWindowJob(input, sumConfig(window.Tumbling, windowSize, 0), disorder*time.Microsecond)
		job.dir = o.Dir
		job.repeat = max(2, 4*keys*windowPerKey/(rows*windowWorkers))
		first, err := job.run(ctx)
		if err != nil {
			return err
		}
		if err := checkWindows(job, input); err != nil {
			return err
		}
		job.interval, job.repeat = time.Second, max(2, int(seconds*first.perSecond()*1e6/float64(rows*windowWorkers)))
		r, err := pairs(ctx, o.pairs(), func(ctx context.Context) (Run, error) {
			r, err := job.run(ctx)
			if err == nil && job.sum() != job.values() {
				err = fmt.Errorf("turbo: the sums of all windows come to %d, the values to %d", job.sum(), job.values())
			}
			return r, err
		}, func(context.Context) (Run, error) {
			r, _, err := windowLoop(input, max(2, job.repeat/3)) // its speed is known sooner
			return r, err
		})
		job.close()
		if err != nil {
			return err
		}
		t.row(append(append([]string{fmt.Sprint(keys)}, ratioCells(r)...), fmt.Sprintf("%.1f", r.Notes["CPU ns/row"]), fmt.Sprintf("%.0f", r.Notes["checkpoints"]), fmt.Sprintf("%.1f", r.Notes["MB per checkpoint"]))...)
	}
	return nil
}

// checkWindows compares the results of the job's last run with those of the loop over the same rows.
func checkWindows(job *windowJob, input []timedInput) error {
	_, out, err := windowLoop(input, job.repeat)
	if err != nil {
		return err
	}
	rows := int64(0)
	for _, u := range job.out {
		rows += u.rows
	}
	if rows != out.rows || job.sum() != out.sum {
		return fmt.Errorf("turbo has %d results that come to %d, the loop %d that come to %d", rows, job.sum(), out.rows, out.sum)
	}
	return nil
}

// benchWindowKinds compares turbo with itself: what sliding and session windows cost beside tumbling ones.
func benchWindowKinds(ctx context.Context, w io.Writer, o Options) error {
	const keys = 10_000
	fmt.Fprintf(w, "Sum over %d keys: windows that cost more beside tumbling ones (%s)\n\n", keys, machine())
	t := newTable(w, "windows", "million rows in and out a second", "beside", "rows in a second", "ratio", "spread")
	rows := 1 << 20
	if o.Quick {
		rows = 1 << 17
	}
	compare := func(name string, input, base []timedInput, config, beside window.Config, text string, repeat, baseRepeat int, inAndOut bool) error {
		job, other := newWindowJob(input, config, time.Second), newWindowJob(base, beside, time.Second)
		defer job.close()
		defer other.close()
		job.dir, other.dir, job.repeat, other.repeat = o.Dir, o.Dir, repeat, baseRepeat
		r, err := pairs(ctx, o.pairs(), func(ctx context.Context) (Run, error) {
			r, err := job.run(ctx)
			if inAndOut {
				r.Rows += int64(r.Notes["out"])
			}
			return r, err
		}, func(ctx context.Context) (Run, error) {
			r, err := other.run(ctx)
			if err == nil && other.sum() != other.values() {
				err = fmt.Errorf("%s: the sums of all windows come to %d, the values to %d", text, other.sum(), other.values())
			}
			return r, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t.row(name, fmt.Sprintf("%.1f", r.Turbo), text, fmt.Sprintf("%.1f", r.Loop), fmt.Sprintf("%.2f", r.Median), fmt.Sprintf("%.2f to %.2f", r.Low, r.High))
		return nil
	}
	const second = 1_000_000
	each := newTimedInput(rows, keys, 1, second, second/2) // one row a key and second
	if err := compare("sliding 60 s by 1 s", each, each, sumConfig(window.Sliding, 60*second, second), sumConfig(window.Tumbling, 60*second, 0), "tumbling 60 s", 48, 144, true); err != nil {
		return err
	}
	sessions := newSessionInput(rows, keys)
	return compare("sessions, gap 5 s, mean 30 s", sessions, sessions, sumConfig(window.Session, 5*second, 0), sumConfig(window.Tumbling, 30*second, 0), "tumbling 30 s", 48, 96, false)
}

// newSessionInput makes rows whose keys come and go: a key is there for 30 s on average, with a row every 1.5 s or so, then silent for 10 s.
func newSessionInput(rows, keys int) []timedInput {
	var out []timedInput
	const second = 1_000_000
	per := keys / windowWorkers
	step := int64(second) * 3 / 2 / int64(per) * 4 / 3 // three of four keys are there
	for w := range windowWorkers {
		r := rand.New(rand.NewPCG(uint64(w), 5))
		in := timedInput{keys: make([]int64, 0, rows), values: make([]int64, 0, rows), times: make([]int64, 0, rows)}
		until, silent := make([]int64, per), make([]int64, per)
		now := int64(disorder)
		for len(in.keys) < rows {
			k := r.IntN(per)
			now += step / 2
			switch {
			case now < silent[k]:
				continue
			case now > until[k]: // a session begins, or ends
				if until[k] != 0 && r.IntN(2) == 0 {
					silent[k] = now + 10*second
					until[k] = 0
					continue
				}
				until[k] = now + int64(r.ExpFloat64()*30*second)
			}
			in.keys, in.values, in.times = append(in.keys, int64(k*windowWorkers+w)*7919), append(in.values, int64(r.IntN(1000))), append(in.times, now-r.Int64N(second/2))
		}
		in.span = now + 20*second
		out = append(out, in)
	}
	return out
}
