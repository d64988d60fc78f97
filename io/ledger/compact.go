package ledger

import (
	"bufio"
	"fmt"
	"path/filepath"

	"turbo/internal/vfs"
)

// compactName is where the compacted ledger grows before it takes the ledger's place.
const compactName = ".ledger.jsonl.compact"

// defaultCompactBytes is the size of a ledger from which on it is compacted.
const defaultCompactBytes = 16 << 20

// fold merges a later commit into an earlier one of the same run: files together, ranges and balance added up, open files
// and checkpoint of the later one.
func fold(into, next *Commit) {
	into.Checkpoint, into.Time, into.Final, into.Open = next.Checkpoint, next.Time, next.Final, next.Open
	into.Files = append(into.Files, next.Files...)
	into.Folded += 1 + next.Folded
	if next.Balance == nil {
		into.Balance = nil
	} else if into.Balance != nil {
		sum := *into.Balance
		addBalance(&sum, next.Balance, 1)
		into.Balance = &sum
	}
	at := map[Split]int{}
	for i, r := range into.Sources {
		at[Split{r.Source, r.Split}] = i
	}
	for _, r := range next.Sources {
		if i, known := at[Split{r.Source, r.Split}]; known {
			into.Sources[i].To = r.To
		} else {
			into.Sources = append(into.Sources, r)
		}
	}
}

// compact rewrites the ledger without the detail of old checkpoints: of each run all commits but the newest keepHistory
// become one, and withdrawn ones go. The new file replaces the old one atomically; a crash leaves one or the other.
func (l *Ledger) compact() error {
	tmp := filepath.Join(l.dir, Dir, compactName)
	if is, err := vfs.Exists(l.fs, tmp); err != nil {
		return err
	} else if is {
		if err := l.fs.Remove(tmp); err != nil {
			return err
		}
	}
	out, err := l.fs.Create(tmp)
	if err != nil {
		return err
	}
	defer out.Close() // a second Close after the explicit one only returns an error
	if err := l.rewrite(out); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := l.fs.Replace(tmp, Path(l.dir)); err != nil {
		return err
	}
	if err := l.fs.SyncDir(filepath.Join(l.dir, Dir)); err != nil {
		return err
	}
	file, err := l.fs.OpenAppend(Path(l.dir))
	if err != nil {
		return err
	}
	old := l.file
	l.file = file
	_ = old.Close()
	return nil
}

// rewrite copies the entries, folded. Gaps between the ranges of folded commits are kept by not folding over them.
func (l *Ledger) rewrite(out vfs.File) error {
	in, err := l.fs.Open(Path(l.dir))
	if err != nil {
		return err
	}
	defer in.Close()
	w := bufio.NewWriterSize(out, 256<<10)
	put := func(e *Entry) error {
		line, err := e.encode()
		if err == nil {
			_, err = w.Write(line)
		}
		return err
	}
	state := newState()
	var run []*Commit // of the current run
	flush := func() error {
		var old *Commit
		for i, c := range run {
			if len(run)-i > keepHistory && old != nil && continues(old, c) {
				fold(old, c)
				continue
			}
			if old != nil {
				if err := put(&Entry{Commit: old}); err != nil {
					return err
				}
			}
			old = c
		}
		run = nil
		if old == nil {
			return nil
		}
		return put(&Entry{Commit: old})
	}
	_, err = scan(in, func(e *Entry) error {
		switch {
		case e.Begin != nil:
			if err := flush(); err != nil {
				return err
			}
			if err := put(e); err != nil {
				return err
			}
		case e.Commit != nil:
			run = append(run, e.Commit)
			if len(run) > 4*keepHistory { // bounds the memory, not the result
				for len(run) > 2*keepHistory && continues(run[0], run[1]) {
					fold(run[0], run[1])
					run = append(run[:1], run[2:]...)
				}
			}
		default:
			for len(run) > 0 && run[len(run)-1].Checkpoint > e.Withdraw.After {
				run = run[:len(run)-1]
			}
		}
		return state.add(e)
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// continues reports whether folding next into c hides nothing that Verify would find.
func continues(c, next *Commit) bool {
	if next.Balance != nil && !next.Balance.Holds() || c.Balance != nil && !c.Balance.Holds() || (c.Balance == nil) != (next.Balance == nil) {
		return false
	}
	if c.Computes != next.Computes {
		return false
	}
	to := map[Split]string{}
	for _, r := range c.Sources {
		to[Split{r.Source, r.Split}] = string(r.To)
	}
	for _, r := range next.Sources {
		if before, known := to[Split{r.Source, r.Split}]; known && before != string(r.From) {
			return false
		}
	}
	return true
}
