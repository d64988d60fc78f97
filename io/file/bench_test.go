package file

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"turbo/core"
	"turbo/internal/vfs"
	"turbo/io/connector"
	"turbo/memory"
)

func benchBatch(account *memory.Account, rows int) *core.Batch {
	schema := core.NewSchema(core.Field{Name: "value", Type: core.Of(core.Bytes)})
	b := core.NewBuilder(account, schema, rows)
	defer b.Close()
	line := bytes.Repeat([]byte("0123456789"), 10)
	for range rows {
		b.Column(0).AppendBytes(line)
	}
	return b.Finish()
}

// BenchmarkSinkRaw writes 100-byte lines, a checkpoint every 256 batches; the loop beside it only encodes, sums and writes.
func BenchmarkSinkRaw(b *testing.B) {
	const rows = 4096
	account := memory.NewPool(256 << 20).Account("b")
	batch := benchBatch(account, rows)
	run := func(b *testing.B, block string) {
		rt := connector.Runtime{Job: "j", Run: "r", Name: "files", Parallelism: 1, BatchRows: rows, FS: vfs.OS(), Account: account}
		s, err := sinkOf(rt, fmt.Sprintf("{path: '%s', format: raw, %s}", b.TempDir(), block), batch.Schema)
		must(b, err)
		must(b, s.Open(context.Background(), nil))
		w, err := s.writer(0)
		must(b, err)
		b.SetBytes(rows * 101)
		b.ReportAllocs()
		n := uint64(0)
		for b.Loop() {
			must(b, w.Write(context.Background(), batch.Share()))
			if n++; n%256 == 0 {
				c, err := w.Prepare(context.Background(), n/256, false)
				must(b, err)
				must(b, s.Commit(context.Background(), core.CommitInfo{Checkpoint: n / 256, Previous: n/256 - 1}, [][]byte{c}))
			}
		}
		b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
		must(b, w.Close())
		must(b, s.Close())
	}
	b.Run("none", func(b *testing.B) { run(b, "compression: none") })
	b.Run("zstd", func(b *testing.B) { run(b, "compression: zstd") })
	b.Run("loop", func(b *testing.B) {
		f, err := vfs.OS().Create(b.TempDir() + "/f")
		must(b, err)
		b.SetBytes(rows * 101)
		var out []byte
		for b.Loop() {
			out = out[:0]
			for i := range batch.Len {
				out = append(out, batch.Columns[0].BytesAt(i)...)
				out = append(out, '\n')
			}
			if _, err := f.Write(out); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
		must(b, f.Close())
	})
	batch.Release()
}

// BenchmarkSourceRaw reads 100-byte lines.
func BenchmarkSourceRaw(b *testing.B) {
	const rows = 100_000
	m := vfs.NewMem()
	must(b, vfs.WriteFile(m, "/f", bytes.Repeat([]byte(string(bytes.Repeat([]byte("0123456789"), 10))+"\n"), rows)))
	account := memory.NewPool(256 << 20).Account("b")
	rt := connector.Runtime{Name: "in", Parallelism: 1, BatchRows: 4096, FS: m, Account: account}
	record := core.NewSchema(core.Field{Name: "value", Type: core.Of(core.Bytes)})
	spec := connector.LookupSource("file")
	cfg, err := connector.FromYAML("sources.in", spec.Fields, "{path: /f, format: raw, split: never}")
	must(b, err)
	b.SetBytes(rows * 101)
	b.ReportAllocs()
	for b.Loop() {
		s, err := spec.New(&connector.SourceContext{Runtime: rt, Config: cfg, Record: record, Schema: record, Columns: []int{0}})
		must(b, err)
		must(b, s.Open(context.Background(), nil))
		f, err := s.(*Source).fetcher(0)
		must(b, err)
		n := 0
		for {
			e, err := f.Fetch(context.Background())
			must(b, err)
			if e.Kind == core.EndOfInput {
				break
			}
			if e.Batch != nil {
				n += e.Batch.Rows()
				e.Batch.Release()
			}
		}
		must(b, f.Close())
		if n != rows {
			b.Fatalf("%d rows", n)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
