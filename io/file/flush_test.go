package file

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/connector"
	"turbo/io/ledger"
)

// gatedFS is a file system whose syncs of hidden files wait for a word.
type gatedFS struct {
	vfs.FS
	begun  chan string // the name of each that has begun
	finish chan error  // what it is to return; nil: does it
	open   atomic.Int32
}

type gatedFile struct {
	vfs.File
	fs *gatedFS
}

func (g *gatedFS) Create(name string) (vfs.File, error) {
	f, err := g.FS.Create(name)
	if err != nil || !strings.HasSuffix(name, "turbo-open") {
		return f, err
	}
	g.open.Add(1)
	return gatedFile{f, g}, nil
}

func (f gatedFile) Sync() error {
	f.fs.begun <- f.Name()
	if err := <-f.fs.finish; err != nil {
		return err
	}
	return f.File.Sync()
}

func (f gatedFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// flushBench is a sink with the writer that a job uses, over a gatedFS.
type flushBench struct {
	*bench
	gate   *gatedFS
	writer core.SinkWriter
}

func newFlushBench(t *testing.T, options func(*Options)) *flushBench {
	f := &flushBench{bench: newBench(t, func(o *Options) {
		o.Clock, o.BatchRows = clock.Real(), 1
		if options != nil {
			options(o)
		}
	})}
	f.gate = &gatedFS{FS: f.mem, begun: make(chan string, 100), finish: make(chan error, 100)}
	f.fs = f.gate
	f.sink = f.make()
	f.must(f.sink.Open(context.Background(), f.last))
	w, err := f.sink.Writer(0)
	f.must(err)
	f.writer = w
	w.SetWaker(func() {})
	return f
}

func (f *flushBench) row(partition string) error {
	c := core.NewBuilder(f.account, inputSchema, 1)
	defer c.Close()
	c.Column(0).AppendInt64(f.id)
	c.Column(1).AppendString(rowText(f.id))
	c.Column(2).AppendString(partition)
	f.id++
	return f.writer.Write(c.Finish())
}

type prepared struct {
	committable []byte
	err         error
}

func (f *flushBench) barrier(checkpoint uint64, final bool) chan prepared {
	done := make(chan prepared, 2)
	f.writer.Prepare(checkpoint, final, func(c []byte, err error) { done <- prepared{c, err} })
	return done
}

func (f *flushBench) commit(checkpoint uint64, rows int64, final bool, p prepared) {
	f.t.Helper()
	f.must(p.err)
	f.must(f.sink.Commit(context.Background(), core.CommitInfo{Checkpoint: checkpoint, Previous: checkpoint - 1, Final: final, Balance: &core.Balance{Read: rows, Written: rows}}, [][]byte{p.committable}))
}

// TestWriteDuringSync: rows are written, and files sealed, while a barrier waits for the disk. What the barrier covers is fixed.
func TestWriteDuringSync(t *testing.T) {
	f := newFlushBench(t, func(o *Options) { o.Roll.Size = 300 })
	for range 3 {
		f.must(f.row("a"))
	}
	first := f.barrier(1, false)
	<-f.gate.begun
	for range 100 { // beyond the size at which files are rolled
		f.must(f.row("a"))
	}
	second := f.barrier(2, false)
	for list := 0; list < 3; { // the writer has opened further files: it does not wait
		entries, err := f.mem.ReadDir(outDir + "/part=a")
		f.must(err)
		list = len(entries)
		time.Sleep(time.Millisecond)
	}
	select {
	case <-first:
		t.Fatal("the checkpoint was prepared before the sync was done")
	case <-second:
		t.Fatal("the second checkpoint was prepared before the first")
	default:
	}
	for range cap(f.gate.finish) {
		f.gate.finish <- nil
	}
	f.commit(1, 3, false, <-first)
	f.commit(2, 100, false, <-second)
	f.commit(3, 0, true, <-f.barrier(3, true))
	f.must(f.writer.Close())
	f.must(f.sink.Close())
	report, err := ledger.Verify(f.mem, outDir, ledger.Options{})
	f.must(err)
	if !report.OK() || report.Rows != 103 || !report.Final {
		t.Fatalf("%d rows, %v", report.Rows, report.Problems)
	}
	if f.gate.open.Load() != 0 || f.account.Used() != 0 {
		t.Fatalf("%d files are open, %d bytes not given back", f.gate.open.Load(), f.account.Used())
	}
}

// TestPowerLossDuringSync: the power goes while rows behind a barrier are in the file; a restart continues behind the prefix.
func TestPowerLossDuringSync(t *testing.T) {
	for seed := range uint64(8) { // what is not synced is lost in the first round, and partly in the others
		f := newFlushBench(t, nil)
		f.must(f.row("a"))
		first := f.barrier(1, false)
		f.gate.finish <- nil
		p := <-first
		f.commit(1, 1, false, p)
		<-f.gate.begun
		f.must(f.row("a"))
		second := f.barrier(2, false)
		<-f.gate.begun
		for range 10 {
			f.must(f.row("a"))
		}
		if seed == 0 {
			f.mem.Crash()
		} else {
			f.mem.CrashRandom(seed)
		}
		f.gate.finish <- nil
		if p := <-second; p.err == nil {
			t.Fatal("a checkpoint is prepared although the power went before the sync")
		}
		_ = f.writer.Close()
		_ = f.sink.Close()
		f.last = &core.RestoredSink{Info: core.CommitInfo{Checkpoint: 1}, Committables: [][]byte{p.committable}}
		f.fs, f.id, f.sink = f.mem, 1, nil
		f.must(f.start())
		f.must(f.write(5, "a"))
		f.must(f.prepare(true))
		f.must(f.bench.commit())
		f.stop()
		report, err := ledger.Verify(f.mem, outDir, ledger.Options{})
		f.must(err)
		if !report.OK() || report.Rows != 6 {
			t.Fatalf("%d rows, %v", report.Rows, report.Problems)
		}
	}
}

// TestSyncFails: the error reaches the checkpoint, later checkpoints, and the next writes.
func TestSyncFails(t *testing.T) {
	f := newFlushBench(t, nil)
	f.must(f.row("a"))
	first := f.barrier(1, false)
	second := f.barrier(2, false)
	<-f.gate.begun
	f.gate.finish <- syscall.EIO
	for _, done := range []chan prepared{first, second} {
		if p := <-done; !errors.Is(p.err, syscall.EIO) || !strings.Contains(p.err.Error(), outDir) || !strings.Contains(p.err.Error(), "worker 0") {
			t.Fatalf("%v", p.err)
		}
	}
	for err := error(nil); !errors.Is(err, syscall.EIO); err = f.row("a") {
		time.Sleep(time.Millisecond)
	}
	f.must(f.writer.Close())
	f.must(f.sink.Close())
	if f.gate.open.Load() != 0 || f.account.Used() != 0 {
		t.Fatalf("%d files are open, %d bytes not given back", f.gate.open.Load(), f.account.Used())
	}
}

// TestCloseDuringSync: Close waits for the sync that is under way and gives up those behind it; every barrier hears of it once.
func TestCloseDuringSync(t *testing.T) {
	f := newFlushBench(t, func(o *Options) { o.Roll.Size = 300 })
	f.must(f.row("a"))
	first := f.barrier(1, false)
	<-f.gate.begun
	for range 50 {
		f.must(f.row("a"))
	}
	second := f.barrier(2, true)
	closed := make(chan error)
	go func() { closed <- f.writer.Close() }()
	flush := f.writer.(*sinkWriter).w.flush
	for stopped := false; !stopped; time.Sleep(time.Millisecond) { // until Close waits for nothing but the sync
		flush.mu.Lock()
		stopped = flush.closed
		flush.mu.Unlock()
	}
	select {
	case <-closed:
		t.Fatal("Close did not wait for the sync")
	case <-time.After(20 * time.Millisecond):
	}
	f.gate.finish <- nil
	f.must(<-closed)
	for i, done := range []chan prepared{first, second} {
		if p := <-done; !errors.Is(p.err, connector.ErrClosed) {
			t.Fatalf("barrier %d: %v", i+1, p.err)
		}
		if len(done) > 0 {
			t.Fatal("done was called twice")
		}
	}
	f.must(f.sink.Close())
	if f.gate.open.Load() != 0 || f.account.Used() != 0 {
		t.Fatalf("%d files are open, %d bytes not given back", f.gate.open.Load(), f.account.Used())
	}
}

// TestEarlySync: a file that grows is synced between barriers.
func TestEarlySync(t *testing.T) {
	f := newBench(t, nil)
	f.must(f.start())
	file, err := f.mem.Create("/x")
	f.must(err)
	gate := &gatedFS{FS: f.mem, begun: make(chan string, 100), finish: make(chan error, 100)}
	gate.finish <- nil
	o := &openFile{out: appender{file: gatedFile{file, gate}, bytes: earlySync - 1}}
	o.syncEarly(f.w.flush)
	if len(gate.begun) != 0 {
		t.Fatal("synced although there is little to sync")
	}
	o.out.bytes++
	o.syncEarly(f.w.flush)
	o.syncEarly(f.w.flush)
	if len(gate.begun) != 1 {
		t.Fatalf("synced %d times", len(gate.begun))
	}
	f.stop()
}
