package property

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// joinJob is a join of two streams.
type joinJob struct {
	kind   string // inner, left, right, full, semi, anti
	way    string // interval, window, temporal, regular
	keys   []string
	where  int64 // va + vb > where; never: no condition
	before int64 // of the interval, µs
	after  int64
	w      *windows // of the window join

	sides   [2][]*row // rows that count, in an order in which they may come
	dropped int       // rows that are late
	want    []string
}

var joinKinds = []string{"inner", "left", "right", "full", "semi", "anti"}

func newJoin(r *rand.Rand, t times, way string) *joinJob {
	j := &joinJob{way: way, kind: joinKinds[r.IntN(len(joinKinds))], keys: [][]string{{"k"}, {"k"}, {"k", "g"}}[r.IntN(3)], where: never}
	if r.IntN(3) == 0 && j.kind != "semi" && j.kind != "anti" {
		j.where = r.Int64N(20)
	}
	switch way {
	case "interval":
		j.before, j.after = t.some(r, 4*t.unit), t.some(r, 4*t.unit)
		switch r.IntN(5) {
		case 0:
			j.before = 0
		case 1:
			j.after = 0
		}
	case "window":
		for j.w = newWindows(r, t); j.w.kind == "sessionRow" || j.w.zone != ""; {
			j.w = newWindows(r, t)
		}
	case "temporal":
		j.kind = []string{"inner", "left"}[r.IntN(2)]
	}
	return j
}

// equal reports whether keys are equal: null is equal to nothing.
func (j *joinJob) equal(l, r *row) bool {
	for _, k := range j.keys {
		if k == "k" && (l.k == "" || l.k != r.k) || k == "g" && l.g != r.g {
			return false
		}
	}
	return true
}

// meets is the further condition.
func (j *joinJob) meets(l, r *row) bool {
	return j.where == never || l.v != never && r.v != never && l.v+r.v > j.where
}

// pairs makes the result of two groups of rows, where near says which are close enough; suffix ends each row.
func (j *joinJob) pairs(left, right []*row, near func(l, r *row) bool, suffix func(l, r *row) string) {
	met := map[*row]bool{}
	for _, l := range left {
		for _, r := range right {
			if !j.equal(l, r) || !j.meets(l, r) || !near(l, r) {
				continue
			}
			met[r] = true
			if !met[l] && j.kind == "semi" {
				j.want = append(j.want, fmt.Sprint(l.id, suffix(l, nil)))
			}
			met[l] = true
			if j.kind != "semi" && j.kind != "anti" {
				j.want = append(j.want, fmt.Sprint(l.id, "|", r.id, suffix(l, r)))
			}
		}
	}
	for _, l := range left {
		switch {
		case met[l]:
		case j.kind == "anti":
			j.want = append(j.want, fmt.Sprint(l.id, suffix(l, nil)))
		case j.kind == "left" || j.kind == "full":
			j.want = append(j.want, fmt.Sprint(l.id, "|", suffix(l, nil)))
		}
	}
	for _, r := range right {
		if !met[r] && (j.kind == "right" || j.kind == "full") {
			j.want = append(j.want, fmt.Sprint("|", r.id, suffix(nil, r)))
		}
	}
}

func nothing(*row, *row) string { return "" }

// timed are the rows that have a time.
func timed(rows []*row) []*row {
	return slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return r.ts == never })
}

// run is the oracle: every row of one side against every row of the other.
func (j *joinJob) run() {
	left, right := j.sides[0], j.sides[1]
	switch j.way {
	case "interval":
		j.pairs(timed(left), timed(right), func(l, r *row) bool { return r.ts >= l.ts-j.before && r.ts <= l.ts+j.after }, nothing)
	case "regular":
		j.pairs(left, right, func(*row, *row) bool { return true }, nothing)
	case "temporal":
		j.pairs(timed(left), timed(right), func(l, r *row) bool {
			for _, x := range right { // r is the latest version that is not later than l
				if x.ts != never && j.equal(l, x) && x.ts <= l.ts && x.ts > r.ts {
					return false
				}
			}
			return r.ts <= l.ts
		}, nothing)
	case "window":
		j.runWindows()
	}
}

// runWindows joins the rows of each window.
func (j *joinJob) runWindows() {
	groups := map[span][2][]*row{}
	for side, rows := range j.sides {
		for _, x := range timed(rows) {
			for _, s := range j.spans(x) {
				if j.w.closed(s, x.low) {
					continue // paced input: determined
				}
				g := groups[s]
				g[side] = append(g[side], x)
				groups[s] = g
			}
		}
	}
	for s, g := range groups {
		j.pairs(g[0], g[1], func(*row, *row) bool { return true }, func(l, r *row) string {
			for _, x := range []*row{l, r} {
				if x != nil && x.k == "" && j.w.session() {
					return "||" // sessions are those of a key, and null is none: what the bounds of its rows are is not said
				}
			}
			return "|" + milliseconds(s.start) + "|" + milliseconds(s.end)
		})
	}
}

// spans are the windows of a row; a session has the rows of its key from both sides.
func (j *joinJob) spans(x *row) []span {
	if !j.w.session() {
		return j.w.assign(x)
	}
	s := span{x.ts, x.ts + j.w.size}
	for grown := true; grown; {
		grown = false
		for _, rows := range j.sides {
			for _, y := range timed(rows) {
				if y.k != x.k || slices.Contains(j.keys, "g") && y.g != x.g || y.ts > s.end || y.ts+j.w.size < s.start {
					continue
				}
				if y.ts < s.start || y.ts+j.w.size > s.end {
					s.start, s.end, grown = min(s.start, y.ts), max(s.end, y.ts+j.w.size), true
				}
			}
		}
	}
	return []span{s}
}

// stream writes the two sides and the join. Sources go to the sides in turn.
func (j *joinJob) stream(b *strings.Builder, sources []*source) {
	for side, name := range []string{"a", "b"} {
		var from []string
		for i, s := range sources {
			if i%2 == side {
				from = append(from, s.name)
			}
		}
		fmt.Fprintf(b, "  %s: {from: [%s], select: {id%s: id, k%s: k, g%s: g, t%s: ts, v%s: v}}\n", name, strings.Join(from, ", "), name, name, name, name, name)
	}
	var on []string
	for _, k := range j.keys {
		on = append(on, k+"a: "+k+"b")
	}
	fmt.Fprintf(b, "  joined:\n    join:\n      left: a\n      right: b\n      type: %s\n      on: {%s}\n", j.kind, strings.Join(on, ", "))
	switch j.way {
	case "interval":
		fmt.Fprintf(b, "      within: {before: %s, after: %s}\n", duration(j.before), duration(j.after))
	case "temporal":
		b.WriteString("      as-of: true\n")
	case "window":
		var w strings.Builder
		(&windows{kind: j.w.kind, size: j.w.size, slide: j.w.slide, offset: j.w.offset}).yaml(&w)
		b.WriteString("  " + w.String())
	}
	if j.where != never {
		fmt.Fprintf(b, "      where: va + vb > %d\n", j.where)
	}
	var names []string
	for _, c := range j.layout() {
		names = append(names, c.name+": ")
	}
	fmt.Fprintf(b, "  result: {from: joined, select: {%s}}\n", strings.Join(names, ", "))
}

func (j *joinJob) layout() []column {
	out := []column{{name: "ida", kind: 'v'}}
	if j.kind != "semi" && j.kind != "anti" {
		out = append(out, column{name: "idb", kind: 'v'})
	}
	if j.way == "window" {
		out = append(out, column{name: "window_start", kind: 't'}, column{name: "window_end", kind: 't'})
	}
	return out
}

// finish makes the sink and the check.
func (j *joinJob) finish(r *rand.Rand, s *scenario) {
	var b strings.Builder
	j.stream(&b, s.sources)
	s.streams = b.String()
	out := &sink{from: "result", format: []string{"json", "csv"}[r.IntN(2)], columns: j.layout()}
	// A result that comes before all partners are known is taken back later: then the file has the changes.
	if out.rowKind = j.way == "regular" && j.kind != "inner" && j.kind != "semi"; out.rowKind {
		out.format = "json"
		out.columns = append(out.columns, column{name: "op", kind: 'v'})
	}
	s.sinks = map[string]*sink{"out": out}
	s.what += fmt.Sprintf(" %s join, %s", j.way, j.kind)
	if j.w != nil {
		s.what += ", " + j.w.kind
	}
	j.run()
	s.tell = func(add func(string, int)) {
		add("joined", len(j.want))
		add("late in joins", j.dropped)
	}
	s.check = func(out map[string][]string, complete bool) error {
		got := out["out"]
		if s.sinks["out"].rowKind {
			var err error
			if got, err = applied(got); err != nil || !complete {
				return err // changes of one row may be in several files, of which some are visible
			}
		}
		if j.w != nil && j.w.session() {
			got = slices.Clone(got)
			for i := range got {
				got[i] = j.withoutBounds(got[i])
			}
		}
		return same("joined rows", got, j.want, complete)
	}
}

// withoutBounds takes the bounds from rows of sessions whose key is null.
func (j *joinJob) withoutBounds(text string) string {
	f := strings.Split(text, "|")
	for side, rows := range j.sides {
		if side == 1 && (j.kind == "semi" || j.kind == "anti") {
			break
		}
		for _, x := range rows {
			if x.k == "" && f[side] == fmt.Sprint(x.id) {
				f[len(f)-1], f[len(f)-2] = "", ""
				return strings.Join(f, "|")
			}
		}
	}
	return text
}

// applied is what a changelog comes to. The last field of a row is its kind.
func applied(rows []string) (out []string, err error) {
	count := map[string]int{}
	for _, text := range rows {
		at := strings.LastIndex(text, "|")
		switch kind := text[at+1:]; kind {
		case "+I", "+U":
			count[text[:at]]++
		case "-D", "-U":
			count[text[:at]]--
		default:
			return nil, fmt.Errorf("a row of kind %q", kind)
		}
	}
	for text, n := range count {
		for ; n > 0; n-- {
			out = append(out, text)
		}
		if n < 0 {
			out = append(out, "taken back, but never there: "+text)
		}
	}
	return out, nil
}

// sidesOf are the rows of both sides.
func (j *joinJob) sidesOf(sources []*source) {
	for i, s := range sources {
		for k := range s.rows {
			j.sides[i%2] = append(j.sides[i%2], &s.rows[k])
		}
	}
}

// oneVersion takes the time from versions that have another one's key and time: which of them counts depends on which comes later.
func (j *joinJob) oneVersion() {
	for i, x := range j.sides[1] {
		for _, y := range j.sides[1][:i] {
			if x.ts == y.ts && j.equal(x, y) {
				x.ts = never
			}
		}
	}
}

// freeJoin is a join of any sources, of which no row is late.
func freeJoin(r *rand.Rand, s *scenario, dir string) error {
	s.what = "free"
	t, d := newTimes(r), newDomain(r)
	newSettings(r, s, 0)
	for i := range 2 + r.IntN(2) {
		s.sources = append(s.sources, newSource(r, t, d, i, 30+r.IntN(200), false))
	}
	j := newJoin(r, t, []string{"interval", "window", "temporal", "regular"}[r.IntN(4)])
	j.sidesOf(s.sources)
	if j.way == "temporal" {
		j.oneVersion()
	}
	for _, src := range s.sources {
		if err := src.write(dir); err != nil {
			return err
		}
	}
	s.steps = freeSteps(r, s.sources)
	newLegs(r, s)
	j.finish(r, s)
	return nil
}

// pacedJoin is a join with late rows, which do not take part.
func pacedJoin(r *rand.Rand, s *scenario, dir string) error {
	s.what, s.replays = "paced", true
	t, d := newTimes(r), newDomain(r)
	batch := []int{1, 2, 5, 8}[r.IntN(4)]
	newSettings(r, s, batch)
	j := newJoin(r, t, []string{"interval", "window"}[r.IntN(2)])
	for j.w != nil && j.w.session() {
		j = newJoin(r, t, "window")
	}
	judge := newOracle(&windows{kind: "global"})
	if j.w != nil {
		judge = newOracle(j.w)
	}
	p := newPaced(r, t, d, 2+r.IntN(2), batch, func(x *row, safe int64) {
		if !judge.determined(x) || j.w == nil && x.ts <= x.high && x.ts > x.low {
			x.ts = safe
		}
	})
	for i, src := range p.sources {
		for k := range src.rows {
			x := &src.rows[k]
			if j.w == nil && x.ts != never && x.ts <= x.low {
				j.dropped++
				continue
			}
			j.sides[i%2] = append(j.sides[i%2], x)
		}
	}
	s.sources = p.sources
	for _, src := range s.sources {
		if err := src.write(dir); err != nil {
			return err
		}
	}
	s.steps = p.steps()
	newLegs(r, s)
	j.finish(r, s)
	return nil
}
