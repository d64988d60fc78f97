package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/job"
	"turbo/run"
	"turbo/stream"
)

// weighted is the accumulator of a mean with weights.
type weighted struct {
	Sum    float64
	Weight int64
}

type valueAndWeight struct {
	Value  float64
	Weight int64
}

// spread is a histogram, an accumulator with a map.
type spread struct{ Counts map[string]int64 }

func init() {
	stream.RegisterAggregate("weighted_mean", stream.AggregateFunc[valueAndWeight, weighted, float64]{
		Doc: "The mean of values with weights.",
		Add: func(acc *weighted, x valueAndWeight) error {
			acc.Sum += x.Value * float64(x.Weight)
			acc.Weight += x.Weight
			return nil
		},
		Merge: func(acc, other *weighted) error {
			acc.Sum += other.Sum
			acc.Weight += other.Weight
			return nil
		},
		Retract: func(acc, other *weighted) error {
			acc.Sum -= other.Sum
			acc.Weight -= other.Weight
			return nil
		},
		Result: func(acc *weighted) (float64, error) { return acc.Sum / float64(acc.Weight), nil },
	})
	stream.RegisterAggregate("MOST_COMMON", stream.AggregateFunc[string, spread, stream.Null[string]]{
		New: func() spread { return spread{map[string]int64{}} },
		Add: func(acc *spread, x string) error { acc.Counts[x]++; return nil },
		Merge: func(acc, other *spread) error {
			for x, n := range other.Counts {
				acc.Counts[x] += n
			}
			return nil
		},
		Result: func(acc *spread) (most stream.Null[string], err error) {
			for x, n := range acc.Counts {
				if m := acc.Counts[most.V]; !most.Valid || n > m || n == m && x < most.V {
					most = stream.Some(x)
				}
			}
			return most, nil
		},
	})
	stream.RegisterAggregate("FUSSY", stream.AggregateFunc[int64, int64, int64]{
		Add: func(acc *int64, x int64) error {
			if x == 13 {
				return errors.New("unlucky")
			}
			*acc += 100 / x
			return nil
		},
		Merge:  func(acc, other *int64) error { *acc += *other; return nil },
		Result: func(acc *int64) (int64, error) { return *acc, nil },
	})
	stream.RegisterAggregate("LONGEST", stream.AggregateFunc[string, string, string]{
		Add: func(acc *string, x string) error {
			if len(x) > len(*acc) {
				*acc = x
			}
			return nil
		},
		Result: func(acc *string) (string, error) { return *acc, nil },
	})
}

// TestUserAggregateIsNoScalar: in a filter, the program's function is called what it is.
func TestUserAggregateIsNoScalar(t *testing.T) {
	_, err := job.Parse([]byte(strings.ReplaceAll(aggregateSpec, "emit: every-row", "filter: fussy(v) > 1")), job.Options{File: "job.yaml"})
	if err == nil || !strings.Contains(err.Error(), "FUSSY is an aggregate function, which cannot stand in a scalar expression") {
		t.Error(err)
	}
}

// ExampleRegisterAggregate: the function is called as those of SQL are.
func ExampleRegisterAggregate() {
	// In an init function:
	//
	//	stream.RegisterAggregate("WEIGHTED_MEAN", stream.AggregateFunc[valueAndWeight, weighted, float64]{
	//		Add:    func(acc *weighted, x valueAndWeight) error { ... },
	//		Merge:  func(acc, other *weighted) error { ... },
	//		Result: func(acc *weighted) (float64, error) { return acc.Sum / float64(acc.Weight), nil },
	//	})
	type Mean struct {
		Cell string
		Mean stream.Null[float64]
	}
	windows := newJob("mean").KeyBy("cell").Window(stream.Tumbling(time.Hour))
	show(stream.AggregateWindow[Mean](windows, "means", stream.Column{Name: "mean", Expression: "WEIGHTED_MEAN(ROW(CAST(passengers AS DOUBLE), passengers))"}))
	// Output:
	// {a {2.3333333333333335 true}}
	// {b {3.4 true}}
}

type sample struct {
	K    string
	At   time.Time `turbo:"ts,TIMESTAMP(3),time"`
	V    stream.Null[int64]
	Word string
}

// samples are 400 rows of two keys, one each 100 ms.
func samples() (list []sample) {
	for i := range 400 {
		v := stream.Some(int64(1 + i*7%12))
		if i%5 == 0 {
			v = stream.Null[int64]{}
		}
		list = append(list, sample{string(rune('a' + i%2)), time.UnixMilli(int64(i) * 100).UTC(), v, []string{"x", "y", "z"}[i*i%7%3]})
	}
	return list
}

// naiveAggregates are the weighted mean of v by v + 1 and the most common word of rows.
func naiveAggregates(list []sample) (mean stream.Null[float64], word string) {
	sum, weight := 0.0, 0.0
	words := map[string]int{}
	for _, s := range list {
		if s.V.Valid {
			sum += float64(s.V.V * (s.V.V + 1))
			weight += float64(s.V.V + 1)
		}
		words[s.Word]++
	}
	for _, w := range []string{"z", "y", "x"} {
		if words[w] > 0 && words[w] >= words[word] {
			word = w
		}
	}
	if weight > 0 {
		mean = stream.Some(sum / weight)
	}
	return mean, word
}

// TestUserAggregates: functions of the program, in running aggregates and windows of each kind, one that can be taken back and one that cannot.
func TestUserAggregates(t *testing.T) {
	type result struct {
		K         string
		WindowEnd time.Time
		Mean      stream.Null[float64]
		Word      string
	}
	all := samples()
	columns := []stream.Column{
		{Name: "mean", Expression: "WEIGHTED_MEAN(CASE WHEN v IS NOT NULL THEN ROW(CAST(v AS DOUBLE), v + 1) END)"},
		{Name: "word", Expression: "MOST_COMMON(word)"},
	}
	within := func(k string, from, to time.Time) (list []sample) {
		for _, s := range all {
			if s.K == k && !s.At.Before(from) && s.At.Before(to) {
				list = append(list, s)
			}
		}
		return list
	}
	for _, c := range []struct {
		name    string
		w       stream.Windows
		size    time.Duration
		windows int
		columns []stream.Column
	}{
		{"tumbling", stream.Tumbling(5 * time.Second), 5 * time.Second, 16, columns},
		{"sliding", stream.Sliding(5*time.Second, time.Second), 5 * time.Second, 88, columns},
		{"session", stream.Session(time.Second), time.Hour, 2, columns},
		{"general", stream.Tumbling(5 * time.Second), 5 * time.Second, 16, columns},
	} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprint(c.name, workers), func(t *testing.T) {
				e := stream.New("user-aggregates", stream.Parallelism(workers), stream.NoCheckpoint())
				w := stream.FromSlice(e, "in", all, stream.Watermarks{OutOfOrderness: time.Second}).KeyBy("k").Window(c.w)
				if c.name == "general" {
					w = w.Evictor(stream.KeepCount(1 << 40))
				}
				rows, err := stream.ExecuteAndCollect(context.Background(), stream.AggregateWindow[result](w, "w", c.columns...))
				if err != nil || len(rows) != c.windows {
					t.Fatal(len(rows), err)
				}
				for _, r := range rows {
					mean, word := naiveAggregates(within(r.K, r.WindowEnd.Add(-c.size), r.WindowEnd))
					if r.Word != word || r.Mean.Valid != mean.Valid || math.Abs(r.Mean.V-mean.V) > 1e-9 {
						t.Errorf("%+v, want %v %s", r, mean, word)
					}
				}
			})
		}
	}
}

const aggregateSpec = `name: aggregates
engine: {parallelism: 2, checkpoint: {dir: DIR/state}, restart: {strategy: none}}
sources:
  in: {connector: file, path: DIR/in.csv, format: csv, schema: {k: STRING NOT NULL, v: BIGINT}}
streams:
  sums: {from: in, key-by: [k], emit: every-row, aggregate: {n: COUNT(v), f: "fussy(v) + 1"}}
sinks:
  out: {from: sums, connector: file, path: DIR/out, format: csv}
`

func runSpec(t *testing.T, spec, input string) (string, error) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.csv"), []byte(input), 0o666); err != nil {
		t.Fatal(err)
	}
	j, err := job.Parse([]byte(strings.ReplaceAll(spec, "DIR", dir)), job.Options{File: "job.yaml"})
	if err != nil {
		return "", err
	}
	p, err := run.New(j, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Run(context.Background())
	var out []string
	files, _ := filepath.Glob(filepath.Join(dir, "out", "*.csv"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Split(strings.TrimSpace(string(b)), "\n")...)
	}
	slices.Sort(out)
	return strings.Join(out, " "), err
}

// TestUserAggregateSpec: a job specification calls the program's function. An error and a panic fail the job with the row, the operator and, of a panic, the stack.
func TestUserAggregateSpec(t *testing.T) {
	got, err := runSpec(t, aggregateSpec, "a,10\na,20\nb,\na,\nb,5\n")
	if want := "a,1,11 a,2,16 a,2,16 b,0, b,1,21"; err != nil || got != want {
		t.Fatalf("%q, want %q: %v", got, want, err)
	}
	for input, want := range map[string][]string{
		"a,10\nb,13\n": {"FUSSY.Add of", `{"k":"b","v":13}: unlucky`, "aggregate sums"},
		"a,10\nb,0\n":  {"FUSSY.Add of", `{"k":"b","v":0} panicked: runtime error: integer divide by zero`, "aggregate_test.go:", "aggregate sums"},
	} {
		_, err := runSpec(t, aggregateSpec, input)
		var failed *stream.FunctionError
		if !errors.As(err, &failed) || !strings.HasPrefix(failed.Operator, "sums/") {
			t.Fatalf("%v (%+v)", err, failed)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v\nlacks %s", err, w)
			}
		}
	}
	for _, window := range []string{"count: 2", "tumbling: 1s", "sliding: 3s, every: 1s", "session: 1s"} {
		spec := strings.NewReplacer("v: BIGINT}}", "v: BIGINT, ts: TIMESTAMP(3)}, watermark: {column: ts}}", "emit: every-row, ", "window: {"+window+"}, ").Replace(aggregateSpec)
		_, err := runSpec(t, spec, "a,10,2026-01-01 00:00:01\nb,13,2026-01-01 00:00:02\na,5,2026-01-01 00:00:03\nb,5,2026-01-01 00:00:03\n")
		var failed *stream.FunctionError
		if !errors.As(err, &failed) || !strings.HasPrefix(failed.Operator, "sums/") || failed.Call != "Add" || !strings.Contains(failed.Row, `"v":13`) {
			t.Errorf("%s: %v", window, err)
		}
	}
	for from, want := range map[string]string{
		"fussy(v)":    "",
		"fusy(v)":     "unknown aggregate fusy, did you mean FUSSY?",
		"fussy(k)":    "a int64 does not hold the column's STRING",
		"fussy(v, 2)": "FUSSY takes one argument, here are 2",
		"fussy(*)":    "FUSSY(*) has no meaning, only COUNT(*) has",
	} {
		_, err := job.Parse([]byte(strings.ReplaceAll(aggregateSpec, "fussy(v)", from)), job.Options{File: "job.yaml"})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", from, err)
		}
	}
}

const builtinSpec = `name: builtin
engine: {parallelism: 2, checkpoint: {dir: DIR/state}, restart: {strategy: none}}
sources:
  in: {connector: file, path: DIR/in.csv, format: csv, schema: {k: STRING NOT NULL, ts: TIMESTAMP(3), v: BIGINT, w: STRING}, watermark: {column: ts}}
streams:
  all:
    from: in
    emit: every-row
    aggregate: {n: COUNT(DISTINCT v), about: APPROX_COUNT_DISTINCT(w), middle: MEDIAN(v), deviation: STDDEV_POP(v)}
  keyed:
    from: in
    key-by: [k]
    window: {WINDOW}
    aggregate: {words: "STRING_AGG(w, '+')", top: "CARDINALITY(TOP_K(v, 2))", p: "PERCENTILE(v, 0.5)", first: FIRST_VALUE(v), last: LAST_VALUE(w), n: COUNT(DISTINCT v), spread: MAX(DISTINCT v) - MIN(v)}
sinks:
  out: {from: STREAM, connector: file, path: DIR/out, format: csv}
`

// TestBuiltinAggregates: the functions of SQL in a job specification, over the whole stream and in windows.
func TestBuiltinAggregates(t *testing.T) {
	input := "a,2026-01-01 00:00:01,4,x\nb,2026-01-01 00:00:02,,\na,2026-01-01 00:00:03,4,y\na,2026-01-01 00:00:04,1,\nb,2026-01-01 00:00:05,,z\na,2026-01-01 00:00:11,7,x\n"
	for _, c := range []struct{ stream, window, want string }{
		{"all", "tumbling: 1s", "1,1,4.0,0.0 1,1,4.0,0.0 1,2,4.0,0.0 2,2,4.0,1.4142135623730951 2,3,4.0,1.4142135623730951 3,3,4.0,2.1213203435596424"},
		{"keyed", "tumbling: 10s", "a,00,10,x+y,2,4.0,4,y,2,3,final a,10,20,x,1,7.0,7,x,1,0,final b,00,10,z,,,,z,0,,final"},
		{"keyed", "sliding: 10s, every: 5s", "a,-5,05,x+y,2,4.0,4,y,2,3,final a,00,10,x+y,2,4.0,4,y,2,3,final a,05,15,x,1,7.0,7,x,1,0,final a,10,20,x,1,7.0,7,x,1,0,final b,-5,05,,,,,,0,,final b,00,10,z,,,,z,0,,final b,05,15,z,,,,z,0,,final"},
		{"keyed", "session: 5s", "a,01,09,x+y,2,4.0,4,y,2,3,final a,11,16,x,1,7.0,7,x,1,0,final b,02,10,z,,,,z,0,,final"},
	} {
		got, err := runSpec(t, strings.NewReplacer("WINDOW", c.window, "STREAM", c.stream).Replace(builtinSpec), input)
		got = strings.NewReplacer("2026-01-01 00:00:", "", "2025-12-31 23:59:55", "-5", ".000", "").Replace(got)
		if err != nil || got != c.want {
			t.Errorf("%s %s: %v\ngot  %s\nwant %s", c.stream, c.window, err, got, c.want)
		}
	}
}

// TestAggregateWithoutMerge: sliding windows do without, sessions cannot.
func TestAggregateWithoutMerge(t *testing.T) {
	spec := func(window string) string {
		return strings.NewReplacer("WINDOW", window, "STREAM", "keyed", "STRING_AGG(w, '+')", "LONGEST(w)").Replace(builtinSpec)
	}
	input := "a,2026-01-01 00:00:01,4,x\na,2026-01-01 00:00:07,4,yy\na,2026-01-01 00:00:11,1,z\n"
	got, err := runSpec(t, spec("sliding: 10s, every: 5s"), input)
	var words []string
	for _, line := range strings.Fields(strings.NewReplacer("2026-01-01 ", "", "2025-12-31 ", "").Replace(got)) {
		if f := strings.Split(line, ","); len(f) > 3 {
			words = append(words, f[3])
		}
	}
	if want := "x yy yy z"; err != nil || strings.Join(words, " ") != want {
		t.Errorf("%v: %v, want %s (%s)", err, words, want, got)
	}
	if _, err := runSpec(t, spec("session: 5s"), input); err == nil || !strings.Contains(err.Error(), "aggregate words: LONGEST has no Merge, which sessions that meet need") {
		t.Error(err)
	}
}

const changelogSpec = `name: changelog
engine: {parallelism: 1, checkpoint: {dir: DIR/state}, restart: {strategy: none}}
sources:
  in: {connector: file, path: DIR/in.csv, format: csv, schema: {k: STRING NOT NULL, v: BIGINT NOT NULL}}
streams:
  words: {from: in, key-by: [k], emit: every-row, aggregate: {n: COUNT(*), most: MAX(v)}}
  by_count: {from: words, filter: n < 3, key-by: [n], emit: every-row, aggregate: {words: COUNT(*), most: MAX(most), least: MIN(most), squares: "WEIGHTED_MEAN(ROW(CAST(most AS DOUBLE), most))"}}
sinks:
  out: {from: by_count, connector: file, path: DIR/out, format: csv, row-kind: change}
`

// TestAggregateOfAggregate: an aggregate over results that replace others takes them back: how many words came once, and how many twice.
func TestAggregateOfAggregate(t *testing.T) {
	got, err := runSpec(t, changelogSpec, "a,1\nb,3\na,5\nb,9\na,7\n")
	want := []string{
		"1,1,1,1,1.0,+I",                   // a once
		"1,1,1,1,1.0,-U", "1,2,3,1,2.5,+U", // b once
		"1,2,3,1,2.5,-U", "1,1,3,3,3.0,+U", // a no more
		"2,1,5,5,5.0,+I",                                 // a twice
		"1,1,3,3,3.0,-D",                                 // b no more
		"2,1,5,5,5.0,-U", "2,2,9,5,7.571428571428571,+U", // b twice
		"2,2,9,5,7.571428571428571,-U", "2,1,9,9,9.0,+U", // a three times
	}
	slices.Sort(want)
	if err != nil || got != strings.Join(want, " ") {
		t.Fatalf("%v\ngot  %s\nwant %s", err, got, strings.Join(want, " "))
	}
}

// TestRegisterAggregateRefuses: what cannot work is said when it is registered.
func TestRegisterAggregateRefuses(t *testing.T) {
	type hidden struct {
		N    int64
		seen map[string]bool
	}
	check := func(want string, f func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
				t.Errorf("%s, want %s", text, want)
			}
		}()
		f()
	}
	good := stream.AggregateFunc[int64, int64, int64]{Add: func(*int64, int64) error { return nil }, Merge: func(_, _ *int64) error { return nil }, Result: func(*int64) (int64, error) { return 0, nil }}
	check("the name is taken", func() { stream.RegisterAggregate("sum", good) })
	check("the name is taken", func() { stream.RegisterAggregate("MOST_COMMON", good) })
	back := good
	back.Merge, back.Retract = nil, good.Merge
	check("what cannot be merged cannot be taken back", func() { stream.RegisterAggregate("X", back) })
	check("a scalar function", func() { stream.RegisterAggregate("UPPER", good) })
	check("letters A to Z", func() { stream.RegisterAggregate("a b", good) })
	check("it needs Add and Result", func() { stream.RegisterAggregate("X", stream.AggregateFunc[int64, int64, int64]{}) })
	check("the field seen of stream_test.hidden would not be stored", func() {
		stream.RegisterAggregate("X", stream.AggregateFunc[int64, []hidden, int64]{Add: func(h *[]hidden, n int64) error { (*h)[0].N, (*h)[0].seen = n, nil; return nil },
			Merge: func(_, _ *[]hidden) error { return nil }, Result: func(*[]hidden) (int64, error) { return 0, nil }})
	})
	check("cannot be a column", func() {
		stream.RegisterAggregate("X", stream.AggregateFunc[int64, int64, complex128]{Add: func(*int64, int64) error { return nil }, Merge: func(_, _ *int64) error { return nil },
			Result: func(*int64) (complex128, error) { return 0, nil }})
	})
}
