package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops"
	"turbo/memory"
	"turbo/plan"
	"turbo/state"
)

// TestAggregateExamples runs the examples of the reference: what it says is so.
func TestAggregateExamples(t *testing.T) {
	account := memory.NewPool(0).Account("test")
	for i, f := range ops.Functions() {
		if got := ops.Function(i).String(); got != f.Name {
			t.Errorf("function %d is %s and %s", i, got, f.Name)
		}
		examples := f.ExampleList()
		if f.Accumulator != "" { // a test's
			continue
		}
		if f.Doc == "" || len(f.Signatures) == 0 || len(examples) == 0 {
			t.Errorf("%s lacks a signature, a text or an example", f.Name)
		}
		for _, e := range examples {
			if got := runExample(t, account, e); got != e.Result {
				t.Errorf("%s over %s: %s, want %s", e.Call, e.Over, got, e.Result)
			}
		}
	}
}

type nothing struct{ ops.Aggregator }

func init() {
	plan.RegisterAggregate(ops.UserAggregate{Name: "NOTHING", Accumulator: "(n BIGINT, f DOUBLE)", Type: func(t core.Type) (core.Type, error) { return t, nil },
		New: func(core.Type, []any) (ops.Aggregator, error) { return nothing{}, nil }})
}

// TestAggregateState: what the state of an aggregate depends on is in the plan's signature: the function with its parameters, and how a program encodes it.
func TestAggregateState(t *testing.T) {
	for call, want := range map[string]string{
		"NOTHING(v)":                  "NOTHING(DOUBLE) DOUBLE by (n BIGINT, f DOUBLE)",
		"\"APPROX_QUANTILE(v, 0.9)\"": "APPROX_QUANTILE(DOUBLE, 0.9) DOUBLE",
		"STDDEV(v)":                   "STDDEV_SAMP(DOUBLE) DOUBLE",
		"COUNT(DISTINCT k)":           "COUNT(DISTINCT STRING) BIGINT NOT NULL",
	} {
		text, err := json.Marshal(build(t, "SUM(v)", call).Signature())
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s lacks %s (%v)", call, text, want, err)
		}
	}
}

// over returns the rows of an example.
func over(t *testing.T, account *memory.Account, list string) *core.Vector {
	p, err := expr.CompileText("ARRAY["+list+"]", core.NewSchema(), expr.Options{})
	if err != nil {
		t.Fatal(list, err)
	}
	b := core.NewBatch(account, core.NewSchema())
	b.Len = 1
	v, err := p.Eval(&expr.Context{Account: account}, b)
	if err != nil {
		t.Fatal(list, err)
	}
	return v.Child(0)
}

func runExample(t *testing.T, account *memory.Account, e ops.Example) string {
	x := over(t, account, e.Over)
	input := core.NewSchema(core.Field{Name: "x", Type: x.Type})
	column, err := plan.NewAggregateColumn("r", e.Call, nil, input)
	if err != nil {
		t.Fatal(e.Call, err)
	}
	source := &plan.Source{}
	source.Schema = input
	node, err := plan.NewAggregate(plan.Place{Name: "a"}, source, nil, []*plan.AggregateColumn{column}, false)
	if err != nil {
		t.Fatal(e.Call, err)
	}
	planned := node.(*plan.Aggregate).Calls[0]
	argument := 0
	if planned.Argument == "" {
		argument = -1
	}
	call, err := planned.Bind(argument)
	if err != nil {
		t.Fatal(err)
	}
	calls := []ops.Call{call}
	table, err := state.New(state.Options{Operator: "op", Table: "t", Values: ops.StateFields(calls, input), Account: account, KeyGroups: 1, To: 1, Bag: true})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	slots := make([]uint32, 1)
	if _, err := table.Insert([]int32{0}, 1, slots); err != nil {
		t.Fatal(err)
	}
	a, err := ops.NewAccumulators(calls, input, table, 0)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]uint32, x.Len())
	for i := range rows {
		rows[i] = slots[0]
	}
	if err := a.Update([]*core.Vector{x}, ops.Rows{Slots: rows}); err != nil {
		t.Fatal(e.Call, err)
	}
	out := core.NewVector(account, planned.Output.Type, 1)
	if err := a.Emit([]*core.Vector{out}, slots); err != nil {
		t.Fatal(e.Call, err)
	}
	return expr.FormatValue(out, 0)
}
