package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"

	"turbo/internal/vfs"
)

// found is a file as a scan saw it.
type found struct {
	path string
	size int64
	time int64 // of its last change, nanoseconds
}

// isPattern reports whether a path has wildcards.
func isPattern(path string) bool { return strings.ContainsAny(path, "*?[") }

// discover lists the files that a path stands for, in the order of their names: one file, the visible files below a directory,
// or what matches a pattern (** stands for any number of directories). Names that begin with a dot or an underscore are
// hidden, unless the pattern's element does so too.
func discover(f vfs.FS, path string) ([]found, error) {
	if !isPattern(path) {
		info, err := f.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return []found{{path, info.Size(), info.ModTime().UnixNano()}}, nil
		}
		path = filepath.Join(path, "**")
	}
	elements := strings.Split(filepath.ToSlash(filepath.Clean(path)), "/")
	fixed := 0
	for fixed < len(elements)-1 && !isPattern(elements[fixed]) {
		fixed++
	}
	root := filepath.FromSlash(strings.Join(elements[:fixed], "/"))
	switch {
	case root == "" && strings.HasPrefix(path, "/"):
		root = "/"
	case root == "":
		root = "."
	}
	var list []found
	if err := match(f, root, elements[fixed:], &list); err != nil {
		return nil, err
	}
	sort.Slice(list, func(i, j int) bool { return list[i].path < list[j].path })
	out := list[:0]
	for i, x := range list {
		if i == 0 || x.path != list[i-1].path { // ** can match in several ways
			out = append(out, x)
		}
	}
	return out, nil
}

func match(f vfs.FS, dir string, elements []string, list *[]found) error {
	entries, err := f.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	head, rest := elements[0], elements[1:]
	if head == "**" && len(rest) > 0 { // no directory at all
		if err := match(f, dir, rest, list); err != nil {
			return err
		}
	}
	for _, e := range entries {
		name := e.Name()
		if (name[0] == '.' || name[0] == '_') && (head == "" || head[0] != name[0]) {
			continue
		}
		full := filepath.Join(dir, name)
		if head != "**" {
			ok, err := filepath.Match(head, name)
			if err != nil {
				return fmt.Errorf("pattern %s: %w", head, err)
			}
			if !ok {
				continue
			}
		}
		switch {
		case head == "**" && e.IsDir():
			if err := match(f, full, elements, list); err != nil {
				return err
			}
		case len(rest) > 0 && e.IsDir():
			if err := match(f, full, rest, list); err != nil {
				return err
			}
		case len(rest) == 0 && !e.IsDir():
			info, err := f.Stat(full) // through links
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if info.IsDir() {
				continue
			}
			*list = append(*list, found{full, info.Size(), info.ModTime().UnixNano()})
		}
	}
	return nil
}
