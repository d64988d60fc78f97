package badgerstore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"turbo/ckpt"
	"turbo/ckpt/badgerstore"
	"turbo/internal/invariants"
	"turbo/internal/killpoint"
	"turbo/internal/vfs"
)

// The child process counts in pages, deterministically by step, and takes a checkpoint after each step, until it kills
// itself at a point. The parent restores what is left, compares it with the counts that the step must have, and starts the next child.

const (
	killPages = 40
	killSteps = 400
)

type killState struct {
	step   uint64
	counts [killPages]uint64
}

// advance does a step: about a third of the counts grow.
func (s *killState) advance() (dirty [killPages]bool) {
	s.step++
	random := rand.New(rand.NewPCG(s.step, 9))
	for k := range s.counts {
		if random.IntN(3) == 0 {
			s.counts[k] += s.step
			dirty[k] = true
		}
	}
	return dirty
}

func killOptions() badgerstore.Options {
	return badgerstore.Options{MemTable: 16 << 10, ValueLogFile: 1 << 20, MinFree: 1 << 20}
}

// openKilled opens a state directory as a restart does and reads the counts.
func openKilled(path string) (dir *ckpt.Directory, store *ckpt.Store, at *ckpt.Restart, s killState, err error) {
	if dir, err = ckpt.OpenDirectory(vfs.OS(), path, "kill test"); err != nil {
		return
	}
	if store, err = badgerstore.Open(dir.PagesPath(), killOptions()); err != nil {
		return
	}
	if at, err = dir.Recover(store, ckpt.Expect{Job: "kill"}); err != nil {
		return
	}
	err = store.Restore(at.Last(), ckpt.Selection{Operator: "o", Table: "t", ToGroup: killPages + 1}, func(id ckpt.PageID, chain []ckpt.Version) error {
		var n uint64
		for _, v := range chain {
			n += binary.BigEndian.Uint64(v.Data)
		}
		if id.KeyGroup == killPages {
			s.step = n
		} else {
			s.counts[id.KeyGroup] = n
		}
		return nil
	})
	return
}

func killPage(k int, kind ckpt.Kind, n uint64) ckpt.Page {
	data := binary.BigEndian.AppendUint64(nil, n)
	return ckpt.Page{ID: ckpt.PageID{Operator: "o", Table: "t", KeyGroup: uint16(k)}, Kind: kind, Data: append(data, make([]byte, 8000)...)}
}

// killChild runs until it is killed or all steps are done.
func killChild(path string) error {
	if err := killpoint.Arm(os.Getenv(killpoint.Variable)); err != nil {
		return err
	}
	dir, store, at, s, err := openKilled(path)
	if err != nil {
		return err
	}
	for s.step < killSteps {
		before := s
		dirty := s.advance()
		id, err := at.IDs.Take()
		if err != nil {
			return err
		}
		if err := store.Begin(id, 0); err != nil {
			return err
		}
		killpoint.Reach(ckpt.PhaseBegin)
		pages := []ckpt.Page{killPage(killPages, ckpt.Whole, s.step)}
		for k, changed := range dirty {
			switch {
			case !changed:
			case before.counts[k] == 0 || s.step%5 == 0:
				pages = append(pages, killPage(k, ckpt.Whole, s.counts[k]))
			default:
				pages = append(pages, killPage(k, ckpt.Delta, s.counts[k]-before.counts[k]))
			}
		}
		for _, p := range pages {
			if err := store.Write(id, []ckpt.Page{p}); err != nil {
				return err
			}
		}
		sum, err := store.Seal(id)
		if err != nil {
			return err
		}
		if err := dir.Manifests.Write(&ckpt.Manifest{Job: "kill", Checkpoint: id, Store: sum}); err != nil {
			return err
		}
		killpoint.Reach(ckpt.PhaseCommit)
		if err := store.Complete(id); err != nil {
			return err
		}
		killpoint.Reach(ckpt.PhaseNotify)
		oldest, err := dir.Manifests.Retain(2)
		if err == nil {
			err = store.Retain(oldest)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(store.Close(), dir.Close())
}

func TestMain(m *testing.M) {
	if path := os.Getenv("BADGERSTORE_CHILD"); path != "" {
		if err := killChild(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestSurvivesSIGKILLInEveryPhase(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state")
	random := rand.New(rand.NewPCG(5, 5))
	kills := map[string]int{}
	var last killState
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for i := range rounds * len(ckpt.Phases) {
		phase := ckpt.Phases[i%len(ckpt.Phases)]
		arrival := 1 + random.IntN(8)
		if phase == ckpt.PhaseUpload {
			arrival = 1 + random.IntN(100)
		}
		child := exec.Command(self)
		child.Env = append(os.Environ(), "BADGERSTORE_CHILD="+path, fmt.Sprintf("%s=%s:%d", killpoint.Variable, phase, arrival))
		output, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s:%d: the child ended with %v, want SIGKILL\n%s", phase, arrival, err, output)
		}
		kills[phase]++
		dir, store, _, s, err := openKilled(path)
		if err != nil {
			t.Fatalf("after a kill in %s:%d: %v", phase, arrival, err)
		}
		var want killState
		for want.step < s.step {
			want.advance()
		}
		if s != want || s.step < last.step {
			t.Fatalf("after a kill in %s:%d: step %d (before %d) has counts %v, want %v", phase, arrival, s.step, last.step, s.counts, want.counts)
		}
		last = s
		if err := errors.Join(store.Close(), dir.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d steps, kills %v", last.step, kills)
	if last.step == 0 {
		t.Error("no checkpoint was ever completed")
	}
}

// TestAnonymousMemory keeps the store's share of the process's memory small while it takes much in.
func TestAnonymousMemory(t *testing.T) {
	if anonymous() == 0 {
		t.Skip("this system does not tell anonymous memory")
	}
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Recover(0, ckpt.Summary{}); err != nil {
		t.Fatal(err)
	}
	before, peak := anonymous(), 0.0
	data := make([]byte, 64<<10)
	for id := uint64(1); id <= 4; id++ {
		if err := store.Begin(id, 0); err != nil {
			t.Fatal(err)
		}
		for n := range uint32(256) {
			rand.NewChaCha8([32]byte{byte(n), byte(id)}).Read(data)
			if err := store.Write(id, []ckpt.Page{{ID: ckpt.PageID{Operator: "o", Table: "t", Number: n}, Kind: ckpt.Whole, Data: data}}); err != nil {
				t.Fatal(err)
			}
			if n%64 == 0 {
				peak = max(peak, anonymous())
			}
		}
		if _, err := store.Seal(id); err != nil {
			t.Fatal(err)
		}
		if err := store.Complete(id); err != nil {
			t.Fatal(err)
		}
		if err := store.Retain(id); err != nil {
			t.Fatal(err)
		}
	}
	status, err := store.Status()
	if err != nil {
		t.Fatal(err)
	}
	grown := (peak - before) / (1 << 20)
	t.Logf("64 MiB of pages written: anonymous memory grew by %.1f MiB, disk %.1f MiB for %.1f MiB of state", grown, float64(status.Disk)/(1<<20), float64(status.Bytes)/(1<<20))
	if limit := 32.0; grown > limit && !invariants.Race {
		t.Errorf("anonymous memory grew by %.1f MiB, at most %.0f is fine", grown, limit)
	}
	if status.Disk > 4*status.Bytes+64<<20 {
		t.Errorf("%d bytes on disk for %d bytes of state: nothing is collected", status.Disk, status.Bytes)
	}
}
