package stream

import (
	"reflect"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/internal/invariants"
	"turbo/memory"
)

type benchIn struct {
	A int64
	B float64
	C int32
}

type benchOut struct {
	A int64
	B float64
}

// drop takes batches and gives them back.
type drop struct{ rows int }

func (d *drop) Emit(b *core.Batch) error { d.rows += b.Rows(); b.Release(); return nil }
func (d *drop) Full() bool               { return false }

const benchRows = 4096

// bench runs an operator over batches of benchRows rows and returns the time of one row, and the allocations of one batch.
func bench(tb testing.TB, op core.Operator, input, output *core.Schema, n int) (nsRow, allocs float64) {
	pool := memory.NewPool(0)
	account := pool.Account("bench")
	var count core.Counters
	ctx := &core.OperatorContext{ID: "bench", Workers: 1, KeyGroups: 1, Inputs: []*core.Schema{input}, Output: output, BatchRows: benchRows, Account: account,
		Now: func() core.Time { return 0 }, Counters: &count}
	if err := op.Open(ctx); err != nil {
		tb.Fatal(err)
	}
	in := core.NewBatchPool(account, input, benchRows, 8)
	out := &drop{}
	numbers := make([]int64, benchRows)
	for i := range numbers {
		numbers[i] = int64(i)
	}
	step := func() {
		b := in.Get()
		b.Columns[0].Extend(benchRows)
		b.Columns[1].Extend(benchRows)
		b.Columns[2].Extend(benchRows)
		copy(b.Columns[0].Int64s(), numbers)
		b.Len = benchRows
		err := op.Process(0, b, out)
		for more := true; more && err == nil; {
			more, err = op.Resume(out)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	for range 20 {
		step()
	}
	begin := time.Now()
	for range n {
		step()
	}
	nsRow = float64(time.Since(begin).Nanoseconds()) / float64(n) / benchRows
	allocs = testing.AllocsPerRun(20, step)
	if out.rows == 0 {
		tb.Fatal("no rows")
	}
	if err := op.Close(); err != nil {
		tb.Fatal(err)
	}
	in.Close()
	return nsRow, allocs
}

func benchOperators(tb testing.TB) (input, output *core.Schema, mapRows, mapColumns, filterRows, filterColumns core.Operator) {
	codecOf := func(t reflect.Type) (*core.Schema, *codec) {
		s, err := schemaOf(t)
		if err != nil {
			tb.Fatal(err)
		}
		c, err := newCodec(t, s)
		if err != nil {
			tb.Fatal(err)
		}
		return s, c
	}
	input, in := codecOf(reflect.TypeFor[benchIn]())
	output, out := codecOf(reflect.TypeFor[benchOut]())
	mapRows = &mapper[benchIn, benchOut]{name: "map", in: typed[benchIn]{codec: in}, out: typed[benchOut]{codec: out},
		f: func(r *benchIn) (benchOut, error) { return benchOut{r.A + 1, r.B * 2}, nil }}
	mapColumns = process.NewFlatMapBlocks("map", func(in *Rows, out *Output) error {
		a, b := in.Batch.Columns[0].Int64s(), in.Batch.Columns[1].Float64s()
		x, y := out.Column(0), out.Column(1)
		from := x.Len()
		x.Extend(in.Len())
		y.Extend(in.Len())
		p, q := x.Int64s()[from:], y.Float64s()[from:]
		for i := range in.Len() {
			r := in.Row(i)
			p[i], q[i] = a[r]+1, b[r]*2
		}
		out.EndRows(in.Len())
		return nil
	})
	filterRows = &filter[benchIn]{name: "filter", in: typed[benchIn]{codec: in}, keep: func(r *benchIn) (bool, error) { return r.A%3 == 0, nil }}
	filterColumns = process.NewFilterBlocks("filter", func(b *core.Batch, sel []int32) ([]int32, error) {
		a := b.Columns[0].Int64s()
		for i := range b.Rows() {
			if r := b.Row(i); a[r]%3 == 0 {
				sel = append(sel, int32(r))
			}
		}
		return sel, nil
	})
	return
}

// BenchmarkStructs prints what a row costs as a struct and as columns.
func BenchmarkStructs(b *testing.B) {
	input, output, mapRows, mapColumns, filterRows, filterColumns := benchOperators(b)
	for _, c := range []struct {
		name          string
		rows, columns core.Operator
		output        *core.Schema
	}{{"map", mapRows, mapColumns, output}, {"filter", filterRows, filterColumns, input}} {
		b.Run(c.name, func(b *testing.B) {
			n := max(b.N, 200)
			columns, _ := bench(b, c.columns, input, c.output, n)
			rows, allocs := bench(b, c.rows, input, c.output, n)
			b.ReportMetric(columns, "ns/row-columns")
			b.ReportMetric(rows, "ns/row-structs")
			b.ReportMetric(rows-columns, "ns/row-over")
			b.ReportMetric(rows/columns, "ratio")
			b.ReportMetric(allocs, "allocs/batch")
		})
	}
}

// TestNoAllocations: structs cost no allocation for a batch in steady state.
func TestNoAllocations(t *testing.T) {
	if invariants.Race {
		t.Skip("the race detector makes pools forget at random")
	}
	input, output, mapRows, _, filterRows, _ := benchOperators(t)
	if _, allocs := bench(t, mapRows, input, output, 1); allocs != 0 {
		t.Errorf("map: %v allocations a batch", allocs)
	}
	if _, allocs := bench(t, filterRows, input, input, 1); allocs != 0 {
		t.Errorf("filter: %v allocations a batch", allocs)
	}
}
