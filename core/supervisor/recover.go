package supervisor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"turbo/ckpt"
	"turbo/core"
	"turbo/core/task"
	"turbo/internal/vfs"
)

// recover finds where to go on. When the newest checkpoint is damaged, it falls back.
func (s *Supervisor) recover(ctx context.Context) (*ckpt.Restart, error) {
	for {
		restart, err := s.dir.Recover(s.store, s.expect())
		if err == nil {
			return restart, nil
		}
		if err = s.fallBack(ctx, err); err != nil {
			return nil, err
		}
	}
}

// build opens an attempt. Damage that only shows when pages are read makes it fall back too.
func (s *Supervisor) build(ctx context.Context, restart *ckpt.Restart) (*task.Attempt, *ckpt.Restart, error) {
	for {
		a, err := task.Open(ctx, s.graph, restart.Manifest, task.PageSource(s.store, restart.Last()))
		if err == nil {
			return a, restart, nil
		}
		var page *ckpt.PageError
		if !errors.As(err, &page) {
			return nil, nil, err
		}
		if err = s.fallBack(ctx, err); err != nil {
			return nil, nil, err
		}
		if restart, err = s.recover(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// fallBack makes an older checkpoint the newest one after damage was found: every sink withdraws what was made visible since,
// then the manifests go aside. Errors that are no damage, and damage that cannot be got round, are returned.
func (s *Supervisor) fallBack(ctx context.Context, cause error) error {
	var page *ckpt.PageError
	var manifest *ckpt.DamagedError
	if !errors.As(cause, &manifest) && !errors.As(cause, &page) && !errors.Is(cause, ckpt.ErrBroken) {
		return cause
	}
	ids, err := s.dir.Manifests.List()
	if err != nil {
		return errors.Join(cause, err)
	}
	damaged, older := s.older(ids, page)
	if older == 0 {
		return core.Permanent(fmt.Errorf("%w; there is no older checkpoint to fall back to: restore %s from a backup, or start again with --fresh", cause, s.job.Dir))
	}
	for _, n := range s.graph.Nodes {
		if n.Sink == nil {
			continue
		}
		sink, err := n.Sink()
		if err != nil {
			return errors.Join(cause, err)
		}
		w, ok := sink.(core.Withdrawer)
		if !ok {
			_ = sink.Close() // it was not opened
			s.job.Log.Warn("this sink cannot take back what it wrote after the older checkpoint: rows will be there twice", "sink", n.ID, "checkpoint", older)
			continue
		}
		if err := errors.Join(w.Withdraw(ctx, older), sink.Close()); err != nil {
			return core.Permanent(fmt.Errorf("%w; falling back to checkpoint %d is not possible, because its output cannot be withdrawn: %w", cause, older, err))
		}
	}
	if err := s.dir.Manifests.Withdraw(older); err != nil {
		return errors.Join(cause, err)
	}
	s.job.Log.Warn("the newest checkpoint is damaged; its output was withdrawn, and the job goes on from the one before", "damaged", damaged, "checkpoint", older, "error", cause)
	return nil
}

// older picks the newest checkpoint that does not have the damage and whose manifest can be read; 0 when there is none. Nothing may be
// withdrawn before it is known that there is one. A damaged version of a page is in every checkpoint from its own on to the newest.
func (s *Supervisor) older(ids []uint64, page *ckpt.PageError) (damaged, older uint64) {
	if len(ids) == 0 {
		return 0, 0
	}
	damaged = ids[len(ids)-1]
	for i := len(ids) - 2; i >= 0; i-- {
		if page != nil && page.Checkpoint > 0 && ids[i] >= page.Checkpoint {
			continue
		}
		if _, err := s.dir.Manifests.Load(ids[i]); err == nil {
			return damaged, ids[i]
		}
	}
	return damaged, 0
}

// runID reads the identifier of the state in dir, or makes one.
func runID(f vfs.FS, dir string, fresh bool) (string, error) {
	path := filepath.Join(dir, "run")
	if !fresh {
		content, err := vfs.ReadFile(f, path)
		if id := strings.TrimSpace(string(content)); err == nil && id != "" {
			return id, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("state directory: %w", err)
		}
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // it never fails
	id := hex.EncodeToString(random[:])
	if err := f.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("state directory: %w", err)
	}
	if err := vfs.WriteFile(f, path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	return id, f.SyncDir(dir)
}
