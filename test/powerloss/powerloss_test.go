package powerloss

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/modelstore"
	"turbo/core/supervisor"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/killpoint"
	"turbo/internal/vfs"
	_ "turbo/io/file"
	_ "turbo/io/format"
	_ "turbo/io/generator"
	"turbo/job"
	"turbo/memory"
	"turbo/plan/physical"
	"turbo/test/visible"
)

var (
	histories = flag.Int("histories", 0, "how many histories TestPowerLoss plays")
	first     = flag.Uint64("first", 0, "seed of the first history")
)

type entry = fs.DirEntry

const (
	stateDir = "/state"
	rows     = 3000
	keys     = 40
)

var formats = []struct{ name, lines, columns string }{
	{"json", "format: json", "id: , text: "},
	{"csv", "format: csv\n    compression: gzip", "id: , text: "},
	{"parquet", "format: parquet", "id: , text: "},
	{"raw", "format: raw", "text: "},
}

const spec = `
name: powerloss
engine: {checkpoint: {interval: 2ms, timeout: 10s}}
sources:
  numbers:
    connector: generator
    data: sequence
    rows: %d
    rate: 20000
    splits: 3
    batch-rows: 25
    schema: {id: BIGINT NOT NULL}
streams:
  lines: {from: numbers, select: {id: , text: "CONCAT('row ', CAST(id AS STRING))"}}
  chosen: {from: lines, select: {%s}}
  keyed: {from: numbers, select: {k: "CAST(MOD(id, %d) AS INT)"}}
  counted: {from: keyed, key-by: [k], aggregate: {n: COUNT(*)}, emit: every-row}
sinks:
  files:
    from: chosen
    connector: file
    path: /out/files
    %s
    roll: {size: 6KiB, interval: 20ms}
  counts: {from: counted, connector: file, path: /out/counts, format: json, roll: {size: 5KiB}}
`

// history is one life of the job.
type history struct {
	random *rand.Rand
	mem    *vfs.Mem
	fs     vfs.FS // what the job sees of mem
	disk   *modelstore.Disk
	mutant mutant
	format int
	phases map[string]int
	log    *slog.Logger // nil: nowhere
}

var phases = append([]string{ckpt.PhaseFreeze, "writing", "rename", "ledger"}, ckpt.Phases...)

// play runs a job through power losses until its input has ended, and returns what went wrong.
func play(seed uint64, m mutant, phases map[string]int) error {
	h := &history{random: rand.New(rand.NewPCG(seed, 17)), mem: vfs.NewMem(), disk: modelstore.NewDisk(), mutant: m, phases: phases}
	h.fs = h.mem
	if m.fs != nil {
		h.fs = m.fs(h.mem)
	}
	h.format = h.random.IntN(len(formats))
	for crashes := 4 + h.random.IntN(8); ; crashes-- {
		finished, err := h.attempt(crashes > 0)
		if err != nil {
			return err
		}
		if finished {
			break
		}
		if err := h.check(false); err != nil {
			return fmt.Errorf("after a crash: %w", err)
		}
	}
	if err := h.check(true); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	h.mem.Crash() // what is said to be done must be durable
	if err := h.check(true); err != nil {
		return fmt.Errorf("after a crash behind the end: %w", err)
	}
	return nil
}

// attempt runs the job until it ends or the power goes.
func (h *history) attempt(lose bool) (finished bool, err error) {
	f := formats[h.format]
	j, err := job.Parse([]byte(fmt.Sprintf(spec, rows, f.columns, keys, f.lines)), job.Options{})
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var once sync.Once
	lost := make(chan struct{})
	cut := func() { // the power goes: files first, pages at once or a moment later
		once.Do(func() {
			h.mem.StopAfter(0)
			h.disk.Kill()
			close(lost)
			cancel()
		})
	}
	phase, arrival, operations := "", 0, 0
	if lose && h.random.IntN(2) == 0 {
		operations = 1 + h.random.IntN(400)
		h.mem.StopAfter(operations)
	} else if lose {
		phase, arrival = phases[h.random.IntN(len(phases))], 1+h.random.IntN(6)
	}
	var mu sync.Mutex
	defer killpoint.Set(func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if name != phase {
			return
		}
		if arrival--; arrival == 0 {
			h.phases[phase]++
			cut()
		}
	})()
	h.faults()
	pool := memory.NewPool(256 << 20)
	parallelism := 1 + h.random.IntN(3)
	s := supervisor.New(supervisor.Job{
		Name: "powerloss", KeyGroups: j.Plan.Settings.KeyGroups, Parallelism: parallelism, FS: h.fs, Dir: stateDir,
		Plan: ckpt.Plan{Fingerprint: j.Plan.Signature().Fingerprint()},
		OpenStore: func(string) (*ckpt.Store, error) {
			pages := h.disk.Open()
			if h.mutant.pages != nil {
				pages = h.mutant.pages(pages)
			}
			return ckpt.NewStore(pages, ckpt.StoreOptions{FS: h.fs, Dir: stateDir}), nil
		},
		Interval: j.Plan.Settings.Checkpoint.Interval, Retain: 1 + h.random.IntN(3),
		Log:     h.log,
		Restart: supervisor.Restart{Strategy: supervisor.Fixed, Attempts: 1000, Delay: time.Millisecond},
		Graph: func(run string) (*task.Graph, error) {
			return physical.Build(j.Plan, physical.Environment{Run: run, Parallelism: parallelism, Memory: pool, FS: h.fs, Clock: clock.Real()})
		},
	})
	type end struct {
		result supervisor.Result
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		result, err := s.Run(ctx)
		ended <- end{result, err}
	}()
	var e end
	limit := time.NewTimer(3 * time.Minute)
	defer limit.Stop()
	for waiting := true; waiting; {
		select {
		case e = <-ended:
			waiting = false
		case <-time.After(time.Millisecond):
			if operations > 0 && h.stopped() {
				cut()
			}
		case <-limit.C:
			return false, fmt.Errorf("the job did not end within three minutes: %+v", s.Status())
		}
	}
	if operations > 0 && h.stopped() {
		cut()
	}
	select {
	case <-lost:
		seed := h.random.Uint64()
		if h.random.IntN(2) == 0 {
			h.mem.Crash()
			h.disk.Crash()
		} else {
			h.mem.CrashRandom(seed)
			h.disk.CrashRandom(seed)
		}
		h.repair()
		return false, nil
	default:
	}
	h.repair()
	if errors.Is(e.err, syscall.ENOSPC) { // from the start, which is not tried again: by hand, then
		h.mem.StopAfter(-1)
		return false, nil
	}
	if e.err != nil {
		return false, fmt.Errorf("the job failed: %w", e.err)
	}
	if err := pool.CheckZero(); err != nil {
		return false, err
	}
	h.mem.StopAfter(-1)
	return e.result.Finished, nil
}

// stopped reports whether the operations that were allowed are used up.
func (h *history) stopped() bool {
	_, err := h.mem.Stat("/")
	return errors.Is(err, vfs.ErrPowerLoss)
}

// faults makes some disks fail for a while.
func (h *history) faults() {
	seed, kind := h.random.Uint64(), h.random.IntN(8)
	switch kind {
	case 0, 1: // checkpoints fail after their sinks have prepared them: the last one too
		random, left := rand.New(rand.NewPCG(seed, 5)), 1+h.random.IntN(2)
		failing := map[int]string{0: "put", 1: "sync"}[kind]
		var mu sync.Mutex
		h.disk.SetFault(func(op string) error {
			mu.Lock()
			defer mu.Unlock()
			if op == failing && left > 0 && random.IntN(4) == 0 {
				left--
				return syscall.ENOSPC
			}
			return nil
		})
	case 2: // the disk of the output is full for a while
		h.mem.SetCapacity(int64(20<<10 + h.random.IntN(100<<10)))
		time.AfterFunc(20*time.Millisecond, func() { h.mem.SetCapacity(-1) })
	}
}

func (h *history) repair() {
	h.disk.SetFault(nil)
	h.mem.SetCapacity(-1)
}

// check reads what is visible: each row is one that was made, once; complete: every one.
func (h *history) check(complete bool) error {
	var ids [rows]bool
	f := formats[h.format]
	columns := []string{"id", "text"}
	n, err := h.read("/out/files", f.name, columns, func(fields []string) error {
		number, is := strings.CutPrefix(fields[len(fields)-1], "row ")
		id, err := strconv.Atoi(number)
		if !is || err != nil || id < 0 || id >= rows || len(fields) == 2 && fields[0] != number {
			return fmt.Errorf("a row that nobody made: %q", fields)
		}
		if ids[id] {
			return fmt.Errorf("row %d is visible twice", id)
		}
		ids[id] = true
		return nil
	})
	if err == nil && complete && n != rows {
		err = fmt.Errorf("%d rows are visible, want %d", n, rows)
	}
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	n, err = h.read("/out/counts", "json", []string{"k", "n"}, func(fields []string) error {
		count, err := strconv.Atoi(fields[1])
		if name := strings.Join(fields, "/"); err != nil || count < 1 || count > rows/keys || seen[name] {
			return fmt.Errorf("key %s was counted to %s twice, or further than it can: state and output do not agree", fields[0], fields[1])
		} else {
			seen[name] = true
		}
		return nil
	})
	if err == nil && complete && n != rows {
		err = fmt.Errorf("%d counts are visible, want %d", n, rows)
	}
	return err
}

// read visits the rows of all visible files of a directory.
func (h *history) read(dir, format string, columns []string, visit visible.Visit) (n int, err error) {
	list, err := h.mem.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		if visible.Hidden(e.Name()) || e.Name() == "LOCK" {
			continue
		}
		name := filepath.Join(dir, e.Name())
		content, err := vfs.ReadFile(h.mem, name)
		if err != nil {
			return n, err
		}
		err = visible.Read(name, content, format, columns, func(fields []string) error {
			n++
			return visit(fields)
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func TestPowerLoss(t *testing.T) {
	n := uint64(24)
	switch {
	case *histories > 0:
		n = uint64(*histories)
	case testing.Short():
		n = 6
	}
	met := map[string]int{}
	for seed := *first; seed < *first+n; seed++ {
		if err := play(seed, mutant{}, met); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%d histories; the power went in phases %v, and as often before a random operation of the file system", n, met)
}

// TestMutantsAreCaught breaks one promise at a time.
func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("in the long version")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			for seed := range uint64(40) {
				if err := play(seed, m, map[string]int{}); err != nil {
					t.Logf("caught with seed %d: %v", seed, err)
					return
				}
			}
			t.Error("nobody noticed in 40 histories")
		})
	}
}

// TestPageDamaged changes a byte in the newest version of a page of state after a crash. When the newest checkpoint needs it, what that
// checkpoint has made visible is taken back and the job goes on from the one before; rows are there once all the same.
func TestPageDamaged(t *testing.T) {
	fellBack := 0
	for seed := uint64(0); seed < 8 || fellBack == 0 && seed < 60; seed++ { // when the power goes before a checkpoint, there is nothing to fall back to
		var said bytes.Buffer
		h := &history{random: rand.New(rand.NewPCG(seed, 23)), mem: vfs.NewMem(), disk: modelstore.NewDisk(), phases: map[string]int{},
			log: slog.New(slog.NewTextHandler(&said, nil)), format: int(seed) % len(formats)}
		h.fs = h.mem
		if finished, err := h.attempt(true); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		} else if finished {
			continue
		}
		if !h.disk.Damage("counted") {
			continue // it was lost before the first page
		}
		if finished, err := h.attempt(false); err != nil {
			if strings.Contains(err.Error(), "there is no older checkpoint") {
				continue // refused with the way out
			}
			t.Fatalf("seed %d: %v", seed, err)
		} else if !finished {
			continue
		}
		if err := h.check(true); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if strings.Contains(said.String(), "the newest checkpoint is damaged") {
			fellBack++
		}
	}
	if fellBack == 0 {
		t.Error("no run fell back")
	}
	t.Logf("%d runs fell back", fellBack)
}
