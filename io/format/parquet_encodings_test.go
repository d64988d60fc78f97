package format

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// TestParquetEncodings reads what another writer has made of every type in every encoding, with few nulls, many and none, by batches that
// end within pages and within miniblocks. What Arrow's reader does not know is refused by its name.
func TestParquetEncodings(t *testing.T) {
	const rows = 3500
	types := []struct {
		name      string
		node      parquet.Node
		typ       string
		encodings []encoding.Encoding
		value     func(r *rand.Rand, i int) (parquet.Value, string)
	}{
		{"int64", parquet.Int(64), "BIGINT", []encoding.Encoding{&parquet.Plain, &parquet.DeltaBinaryPacked, &parquet.RLEDictionary, &parquet.ByteStreamSplit}, func(r *rand.Rand, i int) (parquet.Value, string) {
			x := int64(i)*1000 + r.Int64N(700)
			if i%97 == 0 {
				x = math.MinInt64 + r.Int64N(5)
			}
			return parquet.Int64Value(x), fmt.Sprint(x)
		}},
		{"int32", parquet.Int(32), "INT", []encoding.Encoding{&parquet.Plain, &parquet.DeltaBinaryPacked, &parquet.RLEDictionary, &parquet.ByteStreamSplit}, func(r *rand.Rand, i int) (parquet.Value, string) {
			x := int32(r.IntN(1000) - 500)
			if i%97 == 0 {
				x = math.MaxInt32 - int32(i)
			}
			return parquet.Int32Value(x), fmt.Sprint(x)
		}},
		{"double", parquet.Leaf(parquet.DoubleType), "DOUBLE", []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.ByteStreamSplit}, func(r *rand.Rand, i int) (parquet.Value, string) {
			x := float64(r.IntN(4000)) + 0.5
			return parquet.DoubleValue(x), fmt.Sprint(x)
		}},
		{"float", parquet.Leaf(parquet.FloatType), "FLOAT", []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.ByteStreamSplit}, func(r *rand.Rand, i int) (parquet.Value, string) {
			x := float32(r.IntN(4000)) + 0.25
			return parquet.FloatValue(x), fmt.Sprint(x)
		}},
		{"string", parquet.String(), "STRING", []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaLengthByteArray, &parquet.DeltaByteArray}, func(r *rand.Rand, i int) (parquet.Value, string) {
			x := fmt.Sprintf("text %d%s", r.IntN(300), "abcdefgh"[:r.IntN(9)])
			return parquet.ByteArrayValue([]byte(x)), x
		}},
		{"fixed", parquet.Leaf(parquet.FixedLenByteArrayType(5)), "BYTES", []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaByteArray, &parquet.ByteStreamSplit}, func(r *rand.Rand, i int) (parquet.Value, string) {
			x := fmt.Sprintf("%05d", r.IntN(400))
			return parquet.FixedLenByteArrayValue([]byte(x)), x
		}},
		{"boolean", parquet.Leaf(parquet.BooleanType), "BOOLEAN", []encoding.Encoding{&parquet.Plain, &parquet.RLE}, func(r *rand.Rand, i int) (parquet.Value, string) {
			x := r.IntN(3) > 0
			return parquet.BooleanValue(x), map[bool]string{true: "TRUE", false: "FALSE"}[x]
		}},
	}
	for _, c := range types {
		for _, e := range c.encodings {
			for _, nulls := range []int{-1, 0, 3, 50} { // -1: the column is required; else percent
				version := 1 + nulls&1
				t.Run(fmt.Sprintf("%s/%s/%d/v%d", c.name, e, nulls, version), func(t *testing.T) {
					r := rand.New(rand.NewPCG(7, uint64(nulls+2)))
					node := parquet.Encoded(c.node, e)
					if nulls >= 0 {
						node = parquet.Optional(node)
					}
					var out bytes.Buffer
					w := parquet.NewWriter(&out, parquet.NewSchema("t", parquet.Group{"c": node, "n": parquet.Int(64)}), parquet.DataPageVersion(version), parquet.PageBufferSize(9000), parquet.MaxRowsPerRowGroup(2500))
					var want []string
					for i := range rows {
						value, text := c.value(r, i)
						level := 0
						switch {
						case nulls >= 0 && r.IntN(100) < nulls:
							value, text = parquet.NullValue(), "NULL"
						case nulls >= 0:
							level = 1
						}
						want = append(want, fmt.Sprintf("%s|%d", text, i))
						if _, err := w.WriteRows([]parquet.Row{{value.Level(0, level, 0), parquet.Int64Value(int64(i)).Level(0, 0, 1)}}); err != nil {
							t.Fatal(err)
						}
					}
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
					for _, columns := range []int{2, 1} {
						h := newHarness(t, "parquet", nil, field("c", c.typ), field("n", "BIGINT"))
						if columns == 1 {
							h.done()
							h = newHarness(t, "parquet", nil, field("c", c.typ))
						}
						f, err := h.spec.OpenFile(h.fileContext(), bytes.NewReader(out.Bytes()), int64(out.Len()))
						if err != nil {
							t.Fatal(err)
						}
						if name := e.Encoding().String(); name == "BYTE_STREAM_SPLIT" || name == "DELTA_BYTE_ARRAY" && c.name == "fixed" {
							_, err := f.Read(0, 0, 10)
							if err == nil || !strings.HasPrefix(err.Error(), "row group 0: column c: its encoding "+name+" of ") {
								t.Error(err)
							}
							if err := f.Close(); err != nil {
								t.Error(err)
							}
							h.done()
							continue
						}
						row := 0
						for unit := range f.Units() {
							for at := int64(0); at < f.Rows(unit); {
								if r.IntN(5) == 0 { // positions are jumped to, forwards and back
									at += min(r.Int64N(90), f.Rows(unit)-at-1)
									at -= min(r.Int64N(60), at)
								}
								b, err := f.Read(unit, at, 1+r.IntN(777))
								if err != nil {
									t.Fatalf("row %d of group %d: %v", at, unit, err)
								}
								for i, line := range rowTexts(b) {
									full := want[row+int(at)+i]
									if columns == 1 {
										full = full[:bytes.LastIndexByte([]byte(full), '|')]
									}
									if line != full {
										t.Fatalf("row %d of group %d is %s, want %s", int(at)+i, unit, line, full)
									}
								}
								at += int64(b.Len)
								b.Release()
							}
							row += int(f.Rows(unit))
						}
						if err := f.Close(); err != nil || row != rows {
							t.Error(row, err)
						}
						h.done()
					}
				})
			}
		}
	}
}

// TestParquetDeltaLists: a list's values are among levels of nothing, too, and are more than the rows.
func TestParquetDeltaLists(t *testing.T) {
	type row struct {
		C []int64 `parquet:"c"`
		D []int32 `parquet:"d"`
		N int64   `parquet:"n"`
		S *struct {
			A *int64 `parquet:"a,optional"`
			B string `parquet:"b"`
		} `parquet:"s,optional"`
	}
	r := rand.New(rand.NewPCG(3, 4))
	var out bytes.Buffer
	long, short := parquet.Encoded(parquet.Int(64), &parquet.DeltaBinaryPacked), parquet.Encoded(parquet.Int(32), &parquet.DeltaBinaryPacked)
	schema := parquet.NewSchema("t", parquet.Group{"c": parquet.Repeated(long), "d": parquet.Repeated(short), "n": parquet.Int(64),
		"s": parquet.Optional(parquet.Group{"a": parquet.Optional(long), "b": parquet.String()})})
	plain := parquet.SchemaOf(row{})
	w := parquet.NewWriter(&out, schema, parquet.PageBufferSize(9000), parquet.MaxRowsPerRowGroup(3000))
	var want []string
	for i := range 5000 {
		x := row{N: int64(i)}
		text := "NULL"
		for range r.IntN(7) {
			x.C = append(x.C, r.Int64N(1e6))
			x.D = append(x.D, r.Int32N(1e6))
		}
		if i%3 > 0 {
			x.S = &struct {
				A *int64 `parquet:"a,optional"`
				B string `parquet:"b"`
			}{B: fmt.Sprint("b", i)}
			text = fmt.Sprintf("(NULL, b%d)", i)
			if i%5 > 0 {
				a := r.Int64()
				x.S.A = &a
				text = fmt.Sprintf("(%d, b%d)", a, i)
			}
		}
		join := func(list string) string { return strings.ReplaceAll(list, " ", ", ") }
		want = append(want, fmt.Sprintf("%s|%s|%s|%d", join(fmt.Sprint(x.C)), join(fmt.Sprint(x.D)), text, i))
		if _, err := w.WriteRows([]parquet.Row{plain.Deconstruct(nil, x)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, "parquet", nil, field("c", "ARRAY<BIGINT>"), field("d", "ARRAY<INT>"), field("s", "ROW<a BIGINT, b STRING>"), field("n", "BIGINT"))
	f, err := h.spec.OpenFile(h.fileContext(), bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	row0 := 0
	for unit := range f.Units() {
		for at := int64(0); at < f.Rows(unit); {
			b, err := f.Read(unit, at, 1+r.IntN(777))
			if err != nil {
				t.Fatalf("row %d of group %d: %v", at, unit, err)
			}
			for i, line := range rowTexts(b) {
				if line != want[row0+int(at)+i] {
					t.Fatalf("row %d of group %d is %s, want %s", int(at)+i, unit, line, want[row0+int(at)+i])
				}
			}
			at += int64(b.Len)
			b.Release()
		}
		row0 += int(f.Rows(unit))
	}
	if err := f.Close(); err != nil || row0 != 5000 {
		t.Error(row0, err)
	}
	h.done()
}
