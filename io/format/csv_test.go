package format

import (
	"bytes"
	"encoding/csv"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"turbo/core"
	"turbo/io/connector"
)

// splitAll cuts data into records, handing it to the splitter in pieces as a file reader does.
func splitAll(s connector.Splitter, data []byte, piece int) ([]string, error) {
	var out []string
	for from, have, seen := 0, 0, 0; ; {
		atEOF := have == len(data)
		if atEOF && from == have {
			return out, nil
		}
		n, record, err := s.Split(data[from:have], seen, atEOF)
		if err != nil {
			return out, err
		}
		if n > 0 {
			out = append(out, string(record))
			from += n
			seen = 0
			continue
		}
		if atEOF {
			return out, io.ErrNoProgress
		}
		seen = have - from
		have = min(have+piece, len(data))
	}
}

func (h *harness) splitter() connector.Splitter {
	s, err := h.spec.NewSplitter(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func TestCSVDecode(t *testing.T) {
	for _, c := range []struct {
		options  map[string]string
		in, want string
	}{
		{nil, "1,a,2.5", "1|a|2.5"},
		{nil, "1,a,2.5\r\n", "1|a|2.5"},
		{nil, ",,", "NULL|NULL|NULL"},
		{nil, `1,"",`, "1||NULL"},
		{nil, `1,"a,""b""` + "\n" + `",3`, "1|a,\"b\"\n|3.0"},
		{nil, `"1",a"b,"2.5"`, `1|a"b|2.5`},
		{map[string]string{"delimiter": ";", "quote": "'"}, `1;'a;"';3`, `1|a;"|3.0`},
		{map[string]string{"delimiter": `\t`, "quote": "none"}, "1\t\"a\t3", `1|"a|3.0`},
		{map[string]string{"escape": `\`}, `1,"a\"b\\",3`, `1|a"b\|3.0`},
		{map[string]string{"null-literal": `\N`}, `\N,,\N`, "NULL||NULL"},
		{map[string]string{"null-literal": `\N`}, `1,"\N",\N`, `1|\N|NULL`},
		{map[string]string{"lenient-columns": "true"}, `1`, "1|NULL|NULL"},
		{map[string]string{"lenient-columns": "true"}, `1,a,2,x,y`, "1|a|2.0"},
	} {
		h := newHarness(t, "csv", c.options, field("i", "INT"), field("s", "STRING"), field("d", "DOUBLE"))
		b := h.builder()
		if err := h.decoder().Decode([]byte(c.in), b); err != nil {
			t.Errorf("%v %q: %v", c.options, c.in, err)
			continue
		}
		batch := b.Finish()
		if got := rowTexts(batch)[0]; got != c.want {
			t.Errorf("%v %q: got %q, want %q", c.options, c.in, got, c.want)
		}
		batch.Release()
		b.Close()
		h.done()
	}
}

func TestCSVBadRecords(t *testing.T) {
	h := newHarness(t, "csv", nil, field("i", "INT NOT NULL"), field("s", "STRING"), field("t", "TIMESTAMP(3)"))
	d, b := h.decoder(), h.builder()
	for _, c := range []struct{ in, want string }{
		{"1,a", "the record has 2 fields, expected 3"},
		{"1,a,,", "the record has 4 fields, expected 3"},
		{"", "column i, byte 0: null, but the column is NOT NULL"},
		{"x,a,", `column i, byte 0: "x" is not a valid INT: 'x' is no digit`},
		{`1,"a`, "byte 2: the quote is not closed"},
		{`1,"a"b,`, "byte 5: text behind the closing quote"},
		{"1,\xff,", "column s, byte 2: it is not valid UTF-8, declare the column BYTES"},
		{"1,a,2013-02-30 00:00:00", `column t, byte 4: "2013-02-30 00:00:00" is not a valid TIMESTAMP: the month does not have that day`},
	} {
		if err := d.Decode([]byte(c.in), b); err == nil || err.Error() != c.want {
			t.Errorf("%q: got %v, want %s", c.in, err, c.want)
		}
		if b.Rows() != 0 || b.Column(0).Len() != 0 || b.Column(1).Len() != 0 {
			t.Errorf("%q left values behind", c.in)
		}
	}
	b.Close()
	h.done()
}

func TestCSVOptions(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{map[string]string{"delimiter": "ab"}, `test.delimiter: "ab": expected one ASCII character`},
		{map[string]string{"delimiter": `"`}, `test.delimiter: '"' is the quote or the escape character too`},
		{map[string]string{"quote": "none", "escape": `\`}, `test.escape: it works within quotes only, and there are none`},
		{map[string]string{"null-literal": "a,b"}, `test.null-literal: "a,b" has the delimiter, the quote or a line end in it`},
	} {
		h := newHarness(t, "csv", c.options)
		if err := h.spec.Check(h.config, h.schema); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.options, err, c.want)
		}
	}
}

func TestCSVHeader(t *testing.T) {
	h := newHarness(t, "csv", map[string]string{"header": "true"}, field("a", "INT"), field("b c", "STRING"))
	d := h.decoder().(connector.HeaderDecoder)
	if err := d.DecodeHeader([]byte("\ufeff\"b c\",x,a")); err != nil || !d.HasHeader() {
		t.Fatal(err)
	}
	b := h.builder()
	if err := d.Decode([]byte("text,ignored,5"), b); err != nil {
		t.Fatal(err)
	}
	batch := b.Finish()
	if got := rowTexts(batch)[0]; got != "5|text" {
		t.Error(got)
	}
	batch.Release()
	for header, want := range map[string]string{
		"a,bc":      "the header has no column b c, but a column bc",
		"a,a,b c":   "the header has column a twice",
		"x,\"y,b c": "byte 2: the quote is not closed",
	} {
		if err := d.DecodeHeader([]byte(header)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", header, err, want)
		}
	}
	if got := string(h.encoder(true).Header()); got != "a,b c\n" {
		t.Errorf("header %q", got)
	}
	b.Close()
	h.done()
}

// checkCSV compares with encoding/csv, which drops carriage returns and blank lines and refuses stray quotes.
func checkCSV(t *testing.T, data []byte, piece int) {
	t.Helper()
	if bytes.ContainsAny(data, "\r") || bytes.HasPrefix(data, []byte("\n")) || bytes.Contains(data, []byte("\n\n")) {
		return
	}
	fields := []core.Field{field("a", "BYTES"), field("b", "BYTES"), field("c", "BYTES")}
	for i := range fields {
		fields[i].Type = core.Of(core.String)
	}
	h := newHarness(t, "csv", map[string]string{"null-literal": "\x00"}, fields...)
	oracle := csv.NewReader(bytes.NewReader(data))
	oracle.FieldsPerRecord = -1
	want, wantErr := oracle.ReadAll()
	records, err := splitAll(h.splitter(), data, piece)
	if wantErr != nil {
		return
	}
	if err != nil || len(records) != len(want) {
		t.Fatalf("%q: %d records, %v; encoding/csv has %d", data, len(records), err, len(want))
	}
	d, b := h.decoder(), h.builder()
	defer b.Close()
	for i, record := range records {
		err := d.Decode([]byte(record), b)
		if len(want[i]) != 3 {
			if err == nil {
				t.Fatalf("%q: accepted with %d fields", record, len(want[i]))
			}
			continue
		}
		if err != nil {
			if strings.Contains(err.Error(), "UTF-8") {
				continue
			}
			t.Fatalf("%q: %v; encoding/csv reads %q", record, err, want[i])
		}
		batch := b.Finish()
		for c, v := range batch.Columns {
			if !v.Null(0) && v.StringAt(0) != want[i][c] {
				t.Errorf("%q: field %d is %q, want %q", record, c, v.StringAt(0), want[i][c])
			}
		}
		batch.Release()
	}
}

func TestCSVAgainstStandard(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for range 3000 {
		var data []byte
		for range r.IntN(40) {
			data = append(data, []string{"a", ",", "\"", "\"\"", "\n", "é", " ", ",\"", "\",", "\"\n", "xyz,"}[r.IntN(11)]...)
		}
		checkCSV(t, data, 1+r.IntN(8))
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,b,c\n\"x\ny\",\"\"\"\",z\n"), 3)
	f.Add([]byte("1,\"2"), 1)
	f.Fuzz(func(t *testing.T, data []byte, piece int) { checkCSV(t, data, 1+(piece&0xffff)) })
}

func TestRaw(t *testing.T) {
	h := newHarness(t, "raw", nil, field("v", "STRING NOT NULL"))
	records, err := splitAll(h.splitter(), []byte("one\r\n\ntwo"), 2)
	if err != nil || strings.Join(records, "|") != "one||two" {
		t.Fatalf("%q %v", records, err)
	}
	d, b := h.decoder(), h.builder()
	for _, r := range records {
		if err := d.Decode([]byte(r), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Decode([]byte{0xff}, b); err == nil || err.Error() != "column v: "+reasonUTF8 {
		t.Error(err)
	}
	batch := b.Finish()
	out, ends, err := h.encoder(true).Encode(nil, nil, batch)
	if err != nil || string(out) != "one\n\ntwo\n" || len(ends) != 3 || ends[2] != 9 {
		t.Errorf("%q %v %v", out, ends, err)
	}
	batch.Release()
	if err := d.Decode([]byte("a\nb"), b); err != nil {
		t.Fatal(err)
	}
	batch = b.Finish()
	if _, _, err := h.encoder(true).Encode(nil, nil, batch); err == nil {
		t.Error("a value with a line end was written into a file of lines")
	}
	if out, _, err := h.encoder(false).Encode(nil, nil, batch); err != nil || string(out) != "a\nb" {
		t.Errorf("%q %v", out, err)
	}
	batch.Release()
	b.Close()
	h.done()
}

func BenchmarkCSVDecode(b *testing.B) {
	record := []byte("2013000001,START,2013-01-01 00:00:36,-73.985336,40.768372,2,d-2013000185,12.50")
	h := newHarness(b, "csv", nil, field("ride_id", "BIGINT NOT NULL"), field("event", "STRING"), field("ts", "TIMESTAMP(3)"), field("lon", "DOUBLE"),
		field("lat", "DOUBLE"), field("passengers", "INT"), field("driver", "STRING"), field("fare", "DECIMAL(10, 2)"))
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
	// The loop: the same values by hand, into the same vectors.
	b.Run("loop", func(b *testing.B) {
		builder := h.builder()
		b.SetBytes(int64(len(record)))
		for i := 0; b.Loop(); i++ {
			rest := record
			for c := range 8 {
				field := rest
				if n := bytes.IndexByte(rest, ','); n >= 0 {
					field, rest = rest[:n], rest[n+1:]
				}
				v := builder.Column(c)
				switch c {
				case 0:
					x, _ := core.ParseInt(field, 64)
					v.AppendInt64(x)
				case 2:
					x, _ := core.ParseTimestamp(field)
					v.AppendInt64(x)
				case 3, 4:
					x, _ := core.ParseFloat(field, 64)
					v.AppendFloat64(x)
				case 5:
					x, _ := core.ParseInt(field, 32)
					v.AppendInt32(int32(x))
				case 7:
					x, _ := core.ParseDecimal(field, 10, 2)
					v.AppendDecimal(x)
				default:
					v.AppendBytes(field)
				}
			}
			if i%4096 == 4095 {
				builder.Finish().Release()
			}
		}
		builder.Close()
	})
}

func BenchmarkRawDecode(b *testing.B) {
	record := bytes.Repeat([]byte("0123456789"), 10)
	h := newHarness(b, "raw", nil, field("v", "STRING"))
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
	b.Run("loop", func(b *testing.B) {
		var data []byte
		var ends []int32
		b.SetBytes(int64(len(record)))
		for i := 0; b.Loop(); i++ {
			data = append(data, record...)
			ends = append(ends, int32(len(data)))
			if i%4096 == 4095 {
				data, ends = data[:0], ends[:0]
			}
		}
	})
}
