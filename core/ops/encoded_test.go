package ops_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
)

// numbered is accumulators in a bag whose rows have a number.
type numbered struct {
	*state.Table
	*ops.Accumulators
}

func newNumbered(t *testing.T, account *memory.Account, calls []ops.Call, input *core.Schema) numbered {
	values := append([]core.Field{{Name: "number", Type: core.Of(core.Int64).Required()}}, ops.StateFields(calls, input)...)
	table, err := state.New(state.Options{Operator: "op", Table: "t", Values: values, Account: account, KeyGroups: 1, To: 1, Bag: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := ops.NewAccumulators(calls, input, table, 1)
	if err != nil {
		t.Fatal(err)
	}
	return numbered{table, a}
}

// results renders the aggregates by the rows' numbers.
func (n numbered) results(t *testing.T, account *memory.Account, calls []ops.Call, typ core.Type) []string {
	var out []string
	numbers := n.Ints(0)
	err := n.Scan(func(slots []uint32) error {
		for _, s := range slots {
			vectors := emitOne(t, mergeTable(n), account, calls, typ, s)
			for int64(len(out)) <= numbers.At(s) {
				out = append(out, "")
			}
			out[numbers.At(s)] = testkit.FormatRow(vectors, 0)
			for _, v := range vectors {
				v.Release()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestChangesWhileWritten: rows and merges go on while a checkpoint is being written, which has the state of its barrier.
func TestChangesWhileWritten(t *testing.T) {
	const slots = 12
	typ := core.Of(core.Int64)
	input := core.NewSchema(core.Field{Name: "v", Type: typ})
	calls := moreCalls()
	pool := memory.NewPool(0)
	account := pool.Account("op")
	live := newNumbered(t, account, calls, input)
	all := make([]uint32, slots)
	if _, err := live.Insert(make([]int32, slots), slots, all); err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		live.Ints(0).Set(s, int64(i))
	}
	rng := rand.New(rand.NewPCG(6, 6))
	change := func() {
		n := 1 + rng.IntN(200)
		v, at := core.NewVector(account, typ, n), make([]uint32, n)
		defer v.Release()
		for i := range n {
			at[i] = all[rng.IntN(slots)]
			v.AppendInt64(rng.Int64N(1 << rng.IntN(20)))
		}
		if err := live.Touch(all); err != nil {
			t.Fatal(err)
		}
		if err := live.Update([]*core.Vector{v}, ops.Rows{Slots: at}); err != nil {
			t.Fatal(err)
		}
		to, from := rng.IntN(slots), rng.IntN(slots)
		if err := live.Merge([]uint32{all[to]}, live.Accumulators, []uint32{all[from]}); to != from && err != nil {
			t.Fatal(err)
		}
		live.Clear(all[from : from+1])
	}
	var pages testkit.Pages
	for range 25 {
		for range rng.IntN(4) {
			change()
		}
		want := live.results(t, account, calls, typ)
		frozen, err := live.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		sink, written := pages.Begin(), make(chan error)
		go func() { written <- frozen.Write(sink) }()
		for range rng.IntN(6) {
			change()
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if err := frozen.Complete(); err != nil {
			t.Fatal(err)
		}
		restored := newNumbered(t, account, calls, input)
		if err := restored.Restore(pages.At(pages.Complete())); err != nil {
			t.Fatal(err)
		}
		if got := restored.results(t, account, calls, typ); !slices.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
		restored.Close()
	}
	live.Close()
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
}
