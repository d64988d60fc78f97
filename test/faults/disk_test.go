package faults

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"turbo/internal/devbroker"
	"turbo/internal/vfs"
	"turbo/test/visible"
)

func TestOutputDiskFull(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.produce(2000)
	faulty := vfs.NewFaulty(vfs.OS())
	faulty.Add(vfs.Rule{Op: vfs.OpWrite, Pattern: ".faults-*.csv.*", After: 1, Err: syscall.ENOSPC})
	r.fails("output-disk-full", faulty)
	r.complete()
}

// fullState is a disk that has no room for checkpoints until it gets some.
type fullState struct {
	vfs.FS
	dir  string
	room chan struct{}
}

func (f *fullState) FreeSpace(dir string) (int64, error) {
	select {
	case <-f.room:
	default:
		if strings.HasPrefix(dir, f.dir) {
			return 1 << 20, nil
		}
	}
	return f.FS.FreeSpace(dir)
}

func TestCheckpointDiskFull(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.produce(500)
	full := &fullState{vfs.OS(), filepath.Join(r.dir, "state"), make(chan struct{})}
	r.fails("checkpoint-disk-full-at-start", full)

	// In the middle: checkpoints are given up and tried again, with what the sinks have prepared; the job goes on.
	faulty := vfs.NewFaulty(vfs.OS())
	w := r.start(faulty)
	w.until("checkpoint", func() bool { return w.p.Supervisor.Status().Checkpoints.Completed > 1 })
	faulty.Add(vfs.Rule{Op: vfs.OpWrite, Pattern: "manifest-*", Err: syscall.ENOSPC})
	r.produce(500)
	w.until("failed checkpoints", func() bool { return w.p.Supervisor.Status().Checkpoints.Failed >= 2 })
	r.produce(500)
	faulty.Clear()
	w.drained()
	w.stop()
	r.check()
	if w.result.Restarts != 0 {
		t.Errorf("%d restarts", w.result.Restarts)
	}
	first, _, _ := strings.Cut(r.logged.String(), "\n")
	r.golden("checkpoint-disk-full", first)
}

// TestLastCheckpointFails gives the final checkpoint up once and takes it again.
func TestLastCheckpointFails(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.produce(1000)
	faulty := vfs.NewFaulty(vfs.OS())
	w := r.start(faulty)
	w.drained()
	faulty.Add(vfs.Rule{Op: vfs.OpWrite, Pattern: "manifest-*", Times: 2, Err: syscall.ENOSPC})
	r.produce(100)
	w.stop()
	if w.p.Supervisor.Status().Checkpoints.Failed == 0 {
		t.Error("no checkpoint failed")
	}
	r.complete()
}

// manifests returns the paths of the manifests, the newest last.
func (r *rig) manifests() []string {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.dir, "state/manifest-*"))
	if err != nil || len(names) == 0 {
		r.t.Fatalf("manifests: %v %v", names, err)
	}
	slices.Sort(names)
	return names
}

func damage(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 0x40
	if err := os.WriteFile(name, content, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestManifestDamaged makes the newest manifest unreadable. Its output is visible already, and is taken back before the job goes on from
// the manifest before.
func TestManifestDamaged(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	for range 3 {
		r.produce(300)
		w := r.start(nil)
		w.drained()
		w.stop()
	}
	before, _, err := visible.Files(filepath.Join(r.dir, "files"))
	if err != nil {
		t.Fatal(err)
	}
	names := r.manifests()
	damage(t, names[len(names)-1])
	w := r.complete()
	if !strings.Contains(r.logged.String(), "the newest checkpoint is damaged") {
		t.Errorf("it was not said: %s", r.logged.String())
	}
	if len(before) == 0 || w.result.Restored == 0 {
		t.Errorf("%d files before, began at checkpoint %d", len(before), w.result.Restored)
	}
	for _, line := range strings.Split(r.logged.String(), "\n") {
		if strings.Contains(line, "the newest checkpoint is damaged") {
			r.golden("manifest-damaged", line)
		}
	}
}

func TestOnlyManifestDamaged(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.retain = 1
	r.produce(300)
	r.complete()
	for _, name := range r.manifests() {
		damage(t, name)
	}
	r.fails("only-manifest-damaged", nil)
}

// TestPagesDamaged changes a byte in the page store's files: there is no checkpoint to fall back to without them, and the job says so.
func TestPagesDamaged(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.retain = 1
	r.produce(3000)
	r.complete()
	names, err := filepath.Glob(filepath.Join(r.dir, "state/pages/*.sst"))
	if err != nil || len(names) == 0 {
		t.Skipf("the page store has no table to damage: %v", err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/4] ^= 0x11
		if err := os.WriteFile(name, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	w := r.start(nil)
	err = w.wait()
	if err == nil || !strings.Contains(err.Error(), "page store") {
		t.Errorf("started on damaged pages: %v", err)
	}
	t.Logf("%v", err)
}

func TestOutputChanged(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.produce(400)
	r.complete()
	names, _, err := visible.Files(filepath.Join(r.dir, "files"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	one, other := names[0], names[1]
	content, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, other+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other+".away", filepath.Join(r.dir, "away")); err != nil {
		t.Fatal(err)
	}
	r.fails("output-missing", nil)
	if err := os.Rename(filepath.Join(r.dir, "away"), other); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(one, append(bytes.Clone(content), "0,99999,1,forged\n"...), 0o666); err != nil {
		t.Fatal(err)
	}
	r.fails("output-changed", nil)
	if err := os.WriteFile(one, content, 0o666); err != nil {
		t.Fatal(err)
	}
	r.produce(100)
	r.complete()
}

// TestStateDoesNotFit changes what the state depends on.
func TestStateDoesNotFit(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.produce(200)
	r.complete()
	r.keys = "value"
	r.fails("state-does-not-fit", nil)
	r.keys = "k"
	r.produce(100)
	r.complete()
}

// TestSecondProcess starts a job that another process runs, and one on the other's output.
func TestSecondProcess(t *testing.T) {
	r := newRig(t, devbroker.Config{})
	r.produce(100)
	spec := filepath.Join(r.dir, "job.yaml")
	if err := os.WriteFile(spec, []byte(r.spec()), 0o666); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(self)
	other.Env = append(os.Environ(), childSpec+"="+spec)
	var said bytes.Buffer
	other.Stderr = &said
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill() }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if content, _ := os.ReadFile(filepath.Join(r.dir, "files/_turbo/ledger.jsonl")); bytes.Contains(content, []byte("checkpoint")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the other process does nothing: %s", said.String())
		}
	}
	r.fails("second-process-state", nil)
	r.failsWith("second-process-output", strings.Replace(r.spec(), "dir: "+r.dir+"/state", "dir: "+r.dir+"/state2", 1))
	if err := other.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err != nil {
		t.Fatalf("the first process: %v %s", err, said.String())
	}
	r.complete()
}
