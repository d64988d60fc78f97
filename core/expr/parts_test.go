package expr

import (
	"encoding/json"
	"math/big"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// TestCivil compares the calendar with that of the time package over some nine centuries.
func TestCivil(t *testing.T) {
	for days := int64(-200000); days < 130000; days += 13 {
		want := time.Unix(days*86400, 0).UTC()
		y, m, d := civil(days)
		if int(y) != want.Year() || m != int(want.Month()) || d != want.Day() || daysOf(y, m, d) != days {
			t.Fatalf("day %d is %d-%d-%d, want %v", days, y, m, d, want)
		}
		isoYear, week := want.ISOWeek()
		if y, w := isoWeek(days); int(y) != isoYear || w != week || dayOfYear(days) != want.YearDay() || weekday(days)%7 != int(want.Weekday()) {
			t.Fatalf("day %d: week %d of %d, day %d of the year", days, w, y, dayOfYear(days))
		}
	}
}

// TestZones: an instant of a wall-clock time reads as that time again, unless the clock skips it.
func TestZones(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Skip(err)
		}
		skipped := 0
		for us := int64(1700000000) * usSecond; us < 1740000000*usSecond; us += 1801 * usSecond {
			if got := toLocal(toInstant(us, zone), zone); got != us {
				skipped++
			}
		}
		if skipped > 3 {
			t.Errorf("%s: %d wall-clock times do not come back", name, skipped)
		}
	}
}

// TestDateFormatRoundTrip: what a format writes, it reads.
func TestDateFormatRoundTrip(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, pattern := range []string{"yyyy-MM-dd HH:mm:ss.SSSSSS", "yyyyMMddHHmmssSSSSSS", "d. MMMM yyyy, h:mm:ss a 'and' SSSSSS", "EEE dd MMM yyyy KK-mm-ss a.SSSSSS", "yyyy DDD kk:mm:ss,SSSSSS"} {
		f, err := parseDateFormat(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			us := r.Int63n(4e15) - 1e15
			text := f.appendTime(nil, us, 0)
			if back, _, ok := f.parse(text); !ok || back != us {
				t.Fatalf("%s: %d became %s became %d (%v)", pattern, us, text, back, ok)
			}
		}
	}
}

// TestDecimalAgainstBig compares arithmetic with exact fractions.
func TestDecimalAgainstBig(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	random := func() (decimalNum, int) {
		v := new(big.Int).Rand(r, bigPower(1+r.Intn(maxPrecision-1)))
		if r.Intn(2) == 0 {
			v.Neg(v)
		}
		return decimal128.FromBigInt(v), r.Intn(20)
	}
	for range 20000 {
		a, sa := random()
		b, sb := random()
		target := core.DecimalOf(maxPrecision, r.Intn(20))
		x := new(big.Rat).SetFrac(a.BigInt(), bigPower(sa))
		y := new(big.Rat).SetFrac(b.BigInt(), bigPower(sb))
		if got := decimalCompare(a, b, sa, sb); got != x.Cmp(y) {
			t.Fatalf("compare %v %v: %d", x, y, got)
		}
		check := func(what string, exact *big.Rat, got decimalNum, ok bool) {
			// Halves away from zero: floor(2 * scale * |x| + 1) / 2.
			scaled := new(big.Rat).Mul(exact, new(big.Rat).SetInt(bigPower(int(target.Scale))))
			n := new(big.Int).Abs(scaled.Num())
			n.Mul(n, big.NewInt(2)).Add(n, scaled.Denom())
			n.Quo(n, new(big.Int).Mul(scaled.Denom(), big.NewInt(2)))
			if exact.Sign() < 0 {
				n.Neg(n)
			}
			fits := n.CmpAbs(bigPower(maxPrecision)) < 0
			if ok != fits || ok && got.BigInt().Cmp(n) != 0 {
				t.Fatalf("%v %s %v at scale %d: %v %v, want %v", x, what, y, target.Scale, got.BigInt(), ok, n)
			}
		}
		d, ok := decimalAdd(a, b, sa, sb, target, false)
		check("+", new(big.Rat).Add(x, y), d, ok)
		d, ok = decimalAdd(a, b, sa, sb, target, true)
		check("-", new(big.Rat).Sub(x, y), d, ok)
		d, ok = decimalMul(a, b, sa, sb, target)
		check("*", new(big.Rat).Mul(x, y), d, ok)
		if y.Sign() != 0 {
			d, ok = decimalDiv(a, b, sa, sb, target)
			check("/", new(big.Rat).Quo(x, y), d, ok)
		}
		text := appendDecimal(nil, a, sa)
		if back, malformed, ok := parseDecimal(text, maxPrecision, sa); malformed || !ok || back != a {
			t.Fatalf("%s reads as %v", text, back)
		}
	}
}

// FuzzJSON compares validity and a member with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": 1}`, `{"a": {"b": [1, 2.5e-3, "x\u00e9\ud83d\ude00"]}}`, `[1, {"a": null}, true]`, `"x"`, `{"a": 1, "a": 2}`, `{"a":01}`, `{"\u0061": "y"}`, ` { } `, `[`, `nul`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var j jsonScanner
		found, ok := j.find([]byte(s), []jsonStep{{name: []byte("a")}})
		depth := strings.Count(s, "[") + strings.Count(s, "{")
		if ok != json.Valid([]byte(s)) && depth < maxJSONDepth {
			t.Fatalf("%q: valid is %v", s, ok)
		}
		var members map[string]json.RawMessage
		if !ok || json.Unmarshal([]byte(s), &members) != nil {
			return
		}
		want, exists := members["a"]
		if exists != (found != nil) || string(want) != string(found) {
			t.Fatalf("%q: found %q, want %q", s, found, want)
		}
		var text string
		if exists && want[0] == '"' && json.Unmarshal(want, &text) == nil && string(appendUnescaped(nil, found[1:len(found)-1])) != text && !strings.ContainsRune(text, '\ufffd') {
			t.Fatalf("%q: text %q, want %q", s, appendUnescaped(nil, found[1:len(found)-1]), text)
		}
	})
}

// FuzzCompile: whatever parses either compiles and runs or is refused; nothing panics.
func FuzzCompile(f *testing.F) {
	for _, d := range FunctionDocs() {
		for _, e := range d.Examples {
			f.Add(e.Expr)
		}
	}
	for _, s := range []string{"i / (i - i)", "r.x || s", "a[i]", "m[s]", "CASE WHEN b THEN a ELSE ARRAY[1] END", "CAST(r AS ROW<x STRING, y STRING>)", "COALESCE(t, CURRENT_TIMESTAMP)", "m['x'] IS NULL AND b"} {
		f.Add(s)
	}
	schema := core.NewSchema()
	for _, c := range [][2]string{{"i", "INT"}, {"l", "BIGINT NOT NULL"}, {"d", "DOUBLE"}, {"n", "DECIMAL(10, 2)"}, {"b", "BOOLEAN"}, {"s", "STRING"}, {"t", "TIMESTAMP(3)"}, {"y", "DATE"},
		{"a", "ARRAY<INT>"}, {"m", "MAP<STRING, DOUBLE>"}, {"r", "ROW<x STRING, y INT>"}} {
		typ, err := core.ParseType(c[1])
		if err != nil {
			f.Fatal(err)
		}
		schema.Fields = append(schema.Fields, core.Field{Name: c[0], Type: typ})
	}
	values := []string{"7", "8", "1.5", "2.25", "TRUE", "'text'", "TIMESTAMP '2024-02-29 01:02:03'", "DATE '2024-02-29'", "ARRAY[1, NULL]", "MAP['x', 1.5]", "ROW('p', 2)"}
	account := testAccount(f)
	b := core.NewBatch(account, schema)
	for i, field := range schema.Fields {
		v, err := constant(account, values[i], field.Type)
		if err != nil {
			f.Fatal(err)
		}
		column := core.NewVector(account, field.Type, 4)
		for row := range 4 {
			if row == 2 && !field.Type.NotNull {
				column.AppendNull()
			} else {
				column.AppendRow(v, 0)
			}
		}
		v.Release()
		b.Columns = append(b.Columns, column)
	}
	b.Len = 4
	f.Cleanup(b.Release)
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 300 {
			return
		}
		p, err := CompileText(src, schema, Options{})
		if err != nil {
			return
		}
		for _, sel := range [][]int32{nil, {1, 2}, {0, 1, 3}} {
			b.Sel = sel
			v, err := p.Eval(&Context{Account: account, Now: testNow}, b)
			if err != nil {
				continue
			}
			if FormatValue(v, 1) == "" { // row 1 is in every selection
				t.Fatal("no text")
			}
			v.Release()
		}
		b.Sel = nil
	})
}
