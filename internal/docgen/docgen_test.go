package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReferenceIsUpToDate compares docs/reference with what the code says now.
func TestReferenceIsUpToDate(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "reference")
	pages := Pages()
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || string(got) != want {
			t.Errorf("%s is stale (%v): run go run ./internal/docgen", name, err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && pages[filepath.ToSlash(name)] == "" && name != commandLine {
			t.Errorf("%s: nothing makes this page any more: run go run ./internal/docgen", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
