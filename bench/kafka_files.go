package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/zeebo/xxh3"
)

func init() {
	register(Benchmark{"kafka-files", "exactly-once Kafka to files by processor time, beside bare franz-go", benchKafkaFiles})
}

// Expected cost per row: a 100-byte line passes memory some six times in bare franz-go (socket, fetch buffer) and four times more in turbo (into the
// batch, into the file's buffer, checksum, page cache): about 60 ns of 350. JSON is scanned once at 1 to 2 ns a byte and encoded to seven
// columns at 10 ns a value, plus zstd: 500 ns a row on top.

// rawLine appends the i-th line: 100 bytes, digits that do not repeat much.
func rawLine(dst []byte, i int64) []byte {
	x := uint64(i)
	return fmt.Appendf(dst, "%020d,%020d,%020d,%037d", i, x*0x9E3779B97F4A7C15, x*0xC2B2AE3D27D4EB4F, i*i)[:len(dst)+100]
}

// jsonRecord appends the i-th record: 200 bytes with seven fields.
func jsonRecord(dst []byte, i int64) []byte {
	n := len(dst)
	x := uint64(i) * 0x9E3779B97F4A7C15
	dst = fmt.Appendf(dst, `{"id": %d, "user": "user-%06d", "ts": %d, "lon": -73.%06d, "lat": 40.%06d, "passengers": %d, "note": "`,
		i, x>>44, 1_700_000_000_000+i*37, x>>20%1_000_000, x>>40%1_000_000, i%6)
	const words = "the quick brown fox jumps over the lazy dog and the five boxing wizards jump quickly past the sphinx of black quartz"
	at := int(x >> 59)
	fill := 198 - (len(dst) - n)
	return append(append(dst, words[at:at+fill]...), `"}`...)
}

type kafkaFilesCase struct {
	name   string
	format string
	schema string
	sink   string
	record func([]byte, int64) []byte
	check  func(dir string, rows int64) error
	rows   int64
}

var kafkaFilesCases = []kafkaFilesCase{
	{"100-byte raw lines", "raw", "line: BYTES", "raw", rawLine, checkRaw, 4_000_000},
	{"200-byte JSON to Parquet", "json", "id: BIGINT NOT NULL, user: STRING, ts: BIGINT, lon: DOUBLE, lat: DOUBLE, passengers: INT, note: STRING", "parquet", jsonRecord, checkParquet, 2_000_000},
}

// spec is the job of a case.
func (c kafkaFilesCase) spec(address, topic, dir string) string {
	return fmt.Sprintf(`name: lines
engine: {parallelism: 2, checkpoint: {interval: 1s, dir: %q}}
sources:
  in: {connector: kafka, brokers: %q, topic: %s, stop: end, format: %s, schema: {%s}}
sinks:
  files: {from: in, connector: file, path: %q, format: %s}
`, filepath.Join(dir, "state"), address, topic, c.format, c.schema, filepath.Join(dir, "out"), c.sink)
}

func benchKafkaFiles(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Kafka to files exactly once, a checkpoint a second, million rows a second of user and system time of the consuming process;\n"+
		"bare is franz-go consuming and counting; 4 partitions; the broker is another process (%s)\n\n", machine())
	t := newTable(w, "rows", "topic's codec", "turbo", "bare", "turbo / bare", "spread", "checkpoints")
	address, closeBroker, err := startBroker(ctx)
	if err != nil {
		return err
	}
	defer closeBroker()
	for _, c := range kafkaFilesCases {
		if o.Quick {
			c.rows = 50_000
		}
		for _, codec := range []struct {
			name string
			kgo.CompressionCodec
		}{{"none", kgo.NoCompression()}, {"zstd", kgo.ZstdCompression()}} {
			topic := c.format + "-" + codec.name
			if err := fillTopic(ctx, address, topic, c.rows, codec.CompressionCodec, c.record); err != nil {
				return err
			}
			turbo := func(ctx context.Context) (Run, error) {
				dir, err := os.MkdirTemp(o.Dir, "kafka-files")
				if err != nil {
					return Run{}, err
				}
				defer os.RemoveAll(dir)
				var got jobAnswer
				cpu, err := runChild(ctx, childRequest{Role: "job", Job: c.spec(address, topic, dir)}, &got)
				if err != nil {
					return Run{}, err
				}
				return Run{Rows: c.rows, Elapsed: cpu, Notes: map[string]float64{"checkpoints": float64(got.Checkpoints)}}, c.check(filepath.Join(dir, "out"), c.rows)
			}
			bare := func(ctx context.Context) (Run, error) {
				var rows int64
				cpu, err := runChild(ctx, childRequest{Role: "bare", Broker: address, Topic: topic, Rows: c.rows}, &rows)
				if err == nil && rows != c.rows {
					err = fmt.Errorf("bare franz-go counted %d rows, want %d", rows, c.rows)
				}
				return Run{Rows: c.rows, Elapsed: cpu}, err
			}
			r, err := pairs(ctx, o.pairs(), turbo, bare)
			if err != nil {
				return err
			}
			cells := append([]string{c.name, codec.name}, fmt.Sprintf("%.2f", r.Turbo), fmt.Sprintf("%.2f", r.Loop), fmt.Sprintf("%.2f", r.Median), fmt.Sprintf("%.2f to %.2f", r.Low, r.High))
			t.row(append(cells, fmt.Sprintf("%.0f", r.Notes["checkpoints"]))...)
		}
	}
	return nil
}

// outputFiles calls f for every visible file of a sink's directory.
func outputFiles(dir string, f func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		return f(path)
	})
}

// checkRaw compares the lines of the files with those that were produced: each once, in any order.
func checkRaw(dir string, rows int64) error {
	var want, got uint64
	var line []byte
	for i := range rows {
		line = rawLine(line[:0], i)
		want += xxh3.Hash(line)
	}
	n := int64(0)
	err := outputFiles(dir, func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for s := bufio.NewScanner(f); ; n++ {
			if !s.Scan() {
				return s.Err()
			}
			got += xxh3.Hash(s.Bytes())
		}
	})
	if err == nil && (n != rows || got != want) {
		err = fmt.Errorf("the files have %d lines with sum %x, want %d with %x", n, got, rows, want)
	}
	return err
}

// checkParquet adds up two columns of the files, with Arrow's reader.
func checkParquet(dir string, rows int64) error {
	var n, ids, passengers int64
	err := outputFiles(dir, func(path string) error {
		r, err := file.OpenParquetFile(path, false)
		if err != nil {
			return err
		}
		defer r.Close()
		for g := range r.NumRowGroups() {
			group := r.RowGroup(g)
			n += group.NumRows()
			sum, err := sumColumn(group, 0)
			if err != nil {
				return err
			}
			ids += sum
			if sum, err = sumColumn(group, 5); err != nil {
				return err
			}
			passengers += sum
		}
		return nil
	})
	if err != nil {
		return err
	}
	var wantPassengers int64
	for i := range rows {
		wantPassengers += i % 6
	}
	if wantIDs := rows * (rows - 1) / 2; n != rows || ids != wantIDs || passengers != wantPassengers {
		return fmt.Errorf("the files have %d rows, sums %d and %d, want %d, %d and %d", n, ids, passengers, rows, wantIDs, wantPassengers)
	}
	return nil
}

func sumColumn(group *file.RowGroupReader, column int) (sum int64, err error) {
	chunk, err := group.Column(column)
	if err != nil {
		return 0, err
	}
	levels := make([]int16, 4096)
	for chunk.HasNext() {
		switch c := chunk.(type) {
		case *file.Int64ColumnChunkReader:
			var values [4096]int64
			_, n, err := c.ReadBatch(4096, values[:], levels, nil)
			if err != nil {
				return 0, err
			}
			for _, v := range values[:n] {
				sum += v
			}
		case *file.Int32ColumnChunkReader:
			var values [4096]int32
			_, n, err := c.ReadBatch(4096, values[:], levels, nil)
			if err != nil {
				return 0, err
			}
			for _, v := range values[:n] {
				sum += int64(v)
			}
		default:
			return 0, fmt.Errorf("column %d is a %T", column, chunk)
		}
	}
	return sum, nil
}
