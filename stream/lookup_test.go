package stream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"turbo/job"
	"turbo/run"
	"turbo/stream"
	"turbo/stream/streamtest"
)

func ExampleLookup() {
	type Zone struct{ Zone string }
	zones := map[string]string{"a": "Harlem"}
	type Named struct {
		Cell, Zone string
		Passengers int64
	}
	show(stream.Lookup[Named](newJob("zones").KeyBy("cell"), "zones", stream.Lookups{CacheKeys: 1000, CacheFor: time.Minute},
		func(_ context.Context, cell string, emit func(Zone)) error { // in reality it asks a database
			if zone, ok := zones[cell]; ok {
				emit(Zone{zone})
			}
			return nil
		}))
	// Output:
	// {a Harlem 1}
	// {a Harlem 2}
	// {a Harlem 3}
}

func init() {
	stream.RegisterLookup("prices-test", func(_ context.Context, k string, emit func(lookupPrice)) error {
		if k == "broken" {
			return errors.New("no connection")
		}
		for i := range len(k) - 1 {
			emit(lookupPrice{float64(i) + 0.5})
		}
		return nil
	})
}

// TestRegisterLookup: a job specification asks a function of the program.
func TestRegisterLookup(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.csv"), []byte("a,1\nbb,2\nccc,3\n,4\nbroken,5\nbb,6\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	j, err := job.Parse([]byte(strings.ReplaceAll(`name: lookups
engine: {parallelism: 2, checkpoint: {dir: DIR/state}}
sources:
  in: {connector: file, path: DIR/in.csv, format: csv, schema: {k: STRING, v: BIGINT NOT NULL}}
streams:
  priced: {from: in, lookup: {function: prices-test, on: [k], type: left, cache: {keys: 10}, on-failure: drop, attempts: 2, backoff: 1ms}, select: {v: , price: }}
sinks:
  out: {from: priced, connector: file, path: DIR/out, format: csv}
`, "DIR", dir)), job.Options{File: "job.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := run.New(j, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	files, _ := filepath.Glob(filepath.Join(dir, "out", "*.csv"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Fields(string(b))...)
	}
	slices.Sort(got)
	equal(t, got, "1,", "2,0.5", "3,0.5", "3,1.5", "4,", "6,0.5")
}

// lookupTrip has a key of two columns, of which one may be null.
type lookupTrip struct {
	ID   int64
	Cell stream.Null[string]
	Hour int32
}

type lookupKey struct {
	Where string
	When  int64
}

type lookupPrice struct{ Price float64 }

type lookupPriced struct {
	ID    int64
	Price stream.Null[float64]
}

// Against an oracle: none, one and several matches, nulls, keys of other names and wider types, inner and left; and each key is asked for once while it is kept.
func TestLookup(t *testing.T) {
	for _, left := range []bool{false, true} {
		for _, ordered := range []bool{false, true} {
			var asked atomic.Int64
			prices := func(cell string, hour int64) (out []float64) {
				for i := range int(hour) % 3 {
					out = append(out, float64(len(cell))+float64(i)/10)
				}
				return out
			}
			job := stream.New("lookup")
			trips := streamtest.Source[lookupTrip](job, "trips")
			stream.Lookup[lookupPriced](trips.KeyBy("cell", "hour"), "prices", stream.Lookups{Async: stream.Async{Ordered: ordered, Capacity: 3}, Left: left, CacheKeys: 100, CacheFor: time.Minute, Misses: true},
				func(_ context.Context, key lookupKey, emit func(lookupPrice)) error {
					asked.Add(1)
					for _, p := range prices(key.Where, key.When) {
						emit(lookupPrice{p})
					}
					return nil
				}).Collect("out")
			h := streamtest.New(job, streamtest.WithT(t), streamtest.Workers(2))
			in, out := streamtest.Input[lookupTrip](h, "trips"), streamtest.Output[lookupPriced](h, "out")
			var rows []lookupTrip
			var want []string
			for i := range 40 {
				r := lookupTrip{ID: int64(i), Cell: stream.Null[string]{V: strings.Repeat("x", i%5), Valid: i%7 > 0}, Hour: int32(i % 4)}
				rows = append(rows, r)
				var found []float64
				if r.Cell.Valid {
					found = prices(r.Cell.V, int64(r.Hour))
				}
				for _, p := range found {
					want = append(want, fmt.Sprint(lookupPriced{r.ID, stream.Some(p)}))
				}
				if len(found) == 0 && left {
					want = append(want, fmt.Sprint(lookupPriced{ID: r.ID}))
				}
			}
			for round := range 2 {
				in.Push(rows...)
				h.Await(t.Context())
				var got []string
				for _, r := range out.Rows() {
					got = append(got, fmt.Sprint(r))
				}
				slices.Sort(got)
				slices.Sort(want)
				equal(t, got, want...)
				if n := asked.Load(); n != 20*int64(round+1) {
					t.Errorf("left %v, ordered %v: %d requests for 20 keys", left, ordered, n)
				}
				h.Advance(time.Minute) // the cache forgets
			}
		}
	}
}

// Mistakes and failures: a name that both have, keys that do not fit, and an error of the function with the row.
func TestLookupMistakes(t *testing.T) {
	find := func(context.Context, string, func(Trip)) error { return nil }
	for text, f := range map[string]func(in *stream.Stream[Trip]){
		"the stream has a column cell": func(in *stream.Stream[Trip]) {
			stream.Lookup[Trip](in.KeyBy("cell"), "again", stream.Lookups{}, find).Collect("out")
		},
		"is asked by (key), not by (cell, passengers)": func(in *stream.Stream[Trip]) {
			stream.Lookup[Trip](in.KeyBy("cell", "passengers"), "again", stream.Lookups{}, find).Collect("out")
		},
		"the key (passengers) of again": func(in *stream.Stream[Trip]) {
			stream.Lookup[Trip](in.KeyBy("passengers"), "again", stream.Lookups{}, func(context.Context, string, func(lookupPrice)) error { return nil }).Collect("out")
		},
	} {
		in := newJob("mistakes")
		f(in)
		if err := in.Env().Err(); err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "lookup_test.go:") {
			t.Errorf("got %v, want an error with %q and its place", err, text)
		}
	}
	job := stream.New("failure")
	stream.Lookup[Trip](streamtest.Source[Trip](job, "trips").KeyBy("cell"), "prices", stream.Lookups{}, func(_ context.Context, cell string, _ func(lookupPrice)) error {
		return errors.New("no connection")
	}).Collect("out")
	h := streamtest.New(job)
	_ = streamtest.Input[Trip](h, "trips").Push(Trip{Cell: "a"})
	err := h.Await(t.Context())
	var failed *stream.FunctionError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "no connection") || !strings.Contains(failed.Row, `"a"`) {
		t.Errorf("got %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
