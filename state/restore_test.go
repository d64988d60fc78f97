package state_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"turbo/core"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
)

// chain is a page source of one page.
type chain []state.PageVersion

func (c chain) Pages(_, _ string, _, _ int, visit func(uint16, uint32, []state.PageVersion) error) error {
	return visit(3, 0, c)
}

// collect keeps the encoded pages of key group 3.
type collect struct{ chain }

func (c *collect) WritePages(pages []state.Page) error {
	for _, p := range pages {
		if p.KeyGroup == 3 && p.Number == 0 {
			c.chain = append(c.chain, state.PageVersion{Kind: p.Kind, Data: append([]byte(nil), p.Data...)})
		}
	}
	return nil
}

// versions makes a whole page and a delta of it.
func versions(t testing.TB, keys, values []core.Field) chain {
	w := &world{t: &testing.T{}, rng: rand.New(rand.NewPCG(1, 1)), pool: memory.NewPool(0), keys: keys, values: values, domain: 150,
		rows: map[string][]string{}}
	w.account = w.pool.Account("test")
	table, err := state.New(state.Options{Operator: "op", Table: "t", Keys: keys, Values: values, Account: w.account, KeyGroups: keyGroups, To: keyGroups})
	if err != nil {
		t.Fatal(err)
	}
	w.workers = []*state.Table{table}
	var sink collect
	for round := range 2 {
		for range 8 - 8*round {
			w.upsert()
		}
		if round > 0 { // one row of the page changes
			err := table.Scan(func(slots []uint32) error {
				for _, s := range slots {
					if table.Group(s) == 3 {
						if err := table.Touch([]uint32{s}); err != nil {
							return err
						}
						table.SetNull(s, len(keys))
						return nil
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		f, err := table.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Write(&sink); err != nil {
			t.Fatal(err)
		}
		if err := f.Complete(); err != nil {
			t.Fatal(err)
		}
	}
	table.Close()
	return sink.chain
}

func restore(t testing.TB, keys, values []core.Field, source state.PageSource) error {
	pool := memory.NewPool(64 << 20)
	table, err := state.New(state.Options{Operator: "op", Table: "t", Keys: keys, Values: values, Account: pool.Account("test"), KeyGroups: keyGroups, To: keyGroups})
	if err != nil {
		t.Fatal(err)
	}
	err = table.Restore(source)
	table.Close()
	if leak := pool.CheckZero(); leak != nil {
		t.Fatal(leak)
	}
	return err
}

func TestLayoutError(t *testing.T) {
	f := func(name string, t core.Type) core.Field { return core.Field{Name: name, Type: t} }
	old, now := []core.Field{f("n", core.Of(core.Int64))}, []core.Field{f("n", core.Of(core.String))}
	keys := []core.Field{f("k", core.Of(core.Int64))}
	err := restore(t, keys, now, versions(t, keys, old))
	var layout *state.LayoutError
	const want = "the state t of operator op does not fit the job: the checkpoint has (k BIGINT -> n BIGINT), the job now has (k BIGINT -> n STRING)"
	if !errors.As(err, &layout) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

func TestDamagedChains(t *testing.T) {
	s := schemas()["two"]
	good := versions(t, s[0], s[1])
	if err := restore(t, s[0], s[1], good); err != nil || len(good) != 2 {
		t.Fatal(err, len(good))
	}
	for name, bad := range map[string]chain{
		"empty":      {},
		"no base":    good[1:],
		"wrong kind": {{Kind: state.WholePage, Data: good[1].Data}},
		"cut":        {{Kind: state.WholePage, Data: good[0].Data[:len(good[0].Data)-1]}},
		"longer":     {{Kind: state.WholePage, Data: append(append([]byte(nil), good[0].Data...), 0)}},
		"version":    {{Kind: state.WholePage, Data: append([]byte{9}, good[0].Data[1:]...)}},
	} {
		if err := restore(t, s[0], s[1], bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever the bytes of a page are, restoring them gives an error or a table, and leaks nothing.
func FuzzRestore(f *testing.F) {
	s := schemas()["two"]
	good := versions(f, s[0], s[1])
	f.Add(good[0].Data, good[len(good)-1].Data)
	f.Add([]byte{}, []byte{1, 2})
	f.Fuzz(func(t *testing.T, whole, delta []byte) {
		for _, c := range []chain{{{Kind: state.WholePage, Data: whole}}, {{Kind: state.WholePage, Data: whole}, {Kind: state.DeltaPage, Data: delta}},
			{{Kind: state.WholePage, Data: good[0].Data}, {Kind: state.DeltaPage, Data: delta}}} {
			_ = restore(t, s[0], s[1], c)
		}
	})
}

// Nested values survive their encoding, and damage is an error.
func FuzzNestedValue(f *testing.F) {
	f.Add([]byte{1, 2, 1, 0, 0, 0, 0, 0, 0, 240, 63, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		account := memory.NewPool(64 << 20).Account("x")
		for _, typ := range testkit.Types() {
			if !typ.Kind.IsNested() {
				continue
			}
			v := core.NewVector(account, typ, 0)
			if rest, err := state.DecodeValue(v, data); err == nil {
				again := state.AppendValue(nil, v, 0, false)
				w := core.NewVector(account, typ, 0)
				if _, err := state.DecodeValue(w, again); err != nil || testkit.Format(v, 0) != testkit.Format(w, 0) {
					t.Errorf("%v: %s, then %v", typ, testkit.Format(v, 0), err)
				}
				w.Release()
				_ = rest
			}
			v.Release()
		}
	})
}
