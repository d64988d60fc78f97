package property

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	_ "time/tzdata"
)

// windows is a window of a job: what its specification says.
type windows struct {
	kind                string // tumbling, sliding, cumulating, session, sessionRow, count, countSliding, global
	size, slide, offset int64  // µs; a session's gap is its size
	zone                string
	count, every        int64 // of count windows

	trigger  string // "", event-time, count, early, earlySum, multiples, multiplesSum, delta, continuous, pulse
	number   int64  // of the trigger
	interval int64  // of the continuous one, µs
	purging  bool

	evictor string // "", count, time, delta
	keep    int64  // rows, µs or difference
	after   bool

	lateness int64
	late     bool // late rows have a sink
	everyRow bool

	keys []string
}

func (w *windows) timed() bool {
	return w.kind != "count" && w.kind != "countSliding" && w.kind != "global"
}

func (w *windows) session() bool { return w.kind == "session" || w.kind == "sessionRow" }

func duration(us int64) string { return fmt.Sprintf("%dms", us/1000) }

// yaml writes the keys of a stream.
func (w *windows) yaml(b *strings.Builder) {
	line := func(format string, args ...any) { fmt.Fprintf(b, "    "+format+"\n", args...) }
	if len(w.keys) > 0 {
		line("key-by: [%s]", strings.Join(w.keys, ", "))
	}
	more := ""
	if w.offset != 0 {
		more += ", offset: " + duration(w.offset)
	}
	if w.zone != "" {
		more += ", zone: " + w.zone
	}
	switch w.kind {
	case "tumbling":
		line("window: {tumbling: %s%s}", duration(w.size), more)
	case "sliding":
		line("window: {sliding: %s, every: %s%s}", duration(w.size), duration(w.slide), more)
	case "cumulating":
		line("window: {cumulating: %s, step: %s%s}", duration(w.size), duration(w.slide), more)
	case "session":
		line("window: {session: %s}", duration(w.size))
	case "sessionRow":
		line("window: {session: gap}")
	case "count":
		line("window: {count: %d}", w.count)
	case "countSliding":
		line("window: {count: %d, every: %d}", w.count, w.every)
	case "global":
		line("window: global")
	}
	var parts []string
	part := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch w.trigger {
	case "event-time":
		part("type: event-time")
	case "count":
		part("count: %d", w.number)
	case "early":
		part("early: {every: %d}", w.number)
	case "earlySum":
		part("early: {sum: v, every: %d}", w.number)
	case "multiples":
		part("early: {multiples-of: %d}", w.number)
	case "multiplesSum":
		part("early: {sum: v, multiples-of: %d}", w.number)
	case "delta":
		part("delta: {column: v, threshold: %d}", w.number)
	case "pulse":
		part("function: pulse")
	case "continuous":
		part("continuous: %s", duration(w.interval))
	}
	if w.purging {
		part("purging: true")
	}
	if len(parts) > 0 {
		line("trigger: {%s}", strings.Join(parts, ", "))
	}
	after := ""
	if w.after {
		after = ", after: true"
	}
	switch w.evictor {
	case "count":
		line("evictor: {count: %d%s}", w.keep, after)
	case "time":
		line("evictor: {time: %s%s}", duration(w.keep), after)
	case "delta":
		line("evictor: {delta: {column: v, threshold: %d}%s}", w.keep, after)
	}
	if w.lateness > 0 {
		line("allowed-lateness: %s", duration(w.lateness))
	}
	if w.late {
		line("late: late")
	}
	if w.everyRow {
		line("emit: every-row")
	}
}

var allKeys = [][]string{{"k"}, {"g"}, {"k", "g"}, {"g", "k"}, nil}

// newWindows makes windows of any aligned or session kind.
func newWindows(r *rand.Rand, t times) *windows {
	w := &windows{keys: allKeys[r.IntN(len(allKeys))]}
	w.size = t.unit * (1 + r.Int64N(6))
	kind := r.IntN(8)
	if t.slack == 0 {
		kind = r.IntN(5)
	}
	switch kind {
	case 0, 1:
		w.kind = "tumbling"
	case 2, 3:
		w.kind = "sliding"
		w.slide = []int64{t.unit, w.size, w.size/2/1000*1000 + 1000, t.unit * 4 / 5 / 1000 * 1000, w.size + t.unit}[r.IntN(5)]
	case 4:
		w.kind, w.slide = "cumulating", t.unit
	case 5, 6:
		w.kind, w.size = "session", max(t.grid, t.onGrid(t.pace*(1+r.Int64N(12))))
	case 7:
		w.kind = "sessionRow"
	}
	if !w.session() && r.IntN(3) == 0 {
		w.offset = t.some(r, 2*t.unit)
	}
	if (w.kind == "tumbling" || w.kind == "sliding" && w.slide <= w.size) && t.unit == 3_600_000_000 && r.IntN(2) == 0 {
		w.zone, w.offset = []string{"Europe/Berlin", "America/New_York", "Asia/Kolkata"}[r.IntN(3)], 0
		w.kind, w.size = "tumbling", []int64{24, 12, 6}[r.IntN(3)]*t.unit
	}
	return w
}

// span is a window, µs; its end is exclusive.
type span struct{ start, end int64 }

func (s span) last() int64 { return s.end - 1 }

// floor is the greatest multiple of step, moved by offset, that is not after t.
func floor(t, offset, step int64) int64 {
	m := (t - offset) % step
	if m < 0 {
		m += step
	}
	return t - m
}

// assign returns the windows of a time.
func (w *windows) assign(r *row) (out []span) {
	t := r.ts
	switch w.kind {
	case "tumbling":
		if w.zone != "" {
			return []span{wall(t, w.size, w.zone)}
		}
		s := floor(t, w.offset, w.size)
		out = append(out, span{s, s + w.size})
	case "sliding":
		for s := floor(t, w.offset, w.slide); s > t-w.size; s -= w.slide {
			out = append(out, span{s, s + w.size})
		}
	case "cumulating":
		s := floor(t, w.offset, w.size)
		for e := s + w.slide; e <= s+w.size; e += w.slide {
			if e > t {
				out = append(out, span{s, e})
			}
		}
	case "session":
		out = append(out, span{t, t + w.size})
	case "sessionRow":
		out = append(out, span{t, t + r.gap})
	default:
		out = append(out, span{never, ever})
	}
	return out
}

// wall is the window of a clock on a wall: size is 6, 12 or 24 hours, so that a window begins at those hours of a day, however long the day is.
func wall(t, size int64, zone string) span {
	z, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	hours := int(size / 3_600_000_000)
	d := time.UnixMicro(t).In(z)
	h := d.Hour() / hours * hours
	return span{time.Date(d.Year(), d.Month(), d.Day(), h, 0, 0, 0, z).UnixMicro(), time.Date(d.Year(), d.Month(), d.Day(), h+hours, 0, 0, 0, z).UnixMicro()}
}
