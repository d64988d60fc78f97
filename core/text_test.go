package core

import (
	"encoding/json"
	"math"
	"math/big"
	mathrand "math/rand"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/memory"
)

func TestCivilAgainstTimePackage(t *testing.T) {
	for d := -1_000_000; d < 1_000_000; d += 61 {
		want := time.Unix(int64(d)*86400, 0).UTC()
		y, m, day := CivilFromDays(d)
		if y != want.Year() || m != int(want.Month()) || day != want.Day() {
			t.Fatalf("day %d: %d-%d-%d, want %v", d, y, m, day, want)
		}
		if back := DaysFromCivil(y, m, day); back != d {
			t.Fatalf("%d-%d-%d: day %d, want %d", y, m, day, back, d)
		}
	}
}

// one returns a vector of one row.
func one(t *testing.T, typ Type, fill func(*Vector)) *Vector {
	t.Helper()
	v := NewVector(memory.NewPool(1<<20).Account("test"), typ, 1)
	fill(v)
	return v
}

func TestText(t *testing.T) {
	i64 := func(x int64) func(*Vector) { return func(v *Vector) { v.AppendInt64(x) } }
	i32 := func(x int32) func(*Vector) { return func(v *Vector) { v.AppendInt32(x) } }
	f64 := func(x float64) func(*Vector) { return func(v *Vector) { v.AppendFloat64(x) } }
	dec := func(x int64) func(*Vector) { return func(v *Vector) { v.AppendDecimal(decimal128.FromI64(x)) } }
	text := func(x string) func(*Vector) { return func(v *Vector) { v.AppendString(x) } }
	ts := int64(1356998436_123000)
	precision := func(k Kind, p uint8) Type { return Type{Kind: k, Precise: p} }
	for _, c := range []struct {
		typ              Type
		fill             func(*Vector)
		text, json, note string
	}{
		{Of(Boolean), func(v *Vector) { v.AppendBool(true) }, "TRUE", "true", ""},
		{Of(Int8), func(v *Vector) { v.AppendInt8(-128) }, "-128", "-128", ""},
		{Of(Int64), i64(math.MinInt64), "-9223372036854775808", "-9223372036854775808", ""},
		{Of(Float64), f64(1), "1.0", "1.0", ""},
		{Of(Float64), f64(math.Copysign(0, -1)), "-0.0", "-0.0", ""},
		{Of(Float64), f64(0.001), "0.001", "0.001", ""},
		{Of(Float64), f64(0.00099), "9.9E-4", "9.9E-4", ""},
		{Of(Float64), f64(1e7), "1.0E7", "1.0E7", ""},
		{Of(Float64), f64(-1.5e300), "-1.5E300", "-1.5E300", ""},
		{Of(Float64), f64(-1e-300), "-1.0E-300", "-1.0E-300", ""},
		{Of(Float64), f64(9999999.5), "9999999.5", "9999999.5", ""},
		{Of(Float64), f64(math.NaN()), "NaN", `"NaN"`, ""},
		{Of(Float64), f64(math.Inf(-1)), "-Infinity", `"-Infinity"`, ""},
		{Of(Float32), func(v *Vector) { v.AppendFloat32(0.1) }, "0.1", "0.1", ""},
		{DecimalOf(10, 2), dec(-5), "-0.05", "-0.05", ""},
		{DecimalOf(10, 0), dec(1234), "1234", "1234", ""},
		{DecimalOf(10, 3), dec(1234567), "1234.567", "1234.567", ""},
		{Of(String), text("a\"b\\\n\x01\xff\u00e9"), "a\"b\\\n\x01\xff\u00e9", `"a\"b\\\n\u0001` + "\ufffd\u00e9\"", ""},
		{Of(Bytes), text("ab\xff"), "ab\ufffd", `"YWL/"`, ""},
		{Of(Date), i32(15706), "2013-01-01", `"2013-01-01"`, ""},
		{Of(Date), i32(-800000), "-0221-09-04", `"-0221-09-04"`, ""},
		{precision(TimeOfDay, 0), i64(45296_000000), "12:34:56", `"12:34:56"`, ""},
		{precision(TimeOfDay, 3), i64(45296_000000), "12:34:56.0", `"12:34:56.0"`, ""},
		{precision(TimeOfDay, 6), i64(45296_789000), "12:34:56.789", `"12:34:56.789"`, ""},
		{precision(Timestamp, 0), i64(ts - 123000), "2013-01-01 00:00:36", `"2013-01-01 00:00:36"`, ""},
		{precision(Timestamp, 3), i64(ts - 123000), "2013-01-01 00:00:36.000", `"2013-01-01 00:00:36.000"`, ""},
		{precision(Timestamp, 3), i64(ts + 4), "2013-01-01 00:00:36.123004", `"2013-01-01 00:00:36.123004"`, ""},
		{precision(TimestampLTZ, 3), i64(ts), "2013-01-01 00:00:36.123", `"2013-01-01 00:00:36.123Z"`, ""},
		{precision(Timestamp, 6), i64(-1), "1969-12-31 23:59:59.999999", `"1969-12-31 23:59:59.999999"`, ""},
		{Of(IntervalDay), i64(93784_000000), "+1 02:03:04.000", `"+1 02:03:04.000"`, ""},
		{Of(IntervalDay), i64(-1), "-0 00:00:00.000001", `"-0 00:00:00.000001"`, ""},
		{Of(IntervalMonth), i32(124), "+10-04", `"+10-04"`, ""},
		{Of(IntervalMonth), i32(-1), "-0-01", `"-0-01"`, ""},
		{Of(Int64), (*Vector).AppendNull, "NULL", "null", ""},
		{ArrayOf(Of(String)), func(v *Vector) {
			v.Child(0).AppendString("a")
			v.Child(0).AppendNull()
			v.EndElement()
		}, "[a, NULL]", `["a",null]`, ""},
		{MapOf(Of(Int32), Of(Date)), func(v *Vector) {
			for i := range int32(2) {
				v.Child(0).AppendInt32(i)
				v.Child(1).AppendInt32(i)
			}
			v.EndElement()
		}, "{0=1970-01-01, 1=1970-01-02}", `{"0":"1970-01-01","1":"1970-01-02"}`, ""},
		{MapOf(Of(String), Of(Boolean)), func(v *Vector) {
			v.Child(0).AppendString("k")
			v.Child(1).AppendBool(false)
			v.EndElement()
		}, "{k=FALSE}", `{"k":false}`, ""},
		{RowOf(Field{"a", Of(Int32)}, Field{"b", Of(String)}), func(v *Vector) {
			v.Child(0).AppendInt32(1)
			v.Child(1).AppendNull()
			v.EndElement()
		}, "(1, NULL)", `{"a":1,"b":null}`, ""},
	} {
		v := one(t, c.typ, c.fill)
		if got := string(v.AppendText(nil, 0)); got != c.text {
			t.Errorf("%v: text %q, want %q", c.typ, got, c.text)
		}
		got := string(v.AppendJSON(nil, 0))
		if got != c.json || !json.Valid([]byte(got)) {
			t.Errorf("%v: JSON %s, want %s", c.typ, got, c.json)
		}
	}
	v := one(t, precision(TimestampLTZ, 3), i64(-1))
	if got := string(v.AppendJSONTimes(nil, 0, TimeISO)); got != `"1969-12-31T23:59:59.999999Z"` {
		t.Error(got)
	}
	if got := string(v.AppendJSONTimes(nil, 0, TimeEpochMillis)); got != "-1" {
		t.Error(got)
	}
}

// TestTextRoundTrip: what AppendText writes, AppendParsed reads as the same value.
func TestTextRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	account := memory.NewPool(64 << 20).Account("test")
	for _, typ := range testTypes {
		if typ.Kind.IsNested() {
			continue
		}
		if typ.Kind == TimeOfDay {
			typ.Precise = 6
		}
		v, back := NewVector(account, typ, 0), NewVector(account, typ, 0)
		for i := range 3000 {
			switch typ.Kind {
			case TimeOfDay:
				v.AppendInt64(r.Int64N(microsPerDay))
			case Decimal:
				v.AppendDecimal(decimal128.FromBigInt(new(big.Int).Rand(bigSource(r), decimal128.GetScaleMultiplier(20).BigInt())))
			case Float64:
				v.AppendFloat64(math.Float64frombits(r.Uint64()))
			case Float32:
				v.AppendFloat32(math.Float32frombits(r.Uint32()))
			case Timestamp, TimestampLTZ, IntervalDay, Int64:
				v.AppendInt64([]int64{math.MinInt64, math.MaxInt64, r.Int64() - r.Int64(), r.Int64N(2e15)}[r.IntN(4)])
			default:
				appendRandom(r, v)
			}
			if v.Null(i) {
				back.AppendNull()
				continue
			}
			text := v.AppendText(nil, i)
			if err := back.AppendParsed(text); err != nil {
				t.Fatalf("%v: %v", typ, err)
			}
			if again := back.AppendText(nil, i); string(again) != string(text) {
				t.Fatalf("%v: %s became %s", typ, text, again)
			}
			if got, want := modelValue(back, i), modelValue(v, i); got != want && !strings.Contains(string(text), "NaN") {
				t.Fatalf("%v: %s: %v became %v", typ, text, want, got)
			}
		}
		v.Release()
		back.Release()
	}
}

func bigSource(r *rand.Rand) *mathrand.Rand { return mathrand.New(mathrand.NewSource(r.Int64())) }

func TestParseTimes(t *testing.T) {
	at := func(text string) int64 {
		x, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return x.UnixMicro()
	}
	for text, want := range map[string]int64{
		"2013-01-01 00:00:36":           at("2013-01-01T00:00:36Z"),
		"2013-01-01T00:00:36.5":         at("2013-01-01T00:00:36.5Z"),
		"2013-01-01 00:00:36.123456789": at("2013-01-01T00:00:36.123456Z"),
		"2013-01-01":                    at("2013-01-01T00:00:00Z"),
		"2013-01-01 07:08":              at("2013-01-01T07:08:00Z"),
		"2000-02-29T23:59:59Z":          at("2000-02-29T23:59:59Z"),
		"-290308-12-21 19:59:05.224192": math.MinInt64,
		"294247-01-10 04:00:54.775807":  math.MaxInt64,
		"1969-12-31 23:59:59.999999":    -1,
		"2013-01-01 00:00:36.0Z":        at("2013-01-01T00:00:36Z"),
		"+12013-01-01 00:00:36":         at("2013-01-01T00:00:36Z") + 10000/400*146097*microsPerDay,
		"2013-01-01 00:00:36.1":         at("2013-01-01T00:00:36.1Z"),
	} {
		if got, err := ParseTimestamp([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
		if got, err := ParseTimestampLTZ([]byte(text)); err != nil || got != want {
			t.Errorf("LTZ %s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"2013-01-01T00:00:36+02:00", "2013-01-01T00:00:36-0130", "2013-01-01T00:00:36+14"} {
		layout := map[int]string{25: "2006-01-02T15:04:05-07:00", 24: "2006-01-02T15:04:05-0700", 22: "2006-01-02T15:04:05-07"}[len(text)]
		want, err := time.Parse(layout, text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseTimestampLTZ([]byte(text)); err != nil || got != want.UnixMicro() {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want.UnixMicro())
		}
	}
}

func TestParseErrors(t *testing.T) {
	try := func(typ Type) func([]byte) error {
		return func(b []byte) error { return one(t, typ, func(*Vector) {}).AppendParsed(b) }
	}
	for _, c := range []struct {
		typ        Type
		text, want string
	}{
		{Of(Boolean), "maybe", `"maybe" is not a valid BOOLEAN: expected true or false`},
		{Of(Int8), "128", `"128" is not a valid TINYINT: it is outside -128 to 127`},
		{Of(Int64), "9223372036854775808", `"9223372036854775808" is not a valid BIGINT: it is outside -9223372036854775808 to 9223372036854775807`},
		{Of(Int64), "99999999999999999999999", `"99999999999999999999999" is not a valid BIGINT: it is outside -9223372036854775808 to 9223372036854775807`},
		{Of(Int32), "", `"" is not a valid INT: no digits`},
		{Of(Int32), "1x", `"1x" is not a valid INT: 'x' is no digit`},
		{Of(Float64), "1e400", `"1e400" is not a valid DOUBLE: it is too large`},
		{Of(Float64), "0x1p2", `"0x1p2" is not a valid DOUBLE: unexpected 'x'`},
		{Of(Float64), "1_0", `"1_0" is not a valid DOUBLE: unexpected '_'`},
		{Of(Float64), "1e", `"1e" is not a valid DOUBLE: no digits in the exponent`},
		{Of(Float64), ".", `"." is not a valid DOUBLE: expected a number`},
		{DecimalOf(4, 2), "100", `"100" is not a valid DECIMAL(4, 2): it has more than 2 digits before the point`},
		{DecimalOf(4, 2), "99.995", `"99.995" is not a valid DECIMAL(4, 2): rounded it has more than 2 digits before the point`},
		{DecimalOf(38, 0), "1e999999999999", `"1e999999999999" is not a valid DECIMAL(38, 0): it has more than 38 digits before the point`},
		{Of(Date), "2013-02-29", `"2013-02-29" is not a valid DATE: the month does not have that day`},
		{Of(Date), "13-02-28", `"13-02-28" is not a valid DATE: expected a date such as 2013-01-31, with four digits for the year`},
		{Of(Date), "2013-13-01", `"2013-13-01" is not a valid DATE: the month is not 01 to 12`},
		{Of(TimeOfDay), "24:00", `"24:00" is not a valid TIME: the hour is not 00 to 23`},
		{Of(Timestamp), "2013-01-01 00:00:36 x", `"2013-01-01 00:00:36 x" is not a valid TIMESTAMP: unexpected text behind the value`},
		{Of(Timestamp), "2013-01-01T00:00:36+02:00", `"2013-01-01T00:00:36+02:00" is not a valid TIMESTAMP: a TIMESTAMP has no zone, declare the column TIMESTAMP_LTZ`},
		{Of(Timestamp), "300000-01-01", `"300000-01-01" is not a valid TIMESTAMP: it is outside of what 64 bits of microseconds hold`},
		{Of(Timestamp), "294247-01-10 04:00:54.775808", `"294247-01-10 04:00:54.775808" is not a valid TIMESTAMP: it is outside of what 64 bits of microseconds hold`},
		{Of(IntervalDay), "1", `"1" is not a valid INTERVAL DAY TO SECOND: expected a blank between the days and the time`},
		{Of(IntervalMonth), "+1-12", `"+1-12" is not a valid INTERVAL YEAR TO MONTH: the months are not 00 to 11`},
	} {
		if err := try(c.typ)([]byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

func FuzzParseNumbers(f *testing.F) {
	for _, s := range []string{"1", "-1.5e3", "0.1", "123456789012345678901234567890", "1e-400", "9007199254740993", "16777217e-3", "00.50", "5e-1", "1e22", "1E+23"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, bitSize := range []int{32, 64} {
			got, err := ParseFloat([]byte(text), bitSize)
			want, wantErr := strconv.ParseFloat(text, bitSize)
			if err == nil && (wantErr != nil || got != want && got == got) {
				t.Errorf("%q: %v, want %v, %v", text, got, want, wantErr)
			}
			if err != nil && wantErr == nil && !strings.ContainsAny(text, "_xX") {
				t.Errorf("%q: %v, want %v", text, err, want)
			}
			n, err := ParseInt([]byte(text), bitSize)
			wantN, wantErr := strconv.ParseInt(text, 10, bitSize)
			if (err == nil) != (wantErr == nil) || err == nil && n != wantN {
				t.Errorf("%q: %v %v, want %v, %v", text, n, err, wantN, wantErr)
			}
		}
		d, err := ParseDecimal([]byte(text), 38, 6)
		if len(text) > 60 || strings.ContainsAny(text, "/_xXpPbBoO") {
			return
		}
		if i := strings.IndexAny(text, "eE"); i >= 0 && len(text)-i > 4 {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if err != nil || !ok {
			if err == nil {
				t.Errorf("%q: %v, but it is no number", text, d)
			}
			return
		}
		exact.Mul(exact, big.NewRat(1_000_000, 1))
		half := big.NewRat(int64(exact.Sign()), 2)
		exact.Add(exact, half)
		want := new(big.Int).Quo(exact.Num(), exact.Denom())
		if d.BigInt().Cmp(want) != 0 {
			t.Errorf("%q: %v, want %v", text, d.BigInt(), want)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name, text string
		typ        Type
	}{
		{"BIGINT", "2013000001", Of(Int64)}, {"DOUBLE", "-73.985336", Of(Float64)}, {"DECIMAL", "-73.985336", DecimalOf(12, 6)},
		{"TIMESTAMP", "2013-01-01 00:00:36", Of(Timestamp)}, {"LTZ", "2013-01-01T00:00:36.123Z", Of(TimestampLTZ)}, {"DATE", "2013-01-01", Of(Date)},
	} {
		b.Run(c.name, func(b *testing.B) {
			v := NewVector(memory.NewPool(1<<20).Account("test"), c.typ, 1)
			text := []byte(c.text)
			b.ReportAllocs()
			for b.Loop() {
				if v.Len() == 1000 {
					v.Reset()
				}
				if err := v.AppendParsed(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
