package taxi

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// goPrograms builds the Go programs of examples/taxi.
var goPrograms = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(bin, "go")
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, "turbo/examples/taxi/"+p.name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

// written returns the lines of the files in a directory, sorted. Their numbers are compared as doubles: DECIMAL columns are written with all their digits.
func written(t *testing.T, dir string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "_") { // the ledger
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || filepath.Ext(path) != ".jsonl" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			var values map[string]any
			if err := json.Unmarshal([]byte(line), &values); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
			lines = append(lines, fmt.Sprint(values))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// TestGoPrograms compares what the Go programs write with the oracle, and line by line with what the job specifications write.
func TestGoPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("three more programs are not short")
	}
	dir, err := goPrograms()
	if err != nil {
		t.Fatal(err)
	}
	each(t, [][]int{{2}}, func(t *testing.T, r *rig) {
		want := r.run(t)
		specified := written(t, r.out())
		out := filepath.Join(r.dir, "go-out")
		args := []string{"-p", "2", "-input", r.in.file, "-output", out, "-state", filepath.Join(r.dir, "go-state")}
		if r.delay {
			args = append(args, "-max-serving-delay", "60s")
		}
		command := exec.Command(filepath.Join(dir, r.name), args...)
		command.Dir = r.dir
		start(t, command).succeed(t)
		got := output(t, out, r.at, r.kind)
		r.check(t, got)
		if r.name == "total-arrivals" && r.delay { // what comes first of what two workers read is not the same each time
			equal(t, "last value per cell", lastPerCell(got), lastPerCell(want))
			return
		}
		if lines := written(t, out); !slices.Equal(lines, specified) {
			for i := range min(len(lines), len(specified)) {
				if lines[i] != specified[i] {
					t.Fatalf("%d lines, the job specification wrote %d; the first that differs:\n%s\n%s", len(lines), len(specified), lines[i], specified[i])
				}
			}
			t.Fatalf("%d lines, the job specification wrote %d", len(lines), len(specified))
		}
	})
}
