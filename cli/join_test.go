package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const joinSpec = `name: joins
engine: {checkpoint: {interval: 20ms, dir: DIR/state}}
sources:
  rides: {connector: file, path: DIR/rides.csv, format: csv, schema: {ride_id: BIGINT, ts: TIMESTAMP(3)}, watermark: {column: ts}}
  fares: {connector: file, path: DIR/fares.csv, format: csv, schema: {ride_id: BIGINT, ts: TIMESTAMP(3), n: INT}, watermark: {column: ts}}
streams:
  paid:
    join: {left: rides, right: fares, type: left, on: [ride_id], within: {before: 20m, after: 30m}, where: n % 7 <> 0}
    select: {ride_id:, n:}
  hour: {join: {left: rides, right: fares, on: [ride_id], window: {tumbling: 1h}}}
  same: {from: hour, select: {ride_id:, n:}}
  before:
    join: {left: fares, right: rides, on: [ride_id], as-of: true}
    select: {ride_id:, n:}
  ever: {join: {left: rides, right: fares, type: semi, on: [ride_id]}}
  later: {join: {left: rides, right: fares, type: anti, on: [ride_id], within: {before: -1m, after: 4h}, where: n % 7 <> 0 AND fares_ts > ts + INTERVAL '10' MINUTE}}
  only: {from: later, select: {ride_id: }}
sinks:
  paid: {from: paid, connector: file, path: DIR/out/paid, format: csv}
  same: {from: same, connector: file, path: DIR/out/same, format: csv}
  before: {from: before, connector: file, path: DIR/out/before, format: csv}
  ever: {from: ever, connector: file, path: DIR/out/ever, format: csv}
  only: {from: only, connector: file, path: DIR/out/only, format: csv}
`

// TestJoins: the joins of a job specification give what loops over all pairs give, at any parallelism.
func TestJoins(t *testing.T) {
	type row struct {
		id int
		at time.Time
		n  int
	}
	r := rand.New(rand.NewPCG(1, 2))
	begin := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var rides, fares []row
	for i := range 600 {
		rides = append(rides, row{i, begin.Add(time.Duration(i) * 20 * time.Second), 0})
		fares = append(fares, row{r.IntN(640), begin.Add(time.Duration(r.IntN(12000)) * time.Second), i})
	}
	slices.SortStableFunc(fares, func(a, b row) int { return a.at.Compare(b.at) })
	want := map[string][]string{}
	add := func(name, format string, args ...any) { want[name] = append(want[name], fmt.Sprintf(format, args...)) }
	for _, a := range rides {
		partner, any, later := false, false, false
		for _, b := range fares {
			if a.id != b.id {
				continue
			}
			any = true
			later = later || b.n%7 != 0 && b.at.Sub(a.at) > 10*time.Minute && b.at.Sub(a.at) <= 4*time.Hour
			if d := b.at.Sub(a.at); d >= -20*time.Minute && d <= 30*time.Minute && b.n%7 != 0 {
				partner = true
				add("paid", "%d,%d", a.id, b.n)
			}
			if a.at.Truncate(time.Hour).Equal(b.at.Truncate(time.Hour)) {
				add("same", "%d,%d", a.id, b.n)
			}
			if !a.at.After(b.at) { // each ride has one version
				add("before", "%d,%d", b.id, b.n)
			}
		}
		if !partner {
			add("paid", "%d,", a.id)
		}
		if !later {
			add("only", "%d", a.id)
		}
		if any {
			add("ever", "%d,%s", a.id, a.at.Format("2006-01-02 15:04:05.000"))
		}
	}
	for _, parallelism := range []string{"1", "3"} {
		dir := t.TempDir()
		text := func(rows []row, n bool) string {
			var b strings.Builder
			for _, x := range rows {
				fmt.Fprintf(&b, "%d,%s", x.id, x.at.Format("2006-01-02 15:04:05.000"))
				if n {
					fmt.Fprintf(&b, ",%d", x.n)
				}
				b.WriteByte('\n')
			}
			return b.String()
		}
		write(t, filepath.Join(dir, "rides.csv"), text(rides, false))
		write(t, filepath.Join(dir, "fares.csv"), text(fares, true))
		spec := filepath.Join(dir, "job.yaml")
		write(t, spec, strings.ReplaceAll(joinSpec, "DIR", dir))
		if p := start(t, "run", spec, "-p", parallelism); p.end() != 0 {
			t.Fatal(p.text())
		}
		for name, rows := range want {
			var got []string
			files, _ := filepath.Glob(filepath.Join(dir, "out", name, "*.csv"))
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, strings.Fields(strings.ReplaceAll(string(b), " ", "_"))...)
			}
			expected := make([]string, len(rows))
			for i, x := range rows {
				expected[i] = strings.ReplaceAll(x, " ", "_")
			}
			slices.Sort(got)
			slices.Sort(expected)
			if len(expected) == 0 || !slices.Equal(got, expected) {
				t.Errorf("parallelism %s, %s: %d rows, want %d", parallelism, name, len(got), len(expected))
			}
		}
	}
}
