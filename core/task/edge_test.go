package task

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/clock"
	"turbo/memory"
	"turbo/shuffle"
)

// scripted is a source of one split a reader whose events a function gives.
type scripted struct {
	poll      func(n int) (core.Event, error) // n counts the calls of one reader
	readerErr error
	committed func(ctx context.Context) error
}

func (s *scripted) Open(context.Context, []core.SplitState) error { return nil }
func (s *scripted) Reader(int) (core.SourceReader, error)         { return &scriptedReader{s: s}, s.readerErr }
func (s *scripted) Committed(ctx context.Context, _ uint64, _ []core.SplitState) error {
	if s.committed == nil {
		return nil
	}
	return s.committed(ctx)
}
func (s *scripted) Close() error { return nil }

type scriptedReader struct {
	s *scripted
	n int
}

func (r *scriptedReader) Poll() (core.Event, error)            { r.n++; return r.s.poll(r.n - 1) }
func (r *scriptedReader) SetWaker(func())                      {}
func (r *scriptedReader) Snapshot() ([]core.SplitState, error) { return nil, nil }
func (r *scriptedReader) Close() error                         { return nil }

// hooked is an operator with a function for Open.
type hooked struct {
	core.BaseOperator
	open  func(*core.OperatorContext) error
	ended []int
}

func (h *hooked) Open(ctx *core.OperatorContext) error {
	if h.open == nil {
		return nil
	}
	return h.open(ctx)
}
func (h *hooked) Process(_ int, b *core.Batch, out core.Emitter) error { return out.Emit(b) }
func (h *hooked) EndInput(port int, _ core.Emitter) error {
	h.ended = append(h.ended, port)
	return nil
}

// badWriters is a sink whose writers cannot be made.
type badWriters struct{ testSink }

func (*badWriters) Writer(int) (core.SinkWriter, error) { return nil, errors.New("no writer") }

func small(pool *memory.Pool, c clock.Clock, workers int, nodes ...*Node) *Graph {
	return &Graph{Job: "t", Workers: workers, KeyGroups: 16, Nodes: nodes, Options: Options{Memory: pool, Clock: c, RingBatches: 2}}
}

func sourceNode(s *scripted, w *Watermark) *Node {
	return &Node{ID: "src", Label: "source src", Schema: pairSchema, Watermark: w, Source: func() (core.Source, error) { return s, nil }}
}

// TestOpenFails: an attempt that cannot be opened says so and leaves nothing, at whatever point that is.
func TestOpenFails(t *testing.T) {
	quiet := func(int) (core.Event, error) { return core.Event{}, nil }
	for name, c := range map[string]struct {
		source *scripted
		open   func(*core.OperatorContext) error
		sink   core.Sink
		want   string
	}{
		"reader":       {&scripted{poll: quiet, readerErr: errors.New("no reader")}, nil, &testSink{}, "source src: no reader"},
		"operator":     {&scripted{poll: quiet}, func(*core.OperatorContext) error { return errors.New("no operator") }, &testSink{}, "operator op: no operator"},
		"writer":       {&scripted{poll: quiet}, nil, &badWriters{}, "sink out: no writer"},
		"memory limit": {&scripted{poll: quiet}, func(ctx *core.OperatorContext) error { ctx.Account.Allocate(1 << 30); return nil }, &testSink{}, "out of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := memory.NewPool(64 << 20)
			src := sourceNode(c.source, nil)
			op := &Node{ID: "op", Label: "operator op", Schema: pairSchema, Operator: func() core.Operator { return &hooked{open: c.open} },
				Inputs: []Input{{From: src, Exchange: Hash, Keys: []int{0}}}}
			out := &Node{ID: "out", Label: "sink out", Schema: pairSchema, Sink: func() (core.Sink, error) { return c.sink, nil }, Inputs: []Input{{From: op}}}
			_, err := Open(context.Background(), small(pool, clock.Real(), 2, src, op, out), nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if err := pool.CheckZero(); err != nil {
				t.Error(err)
			}
		})
	}
}

// messages runs one source task by hand: what its root gives at the given instants.
func messages(t *testing.T, a *Attempt, instants ...time.Duration) []string {
	t.Helper()
	var out []string
	for _, at := range instants {
		for {
			m, _, err := a.tasks[0].root.next(int64(at))
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == core.NoMessage || m.Kind == core.DataMessage && m.Batch == nil {
				break
			}
			switch m.Kind {
			case core.DataMessage:
				out = append(out, "rows")
				m.Batch.Release()
			case core.WatermarkMessage:
				out = append(out, "watermark "+m.Time.String())
			case core.IdleMessage:
				out = append(out, "idle")
			case core.ActiveMessage:
				out = append(out, "active")
			case core.EndMessage:
				out = append(out, "end")
			}
		}
	}
	return out
}

func openOne(t *testing.T, s *scripted, w *Watermark) *Attempt {
	t.Helper()
	a, err := Open(context.Background(), small(memory.NewPool(0), clock.Real(), 1, sourceNode(s, w)), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Stop()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func rowAt(at int64) *core.Batch {
	b := core.NewBuilder(memory.NewPool(0).Account("rows"), pairSchema, 1)
	defer b.Close()
	b.Column(0).AppendInt64(0)
	b.Column(1).AppendInt64(at)
	return b.Finish()
}

var marked = &Watermark{Column: 1, IdleTimeout: time.Second}

// settling is a scripted source whose readers say when they have started the splits of the beginning.
type settling struct {
	scripted
	settled bool
}

type settlingReader struct {
	core.SourceReader
	s *settling
}

func (s *settling) Reader(w int) (core.SourceReader, error) {
	r, err := s.scripted.Reader(w)
	return settlingReader{r, s}, err
}

func (r settlingReader) Settled() bool { return r.s.settled }

// TestNotIdleBeforeItHasLooked: a reader that is still looking for its splits holds back the watermark, or it would pass their rows. One
// that has found none is idle, until it starts one, which it says before its rows.
func TestNotIdleBeforeItHasLooked(t *testing.T) {
	start := false
	s := &settling{scripted: scripted{poll: func(n int) (core.Event, error) {
		if start {
			start = false
			return core.Event{Kind: core.SplitStart}, nil
		}
		return core.Event{}, nil
	}}}
	a, err := Open(context.Background(), small(memory.NewPool(0), clock.Real(), 1, &Node{ID: "s/source", Schema: pairSchema, Watermark: marked, Source: func() (core.Source, error) { return s, nil }}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Stop()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := messages(t, a, 1, time.Hour); len(got) > 0 {
		t.Errorf("before it has looked: %v", got)
	}
	s.settled = true
	if got := strings.Join(messages(t, a, time.Hour+1, 2*time.Hour), ", "); got != "idle" {
		t.Errorf("when it has found nothing: %s", got)
	}
	start = true
	if got := strings.Join(messages(t, a, 2*time.Hour+1, 2*time.Hour+2), ", "); got != "active" {
		t.Errorf("with its first split, at once: %s", got)
	}
}

// TestNotIdleBetweenSplits: a reader whose splits have ended may be about to start another, whose rows are not late; it is idle when it has looked for one.
func TestNotIdleBetweenSplits(t *testing.T) {
	var events []core.Event
	s := &settling{settled: true, scripted: scripted{poll: func(int) (e core.Event, err error) {
		if len(events) > 0 {
			e, events = events[0], events[1:]
		}
		return e, nil
	}}}
	a, err := Open(context.Background(), small(memory.NewPool(0), clock.Real(), 1, &Node{ID: "s/source", Schema: pairSchema, Watermark: &Watermark{Column: 1}, Source: func() (core.Source, error) { return s, nil }}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Stop()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	for i, c := range []struct {
		events  []core.Event
		settled bool
		want    string
	}{
		{[]core.Event{{Kind: core.SplitStart, ID: "a"}, {Kind: core.DataEvent, Batch: rowAt(100)}, {Kind: core.SplitEnd}}, false, "rows, active, watermark 1970-01-01T00:00:00.000099Z"},
		{nil, false, ""},
		{[]core.Event{{Kind: core.SplitStart, ID: "b", Split: 1}, {Kind: core.DataEvent, Split: 1, Batch: rowAt(200)}}, true, "rows, watermark 1970-01-01T00:00:00.000199Z"},
		{[]core.Event{{Kind: core.SplitEnd, Split: 1}}, false, ""},
		{nil, true, "idle"},
	} {
		events, s.settled = c.events, c.settled
		at := time.Duration(i+1) * time.Second
		if got := strings.Join(messages(t, a, at+1, at+time.Second/2), ", "); got != c.want {
			t.Errorf("step %d: %q, want %q", i, got, c.want)
		}
	}
}

// TestIdleSourceEnds: the last watermark counts although the source was idle. A gate ignores what an idle channel says.
func TestIdleSourceEnds(t *testing.T) {
	quiet := true
	a := openOne(t, &scripted{poll: func(n int) (core.Event, error) {
		switch {
		case n == 0:
			return core.Event{Kind: core.SplitStart}, nil
		case n == 1:
			return core.Event{Kind: core.DataEvent, Batch: rowAt(100)}, nil
		case quiet:
			return core.Event{}, nil
		}
		return core.Event{Kind: core.EndOfInput}, nil
	}}, marked)
	got := messages(t, a, 1, time.Second, 3*time.Second)
	quiet = false
	got = append(got, messages(t, a, 4*time.Second)...)
	if want := "rows, active, watermark 1970-01-01T00:00:00.000099Z, idle, active, watermark max, end"; strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

// TestBlockedSourceIsNotIdle: a split whose rows wait because the chain is blocked, or because a last checkpoint is under way, is not silent.
func TestBlockedSourceIsNotIdle(t *testing.T) {
	waiting := false
	a := openOne(t, &scripted{poll: func(n int) (core.Event, error) {
		switch {
		case n == 0:
			return core.Event{Kind: core.SplitStart}, nil
		case n == 1, waiting:
			waiting = false
			return core.Event{Kind: core.DataEvent, Batch: rowAt(int64(100 * n))}, nil
		}
		return core.Event{}, nil
	}}, marked)
	messages(t, a, 1, time.Second/2)
	a.tasks[0].root.blocked()
	waiting = true
	if got := messages(t, a, time.Minute); len(got) == 0 || got[0] != "rows" {
		t.Errorf("after a minute in which the chain was blocked: %v", got)
	}
	a.to = &testCheckpoints{attempt: a, last: 1}
	a.InjectBarrier(ckpt.Barrier{ID: 1, Trigger: ckpt.Stop})
	if m, _, _ := a.tasks[0].root.next(int64(time.Minute)); m.Kind != core.BarrierMessage {
		t.Fatalf("message %v", m)
	}
	for at := time.Minute; at < 2*time.Minute; at += time.Second {
		if m, _, _ := a.tasks[0].root.next(int64(at)); m.Kind != core.NoMessage {
			t.Fatalf("message %v behind the last barrier", m)
		}
	}
	a.AbortCheckpoint(1, nil)
	waiting = true
	if got := messages(t, a, 2*time.Minute); len(got) == 0 || got[0] == "idle" {
		t.Errorf("after the last checkpoint was given up: %v", got)
	}
}

// TestEventsWithoutRows: a reader that has nothing but undecodable records does not keep its worker from barriers and other tasks.
func TestEventsWithoutRows(t *testing.T) {
	a := openOne(t, &scripted{poll: func(n int) (core.Event, error) {
		if n > 1e6 {
			return core.Event{}, errors.New("the reader is polled without end")
		}
		return core.Event{Kind: core.DataEvent, Read: 1, Skipped: 1}, nil
	}}, nil)
	moved, err := a.tasks[0].step(1)
	if !moved || err != nil {
		t.Errorf("moved %v, error %v", moved, err)
	}
	a.InjectBarrier(ckpt.Barrier{ID: 1})
	if m, _, err := a.tasks[0].root.next(2); m.Kind != core.BarrierMessage || err != nil {
		t.Errorf("message %v, error %v", m, err)
	}
}

// TestDeadlines: a task that is blocked, or whose next look is later, does not make its worker poll.
func TestDeadlines(t *testing.T) {
	data := true
	a := openOne(t, &scripted{poll: func(n int) (core.Event, error) {
		if n == 0 {
			return core.Event{Kind: core.SplitStart}, nil
		}
		if data {
			data = false
			return core.Event{Kind: core.DataEvent, Batch: rowAt(100)}, nil
		}
		return core.Event{}, nil
	}}, marked)
	messages(t, a, time.Second, time.Second+900*time.Millisecond) // the next look is 200 ms after that
	data = true
	messages(t, a, time.Second+901*time.Millisecond)
	root := a.tasks[0].root.(*sourceRoot)
	if at, ok := a.tasks[0].deadline(int64(3 * time.Second)); !ok || at < root.nextMark {
		t.Errorf("deadline %v, %v; the next look is at %v", time.Duration(at), ok, time.Duration(root.nextMark))
	}
	a.tasks[0].moving = true
	if at, ok := a.tasks[0].deadline(int64(3 * time.Second)); ok {
		t.Errorf("deadline %v while a control message is blocked", time.Duration(at))
	}
	a.tasks[0].moving = false
}

// TestVacantPort: where an input has no sender on a worker, its port ends at once and not never.
func TestVacantPort(t *testing.T) {
	src := sourceNode(&scripted{poll: func(int) (core.Event, error) { return core.Event{Kind: core.EndOfInput}, nil }}, nil)
	src.Source = func() (core.Source, error) {
		return &testSource{rows: 10, splits: 3, batch: 2, workers: 2, account: memory.NewPool(0).Account("src")}, nil
	}
	pass := func() core.Operator { return &ops.Pass{} }
	one := &Node{ID: "one", Label: "gathered", Schema: pairSchema, Operator: pass, Inputs: []Input{{From: src, Exchange: Gather}}}
	var two []*hooked
	join := &Node{ID: "join", Label: "join", Schema: pairSchema, Inputs: []Input{{From: one, Port: 0}, {From: src, Port: 1, Exchange: Rebalance}},
		Operator: func() core.Operator { h := &hooked{}; two = append(two, h); return h }}
	out := &Node{ID: "out", Label: "sink out", Schema: pairSchema, Inputs: []Input{{From: join}}, Sink: func() (core.Sink, error) { return &testSink{}, nil }}
	a, err := Open(context.Background(), small(memory.NewPool(0), clock.Real(), 2, src, one, join, out), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCheckpoints{attempt: a}
	a.to = c
	for i := 0; i < 1000 && c.ended < len(a.tasks); i++ {
		for _, w := range a.workers {
			if _, err := w.round(int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if c.ended != len(a.tasks) {
		t.Errorf("%d of %d tasks have ended", c.ended, len(a.tasks))
	}
	for i, h := range two {
		if len(h.ended) != 2 {
			t.Errorf("instance %d: ports %v have ended", i, h.ended)
		}
	}
	a.Stop()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestSourceNobodyReads: its rows are let go.
func TestSourceNobodyReads(t *testing.T) {
	a := openOne(t, &scripted{poll: func(n int) (core.Event, error) {
		return core.Event{Kind: core.DataEvent, Batch: rowAt(int64(n)), Read: 1}, nil
	}}, nil)
	if moved, err := a.tasks[0].step(1); !moved || err != nil {
		t.Errorf("moved %v, error %v", moved, err)
	}
}

// TestLastCheckpointIsTold: sources hear of the last checkpoint although the attempt is stopped right after it.
func TestLastCheckpointIsTold(t *testing.T) {
	told := make(chan error, 1)
	begun := make(chan struct{})
	a, err := Open(context.Background(), small(memory.NewPool(0), clock.Real(), 1, sourceNode(&scripted{
		poll: func(int) (core.Event, error) { return core.Event{}, nil },
		committed: func(ctx context.Context) error {
			<-begun
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
			told <- ctx.Err()
			return nil
		}}, nil)), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Start(&testCheckpoints{attempt: a})
	a.CheckpointComplete(&ckpt.Manifest{Checkpoint: 1})
	a.Stop()
	<-a.Done()
	close(begun)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := <-told; err != nil {
		t.Errorf("the source was told with a dead context: %v", err)
	}
}

// TestAbortWhileFreezing: a task freezes its tables when it has taken the mail that gives the checkpoint up, and AbortCheckpoint has not
// returned yet. Nothing may stay frozen, or the next checkpoint would fail the job.
func TestAbortWhileFreezing(t *testing.T) {
	pool := memory.NewPool(64 << 20)
	a, err := Open(context.Background(), keyedGraph(t, pool, clock.Real(), newKeyedOutputs(false), 2, 10, 10, 0), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCheckpoints{attempt: a, crashed: true}
	a.to = c
	var keyed *task
	for _, k := range a.tasks {
		if k.worker == 0 && len(k.backend.Tables()) > 0 {
			keyed = k
		}
	}
	keyed.control = control{Message: core.Message{Kind: core.BarrierMessage, Checkpoint: 1},
		report: &pendingAck{open: 1, report: c.Ack, ack: ckpt.Ack{Task: keyed.number, Checkpoint: 1}}}
	a.workers[1].mailMu.Lock() // it stops AbortCheckpoint half way
	done := make(chan struct{})
	go func() {
		a.AbortCheckpoint(1, nil)
		close(done)
	}()
	for !a.workers[0].hasMail.Load() {
		runtime.Gosched()
	}
	if err := keyed.cut(); err != nil {
		t.Fatal(err)
	}
	a.workers[1].mailMu.Unlock()
	<-done
	if err := a.workers[0].readMail(); err != nil {
		t.Fatal(err)
	}
	if keyed.frozen.snapshot != nil {
		t.Error("the checkpoint was given up, and the tables are still frozen")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
}

// TestRestoredGateSaysThatItIsActive: what is behind a source or a gate hears first whether it is active.
func TestRestoredGateSaysThatItIsActive(t *testing.T) {
	m := newWatermarks(marked)
	m.looked = true
	m.start("s", core.MinTime, false, 0)
	if got, ok := m.next(1); !ok || got.Kind != core.ActiveMessage {
		t.Errorf("the first message of an active reader is %v, %v", got, ok)
	}
	src := sourceNode(&scripted{poll: func(int) (core.Event, error) { return core.Event{}, nil }}, nil)
	op := &Node{ID: "op", Label: "operator op", Schema: pairSchema, Operator: func() core.Operator { return &ops.Pass{} }, Inputs: []Input{{From: src, Exchange: Gather}}}
	g := func() *Graph { return small(memory.NewPool(0), clock.Real(), 1, src, op) }
	a, err := Open(context.Background(), g(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	state := a.tasks[1].root.(*gateRoot).gate.Snapshot()
	a.Stop()
	_ = a.Close()
	restored := &ckpt.Manifest{Checkpoint: 1, Operators: []ckpt.OperatorState{{Operator: "op", Name: gateState, Data: state}}}
	if a, err = Open(context.Background(), g(), restored, nil); err != nil {
		t.Fatal(err)
	}
	if m, _, err := a.tasks[1].root.next(1); m.Kind != core.ActiveMessage || err != nil {
		t.Errorf("the first message of a restored gate is %v, %v", m, err)
	}
	a.Stop()
	_ = a.Close()
}

// TestGateOfEndedReadersRestored: a worker whose readers had ended was at the last watermark. After a restart it may have splits, so it begins at the least
// watermark of all workers.
func TestGateOfEndedReadersRestored(t *testing.T) {
	gate := shuffle.NewGate()
	state := func(at core.Time) ckpt.OperatorState {
		return ckpt.OperatorState{Operator: "op", Name: gateState, Data: binary.LittleEndian.AppendUint64(gate.Snapshot()[:1], uint64(at))}
	}
	src := sourceNode(&scripted{poll: func(int) (core.Event, error) { return core.Event{}, nil }}, nil)
	op := &Node{ID: "op", Label: "operator op", Schema: pairSchema, Operator: func() core.Operator { return &ops.Pass{} }, Inputs: []Input{{From: src, Exchange: Forward}, {From: src, Exchange: Forward}}}
	restored := &ckpt.Manifest{Checkpoint: 1, Operators: []ckpt.OperatorState{state(70), state(core.MaxTime)}}
	a, err := Open(context.Background(), small(memory.NewPool(0), clock.Real(), 2, src, op), restored, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range a.tasks {
		r, is := task.root.(*gateRoot)
		if !is {
			continue
		}
		for m, _, err := r.next(1); m.Kind != core.WatermarkMessage || m.Time != 70; m, _, err = r.next(1) {
			if err != nil || m.Kind != core.ActiveMessage {
				t.Fatalf("worker %d: the first message of a restored gate is %v, %v", task.worker, m, err)
			}
		}
	}
	a.Stop()
	_ = a.Close()
}

// TestCheckpointBeforeSplitsStart: a checkpoint right after a restart must not forget how far the splits were that readers have not started yet, or windows would
// wait for their next rows.
func TestCheckpointBeforeSplitsStart(t *testing.T) {
	w := newWatermarks(marked)
	w.start("started", 40, false, 0)
	states := []core.SplitState{{ID: "started"}, {ID: "restored"}, {ID: "new"}}
	w.fill(states, map[string]int{"started": 0}, map[string]core.SplitState{"started": {Watermark: 20}, "restored": {Watermark: 30, Idle: true}})
	for i, want := range []core.SplitState{{Watermark: 40}, {Watermark: 30, Idle: true}, {Watermark: core.MinTime}} {
		if got := states[i]; got.Watermark != want.Watermark || got.Idle != want.Idle {
			t.Errorf("split %s: %v, idle %v; want %v, %v", got.ID, got.Watermark, got.Idle, want.Watermark, want.Idle)
		}
	}
}

// TestLatestTime: dead and null rows give no watermark.
func TestLatestTime(t *testing.T) {
	v := core.NewVector(memory.NewPool(0).Account("v"), core.Of(core.Timestamp), 4)
	for _, at := range []int64{5, 90, 7, 80} {
		v.AppendInt64(at)
	}
	v.AppendNull()
	for _, c := range []struct {
		sel  []int32
		want core.Time
	}{{nil, 90}, {[]int32{0, 2}, 7}, {[]int32{4}, core.MinTime}, {[]int32{}, core.MinTime}} {
		if got := latestTime(v, c.sel); got != c.want {
			t.Errorf("selection %v: %v, want %v", c.sel, got, c.want)
		}
	}
}
