package testkit

import (
	"fmt"

	"turbo/core"
)

// Checker sits between two operators and returns an error for every batch or watermark that breaks a contract: columns that are
// not the schema's, lengths, selections, kinds, times that go backwards.
type Checker struct {
	Schema *core.Schema
	Next   core.Emitter
	last   core.Time
	any    bool
}

// Emit implements core.Emitter.
func (c *Checker) Emit(b *core.Batch) error {
	if err := CheckBatch(c.Schema, b); err != nil {
		b.Release()
		return err
	}
	return c.Next.Emit(b)
}

// Full implements core.Emitter.
func (c *Checker) Full() bool { return c.Next.Full() }

// Advance checks a watermark.
func (c *Checker) Advance(t core.Time) error {
	if c.any && t <= c.last {
		return fmt.Errorf("watermark %v after %v", t, c.last)
	}
	c.last, c.any = t, true
	return nil
}

// CheckBatch returns what is wrong with a batch of a stream of that schema.
func CheckBatch(schema *core.Schema, b *core.Batch) error {
	switch {
	case b.Schema == nil || !b.Schema.Equal(schema):
		return fmt.Errorf("batch of schema %v in a stream of %v", b.Schema, schema)
	case len(b.Columns) != len(schema.Fields):
		return fmt.Errorf("%d columns, the schema has %d", len(b.Columns), len(schema.Fields))
	case b.Rows() == 0:
		return fmt.Errorf("an empty batch")
	case b.Hashes != nil && len(b.Hashes) != b.Len:
		return fmt.Errorf("%d hashes for %d rows", len(b.Hashes), b.Len)
	case b.Kinds != nil && len(b.Kinds) != b.Len:
		return fmt.Errorf("%d row kinds for %d rows", len(b.Kinds), b.Len)
	case b.Kinds != nil && !schema.Changelog:
		return fmt.Errorf("row kinds in an append-only stream")
	}
	for i, r := range b.Sel {
		if r < 0 || int(r) >= b.Len || i > 0 && r <= b.Sel[i-1] {
			return fmt.Errorf("selection %v of %d rows", b.Sel, b.Len)
		}
	}
	for i, v := range b.Columns {
		f := schema.Fields[i]
		if v.Len() != b.Len || !v.Type.Same(f.Type) {
			return fmt.Errorf("column %s: %d rows of %v, want %d of %v", f.Name, v.Len(), v.Type, b.Len, f.Type)
		}
		for k := range b.Rows() {
			if f.Type.NotNull && v.Null(b.Row(k)) {
				return fmt.Errorf("column %s is NOT NULL and null in row %d", f.Name, b.Row(k))
			}
		}
	}
	return nil
}
