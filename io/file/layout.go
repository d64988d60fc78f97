package file

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"turbo/internal/vfs"
)

// hiddenSuffix ends the names of files that are not visible yet; a dot is in front of them.
const hiddenSuffix = ".turbo-open"

// fileName is the visible name of a file: job, run, worker, the checkpoint before it was opened, and a number.
func fileName(job, run string, worker int, base uint64, seq int, extension string) string {
	return fmt.Sprintf("%s-%s-w%d-c%06d-%d%s", safeName(job), safeName(run), worker, base, seq, extension)
}

// hidden is the hidden name of a visible one, in the same directory.
func hidden(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+hiddenSuffix)
}

func isHidden(base string) bool {
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, hiddenSuffix)
}

// safeName keeps letters, digits, '.', '-' and '_' of a name, so that it can be part of a file's.
func safeName(name string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, name)
	return strings.TrimLeft(out, "._")
}

// nullPartition stands for NULL and the empty string in a partition directory, as in Hive; plainNull does so where the
// directory has no key in front (an underscore there would hide it, and no other value begins with %N).
const (
	nullPartition = "__HIVE_DEFAULT_PARTITION__"
	plainNull     = "%NULL"
)

// appendPartition appends a partition value with everything that Hive escapes as %XX, so that it is one path element. In
// the plain style a slash separates elements, so that a pattern like yyyy/MM/dd makes nested directories.
func appendPartition(dst, value []byte, plain bool) []byte {
	switch {
	case len(value) == 0 && plain:
		return append(dst, plainNull...)
	case len(value) == 0:
		return append(dst, nullPartition...)
	case !plain:
		return appendEscaped(dst, value)
	}
	for i, element := range bytes.Split(value, []byte{'/'}) {
		if i > 0 {
			dst = append(dst, '/')
		}
		if len(element) == 0 {
			dst = append(dst, plainNull...)
		}
		dst = appendEscaped(dst, element)
	}
	return dst
}

func appendEscaped(dst, value []byte) []byte {
	for i, c := range value {
		if c < ' ' || c == 0x7f || strings.IndexByte("\"#%'*/:=?\\{[]}^", c) >= 0 || i == 0 && (c == '.' || c == '_') {
			dst = fmt.Appendf(dst, "%%%02X", c)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// RollPolicy says when an open file is sealed. Zero durations and a zero size mean never.
type RollPolicy struct {
	Size         int64         // bytes on disk and in encoders
	Interval     time.Duration // since it was opened
	Inactivity   time.Duration // since its last row
	OnCheckpoint bool
}

// join is the path of a relative slash-separated name in dir.
func join(dir, rel string) string { return filepath.Join(dir, filepath.FromSlash(rel)) }

// dirSync collects directories whose names have changed and syncs each once.
type dirSync struct {
	fs   vfs.FS
	dirs map[string]struct{}
}

func newDirSync(f vfs.FS) *dirSync { return &dirSync{f, map[string]struct{}{}} }

// changed notes that a name in the directory of the file has changed.
func (d *dirSync) changed(file string) { d.dirs[filepath.Dir(file)] = struct{}{} }

func (d *dirSync) sync() error {
	for dir := range d.dirs {
		if !mutants.skipDirSync {
			if err := d.fs.SyncDir(dir); err != nil {
				return err
			}
		}
		delete(d.dirs, dir)
	}
	return nil
}

// mutants are mistakes that the power-loss test makes on purpose, to show that it would notice them. Only tests set them.
var mutants struct {
	skipDirSync       bool // leave out the sync of directories
	truncateTooLittle bool // keep some bytes after the durable prefix
	commitEarly       bool // show files before the checkpoint is complete
	skipFileSync      bool // leave out the sync of files
}
