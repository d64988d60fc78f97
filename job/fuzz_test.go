package job_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"turbo/internal/spec"
	"turbo/job"
)

// FuzzParse looks for panics, for errors that have no position, and for plans that cannot be explained.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/plans/*.yaml", "testdata/errors/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "{file") || strings.Contains(text, "path") {
			t.Skip("a schema may be read from a file")
		}
		j, err := job.Parse([]byte(text), job.Options{File: "fuzz.yaml", Lookup: environment, Set: []string{"engine.batch-rows=7"}})
		if err != nil {
			var all spec.Errors
			if !errors.As(err, &all) || len(all) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, e := range all {
				if e.Message == "" || e.Pos.File == "" {
					t.Fatalf("an error without place or message: %v", e)
				}
			}
			return
		}
		if j.Plan.Explain() == "" || len(j.Plan.Sinks) == 0 || j.Plan.Settings.BatchRows != 7 {
			t.Fatal("an empty plan")
		}
		j.Plan.Signature().Fingerprint()
	})
}
