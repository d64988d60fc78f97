package expr

import (
	"errors"
	"fmt"
	"math/rand"
	"testing"

	"turbo/core"
)

// TestComparisons runs every relation over every kind, with and without constants, nulls and a selection, as a filter and as a value.
func TestComparisons(t *testing.T) {
	account := testAccount(t)
	schema := core.NewSchema(core.Field{Name: "a", Type: core.Of(core.Int32)}, core.Field{Name: "b", Type: core.Of(core.Int32)},
		core.Field{Name: "p", Type: core.Of(core.Int32).Required()}, core.Field{Name: "q", Type: core.Of(core.Int32).Required()})
	r := rand.New(rand.NewSource(1))
	for _, kind := range []string{"TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(5, 2)", "STRING"} {
		for _, rel := range []string{"=", "<>", "<", "<=", ">", ">="} {
			for _, sides := range [][2]string{{"a", "b"}, {"p", "q"}, {"a", "2"}, {"2", "a"}, {"p", "2"}, {"a", "q"}} {
				src := fmt.Sprintf("CAST(%s AS %s) %s CAST(%s AS %s)", sides[0], kind, rel, sides[1], kind)
				node, err := Parse(fmt.Sprintf("%s %s %s", sides[0], rel, sides[1]))
				if err != nil {
					t.Fatal(err)
				}
				p, err := CompileText(src, schema, Options{})
				if err != nil {
					t.Fatal(err)
				}
				for _, selective := range []bool{false, true} {
					b := core.NewBatch(account, schema)
					b.Len = 67
					rows := make([]oracle, b.Len)
					for i := range rows {
						rows[i] = oracle{}
					}
					for c, f := range schema.Fields {
						v := core.NewVector(account, f.Type, b.Len)
						for i := range rows {
							if c < 2 && r.Intn(4) == 0 {
								v.AppendNull()
								continue
							}
							x := int32(r.Intn(5))
							v.AppendInt32(x)
							rows[i][f.Name] = x
						}
						b.Columns = append(b.Columns, v)
					}
					if selective {
						b.Sel = b.SelBuffer(b.Len)[:0]
						for i := range b.Len {
							if i%3 != 0 {
								b.Sel = append(b.Sel, int32(i))
							}
						}
					}
					var want []int
					live := b.Rows()
					v, err := p.Eval(&Context{}, b)
					if err != nil {
						t.Fatal(err)
					}
					for i := range live {
						x, err := rows[b.Row(i)].eval(node)
						if err != nil {
							t.Fatal(err)
						}
						if x == true {
							want = append(want, b.Row(i))
						}
						if got := valueAt(v, b.Row(i)); got != x {
							t.Errorf("%s: row %v gives %v, want %v", src, rows[b.Row(i)], got, x)
						}
					}
					v.Release()
					if err := p.Filter(&Context{}, b); err != nil {
						t.Fatal(err)
					}
					got := make([]int, b.Rows())
					for i := range got {
						got[i] = b.Row(i)
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s (selection %v): Filter keeps %v, want %v", src, selective, got, want)
					}
					b.Release()
				}
			}
		}
	}
}

// TestPassThrough: a column as it is comes shared and is not copied.
func TestPassThrough(t *testing.T) {
	account := testAccount(t)
	schema := benchSchema()
	b := benchBatch(account, schema, 50)
	defer b.Release()
	p, err := CompileText("`s`", schema, Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Eval(&Context{}, b)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if v != b.Columns[1] || p.Column() != 1 {
		t.Error("the column was copied")
	}
}

// TestEmptyBatches: no rows, or none selected, evaluate nothing and fail nothing.
func TestEmptyBatches(t *testing.T) {
	account := testAccount(t)
	schema := benchSchema()
	for _, src := range []string{"a / 0", "s || s", "ARRAY[a]", "ROW(a, s)", "a / 0 > 1"} {
		p, err := CompileText(src, schema, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := benchBatch(account, schema, 50)
		b.Sel = b.SelBuffer(0)
		v, err := p.Eval(&Context{}, b)
		if err != nil || v.Len() != b.Len {
			t.Errorf("%s: %v", src, err)
		}
		v.Release()
		if p.Type().Kind == core.Boolean {
			if err := p.Filter(&Context{}, b); err != nil || b.Rows() != 0 {
				t.Errorf("%s: Filter gives %v and %d rows", src, err, b.Rows())
			}
		}
		b.Release()
	}
}

// TestEvalError: the error has the cause, the place and the row's values.
func TestEvalError(t *testing.T) {
	account := testAccount(t)
	schema := benchSchema()
	b := benchBatch(account, schema, 50)
	defer b.Release()
	p, err := CompileText("1 +\n  b % (c - c)", schema, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Eval(&Context{}, b)
	var e *EvalError
	if !errors.As(err, &e) || !errors.Is(err, ErrDivisionByZero) || e.Line != 2 || e.Column != 3 || e.Row != 0 || e.Expr != "b % (c - c)" || len(e.Values) != 2 {
		t.Errorf("got %#v", err)
	}
}

// TestCompileErrors points at the column of the text.
func TestCompileErrors(t *testing.T) {
	_, err := CompileText("a > 0\n  AND pasengers > 1", core.NewSchema(core.Field{Name: "a", Type: core.Of(core.Int32)}, core.Field{Name: "passengers", Type: core.Of(core.Int32)}), Options{})
	var s *SyntaxError
	if !errors.As(err, &s) || s.Line != 2 || s.Column != 7 || s.Snippet() != "  AND pasengers > 1\n      ^" {
		t.Errorf("got %v", err)
	}
	if _, err := CompileFilter("a + 1", core.NewSchema(core.Field{Name: "a", Type: core.Of(core.Int32)}), Options{}); err == nil || err.Error() != "line 1, column 1: a condition must be BOOLEAN, but a + 1 is INT" {
		t.Errorf("got %v", err)
	}
}

// TestParameters: the ? in order.
func TestParameters(t *testing.T) {
	p, err := CompileText("CAST(? AS STRING) || ?", core.NewSchema(), Options{Parameters: []any{int64(5), "x"}})
	if err != nil || !p.Constant() {
		t.Fatalf("%v, constant %v", err, err == nil && p.Constant())
	}
}
