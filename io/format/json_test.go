package format

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"turbo/core"
	"turbo/io/connector"
	"turbo/memory"
)

// harness decodes and encodes with one format over one schema.
type harness struct {
	t       testing.TB
	spec    *connector.FormatSpec
	config  *connector.Config
	schema  *core.Schema
	pool    *memory.Pool
	account *memory.Account
}

func newHarness(t testing.TB, format string, options map[string]string, fields ...core.Field) *harness {
	t.Helper()
	h := &harness{t: t, spec: connector.LookupFormat(format), schema: core.NewSchema(fields...), pool: memory.NewPool(1 << 30)}
	h.account = h.pool.Account("test")
	var err error
	if h.config, err = connector.FromMap("test", h.spec.Fields, options); err != nil {
		t.Fatal(err)
	}
	return h
}

func all(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func (h *harness) decoder() connector.Decoder {
	h.t.Helper()
	d, err := h.spec.NewDecoder(connector.DecoderContext{Config: h.config, Record: h.schema, Schema: h.schema, Columns: all(len(h.schema.Fields))})
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *harness) encoder(framed bool) connector.Encoder {
	h.t.Helper()
	e, err := h.spec.NewEncoder(connector.EncoderContext{Config: h.config, Schema: h.schema, Framed: framed})
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

func (h *harness) builder() *core.Builder { return core.NewBuilder(h.account, h.schema, 64) }

// done checks that all memory is back.
func (h *harness) done() {
	h.t.Helper()
	if err := h.pool.CheckZero(); err != nil {
		h.t.Error(err)
	}
}

// rowText renders the live rows of a batch, each as its columns' text with | between.
func rowTexts(b *core.Batch) []string {
	var out []string
	for i := range b.Rows() {
		var line []byte
		for c, v := range b.Columns {
			if c > 0 {
				line = append(line, '|')
			}
			line = v.AppendText(line, b.Row(i))
		}
		out = append(out, string(line))
	}
	return out
}

func field(name, typ string) core.Field {
	t, err := core.ParseType(typ)
	if err != nil {
		panic(err)
	}
	return core.Field{Name: name, Type: t}
}

func TestJSONDecode(t *testing.T) {
	h := newHarness(t, "json", nil, field("a", "BIGINT"), field("s", "STRING"), field("d", "DECIMAL(12, 3)"), field("t", "TIMESTAMP(3)"),
		field("l", "TIMESTAMP_LTZ(3)"), field("x", "ARRAY<INT>"), field("m", "MAP<STRING, DOUBLE>"), field("r", "ROW<a INT, b ROW<c STRING>>"), field("f", "FLOAT"), field("b", "BOOLEAN"))
	d, b := h.decoder(), h.builder()
	for _, c := range []struct{ in, want string }{
		{`{}`, "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{` { "a" : 1 , "s" : "x" } `, "1|x|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{`{"s":"x","a":1}`, "1|x|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{`{"a":1,"a":2,"a":null,"a":3}`, "3|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{`{"zz":{"q":[1,{"a":5}]},"a":-7,"yy":"\"","s":"\u00e9\ud83d\ude00\n\/"}`, "-7|é😀\n/|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{`{"\u0061":5}`, "5|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{`{"a":"12","d":"1.5","b":"true","f":"NaN"}`, "12|NULL|1.500|NULL|NULL|NULL|NULL|NULL|NaN|TRUE"},
		{`{"a":1.0,"d":123456789.0125,"b":false,"f":1e2}`, "1|NULL|123456789.013|NULL|NULL|NULL|NULL|NULL|100.0|FALSE"},
		{`{"a":9223372036854775807,"d":1e-3}`, "9223372036854775807|NULL|0.001|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{`{"a":-9223372036854775808,"d":-0}`, "-9223372036854775808|NULL|0.000|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
		{`{"a":1.00000000000000000000000,"s":[1, {"x": "y"}]}`, `1|[1, {"x": "y"}]|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL`},
		{`{"t":"2013-01-01 00:00:36.1239","l":"2013-01-01T00:00:36+01:00"}`, "NULL|NULL|NULL|2013-01-01 00:00:36.123|2012-12-31 23:00:36.000|NULL|NULL|NULL|NULL|NULL"},
		{`{"x":[1,null,3],"m":{"k":1,"n":null},"r":{"b":{"c":"z"}}}`, "NULL|NULL|NULL|NULL|NULL|[1, NULL, 3]|{k=1.0, n=NULL}|(NULL, (z))|NULL|NULL"},
		{`{"x":[],"m":{},"r":{}}`, "NULL|NULL|NULL|NULL|NULL|[]|{}|(NULL, NULL)|NULL|NULL"},
		{`{"r":{"a":1,"a":2,"q":0,"b":{}},"r":{"b":null}}`, "NULL|NULL|NULL|NULL|NULL|NULL|NULL|(NULL, NULL)|NULL|NULL"},
	} {
		if err := d.Decode([]byte(c.in), b); err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		batch := b.Finish()
		if got := rowTexts(batch); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s\ngot  %q\nwant %q", c.in, got, c.want)
		}
		batch.Release()
	}
	b.Close()
	h.done()
}

func TestJSONBadRecords(t *testing.T) {
	h := newHarness(t, "json", map[string]string{"max-depth": "5"}, field("a", "INT NOT NULL"), field("s", "STRING"), field("t", "TIMESTAMP(3)"),
		field("x", "ARRAY<ROW<v INT NOT NULL>>"), field("m", "MAP<STRING, INT>"), field("y", "BYTES"), field("d", "DATE"))
	d, b := h.decoder(), h.builder()
	for _, c := range []struct{ in, want string }{
		{``, `byte 0: expected an object, but the record ends`},
		{`[1]`, `byte 0: expected an object, found an array`},
		{`{"a":1`, `byte 6: expected a comma or the end, but the record ends`},
		{`{"a":1,}`, `byte 7: expected a name in quotes, found "}"`},
		{`{"a":1}x`, `byte 7: text behind the object`},
		{`{"s":"x"}`, `column a: missing, but the column is NOT NULL`},
		{`{"a":null}`, `column a, byte 5: null, but the column is NOT NULL`},
		{`{"a":2147483648}`, `column a, byte 5: "2147483648" is not a valid INT: it is outside -2147483648 to 2147483647`},
		{`{"a":1.5}`, `column a, byte 5: 1.5 is not a valid INT: it is not whole, or too large`},
		{`{"a":01}`, `column a, byte 5: a number must not begin with a zero and more digits`},
		{`{"a":-}`, `column a, byte 5: a digit must follow the minus sign`},
		{`{"a":1.}`, `column a, byte 5: a digit must follow the point`},
		{`{"a":"x1"}`, `column a, byte 5: "x1" is not a valid INT: 'x' is no digit`},
		{`{"a":true}`, `column a, byte 5: expected INT, found "true"`},
		{`{"a":[1]}`, `column a, byte 5: expected INT, found an array`},
		{`{"a":1,"s":"abc`, `column s, byte 11: the string is not closed`},
		{`{"a":1,"s":"\x"}`, `column s, byte 12: unknown escape \x`},
		{`{"a":1,"s":"\ud83d"}`, `column s, byte 12: half of a surrogate pair`},
		{"{\"a\":1,\"s\":\"\xff\"}", `column s, byte 11: the string is not valid UTF-8`},
		{"{\"a\":1,\"s\":\"\x01\"}", `column s, byte 12: a control character (0x01) in a string must be escaped`},
		{`{"a":1,"t":1356998436}`, `column t, byte 11: expected a text for TIMESTAMP(3), found 1356998436 (numbers are read with timestamps: epoch-millis)`},
		{`{"a":1,"t":"yesterday"}`, `column t, byte 11: "yesterday" is not a valid TIMESTAMP: expected a date such as 2013-01-31`},
		{`{"a":1,"d":5}`, `column d, byte 11: expected DATE, found 5`},
		{`{"a":1,"y":"*"}`, `column y, byte 11: it is not base64`},
		{`{"a":1,"x":[{"v":1},{}]}`, `column x.v: missing, but the column is NOT NULL`},
		{`{"a":1,"m":{"k":1,"k":2}}`, `column m, byte 11: the MAP has the key k twice`},
		{`{"a":1,"zz":[[[[[[1]]]]]]}`, `byte 16: arrays and objects nest deeper than 5 levels`},
		{`{"a":1,"zz":tru}`, `byte 12: expected true, found "tru"`},
		{`{"a" 1}`, `byte 5: expected ':', found "1"`},
	} {
		if err := d.Decode([]byte(`{"a":1,"x":[{"v":5}],"s":"ok","m":{"q":9}}`), b); err != nil {
			t.Fatal(err)
		}
		if err := d.Decode([]byte(c.in), b); err == nil || err.Error() != c.want {
			t.Errorf("%s\ngot  %v\nwant %s", c.in, err, c.want)
		}
		if err := d.Decode([]byte(`{"a":2,"x":[{"v":6}],"s":"ok","m":{"q":9}}`), b); err != nil {
			t.Fatal(err)
		}
		batch := b.Finish()
		if got := strings.Join(rowTexts(batch), ";"); got != "1|ok|NULL|[(5)]|{q=9}|NULL|NULL;2|ok|NULL|[(6)]|{q=9}|NULL|NULL" {
			t.Errorf("after %s: %s", c.in, got)
		}
		batch.Release()
	}
	b.Close()
	h.done()
}

// oracleJSON is what encoding/json says about a document, as rowTexts would render the columns of TestJSONAgainstStandard.
func oracleJSON(data []byte) (string, bool) {
	// By maps of raw values: names are exact, and of a name that stands twice the last value counts, as here.
	var x struct {
		A *int64
		S *string
		F *float64
		X *[]*int64
		R *struct {
			A *int64
			S *string
		}
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil || members == nil {
		return "", false
	}
	for name, into := range map[string]any{"A": &x.A, "S": &x.S, "F": &x.F, "X": &x.X} {
		if raw, there := members[name]; there && json.Unmarshal(raw, into) != nil {
			return "", false
		}
	}
	if raw, there := members["R"]; there {
		var inner map[string]json.RawMessage
		if json.Unmarshal(raw, &inner) != nil {
			return "", false
		}
		if inner != nil {
			x.R = new(struct {
				A *int64
				S *string
			})
			for name, into := range map[string]any{"A": &x.R.A, "S": &x.R.S} {
				if raw, there := inner[name]; there && json.Unmarshal(raw, into) != nil {
					return "", false
				}
			}
		}
	}
	number := func(p *int64) string {
		if p == nil {
			return "NULL"
		}
		return fmt.Sprint(*p)
	}
	text := func(p *string) string {
		if p == nil {
			return "NULL"
		}
		return *p
	}
	out := number(x.A) + "|" + text(x.S) + "|"
	if x.F == nil {
		out += "NULL|"
	} else {
		out += string(core.AppendDouble(nil, *x.F, 64)) + "|"
	}
	if x.X == nil {
		out += "NULL|"
	} else {
		var parts []string
		for _, e := range *x.X {
			parts = append(parts, number(e))
		}
		out += "[" + strings.Join(parts, ", ") + "]|"
	}
	if x.R == nil {
		return out + "NULL", true
	}
	return out + "(" + number(x.R.A) + ", " + text(x.R.S) + ")", true
}

func jsonOracleHarness(t testing.TB) *harness {
	return newHarness(t, "json", nil, field("A", "BIGINT"), field("S", "STRING"), field("F", "DOUBLE"), field("X", "ARRAY<BIGINT>"), field("R", "ROW<A BIGINT, S STRING>"))
}

// checkJSON compares one document with encoding/json where both mean the same by a document.
func checkJSON(t *testing.T, d connector.Decoder, b *core.Builder, data []byte) {
	t.Helper()
	err := d.Decode(data, b)
	want, ok := oracleJSON(data)
	if err != nil {
		// Stricter on purpose than encoding/json, or only different in what it allows.
		for _, reason := range []string{"UTF-8", "surrogate", "nest deeper", "is not a valid", "expected an object, found", "expected an array, found", "not whole"} {
			if strings.Contains(err.Error(), reason) {
				return
			}
		}
		if ok {
			t.Errorf("%q: %v, but encoding/json reads %s", data, err, want)
		}
		if batch := b.Finish(); batch != nil {
			t.Errorf("%q: a row stayed after %v", data, err)
			batch.Release()
		}
		return
	}
	batch := b.Finish()
	defer batch.Release()
	got := rowTexts(batch)[0]
	if !ok {
		if !json.Valid(data) {
			t.Errorf("%q is no JSON, but it was read as %s", data, got)
		}
		return // numbers in strings, other values for a STRING
	}
	if got != want {
		t.Errorf("%q\ngot  %s\nwant %s", data, got, want)
	}
}

func TestJSONAgainstStandard(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	h := jsonOracleHarness(t)
	d, b := h.decoder(), h.builder()
	for range 20000 {
		data := []byte(randomObject(r, 0))
		if r.IntN(4) == 0 && len(data) > 0 { // damage it
			data[r.IntN(len(data))] = `{}[]",:\0x9e`[r.IntN(12)]
		}
		checkJSON(t, d, b, data)
	}
	b.Close()
	h.done()
}

func randomObject(r *rand.Rand, depth int) string {
	space := func() string { return []string{"", "", "", " ", "\n\t"}[r.IntN(5)] }
	var parts []string
	for range r.IntN(7) {
		name := []string{`"A"`, `"S"`, `"F"`, `"X"`, `"R"`, `"other"`, `"\u0041"`, `"é"`}[r.IntN(8)]
		var value string
		switch {
		case r.IntN(6) == 0:
			value = "null"
		case name == `"S"`:
			value = []string{`"plain"`, `"with \"escapes\" \\ \n"`, `"é😀 and more text than eight bytes"`, `"\ud83d\ude00"`, `""`}[r.IntN(5)]
		case name == `"F"`:
			value = []string{"0", "-0.5", "1e10", "123456789.123456789123456789", "4.9e-324", "1E+2", "2.5e-3"}[r.IntN(7)]
		case name == `"X"`:
			value = []string{"[]", "[1, 2 ,3]", "[null]", "[ -5 ]"}[r.IntN(4)]
		case (name == `"R"` || name == `"other"`) && depth < 3:
			value = randomObject(r, depth+1)
		case name == `"R"`:
			value = "{}"
		default:
			value = fmt.Sprint(r.Int64() - r.Int64())
		}
		parts = append(parts, space()+name+space()+":"+space()+value+space())
	}
	if len(parts) == 0 {
		return "{" + space() + "}"
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func FuzzJSON(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		f.Add([]byte(randomObject(r, 0)))
	}
	h := jsonOracleHarness(f)
	d, b := h.decoder(), h.builder()
	f.Fuzz(func(t *testing.T, data []byte) { checkJSON(t, d, b, data) })
}

func BenchmarkJSONDecode(b *testing.B) {
	record := []byte(`{"ride_id":2013000001,"event":"START","ts":"2013-01-01 00:00:36.123","lon":-73.985336,"lat":40.768372,"passengers":2,"driver":"d-2013000185","fare":12.50,"paid":true,"city":"New York City, NY","note":null}`)
	h := newHarness(b, "json", nil, field("ride_id", "BIGINT NOT NULL"), field("event", "STRING"), field("ts", "TIMESTAMP(3)"), field("lon", "DOUBLE"),
		field("lat", "DOUBLE"), field("passengers", "INT"), field("driver", "STRING"), field("fare", "DECIMAL(10, 2)"), field("paid", "BOOLEAN"), field("city", "STRING"), field("note", "STRING"))
	b.Run("turbo", func(b *testing.B) {
		d, builder := h.decoder(), h.builder()
		b.SetBytes(int64(len(record)))
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := d.Decode(record, builder); err != nil {
				b.Fatal(err)
			}
			if i%4096 == 4095 {
				builder.Finish().Release()
			}
		}
		builder.Close()
	})
	b.Run("encoding-json", func(b *testing.B) {
		var x struct {
			Ride_id    int64
			Event, Ts  string
			Lon, Lat   float64
			Passengers int32
			Driver     string
			Fare       json.Number
			Paid       bool
			City       string
			Note       *string
		}
		b.SetBytes(int64(len(record)))
		b.ReportAllocs()
		for b.Loop() {
			if err := json.Unmarshal(record, &x); err != nil {
				b.Fatal(err)
			}
		}
	})
}
