package format

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/io/connector"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scalarTypes has every kind with its parameters' extremes.
var scalarTypes = []string{"BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(1, 0)", "DECIMAL(9, 4)", "DECIMAL(18, 18)",
	"DECIMAL(19, 3)", "DECIMAL(38, 10)", "STRING", "BYTES", "DATE", "TIME(0)", "TIME(3)", "TIME(6)", "TIMESTAMP(0)", "TIMESTAMP(3)", "TIMESTAMP(6)",
	"TIMESTAMP_LTZ(0)", "TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(6)", "INTERVAL DAY TO SECOND", "INTERVAL YEAR TO MONTH"}

func everyType() []core.Type {
	var texts []string
	for _, s := range scalarTypes {
		texts = append(texts, s, s+" NOT NULL", "ARRAY<"+s+">", "ARRAY<"+s+" NOT NULL> NOT NULL", "MAP<"+s+" NOT NULL, "+s+">", "ROW<a "+s+", `b c` "+s+" NOT NULL>")
	}
	texts = append(texts, "ARRAY<ARRAY<INT>>", "MAP<STRING NOT NULL, ARRAY<ROW<x INT, y MAP<INT NOT NULL, STRING>>>>", "ROW<a ROW<b ROW<c ARRAY<BIGINT NOT NULL>>>>",
		"ARRAY<MAP<STRING NOT NULL, ROW<v DOUBLE NOT NULL>>>")
	var out []core.Type
	for _, text := range texts {
		t, err := core.ParseType(text)
		if err != nil {
			panic(err)
		}
		out = append(out, t)
	}
	return out
}

// appendValue appends a random value, edge cases among them.
func appendValue(r *rand.Rand, v *core.Vector) {
	t := v.Type
	if !t.NotNull && r.IntN(4) == 0 {
		v.AppendNull()
		return
	}
	edge := r.IntN(4) == 0
	switch t.Kind {
	case core.Boolean:
		v.AppendBool(r.IntN(2) == 0)
	case core.Int8:
		v.AppendInt8(int8(r.Int()))
	case core.Int16:
		v.AppendInt16(int16(r.Int()))
	case core.Int32, core.Date, core.IntervalMonth:
		v.AppendInt32(pick(r, edge, int32(r.Uint32()>>16), math.MinInt32, math.MaxInt32, 0, -1))
	case core.Float32:
		v.AppendFloat32(pick(r, edge, float32(r.IntN(1000))/8, float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1))))
	case core.Float64:
		v.AppendFloat64(pick(r, edge, r.NormFloat64(), math.NaN(), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1)))
	case core.Decimal:
		limit := decimal128.GetScaleMultiplier(int(t.Precise) - 1)
		n := pick(r, edge, decimal128.FromI64(r.Int64N(10)), limit, limit.Negate(), limit.Sub(decimal128.FromI64(1)))
		v.AppendDecimal(n)
	case core.String:
		v.AppendString(pick(r, edge, fmt.Sprint("text ", r.IntN(5)), "", "NULL", "é😀\t,;\"'\\ {}", "a,b\nc\r\n\"d\"", strings.Repeat("long ", 50), "\x00\x01"))
	case core.Bytes:
		v.AppendString(pick(r, edge, fmt.Sprint("b", r.IntN(5)), "", "\xff\x00\n", "plain"))
	case core.TimeOfDay:
		v.AppendInt64(core.TruncateFraction(pick(r, edge, r.Int64N(86_400_000_000), 0, 86_399_999_999), t.Precise))
	case core.Timestamp, core.TimestampLTZ:
		// Within what a value cut to the precision and Parquet's and Arrow's readers can hold.
		v.AppendInt64(core.TruncateFraction(pick(r, edge, r.Int64N(2e15), -1, math.MinInt64+1e6, math.MaxInt64, 0), t.Precise))
	case core.Array:
		for range r.IntN(4) {
			appendValue(r, v.Child(0))
		}
		v.EndElement()
	case core.Map:
		keys := v.Child(0)
		start := keys.Len()
		for range r.IntN(4) {
			if appendValue(r, keys); repeatedKey(keys, start) >= 0 {
				keys.Truncate(keys.Len() - 1)
				continue
			}
			appendValue(r, v.Child(1))
		}
		v.EndElement()
	case core.Row:
		for i := range t.Elements {
			appendValue(r, v.Child(i))
		}
		v.EndElement()
	default:
		v.AppendInt64(pick(r, edge, r.Int64N(1e9), math.MinInt64, math.MaxInt64, 0, -1))
	}
}

func pick[T any](r *rand.Rand, edge bool, usual T, edges ...T) T {
	if edge {
		return edges[r.IntN(len(edges))]
	}
	return usual
}

// randomBatch has rows live rows of the schema's columns; with a selection there are dead ones between.
func randomBatch(r *rand.Rand, h *harness, rows int, selection bool) *core.Batch {
	b := core.NewBatch(h.account, h.schema)
	for _, f := range h.schema.Fields {
		v := core.NewVector(h.account, f.Type, 0)
		for range rows {
			appendValue(r, v)
		}
		b.Columns = append(b.Columns, v)
	}
	if b.Len = rows; selection {
		b.Sel = b.SelBuffer(rows)[:0]
		for i := range rows {
			if r.IntN(3) > 0 {
				b.Sel = append(b.Sel, int32(i))
			}
		}
	}
	return b
}

// values renders a batch so that null and the string NULL differ.
func values(b *core.Batch) []string {
	var out []string
	for i := range b.Rows() {
		var line []byte
		for _, v := range b.Columns {
			line = append(v.AppendJSON(line, b.Row(i)), '|')
		}
		out = append(out, string(line))
	}
	return out
}

// TestRoundTrip writes and reads every type in every format, with nulls, and lists the pairs that are refused.
func TestRoundTrip(t *testing.T) {
	var refused []string
	for _, name := range connector.FormatNames() {
		spec := connector.LookupFormat(name)
		for _, typ := range everyType() {
			if err := spec.Supports(typ); err != nil {
				refused = append(refused, fmt.Sprintf("%s: %s: %v", name, typ, err))
				continue
			}
			for seed := range uint64(3) {
				r := rand.New(rand.NewPCG(seed, 77))
				fields := []core.Field{{Name: "c", Type: typ}}
				if name != "raw" {
					fields = append(fields, field("n", "BIGINT NOT NULL"), core.Field{Name: "again", Type: typ})
				} else if !typ.NotNull {
					fields[0].Type.NotNull = true // raw has no null: TestRaw
				}
				h := newHarness(t, name, nil, fields...)
				var err error
				if spec.Check != nil {
					err = spec.Check(h.config, h.schema)
				}
				if err != nil {
					t.Fatal(err)
				}
				if spec.IsContainer() {
					err = h.roundTripFile(r, 3, int(seed)*40+1)
				} else {
					err = h.roundTripRecords(r, 30)
				}
				if err != nil {
					t.Errorf("%s, %s, seed %d: %v", name, typ, seed, err)
				}
				h.done()
			}
		}
	}
	golden := strings.Join(refused, "\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/refused.golden", []byte(golden), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/refused.golden")
	if err != nil || string(want) != golden {
		t.Errorf("the refused pairs differ from testdata/refused.golden (rewrite it with -update); %v", err)
	}
}

func (h *harness) roundTripRecords(r *rand.Rand, rows int) error {
	for _, selection := range []bool{false, true} {
		b := randomBatch(r, h, rows, selection)
		want := values(b)
		out, ends, err := h.encoder(false).Encode([]byte("before"), nil, b)
		b.Release()
		if err != nil {
			return err
		}
		if len(ends) != len(want) {
			return fmt.Errorf("%d ends of %d records", len(ends), len(want))
		}
		d, builder := h.decoder(), h.builder()
		start := int32(len("before"))
		for i, end := range ends {
			if err := d.Decode(out[start:end], builder); err != nil {
				return fmt.Errorf("record %d %q: %w", i, out[start:end], err)
			}
			start = end
		}
		got := builder.Finish()
		if err := sameValues(got, want); err != nil {
			return err
		}
		if got != nil {
			got.Release()
		}
		builder.Close()
	}
	return nil
}

func sameValues(b *core.Batch, want []string) error {
	var got []string
	if b != nil {
		got = values(b)
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("row %d:\ngot  %s\nwant %s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d rows, want %d", len(got), len(want))
	}
	return nil
}

func (h *harness) fileContext() connector.FileContext {
	return connector.FileContext{Config: h.config, Record: h.schema, Schema: h.schema, Columns: all(len(h.schema.Fields)), BatchRows: 64, Account: h.account}
}

// writeFile writes batches of random rows and returns the file and its rows.
func (h *harness) writeFile(r *rand.Rand, batches, rows int) ([]byte, []string, error) {
	var out bytes.Buffer
	w, err := h.spec.NewFile(h.fileContext(), &out)
	if err != nil {
		return nil, nil, err
	}
	var want []string
	for i := range batches {
		b := randomBatch(r, h, rows, i%2 == 1)
		want = append(want, values(b)...)
		if err := w.Write(b); err != nil {
			return nil, nil, err
		}
	}
	if w.Rows() != int64(len(want)) {
		return nil, nil, fmt.Errorf("the writer counts %d rows of %d", w.Rows(), len(want))
	}
	err = w.Close()
	return out.Bytes(), want, err
}

// readFile reads everything by pieces of maxRows.
func (h *harness) readFile(data []byte, maxRows int) ([]string, error) {
	f, err := h.spec.OpenFile(h.fileContext(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	var got []string
	for unit := range f.Units() {
		rows := int64(0)
		for {
			b, err := f.Read(unit, rows, maxRows)
			if err != nil {
				return nil, err
			}
			if b == nil {
				break
			}
			got = append(got, values(b)...)
			rows += int64(b.Len)
			b.Release()
		}
		if rows != f.Rows(unit) {
			return nil, fmt.Errorf("unit %d has %d rows, read %d", unit, f.Rows(unit), rows)
		}
	}
	if !f.FileSchema().Equal(h.schema) {
		return nil, fmt.Errorf("the file's columns are %s, written were %s", f.FileSchema(), h.schema)
	}
	return got, f.Close()
}

func (h *harness) roundTripFile(r *rand.Rand, batches, rows int) error {
	data, want, err := h.writeFile(r, batches, rows)
	if err != nil {
		return err
	}
	got, err := h.readFile(data, 50)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				return fmt.Errorf("row %d:\ngot  %s\nwant %s", i, got[i], want[i])
			}
		}
		return fmt.Errorf("%d rows, want %d", len(got), len(want))
	}
	return nil
}
