package window

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"turbo/internal/testkit"
)

var update = flag.Bool("update", false, "write what the operator says into testdata/window; the oracle must agree all the same")

const folder = "../../testdata/window"

// TestScenarios runs every file.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) < 120 {
		t.Fatalf("%d scenarios, %v; there are to be at least 120", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parse(string(text))
			if err != nil {
				t.Fatalf("%s:%v", file, err)
			}
			if again := s.String(); !*update && again != string(text) {
				t.Errorf("%s is not written as -update would write it:\n%s", file, again)
			}
			s.run(t, file)
		})
	}
}

func (s *scenario) run(t *testing.T, file string) {
	c, messages := compile(s)
	if *update {
		s.refused = messages
	}
	if len(messages) > 0 || len(s.refused) > 0 {
		if !slices.Equal(messages, s.refused) {
			t.Errorf("refused with\n%s\nwant\n%s", strings.Join(messages, "\n"), strings.Join(s.refused, "\n"))
		}
		if *update {
			s.write(t, file)
		}
		return
	}
	h := c.harness(t, s)
	plain := testkit.Variant{BatchRows: 1}
	var first outcome
	h.Only = func(v testkit.Variant) bool { return v == plain }
	h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
		var err error
		if first, err = c.divide(s, log); err != nil {
			t.Fatal(err)
		}
	})
	if *update {
		for i := range s.steps {
			s.steps[i].want = first.steps[i]
		}
		s.after = first.after
		s.write(t, file)
	}
	d, err := define(s.spec)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "the oracle", file, s, d.play(s))
	compare(t, "the operator", file, s, first)
	if t.Failed() {
		return
	}
	h.Only = func(v testkit.Variant) bool {
		return v != plain && (!testing.Short() || v.Selection && v.Restart%2 == 0)
	}
	h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) { s.variant(t, c, v, log) })
}

func (s *scenario) write(t *testing.T, file string) {
	if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// compare compares an outcome with what the file says.
func compare(t *testing.T, who, file string, s *scenario, got outcome) {
	t.Helper()
	for i, p := range s.steps {
		if want := slices.Sorted(slices.Values(p.want)); !slices.Equal(got.steps[i], want) {
			t.Errorf("%s:%d: %s: %s says\n\t%s\nthe file\n\t%s", file, p.line, p.text, who, strings.Join(got.steps[i], "\n\t"), strings.Join(want, "\n\t"))
		}
	}
	if !slices.Equal(got.after, s.after) {
		t.Errorf("%s: at the end %s says %q, the file %q", file, who, got.after, s.after)
	}
}

// variant compares a run in other batches, with restarts, at each watermark and move of the clock: until then, the same must have come out.
func (s *scenario) variant(t *testing.T, c *compiled, v testkit.Variant, log *testkit.Log) {
	if got := c.after(log); !slices.Equal(got, s.after) {
		t.Errorf("at the end %q, want %q", got, s.after)
	}
	merges := v.BatchRows > 1 && !strings.Contains(s.spec, "emit: every-row") // late firings come once a batch
	output, event, at := c.operator.Bound().Output, 0, 0
	var want []string
	for _, p := range s.steps {
		want = append(want, p.want...)
		if p.what == "row" {
			continue
		}
		for event++; log.Marks[at].Events < event; at++ {
		}
		got := renderAll(output, log.Emitted[:log.Marks[at].Emitted])
		if err := same(got, want, merges); err != nil {
			t.Fatalf("until line %d, %s: %v", p.line, p.text, err)
		}
	}
	if err := same(renderAll(output, log.Emitted), want, merges); err != nil {
		t.Fatalf("at the end: %v", err)
	}
}

// same compares rows regardless of their order. With merges, some late firings may be missing: all but the last of each window.
func same(got, want []string, merges bool) error {
	left := map[string]int{}
	for _, w := range want {
		left[w]++
	}
	for _, g := range got {
		if left[g]--; left[g] < 0 {
			return fmt.Errorf("%s came, which is not wanted (again); wanted are\n\t%s", g, strings.Join(want, "\n\t"))
		}
	}
	lasts := map[string]string{}
	for _, w := range want {
		if strings.HasSuffix(w, " late") {
			name, _, _ := strings.Cut(w, ")")
			lasts[name] = w
		}
	}
	for _, w := range slices.Sorted(maps.Keys(left)) {
		name, _, _ := strings.Cut(w, ")")
		if left[w] > 0 && !(merges && strings.HasSuffix(w, " late") && lasts[name] != w) {
			return fmt.Errorf("%s did not come; there came\n\t%s", w, strings.Join(got, "\n\t"))
		}
	}
	return nil
}

func TestMistakes(t *testing.T) {
	const head = "# what\n\nwindow: global\n---\n"
	for text, want := range map[string]string{
		"window: global\n---\n":       "1: the file does not begin with a comment that says what it shows",
		"# what\nwindow: global\n":    "2: no --- after the specification",
		head + "> a\n":                "5: output before any step",
		head + "rows a 1s 1\n":        `5: unknown step "rows"; there are row, watermark, clock, restore, rescale, end`,
		head + "row a 1s\n":           "5: row takes 3 to 4 arguments, here are 2",
		head + "row a soon 1\n":       `5: "soon" is neither a duration since 1970, such as 1m30s, nor a time such as 2026-03-29T01:00:00Z`,
		head + "watermark 0s\n":       "5: a watermark of exactly 0s cannot be told from none",
		head + "rescale 9\n":          "5: rescale to 9 instances; 1 to 8",
		head + "---\n---\n":           "6: a third ---",
		head + "refused: x\nend\n":    "6: steps of a specification that is refused",
		head + "watermark 1.0000001s": "5: 1.0000001s has more digits than microseconds",
		head + "row a 1s many\n":      `5: strconv.ParseInt: parsing "many": invalid syntax`,
		head + "row a 1s 1 2s more\n": "5: row takes 3 to 4 arguments, here are 5",
		head + "restore now\n":        "5: restore takes 0 to 0 arguments, here are 1",
		head + "row a 1s 1\n---\nx\n": "",
	} {
		_, err := parse(text)
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// FuzzParse: a file that is read is written and read again as the same.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(folder, "*.txt"))
	for _, file := range files[:min(10, len(files))] {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parse(text)
		if err != nil {
			return
		}
		again, err := parse(s.String())
		if err != nil {
			t.Fatalf("%q is written as %q: %v", text, s, err)
		}
		if again.String() != s.String() {
			t.Fatalf("%q, then %q", s, again)
		}
	})
}
