// Command docgen writes docs/reference from the descriptions that the code itself works with: the fields of the job spec, the registry of
// connectors and formats, the table of functions, the commands. Run it at the root of the repository: go run ./internal/docgen.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	_ "turbo/run/all"
)

func main() {
	if err := write("docs/reference"); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

// write brings dir up to date and removes pages that nothing makes any more.
func write(dir string) error {
	pages := Pages()
	cli, err := exec.Command("go", "run", "./cmd/turbo", "reference").Output()
	if err != nil {
		return fmt.Errorf("the page of the command line: %w", err)
	}
	pages[commandLine] = string(cli)
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && pages[filepath.ToSlash(name)] == "" {
			err = os.Remove(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for name, text := range pages {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
