package join_test

import (
	"fmt"
	"slices"
	"testing"

	"turbo/core"
	"turbo/core/ops/join"
	"turbo/internal/testkit"
)

// temporalOracle keeps all versions in a list and looks through it for each left row when the watermark has passed.
func temporalOracle(s *stream, c *join.TemporalConfig) (out, late []string, left int) {
	type version struct {
		key  string
		time int64
		row  int
		end  bool
	}
	var versions []version
	var waiting []int
	watermark := int64(core.MinTime)
	for _, a := range s.arrivals {
		if a.watermark != 0 {
			watermark = int64(a.watermark)
			var rest []int
			for _, l := range waiting {
				t, _ := s.time(0, l)
				if t > watermark {
					rest = append(rest, l)
					continue
				}
				key, null := s.key(c.Keys[0], 0, l)
				var best *version
				for i := range versions {
					v := &versions[i]
					if !null && v.key == key && v.time <= t && (best == nil || v.time >= best.time) {
						best = v
					}
				}
				if best != nil && !best.end && (c.Residual == nil || s.residual(l, best.row)) {
					out = append(out, s.render(c.Output, l, best.row))
				} else if c.Kind == join.Left {
					out = append(out, s.render(c.Output, l, -1))
				}
			}
			waiting = rest
			// What no row can meet any more.
			var kept []version
			for i, v := range versions {
				newest := v.time <= watermark
				for k, w := range versions {
					if w.key == v.key && w.time <= watermark && (w.time > v.time || w.time == v.time && k > i) {
						newest = false
					}
				}
				if v.time > watermark || newest && !v.end {
					kept = append(kept, v)
				}
			}
			versions = kept
			continue
		}
		aside := func() { late = append(late, fmt.Sprint(a.port, testkit.FormatRow(s.columns[a.port], a.row))) }
		t, ok := s.time(a.port, a.row)
		if !ok {
			aside()
			continue
		}
		key, null := s.key(c.Keys[a.port], a.port, a.row)
		if a.port == 0 {
			if t <= watermark {
				aside()
			} else {
				waiting = append(waiting, a.row)
			}
			continue
		}
		kind := core.Insert
		if s.kinds[1] != nil {
			kind = s.kinds[1][a.row]
		}
		if null || kind == core.UpdateBefore {
			continue
		}
		outdated := false
		for _, v := range versions {
			outdated = outdated || v.key == key && v.time > t && v.time <= watermark
		}
		if outdated {
			aside()
			continue
		}
		if t <= watermark { // it takes effect at once
			versions = slices.DeleteFunc(versions, func(v version) bool { return v.key == key && v.time <= t })
			if kind == core.Delete {
				continue
			}
		}
		versions = append(versions, version{key, t, a.row, kind == core.Delete})
	}
	return out, late, len(versions)
}

func TestTemporal(t *testing.T) {
	t.Parallel()
	for i, kind := range []join.Kind{join.Inner, join.Left} {
		for k, keys := range keySets {
			for _, changelog := range []bool{false, true} {
				if spared(i, k) {
					continue
				}
				t.Run(fmt.Sprintf("%v/%d keys/changelog=%v", kind, len(keys[0]), changelog), func(t *testing.T) {
					s := newStream(t, uint64(400+10*i+k), 80, 3)
					s.event(testkit.Event{End: 2})
					s.event(testkit.Event{Watermark: core.MaxTime})
					if changelog {
						left := s.schemas[0]
						s.withdraw(uint64(k))
						s.schemas[0], s.kinds[0] = left, nil
					}
					c := join.TemporalConfig{Config: join.Config{Kind: kind, Keys: keys, Output: bothSides(kind)}}
					if k == 1 {
						c.Residual = condition(t, s)
					}
					output, err := c.Schema(s.schemas[0], s.schemas[1])
					if err != nil {
						t.Fatal(err)
					}
					want, late, left := temporalOracle(s, &c)
					if len(want) < 2 || len(late) == 0 {
						t.Fatalf("%d rows, %d late: the test is too easy", len(want), len(late))
					}
					h := s.harness(t, keys, output, func() core.Operator { return join.NewTemporal(c) })
					h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
						same(t, "result", rowsOf(log.Emitted), want)
						var aside []string
						for port, list := range log.Sides {
							for _, e := range list {
								aside = append(aside, fmt.Sprint(port, e.Row))
							}
						}
						same(t, "late", aside, late)
						if log.Rows != left {
							t.Errorf("%d rows of state are left, want %d: the newest version of each key", log.Rows, left)
						}
					})
				})
			}
		}
	}
}
