package generator

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/io/connector"
)

func init() {
	connector.RegisterSource(connector.SourceSpec{
		Name:    "generator",
		Summary: "Seeded rows: sequences, random values, or taxi rides.",
		Description: `Makes rows out of a seed: the same rows after every restart and at every parallelism. With ` + "`data: rides`" + ` the rows are
events of taxi rides in New York City, in the columns of the spec's schema that have these names: ride_id, event ('START' or 'END'), ts, other_ts, start_lon,
start_lat, end_lon, end_lat, lon, lat (where the event happened), passengers, taxi_id, driver_id.`,
		Guarantee: "exactly-once: the position of every split is in the checkpoint",
		Fields: []connector.Field{
			{Name: "data", Type: connector.Enum, Identity: true, Enum: []string{"sequence", "random", "rides"}, Default: "random", Doc: "What the rows are: counters, random values, or events of taxi rides."},
			{Name: "rows", Type: connector.Int, Default: "0", Min: "0", Doc: "How many rows to make; 0: without end."},
			{Name: "rate", Type: connector.Float, Default: "0", Min: "0", Doc: "Rows a second over all readers; 0: as fast as they are taken."},
			{Name: "seed", Type: connector.Int, Identity: true, Default: "1", Doc: "Where the random values come from."},
			{Name: "splits", Type: connector.Int, Identity: true, Default: "8", Min: "1", Max: "1024", Doc: "Number of independent sequences; a reader takes every parallelism-th."},
			{Name: "batch-rows", Type: connector.Int, Default: "0", Min: "0", Max: "65536", Doc: "Rows handed over at a time; 0: the engine's batch size."},
			{Name: "start-time", Type: connector.String, Default: "2013-01-01 00:00:00", Doc: "Event time of the first row (UTC)."},
			{Name: "interval", Type: connector.Duration, Default: "63ms", Doc: "Event time between one row and the next."},
			{Name: "max-disorder", Type: connector.Duration, Default: "0s", Doc: "Event times are moved back by a random time up to this: how far rows are out of order."},
			{Name: "columns", Type: connector.ObjectMap, Doc: "How the values of a column are made, by column name.", Fields: []connector.Field{
				{Name: "distribution", Type: connector.Enum, Enum: []string{"uniform", "normal", "zipf", "sequence"}, Default: "uniform",
					Doc: "`uniform` between min and max, `normal` around their middle (cut at both), `zipf` (small values are frequent), or `sequence` (min + row number, up to max and again)."},
				{Name: "min", Type: connector.Float, Default: "0", Doc: "Smallest value; of strings: shortest length."},
				{Name: "max", Type: connector.Float, Default: "1000000", Doc: "Largest value; of strings: the number of different ones."},
				{Name: "nulls", Type: connector.Float, Default: "0", Min: "0", Max: "1", Doc: "Share of nulls."},
			}},
		},
		New: newSource,
	})
}

type source struct {
	ctx    *connector.SourceContext
	rows   int64
	rate   float64
	splits int
	batch  int
	fill   func(b *core.Builder, rows []int64) // appends the rows of these numbers
	start  map[string]int64                    // restored positions
	left   atomic.Int64                        // rows not yet emitted; only for Lag
}

func newSource(ctx *connector.SourceContext) (core.Source, error) {
	c := ctx.Config
	s := &source{ctx: ctx, rows: c.Int("rows"), rate: c.Float("rate"), splits: int(c.Int("splits")), batch: int(c.Int("batch-rows"))}
	if s.batch == 0 {
		s.batch = ctx.BatchRows
	}
	base, err := core.ParseTimestamp([]byte(c.String("start-time")))
	if err != nil {
		return nil, c.Errorf("start-time", "%v", err)
	}
	times := eventTimes{base: int64(base), step: c.Duration("interval").Microseconds(), disorder: c.Duration("max-disorder").Microseconds(), seed: uint64(c.Int("seed"))}
	if c.String("data") == "rides" {
		s.fill, err = rides(ctx, times)
	} else {
		s.fill, err = columns(ctx, times, c.String("data") == "sequence")
	}
	return s, err
}

// Open implements core.Source.
func (s *source) Open(_ context.Context, restored []core.SplitState) error {
	s.start = map[string]int64{}
	for _, r := range restored {
		if len(r.Position) != 8 {
			return fmt.Errorf("generator: split %s: the saved position has %d bytes, expected 8", r.ID, len(r.Position))
		}
		s.start[r.ID] = int64(binary.LittleEndian.Uint64(r.Position))
	}
	for id := range s.start {
		var i int
		if _, err := fmt.Sscanf(id, "split-%d", &i); err != nil || i >= s.splits {
			return fmt.Errorf("generator: the state has %s, the spec has %d splits: the number of splits cannot change under a job's state; set it back, or start afresh", id, s.splits)
		}
	}
	left := s.rows
	for _, done := range s.start {
		left -= done
	}
	s.left.Store(left)
	return nil
}

// Reader implements core.Source.
func (s *source) Reader(worker int) (core.SourceReader, error) {
	r := &reader{source: s, builder: core.NewBuilder(s.ctx.Account, s.ctx.Schema, s.batch), clock: s.ctx.Clock}
	for i := worker; i < s.splits; i += s.ctx.Parallelism {
		id := fmt.Sprintf("split-%d", i)
		p := split{id: id, number: int64(i), done: s.start[id], end: -1}
		if s.rows > 0 {
			p.end = 2*(s.rows/int64(2*s.splits)) + min(max(s.rows%int64(2*s.splits)-int64(2*i), 0), 2)
		}
		r.splits = append(r.splits, p)
	}
	if s.rate > 0 {
		r.rate = s.rate / float64(s.ctx.Parallelism)
		r.began = r.clock.Nanos()
	}
	return r, nil
}

// Committed implements core.Source: there is nothing to tell.
func (s *source) Committed(context.Context, uint64, []core.SplitState) error { return nil }

// Close implements core.Source.
func (s *source) Close() error { return nil }

// Lag implements core.LagReporter: the rows that are still to be made.
func (s *source) Lag() (int64, bool) { return max(s.left.Load(), 0), s.rows > 0 }

type split struct {
	id        string
	number    int64
	done, end int64 // rows emitted, rows in all (-1: no end)
	ended     bool
}

type reader struct {
	source  *source
	builder *core.Builder
	splits  []split
	at      int // whose turn it is
	open    int // announced and not ended
	started int
	ended   bool
	clock   clock.Clock
	rate    float64
	began   int64 // ns
	emitted int64 // since began
	rows    []int64
	wake    func()
	timer   clock.Timer
}

// SetWaker implements core.SourceReader.
func (r *reader) SetWaker(wake func()) { r.wake = wake }

// Poll implements core.SourceReader.
func (r *reader) Poll() (core.Event, error) {
	if r.started < len(r.splits) {
		p := &r.splits[r.started]
		r.started++
		r.open++
		return core.Event{Kind: core.SplitStart, Split: r.started - 1, ID: p.id}, nil
	}
	if r.open == 0 {
		if r.ended {
			return core.Event{}, nil
		}
		r.ended = true
		return core.Event{Kind: core.EndOfInput}, nil
	}
	for r.splits[r.at].ended {
		r.at = (r.at + 1) % len(r.splits)
	}
	at := r.at
	p := &r.splits[at]
	if p.end >= 0 && p.done >= p.end {
		p.ended = true
		r.open--
		return core.Event{Kind: core.SplitEnd, Split: at}, nil
	}
	n := int64(r.source.batch)
	if p.end >= 0 {
		n = min(n, p.end-p.done)
	}
	if r.rate > 0 {
		if n = min(n, r.due()); n == 0 {
			r.sleep()
			return core.Event{}, nil
		}
	}
	r.rows = r.rows[:0]
	for k := p.done; k < p.done+n; k++ {
		r.rows = append(r.rows, (k/2*int64(r.source.splits)+p.number)*2+k%2)
	}
	r.source.fill(r.builder, r.rows)
	p.done += n
	r.emitted += n
	r.source.left.Add(-n)
	r.at = (at + 1) % len(r.splits)
	return core.Event{Kind: core.DataEvent, Split: at, Batch: r.builder.Finish(), Read: n}, nil
}

// due returns how many rows the rate allows now.
func (r *reader) due() int64 {
	elapsed := time.Duration(r.clock.Nanos() - r.began)
	return int64(elapsed.Seconds()*r.rate) - r.emitted
}

// sleep has the worker called again when the next row is due.
func (r *reader) sleep() {
	wait := time.Duration(float64(r.emitted+1)/r.rate*float64(time.Second)) - time.Duration(r.clock.Nanos()-r.began)
	wait = max(wait, time.Millisecond)
	if r.timer == nil {
		r.timer = r.clock.AfterFunc(wait, func() {
			if r.wake != nil {
				r.wake()
			}
		})
		return
	}
	r.timer.Reset(wait)
}

// Snapshot implements core.SourceReader.
func (r *reader) Snapshot() ([]core.SplitState, error) {
	out := make([]core.SplitState, r.started)
	for i := range out {
		p := &r.splits[i]
		out[i] = core.SplitState{ID: p.id, Position: binary.LittleEndian.AppendUint64(nil, uint64(p.done)), Start: make([]byte, 8)}
	}
	return out, nil
}

// Close implements core.SourceReader.
func (r *reader) Close() error {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.builder.Close()
	return nil
}
