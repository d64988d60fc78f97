package property

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// arrivals are times in ascending order, with silences now and then.
func arrivals(r *rand.Rand, t times, n int) []int64 {
	out := make([]int64, n)
	at := t.begin
	for i := range out {
		at += r.Int64N(2 * t.pace)
		if r.IntN(25) == 0 {
			at += t.unit * r.Int64N(6)
		}
		out[i] = at
	}
	return out
}

// newSource makes a source whose rows are not late: free or ordered input.
func newSource(r *rand.Rand, t times, d domain, number, n int, ordered bool) *source {
	s := &source{name: fmt.Sprint("s", number), format: []string{"json", "csv"}[r.IntN(2)], connector: "file", files: []int{n}, delay: t.delay + t.slack}
	id := int64(number) * 1_000_000
	if !ordered && r.IntN(5) == 0 { // served out of order by the connector
		s.connector = "replay"
		inOrder := t
		inOrder.delay = 0
		for i, a := range arrivals(r, t, n) {
			s.rows = append(s.rows, d.make(r, inOrder, id+int64(i), number, a))
		}
		return s
	}
	for i, a := range arrivals(r, t, n) {
		s.rows = append(s.rows, d.make(r, t, id+int64(i), number, a))
	}
	if ordered {
		return s
	}
	switch r.IntN(3) {
	case 0: // some files: each is later than those before it, as one worker may read several
		s.files = nil
		for left := n; left > 0; {
			k := min(left, 1+r.IntN(n/2+1))
			s.files = append(s.files, k)
			left -= k
		}
	case 1:
		s.split = 500 + r.IntN(5000)
	}
	return s
}

// yaml writes a source.
func (s *source) yaml(b *strings.Builder, dir string, batchRows int) {
	fmt.Fprintf(b, "  %s:\n    connector: %s\n    path: %s/%s\n", s.name, s.connector, dir, s.name)
	switch {
	case s.format == "csv" && s.split > 0:
		fmt.Fprintf(b, "    format: {type: csv, quote: none}\n    split-size: %d\n", s.split)
	case s.split > 0:
		fmt.Fprintf(b, "    format: json\n    split-size: %d\n", s.split)
	default:
		fmt.Fprintf(b, "    format: %s\n    split: never\n", s.format)
	}
	if s.connector == "replay" {
		fmt.Fprintf(b, "    time: ts\n    max-serving-delay: %s\n", duration(s.delay))
	}
	fmt.Fprintf(b, "    schema: %s\n    watermark: {column: ts, max-out-of-orderness: %s}\n", schema, duration(s.delay))
}

// freeSteps lets each file go on by itself, in a few steps.
func freeSteps(r *rand.Rand, sources []*source) []step {
	steps := make([]step, 3+r.IntN(3))
	for i := range steps {
		steps[i] = step{Limits: map[string]int64{}, Watermark: never}
	}
	for _, s := range sources {
		for f, path := range s.paths {
			ends := s.ends[f]
			cuts := make([]int, len(steps)-1)
			for i := range cuts {
				cuts[i] = r.IntN(len(ends))
			}
			slices.Sort(cuts)
			for i, c := range cuts {
				if c > 0 { // never the last row: there is input left until the last step
					steps[i].Limits[path] = ends[c-1]
				}
			}
			steps[len(steps)-1].Limits[path] = ever
		}
	}
	return steps
}

// paced is input whose rows may be late, in segments.
type paced struct {
	sources []*source
	marks   []int64 // by segment: the watermark that follows from it and those before
	cuts    [][]int // by segment and source: rows up to its end
}

// newPaced makes paced input. batch is engine.batch-rows: a segment is whole batches of it, since a source hands over full ones.
// settle is called for each row, in an order in which they may come, with its bounds set; it may move the row's time to safe, which is at or before the latest
// one of the source so far.
func newPaced(r *rand.Rand, t times, d domain, number, batch int, settle func(x *row, safe int64)) *paced {
	p := &paced{}
	segments := 3 + r.IntN(3)
	latest := make([]int64, number) // of each source
	clock := make([]int64, number)
	ids := int64(0)
	for i := range number {
		p.sources = append(p.sources, &source{name: fmt.Sprint("s", i), format: []string{"json", "csv"}[r.IntN(2)], connector: "file", delay: t.delay + t.slack, batch: batch})
		latest[i], clock[i] = never, t.begin
	}
	mark := func(latest int64, delay int64) int64 {
		if latest == never {
			return never
		}
		return latest - delay - 1
	}
	low := int64(never)
	for segment := range segments {
		var cut []int
		for i, s := range p.sources {
			n := batch * max(1, (10+r.IntN(40))/batch)
			for range n {
				clock[i] += r.Int64N(2 * t.pace)
				if r.IntN(25) == 0 {
					clock[i] += t.unit * r.Int64N(6)
				}
				x := d.make(r, t, ids, i, clock[i])
				ids++
				if x.ts != never && r.IntN(6) == 0 {
					x.ts -= t.some(r, 8*t.unit)
				}
				// What the source's own rows before this one say bounds the watermark from above. Those of the other sources may have come all, or have ended.
				x.low, x.high = low, max(low, mark(latest[i], s.delay))
				if x.ts != never {
					safe := latest[i]
					if safe == never {
						safe = x.ts
					}
					settle(&x, safe)
					latest[i] = max(latest[i], x.ts)
				} else {
					settle(&x, never)
				}
				s.rows = append(s.rows, x)
			}
			cut = append(cut, len(s.rows))
		}
		low = ever
		for i, s := range p.sources {
			low = min(low, mark(latest[i], s.delay))
		}
		p.cuts, p.marks = append(p.cuts, cut), append(p.marks, low)
		_ = segment
		for i := range clock { // sources go on together
			clock[i] = max(clock[i], slices.Max(clock)-t.delay)
		}
	}
	for _, s := range p.sources {
		s.files = []int{len(s.rows)}
	}
	return p
}

// steps are the segments.
func (p *paced) steps() []step {
	out := make([]step, len(p.cuts))
	for i, cut := range p.cuts {
		out[i] = step{Limits: map[string]int64{}, Watermark: p.marks[i]}
		for j, s := range p.sources {
			s.limits(out[i].Limits, cut[j], i == len(p.cuts)-1)
		}
	}
	return out
}
