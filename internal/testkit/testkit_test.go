package testkit

import (
	"strings"
	"testing"

	"turbo/core"
	"turbo/memory"
	"turbo/state"
)

// A checker that finds nothing would make every operator's test worthless.
func TestCheckBatch(t *testing.T) {
	account := memory.NewPool(0).Account("test")
	schema := core.NewSchema(core.Field{Name: "a", Type: core.Of(core.Int64).Required()})
	good := func() *core.Batch {
		b := core.NewBatch(account, schema)
		v := core.NewVector(account, core.Of(core.Int64).Required(), 3)
		for i := range 3 {
			v.AppendInt64(int64(i))
		}
		b.Columns, b.Len = append(b.Columns, v), 3
		return b
	}
	for want, spoil := range map[string]func(b *core.Batch){
		"":                          func(*core.Batch) {},
		"in a stream of":            func(b *core.Batch) { b.Schema = core.NewSchema() },
		"0 columns":                 func(b *core.Batch) { b.Columns = nil },
		"an empty batch":            func(b *core.Batch) { b.Sel = []int32{} },
		"hashes for":                func(b *core.Batch) { b.Hashes = []uint64{1} },
		"row kinds in":              func(b *core.Batch) { b.Kinds = make([]core.RowKind, 3) },
		"selection [1 1]":           func(b *core.Batch) { b.Sel = []int32{1, 1} },
		"selection [0 3]":           func(b *core.Batch) { b.Sel = []int32{0, 3} },
		"column a: 3 rows":          func(b *core.Batch) { b.Len = 4 },
		"is NOT NULL and null in":   func(b *core.Batch) { b.Columns[0].SetNull(2) },
		"column a: 0 rows of INT, ": func(b *core.Batch) { b.Columns[0] = core.NewVector(account, core.Of(core.Int32), 0) },
	} {
		b := good()
		spoil(b)
		err := CheckBatch(schema, b)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	c := Checker{}
	if c.Advance(5) != nil || c.Advance(6) != nil || c.Advance(6) == nil || c.Advance(2) == nil {
		t.Error("watermarks that do not grow are not found")
	}
}

func TestTable(t *testing.T) {
	var table Table
	for _, s := range []struct {
		kind     core.RowKind
		key, row string
		ok       bool
	}{
		{core.UpdateAfter, "a", "a 1", false}, {core.Insert, "a", "a 1", true}, {core.Insert, "a", "a 2", false},
		{core.UpdateBefore, "a", "a 7", false}, {core.UpdateBefore, "a", "a 1", true}, {core.UpdateAfter, "a", "a 2", true},
		{core.Delete, "b", "b 1", false}, {core.Delete, "a", "a 2", true},
	} {
		if err := table.Apply(s.kind, s.key, s.row); (err == nil) != s.ok {
			t.Errorf("%v %s: %v", s.kind, s.row, err)
		}
	}
	if len(table.Rows()) != 0 {
		t.Error(table.Rows())
	}
}

func TestPages(t *testing.T) {
	var p Pages
	page := func(kind state.PageKind) []state.Page { return []state.Page{{Operator: "o", Table: "t", Kind: kind}} }
	sink := p.Begin()
	if sink.WritePages(page(state.DeltaPage)) == nil {
		t.Error("a delta without a base was taken")
	}
	p.Abandon()
	if sink.WritePages(page(state.WholePage)) == nil {
		t.Error("a page after the end of its checkpoint was taken")
	}
	sink = p.Begin()
	if err := sink.WritePages(page(state.WholePage)); err != nil {
		t.Error(err)
	}
	if sink.WritePages(page(state.WholePage)) == nil {
		t.Error("a page was taken twice")
	}
	if p.Complete() != 1 {
		t.Error("ids do not start at 1")
	}
}
