package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"turbo/stream"
)

type note struct {
	Cell string
	Text string
}

// TestProcess: value, list and map state, timers and a side output.
func TestProcess(t *testing.T) {
	var side *stream.Stream[ride]
	s := stream.Process(rides(t).KeyBy("cell"), "watch", func(s *stream.Setup) stream.Processor[ride, note] {
		sum := stream.Value[int64](s, "sum")
		last := stream.Value[ride](s, "last")
		all := stream.List[int64](s, "all")
		count := stream.MapOf[int64, int32](s, "count")
		big := stream.SideOutput(s, "big", &side)
		return stream.Processor[ride, note]{
			Row: func(ctx *stream.Context[note], r *ride) error {
				n, _ := sum.Get()
				sum.Set(n + r.Passengers)
				last.Set(*r)
				all.Add(r.Passengers)
				c, _ := count.Get(r.Passengers % 2)
				count.Put(r.Passengers%2, c+1)
				if r.Passengers > 6 {
					big.Emit(*r)
				}
				if n == 0 {
					ctx.SetTimer(second(100))
				}
				return nil
			},
			Timer: func(ctx *stream.Context[note], timer stream.Timer) error {
				n, _ := sum.Get()
				r, ok := last.Get()
				even, _ := count.Get(0)
				odd, _ := count.Get(1)
				var key string
				if err := timer.Key(&key); err != nil {
					return err
				}
				ctx.Emit(note{key, fmt.Sprint(n, r.Passengers, ok, all.All(), even, odd, count.Len(), timer.At.Unix(), " ", timer.KeyString())})
				return nil
			},
		}
	})
	kept := side.Collect("big")
	equal(t, sorted(collect(t, s)), "{a 14 7 true [2 4 1 7] 2 2 2 100 a}", "{b 17 9 true [3 5 9] 0 3 1 100 b}")
	equal(t, sorted(kept.Rows()), fmt.Sprint(someRides[5]), fmt.Sprint(someRides[6]))
}

type limit struct {
	Cell string
	Max  int64
}

// TestCoProcess: two inputs share the state of a key.
func TestCoProcess(t *testing.T) {
	in := rides(t)
	limits := stream.FromSlice(in.Env(), "limits", []limit{{"a", 3}, {"b", 4}}, stream.Watermarks{})
	s := stream.CoProcess(in.KeyBy("cell"), limits.KeyBy("cell"), "total", func(s *stream.Setup) stream.CoProcessor[ride, limit, note] {
		sum := stream.Value[int64](s, "sum")
		add := func(ctx *stream.Context[note], cell string, n int64) error {
			was, _ := sum.Get()
			sum.Set(was + n)
			if was+n == 17 || was+n == 21 {
				ctx.Emit(note{cell, fmt.Sprint(was + n)})
			}
			return nil
		}
		return stream.CoProcessor[ride, limit, note]{
			Left:  func(ctx *stream.Context[note], r *ride) error { return add(ctx, r.Cell, r.Passengers) },
			Right: func(ctx *stream.Context[note], r *limit) error { return add(ctx, r.Cell, r.Max) },
		}
	})
	rows := sorted(collect(t, s))
	if got := strings.Join(rows, ""); !strings.Contains(got, "{a 17}") || !strings.Contains(got, "{b 21}") {
		t.Error(got)
	}
}

// TestBroadcast: every worker gets the rows of the broadcast stream.
func TestBroadcast(t *testing.T) {
	in := rides(t)
	limits := stream.FromSlice(in.Env(), "limits", []limit{{"a", 3}, {"b", 4}}, stream.Watermarks{})
	s := stream.ProcessBroadcast(in.KeyBy("cell"), limits, "rules", func(s *stream.Setup) stream.CoProcessor[ride, limit, note] {
		rules := stream.BroadcastMap[string, int64](s, "rules")
		return stream.CoProcessor[ride, limit, note]{
			Left: func(ctx *stream.Context[note], r *ride) error {
				ctx.SetTimer(second(1000))
				return nil
			},
			Right: func(_ *stream.Context[note], l *limit) error { rules.Put(l.Cell, l.Max); return nil },
			Timer: func(ctx *stream.Context[note], timer stream.Timer) error {
				x, ok := rules.Get(timer.KeyString())
				ctx.Emit(note{timer.KeyString(), fmt.Sprint(x, ok, rules.Len())})
				return nil
			},
		}
	})
	equal(t, sorted(collect(t, s)), "{a 3 true 2}", "{b 4 true 2}")
}

// TestProcessFails: the row and the function's error are in the job's.
func TestProcessFails(t *testing.T) {
	boom := errors.New("boom")
	s := stream.Process(rides(t).KeyBy("cell"), "broken", func(*stream.Setup) stream.Processor[ride, note] {
		return stream.Processor[ride, note]{Row: func(_ *stream.Context[note], r *ride) error {
			if r.Passengers == 5 {
				return boom
			}
			return nil
		}}
	})
	_, err := stream.ExecuteAndCollect(context.Background(), s)
	var f *stream.FunctionError
	if !errors.Is(err, boom) || !errors.As(err, &f) || !strings.Contains(f.Row, `"passengers":5`) {
		t.Error(err)
	}
}
