package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/internal/devbroker"
	"turbo/internal/vfs"
	"turbo/io/ledger"
)

// asCommand makes the test binary behave as turbo: the demo starts its job from os.Executable.
const asCommand = "TURBO_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// turbo runs a command line in this process.
func turbo(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&b)
	root.SetErr(&b)
	err = root.Execute()
	return b.String(), err
}

// world is a broker with a topic of 3 partitions, and a job that copies it into files.
type world struct {
	t      *testing.T
	broker *devbroker.Broker
	dir    string
	out    string
	spec   string
}

const verifySpec = `name: copy
engine:
  parallelism: 1
  memory: 128MiB
  checkpoint: {interval: 10s, dir: DIR/state}
sources:
  numbers:
    connector: kafka
    brokers: BROKER
    topic: numbers
    stop: end
    format: csv
    on-error: skip
    schema: {n: BIGINT NOT NULL, text: STRING}
    metadata: {p: partition, o: offset}
streams:
  some:
    from: numbers
    filter: n % 3 <> 0
    select: {SELECT}
sinks:
  files: {from: some, connector: file, path: DIR/out, format: FORMAT}
`

const located = "p: , o: , n: , text: , double: n * 2"

func newWorld(t *testing.T, selected, format string) *world {
	t.Helper()
	return newWorldWith(t, selected, format, nil)
}

func newWorldWith(t *testing.T, selected, format string, settings map[string]string) *world {
	t.Helper()
	broker, err := devbroker.Start(devbroker.Config{Topics: []devbroker.Topic{{Name: "numbers", Partitions: 3, Settings: settings}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := &world{t: t, broker: broker, dir: t.TempDir()}
	w.out, w.spec = filepath.Join(w.dir, "out"), filepath.Join(w.dir, "job.yaml")
	text := strings.NewReplacer("DIR", w.dir, "BROKER", broker.Address(), "SELECT", selected, "FORMAT", format).Replace(verifySpec)
	if err := os.WriteFile(w.spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.broker.Address()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("numbers")}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	w.t.Cleanup(cancel)
	return ctx
}

func numbers(from, to int) (out []*kgo.Record) {
	for n := from; n < to; n++ {
		out = append(out, &kgo.Record{Partition: int32(n % 3), Value: fmt.Appendf(nil, "%d,text %d", n, n)})
	}
	return out
}

func (w *world) produce(records ...*kgo.Record) {
	w.t.Helper()
	if err := w.client().ProduceSync(w.context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) run() {
	w.t.Helper()
	if out, err := turbo(w.t, "run", w.spec); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}

// verify returns what verify prints without the places that differ from run to run.
func (w *world) verify(source bool) (string, error) {
	w.t.Helper()
	args := []string{"verify", w.out}
	if source {
		args = append(args, "--source", w.spec)
	}
	out, err := turbo(w.t, args...)
	return strings.ReplaceAll(out, w.dir, "DIR"), err
}

func (w *world) file() string {
	w.t.Helper()
	list, err := filepath.Glob(filepath.Join(w.out, "copy-*"))
	if err != nil || len(list) != 1 {
		w.t.Fatalf("files %v, %v", list, err)
	}
	return list[0]
}

func (w *world) expect(out string, err error, wrong bool, parts ...string) {
	w.t.Helper()
	if (err != nil) != wrong {
		w.t.Errorf("error %v", err)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			w.t.Errorf("%q is not in\n%s", part, out)
		}
	}
}

func TestVerifyHolds(t *testing.T) {
	for i, format := range []string{"csv", "{type: csv, header: true, delimiter: \";\"}, compression: gzip", "json", "parquet", "{type: parquet, compression: zstd}, partition-by: {p: }", "arrow"} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			w := newWorld(t, located, format)
			w.produce(numbers(0, 900)...)
			w.produce(&kgo.Record{Partition: 1, Value: []byte("no number")})
			w.run()
			out, err := w.verify(true)
			w.expect(out, err, false,
				"901 read = 600 written + 300 filtered + 1 skipped",
				"numbers partition 1, offsets 0 to 300: 301 records, no gap",
				"the job's filters keep 600 of the records; each of them is in exactly one file",
				"everything that was checked holds, in the files and against the broker")
			if strings.Contains(out, "WRONG") {
				t.Errorf("found wrong:\n%s", out)
			}
		})
	}
}

func TestVerifyJSON(t *testing.T) {
	w := newWorld(t, located, "json")
	w.produce(numbers(0, 90)...)
	w.run()
	out, err := turbo(t, "verify", w.out, "--source", w.spec, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var v verification
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if !v.OK || v.Rows.Found != 60 || v.Rows.Expected != 60 || len(v.Broker) != 3 || v.Broker[2].Records != 30 || v.Ledger.Rows != 60 {
		t.Errorf("%+v", v)
	}
}

func TestVerifyTogether(t *testing.T) {
	w := newWorld(t, "n: , text:", "csv")
	w.produce(numbers(0, 900)...)
	w.run()
	out, err := w.verify(true)
	w.expect(out, err, false, "single rows cannot be told apart: the offset is not among the columns", "the records give 600 rows by the job's filters and columns, and the visible files have exactly these")
	replaceInFile(t, w.file(), "text 500", "text 501")
	out, err = w.verify(true)
	w.expect(out, err, true, "changed: ", "as many rows as the records give (600), but not the same ones", "2 things are wrong")
}

// Gaps that a log may have are told apart: markers, aborted records.
func TestVerifyTransactions(t *testing.T) {
	w := newWorld(t, located, "json")
	w.produce(numbers(0, 30)...)
	c := w.client(kgo.TransactionalID("t"))
	for n, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(w.context(), &kgo.Record{Partition: 1, Value: fmt.Appendf(nil, "%d,x", 100+3*n)}, &kgo.Record{Partition: 1, Value: []byte("200,y")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := c.EndTransaction(w.context(), end); err != nil {
			t.Fatal(err)
		}
	}
	w.run()
	out, err := w.verify(true)
	w.expect(out, err, false,
		"numbers partition 1, offsets 0 to 18: 12 records, 3 transaction markers, 4 records of aborted transactions",
		"the broker has 32 records in these ranges, and so many the job has read", "filters keep 22 of the records")
}

// killAt produces so many records and kills the job when the ledger says that it has read them.
func (w *world) killAt(t *testing.T, records int) {
	t.Helper()
	w.produce(numbers(0, records)...)
	p, err := startDemoProcess(w.spec, new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	for {
		if s, err := ledger.Read(vfs.OS(), w.out); err == nil && s.Balance.Read == int64(records) {
			return
		}
		if !p.running() {
			t.Fatal(p.failure())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A killed job has files that are not visible yet.
func TestVerifyOpen(t *testing.T) {
	t.Setenv(asCommand, "1")
	w := newWorld(t, located+", at: NOW()", "json")
	replaceInFile(t, w.spec, "interval: 10s", "interval: 20ms")
	replaceInFile(t, w.spec, "stop: end", "stop: never")
	w.killAt(t, 900)
	out, err := w.verify(true)
	w.expect(out, err, false, "no file is visible yet", "600 rows in 1 file still open", "the job has not ended",
		"600 rows in no visible file: as many as are durable in files that are still open",
		"keep 600 of the records; 0 of them are visible, each in exactly one file, with the same values but for at (by the clock)")
}

// Rows that other expressions have made than those of the spec are not held against the files: it was changed after the job, or in its middle.
func TestVerifyChangedProgram(t *testing.T) {
	t.Setenv(asCommand, "1")
	w := newWorld(t, located, "json")
	replaceInFile(t, w.spec, "interval: 10s", "interval: 20ms")
	replaceInFile(t, w.spec, "stop: end", "stop: never")
	w.killAt(t, 900)
	replaceInFile(t, w.spec, "filter: ", "filter: n < 1000000 AND ")
	out, err := w.verify(true)
	w.expect(out, err, false, "note   rows cannot be compared with records: they were made by other filters or columns than those of the spec")
	replaceInFile(t, w.spec, "stop: never", "stop: end")
	w.produce(numbers(900, 930)...)
	w.run()
	out, err = w.verify(true)
	w.expect(out, err, false, "930 read = 620 written + 310 filtered", "rows cannot be compared with records: the job's filters or columns were changed while it has this state, at checkpoint ")
}

// Only the newest run's rows are compared when an earlier run's files are kept.
func TestVerifyAppended(t *testing.T) {
	w := newWorld(t, located, "json, existing: append")
	w.produce(numbers(0, 90)...)
	w.run()
	w.produce(numbers(90, 120)...)
	if out, err := turbo(t, "run", "--fresh", w.spec); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := w.verify(true)
	w.expect(out, err, false, "of 2 runs in the ledger", "2 files, 140 rows", "1 file of earlier runs", "keep 80 of the records; each of them is in exactly one file")
}

// Records that compaction has taken away since the job read them are not held against the files.
func TestVerifyCompacted(t *testing.T) {
	w := newWorldWith(t, located, "json", map[string]string{"cleanup.policy": "compact", "segment.bytes": "200", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "1"})
	records := numbers(0, 90)
	for i, r := range records {
		r.Key = fmt.Append(nil, i/30) // 10 records a key and partition
	}
	c := w.client()
	for _, r := range records { // a batch each
		if err := c.ProduceSync(w.context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.run()
	w.broker.Cluster().Compact()
	out, err := w.verify(true)
	w.expect(out, err, false, "rows whose records the broker does not have any more: not compared", "the difference cannot be told from what the log has let go", "row by row: ")
	if strings.Contains(out, "no gap") {
		t.Errorf("nothing was compacted:\n%s", out)
	}
}

func TestVerifyDeduplicated(t *testing.T) {
	w := newWorld(t, located, "json")
	replaceInFile(t, w.spec, "    filter:", "    deduplicate: {key: [n], ttl: 1h, clock: processing}\n    filter:")
	w.produce(numbers(0, 90)...)
	w.produce(numbers(0, 30)...)
	w.run()
	out, err := w.verify(true)
	w.expect(out, err, false, "+ 20 deduplicated", "each of the 60 rows has its record on the broker, none is there twice", "some removes duplicates: which rows must be there")
}

func TestVerifyWrongJob(t *testing.T) {
	w := newWorld(t, located, "json")
	w.produce(numbers(0, 30)...)
	w.run()
	replaceInFile(t, w.spec, "name: copy", "name: other")
	out, err := w.verify(true)
	if err == nil || !strings.Contains(err.Error(), "was written by job copy, and the spec is of job other") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := turbo(t, "verify", w.dir); err == nil || !strings.Contains(err.Error(), "has no delivery ledger") {
		t.Errorf("%v", err)
	}
}

func replaceInFile(t *testing.T, name, old, with string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%s has no %q", name, old)
	}
	if err := os.WriteFile(name, bytes.Replace(text, []byte(old), []byte(with), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyDamage(t *testing.T) {
	w := newWorld(t, located, "csv")
	w.produce(numbers(0, 900)...)
	w.run()
	good, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	name := w.file()
	line := bytes.SplitAfter(good, []byte("\n"))[7]
	for _, c := range []struct {
		what   string
		damage func() error
		parts  []string
	}{
		{"deleted", func() error { return os.Remove(name) },
			[]string{"missing: ", "the file is gone; it had 600 rows", "600 rows in no readable file, where 1 file could not be read", "2 things are wrong"}},
		{"truncated", func() error { return os.WriteFile(name, good[:len(good)-9], 0o644) }, []string{"changed: ", "bytes, delivered were"}},
		{"changed", func() error {
			return os.WriteFile(name, bytes.Replace(good, []byte("text 7,"), []byte("text 8,"), 1), 0o644)
		},
			[]string{"changed: ", "its checksum is", "1 row with other values than the record on the broker gives (numbers/1 offset 2 in"}},
		{"doubled row", func() error { return os.WriteFile(name, append(bytes.Clone(good), line...), 0o644) },
			[]string{"changed: ", "1 row twice (numbers/"}},
		{"extra", func() error { return os.WriteFile(filepath.Join(w.out, "copy-of-it.csv"), line, 0o644) },
			[]string{"extra: copy-of-it.csv: a visible file that no checkpoint delivered", "1 row twice (numbers/"}},
		{"row of nowhere", func() error {
			return os.WriteFile(filepath.Join(w.out, "extra.csv"), []byte("0,5000,1,x,2\n0,0,0,text 0,0\n"), 0o644)
		}, []string{"1 row with an offset outside of the ledger's ranges (numbers/0 offset 5000 is in extra.csv)",
			"1 row that no record gives: it is not on the broker, or does not pass the job's filters (numbers/0 offset 0 is in extra.csv)"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			if err := c.damage(); err != nil {
				t.Fatal(err)
			}
			out, err := w.verify(true)
			w.expect(out, err, true, c.parts...)
			if out, err = w.verify(false); err == nil {
				t.Errorf("without the broker it holds:\n%s", out)
			}
			_ = os.Remove(filepath.Join(w.out, "extra.csv"))
			_ = os.Remove(filepath.Join(w.out, "copy-of-it.csv"))
			if err := os.WriteFile(name, good, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
	out, err := w.verify(true)
	w.expect(out, err, false)
}

// Files and ledger agree, and the broker has other records: the topic was made again with a row less, one more that passes the
// filter, and one with another value.
func TestVerifyOtherRecords(t *testing.T) {
	w := newWorld(t, located, "parquet")
	w.produce(numbers(0, 900)...)
	w.run()
	w.again(func(r []*kgo.Record) []*kgo.Record {
		r[1].Value = []byte("0,does not pass") // was 1
		r[3].Value = []byte("4,does pass")     // was 3
		r[5].Value = []byte("5,other text")
		return r
	})
	out, err := w.verify(true)
	w.expect(out, err, true,
		"1 row in no file, though the record is on the broker and passes the job's filters (numbers/0 offset 1)",
		"1 row that no record gives: it is not on the broker, or does not pass the job's filters (numbers/1 offset 0 is in",
		"1 row with other values than the record on the broker gives (numbers/2 offset 1 in")
	w.again(func(r []*kgo.Record) []*kgo.Record { return r[:600] })
	out, err = w.verify(true)
	w.expect(out, err, true, "numbers partition 0: the ledger goes to offset 299, and the log ends at 199")
}

// again makes the topic anew with changed records.
func (w *world) again(change func([]*kgo.Record) []*kgo.Record) {
	w.t.Helper()
	c := w.broker.Cluster()
	if err := c.DeleteTopic("numbers"); err != nil {
		w.t.Fatal(err)
	}
	if err := w.broker.EnsureTopic(devbroker.Topic{Name: "numbers", Partitions: 3}); err != nil {
		w.t.Fatal(err)
	}
	w.produce(change(numbers(0, 900))...)
}
