package window_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops/window"
	"turbo/memory"
)

// sessions keeps the sums of the sessions of each key, and that none ends in the future or after a later one.
type sessions struct {
	t    *testing.T
	now  core.Time
	sums map[[3]int64]int64
	last map[int64]int64
}

func (r *sessions) Emit(b *core.Batch) error {
	for i := range b.Len {
		at := [3]int64{b.Columns[0].Int64s()[i], b.Columns[1].Int64s()[i], b.Columns[2].Int64s()[i]}
		if _, twice := r.sums[at]; twice {
			r.t.Errorf("session %v: a second result", at)
		}
		if at[2]-1 > int64(r.now) {
			r.t.Errorf("session %v speaks at %d", at, r.now)
		}
		if at[2] <= r.last[at[0]] {
			r.t.Errorf("session %v speaks after the one that ends at %d", at, r.last[at[0]])
		}
		r.last[at[0]], r.sums[at] = at[2], b.Columns[3].Int64s()[i]
	}
	b.Release()
	return nil
}

func (r *sessions) Full() bool { return false }

// TestSweep goes through busy and quiet times, few and many keys, so that event time begins to sweep and stops sweeping, and compares all sessions with those that
// come of sorting each key's rows.
func TestSweep(t *testing.T) {
	type step struct {
		batches, rows, keys, idle int // batches of so many rows, each followed by idle watermarks more
		sweeps                    bool
	}
	for name, steps := range map[string][]step{
		"busy":       {{60, 1500, 300, 0, true}, {60, 1500, 5000, 0, true}},
		"busy-quiet": {{40, 1500, 2000, 0, true}, {200, 3, 2000, 1, false}, {80, 1500, 2000, 0, true}, {3, 20, 10, 60, false}},
		"many-keys":  {{60, 1500, 3000, 0, true}, {60, 700, 60_000, 0, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const gap, behind = 700, 3000
			schema := keyedSchema()
			op := openBench(t, window.Config{Keys: []int{0}, Kind: window.Session, Gap: gap, GapColumn: -1, Calls: sumCalls}, schema)
			account := memory.NewPool(0).Account("rows")
			got := &sessions{t: t, sums: map[[3]int64]int64{}, last: map[int64]int64{}}
			rng := rand.New(rand.NewPCG(7, 8))
			byKey := map[int64][][2]int64{}
			now := int64(behind)
			advance := func(at core.Time) {
				got.now = at
				if err := op.Advance(at, got); err != nil {
					t.Fatal(err)
				}
			}
			for n, s := range steps {
				for range s.batches {
					b := core.NewBatch(account, schema)
					for _, f := range schema.Fields {
						b.Columns = append(b.Columns, core.NewVector(account, f.Type, s.rows))
					}
					b.Len = s.rows
					for range b.Len {
						key, at, v := rng.Int64N(int64(s.keys)), now-rng.Int64N(behind), rng.Int64N(1000)-300
						b.Columns[0].AppendInt64(key)
						b.Columns[1].AppendInt64(v)
						b.Columns[2].AppendInt64(at)
						byKey[key] = append(byKey[key], [2]int64{at, v})
					}
					hash.Columns(b.Columns[:1], b.Len, nil, b.MakeHashes())
					if err := op.Process(0, b, got); err != nil {
						t.Fatal(err)
					}
					for range 1 + s.idle {
						now += rng.Int64N(90)
						advance(core.Time(now - behind))
					}
				}
				if got := window.Sweeps(op); got != s.sweeps {
					t.Errorf("after step %d: sweeps: %t, want %t", n, got, s.sweeps)
				}
			}
			advance(core.MaxTime)
			want := 0
			for key, rows := range byKey {
				slices.SortFunc(rows, func(a, b [2]int64) int { return int(a[0] - b[0]) })
				for len(rows) > 0 {
					n, sum := 0, int64(0)
					for n < len(rows) && (n == 0 || rows[n][0]-rows[n-1][0] <= gap) {
						sum += rows[n][1]
						n++
					}
					at := [3]int64{key, rows[0][0], rows[n-1][0] + gap}
					if have, ok := got.sums[at]; !ok || have != sum {
						t.Fatalf("session %v: %d (%t), want %d", at, have, ok, sum)
					}
					want++
					rows = rows[n:]
				}
			}
			if len(got.sums) != want {
				t.Errorf("%d sessions, want %d", len(got.sums), want)
			}
		})
	}
}

// TestSessionAtTheEndOfTime has rows whose gap ends at the last instant, just behind it, and far behind it: their sessions end at the last instant.
func TestSessionAtTheEndOfTime(t *testing.T) {
	const gap = 700
	end := int64(core.MaxTime)
	schema := keyedSchema()
	op := openBench(t, window.Config{Keys: []int{0}, Kind: window.Session, Gap: gap, GapColumn: -1, Calls: sumCalls}, schema)
	b := core.NewBatch(memory.NewPool(0).Account("rows"), schema)
	for _, f := range schema.Fields {
		b.Columns = append(b.Columns, core.NewVector(memory.NewPool(0).Account("rows"), f.Type, 6))
	}
	for _, row := range [][2]int64{{1, end - gap + 1}, {1, end - gap + 1}, {2, end - gap}, {3, end - 5}, {4, end - 2*gap + 5}, {4, end - gap + 5}} {
		b.Columns[0].AppendInt64(row[0])
		b.Columns[1].AppendInt64(1)
		b.Columns[2].AppendInt64(row[1])
		b.Len++
	}
	hash.Columns(b.Columns[:1], b.Len, nil, b.MakeHashes())
	got := &sessions{t: t, now: core.MaxTime, sums: map[[3]int64]int64{}, last: map[int64]int64{}}
	if err := op.Process(0, b, got); err != nil {
		t.Fatal(err)
	}
	if err := op.Advance(core.MaxTime, got); err != nil {
		t.Fatal(err)
	}
	want := map[[3]int64]int64{{1, end - gap + 1, end}: 2, {2, end - gap, end}: 1, {3, end - 5, end}: 1, {4, end - 2*gap + 5, end}: 2}
	if !maps.Equal(got.sums, want) {
		t.Errorf("sessions and their sums: %v, want %v", got.sums, want)
	}
}
