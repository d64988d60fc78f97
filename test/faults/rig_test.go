package faults

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core/supervisor"
	"turbo/internal/devbroker"
	"turbo/internal/vfs"
	"turbo/io/ledger"
	"turbo/job"
	"turbo/run"
	_ "turbo/run/all"
	"turbo/test/visible"
)

var update = flag.Bool("update", false, "rewrite the messages in testdata")

const childSpec = "TURBO_FAULTS_SPEC"

// TestMain doubles as a process that runs a job until it is told to stop.
func TestMain(m *testing.M) {
	path := os.Getenv(childSpec)
	if path == "" {
		os.Exit(m.Run())
	}
	j, err := job.Load(path, job.Options{})
	if err == nil {
		var p *run.Process
		if p, err = run.New(j, run.Options{}); err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			go func() {
				<-ctx.Done()
				p.Supervisor.Stop()
			}()
			_, err = p.Run(context.Background())
			stop()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// rig is a broker with a topic, and a job from it to files.
type rig struct {
	t       *testing.T
	dir     string
	broker  *devbroker.Broker
	address string
	want    map[string]string // "partition/offset" -> value of the good records
	next    [2]int
	options string // more lines of the source
	format  string
	keys    string // the aggregate's key
	retain  int
	connect string // connect-timeout; "": a minute
	logged  lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T, config devbroker.Config) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), want: map[string]string{}, keys: "k", retain: 3, format: "{type: csv}"}
	if config.Topics == nil {
		config.Topics = []devbroker.Topic{{Name: "events", Partitions: 2}}
	}
	b, err := devbroker.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	r.broker, r.address = b, b.Address()
	t.Cleanup(func() { r.broker.Close() })
	return r
}

// produce appends n good records.
func (r *rig) produce(n int, options ...kgo.Opt) {
	r.t.Helper()
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("%d,value %d", (r.next[0]+r.next[1]+i)%50, r.next[0]+r.next[1]+i)
	}
	r.produceThese(true, values, options...)
}

func (r *rig) produceThese(good bool, values []string, options ...kgo.Opt) {
	r.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(r.address), kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for i, v := range values {
		p := i % 2
		if good {
			r.want[fmt.Sprintf("%d/%d", p, r.next[p])] = v
		}
		r.next[p]++
		records = append(records, &kgo.Record{Topic: "events", Partition: int32(p), Value: []byte(v)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) spec() string {
	return fmt.Sprintf(`name: faults
engine:
  parallelism: 2
  memory: 200MiB
  buffer-timeout: 1ms
  checkpoint: {interval: 10ms, dir: %[1]s/state, retain: %[2]d}
  restart: none
  dead-letters: %[1]s/dead
sources:
  events:
    connector: kafka
    brokers: %[3]s
    topic: events
    format: %[4]s
    schema: {k: INT NOT NULL, value: STRING NOT NULL}
    metadata: {part: partition, off: offset}
    connect-timeout: %[7]s
%[5]s
streams:
  rows: {from: events, select: {part: , off: , k: , value: }}
  counted: {from: events, key-by: [%[6]s], aggregate: {n: COUNT(*)}, emit: every-row}
sinks:
  files: {from: rows, connector: file, path: %[1]s/files, format: csv, roll: {size: 2KiB}}
  counts: {from: counted, connector: file, path: %[1]s/counts, format: json}
`, r.dir, r.retain, r.address, r.format, r.options, r.keys, cmp.Or(r.connect, "1m"))
}

// start starts the job.
func (r *rig) start(fs vfs.FS) *running {
	r.t.Helper()
	return r.startSpec(r.spec(), fs)
}

func (r *rig) startSpec(spec string, fs vfs.FS) *running {
	r.t.Helper()
	j, err := job.Parse([]byte(spec), job.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&r.logged, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	p, err := run.New(j, run.Options{Log: log, FS: fs})
	if err != nil {
		r.t.Fatal(err)
	}
	w := &running{r: r, p: p, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		w.result, w.err = p.Run(ctx)
		close(w.ended)
	}()
	r.t.Cleanup(func() {
		cancel()
		<-w.ended
	})
	return w
}

type running struct {
	r      *rig
	p      *run.Process
	ended  chan struct{}
	result supervisor.Result
	err    error
}

func (w *running) until(what string, done func() bool) {
	w.r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(2 * time.Millisecond) {
		select {
		case <-w.ended:
			w.r.t.Fatalf("the job ended before %s: %v", what, w.err)
		default:
		}
		if time.Now().After(deadline) {
			w.r.t.Fatalf("no %s within a minute; %+v\n%s", what, w.p.Supervisor.Status(), w.r.logged.String())
		}
	}
}

// drained waits until all records that were produced are read and committed.
func (w *running) drained() {
	w.r.t.Helper()
	w.until("end of the input", func() bool { // by the ledger: records without lag may not have come to a worker yet, and the lag is not that of this moment
		s, err := ledger.Read(vfs.OS(), filepath.Join(w.r.dir, "files"))
		return err == nil && s.Balance.Read == int64(w.r.next[0]+w.r.next[1]) && w.p.Supervisor.Status().Checkpoints.Completed > 1
	})
	id := w.p.Supervisor.Status().Checkpoints.Last
	w.until("checkpoint", func() bool { return w.p.Supervisor.Status().Checkpoints.Last > id+1 })
}

// stop stops the job with a last checkpoint.
func (w *running) stop() {
	w.r.t.Helper()
	w.p.Supervisor.Stop()
	if err := w.wait(); err != nil {
		w.r.t.Fatalf("the job failed: %v", err)
	}
}

func (w *running) wait() error {
	w.r.t.Helper()
	select {
	case <-w.ended:
		return w.err
	case <-time.After(time.Minute):
		w.r.t.Fatalf("the job does not end; %+v\n%s", w.p.Supervisor.Status(), w.r.logged.String())
		return nil
	}
}

// complete runs the job to the end of what was produced, stops it, and checks that everything is there once.
func (r *rig) complete() *running {
	r.t.Helper()
	w := r.start(nil)
	w.drained()
	w.stop()
	r.check()
	return w
}

// fails runs a job that must fail, and compares its message.
func (r *rig) fails(name string, fs vfs.FS) {
	r.t.Helper()
	r.refused(name, r.start(fs))
}

// failsWith is fails with another job spec.
func (r *rig) failsWith(name, spec string) {
	r.t.Helper()
	r.refused(name, r.startSpec(spec, nil))
}

func (r *rig) refused(name string, w *running) {
	r.t.Helper()
	err := w.wait()
	if err == nil {
		r.t.Fatalf("%s: the job ended without an error", name)
	}
	r.golden(name, err.Error())
}

// check holds the output against what was produced.
func (r *rig) check() {
	r.t.Helper()
	seen := map[string]bool{}
	visit := func(name string, format string, columns []string, v visible.Visit) {
		r.t.Helper()
		names, _, err := visible.Files(filepath.Join(r.dir, name))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, n := range names {
			if err := visible.ReadFile(n, format, columns, v); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	visit("files", "csv", []string{"part", "off", "k", "value"}, func(f []string) error {
		id := f[0] + "/" + f[1]
		if seen[id] {
			return fmt.Errorf("record %s is there twice", id)
		}
		seen[id] = true
		if v := f[2] + "," + f[3]; r.want[id] != v {
			return fmt.Errorf("record %s is %q, produced was %q", id, v, r.want[id])
		}
		return nil
	})
	for id := range r.want {
		if !seen[id] {
			r.t.Fatalf("record %s is missing; %d of %d are there", id, len(seen), len(r.want))
		}
	}
	counts := map[string]bool{}
	visit("counts", "json", []string{r.keys, "n"}, func(f []string) error {
		id := strings.Join(f, "/")
		if counts[id] {
			return fmt.Errorf("key %s was counted to %s twice", f[0], f[1])
		}
		counts[id] = true
		return nil
	})
	if len(counts) != len(r.want) {
		r.t.Fatalf("%d counts for %d records", len(counts), len(r.want))
	}
}

var replaced = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`\(pid \d+\)|process \d+`), "process PID"},
	{regexp.MustCompile(`since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "since TIME"},
	{regexp.MustCompile(`faults-[0-9a-f]{12}-w\d-c\d+-\d+`), "FILE"},
	{regexp.MustCompile(`checkpoint \d+`), "checkpoint N"},
	{regexp.MustCompile(`(checkpoint|damaged)=\d+`), "$1=N"},
	{regexp.MustCompile(`manifest-\d+`), "manifest-N"},
	{regexp.MustCompile(`what \d+ committed`), "what N committed"},
	{regexp.MustCompile(`\d+ bytes`), "N bytes"},
	{regexp.MustCompile(`delivered were \d+`), "delivered were N"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "SUM"},
	{regexp.MustCompile(`worker \d`), "worker W"},
	{regexp.MustCompile(`after \d+(\.\d+)?m?s`), "after TIME"},
}

// golden compares a message with the one in testdata.
func (r *rig) golden(name, text string) {
	r.t.Helper()
	for _, s := range []string{r.dir, r.address} {
		text = strings.ReplaceAll(text, s, map[string]string{r.dir: "DIR", r.address: "BROKER"}[s])
	}
	for _, s := range replaced {
		text = s.from.ReplaceAllString(text, s.to)
	}
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o666); err != nil {
			r.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if text+"\n" != string(want) {
		r.t.Errorf("%s: the message is\n  %s\nwant\n  %s", name, text, want)
	}
}
