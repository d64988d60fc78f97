package format

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"turbo/core"
)

// foreignRow is written by parquet-go with its encodings and annotations.
type foreignRow struct {
	Plain   int64             `parquet:"plain"`
	Small   int8              `parquet:"small"`
	Unsign  uint32            `parquet:"unsign"`
	Maybe   *int32            `parquet:"maybe,optional"`
	Delta   int64             `parquet:"delta,delta"`
	Dict    string            `parquet:"dict,dict"`
	Text    string            `parquet:"text,optional,delta"`
	Raw     []byte            `parquet:"raw"`
	Single  float32           `parquet:"single"`
	Millis  int64             `parquet:"millis,timestamp(millisecond)"`
	Nanos   time.Time         `parquet:"nanos,timestamp(nanosecond)"`
	Day     int32             `parquet:"day,date"`
	Price   int64             `parquet:"price,decimal(2:10)"`
	Old     deprecated.Int96  `parquet:"old"`
	List    []string          `parquet:"list,list"`
	Map     map[string]int64  `parquet:"map"`
	Inner   struct{ A *bool } `parquet:"inner"`
	Fixed   [4]byte           `parquet:"fixed"`
	Ignored string            `parquet:"ignored"`
}

func foreignFile(t *testing.T, options ...parquet.WriterOption) []byte {
	var out bytes.Buffer
	w := parquet.NewGenericWriter[foreignRow](&out, options...)
	yes, five := true, int32(5)
	at := time.Date(2013, 1, 1, 0, 0, 36, 123456789, time.UTC)
	// INT96: nanoseconds of the day, then the Julian day.
	nanos := uint64(36123456789)
	old := deprecated.Int96{uint32(nanos), uint32(nanos >> 32), 2456294}
	for i := range 10 {
		row := foreignRow{Plain: int64(i), Small: int8(-i), Unsign: 4_000_000_000, Delta: int64(i * i), Dict: []string{"x", "y"}[i%2], Text: fmt.Sprint("t", i), Raw: []byte{0xff, byte(i)},
			Single: 0.5, Millis: at.UnixMilli(), Nanos: at, Day: 15706, Price: 1250, Old: old, List: []string{"a", "b"}[:i%3%2+1], Map: map[string]int64{"k": int64(i)}, Fixed: [4]byte{'a', 'b', 'c', byte('0' + i)}}
		if i%2 == 0 {
			row.Maybe, row.Inner.A = &five, &yes
		}
		if _, err := w.Write([]foreignRow{row}); err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			if err := w.Flush(); err != nil { // a second row group
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestParquetForeignFile reads another writer's file, in all its codecs, by projection and with conversions.
func TestParquetForeignFile(t *testing.T) {
	fields := []core.Field{field("day", "DATE"), field("plain", "BIGINT NOT NULL"), field("small", "BIGINT"), field("unsign", "BIGINT"), field("maybe", "BIGINT"),
		field("delta", "INT"), field("dict", "STRING"), field("text", "BYTES"), field("raw", "BYTES"), field("single", "DOUBLE"), field("millis", "TIMESTAMP_LTZ(3)"),
		field("nanos", "TIMESTAMP(6)"), field("price", "DECIMAL(20, 4)"), field("old", "TIMESTAMP(6)"), field("list", "ARRAY<STRING>"), field("map", "MAP<STRING NOT NULL, BIGINT>"),
		field("inner", "ROW<A BOOLEAN>"), field("fixed", "STRING")}
	for name, codec := range map[string]parquet.WriterOption{"none": parquet.Compression(&parquet.Uncompressed), "snappy": parquet.Compression(&parquet.Snappy), "gzip": parquet.Compression(&parquet.Gzip),
		"zstd": parquet.Compression(&parquet.Zstd), "lz4": parquet.Compression(&parquet.Lz4Raw), "brotli": parquet.Compression(&parquet.Brotli), "v1": parquet.DataPageVersion(1)} {
		h := newHarness(t, "parquet", nil, fields...)
		data := foreignFile(t, codec)
		f, err := h.spec.OpenFile(h.fileContext(), bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for unit := range f.Units() {
			b, err := f.Read(unit, 0, 100)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, rowTexts(b)...)
			b.Release()
		}
		if len(got) != 10 {
			t.Fatalf("%s: %d rows", name, len(got))
		}
		for i, line := range got {
			maybe, inner, list := "NULL", "(NULL)", "[a]"
			if i%2 == 0 {
				maybe, inner = "5", "(TRUE)"
			}
			if i%3 == 1 {
				list = "[a, b]"
			}
			want := fmt.Sprintf("2013-01-01|%d|%d|4000000000|%s|%d|%s|t%d|\ufffd%c|0.5|2013-01-01 00:00:36.123|2013-01-01 00:00:36.123456|12.5000|2013-01-01 00:00:36.123456|%s|{k=%d}|%s|abc%d",
				i, -i, maybe, i*i, []string{"x", "y"}[i%2], i, rune(i), list, i, inner, i)
			if line != want {
				t.Errorf("%s row %d:\ngot  %q\nwant %q", name, i, line, want)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		h.done()
	}
}

func TestContainerRefusals(t *testing.T) {
	data := foreignFile(t)
	for _, c := range []struct {
		field, typ, want string
		options          map[string]string
	}{
		{"plain", "FLOAT", "column plain: the Arrow type int64 cannot be read as FLOAT without loss", nil},
		{"dict", "BIGINT", "column dict: the Arrow type utf8 cannot be read as BIGINT without loss", nil},
		{"smal", "INT", "the file has no column smal, but a column small", nil},
		{"zzz", "INT NOT NULL", "the file has no column zzz", map[string]string{"missing-columns": "null"}},
		{"unsign", "INT", "row group 0: column unsign: 4000000000 does not fit INT", nil},
		{"raw", "STRING", "row group 0: column raw: bytes that are not UTF-8: declare the column BYTES", nil},
		{"maybe", "INT NOT NULL", "row group 0: column maybe: null, but the column is NOT NULL", nil},
	} {
		h := newHarness(t, "parquet", c.options, field(c.field, c.typ))
		f, err := h.spec.OpenFile(h.fileContext(), bytes.NewReader(data), int64(len(data)))
		if err == nil {
			_, err = f.Read(0, 0, 10)
			_ = f.Close()
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %s: got %v, want %s", c.field, c.typ, err, c.want)
		}
		h.done()
	}
	h := newHarness(t, "parquet", map[string]string{"missing-columns": "null"}, field("zzz", "INT"))
	f, err := h.spec.OpenFile(h.fileContext(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Read(1, 2, 10)
	if err != nil || b.Len != 3 || !b.Columns[0].Null(2) {
		t.Errorf("%v %v", b, err)
	}
	b.Release()
	_ = f.Close()
	h.done()
}

// TestFlights reads the real file of another writer when TURBO_DATA names a folder with it, else one made by parquet-go: counts
// and sums of the delay by origin equal parquet-go's.
func TestFlights(t *testing.T) {
	type flight struct {
		Date        int32  `parquet:"date,date"`
		Delay       int32  `parquet:"delay,optional"`
		Distance    int32  `parquet:"distance,optional"`
		Origin      string `parquet:"origin,dict"`
		Destination string `parquet:"destination,dict"`
	}
	var data []byte
	if dir := os.Getenv("TURBO_DATA"); dir != "" {
		var err error
		if data, err = os.ReadFile(filepath.Join(dir, "usFlights2001.parquet")); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Log("TURBO_DATA is not set: the test uses flights that it makes")
		r := rand.New(rand.NewPCG(1, 9))
		var out bytes.Buffer
		w := parquet.NewGenericWriter[flight](&out, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(7000))
		for i := range 20000 {
			if _, err := w.Write([]flight{{int32(11323 + i/100), int32(r.IntN(200) - 40), int32(r.IntN(3000)), fmt.Sprint("A", r.IntN(30)), fmt.Sprint("A", r.IntN(30))}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		data = out.Bytes()
	}
	type total struct{ count, sum int64 }
	want := map[string]total{}
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	delay, _ := f.Schema().Lookup("delay")
	origin, _ := f.Schema().Lookup("origin")
	for _, group := range f.RowGroups() {
		rows := group.Rows()
		buffer := make([]parquet.Row, 1024)
		for {
			n, err := rows.ReadRows(buffer)
			for _, r := range buffer[:n] {
				key := r[origin.ColumnIndex].String()
				x := want[key]
				x.count++
				if d := r[delay.ColumnIndex]; !d.IsNull() {
					switch d.Kind() {
					case parquet.Int64:
						x.sum += d.Int64()
					default:
						x.sum += int64(d.Int32())
					}
				}
				want[key] = x
			}
			if err != nil {
				break
			}
		}
		_ = rows.Close()
	}
	h := newHarness(t, "parquet", nil, field("delay", "BIGINT"), field("origin", "STRING"))
	context := h.fileContext()
	context.BatchRows = 4096
	got := map[string]total{}
	reader, err := h.spec.OpenFile(context, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d row groups of %s", reader.Units(), reader.FileSchema())
	for unit := range reader.Units() {
		for at := int64(0); at < reader.Rows(unit); {
			b, err := reader.Read(unit, at, 4096)
			if err != nil {
				t.Fatal(err)
			}
			at += int64(b.Len)
			for i := range b.Len {
				x := got[b.Columns[1].StringAt(i)]
				x.count++
				if !b.Columns[0].Null(i) {
					x.sum += b.Columns[0].Int64s()[i]
				}
				got[strings.Clone(b.Columns[1].StringAt(i))] = x
			}
			b.Release()
		}
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("%d origins, want %d", len(got), len(want))
	}
	for key, w := range want {
		if got[key] != w {
			t.Errorf("%s: %v, want %v", key, got[key], w)
		}
	}
	h.done()
}
