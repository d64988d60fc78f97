package stream_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOutside: the program of docs/api.md builds in a module of its own, and prints what the page says.
func TestOutside(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short: the program of docs/api.md was not built")
	}
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(begin string) string {
		_, rest, ok := strings.Cut(string(page), "```"+begin)
		if !ok {
			t.Fatalf("docs/api.md has no block that begins with %q", begin)
		}
		text, _, _ := strings.Cut(rest, "```")
		return strings.TrimPrefix(begin, "go\n") + text
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.ReplaceAll(strings.TrimPrefix(block("\nmodule arrivals"), "\n"), "/path/to/turbo", root)
	// What `go mod tidy` would add: the versions that turbo has.
	own, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(own), "require (") {
		if i > 0 {
			list, _, _ := strings.Cut(part, "\n)")
			mod += "\nrequire (" + list + "\n)\n"
		}
	}
	dir := t.TempDir()
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": mod, "go.sum": string(sums), "main.go": block("go\npackage main")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "arrivals")
	build := exec.Command("go", "build", "-mod=mod", "-o", program, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
	if text, err := build.CombinedOutput(); err != nil {
		if strings.Contains(string(text), "GOPROXY=off") || strings.Contains(err.Error(), "executable file not found") {
			t.Skipf("SKIPPED: the program of docs/api.md cannot be built without the module cache: %v\n%s", err, text)
		}
		t.Fatalf("%v\n%s", err, text)
	}
	run := exec.Command(program)
	run.Dir = dir
	text, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	lines := func(text string) []string {
		out := strings.Split(strings.TrimSpace(text), "\n")
		slices.Sort(out)
		return out
	}
	equal(t, lines(string(text)), lines(strings.TrimPrefix(block("\na 08:05"), "\n"))...)
}
