package stream_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/stream"
)

type ride struct {
	Cell       string
	At         time.Time `turbo:"ts,TIMESTAMP(6),time"`
	Passengers int64
}

func second(s int) time.Time { return time.Unix(int64(s), 0).UTC() }

var someRides = []ride{
	{"a", second(1), 2}, {"b", second(2), 3}, {"a", second(5), 4}, {"a", second(11), 1}, {"b", second(9), 5}, {"a", second(31), 7}, {"b", second(3), 9},
}

func rides(t *testing.T) *stream.Stream[ride] {
	return stream.FromSlice(env(t, stream.Set("engine.batch-rows=1"), stream.Set("engine.restart=none")), "rides", someRides, stream.Watermarks{Punctuated: "ts - INTERVAL '5' SECOND"})
}

func sorted[T any](rows []T) []string {
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprint(r))
	}
	slices.Sort(out)
	return out
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestAggregate: running sums by columns, and by a function.
func TestAggregate(t *testing.T) {
	type total struct {
		Cell string
		Sum  int64
	}
	last := func(rows []total) map[string]int64 {
		out := map[string]int64{}
		for _, r := range rows {
			out[r.Cell] = max(out[r.Cell], r.Sum)
		}
		return out
	}
	rows := collect(t, stream.AggregateEveryRow[total](rides(t).KeyBy("cell"), "sum", stream.Column{"sum", "SUM(passengers)"}))
	if got := fmt.Sprint(len(rows), last(rows)); got != "7 map[a:14 b:17]" {
		t.Error(got)
	}
	keyed := stream.KeyByFunc(rides(t), "upper", func(r *ride) (string, error) { return strings.ToUpper(r.Cell), nil })
	type byKey struct {
		Key string
		Sum int64
	}
	keys := collect(t, stream.AggregateEveryRow[byKey](keyed, "sum", stream.Column{"sum", "SUM(passengers)"}))
	if len(keys) != 7 || !slices.Contains(keys, byKey{"A", 14}) || !slices.Contains(keys, byKey{"B", 17}) {
		t.Error(keys)
	}
}

type arrivals struct {
	Cell      string
	WindowEnd time.Time
	Sum       int64
	Kind      string
}

func (a arrivals) String() string {
	return fmt.Sprintf("%s %d %d %s", a.Cell, a.WindowEnd.Unix(), a.Sum, a.Kind)
}

// TestWindow: sums in windows, that speak early, too.
func TestWindow(t *testing.T) {
	s := rides(t)
	var late *stream.Stream[ride]
	w := s.KeyBy("cell").Window(stream.Tumbling(10 * time.Second)).Trigger(stream.Early("passengers", 6)).SideOutput(&late)
	out := stream.AggregateWindow[arrivals](w, "arrivals", stream.Column{"sum", "SUM(passengers)"})
	kept := late.Collect("late") // none: the watermark comes at the end
	equal(t, sorted(collect(t, out)), "a 10 6 early", "a 10 6 final", "a 20 1 final", "a 40 7 early", "a 40 7 final", "b 10 17 early", "b 10 17 final", "b 10 8 early")
	equal(t, sorted(kept.Rows()))
}

// TestWindowFunctions: reduce, fold and apply see the same rows as the aggregates.
func TestWindowFunctions(t *testing.T) {
	window := func() *stream.Windowed[ride] {
		return rides(t).KeyBy("cell").Window(stream.Tumbling(10 * time.Second)).AllowedLateness(time.Minute).Evictor(stream.KeepCount(2))
	}
	type out struct {
		Cell       string
		Passengers int64
		Kind       string
	}
	want := []string{"{a 1 final}", "{a 6 final}", "{a 7 final}", "{b 14 final}"}
	equal(t, sorted(collect(t, stream.ReduceWindow[out](window(), "reduce", func(acc, r *ride) error {
		acc.Passengers += r.Passengers
		return nil
	}))), want...)
	type sum struct{ Passengers int64 }
	equal(t, sorted(collect(t, stream.FoldWindow[out](window(), "fold", func() sum { return sum{} }, func(acc *sum, r *ride) error {
		acc.Passengers += r.Passengers
		return nil
	}))), want...)
	type span struct {
		Cell  string
		Value string
	}
	equal(t, sorted(collect(t, stream.Apply[span](window(), "apply", func(in stream.WindowInfo, rows []ride, emit func(string)) error {
		slices.SortFunc(rows, func(a, b ride) int { return cmp.Compare(a.Passengers, b.Passengers) })
		emit(fmt.Sprint(in.Start.Unix(), " ", in.Kind, " ", rows[0].Passengers))
		return nil
	}))), "{a 0 final 2}", "{a 10 final 1}", "{a 30 final 7}", "{b 0 final 5}")
	boom := errors.New("boom")
	_, err := stream.ExecuteAndCollect(context.Background(), stream.Apply[span](window(), "broken", func(stream.WindowInfo, []ride, func(string)) error { return boom }))
	var f *stream.FunctionError
	if !errors.Is(err, boom) || !errors.As(err, &f) || f.Operator != "broken" {
		t.Error(err)
	}
}

// TestCountWindow: windows of the whole stream.
func TestCountWindow(t *testing.T) {
	type out struct{ Sum int64 }
	s := stream.AggregateWindow[out](rides(t).Window(stream.Count(3)), "count", stream.Column{"sum", "SUM(passengers)"})
	equal(t, sorted(collect(t, s)), "{13}", "{9}")
}

// TestKeyMistakes: keys that are not there are reported with the line.
func TestKeyMistakes(t *testing.T) {
	s := rides(t)
	stream.Aggregate[arrivals](s.KeyBy("cel"), "sum", stream.Column{"sum", "SUM(passengers)"}).Collect("out")
	err := s.Env().Execute(context.Background())
	if err == nil || !strings.Contains(err.Error(), "window_test.go:") || !strings.Contains(err.Error(), "unknown column cel, did you mean cell?") {
		t.Error(err)
	}
}
