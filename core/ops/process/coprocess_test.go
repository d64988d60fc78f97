package process_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/internal/testkit"
	"turbo/memory"
)

// rulesSchema is the broadcast side: (rule STRING, factor BIGINT, text STRING); a null factor removes the rule.
var rulesSchema = core.NewSchema(core.Field{Name: "rule", Type: core.Of(core.String)}, core.Field{Name: "factor", Type: core.Of(core.Int64)}, core.Field{Name: "text", Type: core.Of(core.String)})

// ruled multiplies keyed rows of port 0 by the rule of port 2 that they name, adding what port 1 has said for the key.
type ruled struct {
	process.BaseFunction
	rules *process.Broadcast
	base  *process.Value
}

func (r *ruled) Open(s *process.Setup) error {
	r.rules = s.Broadcast("rules")
	r.base = s.Value("base")
	return nil
}

func (r *ruled) Process(ctx *process.Context, row process.Row) error {
	switch ctx.Port() {
	case 1:
		r.base.SetInt64(0, r.base.Int64(0)+row.Int64(1))
		return nil
	case 2:
		k := r.rules.Key()
		k.Copy(0, row.Column(0), row.Index())
		if row.Null(1) {
			if r.rules.Find() {
				r.rules.Remove()
			}
			return nil
		}
		created := r.rules.Put()
		r.rules.At().SetInt64(0, r.rules.At().Int64(0)*2+row.Int64(1))
		r.rules.At().Copy(1, row.Column(2), row.Index())
		if created && row.Int64(1) == 13 { // a rule that touches every key
			return ctx.EachKey(func() error {
				r.base.SetInt64(0, r.base.Int64(0)+1)
				return nil
			})
		}
		return nil
	}
	r.rules.Key().String(0, fmt.Sprint("rule", row.Int64(3)%4))
	found := r.rules.Find()
	say(ctx.Out(), row, "%v %d %q base %d of %d", found, r.rules.At().Int64(0), r.rules.At().String(1), r.base.Int64(0), r.rules.Len())
	return nil
}

// TestCoProcessBroadcast: two keyed inputs and a broadcast one, over restarts and rescales.
func TestCoProcessBroadcast(t *testing.T) {
	baseSchema := core.NewSchema(core.Field{Name: "k", Type: core.Of(core.String)}, core.Field{Name: "x", Type: core.Of(core.Int64)})
	variants(t, func(t *testing.T, restart, batchRows int) {
		account := memory.NewPool(0).Account("rows")
		rng := rand.New(rand.NewPCG(3, uint64(batchRows)))
		inputs := []*core.Schema{scriptSchema, baseSchema, rulesSchema}
		columns := make([][]*core.Vector, 3)
		for p, s := range inputs {
			for _, f := range s.Fields {
				columns[p] = append(columns[p], core.NewVector(account, f.Type, 0))
			}
		}
		w := &world{t: t, make: func() core.Operator {
			return process.New(process.Config{Name: "ruled", Ports: []process.Port{{Keys: []int{0}}, {Keys: []int{0}}, {Broadcast: true}}, Keyed: true,
				States: []process.Descriptor{{Name: "base", Fields: []core.Field{{Name: "x", Type: core.Of(core.Int64)}}}},
				Broadcasts: []process.Descriptor{{Name: "rules", Kind: process.MapKind, Keys: rulesSchema.Fields[:1],
					Fields: rulesSchema.Fields[1:]}}, New: func() process.Function { return &ruled{} }})
		}, inputs: inputs, keys: [][]int{{0}, {0}, nil}, broadcast: []bool{false, false, true}, output: saidSchema, account: account,
			restart: restart, batchRows: batchRows, outRows: 4}
		w.begin()
		type rule struct {
			factor int64
			text   string
		}
		rules, base := map[string]rule{}, map[string]int64{}
		var want []string
		for range 40 {
			port := rng.IntN(3)
			from := columns[port][0].Len()
			for range rng.IntN(8) {
				key, name := rng.IntN(5), "null"
				add := func(v *core.Vector) {
					if key == 0 {
						v.AppendNull()
					} else {
						name = fmt.Sprintf("%q", fmt.Sprint("k", key))
						v.AppendString(fmt.Sprint("k", key))
					}
				}
				x := rng.Int64N(20)
				switch port {
				case 0:
					add(columns[0][0])
					columns[0][1].AppendInt64(0)
					columns[0][2].AppendInt32(0)
					columns[0][3].AppendInt64(x)
					r, ok := rules[fmt.Sprint("rule", x%4)]
					want = append(want, fmt.Sprintf("main: %s | %q", name, fmt.Sprintf("%v %d %q base %d of %d", ok, r.factor, r.text, base[name], len(rules))))
				case 1:
					add(columns[1][0])
					columns[1][1].AppendInt64(x)
					base[name] += x
				default:
					rule := rule{}
					id := fmt.Sprint("rule", rng.IntN(6))
					columns[2][0].AppendString(id)
					old, there := rules[id]
					if rng.IntN(3) == 0 {
						columns[2][1].AppendNull()
						columns[2][2].AppendNull()
						delete(rules, id)
						continue
					}
					columns[2][1].AppendInt64(x)
					rule.factor = old.factor*2 + x
					if x%5 == 0 {
						columns[2][2].AppendNull()
					} else {
						rule.text = fmt.Sprint("text", x)
						columns[2][2].AppendString(rule.text)
					}
					rules[id] = rule
					if !there && x == 13 {
						for k := range base {
							base[k]++
						}
					}
				}
			}
			w.feed(port, columns[port], from, columns[port][0].Len())
		}
		w.end()
		same(t, w.emitted, want)
	})
}

// fail is a function that fails as it is told.
type fail struct {
	process.BaseFunction
	how   string
	base  *process.Value
	rules *process.Broadcast
}

func (f *fail) Open(s *process.Setup) error {
	if f.how == "open" {
		return errors.New("cannot open")
	}
	if f.how == "undeclared" {
		s.Value("nothing")
	}
	f.base, f.rules = s.Value("base"), s.Broadcast("rules")
	return nil
}

func (f *fail) Process(ctx *process.Context, row process.Row) error {
	if ctx.Port() == 1 {
		if f.how == "no key" {
			f.base.SetInt64(0, 1)
		}
		return nil
	}
	switch f.how {
	case "error":
		return errors.New("no good")
	case "panic":
		var none []int
		return fmt.Errorf("%d", none[row.Int64(0)])
	case "uneven":
		ctx.Out().Int64(0, 1)
		ctx.Out().End()
	case "read only":
		f.rules.Key().Int64(0, 1)
		f.rules.Put()
	case "timer":
		ctx.RegisterEventTimer(5)
	}
	return nil
}

func (f *fail) OnTimer(*process.Context, process.Timer) error { return errors.New("timer is bad") }

// TestUserErrors: what user code does wrong ends as an error that says where and with which row.
func TestUserErrors(t *testing.T) {
	for how, want := range map[string][]string{
		"open":       {"op: bad.Open: cannot open"},
		"undeclared": {"bad.Open panicked", `state "nothing"`},
		"error":      {`op: bad.Process of {"id":7,"k":"x"}: no good`},
		"panic":      {`op: bad.Process of {"id":7,"k":"x"} panicked: `, "index out of range", "coprocess_test.go"},
		"uneven":     {"0 values for column k", `{"id":7,"k":"x"}`},
		"read only":  {process.ErrReadOnly.Error(), `{"id":7,"k":"x"}`},
		"no key":     {process.ErrNoKey.Error(), `{"id":7,"k":"x"}`},
		"timer":      {`op: bad.OnTimer of key {"id":7} at 1970-01-01T00:00:00.000005Z: timer is bad`},
	} {
		t.Run(how, func(t *testing.T) {
			w := &world{t: t, make: func() core.Operator {
				return process.New(process.Config{Name: "bad", Ports: []process.Port{{Keys: []int{0}}, {Broadcast: true}}, Keyed: true,
					States:     []process.Descriptor{{Name: "base", Fields: idSchema.Fields[:1]}},
					Broadcasts: []process.Descriptor{{Name: "rules", Kind: process.MapKind, Keys: idSchema.Fields[:1], Fields: idSchema.Fields[1:]}},
					New:        func() process.Function { return &fail{how: how} }})
			}, inputs: []*core.Schema{idSchema, idSchema}, output: idSchema, outRows: 4}
			op := w.make()
			ctx, done := openFor(t, op, w.inputs, w.output)
			defer done()
			err := op.Open(ctx)
			out := &discard{}
			for port := range 2 {
				if err != nil {
					break
				}
				b := core.NewBatch(ctx.Account, idSchema)
				id, k := core.NewVector(ctx.Account, idSchema.Fields[0].Type, 1), core.NewVector(ctx.Account, idSchema.Fields[1].Type, 1)
				id.AppendInt64(7)
				k.AppendString("x")
				b.Columns, b.Len = append(b.Columns, id, k), 1
				err = op.Process(port, b, out)
			}
			if err == nil {
				err = op.Advance(10, out)
			}
			var user *process.UserError
			if !errors.As(err, &user) || core.IsPermanent(err) {
				t.Fatalf("error %v", err)
			}
			for _, part := range want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %v\nmisses %s", err, part)
				}
			}
		})
	}
}

// TestStateless: flat maps and filters, by row and by block, over batches with and without selections.
func TestStateless(t *testing.T) {
	account := memory.NewPool(0).Account("rows")
	rng := rand.New(rand.NewPCG(8, 8))
	const n = 150
	columns := []*core.Vector{testkit.RandomVector(rng, account, core.Of(core.Int64), n, 0.1, 50), testkit.RandomVector(rng, account, core.Of(core.String), n, 0.1, 20)}
	var twice, odd []string
	for i := range n {
		v := columns[0]
		if v.Null(i) {
			continue
		}
		for range v.Int64s()[i] & 1 * 2 {
			twice = append(twice, testkit.FormatRow(columns, i))
		}
		if v.Int64s()[i]&1 != 0 {
			odd = append(odd, testkit.FormatRow(columns, i))
		}
	}
	isOdd := func(r process.Row) bool { return !r.Null(0) && r.Int64(0)&1 != 0 }
	for name, c := range map[string]struct {
		make func() core.Operator
		want []string
	}{
		"flat map": {func() core.Operator {
			return process.NewFlatMap("twice", func(r process.Row, out *process.Output) error {
				if isOdd(r) {
					out.Row(r)
					out.Row(r)
				}
				return nil
			})
		}, twice},
		"flat map by blocks": {func() core.Operator {
			return process.NewFlatMapBlocks("twice", func(in *process.Block, out *process.Output) error {
				for i := range in.Len() {
					if r := process.RowOf(in.Batch, in.Row(i)); isOdd(r) {
						out.Row(r)
						out.Row(r)
					}
				}
				return nil
			})
		}, twice},
		"filter": {func() core.Operator {
			return process.NewFilter("odd", func(r process.Row) (bool, error) { return isOdd(r), nil })
		}, odd},
		"filter by blocks": {func() core.Operator {
			return process.NewFilterBlocks("odd", func(b *core.Batch, sel []int32) ([]int32, error) {
				for i := range b.Rows() {
					if isOdd(process.RowOf(b, b.Row(i))) {
						sel = append(sel, int32(b.Row(i)))
					}
				}
				return sel, nil
			})
		}, odd},
	} {
		t.Run(name, func(t *testing.T) {
			h := &testkit.Harness{New: c.make, Input: idSchema, Output: idSchema, Columns: columns}
			h.Run(t, func(t *testing.T, v testkit.Variant, log *testkit.Log) {
				var got []string
				for _, e := range log.Emitted {
					got = append(got, e.Row)
				}
				if !slices.Equal(got, c.want) {
					t.Fatalf("got  %q\nwant %q", got, c.want)
				}
				if strings.HasPrefix(name, "filter") && log.Count.Filtered != int64(n-len(c.want)) {
					t.Errorf("%d counted as filtered, want %d", log.Count.Filtered, n-len(c.want))
				}
			})
		})
	}
	t.Run("panic", func(t *testing.T) {
		op := process.NewFilter("odd", func(process.Row) (bool, error) { panic("no") })
		ctx, done := openFor(t, op, []*core.Schema{idSchema}, idSchema)
		defer done()
		if err := op.Open(ctx); err != nil {
			t.Fatal(err)
		}
		b := core.NewBatch(ctx.Account, idSchema)
		for _, v := range columns {
			b.Columns = append(b.Columns, v.Retain())
		}
		b.Len = n
		var user *process.UserError
		if err := op.Process(0, b, &discard{}); !errors.As(err, &user) || !user.Panicked {
			t.Errorf("error %v", err)
		}
	})
}
