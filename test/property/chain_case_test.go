package property

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// freeSources makes sources of which no row is late, and writes them.
func freeSources(r *rand.Rand, s *scenario, t times, d domain, dir string, number int, ordered bool) error {
	for i := range number {
		src := newSource(r, t, d, i, 60+r.IntN(500), ordered)
		if err := src.write(dir); err != nil {
			return err
		}
		s.sources = append(s.sources, src)
	}
	s.steps = freeSteps(r, s.sources)
	newLegs(r, s)
	return nil
}

func (s *scenario) all() (rows []*row) {
	for _, src := range s.sources {
		for i := range src.rows {
			rows = append(rows, &src.rows[i])
		}
	}
	return rows
}

func (s *scenario) from() string {
	var names []string
	for _, src := range s.sources {
		names = append(names, src.name)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// deduplicated is a job that keeps the first row of each key, and counts what it kept by windows.
func deduplicated(r *rand.Rand, s *scenario, dir string) error {
	s.what = "ordered deduplicate"
	t, d := newTimes(r), newDomain(r)
	d.nullT = 0 // a row without a time counts as one of the watermark's
	newSettings(r, s, 0)
	if err := freeSources(r, s, t, d, dir, 1, true); err != nil {
		return err
	}
	keys := allKeys[r.IntN(3)]
	ttl := t.unit * (1 + r.Int64N(8))
	var kept []*row
	until := map[string]int64{}
	key := windows{keys: keys}
	for _, x := range s.all() {
		if end, is := until[key.keyOf(x)]; is && x.ts < end {
			continue
		}
		until[key.keyOf(x)] = x.ts + ttl
		kept = append(kept, x)
	}
	j := &windowJob{w: newWindows(r, t), columns: newColumns(r, true, false), exact: true}
	j.want = newOracle(j.w)
	for _, x := range kept {
		j.want.add(x)
	}
	j.want.advance(ever)
	s.streams = fmt.Sprintf("  kept: {from: %s, deduplicate: {key: [%s], ttl: %s}}\n  ids: {from: kept, select: {id: }}\n", s.from(), strings.Join(keys, ", "), duration(ttl))
	var b strings.Builder
	j.stream(&b, []*source{{name: "kept"}})
	s.streams += b.String()
	s.sinks = map[string]*sink{"out": {from: "result", format: "json", columns: j.layout()}, "kept": {from: "ids", format: "csv", columns: []column{{name: "id", kind: 'v'}}}}
	s.tell = func(add func(string, int)) { add("deduplicated", len(s.all())-len(kept)) }
	s.check = func(out map[string][]string, complete bool) error {
		var want []string
		for _, x := range kept {
			want = append(want, fmt.Sprint(x.id))
		}
		if err := same("kept rows", out["kept"], want, complete); err != nil {
			return err
		}
		return j.check(out["out"], complete)
	}
	return nil
}

// running is a job with running aggregates of filtered rows. In which order rows of several splits are counted is open: each number of rows comes once, and
// the last result has all of them.
func running(r *rand.Rand, s *scenario, dir string) error {
	s.what = "free running aggregate"
	newSettings(r, s, 0)
	if err := freeSources(r, s, newTimes(r), newDomain(r), dir, 1+r.IntN(3), false); err != nil {
		return err
	}
	key := windows{keys: allKeys[r.IntN(4)]}
	columns := newColumns(r, false, false)
	everyRow := r.IntN(2) == 0
	groups := map[string][]*row{}
	for _, x := range s.all() {
		if x.g != 1 || x.v > 3 { // v is null: not true
			groups[key.keyOf(x)] = append(groups[key.keyOf(x)], x)
		}
	}
	s.streams = fmt.Sprintf("  some: {from: %s, filter: g <> 1 OR v > 3}\n  result:\n    from: some\n    key-by: [%s]\n%s", s.from(), strings.Join(key.keys, ", "), aggregateBlock(columns))
	if everyRow {
		s.streams += "    emit: every-row\n"
	}
	var layout []column
	for _, k := range key.keys {
		layout = append(layout, column{name: k, kind: 'v'})
	}
	s.sinks = map[string]*sink{"out": {from: "result", format: []string{"json", "csv"}[r.IntN(2)], columns: append(layout, columns...)}}
	s.tell = func(add func(string, int)) { add("groups", len(groups)) }
	s.check = func(out map[string][]string, complete bool) error {
		seen := map[string]map[int]string{}
		for _, text := range out["out"] {
			f := strings.Split(text, "|")
			k := strings.Join(f[:len(key.keys)], "|")
			n, err := strconv.Atoi(f[len(key.keys)])
			if err != nil || n < 1 || n > len(groups[k]) || seen[k][n] != "" {
				return fmt.Errorf("a group of %d rows was counted to this number twice, or further than it can be: %s", len(groups[k]), text)
			}
			if seen[k] == nil {
				seen[k] = map[int]string{}
			}
			seen[k][n] = text
		}
		for k, rows := range groups {
			if !complete {
				break
			}
			want := k
			for _, c := range columns {
				want += "|" + c.value(rows)
			}
			if got := seen[k][len(rows)]; got != want {
				return fmt.Errorf("the last result of a group is %q, want %q", got, want)
			}
			if everyRow && len(seen[k]) != len(rows) {
				return fmt.Errorf("the group %q has %d results, want %d", k, len(seen[k]), len(rows))
			}
		}
		return nil
	}
	return nil
}

// nested is windows over windows: the time of a result is the last instant of its window.
func nested(r *rand.Rand, s *scenario, dir string) error {
	s.what = "free windows over windows"
	t, d := newTimes(r), newDomain(r)
	newSettings(r, s, 0)
	if err := freeSources(r, s, t, d, dir, 1+r.IntN(3), false); err != nil {
		return err
	}
	first := &windowJob{w: newWindows(r, t)}
	first.w.keys = allKeys[r.IntN(4)]
	first.all(s.sources)
	var results []row
	for i, f := range first.want.fired {
		x := row{id: int64(i), ts: f.span.end - 1, v: int64(len(f.rows)), low: never, high: never}
		x.k, x.g = f.rows[0].k, f.rows[0].g
		results = append(results, x)
	}
	second := &windowJob{w: newWindows(r, t), exact: true, columns: []column{
		countColumn,
		{"total", "SUM(rows)", 'v', func(rows []*row) string { return fmt.Sprint(sum(values(rows))) }},
		{"most", "MAX(rows)", 'v', func(rows []*row) string {
			most := int64(0)
			for _, x := range rows {
				most = max(most, x.v)
			}
			return fmt.Sprint(most)
		}},
	}}
	for second.w.kind == "sessionRow" {
		second.w = newWindows(r, t)
	}
	if !second.w.session() && second.w.zone == "" {
		second.w.size *= 2
		second.w.slide *= 2
	}
	second.w.keys = [][]string{nil, first.w.keys, first.w.keys[:1]}[r.IntN(3)]
	second.want = newOracle(second.w)
	for i := range results {
		second.want.add(&results[i])
	}
	second.want.advance(ever)
	var b strings.Builder
	fmt.Fprintf(&b, "  inner:\n    from: %s\n", s.from())
	first.w.yaml(&b)
	b.WriteString("    aggregate: {rows: COUNT(*)}\n")
	second.stream(&b, []*source{{name: "inner"}})
	s.streams = b.String()
	s.sinks = map[string]*sink{"out": {from: "result", format: "json", columns: second.layout()}}
	s.what += fmt.Sprintf(", %s over %s", second.w.kind, first.w.kind)
	s.tell = func(add func(string, int)) { add("nested", len(second.want.fired)) }
	s.check = func(out map[string][]string, complete bool) error { return second.check(out["out"], complete) }
	return nil
}

// joinedWindow is windows over a join. A pair of an interval join has the later of both times, one of a window join the last instant of the window.
func joinedWindow(r *rand.Rand, s *scenario, dir string) error {
	t, d := newTimes(r), newDomain(r)
	newSettings(r, s, 0)
	if err := freeSources(r, s, t, d, dir, 2, false); err != nil {
		return err
	}
	j := newJoin(r, t, []string{"interval", "window"}[r.IntN(2)])
	j.kind = "inner"
	j.sidesOf(s.sources)
	var results []row
	add := func(l, x *row, ts int64) {
		results = append(results, row{id: int64(len(results)), k: l.k, g: l.g, ts: ts, v: x.v, low: never, high: never})
	}
	at := "join_time"
	if j.way == "interval" {
		j.pairs(timed(j.sides[0]), timed(j.sides[1]), func(l, x *row) bool { return x.ts >= l.ts-j.before && x.ts <= l.ts+j.after }, func(l, x *row) string {
			add(l, x, max(l.ts, x.ts))
			return ""
		})
	} else {
		at = "window_end"
		for _, l := range timed(j.sides[0]) {
			for _, x := range timed(j.sides[1]) {
				if !j.equal(l, x) || !j.meets(l, x) {
					continue
				}
				for _, w := range j.spans(l) {
					if slices.Contains(j.spans(x), w) {
						add(l, x, w.end-1)
					}
				}
			}
		}
	}
	over := &windowJob{w: newWindows(r, t), exact: true, columns: []column{countColumn, aggregates[1]}}
	for over.w.kind == "sessionRow" {
		over.w = newWindows(r, t)
	}
	over.want = newOracle(over.w)
	for i := range results {
		over.want.add(&results[i])
	}
	over.want.advance(ever)
	var b strings.Builder
	j.stream(&b, s.sources)
	text := b.String()
	b.Reset()
	fmt.Fprintf(&b, "%s  pairs: {from: joined, select: {k: ka, g: ga, v: vb, at: %s}}\n", text[:strings.Index(text, "  result:")], at)
	over.stream(&b, []*source{{name: "pairs"}})
	s.streams = b.String()
	s.sinks = map[string]*sink{"out": {from: "result", format: "json", columns: over.layout()}}
	s.what = fmt.Sprintf("free %s over %s join", over.w.kind, j.way)
	s.tell = func(add func(string, int)) { add("over joins", len(over.want.fired)) }
	s.check = func(out map[string][]string, complete bool) error { return over.check(out["out"], complete) }
	return nil
}
