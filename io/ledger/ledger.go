package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"turbo/core"
	"turbo/internal/killpoint"
	"turbo/internal/vfs"
)

// Dir and Name say where the ledger lies within a sink's directory. The underscore hides it from readers of partitioned
// directories.
const (
	Dir  = "_turbo"
	Name = "ledger.jsonl"
)

// Ledger is the open ledger of a directory. Its owner holds the directory's lock; one goroutine uses it.
type Ledger struct {
	fs    vfs.FS
	dir   string
	file  vfs.File
	state *State
	torn  int64
	size  int64
	limit int64 // compacted when it is larger
	err   error // after a failed append the tail is unknown
}

// Open opens the ledger of dir, which must exist, making it if it is not there, and cuts a torn tail off.
func Open(f vfs.FS, dir string) (*Ledger, error) {
	l := &Ledger{fs: f, dir: dir, state: newState(), limit: defaultCompactBytes}
	if err := l.open(); err != nil {
		if l.file != nil {
			l.file.Close()
		}
		return nil, fmt.Errorf("ledger %s: %w", Path(dir), err)
	}
	return l, nil
}

// Path is the ledger's file of a sink directory.
func Path(dir string) string { return filepath.Join(dir, Dir, Name) }

func (l *Ledger) open() error {
	if err := vfs.MkdirSynced(l.fs, filepath.Join(l.dir, Dir)); err != nil {
		return err
	}
	var err error
	if l.file, err = l.fs.OpenAppend(Path(l.dir)); err != nil {
		return err
	}
	good, err := scan(l.file, l.state.add)
	if err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if l.torn = info.Size() - good; l.torn > 0 {
		if err := l.file.Truncate(good); err != nil {
			return err
		}
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.size = good
	return l.fs.SyncDir(filepath.Join(l.dir, Dir))
}

// Read returns what the ledger of a directory adds up to, changing nothing; fs.ErrNotExist when there is none.
func Read(f vfs.FS, dir string) (*State, error) {
	s := newState()
	file, err := f.Open(Path(dir))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := scan(file, s.add); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", Path(dir), err)
	}
	return s, nil
}

// State is what the entries add up to. It belongs to the ledger and changes with it.
func (l *Ledger) State() *State { return l.state }

// Torn is the number of bytes that Open cut off.
func (l *Ledger) Torn() int64 { return l.torn }

// Begin starts a run.
func (l *Ledger) Begin(h Header) error {
	h.Version = Version
	return l.append(&Entry{Begin: &h})
}

// Commit appends a checkpoint, durably. The newest checkpoint is accepted again, without effect, when it is the same.
func (l *Ledger) Commit(c *Commit) error {
	if last := l.state.Last; last != nil && last.Checkpoint == c.Checkpoint {
		if !sameCommit(last, c) {
			return fmt.Errorf("ledger %s: checkpoint %d is committed again with other contents; the state and the output directory do not belong together", Path(l.dir), c.Checkpoint)
		}
		return nil
	}
	if err := l.state.check(c); err != nil {
		return fmt.Errorf("ledger %s: %w; the state and the output directory do not belong together", Path(l.dir), err)
	}
	return l.append(&Entry{Commit: c})
}

// Undo says what Withdraw would take back. It fails when the ledger does not reach back to the checkpoint.
func (l *Ledger) Undo(after uint64) (*Undo, error) {
	u, err := l.state.undo(after)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", Path(l.dir), err)
	}
	return u, nil
}

// Withdraw makes the commits of the current run after a checkpoint void, durably. The caller then moves the files as
// State().Withdrawn says.
func (l *Ledger) Withdraw(after uint64, now core.Time) error {
	if _, err := l.Undo(after); err != nil {
		return err
	}
	return l.append(&Entry{Withdraw: &Withdrawal{After: after, Time: now}})
}

func (l *Ledger) append(e *Entry) error {
	if l.err != nil {
		return l.err
	}
	line, err := e.encode()
	if err != nil {
		return err
	}
	killpoint.Reach("ledger")
	if _, err = l.file.Write(line); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.err = fmt.Errorf("ledger %s: %w", Path(l.dir), err)
		return l.err
	}
	l.size += int64(len(line))
	if err := l.state.add(e); err != nil {
		return err
	}
	if e.Commit == nil || l.size < l.limit {
		return nil
	}
	if err := l.compact(); err != nil {
		l.err = fmt.Errorf("ledger %s: %w", Path(l.dir), err)
		return l.err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	l.size = info.Size()
	l.limit = max(l.limit, 2*l.size)
	return nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

// CheckFiles compares the visible files of the ledger with the directory, by size and time of change; where the time has
// changed, by checksum. It returns one Problem for each that is missing or changed.
func (s *State) CheckFiles(f vfs.FS, dir string) ([]Problem, error) {
	var problems []Problem
	for _, file := range sortedFiles(s.Visible) {
		full := filepath.Join(dir, filepath.FromSlash(file.Path))
		info, err := f.Stat(full)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			problems = append(problems, Problem{Kind: Missing, Path: file.Path, Detail: "the file is gone"})
		case err != nil:
			return nil, err
		case info.Size() != file.Bytes:
			problems = append(problems, Problem{Kind: Changed, Path: file.Path,
				Detail: fmt.Sprintf("it has %d bytes, delivered were %d", info.Size(), file.Bytes)})
		case file.Modified == 0 || info.ModTime().UnixNano() != file.Modified:
			sum, err := sumFile(f, full, file.Bytes)
			if err != nil {
				return nil, err
			}
			if sum != file.Sum {
				problems = append(problems, Problem{Kind: Changed, Path: file.Path,
					Detail: fmt.Sprintf("its checksum is %s, delivered was %s", sum, file.Sum)})
			}
		}
	}
	return problems, nil
}
