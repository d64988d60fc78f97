package run_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/core/supervisor"
	"turbo/internal/vfs"
	"turbo/io/ledger"
	"turbo/job"
	"turbo/run"
)

// positions returns how far the splits of the source rows are in the newest checkpoint of a state directory; nil: there is none, or it has just been removed.
func positions(dir string) map[string]uint64 {
	manifests := ckpt.NewManifests(vfs.OS(), dir)
	ids, err := manifests.List()
	if err != nil || len(ids) == 0 {
		return nil
	}
	m, err := manifests.Load(ids[len(ids)-1])
	if err != nil {
		return nil
	}
	out := map[string]uint64{}
	for _, s := range m.Source("rows/source") {
		out[s.ID] = binary.LittleEndian.Uint64(s.Position)
	}
	return out
}

// untilCheckpoint runs a job, stops it once it has taken a checkpoint with some new rows of each split, and returns its log.
func untilCheckpoint(t *testing.T, dir, yaml string) (supervisor.Result, string, error) {
	t.Helper()
	j, err := job.Parse([]byte(strings.ReplaceAll(yaml, "DIR", dir)), job.Options{File: "job.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p, err := run.New(j, run.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	before := positions(filepath.Join(dir, "state"))
	moved := func() bool {
		now := positions(filepath.Join(dir, "state"))
		for id, at := range now {
			if at < before[id]+10 {
				return false
			}
		}
		return len(now) == 2
	}
	go func() {
		for ctx.Err() == nil && !moved() {
			time.Sleep(time.Millisecond)
		}
		p.Supervisor.Stop()
	}()
	result, err := p.Run(ctx)
	return result, log.String(), err
}

const stateful = `name: counts
engine: {parallelism: 2, checkpoint: {interval: 5ms, dir: DIR/state}, restart: {strategy: none}}
sources:
  rows: {connector: generator, data: sequence, rate: 20000, schema: {k: BIGINT, v: BIGINT}, splits: 2}
streams:
  some: {from: rows, filter: v % 3 = 1}
  sums: {from: some, key-by: [k], aggregate: {total: SUM(v)}}
sinks:
  files: {from: some, connector: file, path: DIR/out, format: csv}
  none: {from: sums, connector: blackhole}
`

// A job with state may get sinks, operators without state, and aggregates of its own; the log and EXPLAIN say what has changed since the
// state was written.
func TestChangesThatTheStateFits(t *testing.T) {
	dir := t.TempDir()
	before, err := job.Parse([]byte(strings.ReplaceAll(stateful, "DIR", dir)), job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if checkpoint, changes, err := run.Changes(before); checkpoint != 0 || changes != nil || err != nil {
		t.Error("a job without state:", checkpoint, changes, err)
	}
	if result, log, err := untilCheckpoint(t, dir, stateful); err != nil || !result.Stopped {
		t.Fatal(result, err, log)
	}
	changed := strings.NewReplacer("v % 3 = 1", "v % 2 = 1",
		"sinks:\n", "  more: {from: some, select: {v: , half: v / 2}}\n  groups: {from: more, key-by: [half], aggregate: {n: COUNT(*)}}\nsinks:\n"+
			"  more: {from: more, connector: file, path: DIR/more, format: csv}\n  groups: {from: groups, connector: blackhole}\n").Replace(stateful)
	j, err := job.Parse([]byte(strings.ReplaceAll(changed, "DIR", dir)), job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, changes, err := run.Changes(j)
	if err != nil || checkpoint == 0 {
		t.Fatal(checkpoint, err)
	}
	const want = `more/sink: the sink is new: it gets the rows that follow the checkpoint
groups/aggregate: the aggregate is new and starts without state
groups/sink: the sink is new: it gets the rows that follow the checkpoint
stream some, filter: was v % 3 = 1 and is v % 2 = 1; what rows before the change have made stays in sums/aggregate
stream more, column half: is new: v / 2`
	if got := strings.Join(changes, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Run twice: the new sink begins at the restored checkpoint, then goes on from one of its own.
	for round := range 2 {
		result, log, err := untilCheckpoint(t, dir, changed)
		if err != nil || !result.Stopped {
			t.Fatal(result, err, log)
		}
		if n := strings.Count(log, "the job has changed since its state was written"); n != []int{5, 0}[round] {
			t.Errorf("round %d: %d changes in the log\n%s", round, n, log)
		}
	}
	for _, sink := range []string{"out", "more"} {
		report, err := ledger.Verify(vfs.OS(), filepath.Join(dir, sink), ledger.Options{})
		if err != nil || !report.OK() || report.Balance == nil || report.Balance.Written == 0 {
			t.Errorf("%s: %+v, %v", sink, report, err)
		}
		for _, r := range report.Sources { // the first sink has the splits from their start, the other from where it came in
			if begins := string(r.From) == string(make([]byte, 8)); len(r.From) == 0 || begins != (sink == "out") {
				t.Errorf("%s: %+v", sink, r)
			}
		}
	}
	// What was begun at a later checkpoint cannot be taken away again.
	_, _, err = untilCheckpoint(t, dir, stateful)
	var mismatch *ckpt.MismatchError
	if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), "\n  groups/aggregate: the aggregate is gone, and the checkpoint has its state") {
		t.Error(err)
	}
}
