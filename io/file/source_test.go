package file

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
	_ "turbo/io/format"
	"turbo/memory"
)

// sourceOf makes a source from the text of a job spec's block.
func sourceOf(t testing.TB, rt connector.Runtime, block string, record *core.Schema, policy connector.ErrorPolicy) *Source {
	t.Helper()
	spec := connector.LookupSource("file")
	cfg, err := connector.FromYAML("sources.in", spec.Fields, block)
	if err != nil {
		t.Fatal(err)
	}
	c := &connector.SourceContext{Runtime: rt, Config: cfg, Record: record, OnError: policy}
	fields := slices.Clone(record.Fields)
	for i := range record.Fields {
		c.Columns = append(c.Columns, i)
	}
	for _, m := range spec.Metadata {
		c.Metadata = append(c.Metadata, connector.MetadataIndex{Column: len(fields), Key: m.Key})
		fields = append(fields, core.Field{Name: m.Key, Type: m.Type})
	}
	c.Schema = core.NewSchema(fields...)
	s, err := spec.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Source)
}

// reading drives the readers of a source without goroutines.
type reading struct {
	t        testing.TB
	s        *Source
	fetchers []*fetcher
	ended    []bool
	states   map[string]core.SplitState
	splits   [][]string // ids by fetcher and index
	rows     []string   // "id path offset line" of each row
	letters  []string
	skipped  int64
}

func startReading(t testing.TB, s *Source, restored map[string]core.SplitState) *reading {
	t.Helper()
	var states []core.SplitState
	for _, id := range sortedKeys(restored) {
		states = append(states, restored[id])
	}
	if err := s.Open(context.Background(), states); err != nil {
		t.Fatal(err)
	}
	r := &reading{t: t, s: s, states: map[string]core.SplitState{}}
	for id, st := range restored {
		r.states[id] = st
	}
	for w := range s.readers {
		f, err := s.fetcher(w)
		if err != nil {
			t.Fatal(err)
		}
		r.fetchers = append(r.fetchers, f)
		r.ended = append(r.ended, false)
		r.splits = append(r.splits, nil)
	}
	return r
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// step takes one event of a reader; false when it has ended.
func (r *reading) step(w int) bool {
	r.t.Helper()
	if r.ended[w] {
		return false
	}
	e, err := r.fetchers[w].Fetch(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	switch e.Kind {
	case core.EndOfInput:
		r.ended[w] = true
		return false
	case core.SplitStart:
		r.splits[w] = append(r.splits[w], e.ID)
	}
	id := r.splits[w][e.Split]
	r.states[id] = core.SplitState{ID: id, Position: bytes.Clone(e.Position)}
	read := e.Skipped + e.DeadLettered
	if b := e.Batch; b != nil {
		n := len(b.Schema.Fields)
		if e.Kind == core.DeadLetter {
			r.letters = append(r.letters, fmt.Sprintf("%s:%d: %s: %q", b.Columns[1].StringAt(0), b.Columns[2].Int64s()[0], b.Columns[3].StringAt(0), b.Columns[5].BytesAt(0)))
		} else {
			read += int64(b.Rows())
			for i := range b.Len {
				row := ""
				for c := range n {
					row += string(b.Columns[c].AppendText(nil, i)) + " "
				}
				r.rows = append(r.rows, strings.TrimSpace(row))
			}
		}
		b.Release()
	}
	if read != e.Read {
		r.t.Fatalf("an event counts %d records, but has %d", e.Read, read)
	}
	r.skipped += e.Skipped
	return true
}

func (r *reading) all() *reading {
	r.t.Helper()
	for w := range r.fetchers {
		for r.step(w) {
		}
	}
	r.close()
	return r
}

func (r *reading) close() {
	for _, f := range r.fetchers {
		f.Close()
	}
}

func pack(t testing.TB, c compress.Codec, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := c.NewWriter(&out, 0)
	if err != nil {
		t.Fatal(err)
	}
	for len(content) > 0 { // several frames
		n := min(len(content), 700)
		w.Write(content[:n])
		w.EndFrame()
		content = content[n:]
	}
	return out.Bytes()
}

var idSchema = core.NewSchema(core.Field{Name: "id", Type: core.Of(core.Int64)}, core.Field{Name: "text", Type: core.Of(core.String)})

// TestSourceRestoresAnywhere reads a mixture of files with random workers, stops after random events, continues from the
// positions with another number of workers and compares the rows with what was put into the files, metadata included.
func TestSourceRestoresAnywhere(t *testing.T) {
	for _, kind := range []struct{ name, block string }{
		{"csv with header", "{path: /in, format: {type: csv, header: true}}"},
		{"csv cut", "{path: /in, format: {type: csv, header: true, quote: none}, split-size: 256B}"},
		{"csv cut by lines", "{path: /in, format: {type: csv}, split: lines, split-size: 300B}"},
		{"json cut", "{path: '/in/**/*.json*', format: json, split-size: 777B}"},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for seed := range uint64(40) {
				r := rand.New(rand.NewPCG(seed, 3))
				m := vfs.NewMem()
				pool := memory.NewPool(256 << 20)
				var want []string
				id := 0
				extension := ".csv"
				if strings.HasPrefix(kind.name, "json") {
					extension = ".json"
				}
				for n := range 1 + r.IntN(5) {
					codec := compress.Codec(r.IntN(5) * r.IntN(2))
					name := fmt.Sprintf("/in/d%d/f%d%s%s", n%2, n, extension, codec.Extension())
					var content bytes.Buffer
					line := 0
					if strings.Contains(kind.block, "header: true") {
						content.WriteString("text,id\n") // other order than the schema's
						line++
					}
					for range r.IntN(120) {
						text := strings.Repeat("v", r.IntN(60))
						line++
						want = append(want, fmt.Sprintf("%d x%s %s %d", id, text, name, content.Len()))
						switch {
						case extension == ".json":
							fmt.Fprintf(&content, "{\"id\":%d,\"text\":\"x%s\"}\n", id, text)
						case strings.Contains(kind.block, "header: true"):
							fmt.Fprintf(&content, "x%s,%d\n", text, id)
						default:
							fmt.Fprintf(&content, "%d,x%s\r\n", id, text)
						}
						id++
					}
					if err := vfs.MkdirSynced(m, filepath.Dir(name)); err != nil {
						t.Fatal(err)
					}
					if err := vfs.WriteFile(m, name, pack(t, codec, content.Bytes())); err != nil {
						t.Fatal(err)
					}
				}
				vfs.WriteFile(m, "/in/d0/.hidden"+extension, []byte("no"))
				account := pool.Account("t")
				var got []string
				states := map[string]core.SplitState{}
				for round := 0; ; round++ {
					rt := connector.Runtime{Name: "in", Parallelism: 1 + r.IntN(3), BatchRows: 1 + r.IntN(9), FS: m, Account: account}
					reading := startReading(t, sourceOf(t, rt, kind.block, idSchema, connector.FailOnError), states)
					for steps := r.IntN(40); steps > 0 && round < 6; steps-- {
						reading.step(r.IntN(len(reading.fetchers)))
					}
					if round == 6 {
						reading.all()
					}
					reading.close()
					got = append(got, reading.rows...)
					states = reading.states
					if round == 6 {
						break
					}
				}
				for i, row := range got { // the line may be unknown
					got[i] = row[:strings.LastIndexByte(row, ' ')]
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d: read %d rows, want %d\n%s", seed, len(got), len(want), firstDifference(got, want))
				}
				if used := account.Used(); used != 0 {
					t.Fatalf("seed %d: %d bytes are not given back", seed, used)
				}
			}
		})
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("at %d:\n got  %q\n want %q", i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
		}
	}
	return ""
}

func TestSourceLines(t *testing.T) {
	m := vfs.NewMem()
	vfs.WriteFile(m, "/a.csv", []byte("text,id\na,1\nb,2\n"))
	rt := connector.Runtime{Name: "in", Parallelism: 1, BatchRows: 10, FS: m, Account: memory.NewPool(64 << 20).Account("t")}
	r := startReading(t, sourceOf(t, rt, "{path: /a.csv, format: {type: csv, header: true}}", idSchema, connector.FailOnError), nil).all()
	want := []string{"1 a /a.csv 8 2", "2 b /a.csv 12 3"}
	if !slices.Equal(r.rows, want) {
		t.Fatalf("got %q, want %q", r.rows, want)
	}
}

func TestSourceBadRecords(t *testing.T) {
	m := vfs.NewMem()
	vfs.WriteFile(m, "/a.csv", []byte("1,a\nx,b\ny,c\n4,d\nz,e\n"))
	block := "{path: /a.csv, format: csv}"
	for _, batch := range []int{1, 2, 100} {
		account := memory.NewPool(64 << 20).Account("t")
		rt := connector.Runtime{Name: "in", Parallelism: 1, BatchRows: batch, FS: m, Account: account}
		rows := []string{"1 a /a.csv 0 1", "4 d /a.csv 12 4"}

		r := startReading(t, sourceOf(t, rt, block, idSchema, connector.SkipOnError), nil).all()
		if !slices.Equal(r.rows, rows) || r.skipped != 3 {
			t.Fatalf("skip: %q, %d skipped", r.rows, r.skipped)
		}

		r = startReading(t, sourceOf(t, rt, block, idSchema, connector.DeadLetters), nil).all()
		if !slices.Equal(r.rows, rows) || len(r.letters) != 3 || !strings.HasPrefix(r.letters[0], "/a.csv:2: ") || !strings.HasSuffix(r.letters[0], `"x,b"`) {
			t.Fatalf("dead letters: %q %q", r.rows, r.letters)
		}
		// A position between any two events divides rows and dead letters.
		for stop := range 9 {
			s := sourceOf(t, rt, block, idSchema, connector.DeadLetters)
			first := startReading(t, s, nil)
			for range stop {
				first.step(0)
			}
			first.close()
			second := startReading(t, sourceOf(t, rt, block, idSchema, connector.DeadLetters), first.states).all()
			if all := append(first.rows, second.rows...); !slices.Equal(all, rows) || len(first.letters)+len(second.letters) != 3 {
				t.Fatalf("stopped after %d events: %q, letters %q + %q", stop, all, first.letters, second.letters)
			}
		}

		f := startReading(t, sourceOf(t, rt, block, idSchema, connector.FailOnError), nil)
		var err error
		for err == nil {
			var e connector.FetchEvent
			if e, err = f.fetchers[0].Fetch(context.Background()); e.Batch != nil {
				e.Batch.Release()
			}
		}
		if text := err.Error(); !strings.Contains(text, "source in: /a.csv: line 2: ") {
			t.Fatalf("fail: %v", err)
		}
		f.close()
		if account.Used() != 0 {
			t.Fatalf("%d bytes are not given back", account.Used())
		}
	}
}

func TestSourceWatch(t *testing.T) {
	m := vfs.NewMem()
	manual := clock.NewManual(time.Unix(0, 0))
	rt := connector.Runtime{Name: "in", Parallelism: 1, BatchRows: 10, FS: m, Account: memory.NewPool(64 << 20).Account("t"), Clock: manual}
	s := sourceOf(t, rt, "{path: /in, format: raw, watch: 10s}", core.NewSchema(core.Field{Name: "v", Type: core.Of(core.String)}), connector.FailOnError)
	if err := s.Open(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	nothing := func() {
		t.Helper()
		if sp, end, _, err := s.next(); sp != nil || end || err != nil {
			t.Fatalf("got %v, end %v, %v", sp, end, err)
		}
	}
	nothing()
	m.MkdirAll("/in")
	vfs.WriteFile(m, "/in/a", []byte("1\n"))
	manual.Advance(10 * time.Second)
	nothing() // seen for the first time
	f, _ := m.OpenAppend("/in/a")
	f.Write([]byte("2\n"))
	manual.Advance(10 * time.Second)
	nothing() // it grows
	manual.Advance(9 * time.Second)
	nothing() // too early to look
	manual.Advance(time.Second)
	sp, _, _, err := s.next()
	if err != nil || sp == nil || sp.id() != "/in/a" || sp.pos.Size != 4 {
		t.Fatalf("got %+v, %v", sp, err)
	}
	manual.Advance(10 * time.Second)
	nothing() // only once
}

func TestSourceRefusals(t *testing.T) {
	m := vfs.NewMem()
	rt := connector.Runtime{Name: "in", Parallelism: 1, BatchRows: 10, FS: m, Account: memory.NewPool(64 << 20).Account("t")}
	raw := core.NewSchema(core.Field{Name: "v", Type: core.Of(core.String)})
	s := sourceOf(t, rt, "{path: '/in/*.x', format: raw}", raw, connector.FailOnError)
	if err := s.Open(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "no file matches /in/*.x") {
		t.Fatalf("no file: %v", err)
	}
	vfs.MkdirSynced(m, "/in")
	vfs.WriteFile(m, "/in/a.x", []byte("1\n2\n3\n"))
	r := startReading(t, s, nil)
	r.step(0)
	m.Truncate("/in/a.x", 2)
	var states []core.SplitState
	for _, st := range r.states {
		states = append(states, st)
	}
	if err := s.Open(context.Background(), states); err == nil || !strings.Contains(err.Error(), "/in/a.x has 2 bytes, but it had 6") {
		t.Fatalf("a file that shrank: %v", err)
	}
}

func TestDiscover(t *testing.T) {
	m := vfs.NewMem()
	for _, name := range []string{"/d/a.csv", "/d/b.txt", "/d/x/c.csv", "/d/x/y/d.csv", "/d/_turbo/ledger.jsonl", "/d/.hid", "/d/day=1/e.csv"} {
		vfs.MkdirSynced(m, filepath.Dir(name))
		vfs.WriteFile(m, name, nil)
	}
	for path, want := range map[string]string{
		"/d":                    "/d/a.csv /d/b.txt /d/day=1/e.csv /d/x/c.csv /d/x/y/d.csv",
		"/d/a.csv":              "/d/a.csv",
		"/d/*.csv":              "/d/a.csv",
		"/d/**/*.csv":           "/d/a.csv /d/day=1/e.csv /d/x/c.csv /d/x/y/d.csv",
		"/d/**/y/*":             "/d/x/y/d.csv",
		"/d/*/*.csv":            "/d/day=1/e.csv /d/x/c.csv",
		"/d/_turbo/*":           "/d/_turbo/ledger.jsonl",
		"d/[ab].*":              "d/a.csv d/b.txt",
		"/none/*.csv":           "",
		"/d/day=*/e.csv":        "/d/day=1/e.csv",
		"/d/**/**/[c-e].csv":    "/d/day=1/e.csv /d/x/c.csv /d/x/y/d.csv",
		"/d/_turbo/l*/nothing*": "",
	} {
		list, err := discover(m, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var got []string
		for _, f := range list {
			got = append(got, f.path)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// TestOvertakenSplitsStartAtOnce: a split that nobody had when the barrier came, but whose successor somebody had, counts for the watermark from the beginning
// of the next run; those behind are pending.
func TestOvertakenSplitsStartAtOnce(t *testing.T) {
	m := vfs.NewMem()
	for _, name := range []string{"/in/a.csv", "/in/b.csv", "/in/c.csv"} {
		if err := m.MkdirAll("/in"); err != nil {
			t.Fatal(err)
		}
		vfs.WriteFile(m, name, bytes.Repeat([]byte("1,text\n"), 10))
	}
	rt := connector.Runtime{Name: "in", Parallelism: 2, BatchRows: 100, FS: m, Account: memory.NewPool(64 << 20).Account("t"), Clock: clock.Real()}
	s := sourceOf(t, rt, "{path: /in, format: {type: csv, quote: none}, split-size: 30B}", idSchema, connector.FailOnError)
	pos := position{Size: 70, Cut: 30, From: 30, To: 60, Offset: 35}
	if err := s.Open(context.Background(), []core.SplitState{{ID: "/in/b.csv" + pos.suffix(), Position: pos.append(nil)}}); err != nil {
		t.Fatal(err)
	}
	var started, pending []string
	for _, splits := range s.restored {
		for _, sp := range splits {
			started = append(started, sp.id())
		}
	}
	for _, sp := range s.pending {
		pending = append(pending, sp.id())
	}
	slices.Sort(started)
	if got, want := strings.Join(started, " "), "/in/a.csv#0-30 /in/a.csv#30-60 /in/a.csv#60-70 /in/b.csv#0-30 /in/b.csv#30-60"; got != want {
		t.Errorf("started at once: %s\nwant             %s", got, want)
	}
	if got, want := strings.Join(pending, " "), "/in/b.csv#60-70 /in/c.csv#0-30 /in/c.csv#30-60 /in/c.csv#60-70"; got != want {
		t.Errorf("pending: %s\nwant     %s", got, want)
	}
}

// TestSourceBehindTheAdapter reads through the reader that a job uses.
func TestSourceBehindTheAdapter(t *testing.T) {
	m := vfs.NewMem()
	var content bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&content, "%d,text\n", i)
	}
	vfs.WriteFile(m, "/a.csv", content.Bytes())
	account := memory.NewPool(64 << 20).Account("t")
	rt := connector.Runtime{Name: "in", Parallelism: 2, BatchRows: 100, FS: m, Account: account, Clock: clock.Real()}
	s := sourceOf(t, rt, "{path: /a.csv, format: {type: csv, quote: none}, split-size: 10KiB}", idSchema, connector.FailOnError)
	if err := s.Open(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for w := range 2 {
		r, err := s.Reader(w)
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan struct{}, 1)
		r.SetWaker(func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		for end := false; !end; {
			e, err := r.Poll()
			if err != nil {
				t.Fatal(err)
			}
			switch e.Kind {
			case core.NoEvent:
				<-woken
			case core.DataEvent:
				for _, id := range e.Batch.Columns[0].Int64s() {
					if seen[id] {
						t.Fatalf("row %d twice", id)
					}
					seen[id] = true
				}
				e.Batch.Release()
			case core.EndOfInput:
				end = true
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 10_000 || account.Used() != 0 {
		t.Fatalf("%d rows, %d bytes not given back", len(seen), account.Used())
	}
}
