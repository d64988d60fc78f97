package flights

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/parquet-go/parquet-go"

	"turbo/job"
	"turbo/run"
	_ "turbo/run/all"
	"turbo/test/visible"
)

const spec = `
name: flights
engine: {parallelism: %d, memory: 400MiB, checkpoint: {interval: 500ms, dir: %s/state}}
sources:
  flights: {connector: file, path: %q, format: parquet}
streams:
  by_origin: {from: flights, key-by: [origin], aggregate: {n: COUNT(*), delay: SUM(delay), distance: SUM(distance)}}
sinks:
  totals: {from: by_origin, connector: file, path: %s/out, format: json}
`

type totals struct{ n, delay, distance int64 }

func TestFlights(t *testing.T) {
	dir := os.Getenv("TURBO_DATA")
	name := filepath.Join(dir, "usFlights2001.parquet")
	if _, err := os.Stat(name); dir == "" || errors.Is(err, os.ErrNotExist) {
		t.Skip("NOT RUN: TURBO_DATA names no folder with usFlights2001.parquet")
	}
	if testing.Short() {
		t.Skip("three million rows: in the long version")
	}
	want, rows := independent(t, name)
	for _, parallelism := range []int{1, 2} {
		work := t.TempDir()
		j, err := job.Parse([]byte(fmt.Sprintf(spec, parallelism, work, name, work)), job.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := run.New(j, run.Options{})
		if err != nil {
			t.Fatal(err)
		}
		result, err := p.Run(context.Background())
		if err != nil || !result.Finished {
			t.Fatalf("%+v, %v", result, err)
		}
		got := map[string]totals{}
		names, _, err := visible.Files(filepath.Join(work, "out"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range names {
			err := visible.ReadFile(file, "json", []string{"origin", "n", "delay", "distance"}, func(f []string) error {
				var v [3]int64
				for i := range v {
					var err error
					if v[i], err = strconv.ParseInt(f[i+1], 10, 64); err != nil {
						return err
					}
				}
				if v[0] > got[f[0]].n { // the running totals of a key only grow: the largest count is the last update
					got[f[0]] = totals{v[0], v[1], v[2]}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != len(want) {
			t.Errorf("parallelism %d: %d origins, want %d", parallelism, len(got), len(want))
		}
		sum := int64(0)
		for origin, w := range want {
			sum += got[origin].n
			if got[origin] != w {
				t.Errorf("parallelism %d: %s: %+v, want %+v", parallelism, origin, got[origin], w)
			}
		}
		t.Logf("parallelism %d: %d flights of %d, %d origins", parallelism, sum, rows, len(got))
	}
}

// independent computes the totals with parquet-go, column by column.
func independent(t *testing.T, name string) (map[string]totals, int64) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	index := func(column string) int {
		leaf, is := f.Schema().Lookup(column)
		if !is {
			t.Fatalf("no column %s", column)
		}
		return leaf.ColumnIndex
	}
	origin, delay, distance := index("origin"), index("delay"), index("distance")
	all := map[string]*totals{}
	for _, group := range f.RowGroups() {
		chunks := group.ColumnChunks()
		origins := values(t, chunks[origin])
		of := make([]*totals, len(origins))
		for i, v := range origins {
			key := v.String()
			if all[key] == nil {
				all[key] = &totals{}
			}
			of[i] = all[key]
			of[i].n++
		}
		for i, v := range values(t, chunks[delay]) {
			if !v.IsNull() {
				of[i].delay += number(v)
			}
		}
		for i, v := range values(t, chunks[distance]) {
			if !v.IsNull() {
				of[i].distance += number(v)
			}
		}
	}
	out := map[string]totals{}
	for k, v := range all {
		out[k] = *v
	}
	return out, f.NumRows()
}

func number(v parquet.Value) int64 {
	if v.Kind() == parquet.Int64 {
		return v.Int64()
	}
	return int64(v.Int32())
}

func values(t *testing.T, chunk parquet.ColumnChunk) (all []parquet.Value) {
	t.Helper()
	pages := chunk.Pages()
	defer pages.Close()
	buf := make([]parquet.Value, 4096)
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		in := page.Values()
		for {
			n, err := in.ReadValues(buf)
			for _, v := range buf[:n] {
				all = append(all, v.Clone())
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
