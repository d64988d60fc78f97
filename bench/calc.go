package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops"
	"turbo/core/task"
	"turbo/memory"
)

func init() {
	register(Benchmark{"filter-project", "a > ? AND s LIKE 'x%', three computed columns of eight, beside a loop", benchCalc})
}

// Expected cost per row at 50 %: the loop reads 4 to 9 columns once, some 4 ns, most of it a mispredicted branch. turbo adds a selection
// vector (1 ns), writes and reads three columns (2 ns) and walks the string's offsets twice.

var calcSchema = func() *core.Schema {
	var fields []core.Field
	for _, f := range []struct {
		name string
		kind core.Kind
	}{{"a", core.Int64}, {"s", core.String}, {"x", core.Float64}, {"y", core.Float64}, {"lon", core.Float64}, {"b", core.Int64}, {"c", core.Int64}, {"d", core.Int64}} {
		fields = append(fields, core.Field{Name: f.name, Type: core.Of(f.kind).Required()})
	}
	return core.NewSchema(fields...)
}()

// calcColumns are the output: five columns as they are and three computed ones.
var calcColumns = []string{"a", "s", "x", "b", "d", "x * 1.5 + y", "CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)", "b + c"}

// calcInput makes batches of which percent of the rows pass both conditions, each of which does half of the work.
func calcInput(account *memory.Account, batches, percent int) []*core.Batch {
	r := rand.New(rand.NewPCG(1, uint64(percent)))
	p := math.Sqrt(float64(percent) / 100)
	var out []*core.Batch
	for range batches {
		b := core.NewBatch(account, calcSchema)
		b.Len = 4096
		for _, f := range calcSchema.Fields {
			b.Columns = append(b.Columns, core.NewVector(account, f.Type, b.Len))
		}
		for range b.Len {
			a := int64(r.IntN(1000)) - 1000
			if r.Float64() < p {
				a += 1001
			}
			b.Columns[0].AppendInt64(a)
			prefix := "y"
			if r.Float64() < p {
				prefix = "x"
			}
			b.Columns[1].AppendString(prefix + "abcdefghijk"[:r.IntN(11)])
			for i := 2; i < 5; i++ {
				b.Columns[i].AppendFloat64(-74.05 + r.Float64())
			}
			for i := 5; i < 8; i++ {
				b.Columns[i].AppendInt64(int64(r.IntN(1 << 20)))
			}
		}
		out = append(out, b)
	}
	return out
}

// calcSum is what consumes every output value on both sides. Strings count by their bytes.
type calcSum struct {
	rows   int64
	floats float64
	ints   int64
}

func calcLoop(b *core.Batch, least int64, out *calcSum) {
	n := b.Len
	a, x, y, lon := b.Columns[0].Int64s()[:n], b.Columns[2].Float64s()[:n], b.Columns[3].Float64s()[:n], b.Columns[4].Float64s()[:n]
	bb, c, d := b.Columns[5].Int64s()[:n], b.Columns[6].Int64s()[:n], b.Columns[7].Int64s()[:n]
	offsets, data := b.Columns[1].Offsets()[:n+1], b.Columns[1].Data()
	prefix := []byte("x")
	for i := range a {
		if a[i] > least && bytes.HasPrefix(data[offsets[i]:offsets[i+1]], prefix) {
			out.rows++
			out.floats += x[i]
			out.floats += x[i]*1.5 + y[i]
			for _, s := range data[offsets[i]:offsets[i+1]] {
				out.ints += int64(s)
			}
			out.ints += a[i] + bb[i] + d[i] + int64(int32(math.Floor((74.05-math.Abs(lon[i]))/0.0014))) + bb[i] + c[i]
		}
	}
}

// take consumes a batch of turbo's output.
func (s *calcSum) take(b *core.Batch) {
	a, x, bb, d := b.Columns[0].Int64s(), b.Columns[2].Float64s(), b.Columns[3].Int64s(), b.Columns[4].Int64s()
	v1, v2, v3 := b.Columns[5].Float64s(), b.Columns[6].Int32s(), b.Columns[7].Int64s()
	offsets, data := b.Columns[1].Offsets(), b.Columns[1].Data()
	s.rows += int64(len(b.Sel))
	for _, i := range b.Sel {
		s.floats += x[i]
		s.floats += v1[i]
		for _, c := range data[offsets[i]:offsets[i+1]] {
			s.ints += int64(c)
		}
		s.ints += a[i] + bb[i] + d[i] + int64(v2[i]) + v3[i]
	}
}

// calcJob runs the query over batches, repeat times, on one worker.
func calcJob(ctx context.Context, pool *memory.Pool, batches []*core.Batch, repeat int, dir string) (calcSum, time.Duration, error) {
	compile := func(text string) (*expr.Program, error) {
		return expr.CompileText(text, calcSchema, expr.Options{Parameters: []any{int64(0)}})
	}
	filter, err := compile("a > ? AND s LIKE 'x%'")
	if err != nil {
		return calcSum{}, 0, err
	}
	var columns []*expr.Program
	var fields []core.Field
	for i, text := range calcColumns {
		p, err := compile(text)
		if err != nil {
			return calcSum{}, 0, err
		}
		columns = append(columns, p)
		fields = append(fields, core.Field{Name: fmt.Sprint("c", i), Type: p.Type()})
	}
	var sum calcSum
	watch := newStopwatch(1)
	schema := core.NewSchema(fields...)
	src := &task.Node{ID: "src", Label: "source", Schema: calcSchema, Source: func() (core.Source, error) {
		return &columnsSource{batches: [][]*core.Batch{batches}, repeat: repeat, first: watch.begin}, nil
	}}
	calc := &task.Node{ID: "calc", Label: "filter and project", Schema: schema, Inputs: forward(src), Operator: func() core.Operator {
		return ops.NewCalc([]*expr.Program{filter}, columns)
	}}
	sink := &task.Node{ID: "sink", Label: "sink", Schema: schema, Inputs: forward(calc), Sink: func() (core.Sink, error) {
		return consumer{func(w int, b *core.Batch) {
			if b.Sel == nil {
				sum.ints = math.MinInt64 // the check fails
				return
			}
			sum.take(b)
			watch.end(w)
		}}, nil
	}}
	_, err = graphRun{name: "calc", workers: 1, dir: dir, nodes: []*task.Node{src, calc, sink}, options: task.Options{Memory: pool, BufferTimeout: 10 * time.Millisecond}}.run(ctx)
	return sum, watch.elapsed(), err
}

func benchCalc(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Filter a > ? AND s LIKE 'x%%' and eight columns of which three are computed, million input rows a second on one worker (%s)\n\n", machine())
	t := newTable(w, "selectivity", "turbo", "loop", "turbo / loop", "spread")
	for _, percent := range []int{10, 50, 90} {
		pool := newPool()
		batches := calcInput(pool.Account("input"), 16, percent) // 4 MB: in the caches, like what a decoder has just written
		repeat := 400
		if o.Quick {
			repeat = 10
		}
		rows := int64(len(batches) * 4096 * repeat)
		var want calcSum
		loop := func(context.Context) (Run, error) {
			var sum calcSum
			began := time.Now()
			for range repeat {
				for _, b := range batches {
					calcLoop(b, 0, &sum)
				}
			}
			want = sum
			return Run{Rows: rows, Elapsed: time.Since(began)}, nil
		}
		turbo := func(ctx context.Context) (Run, error) {
			if want.rows == 0 {
				if _, err := loop(ctx); err != nil {
					return Run{}, err
				}
			}
			sum, took, err := calcJob(ctx, pool, batches, repeat, o.Dir)
			if err == nil && sum != want {
				err = fmt.Errorf("turbo gives %+v, the loop %+v", sum, want)
			}
			return Run{Rows: rows, Elapsed: took}, err
		}
		r, err := pairs(ctx, o.pairs(), turbo, loop)
		release(batches)
		if err != nil {
			return err
		}
		if err := pool.CheckZero(); err != nil {
			return err
		}
		t.row(append([]string{fmt.Sprintf("%d %%", percent)}, ratioCells(r)...)...)
	}
	return nil
}
