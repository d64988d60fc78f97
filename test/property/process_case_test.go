package property

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"turbo/stream"
)

// hit and tallied are the rows of the function "tally".
type hit struct {
	G int32 `turbo:"g"`
}

type tallied struct {
	Kind string // row or timer
	G    int32
	At   int64 // of a timer: the end of its unit of time, ms
	N    int64
}

func init() { stream.RegisterFunc("tally", tally) }

// tally is a process function with state and timers: it numbers the rows of each key, and says at the end of each unit of event time how many rows of it
// there were.
func tally(in *stream.Stream[hit], o *stream.Options) *stream.Stream[tallied] {
	unit, _ := strconv.ParseInt(o.Values["unit"], 10, 64)
	return stream.Process(in.KeyBy("g"), "tally", func(s *stream.Setup) stream.Processor[hit, tallied] {
		all := stream.Value[int64](s, "all")
		units := stream.MapOf[int64, int64](s, "units")
		return stream.Processor[hit, tallied]{
			Row: func(ctx *stream.Context[tallied], x *hit) error {
				n, _ := all.Get()
				all.Set(n + 1)
				ctx.Emit(tallied{Kind: "row", G: x.G, N: n + 1})
				if t, ok := ctx.Time(); ok {
					end := floor(t.UnixMicro(), 0, unit) + unit
					n, _ := units.Get(end)
					units.Put(end, n+1)
					ctx.SetTimer(time.UnixMicro(end - 1))
				}
				return nil
			},
			Timer: func(ctx *stream.Context[tallied], timer stream.Timer) error {
				end := timer.At.UnixMicro() + 1
				n, _ := units.Get(end)
				units.Remove(end)
				var g int32
				if err := timer.Key(&g); err != nil {
					return err
				}
				ctx.Emit(tallied{Kind: "timer", G: g, At: end / 1000, N: n})
				return nil
			},
		}
	})
}

// processed is a job with a function of the program.
func processed(r *rand.Rand, s *scenario, dir string) error {
	s.what = "free process function"
	t := newTimes(r)
	newSettings(r, s, 0)
	if err := freeSources(r, s, t, newDomain(r), dir, 1+r.IntN(3), false); err != nil {
		return err
	}
	s.streams = fmt.Sprintf("  rows: {from: %s}\n  result: {from: rows, process: {function: tally, options: {unit: \"%d\"}}}\n", s.from(), t.unit)
	var layout []column
	for _, name := range []string{"kind", "g", "at", "n"} {
		layout = append(layout, column{name: name, kind: 'v'})
	}
	s.sinks = map[string]*sink{"out": {from: "result", format: "json", columns: layout}}
	numbers := map[int64]int{}
	type slot struct{ g, end int64 }
	units := map[slot]int{}
	var want []string
	for _, x := range s.all() {
		numbers[x.g]++
		want = append(want, fmt.Sprintf("row|%d|0|%d", x.g, numbers[x.g]))
		if x.ts != never {
			units[slot{x.g, floor(x.ts, 0, t.unit) + t.unit}]++
		}
	}
	for u, n := range units {
		want = append(want, fmt.Sprintf("timer|%d|%d|%d", u.g, u.end/1000, n))
	}
	s.check = func(out map[string][]string, complete bool) error {
		return same("results of the function", out["out"], want, complete)
	}
	s.tell = func(add func(string, int)) { add("timers", len(units)) }
	return nil
}
