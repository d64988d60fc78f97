package join_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/ops/join"
	"turbo/internal/testkit"
)

// span is a window of the oracle.
type span struct{ start, end int64 }

// windowsOf lists the windows of a time, by trying all near it.
func windowsOf(w *join.Windows, t int64) (out []span) {
	mod := func(a, b int64) int64 { return ((a % b) + b) % b }
	switch w.Kind {
	case join.Tumbling:
		s := t - mod(t-w.Offset, w.Size)
		out = append(out, span{s, s + w.Size})
	case join.Sliding:
		for s := t - mod(t-w.Offset, w.Slide); s > t-w.Size; s -= w.Slide {
			out = append(out, span{s, s + w.Size})
		}
	case join.Cumulating:
		s := t - mod(t-w.Offset, w.Size)
		for e := s + w.Slide; e <= s+w.Size; e += w.Slide {
			if t < e {
				out = append(out, span{s, e})
			}
		}
	}
	return out
}

// cell is the rows of a window (and key, for sessions and co-groups) of the oracle.
type cell struct {
	span
	rows [2][]int
}

func (s *stream) key(keys []int, port, row int) (text string, null bool) {
	var parts []string
	for _, k := range keys {
		v := s.columns[port][k]
		null = null || v.Null(row)
		parts = append(parts, testkit.Format(v, row))
	}
	return strings.Join(parts, ","), null
}

// cellsOf divides the rows that are on time: by window, or for sessions by key and session.
func cellsOf(s *stream, w *join.Windows, keys [2][]int, nullsMeet bool) (cells []*cell, late []string) {
	watermark := int64(core.MinTime)
	byWindow := map[span]*cell{}
	var open []*cell
	var openKey []string
	aside := func(a arrival) { late = append(late, fmt.Sprint(a.port, testkit.FormatRow(s.columns[a.port], a.row))) }
	for n, a := range s.arrivals {
		if a.watermark != 0 {
			watermark = int64(a.watermark)
			for i := 0; i < len(open); i++ {
				if open[i].end-1 <= watermark {
					open, openKey = slices.Delete(open, i, i+1), slices.Delete(openKey, i, i+1)
					i--
				}
			}
			continue
		}
		t, ok := s.time(a.port, a.row)
		if !ok {
			aside(a)
			continue
		}
		if w.Kind != join.Session {
			in := false
			all := windowsOf(w, t)
			for _, x := range all {
				if x.end-1 <= watermark {
					continue
				}
				in = true
				c := byWindow[x]
				if c == nil {
					c = &cell{span: x}
					byWindow[x] = c
					cells = append(cells, c)
				}
				c.rows[a.port] = append(c.rows[a.port], a.row)
			}
			if !in && (len(all) > 0 || t <= watermark) { // between windows, its own time counts
				aside(a)
			}
			continue
		}
		key, null := s.key(keys[a.port], a.port, a.row)
		if null && !nullsMeet {
			key = fmt.Sprint("alone ", n)
		}
		c := &cell{span: span{t, t + w.Gap}}
		c.rows[a.port] = []int{a.row}
		for i := 0; i < len(open); i++ { // sessions that the row touches become one
			o := open[i]
			if openKey[i] != key || o.start > c.end || o.end < c.start {
				continue
			}
			o.start, o.end = min(o.start, c.start), max(o.end, c.end)
			for p := range o.rows {
				o.rows[p] = append(o.rows[p], c.rows[p]...)
			}
			c.start = -1 << 62 // it is not a session of its own any more
			cells = slices.DeleteFunc(cells, func(x *cell) bool { return x == c })
			open, openKey = slices.Delete(open, i, i+1), slices.Delete(openKey, i, i+1)
			i = -1
			c = o
		}
		if c.end-1 <= watermark {
			aside(a)
			continue
		}
		if !slices.Contains(cells, c) {
			cells = append(cells, c)
		}
		open, openKey = append(open, c), append(openKey, key)
	}
	return cells, late
}

func windowOracle(s *stream, c *join.WindowConfig) (out, late []string) {
	cells, late := cellsOf(s, &c.Windows, c.Config.Keys, false)
	kind := c.Config.Kind
	for _, x := range cells {
		var met [2]map[int]bool
		met[0], met[1] = map[int]bool{}, map[int]bool{}
		for _, l := range x.rows[0] {
			for _, r := range x.rows[1] {
				if !s.equal(c.Config.Keys, l, r) || c.Residual != nil && !s.residual(l, r) {
					continue
				}
				if kind < join.Semi {
					out = append(out, s.render(c.Output, l, r, x.start, x.end))
				} else if kind == join.Semi && !met[0][l] {
					out = append(out, s.render(c.Output, l, -1, x.start, x.end))
				}
				met[0][l], met[1][r] = true, true
			}
		}
		for _, l := range x.rows[0] {
			if !met[0][l] && (kind == join.Left || kind == join.Full || kind == join.Anti) {
				out = append(out, s.render(c.Output, l, -1, x.start, x.end))
			}
		}
		for _, r := range x.rows[1] {
			if !met[1][r] && (kind == join.Right || kind == join.Full) {
				out = append(out, s.render(c.Output, -1, r, x.start, x.end))
			}
		}
	}
	return out, late
}

var windows = []join.Windows{
	{Kind: join.Tumbling, Size: 5 * second, Offset: second / 2},
	{Kind: join.Sliding, Size: 5 * second, Slide: 2 * second},
	{Kind: join.Cumulating, Size: 6 * second, Slide: 2 * second, Offset: -second},
	{Kind: join.Session, Gap: second},
	{Kind: join.Sliding, Size: 2 * second, Slide: 3 * second},
}

// checkWindow checks what every run over windows must keep.
func checkWindow(t *testing.T, h *testkit.Harness, log *testkit.Log, want, late []string, progress bool) {
	t.Helper()
	same(t, "result", rowsOf(log.Emitted), want)
	var aside []string
	for port, list := range log.Sides {
		for _, e := range list {
			aside = append(aside, fmt.Sprint(port, e.Row))
		}
	}
	same(t, "late", aside, late)
	if n := int(log.Count.Late + log.Count.NoTime); n != len(late) {
		t.Errorf("%d rows counted late or without time, want %d", n, len(late))
	}
	if log.Rows > 0 && (!progress || log.Rows > 8) { // one for each key group
		t.Errorf("%d rows of state are left", log.Rows)
	}
	for i, w := range watermarks(h, log) {
		row := log.Emitted[i].Row
		end, err := strconv.ParseInt(strings.Trim(row[strings.LastIndex(row, "|")+1:], " ()"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if end-1 <= int64(w) {
			t.Fatalf("%s was emitted behind the watermark %d", row, int64(w))
		}
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	for i, kind := range kinds {
		for k, w := range windows {
			if (i+2*k)%5 > 2 || spared(i, k) {
				continue // each kind with three of the windows
			}
			keys := keySets[(i+k)%2]
			if i+k == 4 {
				keys = keySets[2]
			}
			t.Run(fmt.Sprintf("%v/%d %d", kind, w.Kind, k), func(t *testing.T) {
				s := newStream(t, uint64(100+10*i+k), 64, 2)
				s.event(testkit.Event{End: 1 + i%2})
				s.event(testkit.Event{Watermark: core.MaxTime})
				c := join.WindowConfig{Config: join.Config{Kind: kind, Keys: keys, Output: bothSides(kind)}, Windows: w}
				if (i+k)%2 == 0 {
					c.Residual = condition(t, s)
				}
				output, err := c.Schema(s.schemas[0], s.schemas[1])
				if err != nil {
					t.Fatal(err)
				}
				want, late := windowOracle(s, &c)
				if len(want) < 1 {
					t.Fatalf("%d rows, %d late: the test is too easy", len(want), len(late))
				}
				h := s.harness(t, keys, output, func() core.Operator { return join.NewWindow(c) })
				h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
					checkWindow(t, h, log, want, late, w.Kind == join.Sliding || w.Kind == join.Cumulating)
				})
			})
		}
	}
}

// tally counts the rows of a group, and emits as many rows more as it has left rows.
type tally struct{}

func (tally) CoGroup(g *join.Group, out *core.Builder) error {
	sum := 0.0
	for i := range g.Right.Len {
		sum += g.Right.Columns[4].Float64s()[i]
	}
	for range g.Left.Len + 1 {
		out.Column(0).AppendInt64(int64(g.Left.Len))
		out.Column(1).AppendInt64(int64(g.Right.Len))
		out.Column(2).AppendFloat64(sum)
	}
	return nil
}

func TestCoGroup(t *testing.T) {
	t.Parallel()
	for k, w := range windows {
		if spared(0, k) {
			continue
		}
		keys := keySets[k%2]
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			s := newStream(t, uint64(200+k), 80, 3)
			s.event(testkit.Event{Watermark: core.MaxTime})
			c := join.CoGroupConfig{Windows: w, Keys: keys, New: func() (join.CoGrouper, error) { return tally{}, nil }, Fields: []core.Field{
				{Name: "lefts", Type: core.Of(core.Int64).Required()}, {Name: "rights", Type: core.Of(core.Int64).Required()}, {Name: "sum", Type: core.Of(core.Float64)}}}
			output, err := c.Schema(s.schemas[0], s.schemas[1])
			if err != nil {
				t.Fatal(err)
			}
			cells, late := cellsOf(s, &w, keys, true)
			var want []string
			for _, x := range cells {
				groups := map[string]*[2][]int{}
				for port, list := range x.rows {
					for _, row := range list {
						key, _ := s.key(keys[port], port, row)
						if groups[key] == nil {
							groups[key] = &[2][]int{}
						}
						groups[key][port] = append(groups[key][port], row)
					}
				}
				for _, g := range groups {
					sum := 0.0
					for _, r := range g[1] {
						sum += s.columns[1][4].Float64s()[r]
					}
					for range len(g[0]) + 1 {
						want = append(want, fmt.Sprintf("%d | %d | %v | %d | %d", len(g[0]), len(g[1]), sum, x.start, x.end))
					}
				}
			}
			h := s.harness(t, keys, output, func() core.Operator { return join.NewCoGroup(c) })
			h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
				checkWindow(t, h, log, want, late, w.Kind == join.Sliding || w.Kind == join.Cumulating)
			})
		})
	}
}
