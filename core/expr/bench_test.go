package expr

import (
	"bytes"
	"fmt"
	"math"
	"math/rand"
	"sort"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/invariants"
	"turbo/memory"
)

const benchRows = 4096

// benchSchema has eight columns, of which five go through as they are and three are computed.
func benchSchema() *core.Schema {
	required := func(k core.Kind) core.Type { return core.Of(k).Required() }
	return core.NewSchema(core.Field{Name: "a", Type: required(core.Int64)}, core.Field{Name: "s", Type: required(core.String)}, core.Field{Name: "x", Type: required(core.Float64)},
		core.Field{Name: "y", Type: required(core.Float64)}, core.Field{Name: "lon", Type: required(core.Float64)}, core.Field{Name: "b", Type: required(core.Int64)},
		core.Field{Name: "c", Type: required(core.Int64)}, core.Field{Name: "d", Type: required(core.Int64)})
}

// benchBatch gives a batch of which about percent of the rows pass a > 0 AND s LIKE 'x%'; both conditions share the work.
func benchBatch(account *memory.Account, schema *core.Schema, percent int) *core.Batch {
	r := rand.New(rand.NewSource(int64(percent)))
	p := math.Sqrt(float64(percent) / 100)
	b := core.NewBatch(account, schema)
	for _, f := range schema.Fields {
		b.Columns = append(b.Columns, core.NewVector(account, f.Type, benchRows))
	}
	for range benchRows {
		a := int64(r.Intn(1000)) - 1000
		if r.Float64() < p {
			a += 1001
		}
		b.Columns[0].AppendInt64(a)
		prefix := "y"
		if r.Float64() < p {
			prefix = "x"
		}
		b.Columns[1].AppendString(prefix + "abcdefghijk"[:r.Intn(11)])
		for i := 2; i < 5; i++ {
			b.Columns[i].AppendFloat64(-74.05 + r.Float64())
		}
		for i := 5; i < 8; i++ {
			b.Columns[i].AppendInt64(int64(r.Intn(1 << 20)))
		}
	}
	b.Len = benchRows
	return b
}

var benchComputed = []string{"x * 1.5 + y", "CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)", "b + c"}

// benchSum is what both sides compute: a sum over every value of every output column.
type benchSum struct {
	floats float64
	ints   int64
}

// handLoop is the same query by hand, in one pass over the columns.
func handLoop(b *core.Batch) (out benchSum) {
	a, x, y, lon := b.Columns[0].Int64s(), b.Columns[2].Float64s(), b.Columns[3].Float64s(), b.Columns[4].Float64s()
	bb, c, d := b.Columns[5].Int64s(), b.Columns[6].Int64s(), b.Columns[7].Int64s()
	offsets, data := b.Columns[1].Offsets(), b.Columns[1].Data()
	prefix := []byte("x")
	for i := range a {
		if a[i] > 0 && bytes.HasPrefix(data[offsets[i]:offsets[i+1]], prefix) {
			v1 := x[i]*1.5 + y[i]
			v2 := int32(math.Floor((74.05 - math.Abs(lon[i])) / 0.0014))
			v3 := bb[i] + c[i]
			out.floats += v1 + x[i]
			out.ints += int64(v2) + v3 + a[i] + int64(offsets[i+1]-offsets[i]) + bb[i] + d[i]
		}
	}
	return out
}

// exprPlan is the query in programs.
type exprPlan struct {
	filter   *Program
	computed []*Program
}

func newExprPlan(t testing.TB, schema *core.Schema) *exprPlan {
	compile := func(src string) *Program {
		p, err := CompileText(src, schema, Options{Parameters: []any{int64(0)}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := &exprPlan{filter: compile("a > ? AND s LIKE 'x%'")}
	for _, src := range benchComputed {
		p.computed = append(p.computed, compile(src))
	}
	return p
}

func (p *exprPlan) run(t testing.TB, ctx *Context, b *core.Batch) (out benchSum) {
	b.Sel = nil
	if err := p.filter.Filter(ctx, b); err != nil {
		t.Fatal(err)
	}
	var v [3]*core.Vector
	for i, c := range p.computed {
		var err error
		if v[i], err = c.Eval(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	v1, v2, v3 := v[0].Float64s(), v[1].Int32s(), v[2].Int64s()
	a, x, bb, d := b.Columns[0].Int64s(), b.Columns[2].Float64s(), b.Columns[5].Int64s(), b.Columns[7].Int64s()
	offsets := b.Columns[1].Offsets()
	for _, i := range b.Sel {
		out.floats += v1[i] + x[i]
		out.ints += int64(v2[i]) + v3[i] + a[i] + int64(offsets[i+1]-offsets[i]) + bb[i] + d[i]
	}
	for _, v := range v {
		v.Release()
	}
	return out
}

// runDense is the alternative that was not chosen: the live rows of the columns that are read or passed on are gathered first, and everything after works on dense batches.
func (p *exprPlan) runDense(t testing.TB, ctx *Context, account *memory.Account, b *core.Batch) (out benchSum) {
	b.Sel = nil
	if err := p.filter.Filter(ctx, b); err != nil {
		t.Fatal(err)
	}
	dense := core.NewBatch(account, b.Schema)
	for _, c := range b.Columns {
		v := core.NewVector(account, c.Type, len(b.Sel))
		v.AppendSelected(c, b.Sel)
		dense.Columns = append(dense.Columns, v)
	}
	dense.Len = len(b.Sel)
	var v [3]*core.Vector
	for i, c := range p.computed {
		var err error
		if v[i], err = c.Eval(ctx, dense); err != nil {
			t.Fatal(err)
		}
	}
	v1, v2, v3 := v[0].Float64s(), v[1].Int32s(), v[2].Int64s()
	a, x, bb, d := dense.Columns[0].Int64s(), dense.Columns[2].Float64s(), dense.Columns[5].Int64s(), dense.Columns[7].Int64s()
	offsets := dense.Columns[1].Offsets()
	for i := range a {
		out.floats += v1[i] + x[i]
		out.ints += int64(v2[i]) + v3[i] + a[i] + int64(offsets[i+1]-offsets[i]) + bb[i] + d[i]
	}
	for _, v := range v {
		v.Release()
	}
	dense.Release()
	return out
}

// BenchmarkFilterProject compares the filter a > ? AND s LIKE 'x%' and three computed columns of eight with a loop by hand, in interleaved pairs;
// "ratio" is the loop's time by turbo's, "dense-ratio" that of gathering the live rows first.
func BenchmarkFilterProject(b *testing.B) {
	for _, percent := range []int{10, 50, 90} {
		b.Run(fmt.Sprintf("selectivity=%d", percent), func(b *testing.B) {
			account := memory.NewPool(1 << 30).Account("bench")
			schema := benchSchema()
			batch := benchBatch(account, schema, percent)
			defer batch.Release()
			plan := newExprPlan(b, schema)
			ctx := &Context{Account: account}
			if got, want := plan.run(b, ctx, batch), handLoop(batch); got != want {
				b.Fatalf("turbo gives %v, the loop %v", got, want)
			}
			b.ReportAllocs()
			const repeat = 5 // short, so that most samples see no other process
			var loops, turbos, denses []float64
			var sink benchSum
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				at := time.Now()
				for range repeat {
					sink = handLoop(batch)
				}
				loop := time.Since(at)
				at = time.Now()
				for range repeat {
					sink = plan.run(b, ctx, batch)
				}
				turbo := time.Since(at)
				at = time.Now()
				for range repeat {
					sink = plan.runDense(b, ctx, account, batch)
				}
				loops, turbos = append(loops, float64(loop)), append(turbos, float64(turbo))
				denses = append(denses, float64(time.Since(at)))
			}
			b.StopTimer()
			_ = sink
			median := func(s []float64) float64 { sort.Float64s(s); return s[len(s)/2] }
			rows := float64(repeat * benchRows)
			b.ReportMetric(median(loops)/median(turbos), "ratio")
			b.ReportMetric(median(loops)/median(denses), "dense-ratio")
			b.ReportMetric(median(loops)/rows, "loop-ns/row")
			b.ReportMetric(median(turbos)/rows, "turbo-ns/row")
		})
	}
}

// TestNoAllocations: in steady state a batch costs no allocation.
func TestNoAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the invariants build records where memory comes from")
	}
	if invariants.Race {
		t.Skip("the race detector makes pools forget at random")
	}
	account := testAccount(t)
	schema := benchSchema()
	batch := benchBatch(account, schema, 50)
	defer batch.Release()
	plan := newExprPlan(t, schema)
	ctx := &Context{Account: account}
	for range 3 {
		plan.run(t, ctx, batch)
	}
	if n := testing.AllocsPerRun(20, func() { plan.run(t, ctx, batch) }); n > 0 {
		t.Errorf("filter and project: %v allocations a batch", n)
	}
	for _, src := range []string{"UPPER(s) || s", "CASE WHEN a > 0 THEN SUBSTRING(s, 2) ELSE s END", "COALESCE(NULLIF(a, 1), b) % 7", "a IN (1, 2, 3) OR s IN ('x', 'y')",
		"DATE_FORMAT(TO_TIMESTAMP_LTZ(b, 3), 'yyyy-MM-dd')", "CAST(a AS STRING)", "CAST(x AS DECIMAL(10, 2)) + 1.5", "EXTRACT(HOUR FROM TO_TIMESTAMP_LTZ(b, 3))", "s LIKE '%a_c%' AND NOT a BETWEEN 1 AND b + 5"} {
		p, err := CompileText(src, schema, Options{})
		if err != nil {
			t.Fatal(err)
		}
		run := func() {
			v, err := p.Eval(ctx, batch)
			if err != nil {
				t.Fatal(err)
			}
			v.Release()
		}
		for range 3 {
			run()
		}
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("%s: %v allocations a batch", src, n)
		}
	}
}

// BenchmarkExpressions measures single expressions over dense batches.
func BenchmarkExpressions(b *testing.B) {
	for _, src := range []string{"a + b", "a / (b + 1)", "x * y", "CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)", "a > 0", "s = 'xabc'", "s LIKE 'x%'", "s LIKE '%c%'", "UPPER(s)", "SUBSTRING(s, 2, 3)",
		"s || s", "CAST(a AS STRING)", "DATE_FORMAT(TO_TIMESTAMP_LTZ(b, 3), 'yyyy-MM-dd')", "EXTRACT(HOUR FROM TO_TIMESTAMP_LTZ(b, 3))", "CASE WHEN a > 0 THEN b ELSE c END", "COALESCE(NULLIF(a, 1), b)",
		"CAST(x AS DECIMAL(10, 2)) * 1.5", "a IN (1, 2, 3)", "JSON_VALUE('{\"a\": 1}', '$.a' RETURNING INT) + b"} {
		b.Run(src, func(b *testing.B) {
			account := memory.NewPool(1 << 30).Account("bench")
			batch := benchBatch(account, benchSchema(), 50)
			defer batch.Release()
			p, err := CompileText(src, batch.Schema, Options{})
			if err != nil {
				b.Fatal(err)
			}
			ctx := &Context{Account: account}
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				v, err := p.Eval(ctx, batch)
				if err != nil {
					b.Fatal(err)
				}
				v.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
		})
	}
}
