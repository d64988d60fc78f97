package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/stream"
)

type fare struct {
	Cell  string
	At    time.Time `turbo:"ts,TIMESTAMP(6),time"`
	Price int64
}

var someFares = []fare{{"a", second(0), 10}, {"a", second(4), 20}, {"b", second(6), 30}, {"c", second(7), 40}, {"a", second(30), 50}}

func withFares(t *testing.T) (*stream.Keyed[ride], *stream.Keyed[fare]) {
	in := rides(t)
	return in.KeyBy("cell"), stream.FromSlice(in.Env(), "fares", someFares, stream.Watermarks{OutOfOrderness: 10 * time.Second}).KeyBy("cell")
}

type priced struct {
	Cell       string
	Passengers int64
	Price      stream.Null[int64]
}

func (p priced) String() string {
	price := "none"
	if p.Price.Valid {
		price = fmt.Sprint(p.Price.V)
	}
	return fmt.Sprint(p.Cell, p.Passengers, " ", price)
}

// TestJoins: each way to join.
func TestJoins(t *testing.T) {
	for name, c := range map[string]struct {
		how  stream.JoinSpec
		want string
	}{
		"interval":   {stream.Within(2*time.Second, time.Second), "a2 10|a4 20|a7 50"},
		"left":       {stream.Within(2*time.Second, time.Second).Kind(stream.Left).Where("price > 10"), "a1 none|a2 none|a4 20|a7 50|b3 none|b5 none|b9 none"},
		"window":     {stream.InWindow(stream.Tumbling(10 * time.Second)), "a2 10|a2 20|a4 10|a4 20|a7 50|b3 30|b5 30|b9 30"},
		"as of":      {stream.AsOf().Kind(stream.Left), "a1 20|a2 10|a4 20|a7 50|b3 none|b5 30|b9 none"},
		"everything": {stream.Regular(0, time.Hour), "a1 10|a1 20|a1 50|a2 10|a2 20|a2 50|a4 10|a4 20|a4 50|a7 10|a7 20|a7 50|b3 30|b5 30|b9 30"},
	} {
		t.Run(name, func(t *testing.T) {
			left, right := withFares(t)
			got := sorted(collect(t, stream.Join[priced](left, right, "priced", c.how)))
			equal(t, got, strings.Split(c.want, "|")...)
		})
	}
}

// TestCoGroup: a function sees both sides of each key and window.
func TestCoGroup(t *testing.T) {
	type made struct{ Text string }
	left, right := withFares(t)
	s := stream.CoGroup[made](left, right, "both", stream.Tumbling(10*time.Second), func(in stream.WindowInfo, rides []ride, fares []fare, emit func(made)) error {
		emit(made{fmt.Sprint(in.Start.Unix(), ":", len(rides), "/", len(fares))})
		return nil
	})
	equal(t, sorted(collect(t, s)), "{0:0/1}", "{0:2/2}", "{0:3/1}", "{10:1/0}", "{30:1/1}")
}

// TestAsync: rows wait for an answer, some are asked for again.
func TestAsync(t *testing.T) {
	type answer struct{ N int64 }
	tried := map[int64]bool{}
	lock := make(chan struct{}, 1)
	s := stream.AsyncWait(rides(t), "ask", stream.Async{Ordered: true, Retry: stream.Retry{Attempts: 2}}, func(ctx context.Context, r *ride, emit func(answer)) error {
		lock <- struct{}{}
		defer func() { <-lock }()
		if r.Passengers%2 == 1 && !tried[r.Passengers] {
			tried[r.Passengers] = true
			emit(answer{-1})
			return errors.New("again")
		}
		emit(answer{r.Passengers})
		return nil
	})
	if got := fmt.Sprint(collect(t, s)); got != "[{2} {3} {4} {1} {5} {7} {9}]" {
		t.Error(got)
	}
}

// TestBatchForms: functions over columns.
func TestBatchForms(t *testing.T) {
	s := stream.FilterBatch(rides(t), "odd", func(b *core.Batch, sel []int32) ([]int32, error) {
		n := b.Columns[2].Int64s()
		for i := range b.Rows() {
			if r := b.Row(i); n[r]%2 == 1 {
				sel = append(sel, int32(r))
			}
		}
		return sel, nil
	})
	twice := stream.MapBatch[number](s, "twice", func(in *stream.Rows, out *stream.Output) error {
		n := in.Batch.Columns[2].Int64s()
		for i := range in.Len() {
			out.Int64(0, 2*n[in.Row(i)])
		}
		out.EndRows(in.Len())
		return nil
	})
	equal(t, sorted(collect(t, twice)), "{10}", "{14}", "{18}", "{2}", "{6}")
}

// TestSplit: each row goes to one stream.
func TestSplit(t *testing.T) {
	parts := stream.Split(rides(t), "by", 2, func(r *ride) int { return int(r.Passengers % 2) })
	even := parts[0].Collect("even")
	odd := collect(t, parts[1])
	if len(even.Rows()) != 2 || len(odd) != 5 {
		t.Error(even.Rows(), odd)
	}
}
