package state_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"turbo/core"
	"turbo/core/hash"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
)

const keyGroups = 16

// world is a table divided over workers beside a naive map.
type world struct {
	t            *testing.T
	rng          *rand.Rand
	pool         *memory.Pool
	account      *memory.Account
	keys, values []core.Field
	domain       int
	workers      []*state.Table
	rows         map[string][]string // by rendered key: rendered values
	pages        testkit.Pages
	last         int                 // completed checkpoint
	lastRows     map[string][]string // its contents
	frozen       []*state.Frozen
	frozenRows   map[string][]string
	written      chan error
	writers      sync.WaitGroup
}

func clone(rows map[string][]string) map[string][]string {
	out := maps.Clone(rows)
	for k, v := range out {
		out[k] = slices.Clone(v)
	}
	return out
}

// start makes the tables of so many workers, restored from the last checkpoint.
func (w *world) start(workers int) {
	for _, t := range w.workers {
		t.Close()
	}
	w.workers = nil
	for i := range workers {
		from, to := core.KeyGroupRange(i, keyGroups, workers)
		t, err := state.New(state.Options{Operator: "op", Table: "t", Keys: w.keys, Values: w.values, Account: w.account,
			KeyGroups: keyGroups, From: from, To: to})
		if err != nil {
			w.t.Fatal(err)
		}
		if err := t.Restore(w.pages.At(w.last)); err != nil {
			w.t.Fatal(err)
		}
		w.workers = append(w.workers, t)
	}
	w.rows = clone(w.lastRows)
}

// batch is random rows with their hashes.
func (w *world) batch(n int) (keys, values []*core.Vector, hashes []uint64) {
	for _, f := range w.keys {
		keys = append(keys, testkit.RandomVector(w.rng, w.account, f.Type, n, 0.1, w.domain))
	}
	for _, f := range w.values {
		values = append(values, testkit.RandomVector(w.rng, w.account, f.Type, n, 0.2, 1000))
	}
	hashes = make([]uint64, n)
	hash.Columns(keys, n, nil, hashes)
	return keys, values, hashes
}

// owned returns the selected rows that worker i owns.
func (w *world) owned(i int, hashes []uint64, sel []int32) []int32 {
	out := []int32{}
	for r := range hashes {
		if sel != nil && !slices.Contains(sel, int32(r)) {
			continue
		}
		if core.WorkerOf(core.KeyGroup(hashes[r], keyGroups), keyGroups, len(w.workers)) == i {
			out = append(out, int32(r))
		}
	}
	return out
}

func (w *world) upsert() {
	n := []int{1, 3, 70, 600}[w.rng.IntN(4)]
	keys, values, hashes := w.batch(n)
	sel := testkit.RandomSelection(w.rng, n, []float64{0.3, 1}[w.rng.IntN(2)])
	for i, t := range w.workers {
		mine := w.owned(i, hashes, sel)
		if len(w.workers) == 1 && sel == nil {
			mine = nil
		}
		rows := n
		if mine != nil {
			rows = len(mine)
		}
		slots, created := make([]uint32, rows), make([]bool, rows)
		made, err := t.Upsert(keys, hashes, mine, n, slots, created)
		if err != nil {
			w.t.Fatal(err)
		}
		distinct, first := make([]uint32, rows), make([]int32, rows)
		if err := t.BeginDistinct(); err != nil {
			w.t.Fatal(err)
		}
		different, err := t.TouchDistinct(slots, 0, distinct, first, state.Mark{})
		if err != nil {
			w.t.Fatal(err)
		}
		seen := map[uint32]bool{}
		for k, s := range slots {
			if !seen[s] {
				if seen[s] = true; len(seen) > different || distinct[len(seen)-1] != s || int(first[len(seen)-1]) != k {
					w.t.Fatalf("slot %d at %d is not distinct number %d", s, k, len(seen)-1)
				}
			}
		}
		if len(seen) != different {
			w.t.Fatalf("%d distinct slots, want %d", different, len(seen))
		}
		for k, s := range slots {
			r := k
			if mine != nil {
				r = int(mine[k])
			}
			key := testkit.FormatRow(keys, r)
			_, there := w.rows[key]
			if created[k] == there {
				w.t.Fatalf("created = %v for key %s, which was there: %v", created[k], key, there)
			}
			if created[k] {
				made--
				w.rows[key] = w.fresh()
			}
			for c := range values {
				if w.rng.IntN(3) > 0 { // some fields keep their value
					if err := t.SetValue(s, len(keys)+c, values[c], r); err != nil {
						w.t.Fatal(err)
					}
					w.rows[key][c] = testkit.Format(values[c], r)
				}
			}
		}
		if made != 0 {
			w.t.Fatalf("created count is off by %d", made)
		}
	}
	release(keys, values)
}

// fresh renders the values of a new row.
func (w *world) fresh() []string {
	var out []string
	for _, f := range w.values {
		v := core.NewVector(w.account, f.Type, 1)
		if f.Type.NotNull && f.Type.Kind.Width() > 0 {
			v.Extend(1)
			clear(v.Data())
		} else {
			v.AppendNull()
		}
		out = append(out, testkit.Format(v, 0))
		v.Release()
	}
	return out
}

func release(lists ...[]*core.Vector) {
	for _, l := range lists {
		for _, v := range l {
			v.Release()
		}
	}
}

func (w *world) lookup() {
	keys, values, hashes := w.batch(50)
	slots := make([]uint32, 50)
	for i, t := range w.workers {
		mine := w.owned(i, hashes, nil)
		if err := t.Lookup(keys, hashes, mine, 50, slots); err != nil {
			w.t.Fatal(err)
		}
		for k, r := range mine {
			_, there := w.rows[testkit.FormatRow(keys, int(r))]
			if (slots[k] != core.NoSlot) != there {
				w.t.Fatalf("lookup of %s: slot %d, there %v", testkit.FormatRow(keys, int(r)), slots[k], there)
			}
		}
	}
	release(keys, values)
}

func (w *world) drop(share float64) {
	for _, t := range w.workers {
		err := t.Scan(func(slots []uint32) error {
			var gone []uint32
			for _, s := range slots {
				if w.rng.Float64() < share {
					gone = append(gone, s)
				}
			}
			columns := w.keyVectors()
			if err := t.AppendKeys(columns, gone); err != nil {
				return err
			}
			for i := range gone {
				delete(w.rows, testkit.FormatRow(columns, i))
			}
			release(columns)
			return t.Drop(gone)
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) keyVectors() (out []*core.Vector) {
	for _, f := range w.keys {
		out = append(out, core.NewVector(w.account, f.Type, 0))
	}
	return out
}

// check compares everything.
func (w *world) check() {
	got := map[string][]string{}
	total := 0
	for _, t := range w.workers {
		total += t.Len()
		err := t.Scan(func(slots []uint32) error {
			keys := w.keyVectors()
			if err := t.AppendKeys(keys, slots); err != nil {
				return err
			}
			var values []*core.Vector
			for c, f := range w.values {
				v := core.NewVector(w.account, f.Type, 0)
				if err := t.AppendValues(v, len(w.keys)+c, slots); err != nil {
					return err
				}
				values = append(values, v)
			}
			for i := range slots {
				row := []string{}
				for _, v := range values {
					row = append(row, testkit.Format(v, i))
				}
				got[testkit.FormatRow(keys, i)] = row
			}
			release(keys, values)
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if len(got) != total || len(got) != len(w.rows) {
		w.t.Fatalf("%d rows by Len, %d by Scan, want %d", total, len(got), len(w.rows))
	}
	for k, v := range w.rows {
		if !slices.Equal(got[k], v) {
			w.t.Fatalf("key %s is %q, want %q", k, got[k], v)
		}
	}
}

func (w *world) freeze() {
	if w.frozen != nil {
		return
	}
	sink := w.pages.Begin()
	for _, t := range w.workers {
		f, err := t.Freeze()
		if err != nil {
			w.t.Fatal(err)
		}
		w.frozen = append(w.frozen, f)
	}
	w.frozenRows = clone(w.rows)
	w.written = nil
	if w.rng.IntN(8) == 0 { // never written, then abandoned
		return
	}
	written := make(chan error, len(w.frozen))
	w.written = written
	for _, f := range w.frozen {
		w.writers.Go(func() { written <- f.Write(sink) })
	}
}

func (w *world) resolve() {
	if w.frozen == nil {
		return
	}
	if w.written != nil && w.rng.IntN(3) > 0 {
		for range w.frozen {
			if err := <-w.written; err != nil {
				w.t.Fatal(err)
			}
		}
		for _, f := range w.frozen {
			if err := f.Complete(); err != nil {
				w.t.Fatal(err)
			}
		}
		w.last, w.lastRows = w.pages.Complete(), w.frozenRows
		w.frozen = nil
		return
	}
	for _, f := range w.frozen {
		f.Abandon()
	}
	w.pages.Abandon()
	w.frozen = nil
}

func schemas() map[string][2][]core.Field {
	f := func(name string, t core.Type) core.Field { return core.Field{Name: name, Type: t} }
	out := map[string][2][]core.Field{
		"int64":        {{f("k", core.Of(core.Int64))}, {f("n", core.Of(core.Int64).Required()), f("s", core.Of(core.Float64))}},
		"int64notnull": {{f("k", core.Of(core.Int64).Required())}, {f("s", core.Of(core.String))}},
		"two":          {{f("a", core.Of(core.Int32)), f("b", core.Of(core.String))}, {f("x", core.DecimalOf(20, 2)), f("y", core.Of(core.Bytes))}},
		"string":       {{f("a", core.Of(core.String))}, nil},
	}
	var wide []core.Field
	for i, t := range append(testkit.Types(), testkit.Types()...) {
		wide = append(wide, f(fmt.Sprintf("v%d", i), t))
	}
	out["wide"] = [2][]core.Field{{f("k", core.Of(core.Int16))}, wide}
	for _, t := range testkit.Types() {
		out[strings.ReplaceAll(t.String(), " ", "_")] = [2][]core.Field{{f("k", t), f("l", core.Of(core.Int8))}, {f("v", t)}}
	}
	return out
}

func TestAgainstMap(t *testing.T) {
	for name, schema := range schemas() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(4) {
				w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), pool: memory.NewPool(0), keys: schema[0], values: schema[1],
					domain: []int{100, 3000}[seed%2], lastRows: map[string][]string{}}
				w.account = w.pool.Account("test")
				w.start(1)
				steps := 60
				for range steps {
					switch x := w.rng.IntN(20); {
					case x < 9:
						w.upsert()
					case x < 10:
						w.lookup()
					case x < 12:
						w.drop(0.3)
					case x < 13:
						w.drop(0.95)
					case x < 16:
						w.freeze()
					case x < 19:
						w.resolve()
					default:
						w.check()
						w.resolve()
						if w.frozen == nil {
							w.start(1 + w.rng.IntN(3))
							w.check()
						}
					}
					if t.Failed() {
						t.Fatalf("seed %d", seed)
					}
				}
				w.check()
				for _, table := range w.workers {
					table.Close()
				}
				w.writers.Wait()
				if err := w.pool.CheckZero(); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

func TestLimit(t *testing.T) {
	pool := memory.NewPool(0)
	account := pool.Account("test")
	account.SetLimit(1 << 20)
	table, err := state.New(state.Options{Operator: "o", Table: "t", Account: account, KeyGroups: 1, To: 1,
		Keys: []core.Field{{Name: "k", Type: core.Of(core.Int64)}}, Values: []core.Field{{Name: "v", Type: core.Of(core.String)}}})
	if err != nil {
		t.Fatal(err)
	}
	other := memory.NewPool(0).Account("keys")
	slots := make([]uint32, 1000)
	var limit *memory.LimitError
	rows := 0
	for i := 0; limit == nil; i++ {
		v := core.NewVector(other, core.Of(core.Int64), 1000)
		for k := range 1000 {
			v.AppendInt64(int64(i*1000 + k))
		}
		hashes := make([]uint64, 1000)
		hash.Columns([]*core.Vector{v}, 1000, nil, hashes)
		made, err := table.Upsert([]*core.Vector{v}, hashes, nil, 1000, slots, nil)
		v.Release()
		rows += made
		if err != nil && !errors.As(err, &limit) || i > 100 {
			t.Fatalf("batch %d: %v", i, err)
		}
	}
	if table.Len() != rows || rows < 5000 {
		t.Fatalf("%d rows, Len %d", rows, table.Len())
	}
	table.Close()
	if err := pool.CheckZero(); err != nil {
		t.Fatal(err)
	}
}

// Pages that are given up around a checkpoint must not come back with it.
func TestDroppedPages(t *testing.T) {
	schema := schemas()["two"]
	checkpoint := func(w *world, end func(f *state.Frozen)) {
		sink := w.pages.Begin()
		f, err := w.workers[0].Freeze()
		if err != nil {
			t.Fatal(err)
		}
		end(f)
		if err := f.Write(sink); err != nil && !errors.Is(err, state.ErrAbandoned) {
			t.Fatal(err)
		} else if err != nil {
			w.pages.Abandon()
			return
		}
		if err := f.Complete(); err != nil {
			t.Fatal(err)
		}
		w.last = w.pages.Complete()
	}
	nothing := func(*state.Frozen) {}
	abandon := func(f *state.Frozen) { f.Abandon() }
	for name, steps := range map[string]func(w *world){
		"abandoned": func(w *world) {
			checkpoint(w, nothing)
			w.drop(1)
			checkpoint(w, abandon)
			checkpoint(w, nothing)
		},
		"made again, abandoned, dropped again": func(w *world) {
			checkpoint(w, nothing)
			w.drop(1)
			for range 10 {
				w.upsert()
			}
			checkpoint(w, abandon)
			w.drop(1)
			checkpoint(w, nothing)
		},
		"dropped while the first version is written": func(w *world) {
			checkpoint(w, func(*state.Frozen) { w.drop(1) })
			checkpoint(w, nothing)
		},
		"dropped and made again while it is written": func(w *world) {
			checkpoint(w, func(*state.Frozen) {
				w.drop(1)
				for range 10 {
					w.upsert()
				}
			})
			checkpoint(w, nothing)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, rng: rand.New(rand.NewPCG(3, 7)), pool: memory.NewPool(64 << 20), keys: schema[0], values: schema[1], domain: 3000,
				lastRows: map[string][]string{}}
			w.account = w.pool.Account("test")
			w.start(1)
			for range 30 {
				w.upsert()
			}
			full := w.workers[0].Bytes()
			steps(w)
			if w.workers[0].Len() == 0 && w.workers[0].Bytes() > full/2 {
				t.Errorf("%d bytes held with no row, %d with all", w.workers[0].Bytes(), full)
			}
			w.lastRows = clone(w.rows)
			w.start(2)
			w.check()
			for _, table := range w.workers {
				table.Close()
			}
			if err := w.pool.CheckZero(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A page's first write after a freeze costs memory for its rows, whatever their values take: those stay where they are.
func TestLargeValuesAreNotSaved(t *testing.T) {
	pool := memory.NewPool(0)
	account := pool.Account("test")
	table, err := state.New(state.Options{Operator: "o", Table: "t", Account: account, KeyGroups: 1, To: 1,
		Keys: []core.Field{{Name: "k", Type: core.Of(core.Int64)}}, Values: []core.Field{{Name: "v", Type: core.Of(core.Bytes)}}})
	if err != nil {
		t.Fatal(err)
	}
	const rows = 1000
	keys := core.NewVector(account, core.Of(core.Int64), rows)
	for k := range rows {
		keys.AppendInt64(int64(k))
	}
	hashes, slots := make([]uint64, rows), make([]uint32, rows)
	hash.Columns([]*core.Vector{keys}, rows, nil, hashes)
	if _, err := table.Upsert([]*core.Vector{keys}, hashes, nil, rows, slots, nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range slots {
		if err := table.SetBytes(s, 1, make([]byte, 4000)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := table.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	before := account.Used()
	if err := table.Touch(slots); err != nil {
		t.Fatal(err)
	}
	if more := account.Used() - before; more == 0 || more > 100*rows {
		t.Errorf("%d bytes were saved of %d rows", more, rows)
	}
	f.Abandon()
	keys.Release()
	table.Close()
	if err := pool.CheckZero(); err != nil {
		t.Fatal(err)
	}
}
