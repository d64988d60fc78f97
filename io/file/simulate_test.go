package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
	"turbo/io/ledger"
	"turbo/memory"
)

// lines is an encoder of "id,text\n".
type lines struct{}

func (lines) Header() []byte { return []byte("id,text\n") }
func (lines) Encode(dst []byte, ends []int32, b *core.Batch) ([]byte, []int32, error) {
	for i := range b.Rows() {
		row := b.Row(i)
		dst = b.Columns[0].AppendText(dst, row)
		dst = append(dst, ',')
		dst = append(dst, b.Columns[1].BytesAt(row)...)
		dst = append(dst, '\n')
		ends = append(ends, int32(len(dst)))
	}
	return dst, ends, nil
}

var (
	inputSchema = core.NewSchema(core.Field{Name: "id", Type: core.Of(core.Int64)}, core.Field{Name: "text", Type: core.Of(core.String)},
		core.Field{Name: "part", Type: core.Of(core.String)})
	fileSchema = core.NewSchema(inputSchema.Fields[:2]...)
)

// form is a way to write and, independently, to read files.
type form struct {
	name string
	set  func(*Options)
	read func(content []byte) ([]string, error) // "id,text" of each row
}

func readLines(content []byte) ([]string, error) {
	all := strings.Split(string(content), "\n")
	if all[0] != "id,text" || all[len(all)-1] != "" {
		return nil, fmt.Errorf("a file without its header or its last line end: %q", content)
	}
	return all[1 : len(all)-1], nil
}

func textForm(c compress.Codec, unpack func([]byte) ([]byte, error)) form {
	return form{"text-" + c.String(), func(o *Options) {
		o.Extension = ".csv" + c.Extension()
		o.Compression = c
		o.NewEncoder = func() (connector.Encoder, error) { return lines{}, nil }
	}, func(content []byte) ([]string, error) {
		plain, err := unpack(content)
		if err != nil {
			return nil, err
		}
		return readLines(plain)
	}}
}

var plainForm = textForm(compress.None, func(b []byte) ([]byte, error) { return b, nil })

var gzipForm = textForm(compress.Gzip, func(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b)) // the standard library's, not the one that the writer uses
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
})

// world is a job around the sink: a source of numbered rows divided among workers, checkpoints, a manifest that is durable
// at once, crashes and recoveries. Decisions come from its random source.
type world struct {
	t       testing.TB
	random  *rand.Rand
	fs      *vfs.Mem
	clock   *clock.Manual
	account *memory.Account
	form    form
	total   int64

	manifests []manifest // complete checkpoints, the newest last
	nextID    uint64
	parallel  int
}

type manifest struct {
	restored core.RestoredSink
	position int64 // rows before it are covered
}

func newWorld(t testing.TB, seed uint64, f form) *world {
	r := rand.New(rand.NewPCG(seed, 99))
	return &world{t: t, random: r, fs: vfs.NewMem(), clock: clock.NewManual(time.Unix(1e9, 0)), form: f, total: 150 + r.Int64N(150),
		account: memory.NewPool(256 << 20).Account("test"), nextID: 1, parallel: 1 + r.IntN(3)}
}

const outDir = "/data/out"

func (w *world) sink() *Sink {
	o := Options{Dir: outDir, Input: inputSchema, Schema: fileSchema, Partition: []Partition{{"part", 2}}, MaxOpen: 3,
		Roll: RollPolicy{Size: 600, Interval: 40 * time.Second, Inactivity: 15 * time.Second}}
	o.Runtime = connector.Runtime{Job: "arrivals", Run: "r1", Name: "files", Parallelism: w.parallel, FS: w.fs, Clock: w.clock, Account: w.account}
	w.form.set(&o)
	return New(o)
}

func rowText(id int64) string {
	return fmt.Sprintf("row %d %s", id, strings.Repeat("x", int(id*7%40)))
}

func (w *world) batch(from, to int64) *core.Batch {
	b := core.NewBuilder(w.account, inputSchema, int(to-from))
	defer b.Close()
	for id := from; id < to; id++ {
		b.Column(0).AppendInt64(id)
		b.Column(1).AppendString(rowText(id))
		if id%11 == 0 {
			b.Column(2).AppendNull()
		} else {
			b.Column(2).AppendString([]string{"a", "b/c"}[id/5%2])
		}
	}
	return b.Finish()
}

// run goes on from the newest manifest until the input ends (true) or something fails: a crash.
func (w *world) run() (done bool, err error) {
	var restored *core.RestoredSink
	position := int64(0)
	if n := len(w.manifests); n > 0 {
		restored, position = &w.manifests[n-1].restored, w.manifests[n-1].position
	}
	s := w.sink()
	defer s.Close()
	if err := s.Open(context.Background(), restored); err != nil {
		return false, err
	}
	if n := len(w.manifests); n > 0 && restored.Info.Final {
		return true, nil
	}
	writers := make([]*writer, w.parallel)
	for i := range writers {
		if writers[i], err = s.writer(i); err != nil {
			return false, err
		}
		defer writers[i].Close()
	}
	ctx := context.Background()
	for {
		switch n := w.random.IntN(10); {
		case n < 6 && position < w.total:
			to := min(position+1+w.random.Int64N(12), w.total)
			if err := writers[w.random.IntN(len(writers))].Write(ctx, w.batch(position, to)); err != nil {
				return false, err
			}
			position = to
		case n < 7:
			w.clock.Advance(time.Duration(w.random.IntN(20)) * time.Second)
			for _, wr := range writers {
				if err := wr.Tick(ctx, w.clock.Now()); err != nil {
					return false, err
				}
			}
		default:
			final := position == w.total
			id := w.nextID
			w.nextID++
			committables := make([][]byte, len(writers))
			for i, wr := range writers {
				if committables[i], err = wr.Prepare(ctx, id, final); err != nil {
					return false, err
				}
			}
			if !final && w.random.IntN(4) == 0 {
				continue // the checkpoint is given up
			}
			m := manifest{position: position, restored: core.RestoredSink{Committables: committables}}
			before := int64(0)
			m.restored.Info = core.CommitInfo{Checkpoint: id, Final: final, Time: core.TimeOf(w.clock.Now())}
			if n := len(w.manifests); n > 0 {
				m.restored.Info.Previous = w.manifests[n-1].restored.Info.Checkpoint
				before = w.manifests[n-1].position
			}
			from := []byte(strconv.FormatInt(before, 10))
			if m.restored.Info.Previous == 0 {
				from = nil
			}
			m.restored.Info.Sources = []core.SourceRange{{Source: "numbers", Split: "0", From: from, To: []byte(strconv.FormatInt(position, 10))}}
			m.restored.Info.Balance = &core.Balance{Read: position - before, Written: position - before}
			w.manifests = append(w.manifests, m)
			if err := s.Commit(ctx, m.restored.Info, committables); err != nil {
				return false, err
			}
			if final {
				return true, nil
			}
		}
	}
}

// visible reads what a user of the directory sees, with code of its own.
func (w *world) visible() (ids map[int64]int, err error) {
	ids = map[int64]int{}
	var walk func(dir string) error
	walk = func(dir string) error {
		list, err := w.fs.ReadDir(dir)
		if errors.Is(err, errNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range list {
			name := filepath.Join(dir, e.Name())
			switch {
			case strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_"):
			case e.IsDir():
				if err := walk(name); err != nil {
					return err
				}
			default:
				content, err := vfs.ReadFile(w.fs, name)
				if err != nil {
					return err
				}
				rows, err := w.form.read(content)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				for _, row := range rows {
					number, text, _ := strings.Cut(row, ",")
					id, err := strconv.ParseInt(number, 10, 64)
					if err != nil || text != rowText(id) {
						return fmt.Errorf("%s: a row that nobody wrote: %q", name, row)
					}
					want := map[bool]string{true: nullPartition, false: []string{"a", "b%2Fc"}[id/5%2]}[id%11 == 0]
					if filepath.Base(dir) != "part="+want {
						return fmt.Errorf("%s has row %d of partition %s", name, id, want)
					}
					ids[id]++
				}
			}
		}
		return nil
	}
	return ids, walk(outDir)
}

// check compares what is visible with what the newest complete checkpoint allows; at the end everything must be there.
func (w *world) check(done bool) error {
	ids, err := w.visible()
	if err != nil {
		return err
	}
	covered := int64(0)
	if n := len(w.manifests); n > 0 {
		covered = w.manifests[n-1].position
	}
	var wrong []string
	for id, n := range ids {
		if n > 1 || id >= covered {
			wrong = append(wrong, fmt.Sprintf("row %d is visible %d times, covered are %d", id, n, covered))
		}
	}
	for id := int64(0); done && id < w.total; id++ {
		if ids[id] == 0 {
			wrong = append(wrong, fmt.Sprintf("row %d is missing", id))
		}
	}
	if len(wrong) > 0 {
		sort.Strings(wrong)
		return errors.New(strings.Join(wrong[:min(len(wrong), 5)], "; "))
	}
	if !done {
		return nil
	}
	report, err := ledger.Verify(w.fs, outDir, ledger.Options{CountRows: func(_ *ledger.Header, f vfs.File, _ string, size int64) (int64, error) {
		content, err := io.ReadAll(io.NewSectionReader(f, 0, size))
		if err != nil {
			return 0, err
		}
		rows, err := w.form.read(content)
		return int64(len(rows)), err
	}})
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("verify: %v", report.Problems)
	}
	if report.Rows != w.total || report.OpenFiles != 0 || !report.Final {
		return fmt.Errorf("verify counts %d rows of %d, %d open files, final: %v", report.Rows, w.total, report.OpenFiles, report.Final)
	}
	return w.noLeftovers(outDir)
}

// noLeftovers finds hidden files that stayed behind.
func (w *world) noLeftovers(dir string) error {
	list, err := w.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		name := filepath.Join(dir, e.Name())
		if isHidden(e.Name()) {
			return fmt.Errorf("%s was left behind", name)
		}
		if e.IsDir() {
			if err := w.noLeftovers(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// crash takes the power away and changes what may change between two runs.
func (w *world) crash(strict bool) error {
	if strict {
		w.fs.Crash()
	} else {
		w.fs.CrashRandom(w.random.Uint64())
	}
	if w.random.IntN(2) == 0 {
		w.parallel = 1 + w.random.IntN(3)
	}
	if err := w.check(false); err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	if n := len(w.manifests); n >= 2 && !w.manifests[n-1].restored.Info.Final && w.random.IntN(5) == 0 { // the newest one is damaged
		if w.random.IntN(2) == 0 { // the withdrawal is interrupted too
			w.fs.StopAfter(w.random.IntN(12))
		}
		for {
			s := w.sink()
			err := s.Withdraw(context.Background(), w.manifests[n-2].restored.Info.Checkpoint)
			_ = s.Close()
			if err == nil {
				break
			}
			if !errors.Is(err, vfs.ErrPowerLoss) {
				return fmt.Errorf("withdraw: %w", err)
			}
			if strict {
				w.fs.Crash()
			} else {
				w.fs.CrashRandom(w.random.Uint64())
			}
		}
		w.fs.StopAfter(-1)
		w.manifests = w.manifests[:n-1]
		if err := w.check(false); err != nil {
			return fmt.Errorf("after the withdrawal: %w", err)
		}
	}
	return nil
}

// life runs a whole world: crashes after random numbers of operations, then to the end.
func life(t testing.TB, seed uint64, f form, strict bool) error {
	w := newWorld(t, seed, f)
	for crashes := w.random.IntN(8); ; crashes-- {
		if crashes > 0 {
			w.fs.StopAfter(w.random.IntN(250))
		}
		done, err := w.run()
		if err != nil && !errors.Is(err, vfs.ErrPowerLoss) {
			return err
		}
		if done {
			break
		}
		if err := w.crash(strict); err != nil {
			return err
		}
	}
	w.fs.StopAfter(-1)
	if err := w.check(true); err != nil {
		return err
	}
	w.fs.Crash() // what is committed is durable
	if err := w.check(true); err != nil {
		return fmt.Errorf("after a crash behind the end: %w", err)
	}
	if used := w.account.Used(); used != 0 {
		return fmt.Errorf("%d bytes of memory are not given back", used)
	}
	return nil
}

var errNotExist = vfsNotExist()

func vfsNotExist() error {
	_, err := vfs.NewMem().Stat("/none")
	return errors.Unwrap(err)
}

// moreSeeds is for long runs: go test ./io/file -run PowerLoss -args -seeds 4000
var moreSeeds = flag.Uint64("seeds", 0, "seeds of the power-loss simulations")

func TestPowerLossRandomly(t *testing.T) {
	seeds := max(uint64(25), *moreSeeds)
	for _, f := range []form{plainForm, gzipForm} {
		t.Run(f.name, func(t *testing.T) {
			for seed := range seeds {
				if err := life(t, seed, f, seed%2 == 0); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// TestPowerLossAtEveryOperation crashes one run before each of its file operations in turn.
func TestPowerLossAtEveryOperation(t *testing.T) {
	const seed = 5
	count := func() int {
		w := newWorld(t, seed, plainForm)
		w.total = 60
		if done, err := w.run(); !done || err != nil {
			t.Fatal(err)
		}
		return w.fs.Ops()
	}()
	for at := range count {
		for _, strict := range []bool{true, false} {
			w := newWorld(t, seed, plainForm)
			w.total = 60
			w.fs.StopAfter(at)
			if done, err := w.run(); done || !errors.Is(err, vfs.ErrPowerLoss) {
				t.Fatalf("operation %d: %v %v", at, done, err)
			}
			if err := w.crash(strict); err != nil {
				t.Fatalf("operation %d, strict %v: %v", at, strict, err)
			}
			if done, err := w.run(); !done || err != nil {
				t.Fatalf("operation %d, strict %v: after the recovery: %v", at, strict, err)
			}
			if err := w.check(true); err != nil {
				t.Fatalf("operation %d, strict %v: %v", at, strict, err)
			}
		}
	}
	t.Logf("%d operations, each with a strict and a random crash", count)
}

// TestMutantsAreCaught makes mistakes on purpose; the simulation must notice each of them.
func TestMutantsAreCaught(t *testing.T) {
	for _, m := range []struct {
		name string
		flag *bool
	}{
		{"skip the sync of directories", &mutants.skipDirSync},
		{"skip the sync of files", &mutants.skipFileSync},
		{"truncate too little", &mutants.truncateTooLittle},
		{"show files before the checkpoint is complete", &mutants.commitEarly},
	} {
		t.Run(m.name, func(t *testing.T) {
			*m.flag = true
			defer func() { *m.flag = false }()
			for seed := range uint64(60) {
				if err := life(t, seed, plainForm, seed%2 == 0); err != nil {
					t.Logf("caught with seed %d: %v", seed, err)
					return
				}
			}
			t.Fatal("not noticed in 60 runs")
		})
	}
}
