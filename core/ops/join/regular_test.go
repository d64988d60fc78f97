package join_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/ops/join"
	"turbo/internal/testkit"
)

// withdraw makes changelogs of the inputs: some rows take back an earlier one of their port, or one that never was.
func (s *stream) withdraw(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	for port := range 2 {
		n := s.columns[port][0].Len()
		var there []int
		for row := range n {
			kind := core.Insert
			if k := rng.IntN(10); len(there) > 0 && k < 4 {
				i := rng.IntN(len(there))
				for c, v := range s.columns[port] {
					fresh := core.NewVector(account, v.Type, n)
					fresh.AppendRange(v, 0, row)
					fresh.AppendRow(v, there[i])
					fresh.AppendRange(v, row+1, n-row-1)
					v.Release()
					s.columns[port][c] = fresh
				}
				there = slices.Delete(there, i, i+1)
				kind = core.Delete
				if k == 0 {
					kind = core.UpdateBefore
				}
			} else {
				if k == 4 {
					kind = core.UpdateAfter
				}
				there = append(there, row)
			}
			s.kinds[port] = append(s.kinds[port], kind)
		}
		schema := *s.schemas[port]
		schema.Changelog = true
		s.schemas[port] = &schema
	}
}

type keptRow struct {
	row, partners int
	wrote         int64
}

// regularOracle is the algorithm row by row, with lists.
func regularOracle(s *stream, c *join.RegularConfig) (out []string) {
	var kept [2][]*keptRow
	now := int64(0)
	kind := c.Kind
	alone := [2]bool{kind == join.Left || kind == join.Full, kind == join.Right || kind == join.Full}
	emit := func(k core.RowKind, l, r int) { out = append(out, k.String()+" "+s.render(c.Output, l, r)) }
	lone := func(k core.RowKind, port, row int) {
		if port == 0 {
			emit(k, row, -1)
		} else {
			emit(k, -1, row)
		}
	}
	for _, a := range s.arrivals {
		if a.clock != 0 {
			now = int64(a.clock)
		}
		if a.watermark != 0 || a.clock != 0 {
			continue
		}
		back := s.kinds[a.port] != nil && (s.kinds[a.port][a.row] == core.Delete || s.kinds[a.port][a.row] == core.UpdateBefore)
		k, anti := core.Insert, core.Delete
		if back {
			k, anti = core.Delete, core.Insert
		}
		o := 1 - a.port
		partners := 0
		for _, x := range kept[o] {
			l, r := a.row, x.row
			if a.port == 1 {
				l, r = r, l
			}
			if c.TTL[o] > 0 && x.wrote+c.TTL[o].Microseconds() <= now || !s.equal(c.Keys, l, r) || c.Residual != nil && !s.residual(l, r) {
				continue
			}
			partners++
			before := x.partners
			if back {
				x.partners = max(x.partners-1, 0)
			} else {
				x.partners++
			}
			first := !back && before == 0 || back && x.partners == 0
			if kind < join.Semi {
				emit(k, l, r)
				if alone[o] && first {
					lone(anti, o, x.row)
				}
			} else if a.port == 1 && first {
				if kind == join.Semi {
					emit(k, x.row, -1)
				} else {
					emit(anti, x.row, -1)
				}
			}
		}
		if partners == 0 && (alone[a.port] || kind == join.Anti && a.port == 0) || partners > 0 && kind == join.Semi && a.port == 0 {
			lone(k, a.port, a.row)
		}
		if _, null := s.key(c.Keys[a.port], a.port, a.row); null {
			continue
		}
		if !back {
			kept[a.port] = append(kept[a.port], &keptRow{a.row, partners, now})
			continue
		}
		for i, x := range kept[a.port] {
			if c.TTL[a.port] > 0 && x.wrote+c.TTL[a.port].Microseconds() <= now {
				continue
			}
			same := testkit.FormatRow(s.columns[a.port], x.row) == testkit.FormatRow(s.columns[a.port], a.row)
			if same {
				kept[a.port] = slices.Delete(kept[a.port], i, i+1)
				break
			}
		}
	}
	return out
}

func everyColumn(kind join.Kind) (out []join.Column) {
	for i, name := range []string{"a", "b", "c", "d"} {
		out = append(out, join.Column{Side: 0, Index: i, Name: name})
	}
	for i, name := range []string{"e", "f", "g", "h", "i"} {
		if kind <= join.Full {
			out = append(out, join.Column{Side: 1, Index: i, Name: name})
		}
	}
	return out
}

func TestRegular(t *testing.T) {
	t.Parallel()
	for i, kind := range kinds {
		for k, name := range []string{"append", "changelog", "ttl", "changelog and ttl"} {
			if spared(i, k) {
				continue
			}
			keys := keySets[(i+k)%2]
			if i == 3 {
				keys = keySets[2]
			}
			t.Run(fmt.Sprintf("%v/%s", kind, name), func(t *testing.T) {
				s := newStream(t, uint64(300+10*i+k), 50, 2)
				for e := range s.events { // the clock goes instead of the watermark
					s.events[e] = testkit.Event{After: s.events[e].After, Clock: core.Time(1000 * (e + 1))}
				}
				e := 0
				for a := range s.arrivals {
					if s.arrivals[a].watermark != 0 {
						e++
						s.arrivals[a] = arrival{clock: core.Time(1000 * e)}
					}
				}
				s.event(testkit.Event{Clock: core.Time(10_000_000)})
				if k%2 == 1 {
					s.withdraw(uint64(i))
				}
				c := join.RegularConfig{Config: join.Config{Kind: kind, Keys: keys, Output: everyColumn(kind)}}
				if k >= 2 {
					c.TTL = [2]time.Duration{3 * time.Millisecond, 2 * time.Millisecond}
				}
				if (i+k/2)%2 == 0 {
					c.Residual = condition(t, s)
				}
				output, err := c.Schema(s.schemas[0], s.schemas[1])
				if err != nil {
					t.Fatal(err)
				}
				want := regularOracle(s, &c)
				if len(want) == 0 {
					t.Fatalf("%d rows: the test is too easy", len(want))
				}
				h := s.harness(t, keys, output, func() core.Operator { return join.NewRegular(c) })
				h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
					var got []string
					there := map[string]int{}
					for _, e := range log.Emitted {
						got = append(got, e.Kind.String()+" "+e.Row)
						if e.Kind == core.Insert {
							there[e.Row]++
						} else if there[e.Row]--; there[e.Row] < 0 && k == 0 {
							t.Errorf("%s is taken back before it was there", e.Row)
						}
					}
					same(t, "result", got, want)
					if k >= 2 && log.Rows > 0 {
						t.Errorf("%d rows of state are left", log.Rows)
					}
				})
			})
		}
	}
}
