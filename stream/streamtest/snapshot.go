package streamtest

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"turbo/ckpt"
	"turbo/core"
	"turbo/state"
)

// snapshots takes the tasks' reports and pages; it is their page store.
type snapshots struct {
	tasks int // that report

	mu    sync.Mutex
	acks  []ckpt.Ack
	now   map[ckpt.PageID]version // of the checkpoint in hand
	pages map[ckpt.PageID][]version
	last  *ckpt.Manifest
	acked chan struct{}
}

// version is one version of a page.
type version struct {
	Kind ckpt.Kind
	Data []byte
}

// file is what Snapshot returns, as gob.
type file struct {
	Manifest []byte
	Pages    []page
}

type page struct {
	ID       ckpt.PageID
	Versions []version
}

func newSnapshots() *snapshots {
	return &snapshots{now: map[ckpt.PageID]version{}, pages: map[ckpt.PageID][]version{}, acked: make(chan struct{}, 1)}
}

// Ack implements task.Checkpoints.
func (s *snapshots) Ack(a ckpt.Ack) {
	s.mu.Lock()
	s.acks = append(s.acks, a)
	s.mu.Unlock()
	select {
	case s.acked <- struct{}{}:
	default:
	}
}

// TaskEnded implements task.Checkpoints.
func (s *snapshots) TaskEnded(int) {}

// Write implements task.Checkpoints.
func (s *snapshots) Write(_ uint64, pages []ckpt.Page) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pages {
		s.now[p.ID] = version{p.Kind, bytes.Clone(p.Data)}
	}
	return nil
}

func (s *snapshots) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acks) == s.tasks
}

// Snapshot returns the state of the job as a checkpoint would have it, for From. It waits for the functions of AsyncWait and Lookup whose requests are
// under way. Rows that Output has not read yet are not in it: they are written.
func (h *Harness) Snapshot(ctx context.Context) ([]byte, error) {
	if h.t != nil {
		h.t.Helper()
	}
	out, err := h.take(ctx)
	if err := h.fail(err); err != nil {
		return nil, err
	}
	return out, nil
}

func (h *Harness) take(ctx context.Context) ([]byte, error) {
	if err := h.settle(); err != nil {
		return nil, err
	}
	s := h.saved
	m := &ckpt.Manifest{
		Job: h.expect.Job, Checkpoint: 1, Trigger: ckpt.Requested, Time: h.Now(), Parallelism: h.workers, KeyGroups: h.expect.KeyGroups, Plan: h.expect.Plan,
	}
	if s.last != nil {
		m.Checkpoint, m.Previous = s.last.Checkpoint+1, s.last.Checkpoint
	}
	h.attempt.InjectBarrier(ckpt.Barrier{ID: m.Checkpoint, Trigger: ckpt.Requested})
	if err := h.await(ctx, s.complete, s.acked); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed []error
	sources := map[string][]core.SplitState{}
	for _, a := range s.acks {
		failed = append(failed, a.Err)
		m.Operators = append(m.Operators, a.Operators...)
		for _, source := range a.Sources {
			sources[source.Source] = append(sources[source.Source], source.Splits...)
		}
	}
	s.acks = nil
	if err := errors.Join(failed...); err != nil {
		return nil, fmt.Errorf("job %s: snapshot: %w", m.Job, err)
	}
	for id, splits := range sources {
		m.Sources = append(m.Sources, ckpt.SourceState{Source: id, Splits: splits})
	}
	slices.SortFunc(m.Sources, func(a, b ckpt.SourceState) int { return strings.Compare(a.Source, b.Source) })
	for id, v := range s.now {
		switch v.Kind {
		case ckpt.Whole:
			s.pages[id] = []version{v}
		case ckpt.Delta:
			s.pages[id] = append(s.pages[id], v)
		default:
			delete(s.pages, id)
		}
	}
	clear(s.now)
	s.last = m
	h.attempt.CheckpointComplete(m)
	return s.encode()
}

// encode renders the last snapshot.
func (s *snapshots) encode() ([]byte, error) {
	var f file
	var err error
	if f.Manifest, err = ckpt.EncodeManifest(s.last); err != nil {
		return nil, err
	}
	for id, versions := range s.pages {
		f.Pages = append(f.Pages, page{id, versions})
	}
	slices.SortFunc(f.Pages, func(a, b page) int { return compareIDs(a.ID, b.ID) })
	var out bytes.Buffer
	err = gob.NewEncoder(&out).Encode(f)
	return out.Bytes(), err
}

func compareIDs(a, b ckpt.PageID) int {
	if n := strings.Compare(a.Operator, b.Operator); n != 0 {
		return n
	}
	if n := strings.Compare(a.Table, b.Table); n != 0 {
		return n
	}
	if n := int(a.KeyGroup) - int(b.KeyGroup); n != 0 {
		return n
	}
	return int(int64(a.Number) - int64(b.Number))
}

// decode takes over a snapshot.
func (s *snapshots) decode(snapshot []byte) (*ckpt.Manifest, error) {
	var f file
	if err := gob.NewDecoder(bytes.NewReader(snapshot)).Decode(&f); err != nil {
		return nil, fmt.Errorf("this is not what Snapshot returned: %w", err)
	}
	m, err := ckpt.DecodeManifest(f.Manifest)
	if err != nil {
		return nil, err
	}
	for _, p := range f.Pages {
		s.pages[p.ID] = p.Versions
	}
	s.last = m
	return m, nil
}

// pageSource restores tables from a snapshot.
type pageSource struct{ s *snapshots }

// Pages implements state.PageSource.
func (p pageSource) Pages(operator, table string, from, to int, visit func(uint16, uint32, []state.PageVersion) error) error {
	var ids []ckpt.PageID
	for id := range p.s.pages {
		if id.Operator == operator && id.Table == table && int(id.KeyGroup) >= from && int(id.KeyGroup) < to {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareIDs)
	for _, id := range ids {
		var chain []state.PageVersion
		for _, v := range p.s.pages[id] {
			chain = append(chain, state.PageVersion{Kind: state.PageKind(v.Kind), Data: v.Data})
		}
		if err := visit(id.KeyGroup, id.Number, chain); err != nil {
			return fmt.Errorf("state page %v: %w", id, err)
		}
	}
	return nil
}
