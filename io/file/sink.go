package file

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/dirlock"
	"turbo/internal/killpoint"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
	"turbo/io/ledger"
)

// maxParts bounds the parts of a container file, and so what a committable says about it.
const maxParts = 1024

// Options of a Sink. Schema is that of the files: without partition columns.
type Options struct {
	connector.Runtime
	Dir         string
	Input       *core.Schema // of the batches
	Schema      *core.Schema // of the files
	Partition   []Partition
	Extension   string // with the dots
	Roll        RollPolicy
	Compression compress.Codec // of text formats
	Level       int
	MaxOpen     int // files that a writer holds open at most
	Existing    Existing
	Header      ledger.Header

	// Text formats have NewEncoder, containers NewContainer; the other one is nil.
	NewEncoder   func() (connector.Encoder, error)
	NewContainer func(io.Writer) (connector.FileWriter, error)
	// Parts of a container that can be made of parts; nil: its files are sealed at every checkpoint.
	Parts *Parts
}

// Partition is a column that names directories.
type Partition struct {
	Name   string // before the "="; "" for the plain style
	Column int    // in Input
}

// Existing says what a fresh start does with the output of an earlier run of the job.
type Existing uint8

// The policies, in the order of ExistingPolicies.
const (
	RefuseExisting  Existing = iota
	AppendExisting           // leave it: the new run's files join it
	ReplaceExisting          // remove the files that the ledger lists
)

// ExistingPolicies are the words of the job spec.
var ExistingPolicies = []string{"refuse", "append", "replace"}

// Sink delivers rows into files exactly once; see the package's comment. It implements core.Sink, core.Withdrawer and
// core.Validator.
type Sink struct {
	o         Options
	clock     clock.Clock
	log       *slog.Logger
	kept      []int         // columns of Input that go into the files
	committed atomic.Uint64 // newest checkpoint that is committed

	mu         sync.Mutex
	lock       *dirlock.Lock
	ledger     *ledger.Ledger
	unfinished bool // the ledger's last commit may have files that are still hidden
	adopted    [][]adoption
	base       uint64
}

// adoption is an open file of the restored checkpoint that is waiting for its writer.
type adoption struct {
	record openRecord
	file   *openFile
}

// New makes a sink; Open does the I/O.
func New(o Options) *Sink {
	s := &Sink{o: o, clock: o.Clock, log: o.Log}
	if s.clock == nil {
		s.clock = clock.Real()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.o.MaxOpen <= 0 {
		s.o.MaxOpen = 64
	}
	for c := range o.Input.Fields {
		if !slices.ContainsFunc(o.Partition, func(p Partition) bool { return p.Column == c }) {
			s.kept = append(s.kept, c)
		}
	}
	return s
}

// newContainer begins the next part of a file.
func (s *Sink) newContainer(f *openFile) (connector.FileWriter, error) {
	var to io.Writer = &f.out
	if s.o.Parts != nil && s.o.Parts.Wrap != nil {
		to = s.o.Parts.Wrap(to, len(f.parts) == 0)
	}
	return s.o.NewContainer(to)
}

func (s *Sink) errorf(format string, args ...any) error {
	return fmt.Errorf("sink %s: "+format, append([]any{s.o.Name}, args...)...)
}

// Writer implements core.Sink.
func (s *Sink) Writer(worker int) (core.SinkWriter, error) {
	w, err := s.writer(worker)
	if err != nil {
		return nil, err
	}
	return newSinkWriter(w, connector.AsyncWriterOptions{Runtime: s.o.Runtime, Worker: worker}), nil
}

func (s *Sink) writer(worker int) (*writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &writer{sink: s, worker: worker, base: s.base, open: map[string]*openFile{}, names: newDirSync(s.o.FS), flush: newFlusher()}
	for _, p := range s.o.Partition {
		w.split.columns = append(w.split.columns, p.Column)
		w.split.names = append(w.split.names, p.Name)
	}
	if s.o.NewEncoder != nil {
		var err error
		if w.encoder, err = s.o.NewEncoder(); err != nil {
			return nil, s.errorf("%w", err)
		}
	}
	if worker < len(s.adopted) {
		for _, a := range s.adopted[worker] {
			if err := w.adopt(a.record, a.file); err != nil {
				_ = w.Close() // what is not adopted yet is closed with the sink
				return nil, s.errorf("%w", err)
			}
		}
		s.adopted[worker] = nil
	}
	return w, nil
}

// Commit implements core.Sink.
func (s *Sink) Commit(_ context.Context, info core.CommitInfo, committables [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger == nil {
		return s.errorf("commit of checkpoint %d before Open", info.Checkpoint)
	}
	list, err := s.decode(committables)
	if err != nil {
		return err
	}
	return s.commit(info, list)
}

// decode reads what writers prepared. A manifest may also have, oldest first, what they prepared for checkpoints that were given up
// since the one before: each writer's newest committable says all of it, so the older ones are passed over.
func (s *Sink) decode(committables [][]byte) ([]committable, error) {
	var list []committable
	place := map[int]int{} // in list, by worker
	for i, c := range committables {
		if len(c) == 0 {
			continue
		}
		var part committable
		if err := json.Unmarshal(c, &part); err != nil {
			return nil, s.errorf("committable %d of the checkpoint cannot be read: %w", i, err)
		}
		if at, is := place[part.Worker]; is {
			list[at] = part
			continue
		}
		place[part.Worker] = len(list)
		list = append(list, part)
	}
	return list, nil
}

// commit is idempotent: ledger, then names.
func (s *Sink) commit(info core.CommitInfo, list []committable) error {
	if s.unfinished {
		if err := s.show(s.ledger.State().Last); err != nil {
			return err
		}
	}
	state := s.ledger.State()
	if last := state.Last; last != nil && info.Checkpoint < last.Checkpoint {
		return s.errorf("checkpoint %d is committed after checkpoint %d; the output of newer checkpoints must be withdrawn first", info.Checkpoint, last.Checkpoint)
	}
	c := &ledger.Commit{Checkpoint: info.Checkpoint, Previous: info.Previous, Time: info.Time, Final: info.Final, Sources: info.Sources, Balance: info.Balance, Computes: info.Computes}
	again := state.Last != nil && state.Last.Checkpoint == info.Checkpoint
	for _, part := range list {
		for _, f := range part.Sealed {
			if shown, is := state.Visible[f.Path]; is && shown == f && !(again && slices.Contains(state.Last.Files, f)) {
				continue // an earlier commit delivered it while this checkpoint was being prepared
			}
			c.Files = append(c.Files, f)
		}
		for _, r := range part.Open {
			c.Open = append(c.Open, r.File)
		}
	}
	if err := s.ledger.Commit(c); err != nil {
		return s.errorf("%w", err)
	}
	s.unfinished = true
	if err := s.show(c); err != nil {
		return err
	}
	s.committed.Store(info.Checkpoint)
	return nil
}

// show gives the files of a commit their visible names, durably.
func (s *Sink) show(c *ledger.Commit) error {
	if c != nil {
		names := newDirSync(s.o.FS)
		for _, f := range c.Files {
			if err := s.rename(f.Temp, f.Path, f.Bytes); err != nil {
				return err
			}
			names.changed(join(s.o.Dir, f.Path))
		}
		if err := names.sync(); err != nil {
			return s.errorf("%w", err)
		}
	}
	s.unfinished = false
	return nil
}

// rename moves a file of a known size. Old name gone and new name with that size is "done already"; anything else that is
// not the expected state is an error.
func (s *Sink) rename(from, to string, size int64) error {
	oldName, newName := join(s.o.Dir, from), join(s.o.Dir, to)
	hasNew, newSize, err := s.exists(newName)
	if err != nil {
		return err
	}
	hasOld, oldSize, err := s.exists(oldName)
	switch {
	case err != nil:
		return err
	case hasOld && !hasNew && oldSize == size:
		killpoint.Reach("rename")
		if err := s.o.FS.Rename(oldName, newName); err != nil {
			return s.errorf("%w", err)
		}
		return nil
	case hasNew && !hasOld && newSize == size:
		return nil
	case hasNew && hasOld:
		return s.errorf("both %s and %s exist: somebody else writes into %s; remove the one that does not belong there", newName, oldName, s.o.Dir)
	case hasNew:
		return s.errorf("%s has %d bytes, the checkpoint has it with %d: the output was changed from outside", newName, newSize, size)
	case hasOld:
		return s.errorf("%s has %d bytes, the checkpoint has it with %d: the output was changed from outside", oldName, oldSize, size)
	}
	return s.errorf("%s is gone and %s is not there: the output was removed from outside; restore it, or start again with --fresh", oldName, newName)
}

func (s *Sink) exists(name string) (bool, int64, error) {
	is, err := vfs.Exists(s.o.FS, name)
	if err != nil {
		return false, 0, s.errorf("%w", err)
	}
	if !is {
		return false, 0, nil
	}
	info, err := s.o.FS.Stat(name)
	if err != nil {
		return false, 0, s.errorf("%w", err)
	}
	return true, info.Size(), nil
}

// Close implements core.Sink.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.adopted {
		for _, a := range list {
			a.file.abandon()
		}
	}
	s.adopted = nil
	var err error
	if s.ledger != nil {
		err = s.ledger.Close()
		s.ledger = nil
	}
	if s.lock != nil {
		if e := s.lock.Close(); err == nil {
			err = e
		}
		s.lock = nil
	}
	return err
}
