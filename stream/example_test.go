package stream_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"turbo/stream"
)

// Trip is the end of a ride in a cell of the city.
type Trip struct {
	Cell       string
	At         time.Time `turbo:"ts,TIMESTAMP(3),time"`
	Passengers int64
}

func at(minute int) time.Time { return time.Date(2026, 1, 1, 8, minute, 0, 0, time.UTC) }

var trips = []Trip{{"a", at(1), 2}, {"b", at(3), 1}, {"a", at(2), 3}, {"a", at(7), 1}, {"b", at(8), 4}}

func newJob(name string) *stream.Stream[Trip] {
	job := stream.New(name, stream.Parallelism(1), stream.NoCheckpoint())
	return stream.FromSlice(job, "trips", trips, stream.Watermarks{OutOfOrderness: time.Minute})
}

// show prints the rows of a stream, sorted.
func show[T any](s *stream.Stream[T]) {
	rows, err := stream.ExecuteAndCollect(context.Background(), s)
	if err != nil {
		log.Fatal(err)
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, fmt.Sprint(r))
	}
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"))
}

func ExampleMap() {
	type Named struct{ Text string }
	busy := stream.Filter(newJob("map"), "busy", func(t *Trip) (bool, error) { return t.Passengers > 2, nil })
	show(stream.Map(busy, "name", func(t *Trip) (Named, error) {
		return Named{strings.ToUpper(t.Cell)}, nil
	}))
	// Output:
	// {A}
	// {B}
}

func ExampleAggregateWindow() {
	type Arrivals struct {
		Cell      string
		WindowEnd time.Time
		Sum       int64
	}
	windows := newJob("windows").KeyBy("cell").Window(stream.Tumbling(5 * time.Minute))
	sums := stream.AggregateWindow[Arrivals](windows, "arrivals", stream.Column{Name: "sum", Expression: "SUM(passengers)"})
	type Line struct{ Text string }
	show(stream.Map(sums, "text", func(a *Arrivals) (Line, error) {
		return Line{fmt.Sprint(a.Cell, " ", a.WindowEnd.Format("15:04"), " ", a.Sum)}, nil
	}))
	// Output:
	// {a 08:05 5}
	// {a 08:10 1}
	// {b 08:05 1}
	// {b 08:10 4}
}

func ExampleProcess() {
	type Total struct {
		Cell string
		Sum  int64
	}
	show(stream.Process(newJob("totals").KeyBy("cell"), "totals", func(s *stream.Setup) stream.Processor[Trip, Total] {
		sum := stream.Value[int64](s, "sum")
		return stream.Processor[Trip, Total]{
			Row: func(ctx *stream.Context[Total], t *Trip) error {
				if _, ok := sum.Get(); !ok {
					ctx.SetTimer(at(60)) // event time: it fires when all rows until then are there
				}
				n, _ := sum.Get()
				sum.Set(n + t.Passengers)
				return nil
			},
			Timer: func(ctx *stream.Context[Total], timer stream.Timer) error {
				n, _ := sum.Get()
				ctx.Emit(Total{timer.KeyString(), n})
				return nil
			},
		}
	}))
	// Output:
	// {a 6}
	// {b 5}
}

func ExampleJoin() {
	type Name struct {
		Cell string
		Name string
	}
	in := newJob("join")
	names := stream.FromSlice(in.Env(), "names", []Name{{"a", "Harlem"}}, stream.Watermarks{})
	type Named struct {
		Name       string
		Passengers int64
	}
	show(stream.Join[Named](in.KeyBy("cell"), names.KeyBy("cell"), "named", stream.Regular(0, 0)))
	// Output:
	// {Harlem 1}
	// {Harlem 2}
	// {Harlem 3}
}

func ExampleFold() {
	type Total struct {
		Cell  string
		Rides int
		Sum   int64
	}
	show(stream.Fold(newJob("fold").KeyBy("cell"), "totals", func() Total { return Total{} }, func(acc *Total, t *Trip) error {
		acc.Cell = t.Cell
		acc.Rides++
		acc.Sum += t.Passengers
		return nil
	}))
	// Output:
	// {a 1 2}
	// {a 2 5}
	// {a 3 6}
	// {b 1 1}
	// {b 2 5}
}

func ExampleReduce() {
	latest := stream.Reduce(newJob("reduce").KeyBy("cell"), "largest", func(acc, t *Trip) error {
		acc.At, acc.Passengers = t.At, max(acc.Passengers, t.Passengers)
		return nil
	})
	type Largest struct {
		Cell       string
		Passengers int64
	}
	show(stream.As[Largest](latest))
	// Output:
	// {a 2}
	// {a 3}
	// {a 3}
	// {b 1}
	// {b 4}
}

func ExampleAggregating() {
	type Mean struct {
		Cell string
		Mean float64
	}
	type sum struct{ N, Sum int64 }
	show(stream.Process(newJob("means").KeyBy("cell"), "means", func(s *stream.Setup) stream.Processor[Trip, Mean] {
		mean := stream.Aggregating(s, "mean", stream.AggregateFunc[int64, sum, float64]{
			Add:    func(acc *sum, x int64) error { acc.N++; acc.Sum += x; return nil },
			Result: func(acc *sum) (float64, error) { return float64(acc.Sum) / float64(acc.N), nil },
		})
		return stream.Processor[Trip, Mean]{Row: func(ctx *stream.Context[Mean], t *Trip) error {
			if err := mean.Add(t.Passengers); err != nil {
				return err
			}
			m, _, err := mean.Get()
			ctx.Emit(Mean{t.Cell, m})
			return err
		}}
	}))
	// Output:
	// {a 2.5}
	// {a 2}
	// {a 2}
	// {b 1}
	// {b 2.5}
}

func ExampleReducing() {
	type Most struct {
		Cell string
		Most int64
	}
	show(stream.Process(newJob("most").KeyBy("cell"), "most", func(s *stream.Setup) stream.Processor[Trip, Most] {
		most := stream.Reducing(s, "most", func(acc, x int64) (int64, error) { return max(acc, x), nil })
		return stream.Processor[Trip, Most]{Row: func(ctx *stream.Context[Most], t *Trip) error {
			if err := most.Add(t.Passengers); err != nil {
				return err
			}
			n, _ := most.Get()
			ctx.Emit(Most{t.Cell, n})
			return nil
		}}
	}))
	// Output:
	// {a 2}
	// {a 3}
	// {a 3}
	// {b 1}
	// {b 4}
}
