package state_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"turbo/core"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
)

// A bag against a multiset of rendered rows, over drops, checkpoints and restarts at other parallelism.
func TestBag(t *testing.T) {
	const groups = 8
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 3))
		pool := memory.NewPool(0)
		account := pool.Account("t")
		var fields []core.Field
		for i, typ := range testkit.Types() {
			fields = append(fields, core.Field{Name: fmt.Sprint("c", i), Type: typ})
		}
		var pages testkit.Pages
		var backends []*state.Backend
		var tables []*state.Table
		start := func(workers, checkpoint int) {
			for _, b := range backends {
				b.Close()
			}
			backends, tables = nil, nil
			for w := range workers {
				from, to := core.KeyGroupRange(w, groups, workers)
				b := state.NewBackend(groups, from, to, pages.At(checkpoint))
				bag, err := b.Operator("op", account).(state.Bags).Bag("rows", fields)
				if err != nil {
					t.Fatal(err)
				}
				backends, tables = append(backends, b), append(tables, bag)
			}
		}
		start(1, 0)
		read := func(table *state.Table, slots []uint32) (out []string) {
			var columns []*core.Vector
			for i, f := range fields {
				v := core.NewVector(account, f.Type, 0)
				if err := table.AppendValues(v, i, slots); err != nil {
					t.Fatal(err)
				}
				defer v.Release()
				columns = append(columns, v)
			}
			for i, s := range slots {
				out = append(out, fmt.Sprint(table.Group(s), " ", testkit.FormatRow(columns, i)))
			}
			return out
		}
		all := func() (out []string) {
			for _, table := range tables {
				if err := table.Scan(func(slots []uint32) error { out = append(out, read(table, slots)...); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(out)
			return out
		}
		var model []string
		for range 60 {
			for w, table := range tables {
				from, to := core.KeyGroupRange(w, groups, len(tables))
				n := 1 + rng.IntN(200)
				var columns []*core.Vector
				for _, f := range fields {
					columns = append(columns, testkit.RandomVector(rng, account, f.Type, n, []float64{0, 0.2}[rng.IntN(2)], 50))
				}
				given := make([]int32, n)
				for i := range given {
					given[i] = int32(from + rng.IntN(to-from))
				}
				slots := make([]uint32, n)
				if _, err := table.Insert(given, n, slots); err != nil {
					t.Fatal(err)
				}
				var sel []int32
				if rng.IntN(2) == 0 {
					for i := range n {
						sel = append(sel, int32(n-1-i))
					}
				}
				for i, v := range columns {
					if err := table.SetColumn(i, slots, v, sel, 0); err != nil {
						t.Fatal(err)
					}
				}
				for i := range n {
					row := i
					if sel != nil {
						row = n - 1 - i
					}
					model = append(model, fmt.Sprint(given[i], " ", testkit.FormatRow(columns, row)))
				}
				for _, v := range columns {
					v.Release()
				}
				var victims []uint32
				share := rng.Float64()
				_ = table.Scan(func(slots []uint32) error {
					for _, s := range slots {
						if rng.Float64() < share {
							victims = append(victims, s)
						}
					}
					return nil
				})
				for _, row := range read(table, victims) {
					i := slices.Index(model, row)
					if i < 0 {
						t.Fatalf("seed %d: %s is not in the model", seed, row)
					}
					model = slices.Delete(model, i, i+1)
				}
				if err := table.Drop(victims); err != nil {
					t.Fatal(err)
				}
			}
			if rng.IntN(5) == 0 {
				sink := pages.Begin()
				for _, b := range backends {
					s, err := b.Freeze()
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Write(sink); err != nil {
						t.Fatal(err)
					}
					if err := s.Complete(); err != nil {
						t.Fatal(err)
					}
				}
				start(1+rng.IntN(3), pages.Complete())
			}
			slices.Sort(model)
			if got := all(); !slices.Equal(got, model) {
				t.Fatalf("seed %d: %d rows, want %d", seed, len(got), len(model))
			}
		}
		if _, err := tables[0].Upsert(nil, []uint64{1}, nil, 1, make([]uint32, 1), nil); err == nil {
			t.Error("a bag was asked for a key")
		}
		for _, b := range backends {
			b.Close()
		}
		if err := pool.CheckZero(); err != nil {
			t.Fatal(err)
		}
	}
}
