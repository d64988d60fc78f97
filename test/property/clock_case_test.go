package property

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// clockJob is windows or triggers of processing time. What is in which of them is the clock's choice; what must hold for each choice is compared.
type clockJob struct {
	w     *windows
	clock string // window: rows are in windows of the clock; trigger: it makes windows of event time, or the global one, speak
	times int    // window: in how many windows a row is at most
	truth map[string]map[string]bool
}

// clocked is a job of processing time. A leg lasts as long as its checkpoints, and intervals are about as long as one.
func clocked(r *rand.Rand, s *scenario, dir string) error {
	s.what = "clock"
	t, d := newTimes(r), newDomain(r)
	newSettings(r, s, 0)
	if err := freeSources(r, s, t, d, dir, 1+r.IntN(2), false); err != nil {
		return err
	}
	j := &clockJob{w: newWindows(r, t), times: 1, truth: map[string]map[string]bool{}}
	w := j.w
	size := 1000 * (2 + r.Int64N(8))
	var b strings.Builder
	fmt.Fprintf(&b, "  result:\n    from: %s\n", s.from())
	if len(w.keys) > 0 {
		fmt.Fprintf(&b, "    key-by: [%s]\n", strings.Join(w.keys, ", "))
	}
	if r.IntN(2) == 0 {
		j.clock = "window"
		switch r.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "    window: {tumbling: %s, clock: processing}\n", duration(size))
		case 1:
			j.times = 3
			fmt.Fprintf(&b, "    window: {sliding: %s, every: %s, clock: processing}\n", duration(3*size), duration(size))
		case 2:
			fmt.Fprintf(&b, "    window: {session: %s, clock: processing}\n", duration(size))
		}
	} else {
		j.clock = "trigger"
		size *= 8 // at each interval everything that is open is written: on a slow machine that must not be all that it does
		w.kind = []string{"tumbling", "global"}[r.IntN(2)]
		w.zone, w.offset, w.purging = "", 0, r.IntN(2) == 0
		more := ""
		if w.purging {
			more = ", purging: true"
		}
		var window strings.Builder
		(&windows{kind: w.kind, size: w.size}).yaml(&window)
		fmt.Fprintf(&b, "%s    trigger: {continuous-processing: %s%s}\n", &window, duration(size), more)
	}
	s.what += " " + j.clock
	b.WriteString("    aggregate: {n: COUNT(*), ids: ARRAY_AGG(id)}\n")
	s.streams = b.String()
	var layout []column
	for _, k := range w.keys {
		layout = append(layout, column{name: k, kind: 'v'})
	}
	switch {
	case j.clock == "window": // times of the clock have microseconds; what they are does not matter here
		layout = append(layout, column{name: "window_start", kind: 'v'}, column{name: "window_end", kind: 'v'})
	case w.timed():
		layout = append(layout, column{name: "window_start", kind: 't'}, column{name: "window_end", kind: 't'})
	}
	layout = append(layout, countColumn, idsColumn)
	s.sinks = map[string]*sink{"out": {from: "result", format: "json", sql: true, columns: layout}}
	j.learn(s.all())
	heard := 0
	s.check = func(out map[string][]string, _ bool) error {
		heard = len(out["out"])
		return j.check(out["out"])
	}
	s.tell = func(add func(string, int)) { add("by the clock", heard) }
	return nil
}

// learn notes which rows may be in which group: a key, and of triggers its window, too.
func (j *clockJob) learn(rows []*row) {
	for _, x := range rows {
		group := j.w.keyOf(x)
		if j.clock == "trigger" && j.w.timed() {
			if x.ts == never {
				continue
			}
			s := j.w.assign(x)[0]
			if len(j.w.keys) > 0 {
				group += "|"
			}
			group += milliseconds(s.start) + "|" + milliseconds(s.end)
		}
		if j.truth[group] == nil {
			j.truth[group] = map[string]bool{}
		}
		j.truth[group][fmt.Sprint(x.id)] = true
	}
}

func (j *clockJob) check(got []string) error {
	speaks := map[string]bool{}        // windows of the clock that have spoken
	seen := map[string]int{}           // how often a row was in a result
	firings := map[string][][]string{} // of a group: the rows of each
	for _, text := range got {
		f := strings.Split(text, "|")
		n, members := f[len(f)-2], strings.Fields(strings.Trim(f[len(f)-1], "[]"))
		bounds := f[:len(f)-2]
		group := strings.Join(bounds, "|")
		if j.clock == "window" {
			if speaks[group] {
				return fmt.Errorf("a window of the clock speaks twice: %s", text)
			}
			speaks[group] = true
			group = strings.Join(bounds[:len(bounds)-2], "|")
		}
		if count, _ := strconv.Atoi(n); count != len(members) || count == 0 {
			return fmt.Errorf("%d rows are said to be %s: %s", len(members), n, text)
		}
		for _, m := range members {
			if !j.truth[group][m] {
				return fmt.Errorf("row %s is not of this key, or window: %s", m, text)
			}
			seen[m]++
		}
		firings[group] = append(firings[group], members)
	}
	most := j.times
	if j.clock == "trigger" && !j.w.purging { // contents stay: each firing has the rows of those before
		for group, all := range firings {
			slices.SortFunc(all, func(a, b []string) int { return len(a) - len(b) })
			for i := 1; i < len(all); i++ {
				if slices.Equal(all[i-1], all[i]) {
					continue
				}
				for _, m := range all[i-1] {
					if !slices.Contains(all[i], m) {
						return fmt.Errorf("%s: row %s was in a firing of %d rows, and is not in one of %d", group, m, len(all[i-1]), len(all[i]))
					}
				}
			}
		}
		return nil
	}
	for m, n := range seen {
		if n > most {
			return fmt.Errorf("row %s is in %d results, it can be in %d", m, n, most)
		}
	}
	return nil
}
