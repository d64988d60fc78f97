package window_test

import (
	"math/rand/v2"
	"testing"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops/window"
	"turbo/memory"
)

// results keeps the sum of each key and window, and that there is one only.
type results struct {
	t    *testing.T
	sums map[[2]int64]int64
}

func (r *results) Emit(b *core.Batch) error {
	for i := range b.Len {
		at := [2]int64{b.Columns[0].Int64s()[i], b.Columns[1].Int64s()[i]}
		if _, twice := r.sums[at]; twice {
			r.t.Errorf("key %d, window of %d: a second result", at[0], at[1])
		}
		r.sums[at] = b.Columns[3].Int64s()[i]
	}
	b.Release()
	return nil
}

func (r *results) Full() bool { return false }

// phase is rows of keys, each up to late behind the time, which goes on by step a hundred and fifty of them.
type phase struct{ rows, keys, first, late, step, flush int64 }

// TestDenseTumbling goes through what tumbling windows kept densely meet, with flushes as before a checkpoint anywhere. Every sum is that of a map.
func TestDenseTumbling(t *testing.T) {
	for name, phases := range map[string][]phase{
		"more-keys":    {{rows: 60_000, keys: 500, late: 400, step: 2, flush: 7}, {rows: 60_000, keys: 5000, late: 2500, step: 20, flush: 9}, {rows: 20_000, keys: 50, late: 100, step: 90}},
		"many-windows": {{rows: 60_000, keys: 300, late: 900, step: 9, flush: 5}, {rows: 60_000, keys: 300, late: 9000, step: 40, flush: 50}},
		"come-and-go":  {{rows: 700_000, keys: 300, first: 200, late: 100, step: 5}},
		"too-many":     {{rows: 80_000, keys: 90_000, late: 100, step: 1}, {rows: 1_100_000, keys: 100, late: 100, step: 1}, {rows: 20_000, keys: 200, late: 1500, step: 30, flush: 2}},
		"row-a-key":    {{rows: 60_000, keys: 20_000, late: 400, step: 100, flush: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testTumbling(t, phases)
		})
	}
}

func testTumbling(t *testing.T, phases []phase) {
	op := openBench(t, window.Config{Keys: []int{0}, Kind: window.Tumbling, Size: 1000, Calls: sumCalls}, keyedSchema())
	feedPhases(t, op, 1000, 1000, phases, nil)
}

func keyedSchema() *core.Schema {
	schema := core.NewSchema(core.Field{Name: "k", Type: core.Of(core.Int64)}, core.Field{Name: "v", Type: core.Of(core.Int64)}, core.Field{Name: "ts", Type: core.Of(core.Timestamp)})
	schema.TimeColumn = 2
	return schema
}

// feedPhases gives the phases to an operator of windows of a size and a slide, and compares all sums with those of a map. look is called after each phase.
func feedPhases(t *testing.T, op core.Operator, size, slide int64, phases []phase, look func(phase int)) {
	schema := keyedSchema()
	const rows, behind = 1500, 10_000
	account := memory.NewPool(0).Account("rows")
	got := &results{t, map[[2]int64]int64{}}
	want := map[[2]int64]int64{}
	rng := rand.New(rand.NewPCG(3, 4))
	now := int64(behind)
	for n, p := range phases {
		for batch := int64(0); batch*rows < p.rows; batch++ {
			b := core.NewBatch(account, schema)
			for _, f := range schema.Fields {
				b.Columns = append(b.Columns, core.NewVector(account, f.Type, rows))
			}
			b.Len = rows
			for range b.Len {
				key, at, v := batch*p.first+rng.Int64N(p.keys), now-rng.Int64N(p.late), rng.Int64N(1000)-300
				b.Columns[0].AppendInt64(key)
				b.Columns[1].AppendInt64(v)
				b.Columns[2].AppendInt64(at)
				for start := at / slide * slide; start > at-size; start -= slide {
					want[[2]int64{key, start}] += v
				}
			}
			hash.Columns(b.Columns[:1], b.Len, nil, b.MakeHashes())
			if err := op.Process(0, b, got); err != nil {
				t.Fatal(err)
			}
			now += 10 * p.step
			if err := op.Advance(core.Time(now-behind), got); err != nil { // no row is late
				t.Fatal(err)
			}
			if p.flush > 0 && batch%p.flush == 0 {
				if err := op.Flush(got); err != nil {
					t.Fatal(err)
				}
			}
		}
		if look != nil {
			look(n)
		}
	}
	if err := op.Advance(core.MaxTime, got); err != nil {
		t.Fatal(err)
	}
	for at, sum := range want {
		if got.sums[at] != sum {
			t.Fatalf("key %d, window of %d: %d, want %d", at[0], at[1], got.sums[at], sum)
		}
	}
	if len(got.sums) != len(want) {
		t.Errorf("%d results, want %d", len(got.sums), len(want))
	}
}
