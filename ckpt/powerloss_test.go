package ckpt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/modelstore"
	"turbo/core"
	"turbo/internal/killpoint"
	"turbo/internal/vfs"
)

// The tiny job reads the numbers 0, 1, 2, ... counts them modulo some keys in pages of state, and hands each to a
// transactional sink. Its disks can lose what was not synced, at any phase of a checkpoint. What is committed must always be
// a prefix of the numbers, each once, and state, source and sink must agree after every recovery.

const keys = 7

// tinySink is the outside world: what is committed stays.
type tinySink struct {
	mu        sync.Mutex
	visible   []int
	committed map[string]bool // "checkpoint/index" of committables that were applied
	dead      bool            // the power is off
}

func (s *tinySink) Commit(_ context.Context, m *ckpt.Manifest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errors.New("no power")
	}
	for _, sink := range m.Sinks {
		for _, c := range sink.Committables {
			name := fmt.Sprint(c.Checkpoint)
			if s.committed[name] {
				continue
			}
			s.committed[name] = true
			for data := c.Data; len(data) > 0; data = data[8:] {
				s.visible = append(s.visible, int(binary.BigEndian.Uint64(data)))
			}
		}
	}
	return nil
}

// tinyJob is one attempt of the job; one goroutine is both its tasks.
type tinyJob struct {
	driver   *ckpt.Driver
	random   *rand.Rand
	inbox    chan any
	position uint64
	counts   [keys]uint64
	base     [keys]uint64 // at the last complete checkpoint
	frozen   map[uint64][keys]uint64
	buffered []byte
	limit    uint64
	leaveOut bool // a mutant: forgets a dirty page now and then
	declines bool
}

func (j *tinyJob) InjectBarrier(b ckpt.Barrier)        { j.inbox <- b }
func (j *tinyJob) AbortCheckpoint(id uint64, _ error)  { j.inbox <- id }
func (j *tinyJob) CheckpointComplete(m *ckpt.Manifest) { j.inbox <- m }
func (j *tinyJob) restore(s *ckpt.Store, m *ckpt.Manifest) error {
	if m == nil {
		return nil
	}
	j.position = binary.BigEndian.Uint64(m.Source("numbers")[0].Position)
	err := s.Restore(m.Checkpoint, ckpt.Selection{Operator: "count", Table: "t", ToGroup: keys}, func(id ckpt.PageID, chain []ckpt.Version) error {
		for _, v := range chain {
			j.counts[id.KeyGroup] += binary.BigEndian.Uint64(v.Data)
		}
		return nil
	})
	j.base = j.counts
	return err
}

func (j *tinyJob) run(ctx context.Context) {
	ended := false
	for {
		if j.position < j.limit {
			j.buffered = binary.BigEndian.AppendUint64(j.buffered, j.position)
			j.counts[(j.position*j.position)%keys]++
			j.position++
		} else if !ended {
			ended = true
			j.driver.TaskEnded(0)
			j.driver.TaskEnded(1)
		}
		var message any
		if j.position < j.limit && j.position%100 != 0 { // every 100 numbers something must happen first
			select {
			case message = <-j.inbox:
			case <-ctx.Done():
				return
			default:
				continue
			}
		}
		if message == nil {
			select {
			case message = <-j.inbox:
			case <-ctx.Done():
				return
			}
		}
		switch m := message.(type) {
		case ckpt.Barrier:
			j.barrier(m.ID)
		case *ckpt.Manifest:
			j.base = j.frozen[m.Checkpoint]
		}
	}
}

func (j *tinyJob) barrier(id uint64) {
	var pages []ckpt.Page
	for k, n := range j.counts {
		page := ckpt.Page{ID: ckpt.PageID{Operator: "count", Table: "t", KeyGroup: uint16(k)}, Kind: ckpt.Delta}
		switch {
		case n == j.base[k]:
			continue
		case j.base[k] == 0 || j.random.IntN(4) == 0:
			page.Kind, page.Data = ckpt.Whole, binary.BigEndian.AppendUint64(nil, n)
		default:
			page.Data = binary.BigEndian.AppendUint64(nil, n-j.base[k])
		}
		if j.leaveOut && j.random.IntN(10) == 0 {
			continue
		}
		pages = append(pages, page)
	}
	j.frozen = map[uint64][keys]uint64{id: j.counts}
	err := j.driver.Write(id, pages)
	if err == nil && j.declines && j.random.IntN(8) == 0 {
		err = errors.New("declined by chance")
	}
	position := binary.BigEndian.AppendUint64(nil, j.position)
	j.driver.Ack(ckpt.Ack{Task: 0, Checkpoint: id, Err: err, Counters: []ckpt.OperatorCounters{{Operator: "numbers", Counters: core.Counters{In: int64(j.position)}}},
		Sources: []ckpt.SourceState{{Source: "numbers", Splits: []core.SplitState{{ID: "0", Position: position}}}}})
	j.driver.Ack(ckpt.Ack{Task: 1, Checkpoint: id, Committables: []ckpt.Committable{{Sink: "out", Checkpoint: id, Data: j.buffered}}})
	j.buffered = nil
}

// mutant breaks one thing that the test must notice.
type mutant struct {
	skipDirSync   bool // renames are not made durable
	earlyCommit   bool // "durable" is said before the manifest is written
	leaveOutPage  bool
	skipStoreSync bool
	reuseVersions bool // the store forgets that unfinished versions exist
}

type lazyDirSync struct{ vfs.FS }

func (lazyDirSync) SyncDir(string) error { return nil }

type lazyStore struct {
	ckpt.Backend
	mutant mutant
	from   uint64
}

func (s lazyStore) Sync() error {
	if s.mutant.skipStoreSync {
		return nil
	}
	return s.Backend.Sync()
}

func (s lazyStore) Scan(scan ckpt.Scan, visit func(ckpt.Item) (ckpt.Next, error)) error {
	if s.mutant.reuseVersions && scan.After > 0 {
		return nil
	}
	return s.Backend.Scan(scan, visit)
}

// eagerManifests is the mutant that commits before the manifest is durable.
type eagerManifests struct {
	*ckpt.Manifests
	later chan *ckpt.Manifest
}

func (s eagerManifests) Write(m *ckpt.Manifest) error {
	select {
	case before := <-s.later:
		if err := s.Manifests.Write(before); err != nil {
			return err
		}
	default:
	}
	s.later <- m
	return nil
}

// history runs the job through power losses until it is finished, and returns what went wrong.
func history(seed uint64, mutant mutant, phases map[string]int) (err error) {
	random := rand.New(rand.NewPCG(seed, 3))
	mem, disk := vfs.NewMem(), modelstore.NewDisk()
	var f vfs.FS = mem
	if mutant.skipDirSync {
		f = lazyDirSync{mem}
	}
	sink := &tinySink{committed: map[string]bool{}}
	const limit = 4000
	for attempt := range 40 {
		lose := attempt < 30
		finished, err := oneAttempt(random, f, mem, disk, sink, mutant, phases, limit, lose)
		if err != nil {
			return fmt.Errorf("attempt %d: %w", attempt, err)
		}
		if finished {
			break
		}
	}
	if len(sink.visible) != limit {
		return fmt.Errorf("%d numbers are visible, want %d", len(sink.visible), limit)
	}
	return nil
}

var expect = ckpt.Expect{Job: "tiny", KeyGroups: keys, Plan: ckpt.Plan{Fingerprint: "f"}}

func oneAttempt(random *rand.Rand, f vfs.FS, mem *vfs.Mem, disk *modelstore.Disk, sink *tinySink, mutant mutant, phases map[string]int, limit uint64, lose bool) (finished bool, err error) {
	dir, err := ckpt.OpenDirectory(f, "/state", "test")
	if err != nil {
		return false, err
	}
	defer dir.Close() // after a power loss it only unlocks: the rest fails
	store := ckpt.NewStore(lazyStore{disk.Open(), mutant, 0}, ckpt.StoreOptions{FS: f, Dir: "/"})
	restart, err := dir.Recover(store, expect)
	if err != nil {
		return false, err
	}
	job := &tinyJob{random: rand.New(rand.NewPCG(random.Uint64(), 0)), inbox: make(chan any, 10), leaveOut: mutant.leaveOutPage, declines: true}
	job.limit = limit
	if err := job.restore(store, restart.Manifest); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sink.dead = false
	var manifests ckpt.ManifestStore = dir.Manifests
	if mutant.earlyCommit {
		manifests = eagerManifests{dir.Manifests, make(chan *ckpt.Manifest, 1)}
	}
	job.driver, err = ckpt.NewDriver(ckpt.DriverConfig{
		Coordinator: ckpt.CoordinatorConfig{Tasks: []string{"count", "sink"}, Interval: 200 * time.Microsecond, RetryDelay: 10 * time.Microsecond},
		Expect:      expect, Parallelism: 1, Retain: 1 + random.IntN(3), Store: store, Manifests: manifests, Restart: restart, Runtime: job, Committer: sink,
	})
	if err != nil {
		return false, err
	}
	if err := job.driver.Recommit(ctx); err != nil {
		return false, err
	}
	if err := agree(job, sink); err != nil {
		return false, err
	}
	if restart.Manifest != nil && restart.Manifest.Finished { // only now: its commit may have been cut off
		return true, nil
	}
	// The power goes at a phase drawn by lot.
	phase, arrival := ckpt.Phases[random.IntN(len(ckpt.Phases))], 1+random.IntN(4)
	var once sync.Once
	var mu sync.Mutex
	restore := killpoint.Set(func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if !lose || name != phase {
			return
		}
		if arrival--; arrival > 0 {
			return
		}
		once.Do(func() {
			phases[name]++
			mem.StopAfter(0)
			sink.mu.Lock()
			sink.dead = true
			sink.mu.Unlock()
			if random.IntN(2) == 0 {
				disk.Crash()
			} else {
				disk.CrashRandom(random.Uint64())
			}
			cancel()
		})
	})
	defer restore()
	taskDone := make(chan struct{})
	go func() {
		defer close(taskDone)
		job.run(ctx)
	}()
	outcome, runErr := job.driver.Run(ctx)
	cancelled := ctx.Err() != nil
	cancel()
	<-taskDone
	if !cancelled {
		if runErr != nil {
			return false, runErr
		}
		return outcome.Trigger == ckpt.End, nil
	}
	dir.Close()
	mem.CrashRandom(random.Uint64())
	return false, nil
}

// agree checks the restored job against the outside world.
func agree(job *tinyJob, sink *tinySink) error {
	for i, n := range sink.visible {
		if n != i {
			return fmt.Errorf("number %d is visible at place %d", n, i)
		}
	}
	if uint64(len(sink.visible)) != job.position {
		return fmt.Errorf("%d numbers are visible, the source is at %d", len(sink.visible), job.position)
	}
	var want [keys]uint64
	for i := range job.position {
		want[(i*i)%keys]++
	}
	if want != job.counts {
		return fmt.Errorf("at %d the counts are %v, want %v", job.position, job.counts, want)
	}
	return nil
}

func TestPowerLossAtEveryPhase(t *testing.T) {
	phases := map[string]int{}
	for seed := range uint64(25) {
		if err := history(seed, mutant{}, phases); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Log(phases)
	for _, phase := range ckpt.Phases {
		if phases[phase] < 5 {
			t.Errorf("the power went only %d times in phase %s", phases[phase], phase)
		}
	}
}

func TestMutantsAreCaught(t *testing.T) {
	for name, m := range map[string]mutant{
		"directory fsync skipped":    {skipDirSync: true},
		"commit before the manifest": {earlyCommit: true},
		"dirty page left out":        {leaveOutPage: true},
		"pages not synced":           {skipStoreSync: true},
		"unfinished versions reused": {reuseVersions: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				if err := history(seed, m, map[string]int{}); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}

func TestPhasesAreDistinct(t *testing.T) {
	sorted := slices.Clone(ckpt.Phases)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(ckpt.Phases) {
		t.Error("a phase has two meanings")
	}
}
