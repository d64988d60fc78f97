package expr

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/memory"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

var testNow = core.TimeOf(time.Date(2024, 2, 29, 13, 45, 10, 123456000, time.UTC))

func testAccount(t testing.TB) *memory.Account {
	t.Helper()
	account := memory.NewPool(1 << 30).Account("test")
	t.Cleanup(func() {
		if used := account.Used(); used != 0 {
			t.Errorf("%d bytes are not freed", used)
		}
	})
	return account
}

// binding is a column of a golden case with its value.
type binding struct {
	field core.Field
	value string
}

func parseBindings(text string) ([]binding, error) {
	var out []binding
	for _, part := range strings.Split(text, ";") {
		part = strings.TrimSpace(part)
		if part == "" || part == "-" {
			continue
		}
		head, value, ok := strings.Cut(part, " = ")
		name, typeText, ok2 := strings.Cut(head, " ")
		if !ok || !ok2 {
			return nil, fmt.Errorf("binding %q is not NAME TYPE = VALUE", part)
		}
		typ, err := core.ParseType(typeText)
		if err != nil {
			return nil, err
		}
		out = append(out, binding{core.Field{Name: name, Type: typ}, value})
	}
	return out, nil
}

// constant evaluates a constant expression as a value of t.
func constant(account *memory.Account, text string, t core.Type) (*core.Vector, error) {
	p, err := CompileText("CAST("+text+" AS "+t.Optional().String()+")", core.NewSchema(), Options{})
	if err != nil {
		return nil, err
	}
	b := core.NewBatch(account, core.NewSchema())
	defer b.Release()
	b.Len = 1
	return p.Eval(&Context{Account: account, Now: testNow}, b)
}

// evalCase evaluates src over a batch whose rows rows hold the values and whose others are null where they may be.
func evalCase(account *memory.Account, src string, bindings []binding, n int, sel []int32, opts Options) (string, error) {
	schema := core.NewSchema()
	b := core.NewBatch(account, schema)
	defer b.Release()
	b.Len = n
	live := make(map[int]bool)
	for _, r := range sel {
		live[int(r)] = true
	}
	for _, x := range bindings {
		schema.Fields = append(schema.Fields, x.field)
		value, err := constant(account, x.value, x.field.Type)
		if err != nil {
			return "", err
		}
		column := core.NewVector(account, x.field.Type, n)
		for r := range n {
			if sel == nil || live[r] || x.field.Type.NotNull {
				column.AppendRow(value, 0)
			} else {
				column.AppendNull()
			}
		}
		value.Release()
		b.Columns = append(b.Columns, column)
	}
	p, err := CompileText(src, schema, opts)
	if err != nil {
		return "", err
	}
	if sel != nil {
		b.Sel = b.SelBuffer(len(sel))
		copy(b.Sel, sel)
	}
	first := ""
	for round := range 2 { // twice: scratch memory must not matter
		v, err := p.Eval(&Context{Account: account, Now: testNow}, b)
		if err != nil {
			return "", err
		}
		rows := sel
		if rows == nil {
			rows = []int32{0, int32(n - 1)}
		}
		for i, r := range rows {
			text := FormatValue(v, int(r))
			if v.Null(int(r)) && p.Type().NotNull {
				text += " although NOT NULL"
			}
			if first == "" {
				first = text
			} else if text != first {
				first = fmt.Sprintf("%s, but %s in row %d (%d) of round %d", first, text, r, i, round)
			}
		}
		v.Release()
		if p.Type().Kind == core.Boolean {
			copied := b.Share()
			if err := p.Filter(&Context{Now: testNow}, copied); err != nil {
				return "", err
			}
			if passed := copied.Rows() == b.Rows(); passed != strings.HasPrefix(first, "TRUE") || !passed && copied.Rows() != 0 {
				first += fmt.Sprintf(" although Filter kept %d of %d rows", copied.Rows(), b.Rows())
			}
			copied.Release()
		}
	}
	return first + " : " + p.Type().String(), nil
}

// lift replaces the literals of an expression by columns; ok is false when there are none.
func lift(src string) (string, []binding, bool) {
	node, err := Parse(src)
	if err != nil {
		return "", nil, false
	}
	var bindings []binding
	var out strings.Builder
	at := 0
	Walk(node, func(n Node) bool {
		switch n := n.(type) {
		case *Case, *In:
			return false // the order of Walk is that of the text elsewhere only
		case *Literal:
			if n.Kind == LiteralNull || n.Pos() == n.End() || n.Pos() < at {
				return true
			}
			o, err := (&binder{schema: core.NewSchema(), opts: Options{Source: src, Zone: time.UTC}}).bind(n)
			if err != nil {
				return true
			}
			name := fmt.Sprintf("lifted_%d", len(bindings))
			bindings = append(bindings, binding{core.Field{Name: name, Type: o.typ().Optional()}, src[n.Pos():n.End()]})
			out.WriteString(src[at:n.Pos()] + name)
			at = n.End()
		}
		return true
	})
	return out.String() + src[at:], bindings, len(bindings) > 0
}

func runCase(account *memory.Account, src string, bindings []binding, opts Options) string {
	show := func(s string, err error) string {
		var e *EvalError
		var syntax *SyntaxError
		switch {
		case errors.As(err, &e), errors.As(err, &syntax):
			return "error: " + err.Error()
		case err != nil:
			return "broken: " + err.Error()
		}
		return s
	}
	result := show(evalCase(account, src, bindings, 1, nil, opts))
	again := show(evalCase(account, src, bindings, 13, []int32{1, 3, 4, 11}, opts))
	if again != result {
		return result + " but over a selection " + again
	}
	if dense := show(evalCase(account, src, bindings, 70, nil, opts)); dense != result {
		return result + " but over many rows " + dense
	}
	if strings.HasPrefix(result, "error") || strings.HasPrefix(result, "broken") {
		return result
	}
	if text, more, ok := lift(src); ok {
		all := append(append([]binding(nil), bindings...), more...)
		lifted := show(evalCase(account, text, all, 13, []int32{1, 3, 4, 11}, opts))
		var value, other string
		value, _, _ = strings.Cut(result, " : ")
		other, _, _ = strings.Cut(lifted, " : ")
		isCompileError := strings.HasPrefix(lifted, "error: line ")
		sameNumber := strings.TrimRight(value, "0.") == strings.TrimRight(other, "0.") // a DECIMAL's scale follows constant digits
		if !isCompileError && value != other && !sameNumber {
			return result + " but with columns, as " + text + ", " + lifted
		}
	}
	return result
}

func init() { ReserveAggregates("SUM") } // core/ops does it for all

// TestGolden runs testdata/*.txt. A line is
//
//	expression | name TYPE = value; ... | result : TYPE
//
// with - for no columns. A line "zone: Europe/Berlin" sets the session's zone for the lines after it; # begins a comment.
func TestGolden(t *testing.T) {
	account := testAccount(t)
	covered := make(map[string]bool)
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no testdata")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			opts := Options{}
			for number, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
				if zone, ok := strings.CutPrefix(line, "zone: "); ok {
					if opts.Zone, err = time.LoadLocation(zone); err != nil {
						t.Fatal(err)
					}
				}
				parts := strings.Split(line+" ", " | ")
				if strings.HasPrefix(line, "#") || len(parts) < 2 {
					fmt.Fprintln(&out, line)
					continue
				}
				bindings, err := parseBindings(strings.TrimSpace(parts[1]))
				if err != nil {
					t.Fatalf("%s:%d: %v", file, number+1, err)
				}
				got := strings.ReplaceAll(runCase(account, strings.TrimSpace(parts[0]), bindings, opts), "\n", "\\n")
				cover(covered, parts[0])
				fmt.Fprintf(&out, "%s | %s | %s\n", parts[0], strings.TrimSpace(parts[1]), got)
				if want := strings.TrimSpace(strings.Join(parts[min(2, len(parts)):], " | ")); got != want && !*update {
					t.Errorf("%s:%d: %s\n got %s\nwant %s", file, number+1, parts[0], got, want)
				}
			}
			if *update {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	for _, name := range Functions() {
		if !covered[name] {
			t.Errorf("the function %s has no case in testdata", name)
		}
	}
	for _, d := range operatorDocs() {
		if !covered[d.Name] {
			t.Errorf("the operator %s has no case in testdata", d.Name)
		}
	}
}

// cover notes the functions and operators that an expression uses.
func cover(covered map[string]bool, src string) {
	node, err := Parse(strings.TrimSpace(src))
	if err != nil {
		return
	}
	Walk(node, func(n Node) bool {
		switch n := n.(type) {
		case *Call:
			covered[n.Name] = true
			covered[strings.ToUpper(n.Written)] = true
		case *Binary:
			covered[strings.Replace(n.Op, "NOT ", "", 1)] = true
		case *Unary:
			covered[n.Op] = true
		case *Is:
			if n.What == "NULL" {
				covered["IS NULL"] = true
			} else {
				covered["IS TRUE"] = true
			}
		case *Between:
			covered["BETWEEN"] = true
		case *In:
			covered["IN"] = true
		case *Like:
			covered["LIKE"] = true
		case *Case:
			covered["CASE"] = true
		case *Cast:
			covered["CAST"] = covered["CAST"] || !n.Try
			covered["TRY_CAST"] = covered["TRY_CAST"] || n.Try
		case *ArrayLit:
			covered["ARRAY"] = true
		case *MapLit:
			covered["MAP"] = true
		case *RowLit:
			covered["ROW"] = true
		case *Interval:
			covered["INTERVAL"] = true
		}
		return true
	})
}

// TestExamples runs the examples of the reference: what it says is so.
func TestExamples(t *testing.T) {
	account := testAccount(t)
	for _, d := range FunctionDocs() {
		if d.Doc == "" || len(d.Signatures) == 0 || d.Signatures[0] == "" || len(d.Examples) == 0 {
			t.Errorf("%s lacks a signature, a text or an example", d.Name)
		}
		for _, e := range d.Examples {
			got := runCase(account, e.Expr, nil, Options{})
			if value, _, _ := strings.Cut(got, " : "); value != e.Result {
				t.Errorf("%s: %s\n got %s\nwant %s", d.Name, e.Expr, got, e.Result)
			}
		}
	}
}
