package expr

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"turbo/core"
	"turbo/memory"
)

var seed = flag.Int64("seed", 0, "seed of the random tests; 0: the fixed ones")

// generator makes random well-typed expressions. Types are i INT, l BIGINT, d DOUBLE, b BOOLEAN, s STRING.
type generator struct{ *rand.Rand }

func (g generator) pick(options ...string) string { return options[g.Intn(len(options))] }

func (g generator) expr(t byte, depth int) string {
	if depth <= 0 || g.Intn(8) == 0 {
		return g.leaf(t)
	}
	sub := func(t byte) string { return "(" + g.expr(t, depth-1) + ")" }
	if g.Intn(4) == 0 { // forms that every type has
		switch g.Intn(5) {
		case 0:
			return fmt.Sprintf("CASE WHEN %s THEN %s WHEN %s THEN %s ELSE %s END", sub('b'), sub(t), sub('b'), sub(t), sub(t))
		case 1:
			return fmt.Sprintf("CASE %s WHEN %s THEN %s END", sub('i'), sub('i'), sub(t))
		case 2:
			return fmt.Sprintf("COALESCE(%s, %s)", sub(t), sub(t))
		case 3:
			return fmt.Sprintf("IF(%s, %s, %s)", sub('b'), sub(t), sub(t))
		default:
			return fmt.Sprintf("NULLIF(%s, %s)", sub(t), sub(t))
		}
	}
	switch t {
	case 'i':
		switch g.Intn(7) {
		case 0:
			return g.pick("CAST", "TRY_CAST") + "(" + sub('s') + " AS INT)"
		case 1:
			return "CAST(" + sub(g.pick("l", "d")[0]) + " AS INT)"
		case 2:
			return g.pick("-", "ABS") + sub('i')
		case 3:
			return g.pick("CHAR_LENGTH("+sub('s')+")", "POSITION("+sub('s')+" IN "+sub('s')+")", "GREATEST("+sub('i')+", "+sub('i')+")")
		}
		return sub('i') + g.pick(" + ", " - ", " * ", " / ", " % ") + sub('i')
	case 'l':
		switch g.Intn(4) {
		case 0:
			return "CAST(" + sub(g.pick("i", "d")[0]) + " AS BIGINT)"
		case 1:
			return sub('i') + g.pick(" + ", " - ", " * ", " / ", " % ") + sub('l')
		}
		return sub('l') + g.pick(" + ", " - ", " * ", " / ") + sub(g.pick("i", "l")[0])
	case 'd':
		switch g.Intn(4) {
		case 0:
			return g.pick("FLOOR", "CEIL", "ABS", "SQRT", "-") + sub('d')
		case 1:
			return "CAST(" + sub(g.pick("i", "l")[0]) + " AS DOUBLE)"
		}
		return sub('d') + g.pick(" + ", " - ", " * ", " / ", " % ") + sub(g.pick("d", "i", "l")[0])
	case 's':
		switch g.Intn(6) {
		case 0:
			return g.pick("UPPER", "LOWER", "TRIM", "REVERSE") + sub('s')
		case 1:
			return fmt.Sprintf("SUBSTRING(%s, %d, %d)", sub('s'), 1+g.Intn(4), g.Intn(4))
		case 2:
			return fmt.Sprintf("REPLACE(%s, %s, %s)", sub('s'), g.pick("'a'", "'é'"), sub('s'))
		case 3:
			return "CAST(" + sub(g.pick("i", "l", "b")[0]) + " AS STRING)"
		}
		return sub('s') + " || " + sub('s')
	}
	x := g.pick("i", "l", "d", "s")[0]
	switch g.Intn(8) {
	case 0, 1:
		return sub('b') + g.pick(" AND ", " OR ") + sub('b')
	case 2:
		return "NOT " + sub('b')
	case 3:
		return sub('b') + " IS " + g.pick("", "NOT ") + g.pick("TRUE", "FALSE", "UNKNOWN", "NULL")
	case 4:
		return sub(x) + g.pick(" BETWEEN ", " NOT BETWEEN ") + sub(x) + " AND " + sub(x)
	case 5:
		if g.Intn(2) == 0 {
			return sub(x) + g.pick(" IN (", " NOT IN (") + sub(x) + ", " + sub(x) + ")"
		}
		return sub('s') + g.pick(" IN ('a', NULL)", " IN ('ab', 'é')", " NOT IN ('', 'b')")
	case 6:
		return sub('s') + g.pick(" LIKE ", " NOT LIKE ") + g.pick("'a%'", "'%b'", "'%a%'", "'ab'", "'_é%'", "'a_%b'", "'%'", "''")
	}
	return sub(x) + g.pick(" = ", " <> ", " < ", " <= ", " > ", " >= ", " IS DISTINCT FROM ", " IS NOT DISTINCT FROM ") + sub(x)
}

func (g generator) leaf(t byte) string {
	switch t {
	case 'i':
		return g.pick("i1", "i2", "i3", "0", "1", "-7", "2147483647", "CAST(NULL AS INT)")
	case 'l':
		return g.pick("l1", "l2", "5000000000", "CAST(3 AS BIGINT)")
	case 'd':
		return g.pick("d1", "d2", "0e0", "2.5e0", "-1e300")
	case 's':
		return g.pick("s1", "s2", "s3", "'a'", "'abé'", "''", "'12'")
	}
	return g.pick("b1", "b2", "TRUE", "FALSE", "CAST(NULL AS BOOLEAN)")
}

func randomSchema() *core.Schema {
	s := core.NewSchema()
	for _, c := range []struct {
		name string
		kind core.Kind
	}{{"i1", core.Int32}, {"i2", core.Int32}, {"i3", core.Int32}, {"l1", core.Int64}, {"l2", core.Int64}, {"d1", core.Float64}, {"d2", core.Float64},
		{"s1", core.String}, {"s2", core.String}, {"s3", core.String}, {"b1", core.Boolean}, {"b2", core.Boolean}} {
		s.Fields = append(s.Fields, core.Field{Name: c.name, Type: core.Of(c.kind)})
	}
	// The last column of each kind has no nulls.
	for _, i := range []int{2, 4, 6, 9} {
		s.Fields[i].Type.NotNull = true
	}
	return s
}

// randomBatch gives a batch with the same rows for the oracle.
func randomBatch(r *rand.Rand, account *memory.Account, schema *core.Schema) (*core.Batch, []oracle) {
	b := core.NewBatch(account, schema)
	b.Len = []int{1, 7, 8, 63, 64, 65, 200}[r.Intn(7)]
	rows := make([]oracle, b.Len)
	for i := range rows {
		rows[i] = oracle{}
	}
	for _, f := range schema.Fields {
		v := core.NewVector(account, f.Type, b.Len)
		for i := range rows {
			if !f.Type.NotNull && r.Intn(5) == 0 {
				v.AppendNull()
				continue
			}
			var x any
			switch f.Type.Kind {
			case core.Int32:
				n := []int32{0, 1, -1, 2, 7, math.MinInt32, math.MaxInt32, int32(r.Intn(100))}[r.Intn(8)]
				v.AppendInt32(n)
				x = n
			case core.Int64:
				n := []int64{0, 1, -3, math.MinInt64, math.MaxInt64, int64(r.Intn(1000))}[r.Intn(6)]
				v.AppendInt64(n)
				x = n
			case core.Float64:
				n := []float64{0, 1.5, -2.5, math.Inf(1), math.NaN(), 1e18, r.Float64() * 100}[r.Intn(7)]
				v.AppendFloat64(n)
				x = n
			case core.String:
				n := []string{"", "a", "ab", "é", " b ", "12", "-5", "aéb", "longer than eight"}[r.Intn(9)]
				v.AppendString(n)
				x = n
			default:
				n := r.Intn(2) == 0
				v.AppendBool(n)
				x = n
			}
			rows[i][f.Name] = x
		}
		b.Columns = append(b.Columns, v)
	}
	density := r.Float64()
	if r.Intn(3) > 0 {
		sel := b.SelBuffer(b.Len)[:0]
		for i := range b.Len {
			if r.Float64() < density {
				sel = append(sel, int32(i))
			}
		}
		b.Sel = sel
	}
	return b, rows
}

func valueAt(v *core.Vector, i int) any {
	if v.Null(i) {
		return nil
	}
	switch v.Type.Kind {
	case core.Int32:
		return v.Int32s()[i]
	case core.Int64:
		return v.Int64s()[i]
	case core.Float64:
		return v.Float64s()[i]
	case core.String:
		return v.StringAt(i)
	}
	return v.Bools()[i] != 0
}

func sameAny(a, b any) bool {
	x, ok1 := a.(float64)
	y, ok2 := b.(float64)
	return a == b || ok1 && ok2 && (x != x && y != y || x == y)
}

// TestOracle compares random expressions over random batches with the naive interpreter.
func TestOracle(t *testing.T) {
	account := testAccount(t)
	seeds := []int64{1, 2, 3, 4, 5, 6}
	if *seed != 0 {
		seeds = []int64{*seed}
	}
	for _, s := range seeds {
		r := rand.New(rand.NewSource(s))
		schema := randomSchema()
		failed, compared := 0, 0
		for range 400 {
			src := generator{r}.expr("ildbs"[r.Intn(5)], 1+r.Intn(4))
			p, err := CompileText(src, schema, Options{})
			if err != nil {
				t.Fatalf("seed %d: %s: %v", s, src, err)
			}
			for range 3 {
				b, rows := randomBatch(r, account, schema)
				ok := checkOracle(t, s, p, b, rows)
				b.Release()
				if ok {
					compared++
				} else {
					failed++
				}
				p = p.Clone()
			}
			if t.Failed() {
				t.Fatalf("stopped at seed %d", s)
			}
		}
		t.Logf("seed %d: %d batches compared, %d fail on both sides", s, compared, failed)
		if compared < failed/4 {
			t.Errorf("seed %d: only %d batches have values, %d fail: the generator makes too many errors", s, compared, failed)
		}
	}
}

// checkOracle tells whether the batch has values; it reports what differs.
func checkOracle(t *testing.T, seed int64, p *Program, b *core.Batch, rows []oracle) bool {
	want := make(map[int]any)
	var bad error
	for i := range b.Rows() {
		row := b.Row(i)
		v, err := rows[row].eval(p.Node())
		if err != nil {
			bad = err
		}
		want[row] = v
	}
	if bad != nil && !errors.Is(bad, errOracle) {
		t.Fatal(bad)
	}
	ctx := &Context{}
	v, err := p.Eval(ctx, b)
	if (err != nil) != (bad != nil) {
		t.Errorf("seed %d: %s: Eval gives %v, the oracle %v", seed, p, err, bad)
	}
	if err == nil {
		for row, x := range want {
			if bad == nil && !sameAny(valueAt(v, row), x) {
				t.Errorf("seed %d: %s: row %d %v gives %v, the oracle %v", seed, p, row, rows[row], valueAt(v, row), x)
			}
			if p.Type().NotNull && v.Null(row) {
				t.Errorf("seed %d: %s is %s, but row %d is null", seed, p, p.Type(), row)
			}
		}
		v.Release()
	}
	if p.Type().Kind == core.Boolean {
		before := make([]int, b.Rows())
		for i := range before {
			before[i] = b.Row(i)
		}
		err := p.Filter(ctx, b)
		if err != nil && bad == nil {
			t.Errorf("seed %d: %s: Filter gives %v", seed, p, err)
		}
		if err == nil && bad == nil {
			next := 0
			for _, row := range before {
				if want[row] != true {
					continue
				}
				if next >= b.Rows() || b.Row(next) != row {
					t.Errorf("seed %d: %s: Filter loses row %d", seed, p, row)
					break
				}
				next++
			}
			if next != b.Rows() && !t.Failed() {
				t.Errorf("seed %d: %s: Filter keeps %d rows, %d are true", seed, p, b.Rows(), next)
			}
		}
	}
	return bad == nil
}
