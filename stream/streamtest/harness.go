package streamtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/memory"
	"turbo/plan"
	"turbo/plan/physical"
	"turbo/run"
	"turbo/stream"
)

// TB is what a harness needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Option is a setting of a harness.
type Option func(*Harness)

// WithT ends the test at the first error, and closes the harness when it ends.
func WithT(t TB) Option { return func(h *Harness) { h.t = t } }

// Workers is the number of workers; the default is 1. Rows are pushed to the first one: keyed exchanges deal them to the others.
func Workers(n int) Option { return func(h *Harness) { h.workers = n } }

// At is the time that the clock shows at first. The default is that of the snapshot, or 2000-01-01 UTC.
func At(t time.Time) Option { return func(h *Harness) { h.start = t } }

// From starts from what Snapshot returned. The job must be made anew, but have the same name.
func From(snapshot []byte) Option { return func(h *Harness) { h.snapshot = snapshot } }

// OwnWatermarks lets sources make their watermarks from the rows, as the job says, instead of Watermark.
func OwnWatermarks() Option { return func(h *Harness) { h.own = true } }

// Harness runs a job by hand. It is for one goroutine.
type Harness struct {
	t        TB
	workers  int
	start    time.Time
	snapshot []byte
	own      bool

	err     error
	plan    *plan.Plan
	inputs  map[string]*source
	outputs map[string]*sink
	clock   *clock.Manual
	now     int64 // what the workers think that Nanos is: it grows a little with each look at them
	pool    *memory.Pool
	graph   *task.Graph
	attempt *task.Attempt
	saved   *snapshots
	expect  ckpt.Expect
	closed  bool
}

// New starts a job. Its sources and sinks become those of the harness: Input and Output find them by name. A job can be started once.
func New(job *stream.Env, options ...Option) *Harness {
	h := &Harness{workers: 1, inputs: map[string]*source{}, outputs: map[string]*sink{}, pool: memory.NewPool(0)}
	for _, o := range options {
		o(h)
	}
	if h.t != nil {
		h.t.Helper()
		h.t.Cleanup(func() {
			if err := h.Close(); err != nil && h.err == nil {
				h.t.Fatal(err)
			}
		})
	}
	h.fail(h.open(job))
	return h
}

func (h *Harness) open(job *stream.Env) error {
	p, err := job.Plan()
	if err != nil {
		return err
	}
	h.plan = p
	state, differences, err := run.StatePlan(p)
	if err != nil {
		return err
	}
	h.expect = ckpt.Expect{Job: p.Settings.Name, KeyGroups: p.Settings.KeyGroups, Plan: state, Differences: differences}
	h.saved = newSnapshots()
	var restored *ckpt.Manifest
	if h.snapshot != nil {
		if restored, err = h.saved.decode(h.snapshot); err != nil {
			return fmt.Errorf("job %s: the snapshot: %w", p.Settings.Name, err)
		}
		if _, err := restored.Check(h.expect); err != nil {
			return fmt.Errorf("job %s: the snapshot: %w", p.Settings.Name, err)
		}
		if h.start.IsZero() {
			h.start = restored.Time
		}
	}
	if h.start.IsZero() {
		h.start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	h.clock = clock.NewManual(h.start)
	for _, s := range p.Sources() {
		h.inputs[s.Name] = newSource(h, s)
	}
	for _, s := range p.Sinks {
		h.outputs[s.Name] = newSink(s)
	}
	if h.graph, err = physical.Build(p, physical.Environment{Run: "test", Parallelism: h.workers, Memory: h.pool, FS: vfs.NewMem(), Clock: h.clock}); err != nil {
		return err
	}
	h.graph.Options.BufferTimeout, h.graph.Options.WatermarkInterval = 0, 1
	var pages pageSource
	if restored != nil {
		pages.s = h.saved
		h.attempt, err = task.Open(context.Background(), h.graph, restored, pages)
	} else {
		h.attempt, err = task.Open(context.Background(), h.graph, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("job %s: %w", p.Settings.Name, err)
	}
	h.attempt.Begin(h.saved)
	h.saved.tasks = len(h.attempt.Tasks())
	return h.settle()
}

// fail keeps the first error, and returns it.
func (h *Harness) fail(err error) error {
	if err != nil && h.err == nil {
		h.err = err
		if h.t != nil {
			h.t.Helper()
			h.t.Fatal(err)
		}
	}
	return h.err
}

// Err returns the first error; nil when there was none.
func (h *Harness) Err() error { return h.err }

var errClosed = errors.New("the harness is closed")

// settle runs the workers until they have nothing to do.
func (h *Harness) settle() error {
	if h.err != nil {
		return h.err
	}
	if h.closed {
		return errClosed
	}
	for again, first := true, true; again; first = false {
		again = first && h.own                // a watermark that follows from rows is looked at in the second round
		h.now = max(h.now+2, h.clock.Nanos()) // watermarks are looked at each time
		if err := h.attempt.Settle(h.now); err != nil {
			return fmt.Errorf("job %s: %w", h.plan.Settings.Name, err)
		}
		for _, s := range h.inputs {
			again = again || s.news
			s.news = false
		}
	}
	return nil
}

// Now is the time that the clock shows.
func (h *Harness) Now() time.Time {
	if h.clock == nil {
		return h.start
	}
	return h.clock.Now().UTC()
}

// Advance moves the clock, which is processing time, and with it the timers, timeouts and idle times that are due on the way, each at its time.
func (h *Harness) Advance(d time.Duration) error {
	if h.t != nil {
		h.t.Helper()
	}
	if h.err != nil {
		return h.err
	}
	if d < 0 {
		return h.fail(fmt.Errorf("the clock cannot go back by %v", -d))
	}
	target := h.clock.Nanos() + int64(d)
	for {
		at, ok := h.attempt.Deadline(h.now)
		if !ok || at > target || at <= h.clock.Nanos() {
			break
		}
		h.clock.Advance(time.Duration(at - h.clock.Nanos()))
		if err := h.settle(); err != nil {
			return h.fail(err)
		}
	}
	h.clock.Advance(time.Duration(target - h.clock.Nanos()))
	return h.fail(h.settle())
}

// AdvanceTo moves the clock to a time.
func (h *Harness) AdvanceTo(t time.Time) error {
	if h.t != nil {
		h.t.Helper()
	}
	return h.Advance(t.Sub(h.Now()))
}

// Await waits until no function of an AsyncWait or Lookup runs any more; those between two attempts wait for the clock, and are not waited for. Such
// functions have goroutines of their own: other calls take the results that are there, and do not wait for more.
func (h *Harness) Await(ctx context.Context) error {
	if h.t != nil {
		h.t.Helper()
	}
	return h.fail(h.await(ctx, func() bool { return h.attempt.Busy() == 0 }, nil))
}

// await runs the workers until done.
func (h *Harness) await(ctx context.Context, done func() bool, also <-chan struct{}) error {
	for {
		if err := h.settle(); err != nil {
			return err
		}
		if done() {
			return nil
		}
		select {
		case <-h.attempt.Wakes():
		case <-also:
		case <-ctx.Done():
			return fmt.Errorf("%w while functions run", context.Cause(ctx))
		}
	}
}

// Entries returns how many entries the keyed state of an operator has, over all workers, timers apart: one for each key with a value state, one for each
// entry of a map and element of a list, one for each open window.
func (h *Harness) Entries(operator string) int { return h.rows(operator, false) }

// Timers returns how many timers a process function has set.
func (h *Harness) Timers(operator string) int { return h.rows(operator, true) }

func (h *Harness) rows(operator string, timers bool) int {
	n := 0
	if h.node(operator) == "" || h.attempt == nil || h.closed {
		return 0
	}
	for _, t := range h.attempt.Tables() {
		if name, _, _ := strings.Cut(t.Node, "/"); name == operator && strings.HasSuffix(t.Table, "timers") == timers {
			n += t.Rows
		}
	}
	return n
}

// Late returns how many rows an operator has dropped as late, or sent to the stream of late rows.
func (h *Harness) Late(operator string) int64 {
	var n int64
	if h.node(operator) == "" || h.attempt == nil || h.closed {
		return 0
	}
	h.attempt.Publish()
	for _, s := range h.attempt.Stats() {
		if name, _, _ := strings.Cut(s.Node, "/"); name == operator {
			n += s.Counters.Late
		}
	}
	return n
}

// node returns the name of an operator that there is; else it fails.
func (h *Harness) node(operator string) string {
	if h.plan == nil {
		return ""
	}
	var names []string
	for _, n := range h.plan.Nodes() {
		if !slices.Contains(names, n.Common().Name) {
			names = append(names, n.Common().Name)
		}
	}
	if slices.Contains(names, operator) {
		return operator
	}
	_ = h.fail(fmt.Errorf("job %s has no operator %s%s", h.plan.Settings.Name, operator, near(operator, names)))
	return ""
}

func near(name string, names []string) string {
	if n := core.Nearest(name, names); n != "" {
		return ", did you mean " + n + "?"
	}
	return ": there are " + strings.Join(names, ", ")
}

// Close ends the job where it stands, and says so when it leaves memory behind. Calls after it fail.
func (h *Harness) Close() error {
	if h.closed {
		return nil
	}
	h.closed = true
	for _, o := range h.outputs {
		o.clear()
	}
	if h.attempt == nil {
		return nil
	}
	h.attempt.Stop()
	if err := h.attempt.Close(); err != nil {
		return err
	}
	if h.err != nil { // what failed may have left something, and is known
		return nil
	}
	return h.pool.CheckZero()
}
