package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"turbo/core"
	"turbo/internal/dirlock"
	"turbo/internal/vfs"
	"turbo/io/ledger"
)

// Open implements core.Sink: it takes the directory's lock, finishes the restored checkpoint's commit, checks the visible
// files, cuts open files back to their durable prefix and removes hidden files that the checkpoint does not have.
func (s *Sink) Open(ctx context.Context, restored *core.RestoredSink) error {
	s.mu.Lock()
	err := s.open(restored)
	s.mu.Unlock()
	if err != nil {
		_ = s.Close()
	}
	return err
}

func (s *Sink) open(restored *core.RestoredSink) error {
	if err := s.take(); err != nil {
		return err
	}
	s.base = 0
	keep := map[string]bool{}
	if restored == nil {
		if err := s.begin(); err != nil {
			return err
		}
	} else if err := s.restore(restored, keep); err != nil {
		return err
	}
	if n := s.ledger.Torn(); n > 0 {
		s.log.Info("cut an unfinished entry off the delivery ledger", "path", ledger.Path(s.o.Dir), "bytes", n)
	}
	problems, err := s.ledger.State().CheckFiles(s.o.FS, s.o.Dir)
	if err != nil {
		return s.errorf("check the output: %w", err)
	}
	if len(problems) > 0 {
		var lines []string
		for i, p := range problems {
			if i == 10 {
				lines = append(lines, fmt.Sprintf("and %d more", len(problems)-i))
				break
			}
			lines = append(lines, p.String())
		}
		return s.errorf("the output in %s is not what the delivery ledger says:\n  %s\nPut the files back, or start again with --fresh",
			s.o.Dir, strings.Join(lines, "\n  "))
	}
	return s.discard(keep)
}

// take makes the directory ours and opens the ledger.
func (s *Sink) take() error {
	if err := vfs.MkdirSynced(s.o.FS, s.o.Dir); err != nil {
		return s.errorf("output directory: %w", err)
	}
	var err error
	if s.lock == nil {
		if s.lock, err = dirlock.Acquire(s.o.FS, s.o.Dir, "job "+s.o.Job+", sink "+s.o.Name); err != nil {
			return s.errorf("%w", err)
		}
	}
	if s.ledger != nil {
		_ = s.ledger.Close()
		s.ledger = nil
	}
	if s.ledger, err = ledger.Open(s.o.FS, s.o.Dir); err != nil {
		return s.errorf("%w", err)
	}
	h := s.ledger.State().Header
	if h != nil && (h.Job != s.o.Job || h.Sink != s.o.Name) {
		return s.errorf("%s belongs to job %s, sink %s; use another directory", s.o.Dir, h.Job, h.Sink)
	}
	s.unfinished = false
	if u := s.ledger.State().Withdrawn; u != nil { // it may have been interrupted
		return s.takeBack(u)
	}
	return nil
}

// begin is a start without state.
func (s *Sink) begin() error {
	state := s.ledger.State()
	if state.Header != nil && state.Header.Run == s.o.Run && state.Commits == 0 { // stopped before its first checkpoint
		if s.sameForm(state.Header) == nil {
			return nil
		}
		h := s.o.Header
		h.Job, h.Sink, h.Run, h.Started = s.o.Job, s.o.Name, s.o.Run, core.TimeOf(s.clock.Now())
		if err := s.ledger.Begin(h); err != nil {
			return s.errorf("%w", err)
		}
		return nil
	}
	if state.Header != nil && state.Header.Run == s.o.Run {
		return s.errorf("%s has the output of checkpoint %d of this run, but the job starts without a checkpoint: its state is gone; restore the state directory, or start again with --fresh",
			s.o.Dir, state.Last.Checkpoint)
	}
	replaced := false
	if len(state.Visible) > 0 {
		switch s.o.Existing {
		case RefuseExisting:
			return s.errorf("%s has %d files of an earlier run (%s); set existing: append to keep them beside the new ones, existing: replace to remove them, or use another directory",
				s.o.Dir, len(state.Visible), state.Header.Run)
		case ReplaceExisting:
			replaced = true
			if err := s.removeAll(state.Visible); err != nil {
				return err
			}
		}
	}
	h := s.o.Header
	h.Job, h.Sink, h.Run, h.Started, h.Replaces = s.o.Job, s.o.Name, s.o.Run, core.TimeOf(s.clock.Now()), replaced
	if err := s.ledger.Begin(h); err != nil {
		return s.errorf("%w", err)
	}
	return nil
}

// sameForm refuses to go on in another form than the run began in: open files would go on in it behind what they have, and the ledger says
// how each run's files are read. A container's options may change, as its files say themselves how each part is encoded.
func (s *Sink) sameForm(was *ledger.Header) error {
	now := &s.o.Header
	if was.Format == now.Format && (s.o.NewContainer != nil || was.Compression == now.Compression && maps.Equal(was.Options, now.Options)) {
		return nil
	}
	return core.Permanent(s.errorf("the files in %s are %s, and the job now writes %s, but a run's files have one form; go on with the earlier one, or start again with --fresh (existing: append keeps the files that are there)",
		s.o.Dir, formText(was), formText(now)))
}

// formText says how files are written, in the words of a job spec.
func formText(h *ledger.Header) string {
	parts := []string{"type: " + h.Format}
	for _, name := range slices.Sorted(maps.Keys(h.Options)) {
		parts = append(parts, name+": "+h.Options[name])
	}
	text := "{" + strings.Join(parts, ", ") + "}"
	if h.Compression != "" {
		text += " with compression: " + h.Compression
	}
	return text
}

// removeAll removes visible files. Hidden ones are left to discard, which knows what a checkpoint still needs.
func (s *Sink) removeAll(files map[string]ledger.File) error {
	names := newDirSync(s.o.FS)
	for _, f := range files {
		full := join(s.o.Dir, f.Path)
		if err := s.o.FS.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.errorf("remove earlier output: %w", err)
		} else if err == nil {
			names.changed(full)
		}
	}
	return names.sync()
}

// restore brings the output to the restored checkpoint; keep gets the hidden files that belong to it.
func (s *Sink) restore(restored *core.RestoredSink, keep map[string]bool) error {
	state := s.ledger.State()
	info := restored.Info
	switch {
	case state.Header == nil && info.Previous != 0:
		return s.errorf("the delivery ledger of %s is gone, but checkpoint %d continues checkpoint %d; restore the output, or start again with --fresh",
			s.o.Dir, info.Checkpoint, info.Previous)
	case state.Header != nil && state.Header.Run != s.o.Run && info.Previous != 0:
		return core.Permanent(s.errorf("%s was written to by another run of the job %s since (begun %s), which has a state directory of its own: its output follows that of checkpoint %d. "+
			"Give each a directory of its own, or start again with --fresh", s.o.Dir, s.o.Job, time.UnixMicro(int64(state.Header.Started)).UTC().Format(time.DateTime), info.Previous))
	case state.Header == nil || state.Header.Run != s.o.Run:
		if err := s.begin(); err != nil { // the state is of a run whose ledger entry was not durable yet
			return err
		}
		state = s.ledger.State()
	}
	if err := s.sameForm(state.Header); err != nil {
		return err
	}
	if last := state.Last; last != nil && last.Checkpoint > info.Checkpoint {
		return s.errorf("%s has the output of checkpoint %d, but the job falls back to checkpoint %d; withdraw the newer output first, or start again with --fresh",
			s.o.Dir, last.Checkpoint, info.Checkpoint)
	}
	s.unfinished = true
	list, err := s.decode(restored.Committables)
	if err != nil {
		return err
	}
	if err := s.commit(info, list); err != nil {
		return err
	}
	s.committed.Store(info.Checkpoint)
	s.base = info.Checkpoint
	parallelism := max(s.o.Parallelism, 1)
	s.adopted = make([][]adoption, parallelism)
	for _, part := range list {
		for _, r := range part.Open {
			keep[r.Temp] = true
			file, err := reopen(s.o.FS, s.o.Dir, r.File)
			if err != nil {
				return s.errorf("continue an open file: %w", err)
			}
			f := &openFile{path: r.Path, partition: r.Partition, rows: r.Rows, opened: time.UnixMicro(r.Opened), written: time.UnixMicro(r.Written),
				out: appender{file: file, bytes: r.Bytes, sum: r.Sum}}
			worker := part.Worker % parallelism
			s.adopted[worker] = append(s.adopted[worker], adoption{r, f})
		}
	}
	return nil
}

// discard removes the hidden files that are not to be kept, below the whole directory.
func (s *Sink) discard(keep map[string]bool) error {
	names := newDirSync(s.o.FS)
	var walk func(rel string) error
	walk = func(rel string) error {
		list, err := s.o.FS.ReadDir(join(s.o.Dir, rel))
		if err != nil {
			return err
		}
		for _, e := range list {
			name := path.Join(rel, e.Name())
			switch {
			case e.IsDir() && e.Name() != ledger.Dir:
				if err := walk(name); err != nil {
					return err
				}
			case !e.IsDir() && isHidden(e.Name()) && !keep[name]:
				if err := s.o.FS.Remove(join(s.o.Dir, name)); err != nil {
					return err
				}
				names.changed(join(s.o.Dir, name))
			}
		}
		return nil
	}
	if err := walk("."); err != nil {
		return s.errorf("remove unfinished files: %w", err)
	}
	if err := names.sync(); err != nil {
		return s.errorf("remove unfinished files: %w", err)
	}
	return nil
}

// Withdraw implements core.Withdrawer: files that later checkpoints than after made visible are removed, or hidden again if
// that checkpoint has them open. It is called before Open and may be repeated.
func (s *Sink) Withdraw(ctx context.Context, after uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	opened := s.ledger == nil
	err := s.withdraw(after)
	if opened {
		s.mu.Unlock()
		if e := s.Close(); err == nil {
			err = e
		}
		s.mu.Lock()
	}
	return err
}

func (s *Sink) withdraw(after uint64) error {
	if s.ledger == nil {
		if err := s.take(); err != nil {
			return err
		}
	}
	state := s.ledger.State()
	if state.Last == nil || state.Last.Checkpoint <= after {
		return nil
	}
	u, err := s.ledger.Undo(after)
	if err != nil {
		return s.errorf("%w; start again with --fresh", err)
	}
	for _, f := range u.Hide {
		shown, _, err := s.exists(join(s.o.Dir, f.Path))
		if err != nil {
			return err
		}
		still, _, err := s.exists(join(s.o.Dir, f.Temp))
		if err != nil {
			return err
		}
		if shown == still {
			return s.errorf("cannot go back to checkpoint %d: %s, which was open then, is gone; start again with --fresh", after, f.Path)
		}
	}
	if err := s.ledger.Withdraw(after, core.TimeOf(s.clock.Now())); err != nil {
		return s.errorf("%w", err)
	}
	return s.takeBack(s.ledger.State().Withdrawn)
}

// takeBack does what a withdrawal in the ledger says. It may be repeated, also after the next run has begun: that run may use
// the withdrawn files' names again, and then has them hidden until its first commit ends the withdrawal's turn.
func (s *Sink) takeBack(u *ledger.Undo) error {
	names := newDirSync(s.o.FS)
	for _, f := range u.Hide {
		shown, _, err := s.exists(join(s.o.Dir, f.Path))
		if err != nil {
			return err
		}
		if shown {
			if err := s.o.FS.Rename(join(s.o.Dir, f.Path), join(s.o.Dir, f.Temp)); err != nil {
				return s.errorf("withdraw: %w", err)
			}
			names.changed(join(s.o.Dir, f.Path))
		}
	}
	remove := map[string]ledger.File{}
	for _, f := range u.Remove {
		remove[f.Path] = f
	}
	if err := names.sync(); err != nil {
		return s.errorf("withdraw: %w", err)
	}
	return s.removeAll(remove)
}

// Validate implements core.Validator: the output directory can be made and written to, and belongs to this job.
func (s *Sink) Validate(context.Context) error {
	dir, err := filepath.Abs(s.o.Dir)
	if err != nil {
		return s.errorf("%w", err)
	}
	if state, err := ledger.Read(s.o.FS, dir); err == nil {
		if h := state.Header; h != nil && (h.Job != s.o.Job || h.Sink != s.o.Name) {
			return s.errorf("%s belongs to job %s, sink %s; use another directory", s.o.Dir, h.Job, h.Sink)
		}
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		if _, statErr := s.o.FS.Stat(ledger.Path(dir)); statErr == nil {
			return s.errorf("%w", err)
		}
	}
	for {
		info, err := s.o.FS.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return s.errorf("output directory: %w", err)
		}
		if !info.IsDir() {
			return s.errorf("output directory: %s is a file", dir)
		}
		break
	}
	probe := filepath.Join(dir, fmt.Sprintf(".turbo-probe-%d", s.clock.Nanos()))
	f, err := s.o.FS.Create(probe)
	if err != nil {
		return s.errorf("output directory cannot be written to: %w", err)
	}
	f.Close()
	if err := s.o.FS.Remove(probe); err != nil {
		return s.errorf("output directory: %w", err)
	}
	return nil
}
