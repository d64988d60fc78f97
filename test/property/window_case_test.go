package property

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// windowJob is a window over random input, with what it must make.
type windowJob struct {
	w       *windows
	columns []column
	exact   bool // every firing is determined; else see loose
	want    *oracle
}

// text renders a firing as a row of the sink.
func (j *windowJob) text(f firing) string {
	var parts []string
	if len(j.w.keys) > 0 {
		parts = append(parts, f.key)
	}
	if j.w.timed() {
		parts = append(parts, milliseconds(f.span.start), milliseconds(f.span.end))
	}
	parts = append(parts, f.kind)
	for _, c := range j.columns {
		parts = append(parts, c.value(f.rows))
	}
	return strings.Join(parts, "|")
}

// layout is the columns of the window's sink: keys, bounds, kind, aggregates.
func (j *windowJob) layout() (out []column) {
	for _, k := range j.w.keys {
		out = append(out, column{name: k, kind: 'v'})
	}
	if j.w.timed() {
		out = append(out, column{name: "window_start", kind: 't'}, column{name: "window_end", kind: 't'})
	}
	return append(append(out, column{name: "kind", kind: 'v'}), j.columns...)
}

// fields is how many of layout's columns name the window.
func (j *windowJob) fields() int {
	n := len(j.w.keys)
	if j.w.timed() {
		n += 2
	}
	return n
}

// check compares the window's rows.
func (j *windowJob) check(got []string, complete bool) error {
	var want []string
	for _, f := range j.want.fired {
		want = append(want, j.text(f))
	}
	if j.exact {
		return same("firings", got, want, complete)
	}
	return j.loose(got, want, complete)
}

// parts divides a row: the window, the kind, the number of rows, and all of it.
func (j *windowJob) parts(text string) (window, kind string, n int, members string) {
	fields := strings.Split(text, "|")
	k := j.fields()
	n, _ = strconv.Atoi(fields[k+1])
	if last := len(j.columns) - 1; j.columns[last].name == "ids" {
		members = fields[k+1+last]
	}
	return strings.Join(fields[:k], "|"), fields[k], n, members
}

// loose compares what holds in every order of splits, and for every way in which late rows are cut into batches:
//   - final firings are those of the oracle;
//   - an early firing has rows of the final one only. Triggers that count fire at the same numbers of rows as the oracle's; a continuous one has its rows only;
//   - the last late firing of a window has all its rows, and there are no more of them than late rows; a session that grew in the same batch need not speak.
func (j *windowJob) loose(got, want []string, complete bool) error {
	type group struct {
		finals, steps []string
		all           map[string][2]string // of the final firing: number and members
		lates         map[string][]string
	}
	divide := func(rows []string) group {
		g := group{all: map[string][2]string{}, lates: map[string][]string{}}
		for _, text := range rows {
			window, kind, n, members := j.parts(text)
			switch kind {
			case "final":
				g.finals = append(g.finals, text)
				g.all[window] = [2]string{fmt.Sprint(n), members}
			case "early":
				g.steps = append(g.steps, fmt.Sprintf("%s|%d", window, n))
			case "late":
				g.lates[window] = append(g.lates[window], text)
			}
		}
		return g
	}
	g, w := divide(got), divide(want)
	if err := same("final firings", g.finals, w.finals, complete); err != nil {
		return err
	}
	if j.w.trigger != "continuous" {
		if err := same("early firings, by their numbers of rows", g.steps, w.steps, complete); err != nil {
			return err
		}
	}
	for _, text := range got {
		window, kind, n, members := j.parts(text)
		all, is := w.all[window]
		if kind != "early" || j.w.trigger == "count" {
			continue
		}
		most, _ := strconv.Atoi(all[0])
		if !is || n > most {
			return fmt.Errorf("an early firing of a window with %d rows in all: %s", most, text)
		}
		inside := strings.Fields(strings.Trim(all[1], "[]"))
		for _, m := range strings.Fields(strings.Trim(members, "[]")) {
			if !slices.Contains(inside, m) {
				return fmt.Errorf("an early firing with a row that the window does not have at its end: %s", text)
			}
		}
	}
	for window, texts := range g.lates {
		if len(texts) > len(w.lates[window]) {
			return fmt.Errorf("%d late firings of a window with %d late rows: %s", len(texts), len(w.lates[window]), texts[0])
		}
	}
	if !complete {
		return nil
	}
	for window, texts := range w.lates {
		most := func(texts []string) (best string) {
			greatest := -1
			for _, t := range texts {
				if _, _, n, _ := j.parts(t); n > greatest {
					greatest, best = n, t
				}
			}
			return best
		}
		if len(g.lates[window]) == 0 && j.outgrown(window, w.lates) {
			continue
		}
		if a, b := most(g.lates[window]), most(texts); a != b {
			return fmt.Errorf("the last late firing of a window is\n  %s\nwant\n  %s", a, b)
		}
	}
	return nil
}

// outgrown reports whether a session became part of a longer one by a late row: when that was in the same batch, the shorter one has not spoken.
func (j *windowJob) outgrown(window string, lates map[string][]string) bool {
	bounds := func(window string) (key string, s span) {
		f := strings.Split(window, "|")
		n := len(f) - 2
		s.start, _ = strconv.ParseInt(f[n], 10, 64)
		s.end, _ = strconv.ParseInt(f[n+1], 10, 64)
		return strings.Join(f[:n], "|"), s
	}
	key, s := bounds(window)
	for other := range lates {
		if k, o := bounds(other); j.w.session() && k == key && o != s && o.start <= s.start && o.end >= s.end {
			return true
		}
	}
	return false
}

// lateRows compares the output of late rows.
func lateRows(got []string, late []*row, complete bool) error {
	var want []string
	for _, r := range late {
		want = append(want, fmt.Sprint(r.id))
	}
	return same("late rows", got, want, complete)
}

// stream writes the union of the sources and the window over it.
func (j *windowJob) stream(b *strings.Builder, sources []*source) {
	var names []string
	for _, s := range sources {
		names = append(names, s.name)
	}
	fmt.Fprintf(b, "  result:\n    from: [%s]\n", strings.Join(names, ", "))
	j.w.yaml(b)
	b.WriteString(aggregateBlock(j.columns))
}

// finish makes the sinks and the check of a job that is one window.
func (j *windowJob) finish(r *rand.Rand, s *scenario) {
	var b strings.Builder
	j.stream(&b, s.sources)
	s.streams += b.String()
	format := "json"
	if j.columns[len(j.columns)-1].name != "ids" && r.IntN(2) == 0 {
		format = "csv"
	}
	s.sinks = map[string]*sink{"out": {from: "result", format: format, columns: j.layout()}}
	if format == "csv" { // which has the columns in the stream's order: kind is the last one
		s.streams += "  ordered: {from: result, select: {"
		for _, c := range j.layout() {
			s.streams += c.name + ": , "
		}
		s.streams += "}}\n"
		s.sinks["out"].from = "ordered"
	}
	if j.w.late {
		s.streams += "  late_ids: {from: late, select: {id: }}\n"
		s.sinks["late"] = &sink{from: "late_ids", format: "json", columns: []column{{name: "id", kind: 'v'}}}
	}
	s.check = func(out map[string][]string, complete bool) error {
		if err := j.check(out["out"], complete); err != nil {
			return err
		}
		if j.w.late {
			return lateRows(out["late"], j.want.late, complete)
		}
		return nil
	}
	s.tell = func(add func(string, int)) {
		for _, f := range j.want.fired {
			add(f.kind, 1)
		}
		add("late rows", len(j.want.late))
	}
	s.what += " " + j.w.kind
	if j.w.trigger != "" {
		s.what += ", trigger " + j.w.trigger
	}
	if j.w.purging {
		s.what += ", purging"
	}
	if j.w.evictor != "" {
		s.what += ", evictor " + j.w.evictor
	}
	if j.w.lateness > 0 {
		s.what += ", lateness"
	}
}

// all runs the oracle over rows that are not late, and ends it.
func (j *windowJob) all(sources []*source) {
	j.want = newOracle(j.w)
	for _, s := range sources {
		for i := range s.rows {
			j.want.add(&s.rows[i])
		}
	}
	j.want.advance(ever)
}

// freeWindow is a window over any number of sources and splits.
func freeWindow(r *rand.Rand, s *scenario, dir string) error {
	s.what = "free"
	t, d := newTimes(r), newDomain(r)
	newSettings(r, s, 0)
	for i := range 1 + r.IntN(3) {
		s.sources = append(s.sources, newSource(r, t, d, i, 60+r.IntN(500), false))
	}
	j := &windowJob{w: newWindows(r, t)}
	if !j.w.session() {
		j.w.trigger = []string{"", "", "event-time", "early", "multiples", "count", "continuous"}[r.IntN(7)]
	}
	j.w.number, j.w.interval = 1+r.Int64N(20), max(1000, t.unit*(1+r.Int64N(4))/2/1000*1000)
	if r.IntN(4) == 0 {
		j.w.lateness = t.unit * r.Int64N(5) // without effect
	}
	j.w.late = r.IntN(2) == 0
	j.columns = newColumns(r, r.IntN(2) == 0, false)
	j.exact = j.w.trigger == "" || j.w.trigger == "event-time"
	j.all(s.sources)
	return s.free(r, j, dir)
}

// free writes input that is not paced, and the rest of the job.
func (s *scenario) free(r *rand.Rand, j *windowJob, dir string) error {
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

// orderedTriggers picks a window, a trigger and an evictor whose results follow from the order of rows.
func orderedTriggers(r *rand.Rand, t times, j *windowJob) {
	w := j.w
	switch r.IntN(5) {
	case 0:
		w.kind, w.count, w.zone, w.offset = "count", 1+r.Int64N(12), "", 0
	case 1:
		w.kind, w.count, w.every, w.zone, w.offset = "countSliding", 1+r.Int64N(12), 1+r.Int64N(12), "", 0
		return
	case 2:
		w.kind, w.zone, w.offset = "global", "", 0
		w.trigger = []string{"count", "early", "earlySum", "multiples", "multiplesSum", "delta"}[r.IntN(6)]
	default:
		w.trigger = []string{"", "event-time", "count", "early", "earlySum", "multiples", "multiplesSum", "delta", "pulse"}[r.IntN(9)]
		if w.session() && w.trigger == "delta" {
			w.trigger = ""
		}
	}
	if w.kind != "count" && w.trigger != "pulse" {
		w.purging = r.IntN(3) == 0
	}
	w.number = 1 + r.Int64N(30)
	if r.IntN(2) == 0 {
		w.evictor = []string{"count", "time", "delta"}[r.IntN(3)]
		w.keep = 1 + r.Int64N(8)
		w.after = r.IntN(3) == 0
		if w.evictor == "time" {
			w.keep *= t.unit / 4 / 1000 * 1000
		}
	}
}

// plainOrder reports whether the rows of a window are aggregated in the order in which they come: those of slices and of merged sessions are not.
func (w *windows) plainOrder() bool {
	return w.kind == "tumbling" || w.kind == "global" || w.kind == "count" || w.kind == "countSliding"
}

// orderedWindow is a window over one split.
func orderedWindow(r *rand.Rand, s *scenario, dir string) error {
	s.what = "ordered"
	t, d := newTimes(r), newDomain(r)
	newSettings(r, s, 0)
	j := &windowJob{w: newWindows(r, t), exact: true}
	orderedTriggers(r, t, j)
	if j.w.evictor == "time" && !j.w.timed() {
		d.nullT = 0
	}
	j.w.late = j.w.timed() && r.IntN(2) == 0
	s.sources = []*source{newSource(r, t, d, 0, 100+r.IntN(700), true)}
	j.columns = newColumns(r, r.IntN(3) == 0, j.w.plainOrder())
	j.all(s.sources)
	return s.free(r, j, dir)
}

// pacedWindow is a window with late rows.
func pacedWindow(r *rand.Rand, s *scenario, dir string) error {
	s.what, s.replays = "paced", true
	t, d := newTimes(r), newDomain(r)
	batch := []int{1, 2, 5, 8}[r.IntN(4)]
	newSettings(r, s, batch)
	j := &windowJob{w: newWindows(r, t), exact: true}
	w := j.w
	if w.zone != "" {
		t.pace *= 20
	}
	number := 1
	if r.IntN(3) == 0 && !w.session() {
		number = 2 + r.IntN(2)
	}
	if number == 1 && r.IntN(2) == 0 {
		for orderedTriggers(r, t, j); !w.timed(); {
			*w = *newWindows(r, t)
			w.zone, w.offset = "", 0
		}
		if w.zone != "" {
			t.pace *= 20
		}
	}
	if r.IntN(2) == 0 {
		w.lateness = t.unit * r.Int64N(6)
	}
	w.late = r.IntN(4) > 0
	plain := (w.trigger == "" || w.trigger == "event-time") && !w.purging && w.evictor == ""
	if w.lateness > 0 && (!plain || r.IntN(2) == 0) {
		w.everyRow = true
	}
	if w.lateness > 0 && (number > 1 || !w.everyRow) {
		j.exact = false
	}
	j.columns = newColumns(r, r.IntN(3) == 0, number == 1 && w.kind == "tumbling" && j.exact)
	j.want = newOracle(w)
	p := newPaced(r, t, d, number, batch, func(x *row, safe int64) {
		if !j.want.determined(x) {
			x.ts = safe
		}
		c := *x
		j.want.add(&c)
	})
	j.want.advance(ever)
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
