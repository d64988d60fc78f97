package physical_test

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"

	"turbo/ckpt"
	"turbo/ckpt/modelstore"
	"turbo/core/supervisor"
	"turbo/core/task"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	_ "turbo/io/blackhole"
	_ "turbo/io/file"
	_ "turbo/io/format"
	_ "turbo/io/generator"
	"turbo/io/print"
	"turbo/job"
	"turbo/memory"
	"turbo/plan/physical"
)

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// run runs a job on a file system in memory and returns its result and what it printed.
func run(t *testing.T, fs vfs.FS, disk *modelstore.Disk, yaml string, parallelism int) (supervisor.Result, string) {
	t.Helper()
	return runWithin(t, fs, disk, yaml, parallelism, 256<<20)
}

// runWithin is run with a memory budget.
func runWithin(t *testing.T, fs vfs.FS, disk *modelstore.Disk, yaml string, parallelism int, budget int64) (supervisor.Result, string) {
	t.Helper()
	j, err := job.Parse([]byte(yaml), job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pool := memory.NewPool(budget)
	var out lockedBuffer
	print.Output = &out
	signature := j.Plan.Signature()
	s := supervisor.New(supervisor.Job{
		Name: j.Plan.Settings.Name, KeyGroups: j.Plan.Settings.KeyGroups, Parallelism: parallelism, FS: fs, Dir: "/state",
		Plan: ckpt.Plan{Fingerprint: signature.Fingerprint()},
		OpenStore: func(string) (*ckpt.Store, error) {
			return ckpt.NewStore(disk.Open(), ckpt.StoreOptions{}), nil
		},
		Interval: j.Plan.Settings.Checkpoint.Interval, Retain: 3,
		Graph: func(run string) (*task.Graph, error) {
			return physical.Build(j.Plan, physical.Environment{Run: run, Parallelism: parallelism, Memory: pool, FS: fs, Clock: clock.Real()})
		},
	})
	result, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
	return result, out.String()
}

const ridesJob = `
name: arrivals
engine: {checkpoint: {interval: 5ms}}
sources:
  rides:
    connector: generator
    data: rides
    rows: 50000
    schema: {ride_id: BIGINT NOT NULL, event: STRING, ts: TIMESTAMP(3), lon: DOUBLE, lat: DOUBLE, passengers: INT}
    watermark: {column: ts, max-out-of-orderness: 5s}
streams:
  arrivals:
    from: rides
    filter: event = 'END' AND passengers > 0
    select:
      ride_id:
      ts:
      cell: CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)
      passengers:
  per_cell:
    from: arrivals
    key-by: [cell]
    aggregate: {passengers: SUM(passengers), rides: COUNT(*), last: MAX(ts)}
sinks:
  totals: {from: per_cell, connector: print}
  files:
    from: arrivals
    connector: file
    path: /out
    format: json
    partition-by: {day: "DATE_FORMAT(ts, 'yyyy-MM-dd')"}
`

// TestRidesToFilesAndTotals runs the kind of job at two parallelisms: the last update of every cell and the lines in the
// files are the same.
func TestRidesToFilesAndTotals(t *testing.T) {
	var want []string
	for _, parallelism := range []int{1, 2, 3} {
		fs := vfs.NewMem()
		disk := modelstore.NewDisk()
		result, printed := run(t, fs, disk, ridesJob, parallelism)
		if !result.Finished || result.Already {
			t.Errorf("result %+v", result)
		}
		last := map[string]string{}
		for _, line := range strings.Split(strings.TrimSpace(printed), "\n") {
			_, row, _ := strings.Cut(line, " ")
			cell, _, _ := strings.Cut(row, ",")
			last[cell] = row
		}
		var got []string
		for _, row := range last {
			got = append(got, row)
		}
		lines := 0
		entries, err := fs.ReadDir("/out/day=2013-01-01")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") {
				continue
			}
			content, err := vfs.ReadFile(fs, "/out/day=2013-01-01/"+e.Name())
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(content, []byte("\n"))
		}
		got = append(got, fmt.Sprint(lines, " lines"))
		sort.Strings(got)
		if want == nil {
			want = got
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) < 50 {
			t.Errorf("parallelism %d: %d results that differ from the %d at parallelism 1: %v", parallelism, len(got), len(want), got[:min(3, len(got))])
		}
		again, printed := run(t, fs, disk, ridesJob, parallelism)
		if !again.Already || printed != "" {
			t.Errorf("a finished job ran again: %+v, printed %q", again, printed)
		}
	}
}

// TestManyOpenFilesWithinASmallBudget: forty Parquet files open at once would buffer 8 MiB each; the budget is 24 MiB.
func TestManyOpenFilesWithinASmallBudget(t *testing.T) {
	fs := vfs.NewMem()
	result, _ := runWithin(t, fs, modelstore.NewDisk(), `
name: partitions
engine: {checkpoint: {interval: 1h}, restart: none}
sources:
  s: {connector: generator, data: random, rows: 1000000, schema: {k: BIGINT, a: BIGINT, b: DOUBLE, c: STRING}, columns: {k: {max: 39}}}
sinks:
  files: {from: s, connector: file, path: /out, format: parquet, partition-by: {k: }}
`, 2, 24<<20)
	if !result.Finished {
		t.Errorf("%+v", result)
	}
	entries, err := fs.ReadDir("/out")
	if err != nil || len(entries) < 40 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}
