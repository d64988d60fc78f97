package join_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops/join"
	"turbo/internal/testkit"
	"turbo/memory"
)

// stream is a random input of two ports: what the harness is given, and the same rows for oracles.
type stream struct {
	schemas [2]*core.Schema
	columns [2][]*core.Vector
	kinds   [2][]core.RowKind
	order   []uint8
	events  []testkit.Event
	// What oracles see, in the order of arrival.
	arrivals []arrival
}

// arrival is a row, or a watermark.
type arrival struct {
	port      int
	row       int
	watermark core.Time // 0: it is a row
	clock     core.Time
}

const second = int64(1_000_000)

var account = memory.NewPool(0).Account("input")

// newStream makes n rows with keys in a small domain, some null, times that wander forward with disorder, a null time now and then, and
// watermarks that some rows are late for.
func newStream(t testing.TB, seed uint64, n, keys int) *stream {
	rng := rand.New(rand.NewPCG(seed, 77))
	s := &stream{}
	ts := core.Type{Kind: core.TimestampLTZ, Precise: 6}
	s.schemas[0] = core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64)}, core.Field{Name: "n", Type: core.Of(core.String)},
		core.Field{Name: "ts", Type: ts}, core.Field{Name: "v", Type: core.Of(core.Int32)})
	s.schemas[1] = core.NewSchema(core.Field{Name: "at", Type: ts}, core.Field{Name: "k", Type: core.Of(core.Int64).Required()}, core.Field{Name: "v", Type: core.Of(core.Int32)},
		core.Field{Name: "n", Type: core.Of(core.String)}, core.Field{Name: "x", Type: core.Of(core.Float64)})
	s.schemas[0].TimeColumn, s.schemas[1].TimeColumn, s.schemas[1].TimeShift = 2, 0, -1
	for p, schema := range s.schemas {
		for _, f := range schema.Fields {
			s.columns[p] = append(s.columns[p], core.NewVector(account, f.Type, n))
		}
	}
	t.Cleanup(func() {
		for _, columns := range s.columns {
			for _, v := range columns {
				v.Release()
			}
		}
	})
	now, watermark := -20*second, int64(core.MinTime)
	port := 0
	for i := range n {
		if rng.IntN(4) == 0 {
			port = rng.IntN(2)
		}
		now += rng.Int64N(second)
		t := (now - rng.Int64N(4*second)) / 250_000 * 250_000
		c := s.columns[port]
		row := c[0].Len()
		name := func(v *core.Vector) {
			if rng.IntN(12) == 0 {
				v.AppendNull()
			} else {
				v.AppendString(fmt.Sprint("name ", rng.IntN(2)))
			}
		}
		time := func(v *core.Vector) {
			if rng.IntN(40) == 0 {
				v.AppendNull()
			} else {
				v.AppendInt64(t + int64(port)) // the right input's time shift takes it away
			}
		}
		small := func(v *core.Vector) {
			if rng.IntN(10) == 0 {
				v.AppendNull()
			} else {
				v.AppendInt32(rng.Int32N(5))
			}
		}
		if port == 0 {
			if rng.IntN(12) == 0 {
				c[0].AppendNull()
			} else {
				c[0].AppendInt64(rng.Int64N(int64(keys)))
			}
			name(c[1])
			time(c[2])
			small(c[3])
		} else {
			time(c[0])
			c[1].AppendInt64(rng.Int64N(int64(keys)))
			small(c[2])
			name(c[3])
			c[4].AppendFloat64(float64(i))
		}
		s.order = append(s.order, uint8(port))
		s.arrivals = append(s.arrivals, arrival{port: port, row: row})
		if w := (now - 2*second - rng.Int64N(2*second)) / 250_000 * 250_000; rng.IntN(6) == 0 && w > watermark && w != 0 {
			watermark = w
			s.event(testkit.Event{Watermark: core.Time(w)})
		}
	}
	return s
}

func (s *stream) event(e testkit.Event) {
	e.After = len(s.order)
	s.events = append(s.events, e)
	if e.Clock != 0 {
		s.arrivals = append(s.arrivals, arrival{clock: e.Clock})
	}
	if e.Watermark != 0 {
		s.arrivals = append(s.arrivals, arrival{watermark: e.Watermark})
	}
}

// time is the event time of a row; ok is false for none.
func (s *stream) time(port, row int) (int64, bool) {
	schema := s.schemas[port]
	v := s.columns[port][schema.TimeColumn]
	if v.Null(row) {
		return 0, false
	}
	return v.Int64s()[row] + schema.TimeShift, true
}

// equal compares keys as SQL does.
func (s *stream) equal(keys [2][]int, l, r int) bool {
	for i := range keys[0] {
		a, b := s.columns[0][keys[0][i]], s.columns[1][keys[1][i]]
		if a.Null(l) || b.Null(r) || testkit.Format(a, l) != testkit.Format(b, r) {
			return false
		}
	}
	return true
}

// residual is left.v <= right.v.
const residual = "v <= v0"

func (s *stream) residual(l, r int) bool {
	a, b := s.columns[0][3], s.columns[1][2]
	return !a.Null(l) && !b.Null(r) && a.Int32s()[l] <= b.Int32s()[r]
}

// render makes an output row; -1 for nulls.
func (s *stream) render(output []join.Column, l, r int, more ...any) string {
	var out []string
	for _, c := range output {
		row := l
		if c.Side == 1 {
			row = r
		}
		if row < 0 {
			out = append(out, "null")
		} else {
			out = append(out, testkit.Format(s.columns[c.Side][c.Index], row))
		}
	}
	for _, m := range more {
		out = append(out, fmt.Sprint(m))
	}
	return strings.Join(out, " | ")
}

func (s *stream) harness(t *testing.T, keys [2][]int, output *core.Schema, make func() core.Operator) *testkit.Harness {
	t.Helper()
	return &testkit.Harness{New: make, Input: s.schemas[0], Keys: keys[0], Columns: s.columns[0], Output: output, Order: s.order, Events: s.events,
		Ports: []testkit.Port{{Input: s.schemas[1], Keys: keys[1], Columns: s.columns[1]}}, Kinds: [][]core.RowKind{s.kinds[0], s.kinds[1]},
		Sides: []*core.Schema{s.schemas[0], s.schemas[1]}, Narrow: true}
}

func bothSides(kind join.Kind) []join.Column {
	out := []join.Column{{Side: 0, Index: 0, Name: "lk"}, {Side: 0, Index: 1, Name: "ln"}, {Side: 0, Index: 2}, {Side: 0, Index: 3, Name: "lv"}}
	if kind <= join.Full {
		out = append(out, join.Column{Side: 1, Index: 4}, join.Column{Side: 1, Index: 0}, join.Column{Side: 1, Index: 2})
	}
	return out
}

func condition(t testing.TB, s *stream) *expr.Program {
	t.Helper()
	p, err := expr.CompileFilter(residual, join.Joined(s.schemas[0], s.schemas[1]), expr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rowsOf(list []testkit.Emitted) []string {
	var out []string
	for _, e := range list {
		out = append(out, strings.Trim(e.Row, "()"))
	}
	return out
}

// same compares two multisets.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	var missing, extra []string
	i, k := 0, 0
	for i < len(got) || k < len(want) {
		switch {
		case k == len(want) || i < len(got) && got[i] < want[k]:
			extra = append(extra, got[i])
			i++
		case i == len(got) || got[i] > want[k]:
			missing = append(missing, want[k])
			k++
		default:
			i, k = i+1, k+1
		}
	}
	t.Fatalf("%s: %d rows, want %d\nmissing: %q\ntoo many: %q", what, len(got), len(want), missing[:min(5, len(missing))], extra[:min(5, len(extra))])
}

var kinds = []join.Kind{join.Inner, join.Left, join.Right, join.Full, join.Semi, join.Anti}

// spared leaves most configurations out under the race detector, which makes each take ten times as long.
func spared(i, k int) bool { return raceDetector && (i+2*k)%6 != 0 }

var keySets = [][2][]int{{{0}, {1}}, {{0, 1}, {1, 3}}, {nil, nil}}

// watermarks gives, for each emitted row, the watermark that held before the message which emitted it.
func watermarks(h *testkit.Harness, log *testkit.Log) []core.Time {
	out := make([]core.Time, len(log.Emitted))
	at := 0
	before := testkit.Mark{}
	for _, m := range append(log.Marks, testkit.Mark{Events: len(h.Events), Emitted: len(log.Emitted)}) {
		w := core.MinTime
		for _, e := range h.Events[:before.Events] {
			if e.Watermark != 0 {
				w = e.Watermark
			}
		}
		for ; at < m.Emitted; at++ {
			out[at] = w
		}
		before = m
	}
	return out
}
