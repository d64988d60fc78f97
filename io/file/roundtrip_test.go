package file

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
	"turbo/memory"
)

// sinkOf makes a sink from the text of a job spec's block.
func sinkOf(rt connector.Runtime, block string, schema *core.Schema) (*Sink, error) {
	spec := connector.LookupSink("file")
	cfg, err := connector.FromYAML("sinks.files", spec.Fields, block)
	if err != nil {
		return nil, err
	}
	s, err := spec.New(&connector.SinkContext{Runtime: rt, Config: cfg, Schema: schema})
	if err != nil {
		return nil, err
	}
	return s.(*Sink), nil
}

var rideSchema = core.NewSchema(core.Field{Name: "id", Type: core.Of(core.Int64).Required()}, core.Field{Name: "day", Type: core.Of(core.String)},
	core.Field{Name: "text", Type: core.Of(core.String)}, core.Field{Name: "ts", Type: core.Of(core.Timestamp)}, core.Field{Name: "lon", Type: core.Of(core.Float64)})

func rides(account *memory.Account, from, n int) *core.Batch {
	b := core.NewBuilder(account, rideSchema, n)
	defer b.Close()
	for i := from; i < from+n; i++ {
		b.Column(0).AppendInt64(int64(i))
		b.Column(1).AppendString(fmt.Sprintf("2026-01-%02d", 1+i/40%3))
		if i%7 == 0 {
			b.Column(2).AppendNull()
		} else {
			b.Column(2).AppendString(fmt.Sprintf("ride \"%d\", %s", i, strings.Repeat("é", i%5)))
		}
		b.Column(3).AppendInt64(1357000000_000000 + int64(i)*1_000_000)
		b.Column(4).AppendFloat64(float64(i) / 8)
	}
	return b.Finish()
}

// TestRoundTripThroughTheRegistry writes with each real format over checkpoints and restarts, verifies with rows counted, and
// reads everything back with the source.
func TestRoundTripThroughTheRegistry(t *testing.T) {
	blocks := map[string]string{
		"parquet":          "format: {type: parquet, compression: zstd}",
		"arrow":            "format: arrow",
		"parquet whole":    "format: parquet, roll: {on-checkpoint: true}",
		"csv with header":  "format: {type: csv, header: true}",
		"json plain style": "format: json, partition-style: plain",
	}
	for _, c := range compress.Names() {
		blocks["csv "+c] = "format: csv, compression: " + c
	}
	for name, block := range blocks {
		t.Run(name, func(t *testing.T) {
			m := vfs.NewMem()
			account := memory.NewPool(256 << 20).Account("t")
			rt := connector.Runtime{Job: "arrivals", Run: "r1", Name: "files", Parallelism: 1, BatchRows: 64, FS: m, Clock: clock.NewManual(time.Unix(1e9, 0)), Account: account}
			var restored *core.RestoredSink
			for n := range 6 {
				s, err := sinkOf(rt, "{path: /out, partition-by: {day: }, "+block+"}", rideSchema)
				if err != nil {
					t.Fatal(err)
				}
				must(t, s.Open(context.Background(), restored))
				w, err := s.writer(0)
				must(t, err)
				must(t, w.Write(context.Background(), rides(account, n*50, 50)))
				info := core.CommitInfo{Checkpoint: uint64(n + 1), Previous: uint64(n), Final: n == 5, Balance: &core.Balance{Read: 50, Written: 50}}
				c, err := w.Prepare(context.Background(), info.Checkpoint, info.Final)
				must(t, err)
				must(t, s.Commit(context.Background(), info, [][]byte{c}))
				restored = &core.RestoredSink{Info: info, Committables: [][]byte{c}}
				must(t, w.Write(context.Background(), rides(account, 1000, 3)))
				must(t, w.Close())
				must(t, s.Close())
			}
			report, err := Verify(m, "/out")
			must(t, err)
			if !report.OK() || report.Rows != 300 || !report.Counted {
				t.Fatalf("%d rows, %v", report.Rows, report.Problems)
			}
			files := 3
			if strings.HasSuffix(name, "whole") {
				files = 12
			}
			if report.Files < 3 || report.Files > files {
				t.Fatalf("%d files, want %d", report.Files, files)
			}
			record := core.NewSchema(slices.Delete(slices.Clone(rideSchema.Fields), 1, 2)...)
			format := strings.TrimPrefix(block, "format: ")
			if strings.HasPrefix(format, "{") {
				format = format[:strings.Index(format, "}")+1]
			} else {
				format, _, _ = strings.Cut(format, ",")
			}
			readBlock := "{path: /out, split-size: 1KiB, split: lines, format: " + format + "}"
			rt.Parallelism = 2
			r := startReading(t, sourceOf(t, rt, readBlock, record, connector.FailOnError), nil).all()
			var got, want []string
			for _, row := range r.rows {
				at := strings.Index(row, " /out/") // metadata follows
				got = append(got, row[:at])
			}
			b := rides(account, 0, 300)
			for i := range b.Len {
				var row []byte
				for c, v := range b.Columns {
					if c != 1 {
						row = append(v.AppendText(row, i), ' ')
					}
				}
				want = append(want, strings.TrimSpace(string(row)))
			}
			b.Release()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("read %d rows, want %d\n%s", len(got), len(want), firstDifference(got, want))
			}
			if used := account.Used(); used != 0 {
				t.Fatalf("%d bytes are not given back", used)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSinkSpecMistakes(t *testing.T) {
	rt := connector.Runtime{Job: "j", Run: "r", Name: "files", Parallelism: 1, FS: vfs.NewMem()}
	for block, says := range map[string]string{
		"{path: /out, format: {type: parquet}, compression: gzip}":                    "parquet files compress inside",
		"{path: /out, format: csv, compression: gzip, compression-level: 12}":         "compression gzip has the levels 1 to 9, not 12",
		"{path: /out, format: csv, partition-by: {lon: }}":                            "cannot name a directory",
		"{path: /out, format: csv, partition-by: {nope: }}":                           `no column nope`,
		"{path: /out, format: raw}":                                                   "raw",
		"{path: /out, format: csv, roll: {size: 0}}":                                  "roll.size",
		"{path: /out, format: csv, existing: delete}":                                 "existing",
		"{path: /out, format: csv, partition-by: {id: , day: , text: , ts: , lon: }}": "cannot name a directory",
		"{path: '', format: csv}":                                                     "path",
	} {
		_, err := sinkOf(rt, block, rideSchema)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: the error %v does not say %q", block, err, says)
		}
	}
}

func TestDefaultSchemaOfParquet(t *testing.T) {
	dir := t.TempDir()
	account := memory.NewPool(256 << 20).Account("t")
	rt := connector.Runtime{Job: "j", Run: "r", Name: "files", Parallelism: 1, BatchRows: 64, FS: vfs.OS(), Account: account}
	s, err := sinkOf(rt, "{path: '"+dir+"/out', format: parquet}", rideSchema)
	must(t, err)
	must(t, s.Open(context.Background(), nil))
	w, err := s.writer(0)
	must(t, err)
	must(t, w.Write(context.Background(), rides(account, 0, 50)))
	c, err := w.Prepare(context.Background(), 1, true)
	must(t, err)
	must(t, s.Commit(context.Background(), core.CommitInfo{Checkpoint: 1, Final: true}, [][]byte{c}))
	must(t, w.Close())
	must(t, s.Close())
	spec := connector.LookupSource("file")
	cfg, err := connector.FromYAML("sources.in", spec.Fields, "{path: '"+dir+"/out', format: parquet}")
	must(t, err)
	schema, err := spec.DefaultSchema(cfg)
	must(t, err)
	if !slices.Equal(schema.Names(), rideSchema.Names()) {
		t.Fatalf("schema %s", schema)
	}
	report, err := Verify(vfs.OS(), dir+"/out")
	must(t, err)
	if !report.OK() || report.Rows != 50 {
		t.Fatalf("%d rows, %v", report.Rows, report.Problems)
	}
}
