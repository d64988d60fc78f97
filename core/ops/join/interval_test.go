package join_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/ops/join"
	"turbo/internal/testkit"
)

// intervalOracle is the nested loop over all rows that are on time, in the order of arrival.
func intervalOracle(s *stream, c *join.IntervalConfig) (out, late []string, lates, noTime int64) {
	var live [2][]int
	var met [2]map[int]bool
	met[0], met[1] = map[int]bool{}, map[int]bool{}
	watermark := int64(core.MinTime)
	emit := func(l, r int, at int64) { out = append(out, s.render(c.Output, l, r, at)) }
	for _, a := range s.arrivals {
		if a.watermark != 0 {
			watermark = int64(a.watermark)
			continue
		}
		t, ok := s.time(a.port, a.row)
		if !ok || t <= watermark {
			if ok {
				lates++
			} else {
				noTime++
			}
			late = append(late, fmt.Sprint(a.port, testkit.FormatRow(s.columns[a.port], a.row)))
			continue
		}
		live[a.port] = append(live[a.port], a.row)
		for _, o := range live[1-a.port] {
			l, r := a.row, o
			if a.port == 1 {
				l, r = o, a.row
			}
			lt, _ := s.time(0, l)
			rt, _ := s.time(1, r)
			if !s.equal(c.Keys, l, r) || rt < lt+c.Lower || rt > lt+c.Upper || c.Residual != nil && !s.residual(l, r) {
				continue
			}
			switch {
			case c.Kind < join.Semi:
				emit(l, r, max(lt, rt))
			case c.Kind == join.Semi && !met[0][l]:
				if a.port == 0 {
					emit(l, -1, lt)
				} else {
					emit(l, -1, max(lt, rt))
				}
			}
			met[0][l], met[1][r] = true, true
		}
	}
	alone := func(port, row int) {
		t, _ := s.time(port, row)
		certain := t
		null := false
		for _, k := range c.Keys[port] {
			null = null || s.columns[port][k].Null(row)
		}
		if !null {
			certain = max(t, t+[2]int64{c.Upper, -c.Lower}[port])
		}
		if port == 0 {
			emit(row, -1, certain)
		} else {
			emit(-1, row, certain)
		}
	}
	for port := range 2 {
		for _, row := range live[port] {
			if met[port][row] {
				continue
			}
			if c.Kind == join.Full || c.Kind == join.Left && port == 0 || c.Kind == join.Right && port == 1 || c.Kind == join.Anti && port == 0 {
				alone(port, row)
			}
		}
	}
	return out, late, lates, noTime
}

func TestInterval(t *testing.T) {
	t.Parallel()
	bounds := [][2]int64{{-2 * second, 3 * second}, {0, 2 * second}, {second, 4 * second}, {-5 * second, -second}}
	for i, kind := range kinds {
		for k, keys := range keySets {
			if spared(i, k) {
				continue
			}
			b := bounds[(i+k)%len(bounds)]
			if k == 0 {
				b = bounds[0]
			}
			name := fmt.Sprintf("%v/%d keys/%d..%d", kind, len(keys[0]), b[0], b[1])
			t.Run(name, func(t *testing.T) {
				s := newStream(t, uint64(10*i+k), 80, 3)
				s.event(testkit.Event{End: 1 + i%2})
				s.event(testkit.Event{Watermark: core.MaxTime})
				c := join.IntervalConfig{Config: join.Config{Kind: kind, Keys: keys, Output: bothSides(kind)}, Lower: b[0], Upper: b[1], Time: "event time"}
				if (i+k)%2 == 0 {
					c.Residual = condition(t, s)
				}
				output, err := c.Schema(s.schemas[0], s.schemas[1])
				if err != nil {
					t.Fatal(err)
				}
				want, late, lates, noTime := intervalOracle(s, &c)
				if len(want) == 0 || lates+noTime == 0 {
					t.Fatalf("%d rows, %d late: the test is too easy", len(want), lates)
				}
				h := s.harness(t, keys, output, func() core.Operator { return join.NewInterval(c) })
				h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
					same(t, "result", rowsOf(log.Emitted), want)
					var aside []string
					for port, list := range log.Sides {
						for _, e := range list {
							aside = append(aside, fmt.Sprint(port, e.Row))
						}
					}
					same(t, "late", aside, late)
					if log.Count.Late != lates || log.Count.NoTime != noTime {
						t.Errorf("%d late, %d without time: want %d, %d", log.Count.Late, log.Count.NoTime, lates, noTime)
					}
					if log.Rows != 0 {
						t.Errorf("%d rows of state are left", log.Rows)
					}
					for i, w := range watermarks(h, log) {
						row := log.Emitted[i].Row
						at, err := strconv.ParseInt(strings.Trim(row[strings.LastIndex(row, "|")+1:], " ()"), 10, 64)
						if err != nil {
							t.Fatal(err)
						}
						if at <= int64(w) {
							t.Fatalf("%s was emitted behind the watermark %d", row, int64(w))
						}
					}
				})
			})
		}
	}
}
