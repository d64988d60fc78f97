package window

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scenario is one file.
type scenario struct {
	purpose string // comment lines and all, with the empty line
	spec    string // YAML, of the stream with the window
	steps   []step
	refused []string // the messages, when the specification is to be refused
	after   []string // counters and late rows
}

// step is one line of the script with what comes out of it.
type step struct {
	line    int
	text    string // as it is written
	what    string // row, watermark, clock, restore, rescale, end
	row     record
	at      int64 // microseconds, of watermark and clock
	workers int   // of rescale
	want    []string
}

// record is a row; each column may be null.
type record struct {
	key           string
	ts, v, gap    int64 // gap in milliseconds
	hasKey, hasTS bool
	hasV, hasGap  bool
}

const separator = "---"

// parse reads a file. Errors begin with the line.
func parse(text string) (*scenario, error) {
	s := &scenario{}
	section, number := 0, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, " \n")
		if line == separator {
			if section++; section > 2 {
				return nil, fmt.Errorf("%d: a third %s", number, separator)
			}
			continue
		}
		switch {
		case section == 0 && s.spec == "" && (line == "" || strings.HasPrefix(line, "#")):
			s.purpose += line + "\n"
		case section == 0:
			s.spec += line + "\n"
		case line == "":
		case section == 2:
			s.after = append(s.after, line)
		case strings.HasPrefix(line, "refused: "):
			s.refused = append(s.refused, strings.TrimPrefix(line, "refused: "))
		case strings.HasPrefix(line, "> "):
			if len(s.steps) == 0 {
				return nil, fmt.Errorf("%d: output before any step", number)
			}
			last := &s.steps[len(s.steps)-1]
			last.want = append(last.want, line[2:])
		default:
			p, err := parseStep(line)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", number, err)
			}
			p.line = number
			s.steps = append(s.steps, p)
		}
	}
	switch {
	case strings.TrimSpace(strings.ReplaceAll(s.purpose, "#", "")) == "":
		return nil, fmt.Errorf("1: the file does not begin with a comment that says what it shows")
	case section == 0:
		return nil, fmt.Errorf("%d: no %s after the specification", number, separator)
	case len(s.refused) > 0 && len(s.steps) > 0:
		return nil, fmt.Errorf("%d: steps of a specification that is refused", s.steps[0].line)
	}
	return s, nil
}

func parseStep(line string) (step, error) {
	f := strings.Fields(line)
	p := step{text: line, what: f[0]}
	arguments := map[string][2]int{"row": {3, 4}, "watermark": {1, 1}, "clock": {1, 1}, "restore": {}, "rescale": {1, 1}, "end": {}}
	n, known := arguments[p.what]
	if !known {
		return p, fmt.Errorf("unknown step %q; there are row, watermark, clock, restore, rescale, end", p.what)
	}
	if len(f)-1 < n[0] || len(f)-1 > n[1] {
		return p, fmt.Errorf("%s takes %d to %d arguments, here are %d", p.what, n[0], n[1], len(f)-1)
	}
	var err error
	switch p.what {
	case "watermark", "clock":
		if p.at, err = parseTime(f[1]); err == nil && p.at == 0 {
			err = fmt.Errorf("a %s of exactly 0s cannot be told from none", p.what)
		}
	case "rescale":
		if p.workers, err = strconv.Atoi(f[1]); err == nil && (p.workers < 1 || p.workers > 8) {
			err = fmt.Errorf("rescale to %d instances; 1 to 8", p.workers)
		}
	case "restore":
		p.workers = 1
	case "row":
		p.row, err = parseRecord(f[1:])
	}
	return p, err
}

func parseRecord(f []string) (r record, err error) {
	if r.hasKey = f[0] != "-"; r.hasKey {
		if r.key = f[0]; f[0] == `""` {
			r.key = ""
		}
	}
	if r.hasTS = f[1] != "-"; r.hasTS {
		if r.ts, err = parseTime(f[1]); err != nil {
			return r, err
		}
	}
	if r.hasV = f[2] != "-"; r.hasV {
		if r.v, err = strconv.ParseInt(f[2], 10, 64); err != nil {
			return r, err
		}
	}
	if r.hasGap = len(f) > 3 && f[3] != "-"; r.hasGap {
		gap, err := parseTime(f[3])
		if r.gap = gap / 1000; err != nil {
			return r, err
		}
	}
	return r, nil
}

// parseTime reads a duration since 1970 or a time of RFC 3339, as microseconds.
func parseTime(text string) (int64, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UnixMicro(), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a duration since 1970, such as 1m30s, nor a time such as 2026-03-29T01:00:00Z", text)
	}
	if d%time.Microsecond != 0 {
		return 0, fmt.Errorf("%s has more digits than microseconds", text)
	}
	return d.Microseconds(), nil
}

// formatTime is parseTime's inverse.
func formatTime(us int64) string {
	if us > -48*3600e6 && us < 48*3600e6 {
		return time.Duration(us * 1000).String()
	}
	return time.UnixMicro(us).UTC().Format(time.RFC3339Nano)
}

// String writes the scenario as a file.
func (s *scenario) String() string {
	var b strings.Builder
	b.WriteString(s.purpose + s.spec + separator + "\n")
	for _, m := range s.refused {
		b.WriteString("refused: " + m + "\n")
	}
	for _, p := range s.steps {
		b.WriteString(p.text + "\n")
		for _, w := range p.want {
			b.WriteString("> " + w + "\n")
		}
	}
	if len(s.after) > 0 {
		b.WriteString(separator + "\n" + strings.Join(s.after, "\n") + "\n")
	}
	return b.String()
}

// format renders a row of the late output.
func (r record) format() string {
	word := func(has bool, text string) string {
		switch {
		case !has:
			return "-"
		case text == "":
			return `""`
		}
		return text
	}
	f := []string{word(r.hasKey, r.key), word(r.hasTS, formatTime(r.ts)), word(r.hasV, strconv.FormatInt(r.v, 10))}
	if r.hasGap {
		f = append(f, formatTime(r.gap*1000))
	}
	return strings.Join(f, " ")
}

// outcome is what a run of a scenario came to.
type outcome struct {
	steps [][]string // by step, sorted
	after []string   // counters that are not zero, and late rows
}

// summary lists counters and late rows.
func summary(late, noTime, filtered int64, rows []string) (out []string) {
	for _, c := range []struct {
		name string
		n    int64
	}{{"late", late}, {"no time", noTime}, {"filtered", filtered}} {
		if c.n != 0 {
			out = append(out, fmt.Sprintf("%s %d", c.name, c.n))
		}
	}
	rows = slices.Clone(rows)
	slices.Sort(rows)
	for _, r := range rows {
		out = append(out, "late> "+r)
	}
	return out
}
