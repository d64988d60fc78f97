package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDemo(t *testing.T) {
	t.Setenv(asCommand, "1")
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "demo")
	d := demo{dir: dir, rows: 20_000, kills: 1, parallelism: 2, second: 250 * time.Millisecond, out: &out, line: newStatusLine(io.Discard)}
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, part := range []string{
		"2. 20,000 seeded taxi rides", "4. Kill -9 (1 of 1)", "5. The job ended by itself", "It had begun at checkpoint",
		"each of them is in exactly one file", "The counts per cell", "7. Proven: of 20,000 rides produced, the 3,907 that pass the filter are in the files",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in\n%s", part, &out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "job.yaml")); err != nil {
		t.Error(err)
	}
}

func TestDemoRefusesFullDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := turbo(t, "demo", "--dir", dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("%v", err)
	}
}
