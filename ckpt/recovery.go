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
}

// MismatchError says that the state belongs to another job than the one that is to be started.
type MismatchError struct {
	Checkpoint uint64
	What       string // what differs
	Diff       string // "-" lines are of the state, "+" lines of the job
}

func (e *MismatchError) Error() string {
	text := fmt.Sprintf("the state (checkpoint %d) does not fit the job: %s", e.Checkpoint, e.What)
	if e.Diff != "" {
		text += " (- state, + job):\n" + e.Diff
	}
	return text + "\nrun the job that the state is of, use another checkpoint.dir, or start again with --fresh"
}

// Check reports whether the state in m fits what is expected; a *MismatchError shows the difference.
func (m *Manifest) Check(want Expect) error {
	switch {
	case m.Job != want.Job:
		return &MismatchError{m.Checkpoint, fmt.Sprintf("it is of the job %q, this is %q", m.Job, want.Job), ""}
	case m.KeyGroups != want.KeyGroups:
		return &MismatchError{m.Checkpoint, fmt.Sprintf("it has %d key groups, the job %d, and their number is fixed for the life of the state", m.KeyGroups, want.KeyGroups), ""}
	case m.Plan.Fingerprint != want.Plan.Fingerprint:
		return &MismatchError{m.Checkpoint, "the dataflow is another", diffLines(m.Plan.Text, want.Plan.Text)}
	}
	return nil
}

// diffLines shows the lines that only one text has, in their order, by a longest common subsequence.
func diffLines(old, now string) string {
	a, b := strings.Split(strings.TrimSpace(old), "\n"), strings.Split(strings.TrimSpace(now), "\n")
	if len(a)*len(b) > 1<<22 {
		return "(too long to compare)"
	}
	common := make([][]int32, len(a)+1) // common[i][j]: of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return strings.Join(out, "\n")
}

// Restart is where a job goes on.
type Restart struct {
	// Manifest is the checkpoint to restore; nil on a fresh start. If it is Finished, its output may still have to be
	// committed (Driver.Recommit) before anybody says that the job is done.
	Manifest *Manifest
	IDs      *IDs
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
		if err := m.Check(want); err != nil {
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
