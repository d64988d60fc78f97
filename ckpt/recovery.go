package ckpt

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"turbo/internal/dirlock"
	"turbo/internal/vfs"
)

// Directory is a job's state directory, locked by this process: manifests, ids, and the place of the page store.
type Directory struct {
	FS        vfs.FS
	Path      string
	Manifests *Manifests
	lock      *dirlock.Lock
	ids       *IDs
}

// OpenDirectory makes the directory if need be and locks it; a *dirlock.HeldError names who else has it. owner is what
// others read when they are refused.
func OpenDirectory(f vfs.FS, path, owner string) (*Directory, error) {
	if err := vfs.MkdirSynced(f, path); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	lock, err := dirlock.Acquire(f, path, owner)
	if err != nil {
		return nil, err
	}
	return &Directory{FS: f, Path: path, Manifests: NewManifests(f, path), lock: lock}, nil
}

// PagesPath is where the page store's files belong.
func (d *Directory) PagesPath() string { return filepath.Join(d.Path, "pages") }

// Clear forgets the job's state: every manifest and all pages, which must not be open. Ids are not used again.
func (d *Directory) Clear() error {
	last, err := d.Manifests.LastID()
	if err != nil {
		return err
	}
	ids, err := OpenIDs(d.FS, d.Path, last)
	if err != nil {
		return err
	}
	if err := ids.write(ids.next); err != nil { // before the manifests go, which may be all that knows the ids
		return err
	}
	if err := d.Manifests.Clear(); err != nil {
		return err
	}
	return removeAll(d.FS, d.PagesPath())
}

func removeAll(f vfs.FS, dir string) error {
	there, err := vfs.Exists(f, dir)
	if err != nil || !there {
		return err
	}
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = removeAll(f, path)
		} else {
			err = f.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	if err := f.Remove(dir); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(dir))
}

// Close gives unused ids back and unlocks the directory.
func (d *Directory) Close() error {
	var err error
	if d.ids != nil {
		err = d.ids.Close()
	}
	return errors.Join(err, d.lock.Close())
}

// Expect says what a checkpoint must be of, to be restored.
type Expect struct {
	Job       string
	KeyGroups int
	Plan      Plan
	// Differences compares the plan that the state is of with the job's. nil: every other fingerprint is refused.
	Differences func(state Plan) ([]Difference, error)
}

// Difference is one difference between the job that wrote a checkpoint and the one to be started from it.
type Difference struct {
	Text    string
	Refused bool // the state does not fit; otherwise it is kept as it is
}

// MismatchError says that the state belongs to another job than the one that is to be started.
type MismatchError struct {
	Checkpoint uint64
	What       string   // what differs
	Details    []string // one line each
}

func (e *MismatchError) Error() string {
	text := fmt.Sprintf("the state (checkpoint %d) does not fit the job: %s", e.Checkpoint, e.What)
	if len(e.Details) > 0 {
		text += ":\n  " + strings.Join(e.Details, "\n  ")
	}
	return text + "\nrun the job that the state is of, use another checkpoint.dir, or start again with --fresh"
}

// Check reports whether the state in m fits what is expected; a *MismatchError shows the differences. changes are those that the state
// fits all the same.
func (m *Manifest) Check(want Expect) (changes []string, err error) {
	switch {
	case m.Job != want.Job:
		return nil, &MismatchError{m.Checkpoint, fmt.Sprintf("it is of the job %q, this is %q", m.Job, want.Job), nil}
	case m.KeyGroups != want.KeyGroups:
		return nil, &MismatchError{m.Checkpoint, fmt.Sprintf("it has %d key groups, the job %d, and their number is fixed for the life of the state", m.KeyGroups, want.KeyGroups), nil}
	case want.Differences == nil || len(m.Plan.Signature) == 0:
		if m.Plan.Fingerprint != want.Plan.Fingerprint {
			return nil, &MismatchError{m.Checkpoint, "the dataflow is another", nil}
		}
		return nil, nil
	}
	list, err := want.Differences(m.Plan)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %d: %w", m.Checkpoint, err)
	}
	var refused []string
	for _, d := range list {
		if d.Refused {
			refused = append(refused, d.Text)
		} else {
			changes = append(changes, d.Text)
		}
	}
	if len(refused) > 0 {
		return nil, &MismatchError{m.Checkpoint, "the dataflow is another", refused}
	}
	return changes, nil
}

// Restart is where a job goes on.
type Restart struct {
	// Manifest is the checkpoint to restore; nil on a fresh start. If it is Finished, its output may still have to be
	// committed (Driver.Recommit) before anybody says that the job is done.
	Manifest *Manifest
	// Changes say what the job does otherwise than the one that wrote the checkpoint, whose state it keeps.
	Changes []string
	IDs     *IDs
	// Unfinished is the number of pages that an unfinished checkpoint left behind; the next one covers them.
	Unfinished int
}

// Last is the id of the checkpoint that is restored, 0 on a fresh start.
func (r *Restart) Last() uint64 {
	if r.Manifest == nil {
		return 0
	}
	return r.Manifest.Checkpoint
}

// Recover finds the newest checkpoint, checks that it fits, and makes the page store continue from it. Errors: *DamagedError when
// the newest manifest cannot be read (falling back is the caller's decision: Withdraw, then Recover again), *MismatchError, ErrBroken
// when the page store does not have what the manifest says.
// It may be called again for every restart of a failed job, with the store still open or newly opened.
func (d *Directory) Recover(store *Store, want Expect) (*Restart, error) {
	m, err := d.Manifests.Newest()
	if err != nil && !errors.Is(err, ErrNoManifest) {
		return nil, err
	}
	r := &Restart{Manifest: m}
	var sum Summary
	if m != nil {
		if r.Changes, err = m.Check(want); err != nil {
			return nil, err
		}
		sum = m.Store
	}
	recovered, err := store.Recover(r.Last(), sum)
	if err != nil {
		return nil, err
	}
	r.Unfinished = recovered.Unfinished
	if d.ids == nil {
		last, err := store.LastID()
		if err != nil {
			return nil, err
		}
		lastFile, err := d.Manifests.LastID()
		if err != nil {
			return nil, err
		}
		if d.ids, err = OpenIDs(d.FS, d.Path, max(last, lastFile)); err != nil {
			return nil, err
		}
	}
	r.IDs = d.ids
	return r, nil
}
