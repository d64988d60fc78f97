package streamtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/stream"
	"turbo/stream/streamtest"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func after(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// errors1 is a streamtest.TB that notes what a test would fail with.
type errors1 struct {
	fatal    []string
	cleanups []func()
}

func (e *errors1) Helper()           {}
func (e *errors1) Fatal(args ...any) { e.fatal = append(e.fatal, fmt.Sprint(args...)) }
func (e *errors1) Cleanup(f func())  { e.cleanups = append(e.cleanups, f) }

func lines[T any](rows []T) string {
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprint(r))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func expect(t *testing.T, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A job with windows, late rows, a side output and a join with a second source runs as a whole, sources and sinks of the registry included.
func TestWholeJob(t *testing.T) {
	type Count struct {
		User string
		N    int64
		Kind string
	}
	job := stream.New("whole")
	clicks := stream.From[Click](job, "clicks", "connector: file\npath: /nowhere\nformat: json\nwatermark: {column: at, max-out-of-orderness: 5s}")
	var late *stream.Stream[Click]
	windows := clicks.KeyBy("user").Window(stream.Tumbling(time.Minute)).AllowedLateness(10 * time.Second).SideOutput(&late)
	counts := stream.AggregateWindow[Count](windows, "counts", stream.Column{Name: "n", Expression: "COUNT(*)"})
	counts.To("out", "connector: file\npath: /nowhere/out\nformat: json")
	late.ToFunc("late", func(context.Context, []Click) error { t.Error("the function of a sink was called"); return nil })

	h := streamtest.New(job, streamtest.WithT(t), streamtest.Workers(2))
	in, out, lates := streamtest.Input[Click](h, "clicks"), streamtest.Output[Count](h, "out"), streamtest.Output[Click](h, "late")
	in.Push(Click{"ann", after(1)}, Click{"bob", after(59)}, Click{"ann", after(60)})
	expect(t, lines(out.Rows()), "")
	in.Watermark(after(60).Add(-2 * time.Millisecond)) // the last instant of the window is a millisecond later
	expect(t, lines(out.Rows()), "")
	in.Watermark(after(60).Add(-time.Microsecond))
	expect(t, lines(out.Rows()), "{ann 1 final} {bob 1 final}")
	in.Push(Click{"ann", after(2)})
	expect(t, lines(out.Rows()), "{ann 2 late}")
	in.Watermark(after(100))
	in.Push(Click{"ann", after(3)})
	expect(t, lines(out.Rows()), "")
	expect(t, len(lates.Rows()), 1)
	expect(t, h.Late("counts"), 1)
	in.End()
	expect(t, lines(out.Rows()), "{ann 1 final}")
}

// Rows and watermarks that are pushed while the job waits keep their order, and own watermarks follow the rows.
func TestOwnWatermarks(t *testing.T) {
	job := stream.New("own")
	clicks := stream.FromSlice[Click](job, "clicks", nil, stream.Watermarks{OutOfOrderness: 5 * time.Second, IdleTimeout: time.Minute})
	Visits(clicks).Collect("out")
	h := streamtest.New(job, streamtest.WithT(t), streamtest.OwnWatermarks())
	in, out := streamtest.Input[Click](h, "clicks"), streamtest.Output[Visit](h, "out")
	in.Push(Click{"ann", after(0)}, Click{"bob", after(65)})
	expect(t, lines(out.Rows()), "")
	in.Push(Click{"bob", after(66)})
	expect(t, lines(out.Rows()), "{ann 1}")

	e := &errors1{}
	job = stream.New("own")
	stream.FromSlice[Click](job, "clicks", nil, stream.Watermarks{}).Collect("out")
	h = streamtest.New(job, streamtest.WithT(e), streamtest.OwnWatermarks())
	streamtest.Input[Click](h, "clicks").Watermark(noon)
	if len(e.fatal) != 1 || !strings.Contains(e.fatal[0], "makes its own watermarks") {
		t.Error(e.fatal)
	}
}

// Processing time moves with Advance alone, and each timer fires at its time.
func TestClock(t *testing.T) {
	type Tick struct{ At string }
	job := stream.New("clock")
	stream.Process(streamtest.Source[Click](job, "clicks").KeyBy("user"), "ticks", func(*stream.Setup) stream.Processor[Click, Tick] {
		return stream.Processor[Click, Tick]{
			Row: func(ctx *stream.Context[Tick], _ *Click) error {
				for _, d := range []time.Duration{20 * time.Second, 3 * time.Second, 2 * time.Hour} {
					ctx.SetClockTimer(ctx.Now().Add(d))
				}
				return nil
			},
			Timer: func(ctx *stream.Context[Tick], timer stream.Timer) error {
				ctx.Emit(Tick{timer.At.Format("15:04:05") + ctx.Now().Format("/15:04:05")})
				return nil
			},
		}
	}).Collect("out")
	h := streamtest.New(job, streamtest.WithT(t), streamtest.At(noon))
	in, out := streamtest.Input[Click](h, "clicks"), streamtest.Output[Tick](h, "out")
	in.Push(Click{"ann", noon})
	expect(t, h.Timers("ticks"), 3)
	expect(t, out.Rows(), []Tick(nil))
	h.Advance(3*time.Second - time.Microsecond)
	expect(t, out.Rows(), []Tick(nil))
	h.Advance(time.Minute)
	expect(t, out.Rows(), "[{12:00:03/12:00:03} {12:00:20/12:00:20}]")
	snapshot, err := h.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, h.Now().Format("15:04:05.000000"), "12:01:02.999999")
	h.AdvanceTo(noon.Add(2 * time.Hour))
	expect(t, out.Rows(), "[{14:00:00/14:00:00}]")
	expect(t, h.Timers("ticks"), 0)

	job = stream.New("clock")
	stream.Process(streamtest.Source[Click](job, "clicks").KeyBy("user"), "ticks", func(*stream.Setup) stream.Processor[Click, Tick] {
		return stream.Processor[Click, Tick]{
			Row: func(*stream.Context[Tick], *Click) error { return nil },
			Timer: func(ctx *stream.Context[Tick], timer stream.Timer) error {
				ctx.Emit(Tick{timer.At.Format("restored 15:04:05")})
				return nil
			},
		}
	}).Collect("out")
	h = streamtest.New(job, streamtest.WithT(t), streamtest.From(snapshot))
	out = streamtest.Output[Tick](h, "out")
	expect(t, h.Now().Format("15:04:05.000000"), "12:01:02.999999")
	h.Advance(2 * time.Hour)
	expect(t, out.Rows(), "[{restored 14:00:00}]")
}

// A job that is stopped and restored at random points, on other numbers of workers, gives what an uninterrupted run gives.
func TestSnapshots(t *testing.T) {
	type event struct {
		row  Click
		mark int // seconds; -1: none
	}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var events []event
		at := 0
		for range 60 {
			at += rng.IntN(20)
			if rng.IntN(4) == 0 {
				events = append(events, event{mark: at - 40})
			} else {
				events = append(events, event{Click{fmt.Sprint("u", rng.IntN(8)), after(at - rng.IntN(40))}, -1000})
			}
		}
		play := func(restarts bool) string {
			var snapshot []byte
			var got []Visit
			next := 0
			for next < len(events) {
				job := stream.New("snapshots")
				Visits(streamtest.Source[Click](job, "clicks")).Collect("out")
				options := []streamtest.Option{streamtest.WithT(t)}
				if restarts {
					options = append(options, streamtest.Workers(1+rng.IntN(4)))
				}
				if snapshot != nil {
					options = append(options, streamtest.From(snapshot))
				}
				h := streamtest.New(job, options...)
				in, out := streamtest.Input[Click](h, "clicks"), streamtest.Output[Visit](h, "out")
				until := len(events)
				if restarts {
					until = min(until, next+rng.IntN(20))
				}
				for ; next < until; next++ {
					if e := events[next]; e.mark > -1000 {
						in.Watermark(after(e.mark))
					} else {
						in.Push(e.row)
					}
					if restarts && rng.IntN(10) == 0 { // state is written as what changed since
						if _, err := h.Snapshot(context.Background()); err != nil {
							t.Fatal(err)
						}
					}
				}
				if next == len(events) {
					in.End()
				} else {
					var err error
					if snapshot, err = h.Snapshot(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				got = append(got, out.Rows()...)
				if err := h.Close(); err != nil {
					t.Fatal(err)
				}
			}
			return lines(got)
		}
		want := play(false)
		if got := play(true); got != want || !strings.Contains(want, "u") {
			t.Fatalf("seed %d: restarted\n%s\nwithout\n%s", seed, got, want)
		}
	}
}

// The failure of a user's function comes back from the push with the row, the operator and the stack, and stays.
func TestFailures(t *testing.T) {
	for name, f := range map[string]func(*Click) (Click, error){
		"returns": func(c *Click) (Click, error) { return *c, errors.New("no such user") },
		"panics":  func(c *Click) (Click, error) { return Click{User: []string{"x"}[len(c.User)]}, nil },
	} {
		job := stream.New("failures")
		stream.Map(streamtest.Source[Click](job, "clicks"), "check", f).Collect("out")
		h := streamtest.New(job)
		in := streamtest.Input[Click](h, "clicks")
		err := in.Push(Click{"ann", noon})
		var failed *stream.FunctionError
		if !errors.As(err, &failed) || failed.Operator != "check" || !strings.Contains(failed.Row, `"ann"`) || failed.Panicked != (name == "panics") {
			t.Errorf("%s: %v", name, err)
		} else if failed.Panicked && !strings.Contains(string(failed.Stack), "streamtest_test.go") {
			t.Errorf("%s: the stack is\n%s", name, failed.Stack)
		}
		if again := in.Watermark(noon); again != err || h.Err() != err || h.Advance(time.Second) != err {
			t.Errorf("%s: the next call returns %v", name, again)
		}
		if _, again := h.Snapshot(context.Background()); again != err {
			t.Errorf("%s: Snapshot returns %v", name, again)
		}
		if err := h.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
	}
}

// Functions that wait for something run beside: Await takes their results, retries wait for the clock, and so do timeouts.
func TestAsync(t *testing.T) {
	type Answer struct{ User, Text string }
	calls := 0
	release := make(chan struct{})
	job := stream.New("async")
	stream.AsyncWait(streamtest.Source[Click](job, "clicks"), "ask", stream.Async{Ordered: true, Timeout: time.Minute, Drop: true, Retry: stream.Retry{Attempts: 3, Backoff: 10 * time.Second}},
		func(ctx context.Context, c *Click, emit func(Answer)) error {
			switch c.User {
			case "retry":
				if calls++; calls < 3 {
					return errors.New("not yet")
				}
			case "never":
				<-ctx.Done()
				return ctx.Err()
			case "slow":
				<-release
			}
			emit(Answer{c.User, "ok"})
			return nil
		}).Collect("out")
	h := streamtest.New(job, streamtest.WithT(t))
	in, out := streamtest.Input[Click](h, "clicks"), streamtest.Output[Answer](h, "out")
	in.Push(Click{"retry", noon})
	h.Await(context.Background())
	h.Advance(9 * time.Second)
	h.Await(context.Background())
	expect(t, out.Rows(), "[]")
	h.Advance(time.Second)
	h.Await(context.Background())
	h.Advance(10 * time.Second)
	h.Await(context.Background())
	expect(t, out.Rows(), "[{retry ok}]")

	in.Push(Click{"slow", noon}, Click{"fast", noon})
	expect(t, out.Rows(), "[]")
	close(release)
	h.Await(context.Background())
	expect(t, out.Rows(), "[{slow ok} {fast ok}]")

	in.Push(Click{"never", noon})
	h.Advance(30 * time.Second)
	in.Push(Click{"fast", noon})
	h.Advance(30 * time.Second)
	h.Await(context.Background())
	expect(t, out.Rows(), "[{fast ok}]")

	bad := streamtest.New(func() *stream.Env {
		job := stream.New("async")
		stream.AsyncWait(streamtest.Source[Click](job, "clicks"), "ask", stream.Async{}, func(ctx context.Context, _ *Click, _ func(Answer)) error {
			<-ctx.Done()
			return ctx.Err()
		}).Collect("out")
		return job
	}())
	streamtest.Input[Click](bad, "clicks").Push(Click{"ann", noon})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := bad.Await(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := bad.Close(); err != nil {
		t.Error(err)
	}
}

// Two inputs: a broadcast rule and rows, both pushed by hand; an input that has ended does not hold the watermark.
func TestTwoInputs(t *testing.T) {
	type Rule struct {
		User string
		Name string
	}
	type Named struct{ Name string }
	job := stream.New("two")
	clicks, rules := streamtest.Source[Click](job, "clicks"), streamtest.Source[Rule](job, "rules")
	stream.ProcessBroadcast(clicks.KeyBy("user"), rules, "named", func(s *stream.Setup) stream.CoProcessor[Click, Rule, Named] {
		names := stream.BroadcastMap[string, string](s, "names")
		return stream.CoProcessor[Click, Rule, Named]{
			Left: func(ctx *stream.Context[Named], c *Click) error {
				name, ok := names.Get(c.User)
				if !ok {
					name = "?"
				}
				ctx.Emit(Named{name})
				return nil
			},
			Right: func(_ *stream.Context[Named], r *Rule) error { names.Put(r.User, r.Name); return nil },
		}
	}).Collect("out")
	h := streamtest.New(job, streamtest.WithT(t), streamtest.Workers(3))
	in, by, out := streamtest.Input[Click](h, "clicks"), streamtest.Input[Rule](h, "rules"), streamtest.Output[Named](h, "out")
	in.Push(Click{"ann", noon})
	by.Push(Rule{"ann", "Ann"}, Rule{"bob", "Bob"})
	in.Push(Click{"ann", noon}, Click{"bob", noon}, Click{"eve", noon})
	expect(t, lines(out.Rows()), "{?} {?} {Ann} {Bob}")
	by.End()
	in.Push(Click{"bob", noon})
	expect(t, lines(out.Rows()), "{Bob}")
}

// A source that has ended is at its end after a restore; a job that has changed too much is refused, as is what is no snapshot.
func TestRestores(t *testing.T) {
	make1 := func(keep bool) *stream.Env {
		job := stream.New("restores")
		in := streamtest.Source[Click](job, "clicks")
		stream.Process(in.KeyBy("user"), "n", func(s *stream.Setup) stream.Processor[Click, Visit] {
			n := func() int64 { return 0 }
			if keep {
				v := stream.Value[int64](s, "count")
				n = func() int64 { n, _ := v.Get(); v.Set(n + 1); return n + 1 }
			} else {
				v := stream.Value[string](s, "count")
				n = func() int64 { v.Set("x"); return 0 }
			}
			return stream.Processor[Click, Visit]{Row: func(ctx *stream.Context[Visit], c *Click) error { ctx.Emit(Visit{c.User, n()}); return nil }}
		}).Collect("out")
		return job
	}
	h := streamtest.New(make1(true), streamtest.WithT(t))
	streamtest.Input[Click](h, "clicks").Push(Click{"ann", noon})
	streamtest.Input[Click](h, "clicks").End()
	snapshot, _ := h.Snapshot(context.Background())

	h = streamtest.New(make1(true), streamtest.From(snapshot))
	if err := streamtest.Input[Click](h, "clicks").Push(Click{"ann", noon}); err == nil || !strings.Contains(err.Error(), "after its end") {
		t.Error(err)
	}
	_ = h.Close()
	for text, options := range map[string]streamtest.Option{
		"count":                         streamtest.From(snapshot),
		"is not what Snapshot returned": streamtest.From([]byte("nonsense")),
		"16385":                         streamtest.Workers(16385),
	} {
		h := streamtest.New(make1(false), options)
		if err := h.Err(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want an error about %s", err, text)
		}
		_ = h.Close()
	}
}

// Mistakes are told, with what was meant.
func TestMistakes(t *testing.T) {
	type Other struct{ Usr string }
	type Plain struct{ N int64 }
	for text, f := range map[string]func(*streamtest.Harness){
		"no source clikcs, did you mean clicks?": func(h *streamtest.Harness) { streamtest.Input[Click](h, "clikcs").Push(Click{}) },
		"no sink outt, did you mean out?":        func(h *streamtest.Harness) { streamtest.Output[Visit](h, "outt").Rows() },
		"did you mean user?": func(h *streamtest.Harness) {
			streamtest.Input[Click](h, "clicks").Push(Click{"ann", noon})
			streamtest.Input[Click](h, "clicks").Watermark(after(100))
			streamtest.Output[Other](h, "out").Rows()
		},
		"no operator visit, did you mean visits?": func(h *streamtest.Harness) { h.Entries("visit") },
		"source plain has no event time":          func(h *streamtest.Harness) { streamtest.Input[Plain](h, "plain").Watermark(noon) },
		"the clock cannot go back":                func(h *streamtest.Harness) { h.AdvanceTo(h.Now().Add(-1)) },
	} {
		e := &errors1{}
		job := stream.New("mistakes")
		Visits(streamtest.Source[Click](job, "clicks")).Collect("out")
		streamtest.Source[Plain](job, "plain").Collect("plain-out")
		h := streamtest.New(job, streamtest.WithT(e))
		f(h)
		if len(e.fatal) == 0 || !strings.Contains(e.fatal[0], text) {
			t.Errorf("got %q, want an error with %q", e.fatal, text)
		}
		for _, f := range e.cleanups {
			f()
		}
	}
	h := streamtest.New(stream.New("empty"))
	if err := h.Err(); err == nil || !strings.Contains(err.Error(), "no stream ends in a sink") {
		t.Error(err)
	}
	if err := streamtest.Input[Click](h, "clicks").Push(Click{}); err != h.Err() {
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
