package property

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"turbo/test/visible"
)

// sink is an output with its columns.
type sink struct {
	from, format string
	columns      []column
	rowKind      bool
	sql          bool // times are written as SQL does
}

// scenario is a random job: its specification, input, life, and what must come of it.
type scenario struct {
	seed     uint64
	what     string // in a few words
	settings string // of the engine
	streams  string
	sources  []*source
	sinks    map[string]*sink
	batch    int
	steps    []step
	legs     []leg
	// check compares what is visible; complete says that the job has ended. Rows are the fields of a sink's columns with bars between them.
	check func(out map[string][]string, complete bool) error
	// replays says that each leg goes through the steps from the first, because they wait for watermarks.
	replays bool
	// tell adds what the job did to the counts of a run of tests.
	tell func(add func(what string, n int))
}

// newSettings picks the engine's settings. batch is what paced input needs, 0: any.
func newSettings(r *rand.Rand, s *scenario, batch int) {
	if s.batch = batch; batch == 0 {
		s.batch = []int{1, 3, 16, 100, 4096}[r.IntN(5)]
	}
	s.settings = fmt.Sprintf("  memory: %dMiB\n  buffer-timeout: %s\n  flush-when-idle: %v\n  batch-rows: %d\n  key-groups: %d\n", []int{96, 160, 256}[r.IntN(3)],
		[]string{"0", "0.2ms", "3ms", "10ms", "-1"}[r.IntN(5)], r.IntN(2) == 0, s.batch, []int{4, 7, 128}[r.IntN(3)])
}

// newLegs picks the life: some interruptions, each with input left, and a last leg to the end.
func newLegs(r *rand.Rand, s *scenario) {
	at := 0
	for range 1 + r.IntN(3) {
		l := leg{Parallelism: 1 + r.IntN(4), End: []string{stop, stop, cancel, cancel, kill}[r.IntN(5)], At: at + r.IntN(len(s.steps)-1-at), Checkpoints: r.IntN(4)}
		at = l.At
		if l.End == kill && r.IntN(2) == 0 {
			l.Phase = fmt.Sprintf("%s:%d", phases[r.IntN(len(phases))], 1+r.IntN(4))
			l.Checkpoints = 6
		}
		s.legs = append(s.legs, l)
	}
	last := leg{Parallelism: 1 + r.IntN(4), End: finish}
	switch r.IntN(6) {
	case 0: // killed with all input there: it may be through before it dies
		s.legs = append(s.legs, leg{Parallelism: 1 + r.IntN(4), End: kill, At: len(s.steps) - 1, Checkpoints: 1 + r.IntN(3), Phase: fmt.Sprintf("%s:%d", phases[r.IntN(len(phases))], 1+r.IntN(4))})
	case 1, 2:
		last.End, last.At, last.Checkpoints = fail, at+r.IntN(len(s.steps)-1-at), r.IntN(4)
	}
	s.legs = append(s.legs, last)
}

// yaml is the job specification.
func (s *scenario) yaml(dir string, interval string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: property\nengine:\n%s  checkpoint: {interval: %s, dir: %s/state, retain: 2}\n  restart: {strategy: none}\nsources:\n", s.settings, interval, dir)
	for _, src := range s.sources {
		src.yaml(&b, dir+"/in", s.batch)
	}
	fmt.Fprintf(&b, "streams:\n%ssinks:\n", s.streams)
	for _, name := range s.sinkNames() {
		k := s.sinks[name]
		format := "{type: json, timestamps: epoch-millis}"
		if k.format == "csv" || k.sql {
			format = k.format
		}
		kinds := ""
		if k.rowKind {
			kinds = "    row-kind: op\n"
		}
		fmt.Fprintf(&b, "  %s:\n    from: %s\n    connector: file\n    path: %s/%s\n    format: %s\n%s    roll: {size: 3KiB, interval: 20ms}\n", name, k.from, dir, name, format, kinds)
	}
	return b.String()
}

func (s *scenario) sinkNames() (names []string) {
	for name := range s.sinks {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// play runs the scenario. The error says how the job's result differs.
func (s *scenario) play(dir string, add func(what string, n int)) error {
	for _, src := range s.sources {
		if src.paths == nil {
			return errors.New("a source was not written")
		}
	}
	spec := filepath.Join(dir, "job.yaml")
	interval := fmt.Sprintf("%dms", 1+rand.New(rand.NewPCG(s.seed, 3)).IntN(15))
	if err := os.WriteFile(spec, []byte(s.yaml(dir, interval)), 0o666); err != nil {
		return err
	}
	steps := s.steps
	for i, l := range s.legs {
		f := &life{Spec: spec, Input: filepath.Join(dir, "in"), Steps: steps, Leg: l}
		if !s.replays && l.At == len(steps)-1 {
			f.Steps, f.Leg.At = steps[l.At:], 0
		} else if !s.replays && l.End != finish { // only the point up to which it may read counts
			f.Steps, f.Leg.At = []step{steps[l.At], steps[len(steps)-1]}, 0
		} else if !s.replays {
			f.Steps = steps[len(steps)-1:]
		}
		restored, err := f.live()
		if err != nil {
			return fmt.Errorf("leg %d (%v): %w", i+1, l, err)
		}
		add(l.End, 1)
		if restored > 0 {
			add("restored", 1)
		}
		out, err := s.output(dir)
		if err != nil {
			return fmt.Errorf("after leg %d (%v): %w", i+1, l, err)
		}
		if err := s.check(out, i == len(s.legs)-1); err != nil {
			return fmt.Errorf("after leg %d (%v): %w", i+1, l, err)
		}
	}
	for _, src := range s.sources {
		add("rows", len(src.rows))
	}
	s.tell(add)
	return nil
}

// output reads what is visible.
func (s *scenario) output(dir string) (map[string][]string, error) {
	out := map[string][]string{}
	for name, k := range s.sinks {
		files, _, err := visible.Files(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		var names []string
		for _, c := range k.columns {
			names = append(names, c.name)
		}
		for _, file := range files {
			if err := visible.ReadFile(file, k.format, names, func(fields []string) error {
				made := make([]string, len(fields))
				for i, f := range fields {
					var err error
					if made[i], err = canonical(k.columns[i].kind, f); err != nil {
						return fmt.Errorf("column %s: %w", names[i], err)
					}
				}
				out[name] = append(out[name], strings.Join(made, "|"))
				return nil
			}); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// same compares rows as bags. Before the job's end rows may be missing.
func same(what string, got, want []string, complete bool) error {
	count := map[string]int{}
	for _, w := range want {
		count[w]++
	}
	var wrong, missing []string
	for _, g := range got {
		if count[g]--; count[g] < 0 {
			wrong = append(wrong, g)
		}
	}
	for w, n := range count {
		for ; n > 0; n-- {
			missing = append(missing, w)
		}
	}
	if !complete {
		missing = nil
	}
	if len(wrong)+len(missing) == 0 {
		return nil
	}
	slices.Sort(wrong)
	slices.Sort(missing)
	return fmt.Errorf("%s: %d rows, want %d\n%d should not be there:\n  %s\n%d are missing:\n  %s", what, len(got), len(want), len(wrong), strings.Join(wrong[:min(8, len(wrong))], "\n  "),
		len(missing), strings.Join(missing[:min(8, len(missing))], "\n  "))
}
