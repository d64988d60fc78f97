package format

import (
	"math/rand/v2"
	"strings"
	"testing"

	"turbo/core"
)

func TestJSONTimestamps(t *testing.T) {
	fields := []core.Field{field("t", "TIMESTAMP(3)"), field("l", "TIMESTAMP_LTZ(0)"), field("m", "MAP<TIMESTAMP(3) NOT NULL, ARRAY<TIMESTAMP_LTZ(3)>>")}
	for style, want := range map[string]string{
		"sql":          `{"t":"2013-01-01 00:00:36.123","l":"2013-01-01 00:00:36Z","m":{"1969-12-31 23:59:59.999":["1970-01-01 00:00:00.000Z"]}}`,
		"iso-8601":     `{"t":"2013-01-01T00:00:36.123","l":"2013-01-01T00:00:36Z","m":{"1969-12-31T23:59:59.999":["1970-01-01T00:00:00.000Z"]}}`,
		"epoch-millis": `{"t":1356998436123,"l":1356998436000,"m":{"-1":[0]}}`,
	} {
		h := newHarness(t, "json", map[string]string{"timestamps": style}, fields...)
		if err := h.spec.Check(h.config, h.schema); err != nil {
			t.Fatal(err)
		}
		b := h.builder()
		if err := h.decoder().Decode([]byte(want), b); err != nil {
			t.Fatalf("%s: %v", style, err)
		}
		batch := b.Finish()
		out, _, err := h.encoder(true).Encode(nil, nil, batch)
		if err != nil || string(out) != want+"\n" {
			t.Errorf("%s: %s, %v", style, out, err)
		}
		batch.Release()
		for r := range uint64(20) {
			if err := h.roundTripRecords(rand.New(rand.NewPCG(r, 1)), 10); err != nil {
				t.Errorf("%s: %v", style, err)
			}
		}
		b.Close()
		h.done()
	}
	h := newHarness(t, "json", map[string]string{"timestamps": "epoch-millis"}, field("t", "TIMESTAMP(3)"))
	b := h.builder()
	for in, want := range map[string]string{
		`{"t":1.5}`:                 "column t, byte 5: 1.5 is no whole number of milliseconds",
		`{"t":9223372036854775807}`: "column t, byte 5: 9223372036854775807 milliseconds are beyond what a timestamp holds",
	} {
		if err := h.decoder().Decode([]byte(in), b); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
	b.Close()
	h = newHarness(t, "json", map[string]string{"timestamps": "epoch-millis"}, field("x", "ARRAY<TIMESTAMP(6)>"))
	if err := h.spec.Check(h.config, h.schema); err == nil || !strings.Contains(err.Error(), "column x: TIMESTAMP(6) has more digits than milliseconds: declare TIMESTAMP(3)") {
		t.Error(err)
	}
}

func TestJSONOmitNulls(t *testing.T) {
	h := newHarness(t, "json", map[string]string{"omit-nulls": "true"}, field("a", "INT"), field("b", "INT"))
	b := h.builder()
	d := h.decoder()
	for _, in := range []string{`{"b":2}`, `{}`, `{"a":1,"b":null}`} {
		if err := d.Decode([]byte(in), b); err != nil {
			t.Fatal(err)
		}
	}
	batch := b.Finish()
	out, ends, err := h.encoder(false).Encode(nil, nil, batch)
	if err != nil || string(out) != `{"b":2}{}{"a":1}` || len(ends) != 3 {
		t.Errorf("%s %v %v", out, ends, err)
	}
	batch.Release()
	b.Close()
	h.done()
}

// TestJSONNullKeys: a MAP with a null key cannot be an object.
func TestJSONNullKeys(t *testing.T) {
	for name, want := range map[string]string{"json": "column r: a key of a MAP is null, which JSON cannot carry", "arrow": "column r: a key of a MAP is null, which Arrow cannot carry",
		"parquet": "column r: null for STRING, which is NOT NULL"} {
		h := newHarness(t, name, nil, field("r", "ROW<m MAP<STRING, INT>>"))
		batch := core.NewBatch(h.account, h.schema)
		v := core.NewVector(h.account, h.schema.Fields[0].Type, 1)
		v.Child(0).Child(0).AppendNull()
		v.Child(0).Child(1).AppendInt32(1)
		v.Child(0).EndElement()
		v.EndElement()
		batch.Columns, batch.Len = append(batch.Columns, v), 1
		var err error
		if h.spec.NewEncoder != nil {
			_, _, err = h.encoder(false).Encode(nil, nil, batch)
			batch.Release()
		} else {
			var out fileBuffer
			w, openErr := h.spec.NewFile(h.fileContext(), &out)
			if openErr != nil {
				t.Fatal(openErr)
			}
			if err = w.Write(batch); err == nil {
				err = w.Close()
			}
			_ = w.Close()
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		h.done()
	}
}

// TestJSONManyNames: names that are not columns are remembered up to a bound only, and predictions survive changes of order.
func TestJSONManyNames(t *testing.T) {
	h := newHarness(t, "json", nil, field("a", "INT"), field("b", "STRING"))
	d, b := h.decoder(), h.builder()
	r := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		parts := []string{`"a":7`, `"b":"x"`}
		for range r.IntN(5) {
			parts = append(parts, `"n`+strings.Repeat("z", r.IntN(150))+`":[1,{"a":2}]`)
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		if err := d.Decode([]byte("{"+strings.Join(parts, ",")+"}"), b); err != nil {
			t.Fatal(err)
		}
		batch := b.Finish()
		if got := rowTexts(batch)[0]; got != "7|x" {
			t.Fatalf("%s: %s", parts, got)
		}
		batch.Release()
	}
	if n := len(d.(*jsonDecoder).root.names); n != 2+maxUnknownNames {
		t.Errorf("%d names are remembered", n)
	}
	b.Close()
	h.done()
}

func BenchmarkJSONEncode(b *testing.B) {
	h := newHarness(b, "json", nil, rideFields()...)
	batch := rideBatch(h, rand.New(rand.NewPCG(1, 1)), 4096)
	e := h.encoder(true)
	var out []byte
	var ends []int32
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch.Len {
		var err error
		if out, ends, err = e.Encode(out[:0], ends[:0], batch); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(out) / batch.Len))
	batch.Release()
}
