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
