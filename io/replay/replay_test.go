package replay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/connector"
	_ "turbo/io/format"
	"turbo/memory"
)

var record = core.NewSchema(core.Field{Name: "id", Type: core.Of(core.Int64)}, core.Field{Name: "ts", Type: core.Of(core.Timestamp)})

// rides writes a file of n rows, one every 10 ms in groups of three at the same time, with one bad line in the middle.
func rides(t *testing.T, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,%s\n", i, time.UnixMicro(int64(i/3)*30_000).UTC().Format("2006-01-02 15:04:05.000"))
		if i == n/2 {
			b.WriteString("oops,never\n")
		}
	}
	path := filepath.Join(t.TempDir(), "rides.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// play reads everything, with a restart after every "every" events; rows are in the order in which they are served, each with the time of serving.
func play(t *testing.T, options string, c clock.Clock, batch, every int) (ids []string, letters int) {
	t.Helper()
	pool := memory.NewPool(0)
	var restored []core.SplitState
	for {
		config, err := connector.FromYAML("source", connector.LookupSource("replay").Fields, options)
		if err != nil {
			t.Fatal(err)
		}
		ctx := &connector.SourceContext{Config: config, Record: record, Schema: record, Columns: []int{0, 1}, OnError: connector.DeadLetters}
		ctx.Name, ctx.Parallelism, ctx.BatchRows, ctx.Account, ctx.Clock, ctx.Log, ctx.FS = "rides", 2, batch, pool.Account("t"), c, slog.New(slog.DiscardHandler), vfs.OS()
		s, err := connector.LookupSource("replay").New(ctx)
		if err == nil {
			err = s.Open(context.Background(), restored)
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Reader(0)
		if err != nil {
			t.Fatal(err)
		}
		wake := make(chan struct{}, 1)
		r.SetWaker(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		ended := false
		for events := 0; !ended && (every == 0 || events < every); {
			e, err := r.Poll()
			if err != nil {
				t.Fatal(err)
			}
			switch e.Kind {
			case core.NoEvent:
				if m, ok := c.(*clock.Manual); ok {
					time.Sleep(time.Millisecond)
					m.Advance(time.Millisecond)
				} else {
					<-wake
				}
				continue
			case core.EndOfInput:
				ended = true
			case core.DeadLetter:
				letters += e.Batch.Len
				e.Batch.Release()
			case core.DataEvent:
				if e.Batch != nil {
					for i := range e.Batch.Rows() {
						ids = append(ids, fmt.Sprint(e.Batch.Columns[0].Int64s()[e.Batch.Row(i)]))
					}
					e.Batch.Release()
				}
			}
			if e.Kind == core.DataEvent || e.Kind == core.DeadLetter {
				events++
			}
		}
		if restored, err = r.Snapshot(); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := pool.CheckZero(); err != nil {
			t.Fatal(err)
		}
		if ended {
			return ids, letters
		}
	}
}

// TestOrder: rows come once each, in the order of the files without a delay, within the bound with one, always the same for one seed: whatever the
// batches, and over restarts at any event.
func TestOrder(t *testing.T) {
	const n = 300
	path := rides(t, n)
	base := fmt.Sprintf("path: %s\nformat: csv\ntime: ts\n", path)
	plain, _ := play(t, base, clock.Real(), 64, 0)
	for i, id := range plain {
		if id != fmt.Sprint(i) {
			t.Fatalf("row %d is %s", i, id)
		}
	}
	delayed := base + "max-serving-delay: 200ms\n"
	want, letters := play(t, delayed, clock.Real(), 64, 0)
	if len(plain) != n || len(want) != n || letters != 1 {
		t.Fatalf("%d rows, %d rows delayed, %d letters", len(plain), len(want), letters)
	}
	disorder, latest := time.Duration(0), time.Duration(0)
	for _, id := range want {
		var i int
		fmt.Sscan(id, &i)
		at := time.Duration(i/3) * 30 * time.Millisecond
		latest = max(latest, at)
		disorder = max(disorder, latest-at)
	}
	if disorder < 100*time.Millisecond || disorder > 200*time.Millisecond {
		t.Errorf("rows are up to %v out of order", disorder)
	}
	for _, c := range []struct{ batch, every int }{{1, 0}, {7, 0}, {7, 1}, {7, 5}, {64, 2}, {1, 17}} {
		got, letters := play(t, delayed, clock.Real(), c.batch, c.every)
		if !slices.Equal(got, want) || letters != 1 {
			t.Errorf("batches of %d, a restart every %d events: another order, %d rows, %d letters", c.batch, c.every, len(got), letters)
		}
	}
	other, _ := play(t, delayed+"seed: 2\n", clock.Real(), 64, 0)
	if slices.Equal(other, want) {
		t.Error("another seed gives the same order")
	}
	sort.Strings(other)
	sort.Strings(want)
	if !slices.Equal(other, want) {
		t.Error("another seed gives other rows")
	}
}

// TestSpeed: rows are served when their time has come, and not before.
func TestSpeed(t *testing.T) {
	c := clock.NewManual(time.Unix(100, 0))
	begin := c.Now()
	ids, _ := play(t, fmt.Sprintf("path: %s\nformat: csv\ntime: ts\nserving-speed: 10\n", rides(t, 60)), c, 64, 0)
	// The last row stands at 570 ms: 57 ms at ten times the speed.
	if took := c.Now().Sub(begin); len(ids) != 60 || took < 57*time.Millisecond {
		t.Errorf("%d rows in %v", len(ids), took)
	}
}
