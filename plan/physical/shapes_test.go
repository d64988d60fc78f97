package physical_test

import (
	"fmt"
	"strings"
	"testing"

	"turbo/ckpt/modelstore"
	"turbo/core"
	"turbo/internal/vfs"
)

// Streams part and meet again: one source read by several streams, their union, an aggregate on one worker, dead letters, sinks that
// keep nothing; no checkpoint but the last.
const shapesJob = `
name: shapes
engine: {checkpoint: {interval: 1h}}
sources:
  lines:
    connector: file
    path: /in/*.json
    format: json
    on-error: dead-letter
    schema: {n: BIGINT NOT NULL, s: STRING}
streams:
  even: {from: lines, filter: "MOD(n, 2) = 0"}
  odd: {from: lines, filter: "MOD(n, 2) = 1"}
  both: {from: [even, odd]}
  thrice: {from: [both, lines, even], filter: n >= 0}
  total:
    from: thrice
    aggregate: {c: COUNT(*), sum: SUM(n)}
  once: {from: both, deduplicate: {key: [s], ttl: 1h, clock: processing}}
sinks:
  all: {from: both, connector: blackhole}
  again: {from: [both, once], connector: blackhole}
  totals: {from: total, connector: print}
`

func TestShapes(t *testing.T) {
	const rows, bad = 3000, 30
	for parallelism := 1; parallelism <= 3; parallelism++ {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("/in"); err != nil {
			t.Fatal(err)
		}
		for file := range 4 {
			var lines strings.Builder
			for i := file; i < rows; i += 4 {
				fmt.Fprintf(&lines, "{\"n\": %d, \"s\": \"k%d\"}\n", i, i%50)
				if i%100 == 0 {
					lines.WriteString("{\"n\": \"bad\"}\n")
				}
			}
			if err := vfs.WriteFile(fs, fmt.Sprintf("/in/%d.json", file), []byte(lines.String())); err != nil {
				t.Fatal(err)
			}
		}
		result, printed := run(t, fs, modelstore.NewDisk(), shapesJob, parallelism)
		if !result.Finished {
			t.Errorf("parallelism %d: %+v", parallelism, result)
		}
		totals := map[string]core.Counters{}
		for _, c := range result.Totals {
			totals[c.Operator] = c.Counters
		}
		sum := rows*(rows-1)/2*2 + 2*(rows/2)*(rows/2-1)/2
		if want := fmt.Sprintf("+U c=%d, sum=%d", 2*rows+rows/2, sum); !strings.HasSuffix(strings.TrimSpace(printed), want) {
			t.Errorf("parallelism %d: the totals %q have no %s", parallelism, printed[max(0, len(printed)-100):], want)
		}
		for operator, want := range map[string]core.Counters{
			"all/sink": {In: rows, Out: rows}, "again/sink": {In: rows + 50, Out: rows + 50}, "lines/source/dead-letters": {In: bad, Out: bad},
			"lines/source": {In: rows + bad, Out: rows, DeadLettered: bad}, "once/deduplicate": {In: rows, Out: 50, Deduplicated: rows - 50},
		} {
			if got := totals[operator]; got != want {
				t.Errorf("parallelism %d: %s: %+v, want %+v", parallelism, operator, got, want)
			}
		}
	}
}
