package format

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"turbo/core"
	"turbo/io/connector"
)

func rideFields() []core.Field {
	return []core.Field{field("ride_id", "BIGINT NOT NULL"), field("event", "STRING"), field("ts", "TIMESTAMP(3)"), field("lon", "DOUBLE"),
		field("lat", "DOUBLE"), field("passengers", "INT"), field("driver", "STRING"), field("fare", "DECIMAL(10, 2)"), field("paid", "BOOLEAN"),
		field("city", "STRING"), field("note", "STRING")}
}

// rideBatch has rows that look like taxi rides: unique and repeating strings, a column that is null mostly.
func rideBatch(h *harness, r *rand.Rand, n int) *core.Batch {
	b := h.builder()
	for i := range n {
		b.Column(0).AppendInt64(2013000000 + int64(i))
		b.Column(1).AppendString([]string{"START", "END"}[r.IntN(2)])
		b.Column(2).AppendInt64(1356998400_000000 + int64(i)*1000)
		b.Column(3).AppendFloat64(-74 + float64(r.IntN(100000))/1e6)
		b.Column(4).AppendFloat64(40 + float64(r.IntN(100000))/1e6)
		b.Column(5).AppendInt32(int32(r.IntN(6)))
		b.Column(6).AppendString(fmt.Sprint("d-", 2013000000+r.IntN(20000)))
		_ = b.Column(7).AppendParsed(fmt.Append(nil, r.IntN(100), ".", r.IntN(10)))
		b.Column(8).AppendBool(r.IntN(2) == 0)
		b.Column(9).AppendString("New York City, NY")
		if r.IntN(10) == 0 {
			b.Column(10).AppendString("a note")
		} else {
			b.Column(10).AppendNull()
		}
	}
	out := b.Finish()
	b.Close()
	return out
}

// BenchmarkParquetWrite writes batches of 4096 rides; one iteration is a row.
func BenchmarkParquetWrite(b *testing.B) {
	for _, c := range []struct{ compression, dictionary string }{{"none", "off"}, {"none", "auto"}, {"snappy", "auto"}, {"zstd", "auto"}, {"zstd", "off"}, {"lz4", "auto"}, {"gzip", "auto"}} {
		b.Run(c.compression+"/dictionary="+c.dictionary, func(b *testing.B) {
			h := newHarness(b, "parquet", map[string]string{"compression": c.compression, "dictionary": c.dictionary}, rideFields()...)
			benchmarkFile(b, h)
		})
	}
}

// countWriter counts the bytes of a file.
type countWriter int64

func (c *countWriter) Write(b []byte) (int, error) {
	*c += countWriter(len(b))
	return len(b), nil
}

func benchmarkFile(b *testing.B, h *harness) {
	r := rand.New(rand.NewPCG(1, 1))
	var batches []*core.Batch // more rows than a row group has
	for range 40 {
		batches = append(batches, rideBatch(h, r, 4096))
	}
	benchmarkBatches(b, h, batches)
}

// benchmarkBatches writes batches of the same size again and again and releases them in the end.
func benchmarkBatches(b *testing.B, h *harness, batches []*core.Batch) {
	rows := batches[0].Len
	var size countWriter
	w, err := h.spec.NewFile(h.fileContext(), io.Writer(&size))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += rows {
		if err := w.Write(batches[i/rows%len(batches)].Share()); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(size)/float64(w.Rows()), "bytes/row")
	for _, batch := range batches {
		batch.Release()
	}
}

// BenchmarkArrowWrite is BenchmarkParquetWrite for Arrow files.
func BenchmarkArrowWrite(b *testing.B) {
	h := newHarness(b, "arrow", nil, rideFields()...)
	benchmarkFile(b, h)
}

// BenchmarkParquetRead reads rides back; one iteration is a row.
func BenchmarkParquetRead(b *testing.B) {
	h := newHarness(b, "parquet", nil, rideFields()...)
	var file fileBuffer
	w, err := h.spec.NewFile(h.fileContext(), &file)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		if err := w.Write(rideBatch(h, r, 4096)); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	context := h.fileContext()
	context.BatchRows = 4096
	b.ReportAllocs()
	b.ResetTimer()
	for done := int64(0); done < int64(b.N); {
		done += readAll(b, h.spec, context, file)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

type fileBuffer []byte

func (f *fileBuffer) Write(b []byte) (int, error) {
	*f = append(*f, b...)
	return len(b), nil
}

func (f fileBuffer) ReadAt(b []byte, at int64) (int, error) {
	if at >= int64(len(f)) {
		return 0, io.EOF
	}
	n := copy(b, f[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func readAll(b *testing.B, spec *connector.FormatSpec, context connector.FileContext, file fileBuffer) (rows int64) {
	f, err := spec.OpenFile(context, file, int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	for unit := range f.Units() {
		for at := int64(0); at < f.Rows(unit); {
			batch, err := f.Read(unit, at, 4096)
			if err != nil {
				b.Fatal(err)
			}
			at += int64(batch.Len)
			batch.Release()
		}
		rows += f.Rows(unit)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return rows
}
