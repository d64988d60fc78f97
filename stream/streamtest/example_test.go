package streamtest_test

import (
	"context"
	"fmt"
	"time"

	"turbo/stream"
	"turbo/stream/streamtest"
)

// Click is what a user did.
type Click struct {
	User string
	At   time.Time `turbo:"at,TIMESTAMP(3),time"`
}

// Visit is the clicks of a user until he was silent for a minute.
type Visit struct {
	User   string
	Clicks int64
}

// Visits is the piece of a program that is to be tested.
func Visits(clicks *stream.Stream[Click]) *stream.Stream[Visit] {
	return stream.Process(clicks.KeyBy("user"), "visits", func(s *stream.Setup) stream.Processor[Click, Visit] {
		type visit struct {
			Clicks int64
			Until  time.Time
		}
		open := stream.Value[visit](s, "open")
		return stream.Processor[Click, Visit]{
			Row: func(ctx *stream.Context[Visit], c *Click) error {
				v, there := open.Get()
				if there {
					ctx.DeleteTimer(v.Until)
				}
				v.Clicks++
				v.Until = c.At.Add(time.Minute)
				ctx.SetTimer(v.Until)
				open.Set(v)
				return nil
			},
			Timer: func(ctx *stream.Context[Visit], t stream.Timer) error {
				v, _ := open.Get()
				open.Clear()
				ctx.Emit(Visit{t.KeyString(), v.Clicks})
				return nil
			},
		}
	})
}

func Example() {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

	start := func(options ...streamtest.Option) (*streamtest.Harness, *streamtest.In[Click], *streamtest.Out[Visit]) {
		job := stream.New("example")
		Visits(streamtest.Source[Click](job, "clicks")).Collect("visits-out")
		h := streamtest.New(job, options...)
		return h, streamtest.Input[Click](h, "clicks"), streamtest.Output[Visit](h, "visits-out")
	}

	h, clicks, visits := start()
	clicks.Push(Click{"ann", noon}, Click{"bob", noon.Add(10 * time.Second)}, Click{"ann", noon.Add(30 * time.Second)})
	clicks.Watermark(noon.Add(70 * time.Second))
	fmt.Println(visits.Rows(), h.Entries("visits"), "open,", h.Timers("visits"), "timer")

	snapshot, err := h.Snapshot(context.Background())
	fmt.Println(err, h.Close())

	h, clicks, visits = start(streamtest.From(snapshot), streamtest.Workers(3))
	clicks.Push(Click{"ann", noon.Add(80 * time.Second)})
	clicks.End()
	fmt.Println(visits.Rows(), h.Err(), h.Close())
	// Output:
	// [{bob 1}] 1 open, 1 timer
	// <nil> <nil>
	// [{ann 3}] <nil> <nil>
}
