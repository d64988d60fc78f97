package process_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/memory"
)

var changes = &core.Schema{Fields: []core.Field{{Name: "n", Type: core.Of(core.Int64)}, {Name: "rules", Type: core.Of(core.Int64)}}, TimeColumn: -1, Changelog: true}

// tally keeps the count of a whole stream as a changelog, and how many rules there are; a timer says the end.
type tally struct {
	process.BaseFunction
	n     *process.Value
	rules *process.Broadcast
}

func (f *tally) Open(s *process.Setup) error {
	f.n, f.rules = s.Value("n"), s.Broadcast("rules")
	return nil
}

func (f *tally) say(out *process.Output, kind core.RowKind) {
	out.Int64(0, f.n.Int64(0))
	out.Int64(1, int64(f.rules.Len()))
	out.EndAs(kind)
}

func (f *tally) Process(ctx *process.Context, row process.Row) error {
	if ctx.Port() == 1 {
		f.rules.Key().Int64(0, row.Int64(0))
		f.rules.Put()
		return nil
	}
	if f.n.Present() {
		f.say(ctx.Out(), core.UpdateBefore)
		f.n.SetInt64(0, f.n.Int64(0)+row.Int64(2))
		f.say(ctx.Out(), core.UpdateAfter)
	} else {
		f.n.SetInt64(0, row.Int64(2))
		f.say(ctx.Out(), core.Insert)
	}
	ctx.RegisterEventTimer(core.MaxTime)
	return nil
}

func (f *tally) OnTimer(ctx *process.Context, _ process.Timer) error {
	f.say(ctx.Out(), core.Delete)
	f.n.Clear()
	return nil
}

func (f *tally) EndInput(ctx *process.Context, port int) error {
	if port == 0 && f.rules.Len() > 0 {
		ctx.Out().Int64(0, -1)
		ctx.Out().Int64(1, int64(f.rules.Len()))
		ctx.Out().End()
	}
	return nil
}

// TestAlone: an operator keyed by nothing lives on worker 0 alone, with its broadcast state; its output is a changelog; the end of input is told.
func TestAlone(t *testing.T) {
	variants(t, func(t *testing.T, restart, batchRows int) {
		account := memory.NewPool(0).Account("rows")
		w := &world{t: t, make: func() core.Operator {
			return process.New(process.Config{Name: "tally", Ports: []process.Port{{}, {Broadcast: true}}, Keyed: true,
				States:     []process.Descriptor{{Name: "n", Fields: []core.Field{{Name: "n", Type: core.Of(core.Int64)}}}},
				Broadcasts: []process.Descriptor{{Name: "rules", Kind: process.MapKind, Keys: numbers.Fields[:1]}},
				New:        func() process.Function { return &tally{} }})
		}, inputs: []*core.Schema{numbers, numbers}, keys: [][]int{{}, {}}, broadcast: []bool{false, false}, alone: true, output: changes, account: account,
			restart: restart, batchRows: batchRows, outRows: 3}
		var columns []*core.Vector
		for _, f := range numbers.Fields {
			v := core.NewVector(account, f.Type, 0)
			for i := range int64(20) {
				v.AppendInt64(i)
			}
			columns = append(columns, v)
		}
		w.begin()
		var want []string
		rules, sum := 0, int64(0)
		for from := 0; from < 20; from += 5 {
			w.feed(1, columns, from, from+3)
			rules += 3
			w.feed(0, columns, from, from+5)
			for i := from; i < from+5; i++ {
				if i == 0 {
					want = append(want, fmt.Sprint("main: +I 0 | ", rules))
					continue
				}
				want = append(want, fmt.Sprintf("main: -U %d | %d", sum, rules), fmt.Sprintf("main: +U %d | %d", sum+int64(i), rules))
				sum += int64(i)
			}
			w.advance(core.Time(from + 1))
		}
		w.advance(core.MaxTime)
		want = append(want, fmt.Sprintf("main: -D %d | %d", sum, rules), fmt.Sprint("main: +I -1 | ", rules))
		w.end()
		if !slices.Equal(w.emitted, want) {
			t.Errorf("got  %s\nwant %s", strings.Join(w.emitted, "\n     "), strings.Join(want, "\n     "))
		}
	})
}

// TestBadConfigs: what cannot work is refused when the operator opens, and leaves nothing behind.
func TestBadConfigs(t *testing.T) {
	x := numbers.Fields[2:]
	list := process.Descriptor{Name: "list", Kind: process.ListKind, Fields: x, TTL: process.TTL{After: 1000}}
	fn := func() process.Function { return &tally{} }
	for want, c := range map[string]process.Config{
		`value state "": it has no name`:                  {States: []process.Descriptor{list, {Fields: x}}},
		`two states are named "list"`:                     {States: []process.Descriptor{list, {Name: "list", Fields: x}}},
		`map state "m": it needs key fields`:              {States: []process.Descriptor{list, {Name: "m", Kind: process.MapKind}}},
		"its time to live is -1ns":                        {States: []process.Descriptor{{Name: "v", Fields: x, TTL: process.TTL{After: -1}}}},
		"below a microsecond":                             {States: []process.Descriptor{{Name: "v", Fields: x, TTL: process.TTL{After: 1}}}},
		"it has no Reduce function":                       {States: []process.Descriptor{{Name: "v", Kind: process.ReducingKind, Fields: x}}},
		"one of an Add function and Calls":                {States: []process.Descriptor{{Name: "v", Kind: process.AggregatingKind, Fields: x}}},
		"key column 9 of 3":                               {Ports: []process.Port{{Keys: []int{9}}}},
		"the keys of inputs 0 and 1 differ":               {Ports: []process.Port{{Keys: []int{0}}, {Keys: []int{1}}}},
		"2 ports for 1 inputs":                            {Ports: []process.Port{{}, {}}},
		"it must be a map without a time to live":         {Broadcasts: []process.Descriptor{list}},
		"it needs one of a function and a batch function": {NewBatch: func() process.BatchFunction { return nil }},
	} {
		t.Run(want, func(t *testing.T) {
			inputs := []*core.Schema{numbers}
			if len(c.Ports) == 2 && c.Ports[0].Keys != nil {
				inputs = append(inputs, numbers)
			}
			if c.Ports == nil {
				c.Ports = []process.Port{{Keys: []int{0}}}
			}
			c.Keyed, c.New = true, fn
			op := process.New(c)
			ctx, done := openFor(t, op, inputs, numbers)
			defer done()
			if err := op.Open(ctx); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v", err)
			}
		})
	}
}
