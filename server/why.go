package server

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"turbo/core/supervisor"
	"turbo/internal/spec"
)

// Finding is one reason why a job gives fewer results than somebody expects, and what helps.
type Finding struct {
	Cause string `json:"cause"`
	Help  string `json:"help,omitempty"`
}

// String gives the line that a user reads.
func (f Finding) String() string {
	if f.Help == "" {
		return f.Cause
	}
	return f.Cause + "; " + f.Help
}

// Why says why results do not come, from what a job reports of itself at now: the gravest first. It is empty when nothing is in their way.
func Why(r Report, now time.Time) []Finding {
	w := why{r: r, now: now, nodes: map[string]*Node{}}
	for i := range r.Nodes {
		w.nodes[r.Nodes[i].Node] = &r.Nodes[i]
	}
	w.state()
	for _, n := range r.Nodes {
		if n.Trouble != "" {
			w.add("the job goes on when that is mended", "%s: %s", n.Label, n.Trouble)
		}
	}
	for _, s := range r.Sources {
		w.source(s)
	}
	w.idle()
	for i := range r.Nodes {
		w.node(&r.Nodes[i])
	}
	w.checkpoints()
	return w.findings
}

type why struct {
	r        Report
	now      time.Time
	nodes    map[string]*Node
	findings []Finding
}

func (w *why) add(help, format string, args ...any) {
	f := Finding{fmt.Sprintf(format, args...), help}
	if !slices.Contains(w.findings, f) {
		w.findings = append(w.findings, f)
	}
}

// past reports that the job is judged by a checkpoint: what is not known then is how long splits have been silent, only how far they are behind.
func (w *why) past() bool { return w.r.State == "" }

// state looks at the job as a whole.
func (w *why) state() {
	if w.r.LastError != "" && w.r.Restarts > 0 {
		w.add("mend its cause, or it comes again", "the job has been restarted %d times, the last time because of: %s", w.r.Restarts, firstLine(w.r.LastError))
	}
	if waits := w.now.Sub(w.r.Since); w.r.State == supervisor.Starting && waits >= silentAfter {
		w.add("its log says what it waits for", "the job has been starting for %s: it recovers its state and opens sources and sinks", span(waits))
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

const (
	// silentAfter is how long a split may be silent before that is worth telling.
	silentAfter = 2 * time.Second
	// futureAfter is how far ahead of the clock a watermark may be.
	futureAfter = time.Minute
)

// source looks for the split that holds a source's watermark back, and for one that has dragged it away.
func (w *why) source(s SourceTimes) {
	silent := func(p *SplitTime) string {
		if w.past() {
			return fmt.Sprintf("%s is %s behind the furthest one", p.ID, span(p.Silent))
		}
		return fmt.Sprintf("%s has been silent for %s", p.ID, span(p.Silent))
	}
	name := strings.TrimSuffix(s.Node, "/source")
	var low, high *SplitTime
	active, brought := 0, 0
	for i := range s.Splits {
		p := &s.Splits[i]
		if p.Watermark != nil {
			brought++
			if high == nil || p.Watermark.After(*high.Watermark) {
				high = p
			}
		}
		if p.Ended || p.Idle {
			continue
		}
		active++
		if low == nil || before(p, low) {
			low = p
		}
	}
	if high != nil && high.Watermark.After(w.now.Add(futureAfter)) {
		help := "set max-future-skew in its watermark, and such rows go to the dead letters"
		if s.MaxFutureSkew > 0 {
			help = "lower max-future-skew in its watermark"
		}
		w.add(help, "watermark of %s: a row of %s has taken it to %s, %s ahead of the clock: rows from before that are late", quoted(name), high.ID, stamp(high.Watermark), ahead(*high.Watermark, w.now))
	}
	switch {
	case len(s.Splits) > 0 && active == 0 || low == nil:
		return
	case low.Waiting:
		w.add("see what holds back the others; or raise max-drift", "source %s waits: it is ahead of the slowest source of its group by more than max-drift", quoted(name))
	case low.Silent < silentAfter:
		return
	case low.Watermark == nil && brought == 0:
		w.add("see whether its input brings anything", "source %s has not brought a row with an event time, for %s: there is no watermark", quoted(name), span(low.Silent))
	case low.Watermark == nil:
		w.add(idleHelp(s), "there is no watermark of %s: %s has not brought a row with an event time, for %s", quoted(name), low.ID, span(low.Silent))
	case s.IdleTimeout > 0 && low.Silent < s.IdleTimeout && !w.past():
		w.add("it counts as idle after "+spec.FormatDuration(s.IdleTimeout), "watermark of %s stands at %s: %s", quoted(name), stamp(low.Watermark), silent(low))
	case len(s.Splits) == 1 && w.past():
		return
	case len(s.Splits) == 1:
		w.add("windows that end later wait for rows that are later", "watermark of %s stands at %s: its only split %s has been silent for %s", quoted(name), stamp(low.Watermark), low.ID, span(low.Silent))
	default:
		w.add(idleHelp(s), "watermark of %s stands at %s: %s", quoted(name), stamp(low.Watermark), silent(low))
	}
}

// idle says that event time stands still because nobody moves it: every split that has not ended is idle, in every source.
func (w *why) idle() {
	idle, high := 0, (*time.Time)(nil)
	for _, s := range w.r.Sources {
		for i := range s.Splits {
			switch p := &s.Splits[i]; {
			case p.Ended:
			case !p.Idle:
				return
			default:
				idle++
				if p.Watermark != nil && (high == nil || p.Watermark.After(*high)) {
					high = p.Watermark
				}
			}
		}
	}
	if idle > 0 && high != nil {
		w.add("windows that end later wait for rows that are later", "event time stands still: all splits are idle, the furthest one at %s", stamp(high))
	}
}

func idleHelp(s SourceTimes) string {
	if s.IdleTimeout > 0 {
		return "it counts as idle after " + spec.FormatDuration(s.IdleTimeout)
	}
	return "set `idle-timeout` in its watermark"
}

func before(a, b *SplitTime) bool {
	switch {
	case a.Watermark == nil || b.Watermark == nil:
		return a.Watermark == nil && (b.Watermark != nil || a.Silent > b.Silent)
	default:
		return a.Watermark.Before(*b.Watermark)
	}
}

// node looks at what an operator has dropped.
func (w *why) node(n *Node) {
	name := strings.TrimSpace(n.Label)
	rows := func(k int64) string { return fmt.Sprintf("%s rows", count(k)) }
	switch {
	case n.In == 0:
		if len(n.Inputs) == 0 && n.Trouble == "" && strings.HasPrefix(name, "source ") {
			w.add("see whether its input is there, and where it starts to read", "%s has read nothing", name)
		}
		return
	case n.Filtered == n.In:
		w.add("see its condition", "%s: the filter has dropped all %s (100 %%)", name, rows(n.In))
	case n.Filtered > 0 && n.Filtered+n.Late+n.NoTime == n.In:
		w.add("", "%s has dropped all %s: %d filtered, %d late, %d without event time", name, rows(n.In), n.Filtered, n.Late, n.NoTime)
	}
	if n.Late > 0 {
		help := "raise max-out-of-orderness of the source, or allowed-lateness; the stream that late: names has them"
		if !strings.HasPrefix(name, "window ") {
			help = "raise max-out-of-orderness of the source"
		}
		if n.Late == n.In {
			w.add(help, "%s: all %s were late", name, rows(n.In))
		} else if 10*n.Late >= n.In {
			w.add(help, "%s: %d of %s were late", name, n.Late, rows(n.In))
		}
	}
	if n.NoTime > 0 {
		w.add("see the column of its source's watermark", "%s: %d of %s have no event time (null)", name, n.NoTime, rows(n.In))
	}
	if n.Deduplicated == n.In {
		w.add("see its key and ttl", "%s has dropped all %s as duplicates", name, rows(n.In))
	}
	if n.Skipped+n.DeadLettered == n.In {
		w.add("see the dead letters (turbo dlq list), and its schema and format", "%s: none of its %d records could be decoded", name, n.In)
	}
	if strings.HasPrefix(name, "window ") && n.Out == 0 && n.Late+n.NoTime < n.In {
		w.waiting(n, name)
	}
}

// waiting says what a window without results waits for.
func (w *why) waiting(n *Node, name string) {
	if w.r.Finished {
		w.add("the end of the input closes windows of event time only", "%s has %s rows and has not spoken before its input ended: its windows count by the clock, or rows that have not come, or have no trigger", name, count(n.In))
		return
	}
	if len(w.r.Sources) == 0 {
		w.add("give a source a watermark, or use clock: processing", "%s has %s rows and has not spoken: no source has event time", name, count(n.In))
		return
	}
	if n.Watermark == nil {
		w.add("", "%s has %s rows and has not spoken: no watermark has reached it yet", name, count(n.In))
		return
	}
	w.add("", "%s has %s rows and has not spoken: the watermark stands at %s, before the end of its first window", name, count(n.In), stamp(n.Watermark))
}

// checkpoints says when output waits for one.
func (w *why) checkpoints() {
	k := w.r.Checkpoints
	if k.Completed > 0 || w.past() {
		return
	}
	for _, n := range w.r.Nodes {
		if strings.HasPrefix(n.Label, "sink ") && n.Out > 0 {
			w.add("see engine.checkpoint.interval", "%s has %s rows and no checkpoint is complete: output becomes visible with one", n.Label, count(n.Out))
			return
		}
	}
}

func quoted(name string) string { return "`" + name + "`" }

// stamp is a time as people read it: today's without the day.
func stamp(t *time.Time) string { return t.Format("2006-01-02 15:04:05.999") }

// span rounds a duration to two units.
func span(d time.Duration) string {
	switch {
	case d == math.MaxInt64:
		return "more than 292 years" // where a time.Duration ends
	case d >= 365*24*time.Hour:
		return fmt.Sprintf("%d years", int(d.Hours()/24/365))
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

// ahead is how much later t is than now. A time.Duration ends at 292 years.
func ahead(t, now time.Time) string {
	if years := t.Year() - now.Year(); years > 200 {
		return fmt.Sprintf("%d years", years)
	}
	return span(t.Sub(now))
}

// count writes a number with separators: 1,234,567.
func count(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
