package stream_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turbo/job"
	"turbo/run"
	"turbo/stream"
)

type reading struct {
	K string
	V int64
}

func init() {
	stream.RegisterFunc("split-test", func(in *stream.Stream[reading], o *stream.Options) *stream.Stream[reading] {
		limit := int64(0)
		fmt.Sscan(o.Values["limit"], &limit)
		low := stream.Filter(in, "low", func(r *reading) (bool, error) { return r.V < limit, nil })
		high := stream.Filter(in, "high", func(r *reading) (bool, error) { return r.V >= limit, nil })
		stream.Further(o, "high", high)
		return stream.Map(low, "double", func(r *reading) (reading, error) { return reading{r.K, 2 * r.V}, nil })
	})
	stream.RegisterFunc("ask-test", func(in *stream.Stream[reading], o *stream.Options) *stream.Stream[reading] {
		return stream.AsyncWait(in, "ask", stream.Async{Capacity: 50, Ordered: true, Timeout: time.Second, Retry: stream.Retry{Attempts: 3}, Drop: true},
			func(_ context.Context, r *reading, emit func(reading)) error { emit(*r); return nil })
	})
}

// TestAsyncInExplain: EXPLAIN says how requests are made, and what waits for them.
func TestAsyncInExplain(t *testing.T) {
	j, err := job.Parse([]byte(`name: ask
sources: {in: {connector: file, path: in.csv, format: csv, schema: {k: STRING NOT NULL, v: BIGINT NOT NULL}}}
streams: {asked: {from: in, process: {function: ask-test}}}
sinks: {out: {from: asked, connector: file, path: out, format: csv}}
`), job.Options{File: "job.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	text := j.Plan.Explain()
	for _, want := range []string{
		"async asked/ask <- [1]\n      requests     50 at a time for each worker, results in the order of the rows, each at most 1s, up to 3 attempts, rows of failed ones are dropped\n",
		"      waits        a watermark, a barrier and the end of input pass when all requests before them are answered\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

const processSpec = `name: process
engine: {parallelism: 2, checkpoint: {dir: DIR/state}}
sources:
  in: {connector: file, path: DIR/in.csv, format: csv, schema: {k: STRING NOT NULL, v: BIGINT NOT NULL}}
streams:
  small: {from: in, process: {function: split-test, options: {limit: "3"}, sides: {high: big}}}
  sums: {from: big, key-by: [k], aggregate: {v: SUM(v)}}
sinks:
  small: {from: small, connector: file, path: DIR/small, format: csv}
  sums: {from: sums, connector: file, path: DIR/sums, format: csv}
`

// TestRegisterFunc: a job specification uses a function of the program, with options and a further output.
func TestRegisterFunc(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.csv"), []byte("a,1\na,2\na,3\nb,10\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	j, err := job.Parse([]byte(strings.ReplaceAll(processSpec, "DIR", dir)), job.Options{File: "job.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := run.New(j, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"small": {"a,2", "a,4"}, "sums": {"a,3", "b,10"}} {
		var got string
		files, _ := filepath.Glob(filepath.Join(dir, name, "*.csv"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got += string(b)
		}
		for _, w := range want {
			if !strings.Contains("\n"+got, "\n"+w+"\n") || strings.Count(got, "\n") != len(want) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	for from, want := range map[string]string{
		"function: split-test": "job.yaml:6:41: streams.small.process.function: the program has no function \"split-tst\", did you mean \"split-test\"?",
		"sides: {high: big}":   "streams.small.process.sides: the function split-test has no output \"hihg\", did you mean \"high\"?",
		"v: BIGINT NOT NULL":   "the field V is the column v, which there is not in (k STRING NOT NULL, w BIGINT NOT NULL)",
	} {
		to := map[string]string{"function: split-test": "function: split-tst", "sides: {high: big}": "sides: {hihg: big}", "v: BIGINT NOT NULL": "w: BIGINT NOT NULL"}[from]
		_, err := job.Parse([]byte(strings.ReplaceAll(processSpec, from, to)), job.Options{File: "job.yaml"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", to, err)
		}
	}
}
