package ckpt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/internal/vfs"
)

var update = flag.Bool("update", false, "rewrite testdata")

func sample(id uint64) *ckpt.Manifest {
	return &ckpt.Manifest{
		Job: "arrivals", Checkpoint: id, Previous: id - 1, Trigger: ckpt.Periodic, Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Parallelism: 2, KeyGroups: 128, Plan: ckpt.Plan{Fingerprint: "f1", Signature: json.RawMessage(`"plan 1"`)},
		Store:     ckpt.Summary{Pages: 3, Versions: 5, Bytes: 4096, Digest: 1<<63 + 1},
		Sources:   []ckpt.SourceState{{Source: "rides", Splits: []core.SplitState{{ID: "rides/0", Position: []byte{1, 2}, Watermark: core.MinTime}, {ID: "rides/1", Position: []byte{}, Idle: true, Watermark: 7}}}},
		Operators: []ckpt.OperatorState{{Operator: "gate", Worker: 1, Name: "watermark", Data: []byte("x")}},
		Sinks:     []ckpt.SinkState{{Sink: "files", Committables: []ckpt.Committable{{Worker: 0, Checkpoint: id, Data: []byte("c")}, {Worker: 1, Checkpoint: id}}}},
		Ranges:    []core.SourceRange{{Source: "rides", Split: "rides/0", From: []byte{1}, To: []byte{2}}},
		Counters:  []ckpt.OperatorCounters{{Operator: "rides", Counters: core.Counters{In: 5}}},
		Totals:    []ckpt.OperatorCounters{{Operator: "rides", Counters: core.Counters{In: 50}}},
	}
}

// The format is a contract with every state directory there is: it may be added to, not changed.
func TestManifestGolden(t *testing.T) {
	got, err := ckpt.EncodeManifest(sample(42))
	if err != nil {
		t.Fatal(err)
	}
	const name = "testdata/manifest.golden"
	if *update {
		if err := os.WriteFile(name, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("encoded:\n%s\nwant:\n%s", got, want)
	}
	m, err := ckpt.DecodeManifest(want)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, sample(42)) {
		t.Errorf("decoded:\n%+v\nwant:\n%+v", m, sample(42))
	}
}

func TestEveryDamagedByteIsNoticed(t *testing.T) {
	good, err := ckpt.EncodeManifest(sample(42))
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 4
		if _, err := ckpt.DecodeManifest(bad); !errors.Is(err, ckpt.ErrDamaged) && !strings.Contains(fmt.Sprint(err), "format") {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := ckpt.DecodeManifest(good[:i]); !errors.Is(err, ckpt.ErrDamaged) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	newer := bytes.Replace(good, []byte("turbo-manifest 1 "), []byte("turbo-manifest 9 "), 1)
	if _, err := ckpt.DecodeManifest(newer); err == nil || errors.Is(err, ckpt.ErrDamaged) {
		t.Errorf("newer format: %v", err)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	good, err := ckpt.EncodeManifest(sample(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\nturbo-manifest 1 3 0\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if m, err := ckpt.DecodeManifest(file); (m == nil) == (err == nil) {
			t.Error(m, err)
		}
	})
}

func memDir(t *testing.T) (*vfs.Mem, *ckpt.Manifests) {
	t.Helper()
	mem := vfs.NewMem()
	if err := vfs.MkdirSynced(mem, "/state"); err != nil {
		t.Fatal(err)
	}
	return mem, ckpt.NewManifests(mem, "/state")
}

func writeManifests(t *testing.T, s *ckpt.Manifests, ids ...uint64) {
	t.Helper()
	for _, id := range ids {
		if err := s.Write(sample(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManifestsListRetainWithdraw(t *testing.T) {
	mem, s := memDir(t)
	if _, err := s.Newest(); !errors.Is(err, ckpt.ErrNoManifest) {
		t.Errorf("empty: %v", err)
	}
	writeManifests(t, s, 3, 5, 9, 10)
	expect := func(what string, want string) {
		t.Helper()
		ids, err := s.List()
		if err != nil || fmt.Sprint(ids) != want {
			t.Errorf("%s: %v, %v, want %s", what, ids, err, want)
		}
	}
	expect("written", "[3 5 9 10]")
	if oldest, err := s.Retain(3); err != nil || oldest != 5 {
		t.Errorf("retain: %d, %v", oldest, err)
	}
	expect("retained", "[5 9 10]")
	if err := s.Write(sample(10)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an id used again: %v", err)
	}
	if err := s.Withdraw(5); err != nil {
		t.Error(err)
	}
	mem.Crash()
	expect("withdrawn", "[5]")
	if last, err := s.LastID(); err != nil || last != 10 {
		t.Errorf("last id %d, %v: withdrawn ids must not be used again", last, err)
	}
	writeManifests(t, s, 11)
	if oldest, err := s.Retain(1); err != nil || oldest != 11 {
		t.Errorf("retain: %d, %v", oldest, err)
	}
	if entries, err := mem.ReadDir("/state"); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
	m, err := s.Newest()
	if err != nil || m.Checkpoint != 11 {
		t.Errorf("newest: %v, %v", m, err)
	}
	if _, err := s.Load(5); !errors.Is(err, ckpt.ErrNoManifest) {
		t.Errorf("gone: %v", err)
	}
}

func TestDamagedNewestIsReportedNotSkipped(t *testing.T) {
	mem, s := memDir(t)
	writeManifests(t, s, 1, 2, 3)
	file, err := mem.OpenReadWrite(s.Path(3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	_, err = s.Newest()
	var damaged *ckpt.DamagedError
	if !errors.As(err, &damaged) || damaged.Checkpoint != 3 || !damaged.Newest || fmt.Sprint(damaged.Others) != "[2 1]" {
		t.Fatalf("%#v", err)
	}
	want := "checkpoint 3: manifest /state/manifest-000000000003: damaged: the content is not what was written (checksum); " +
		"restore the file from a backup, or fall back to checkpoint 2 once the sinks have withdrawn what 3 committed"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if err := s.Withdraw(2); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Newest(); err != nil || m.Checkpoint != 2 {
		t.Errorf("after falling back: %v, %v", m, err)
	}
}

// TestManifestWriteFaults fails each operation in turn: a clean failure leaves no manifest, also after a power loss; one that
// cannot be cleaned up says so.
func TestManifestWriteFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		rules   []vfs.Rule
		unknown bool
	}{
		{"create", []vfs.Rule{{Op: vfs.OpCreate}}, false},
		{"disk full", []vfs.Rule{{Op: vfs.OpWrite, Bytes: 100}}, false},
		{"sync", []vfs.Rule{{Op: vfs.OpSync}}, false},
		{"rename", []vfs.Rule{{Op: vfs.OpRename}}, false},
		{"directory sync", []vfs.Rule{{Op: vfs.OpSyncDir, Times: 1}}, false},
		{"directory sync for good", []vfs.Rule{{Op: vfs.OpSyncDir}}, true},
		{"directory sync and removal", []vfs.Rule{{Op: vfs.OpSyncDir, Times: 1}, {Op: vfs.OpRemove, After: 1}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, s := memDir(t)
			writeManifests(t, s, 1)
			faulty := vfs.NewFaulty(mem)
			for _, r := range c.rules {
				faulty.Add(r)
			}
			err := ckpt.NewManifests(faulty, "/state").Write(sample(2))
			if err == nil || errors.Is(err, ckpt.ErrUnknown) != c.unknown {
				t.Fatalf("%v, unknown should be %v", err, c.unknown)
			}
			for range 2 {
				m, err := s.Newest()
				if !c.unknown && (err != nil || m.Checkpoint != 1) {
					t.Errorf("newest: %v, %v", m, err)
				}
				mem.Crash()
			}
		})
	}
}

func TestIDsAreNeverUsedAgain(t *testing.T) {
	mem, _ := memDir(t)
	used := map[uint64]bool{}
	for life := range 20 {
		ids, err := ckpt.OpenIDs(mem, "/state", 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + life*3 {
			id, err := ids.Take()
			if err != nil {
				t.Fatal(err)
			}
			if used[id] {
				t.Fatalf("life %d: id %d twice", life, id)
			}
			used[id] = true
		}
		if life%2 == 0 {
			next := ids.Peek()
			if err := ids.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := ckpt.OpenIDs(mem, "/state", 0)
			if err != nil || again.Peek() != next {
				t.Fatalf("after an orderly end the next id is %d, want %d (%v)", again.Peek(), next, err)
			}
		}
		mem.CrashRandom(uint64(life))
	}
	if ids, err := ckpt.OpenIDs(mem, "/state", 1e6); err != nil || ids.Peek() != 1e6+1 {
		t.Errorf("%v", err)
	}
	if err := mem.Remove("/state/next-id"); err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFile(mem, "/state/next-id", []byte("12")); err != nil {
		t.Fatal(err)
	}
	if _, err := ckpt.OpenIDs(mem, "/state", 5); !errors.Is(err, ckpt.ErrDamaged) {
		t.Errorf("half a file: %v", err)
	}
}

func TestMismatchShowsTheDifference(t *testing.T) {
	m := sample(7)
	want := ckpt.Expect{Job: "arrivals", KeyGroups: 128, Plan: m.Plan}
	if _, err := m.Check(want); err != nil {
		t.Error(err)
	}
	other := want
	other.Plan = ckpt.Plan{Fingerprint: "f2"}
	compared := other
	compared.Differences = func(state ckpt.Plan) ([]ckpt.Difference, error) {
		return []ckpt.Difference{{Text: "harmless after " + string(state.Signature)}, {Text: "files/sink: path was a and is b", Refused: true}, {Text: "totals/sink: the sink is gone", Refused: true}}, nil
	}
	fits := other
	fits.Differences = func(state ckpt.Plan) ([]ckpt.Difference, error) {
		return []ckpt.Difference{{Text: "harmless after " + string(state.Signature)}}, nil
	}
	if changes, err := m.Check(fits); err != nil || !slices.Equal(changes, []string{`harmless after "plan 1"`}) {
		t.Error(changes, err)
	}
	for name, c := range map[string]ckpt.Expect{
		"job":        {Job: "x", KeyGroups: 128, Plan: m.Plan},
		"key-groups": {Job: "arrivals", KeyGroups: 64, Plan: m.Plan},
		"other":      other,
		"plan":       compared,
	} {
		_, err := m.Check(c)
		var mismatch *ckpt.MismatchError
		if !errors.As(err, &mismatch) {
			t.Fatalf("%s: %v", name, err)
		}
		golden := filepath.Join("testdata", "mismatch-"+name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		text, readErr := os.ReadFile(golden)
		if readErr != nil || err.Error()+"\n" != string(text) {
			t.Errorf("%s: %v\ngot\n%s", name, readErr, err)
		}
	}
}
