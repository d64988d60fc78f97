package ckpt

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"turbo/internal/killpoint"
	"turbo/internal/vfs"
)

// ManifestStore is where a Driver puts manifests. *Manifests is the one; tests put something between.
type ManifestStore interface {
	// Write makes m durable. When it fails, m is not there and never will be; but ErrUnknown says that this is not sure.
	Write(m *Manifest) error
	// Retain keeps the newest n manifests and returns the id of the oldest that is left, 0 when there is none.
	Retain(n int) (oldest uint64, err error)
}

// Manifests is a directory of manifest files, "manifest-<id>".
type Manifests struct {
	fs  vfs.FS
	dir string
}

// NewManifests uses an existing directory.
func NewManifests(f vfs.FS, dir string) *Manifests { return &Manifests{f, dir} }

const (
	manifestPrefix  = "manifest-"
	withdrawnPrefix = "withdrawn-"
	temporarySuffix = ".tmp"
)

func manifestName(id uint64) string { return fmt.Sprintf("%s%012d", manifestPrefix, id) }

// Path is the path of a manifest's file.
func (s *Manifests) Path(id uint64) string { return filepath.Join(s.dir, manifestName(id)) }

var (
	// ErrUnknown says that it is not known whether a manifest is durable: the job must stop and read what is there.
	ErrUnknown = errors.New("whether the manifest is durable is not known")
	// ErrNoManifest is returned when there is no manifest (of that id).
	ErrNoManifest = errors.New("no such checkpoint")
)

// DamagedError says that a manifest cannot be read.
type DamagedError struct {
	Path       string
	Checkpoint uint64
	Err        error
	// Newest is true when no newer manifest exists; Others are the checkpoints whose manifests exist besides, newest first, readable or not.
	Newest bool
	Others []uint64
}

func (e *DamagedError) Error() string {
	way := "remove the state directory to start again"
	if len(e.Others) > 0 {
		way = fmt.Sprintf("restore the file from a backup, or fall back to checkpoint %d once the sinks have withdrawn what %d committed",
			e.Others[0], e.Checkpoint)
	}
	return fmt.Sprintf("checkpoint %d: manifest %s: %v; %s", e.Checkpoint, e.Path, e.Err, way)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// Write implements ManifestStore: a temporary file, synced, renamed, and the directory synced.
func (s *Manifests) Write(m *Manifest) error {
	content, err := EncodeManifest(m)
	if err != nil {
		return err
	}
	path := s.Path(m.Checkpoint)
	temporary := path + temporarySuffix
	fail := func(err error) error { return fmt.Errorf("manifest of checkpoint %d: %w", m.Checkpoint, err) }
	killpoint.Reach(PhaseManifest)
	if err := s.fs.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := s.writeFile(temporary, content); err != nil {
		_ = s.fs.Remove(temporary) // only tidying up: a temporary file means nothing
		return fail(err)
	}
	killpoint.Reach(PhaseRename)
	if err := s.fs.Rename(temporary, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fail(err) // somebody's manifest, not ours: nothing has changed
		}
		return s.undo(m.Checkpoint, err)
	}
	killpoint.Reach(PhaseSyncDir)
	if err := s.fs.SyncDir(s.dir); err != nil {
		return s.undo(m.Checkpoint, err)
	}
	return nil
}

func (s *Manifests) writeFile(name string, content []byte) error {
	file, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	if _, err = file.Write(content); err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// undo takes a manifest back whose name may be durable or not.
func (s *Manifests) undo(id uint64, cause error) error {
	path := s.Path(id)
	for _, name := range []string{path + temporarySuffix, path} {
		if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("manifest of checkpoint %d: %w: %w; taking it back: %w", id, ErrUnknown, cause, err)
		}
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return fmt.Errorf("manifest of checkpoint %d: %w: %w; taking it back: %w", id, ErrUnknown, cause, err)
	}
	return fmt.Errorf("manifest of checkpoint %d: %w", id, cause)
}

// List returns the checkpoints that have a manifest, oldest first, readable or not.
func (s *Manifests) List() ([]uint64, error) {
	ids, _, err := s.scan()
	return ids, err
}

// scan returns the manifests, and the largest id of any file, withdrawn and temporary ones too.
func (s *Manifests) scan() (ids []uint64, last uint64, err error) {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("checkpoint directory: %w", err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), temporarySuffix)
		number, isManifest := strings.CutPrefix(name, manifestPrefix)
		if !isManifest {
			number = strings.TrimPrefix(name, withdrawnPrefix)
		}
		id, err := strconv.ParseUint(number, 10, 64)
		if err != nil || number == name {
			continue
		}
		last = max(last, id)
		if isManifest && name == e.Name() {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return ids, last, nil
}

// LastID is the largest checkpoint id that has left a file, also a withdrawn or temporary one; 0 if none has.
func (s *Manifests) LastID() (uint64, error) {
	_, last, err := s.scan()
	return last, err
}

// Load reads one manifest: ErrNoManifest, or a *DamagedError.
func (s *Manifests) Load(id uint64) (*Manifest, error) {
	path := s.Path(id)
	content, err := vfs.ReadFile(s.fs, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint %d: %w", id, ErrNoManifest)
	}
	var m *Manifest
	if err == nil {
		m, err = DecodeManifest(content)
	}
	if err == nil && m.Checkpoint != id {
		err = fmt.Errorf("%w (it is that of checkpoint %d)", ErrDamaged, m.Checkpoint)
	}
	if err == nil {
		return m, nil
	}
	damaged := &DamagedError{Path: path, Checkpoint: id, Err: err, Newest: true}
	ids, listErr := s.List()
	if listErr != nil {
		return nil, errors.Join(damaged, listErr)
	}
	for i := len(ids) - 1; i >= 0; i-- {
		if ids[i] > id {
			damaged.Newest = false
		}
		if ids[i] < id {
			damaged.Others = append(damaged.Others, ids[i])
		}
	}
	return nil, damaged
}

// Newest reads the newest manifest: ErrNoManifest when there is none (nor a directory), a *DamagedError when it cannot be read. It never
// falls back to an older one by itself, as the sinks may have committed the newest.
func (s *Manifests) Newest() (*Manifest, error) {
	ids, err := s.List()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(ids) == 0 {
		return nil, ErrNoManifest
	}
	if err != nil {
		return nil, err
	}
	return s.Load(ids[len(ids)-1])
}

// Withdraw takes the manifests after the given checkpoint out of the way, so that it becomes the newest: the files are
// renamed to "withdrawn-<id>". The caller has first made the sinks withdraw what these checkpoints committed.
func (s *Manifests) Withdraw(after uint64) error {
	ids, err := s.List()
	if err != nil {
		return err
	}
	for i := len(ids) - 1; i >= 0 && ids[i] > after; i-- { // newest first: a crash in between leaves no hole
		to := filepath.Join(s.dir, fmt.Sprintf("%s%012d", withdrawnPrefix, ids[i]))
		if err := s.fs.Replace(s.Path(ids[i]), to); err != nil {
			return fmt.Errorf("withdrawing checkpoint %d: %w", ids[i], err)
		}
		if err := s.fs.SyncDir(s.dir); err != nil {
			return fmt.Errorf("withdrawing checkpoint %d: %w", ids[i], err)
		}
	}
	return nil
}

// Retain implements ManifestStore. Withdrawn and temporary files older than what is kept go too.
func (s *Manifests) Retain(n int) (oldest uint64, err error) {
	ids, err := s.List()
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	keep := ids[max(0, len(ids)-max(n, 1)):]
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("checkpoint directory: %w", err)
	}
	removed := false
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), temporarySuffix)
		number := strings.TrimPrefix(strings.TrimPrefix(name, withdrawnPrefix), manifestPrefix)
		id, err := strconv.ParseUint(number, 10, 64)
		if err != nil || number == name || id >= keep[0] {
			continue
		}
		if err := s.fs.Remove(filepath.Join(s.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("removing an old manifest: %w", err)
		}
		removed = true
	}
	if removed {
		// The versions of the store that only they need go next: first they must be gone for good.
		if err := s.fs.SyncDir(s.dir); err != nil {
			return 0, fmt.Errorf("removing old manifests: %w", err)
		}
	}
	return keep[0], nil
}

// Clear removes every manifest, newest last, so that a crash in between leaves the newest state or none.
func (s *Manifests) Clear() error {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("checkpoint directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), manifestPrefix) || strings.HasPrefix(e.Name(), withdrawnPrefix) {
			if err := s.fs.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return fmt.Errorf("removing manifests: %w", err)
			}
		}
	}
	return s.fs.SyncDir(s.dir)
}
