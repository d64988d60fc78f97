package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/parquet-go/parquet-go"

	"turbo/core"
	"turbo/memory"
)

// TestParquetOptions: every codec, with and without dictionaries, in many small pages and row groups.
func TestParquetOptions(t *testing.T) {
	for _, codec := range codecNames {
		for _, dictionary := range []string{"auto", "off"} {
			h := newHarness(t, "parquet", map[string]string{"compression": codec, "dictionary": dictionary, "row-group-size": "64KiB", "page-size": "4KiB"},
				field("i", "BIGINT"), field("few", "STRING"), field("n", "INT NOT NULL"), field("s", "STRING NOT NULL"), field("b", "BOOLEAN"),
				field("l", "ARRAY<STRING>"), field("m", "MAP<INT NOT NULL, ROW<a DOUBLE, b BOOLEAN>>"), field("d", "DECIMAL(30, 2)"))
			if err := h.roundTripFile(rand.New(rand.NewPCG(5, 5)), 6, 1500); err != nil {
				t.Errorf("%s, dictionary %s: %v", codec, dictionary, err)
			}
			h.done()
		}
	}
}

func TestParquetDictionaryIsUsed(t *testing.T) {
	size := func(dictionary string) int {
		h := newHarness(t, "parquet", map[string]string{"compression": "none", "dictionary": dictionary}, field("s", "STRING"))
		b := h.builder()
		for i := range 10000 {
			b.Column(0).AppendString([]string{"a rather long value", "another rather long value", "x"}[i%3])
		}
		var out bytes.Buffer
		w, _ := h.spec.NewFile(h.fileContext(), &out)
		if err := w.Write(b.Finish()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		b.Close()
		h.done()
		return out.Len()
	}
	if with, without := size("auto"), size("off"); with*20 > without {
		t.Errorf("%d bytes with a dictionary, %d without", with, without)
	}
}

// goValue renders a leaf value that parquet-go has read as AppendJSON renders it.
func goValue(x parquet.Value, typ core.Type, account *memory.Account) string {
	if x.IsNull() {
		return "null"
	}
	v := core.NewVector(account, typ, 1)
	defer v.Release()
	switch typ.Kind {
	case core.Boolean:
		v.AppendBool(x.Boolean())
	case core.Int8:
		v.AppendInt8(int8(x.Int32()))
	case core.Int16:
		v.AppendInt16(int16(x.Int32()))
	case core.Int32, core.Date:
		v.AppendInt32(x.Int32())
	case core.Float32:
		v.AppendFloat32(x.Float())
	case core.Float64:
		v.AppendFloat64(x.Double())
	case core.String, core.Bytes:
		v.AppendBytes(x.ByteArray())
	case core.Decimal:
		switch {
		case typ.Precise <= 9:
			v.AppendDecimal(decimal128.FromI64(int64(x.Int32())))
		case typ.Precise <= 18:
			v.AppendDecimal(decimal128.FromI64(x.Int64()))
		default:
			b := x.ByteArray()
			n := new(big.Int).SetBytes(b)
			if b[0] >= 0x80 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
			v.AppendDecimal(decimal128.FromBigInt(n))
		}
	default:
		v.AppendInt64(x.Int64())
	}
	return string(v.AppendJSON(nil, 0))
}

// TestParquetIndependentReader: parquet-go reads what turbo writes: every scalar exactly, statistics included.
func TestParquetIndependentReader(t *testing.T) {
	var fields []core.Field
	for i, s := range scalarTypes {
		if !strings.HasPrefix(s, "INTERVAL") {
			fields = append(fields, field(fmt.Sprint("c", i), s), field(fmt.Sprint("n", i), s+" NOT NULL"))
		}
	}
	for _, codec := range codecNames {
		if codec == "lz4" {
			// parquet-go 0.32 loses LZ4_RAW pages that compress less than three times: its decompress keeps the old buffer when
			// Decode returns another one of the same length. TestParquetOptions and TestParquetForeignFile have lz4.
			continue
		}
		h := newHarness(t, "parquet", map[string]string{"compression": codec, "row-group-size": "64KiB", "page-size": "4KiB"}, fields...)
		data, want, err := h.writeFile(rand.New(rand.NewPCG(7, 7)), 4, 300)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		row := 0
		for _, group := range f.RowGroups() {
			rows := group.Rows()
			buffer := make([]parquet.Row, 16)
			for {
				n, err := rows.ReadRows(buffer)
				for _, r := range buffer[:n] {
					var line strings.Builder
					for i, x := range r {
						line.WriteString(goValue(x, fields[i].Type, h.account) + "|")
					}
					if row < len(want) && line.String() != want[row] {
						t.Fatalf("%s row %d:\ngot  %s\nwant %s", codec, row, line.String(), want[row])
					}
					row++
				}
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			_ = rows.Close()
		}
		if row != len(want) {
			t.Errorf("%s: %d rows, want %d", codec, row, len(want))
		}
		checkStatistics(t, f)
		h.done()
	}
}

// checkStatistics compares each column chunk's bounds and null count with its values.
func checkStatistics(t *testing.T, f *parquet.File) {
	t.Helper()
	for g, group := range f.RowGroups() {
		for c, chunk := range group.ColumnChunks() {
			typ := chunk.Type()
			low, high, ok := chunk.(*parquet.FileColumnChunk).Bounds()
			// parquet-go orders fixed bytes without a sign, which for DECIMAL is not the format's order.
			ok = ok && typ.Kind() != parquet.FixedLenByteArray
			nulls := int64(0)
			pages := chunk.Pages()
			for {
				p, err := pages.ReadPage()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				values := make([]parquet.Value, p.NumValues())
				if _, err := p.Values().ReadValues(values); err != nil && err != io.EOF {
					t.Fatal(err)
				}
				for _, x := range values {
					if x.IsNull() {
						nulls++
					} else if ok && (typ.Compare(x, low) < 0 || typ.Compare(x, high) > 0) {
						t.Errorf("group %d column %d: %v is outside of [%v, %v]", g, c, x, low, high)
					}
				}
			}
			_ = pages.Close()
			if s := f.Metadata().RowGroups[g].Columns[c].MetaData.Statistics; s.NullCount != nulls {
				t.Errorf("group %d column %d: %d nulls, the statistics say %d", g, c, nulls, s.NullCount)
			}
		}
	}
}

// plainJSON renders what parquet-go reconstructs of nested values, in the order of the type's fields.
func plainJSON(x any, typ core.Type) string {
	switch x := x.(type) {
	case nil:
		return "null"
	case []any:
		var parts []string
		for _, e := range x {
			parts = append(parts, plainJSON(e, typ.Elements[0].Type))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for _, e := range typ.Elements {
			name, _ := json.Marshal(e.Name)
			parts = append(parts, string(name)+":"+plainJSON(x[e.Name], e.Type))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []byte:
		return string(core.AppendJSONString(nil, x))
	case string:
		return string(core.AppendJSONString(nil, []byte(x)))
	}
	return fmt.Sprint(x)
}

func TestParquetNestedIndependentReader(t *testing.T) {
	h := newHarness(t, "parquet", map[string]string{"page-size": "4KiB"}, field("x", "ARRAY<ROW<p INT, q STRING, r ARRAY<BIGINT NOT NULL>>>"), field("y", "ROW<a ROW<b STRING NOT NULL, c ARRAY<ARRAY<INT>>>>"))
	data, want, err := h.writeFile(rand.New(rand.NewPCG(3, 2)), 2, 200)
	if err != nil {
		t.Fatal(err)
	}
	r := parquet.NewGenericReader[any](bytes.NewReader(data))
	rows := make([]any, len(want)+1)
	n, err := r.Read(rows)
	if n != len(want) || err != nil && err != io.EOF {
		t.Fatalf("%d rows of %d, %v", n, len(want), err)
	}
	for i, x := range rows[:n] {
		m := x.(map[string]any)
		if got := plainJSON(m["x"], h.schema.Fields[0].Type) + "|" + plainJSON(m["y"], h.schema.Fields[1].Type) + "|"; got != want[i] {
			t.Fatalf("row %d:\ngot  %s\nwant %s", i, got, want[i])
		}
	}
	h.done()
}

// TestContainerSkip reads from every position, forth and back.
func TestContainerSkip(t *testing.T) {
	for _, name := range []string{"parquet", "arrow"} {
		h := newHarness(t, name, nil, field("a", "BIGINT"), field("s", "STRING"))
		data, want, err := h.writeFile(rand.New(rand.NewPCG(4, 4)), 2, 300)
		if err != nil {
			t.Fatal(err)
		}
		f, err := h.spec.OpenFile(h.fileContext(), bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, skip := range []int64{0, 1, 63, 64, 65, 200, 10, int64(len(want)) - 1, int64(len(want))} {
			b, err := f.Read(0, skip, 7)
			if err != nil {
				t.Fatalf("%s skip %d: %v", name, skip, err)
			}
			if b == nil {
				if skip < int64(len(want)) {
					t.Errorf("%s skip %d: nothing", name, skip)
				}
				continue
			}
			if err := sameValues(b, want[skip:int(skip)+b.Len]); err != nil {
				t.Errorf("%s skip %d: %v", name, skip, err)
			}
			b.Release()
		}
		_ = f.Close()
		h.done()
	}
}

// TestContainerDamage cuts and flips bytes: an error or other values, never a panic, and no memory is lost.
func TestContainerDamage(t *testing.T) {
	for _, name := range []string{"parquet", "arrow"} {
		h := newHarness(t, name, nil, field("a", "BIGINT"), field("s", "STRING"), field("l", "ARRAY<INT>"))
		r := rand.New(rand.NewPCG(6, 6))
		data, _, err := h.writeFile(r, 2, 100)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			bad := bytes.Clone(data)
			if r.IntN(3) == 0 {
				bad = bad[:r.IntN(len(bad))]
			} else {
				for range 1 + r.IntN(3) {
					bad[r.IntN(len(bad))] ^= byte(1 << r.IntN(8))
				}
			}
			_, _ = h.readFile(bad, 64)
		}
	}
}

// TestParquetChecksums: a changed byte in a page is found, whatever the codec, and by parquet-go too.
func TestParquetChecksums(t *testing.T) {
	h := newHarness(t, "parquet", map[string]string{"compression": "none"}, field("a", "BIGINT NOT NULL"))
	data, _, err := h.writeFile(rand.New(rand.NewPCG(1, 1)), 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	data[2000] ^= 1
	if _, err := h.readFile(data, 64); err == nil || !strings.HasPrefix(err.Error(), "row group 0: the page at byte 4 is damaged: its checksum") {
		t.Errorf("got %v", err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	pages := f.RowGroups()[0].ColumnChunks()[0].Pages()
	if _, err := pages.ReadPage(); err == nil {
		t.Error("parquet-go does not see the damage: is the checksum where it belongs?")
	}
	_ = pages.Close()
}

// failWriter fails after some bytes.
type failWriter int

func (f *failWriter) Write(b []byte) (int, error) {
	if *f -= failWriter(len(b)); *f < 0 {
		return 0, os.ErrPermission
	}
	return len(b), nil
}

// TestContainerWriteErrors: a failing io.Writer is reported by Write or Close, wherever it fails, and memory comes back.
func TestContainerWriteErrors(t *testing.T) {
	for _, name := range []string{"parquet", "arrow"} {
		for limit := 0; limit < 3000; limit += 97 {
			h := newHarness(t, name, nil, field("a", "BIGINT"), field("s", "STRING"))
			out := failWriter(limit)
			w, err := h.spec.NewFile(h.fileContext(), &out)
			if err == nil {
				err = w.Write(randomBatch(rand.New(rand.NewPCG(1, 1)), h, 100, false))
				if closeErr := w.Close(); err == nil {
					err = closeErr
				}
			}
			if out < 0 && err == nil {
				t.Errorf("%s: the write error after %d bytes is lost", name, limit)
			}
			if w != nil {
				_ = w.Close()
			}
			h.done()
		}
	}
}

func TestParquetNullForNotNull(t *testing.T) {
	for _, name := range []string{"parquet", "arrow"} {
		h := newHarness(t, name, nil, field("a", "BIGINT NOT NULL"))
		w, err := h.spec.NewFile(h.fileContext(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		b := core.NewBatch(h.account, h.schema)
		v := core.NewVector(h.account, h.schema.Fields[0].Type, 1)
		v.AppendNull()
		b.Columns, b.Len = append(b.Columns, v), 1
		if err := w.Write(b); err == nil || err.Error() != "column a: null, but the column is NOT NULL" {
			t.Error(err)
		}
		_ = w.Close()
		h.done()
	}
}

// TestByteBounds compares the bounds of random short values, many of which share their first bytes, with those by sorting.
func TestByteBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	h := newHarness(t, "parquet", nil, field("x", "BYTES"))
	for range 500 {
		b := h.builder()
		var values [][]byte
		for range 1 + r.IntN(6) {
			if r.IntN(5) == 0 {
				b.Column(0).AppendNull()
				continue
			}
			x := make([]byte, r.IntN(11))
			for i := range x {
				x[i] = []byte{0, 'a', 0xff}[r.IntN(3)]
			}
			values = append(values, x)
			b.Column(0).AppendBytes(x)
		}
		batch := b.Finish()
		low, high := byteBounds(batch.Columns[0], batch.Len, func(i int) int { return i })
		slices.SortFunc(values, bytes.Compare)
		if n := len(values); n == 0 && low != nil || n > 0 && (!bytes.Equal(low, values[0]) || !bytes.Equal(high, values[n-1])) {
			t.Fatalf("%q: %q to %q", values, low, high)
		}
		batch.Release()
		b.Close()
	}
}
