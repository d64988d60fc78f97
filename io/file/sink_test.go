package file

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/connector"
	"turbo/io/ledger"
	"turbo/memory"
)

// bench is a sink with one writer and the checkpoints that were made with it.
type bench struct {
	t       *testing.T
	fs      vfs.FS
	mem     *vfs.Mem
	clock   *clock.Manual
	account *memory.Account
	options func(*Options)
	sink    *Sink
	w       *writer
	last    *core.RestoredSink
	id      int64 // next row
}

func newBench(t *testing.T, options func(*Options)) *bench {
	m := vfs.NewMem()
	b := &bench{t: t, fs: m, mem: m, clock: clock.NewManual(time.Unix(1e9, 0)), account: memory.NewPool(64 << 20).Account("t"), options: options}
	return b
}

func (b *bench) make() *Sink {
	o := Options{Dir: outDir, Input: inputSchema, Schema: fileSchema, Partition: []Partition{{"part", 2}}}
	o.Runtime = connector.Runtime{Job: "arrivals", Run: "r1", Name: "files", Parallelism: 1, FS: b.fs, Clock: b.clock, Account: b.account}
	plainForm.set(&o)
	o.Header.Format = "csv"
	if b.options != nil {
		b.options(&o)
	}
	return New(o)
}

func (b *bench) start() error {
	b.stop()
	b.sink = b.make()
	if err := b.sink.Open(context.Background(), b.last); err != nil {
		return err
	}
	var err error
	b.w, err = b.sink.writer(0)
	return err
}

func (b *bench) stop() {
	if b.w != nil {
		b.w.Close()
	}
	if b.sink != nil {
		b.sink.Close()
	}
	b.w, b.sink = nil, nil
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) refused(err error, parts ...string) {
	b.t.Helper()
	if err == nil {
		b.t.Fatalf("accepted; expected an error with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			b.t.Fatalf("the error does not say %q: %v", p, err)
		}
	}
}

// write puts n rows into a partition; partition "" is null.
func (b *bench) write(n int, partition string) error {
	c := core.NewBuilder(b.account, inputSchema, n)
	defer c.Close()
	for range n {
		c.Column(0).AppendInt64(b.id)
		c.Column(1).AppendString(rowText(b.id))
		if partition == "" {
			c.Column(2).AppendNull()
		} else {
			c.Column(2).AppendString(partition)
		}
		b.id++
	}
	return b.w.Write(context.Background(), c.Finish())
}

func (b *bench) prepare(final bool) error {
	next := core.RestoredSink{Info: core.CommitInfo{Checkpoint: 1, Final: final}}
	if b.last != nil {
		next.Info.Previous = b.last.Info.Checkpoint
		next.Info.Checkpoint = next.Info.Previous + 1
	}
	c, err := b.w.Prepare(context.Background(), next.Info.Checkpoint, final)
	if err != nil {
		return err
	}
	next.Committables = [][]byte{c}
	b.last = &next
	return nil
}

func (b *bench) commit() error {
	return b.sink.Commit(context.Background(), b.last.Info, b.last.Committables)
}

func (b *bench) checkpoint(final bool) {
	b.t.Helper()
	b.must(b.prepare(final))
	b.must(b.commit())
}

// tree lists all files but the ledger and the lock, with their sizes in lines.
func (b *bench) tree() string {
	b.t.Helper()
	var out []string
	var walk func(dir string)
	walk = func(dir string) {
		list, err := b.mem.ReadDir(dir)
		b.must(err)
		for _, e := range list {
			name := dir + "/" + e.Name()
			if e.IsDir() && e.Name() != ledger.Dir {
				walk(name)
			} else if !e.IsDir() {
				content, _ := vfs.ReadFile(b.mem, name)
				out = append(out, fmt.Sprintf("%s:%d", strings.TrimPrefix(name, outDir+"/"), strings.Count(string(content), "\n")))
			}
		}
	}
	walk(outDir)
	return strings.Join(out, "\n")
}

func (b *bench) wantTree(want string) {
	b.t.Helper()
	if got := b.tree(); got != strings.TrimSpace(want) {
		b.t.Fatalf("the directory has\n%s\nwant\n%s", got, want)
	}
}

func TestSinkLife(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Roll = RollPolicy{Interval: time.Minute, Inactivity: 20 * time.Second} })
	b.must(b.start())
	b.must(b.write(3, "a"))
	b.must(b.write(2, ""))
	b.must(b.write(1, "b/../c"))
	b.checkpoint(false)
	b.wantTree(`
part=__HIVE_DEFAULT_PARTITION__/.arrivals-r1-w0-c000000-2.csv.turbo-open:3
part=a/.arrivals-r1-w0-c000000-1.csv.turbo-open:4
part=b%2F..%2Fc/.arrivals-r1-w0-c000000-3.csv.turbo-open:2`)
	b.clock.Advance(15 * time.Second)
	b.must(b.write(4, "a"))
	b.clock.Advance(6 * time.Second)
	b.must(b.w.Tick(context.Background(), b.clock.Now())) // the others are inactive
	b.must(b.prepare(false))
	b.wantTree(`
part=__HIVE_DEFAULT_PARTITION__/.arrivals-r1-w0-c000000-2.csv.turbo-open:3
part=a/.arrivals-r1-w0-c000000-1.csv.turbo-open:8
part=b%2F..%2Fc/.arrivals-r1-w0-c000000-3.csv.turbo-open:2`)
	b.must(b.commit())
	b.must(b.commit())
	b.wantTree(`
part=__HIVE_DEFAULT_PARTITION__/arrivals-r1-w0-c000000-2.csv:3
part=a/.arrivals-r1-w0-c000000-1.csv.turbo-open:8
part=b%2F..%2Fc/arrivals-r1-w0-c000000-3.csv:2`)
	b.must(b.write(1, ""))
	b.must(b.write(9, "a"))
	b.must(b.start()) // restart: what no checkpoint covers goes
	b.wantTree(`
part=__HIVE_DEFAULT_PARTITION__/arrivals-r1-w0-c000000-2.csv:3
part=a/.arrivals-r1-w0-c000000-1.csv.turbo-open:8
part=b%2F..%2Fc/arrivals-r1-w0-c000000-3.csv:2`)
	b.must(b.write(1, ""))
	b.clock.Advance(20 * time.Second)
	b.must(b.write(1, "a"))
	b.clock.Advance(19 * time.Second) // a minute since the first row of a, before the restart
	b.must(b.w.Tick(context.Background(), b.clock.Now()))
	b.checkpoint(true)
	b.wantTree(`
part=__HIVE_DEFAULT_PARTITION__/arrivals-r1-w0-c000000-2.csv:3
part=__HIVE_DEFAULT_PARTITION__/arrivals-r1-w0-c000002-1.csv:2
part=a/arrivals-r1-w0-c000000-1.csv:9
part=b%2F..%2Fc/arrivals-r1-w0-c000000-3.csv:2`)
	b.must(b.start()) // a finished job
	b.stop()
	if used := b.account.Used(); used != 0 {
		t.Fatalf("%d bytes are not given back", used)
	}
}

func TestSinkRollsBySizeAndCount(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Roll.Size, o.MaxOpen = 200, 2 })
	b.must(b.start())
	for range 5 {
		b.must(b.write(5, "a"))
	}
	b.clock.Advance(time.Second)
	b.must(b.write(1, "b"))
	b.must(b.write(1, "c"))
	b.must(b.write(1, "d"))
	var c committable
	b.must(b.prepare(false))
	b.must(json.Unmarshal(b.last.Committables[0], &c))
	if len(c.Sealed) < 4 || len(c.Open) != 2 {
		t.Fatalf("%d sealed, %d open", len(c.Sealed), len(c.Open))
	}
	for _, f := range c.Sealed[:2] {
		if f.Bytes < 200 || f.Bytes > 500 || f.Rows == 0 || f.Sum == 0 {
			t.Errorf("sealed %+v", f)
		}
	}
	b.stop()
}

func TestSinkSealsWhenMemoryIsShort(t *testing.T) {
	b := newBench(t, func(o *Options) { gzipForm.set(o) })
	b.account.SetLimit(5 << 20)
	b.must(b.start())
	for i := range 20 {
		b.must(b.write(1, fmt.Sprint(i)))
	}
	if n := len(b.w.open); n == 0 || n > 4 {
		t.Fatalf("%d files are open", n)
	}
	b.checkpoint(true)
	b.stop()
	if used := b.account.Used(); used != 0 {
		t.Fatalf("%d bytes are not given back", used)
	}
}

// TestSinkAbandonedCheckpoint: a file that was sealed for a checkpoint that never completed is in the next one.
func TestSinkAbandonedCheckpoint(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Roll.OnCheckpoint = true })
	b.must(b.start())
	b.must(b.write(1, "a"))
	_, err := b.w.Prepare(context.Background(), 1, false)
	b.must(err)
	b.must(b.write(1, "b"))
	c, err := b.w.Prepare(context.Background(), 2, false)
	b.must(err)
	b.must(b.sink.Commit(context.Background(), core.CommitInfo{Checkpoint: 2}, [][]byte{c}))
	b.wantTree("part=a/arrivals-r1-w0-c000000-1.csv:2\npart=b/arrivals-r1-w0-c000001-1.csv:2")
	c3, err := b.w.Prepare(context.Background(), 3, false)
	b.must(err)
	if strings.Contains(string(c3), "part=a") {
		t.Fatalf("a committed file is in the next checkpoint again: %s", c3)
	}
	// A checkpoint that was prepared before the commit of the one before it has files that are delivered already.
	b.must(b.sink.Commit(context.Background(), core.CommitInfo{Checkpoint: 4, Previous: 2}, [][]byte{c}))
	b.must(b.sink.Commit(context.Background(), core.CommitInfo{Checkpoint: 4, Previous: 2}, [][]byte{c}))
	state := b.sink.ledger.State()
	if len(state.Visible) != 2 || len(state.Last.Files) != 0 {
		t.Fatalf("ledger: %+v", state.Last)
	}
	b.stop()
}

// TestSinkCarriedCommittables gives a commit, and a recovery, what was prepared for an abandoned checkpoint besides what is newer.
func TestSinkCarriedCommittables(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Roll.Size = 80 })
	b.must(b.start())
	var carried [][]byte
	for range 3 {
		b.must(b.write(1, "a"))
		b.must(b.write(2, "b"))
		b.must(b.prepare(false))
		carried = append(carried, b.last.Committables...)
	}
	b.last.Info.Previous, b.last.Committables = 0, carried
	b.must(b.commit())
	const want = `part=a/.arrivals-r1-w0-c000000-1.csv.turbo-open:4
part=b/.arrivals-r1-w0-c000002-1.csv.turbo-open:3
part=b/arrivals-r1-w0-c000000-2.csv:5`
	b.wantTree(want)
	if last := b.sink.ledger.State().Last; len(last.Files) != 1 || len(last.Open) != 2 {
		t.Fatalf("ledger: %+v", last)
	}
	b.must(b.start())
	b.wantTree(want)
	b.checkpoint(true)
	b.wantTree("part=a/arrivals-r1-w0-c000000-1.csv:4\npart=b/arrivals-r1-w0-c000000-2.csv:5\npart=b/arrivals-r1-w0-c000002-1.csv:3")
	b.stop()
}

func TestSinkRefusesChangedOutput(t *testing.T) {
	const a, open = outDir + "/part=a/arrivals-r1-w0-c000000-1.csv", outDir + "/part=b/.arrivals-r1-w0-c000001-1.csv.turbo-open"
	for _, c := range []struct {
		name   string
		change func(b *bench)
		says   []string
	}{
		{"a delivered file is gone", func(b *bench) { b.mem.Remove(a) }, []string{"sink files: ", "is gone", "--fresh"}},
		{"a delivered file is longer", func(b *bench) {
			f, _ := b.mem.OpenAppend(a)
			f.Write([]byte("x"))
		}, []string{"it has 18 bytes, delivered were 17"}},
		{"a delivered file has another byte", func(b *bench) {
			f, _ := b.mem.OpenReadWrite(a)
			f.Write([]byte("x"))
		}, []string{"part=a/arrivals-r1-w0-c000000-1.csv", "checksum", "--fresh"}},
		{"the open file is gone", func(b *bench) { b.mem.Remove(open) }, []string{"continue an open file", "part=b"}},
		{"the open file is shorter", func(b *bench) { b.mem.Truncate(open, 3) }, []string{"has 3 bytes, but the checkpoint covers"}},
		{"the ledger is gone", func(b *bench) { b.mem.Remove(ledger.Path(outDir)) }, []string{"ledger", "is gone", "--fresh"}},
		{"the ledger is damaged", func(b *bench) {
			f, _ := b.mem.OpenReadWrite(ledger.Path(outDir))
			f.Write([]byte("x"))
		}, []string{"line 1 is damaged"}},
		{"the state is gone", func(b *bench) { b.last = nil }, []string{"starts without a checkpoint", "--fresh"}},
		{"another job", func(b *bench) { b.options = func(o *Options) { o.Job = "other" } }, []string{"belongs to job arrivals, sink files"}},
		{"another run of the job", func(b *bench) {
			state := b.last
			b.last, b.options = nil, func(o *Options) { o.Run, o.Existing = "r2", AppendExisting }
			b.must(b.start())
			b.stop()
			b.last, b.options = state, nil
		}, []string{outDir + " was written to by another run of the job arrivals since (begun 2001-09-09 01:46:40)", "--fresh"}},
		{"another format", func(b *bench) { b.options = func(o *Options) { o.Header.Format = "json" } }, []string{"the files in " + outDir + " are {type: csv}", "writes {type: json}", "--fresh"}},
		{"another delimiter", func(b *bench) {
			b.options = func(o *Options) { o.Header.Options = map[string]string{"delimiter": ";"} }
		}, []string{"writes {type: csv, delimiter: ;}"}},
		{"another compression", func(b *bench) { b.options = func(o *Options) { o.Header.Compression = "gzip" } }, []string{"with compression: gzip"}},
		{"an older state", func(b *bench) { b.last.Info.Checkpoint, b.last.Info.Previous = 1, 0 }, []string{"output of checkpoint 2", "withdraw"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, nil)
			b.must(b.start())
			b.must(b.write(1, "a"))
			b.w.seal(b.w.open["part=a"])
			b.checkpoint(false)
			b.must(b.write(1, "b"))
			b.checkpoint(false)
			b.stop()
			c.change(b)
			b.refused(b.start(), c.says...)
			b.stop()
		})
	}
}

func TestSinkExistingOutput(t *testing.T) {
	run := func(policy Existing) (*bench, error) {
		b := newBench(t, nil)
		b.must(b.start())
		b.must(b.write(1, "a"))
		b.checkpoint(true)
		b.stop()
		b.last = nil
		b.options = func(o *Options) { o.Run, o.Existing = "r2", policy }
		if err := b.start(); err != nil {
			return b, err
		}
		b.must(b.write(1, "b"))
		b.checkpoint(true)
		b.stop()
		report, err := ledger.Verify(b.mem, outDir, ledger.Options{})
		b.must(err)
		if !report.OK() {
			t.Fatal(report.Problems)
		}
		return b, nil
	}
	b, err := run(RefuseExisting)
	b.refused(err, "has 1 files of an earlier run (r1)", "existing: append", "existing: replace")
	b.stop()
	b, err = run(AppendExisting)
	b.must(err)
	b.wantTree("part=a/arrivals-r1-w0-c000000-1.csv:2\npart=b/arrivals-r2-w0-c000000-1.csv:2")
	b, err = run(ReplaceExisting)
	b.must(err)
	b.wantTree("part=b/arrivals-r2-w0-c000000-1.csv:2")
}

func TestSinkDirectoryIsLocked(t *testing.T) {
	b := newBench(t, nil)
	b.must(b.start())
	second := b.make()
	b.refused(second.Open(context.Background(), nil), "in use")
	b.stop()
	b.must(second.Open(context.Background(), nil))
	b.must(second.Close())
}

// TestSinkBehindTheAdapter writes through the writers that a job uses, on the real file system.
func TestSinkBehindTheAdapter(t *testing.T) {
	dir := t.TempDir() + "/out"
	b := newBench(t, func(o *Options) {
		o.FS, o.Clock, o.Dir, o.Parallelism, o.BatchRows = vfs.OS(), clock.Real(), dir, 2, 10
		gzipForm.set(o)
	})
	s := b.make()
	b.must(s.Open(context.Background(), nil))
	committables := make([][]byte, 2)
	for i := range 2 {
		w, err := s.Writer(i)
		b.must(err)
		w.SetWaker(func() {})
		for n := range 20 {
			c := core.NewBuilder(b.account, inputSchema, 1)
			c.Column(0).AppendInt64(int64(i*20 + n))
			c.Column(1).AppendString("x")
			c.Column(2).AppendString("p")
			b.must(w.Write(c.Finish()))
			c.Close()
		}
		done := make(chan error, 1)
		w.Prepare(1, true, func(c []byte, err error) {
			committables[i] = c
			done <- err
		})
		b.must(<-done)
		b.must(w.Close())
	}
	info := core.CommitInfo{Checkpoint: 1, Final: true, Balance: &core.Balance{Read: 40, Written: 40}}
	b.must(s.Commit(context.Background(), info, committables))
	b.must(s.Close())
	report, err := ledger.Verify(vfs.OS(), dir, ledger.Options{})
	b.must(err)
	if !report.OK() || report.Rows != 40 || report.Files != 2 {
		t.Fatalf("%+v", report)
	}
	if b.account.Used() != 0 {
		t.Fatalf("%d bytes are not given back", b.account.Used())
	}
}

func TestSinkValidate(t *testing.T) {
	b := newBench(t, nil)
	b.must(b.mem.MkdirAll("/data"))
	b.must(b.make().Validate(context.Background()))
	if list, _ := b.mem.ReadDir("/data"); len(list) != 0 {
		t.Fatalf("Validate left %v behind", list)
	}
	faulty := vfs.NewFaulty(b.mem)
	faulty.Add(vfs.Rule{Op: vfs.OpCreate, Err: syscall.EACCES})
	b.fs = faulty
	b.refused(b.make().Validate(context.Background()), "cannot be written to", "permission denied")
	b.fs = b.mem
	b.must(vfs.WriteFile(b.mem, outDir, nil))
	b.refused(b.make().Validate(context.Background()), outDir+" is a file")
}

func TestPartitionPaths(t *testing.T) {
	for _, c := range []struct{ value, hive, plain string }{
		{"2026-01-02", "2026-01-02", "2026-01-02"},
		{"2026/01/02", "2026%2F01%2F02", "2026/01/02"},
		{"../../etc", "%2E.%2F..%2Fetc", "%2E./%2E./etc"},
		{"_x", "%5Fx", "%5Fx"},
		{"a=b:c%", "a%3Db%3Ac%25", "a%3Db%3Ac%25"},
		{"", nullPartition, plainNull},
		{"//", "%2F%2F", "%NULL/%NULL/%NULL"},
		{"é\n", "é%0A", "é%0A"},
	} {
		if got := string(appendPartition(nil, []byte(c.value), false)); got != c.hive {
			t.Errorf("%q, hive: %q, want %q", c.value, got, c.hive)
		}
		if got := string(appendPartition(nil, []byte(c.value), true)); got != c.plain {
			t.Errorf("%q, plain: %q, want %q", c.value, got, c.plain)
		}
	}
	if got := hidden("day=1/x-1.csv"); got != "day=1/.x-1.csv.turbo-open" || !isHidden(".x-1.csv.turbo-open") {
		t.Error(got)
	}
	if got := fileName("my job/é", "r", 3, 17, 2, ".csv"); got != "my_job__-r-w3-c000017-2.csv" {
		t.Error(got)
	}
}
