package run_test

import (
	"context"
	"strings"
	"testing"

	"turbo/core/supervisor"
	"turbo/internal/vfs"
	"turbo/job"
	"turbo/run"
	_ "turbo/run/all"
)

// start runs a job specification on the file system of the options.
func start(t *testing.T, yaml string, o run.Options) (supervisor.Result, error) {
	t.Helper()
	j, err := job.Parse([]byte(yaml), job.Options{File: "job.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := run.New(j, o)
	if err != nil {
		t.Fatal(err)
	}
	return p.Run(context.Background())
}

// What fails at a row names the stream, the column, the place in the specification and the way out, also when filters and projections
// of several streams have become one.
func TestErrorsOfRowsPointIntoTheSpecification(t *testing.T) {
	const head = `name: places
engine: {parallelism: 1, checkpoint: off, restart: {strategy: none}}
sources:
  rows:
    connector: file
    path: in
    format: csv
    schema: {s: STRING, n: INT}
streams:
`
	const tail = `
sinks:
  out: {from: last, connector: blackhole}
`
	for name, c := range map[string]struct{ streams, rows, want string }{
		"select": {`
  last:
    from: rows
    select: {n: , cell: "1 + CAST(s AS INT)"}`, "1,1\nabc,2\n",
			"stream last, column cell (job.yaml:12:30): CAST(s AS INT): 'abc' is no INT, for s = 'abc': TRY_CAST gives NULL there, or filter such rows out"},
		"filter": {`
  last:
    from: rows
    filter: s = 'a'
      AND 7 / n > 1`, "a,1\na,0\n",
			"stream last, filter (job.yaml:13:11): 7 / n: division by zero, for n = 0: NULLIF(divisor, 0) gives NULL there, or filter such rows out"},
		"fused": {`
  first:
    from: rows
    select: {n: , word: s, cell: CAST(s AS INT)}
  last:
    from: first
    filter: n > 0
    select: {sum: n + cell, word: }`, "1,1\nabc,2\n",
			"stream first, column cell (job.yaml:12:34): CAST(s AS INT): 'abc' is no INT"},
		"renamed": {`
  first:
    from: rows
    select: {number: n, s: }
  last:
    from: first
    select: {s: , quarter: 100 + 12 / number}`, "x,0\n",
			"stream last, column quarter (job.yaml:15:34): 12 / number: division by zero, for number = 0"},
		"outermost": {`
  first:
    from: rows
    select: {twice: n * 2, s: }
  last:
    from: first
    select: {s: , rest: 12 / (twice - CHAR_LENGTH(s))}`, "ab,1\n",
			"stream last, column rest (job.yaml:15:25): 12 / (twice - CHAR_LENGTH(s)): division by zero, for n = 1, s = 'ab'"},
		"aggregate": {`
  last:
    from: rows
    key-by: [n]
    aggregate: {total: 2 * SUM(CAST(s AS INT)), share: SUM(n) / (COUNT(*) - 1)}`, "abc,1\n",
			"stream last, column total (job.yaml:13:32): CAST(s AS INT): 'abc' is no INT"},
		"overflow of a sum": {`
  last:
    from: rows
    key-by: [n]
    aggregate: {total: SUM(CAST(s AS BIGINT))}`, "9223372036854775807,1\n1,1\n",
			"aggregate last (job.yaml:13:16): total: SUM: the sum does not fit BIGINT; cast the argument to DECIMAL"},
		"result of an aggregate": {`
  last:
    from: rows
    key-by: [s]
    aggregate: {share: SUM(n) / (COUNT(*) - 1)}`, "abc,1\n",
			"stream last, column share (job.yaml:13:24): SUM(n) / (COUNT(*) - 1): division by zero, for SUM(n) = 1, COUNT(*) = 1: NULLIF"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			if err := fs.MkdirAll("in"); err != nil {
				t.Fatal(err)
			}
			if err := vfs.WriteFile(fs, "in/rows.csv", []byte(c.rows)); err != nil {
				t.Fatal(err)
			}
			_, err := start(t, head+strings.TrimPrefix(c.streams, "\n")+tail, run.Options{FS: fs})
			if err == nil || !strings.HasPrefix(strings.TrimPrefix(err.Error(), "stream last: "), c.want) { // not behind the names of all before it
				t.Errorf("the error is\n%v\nand not\n%s", err, c.want)
			}
		})
	}
}
