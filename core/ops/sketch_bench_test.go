package ops_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"turbo/core"
	"turbo/core/ops"
	"turbo/memory"
	"turbo/state"
)

// onProcessor reports the processor's time of a row instead of the clock's: machines are shared.
func onProcessor(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := used()
	return func() {
		b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkDistinct counts the different values of each of some keys: by a map of sets, the simplest loop with the same answer, exactly, and by HyperLogLog. An operation is a row.
func BenchmarkDistinct(b *testing.B) {
	for _, c := range []struct{ keys, values int }{{1, 1000}, {1, 100_000}, {1, 1_000_000}, {1000, 10}, {1000, 1000}, {100_000, 10}} {
		const rows = 1 << 20
		rng := rand.New(rand.NewPCG(1, 1))
		account := memory.NewPool(0).Account("bench")
		typ := core.Of(core.Int64).Required()
		var slots [][]uint32
		var values []*core.Vector
		for range rows / benchRows {
			v, s := core.NewVector(account, typ, benchRows), make([]uint32, benchRows)
			for i := range s {
				s[i] = uint32(rng.IntN(c.keys))
				v.AppendInt64(rng.Int64N(int64(c.values)))
			}
			slots, values = append(slots, s), append(values, v)
		}
		name := fmt.Sprintf("keys=%d,values=%d/", c.keys, c.values)
		want := int64(-1)
		b.Run(name+"map", func(b *testing.B) {
			defer onProcessor(b)()
			for n := 0; n < b.N; n += rows {
				sets := make([]map[int64]struct{}, c.keys)
				for i := range sets {
					sets[i] = map[int64]struct{}{}
				}
				for k, s := range slots {
					for i, x := range values[k].Int64s() {
						sets[s[i]][x] = struct{}{}
					}
				}
				want = 0
				for _, s := range sets {
					want += int64(len(s))
				}
			}
		})
		for _, f := range []ops.Function{ops.CountDistinct, ops.ApproxCountDistinct} {
			b.Run(name+f.String(), func(b *testing.B) {
				defer onProcessor(b)()
				for n := 0; n < b.N; n += rows {
					got := countDistinct(b, f, c.keys, typ, slots, values)
					if off := float64(got)/float64(want) - 1; want >= 0 && (off > 0.06 || off < -0.06 || f == ops.CountDistinct && got != want) {
						b.Fatalf("%d, want %d", got, want)
					}
				}
			})
		}
	}
}

// countDistinct returns the sum of the counts.
func countDistinct(b *testing.B, f ops.Function, keys int, typ core.Type, slots [][]uint32, values []*core.Vector) (sum int64) {
	account := memory.NewPool(0).Account("op")
	calls := []ops.Call{{Function: f, Name: "n"}}
	input := core.NewSchema(core.Field{Name: "v", Type: typ})
	table, err := state.New(state.Options{Operator: "op", Table: "t", Values: ops.StateFields(calls, input), Account: account, KeyGroups: 1, To: 1, Bag: true})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	made := make([]uint32, keys)
	if _, err := table.Insert(make([]int32, keys), keys, made); err != nil {
		b.Fatal(err)
	}
	a, err := ops.NewAccumulators(calls, input, table, 0)
	if err != nil {
		b.Fatal(err)
	}
	for k, s := range slots {
		if err := a.Update(values[k:k+1], ops.Rows{Slots: s}); err != nil {
			b.Fatal(err)
		}
	}
	out := core.NewVector(account, core.Of(core.Int64).Required(), keys)
	if err := a.Emit([]*core.Vector{out}, made); err != nil {
		b.Fatal(err)
	}
	for _, n := range out.Int64s() {
		sum += n
	}
	return sum
}
