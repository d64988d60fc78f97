package core

import "turbo/memory"

// Builder collects rows into batches of one schema: the writing side of decoders. One goroutine uses it.
type Builder struct {
	pool  *BatchPool
	batch *Batch
}

// NewBuilder returns a builder whose batches come from a pool of its own; rows is their usual size.
func NewBuilder(account *memory.Account, schema *Schema, rows int) *Builder {
	return &Builder{pool: NewBatchPool(account, schema, rows, 8)}
}

// Schema returns the schema of the batches.
func (b *Builder) Schema() *Schema { return b.pool.schema }

// Column returns the vector of column i, to append to. Every column must have got the same number of rows before Finish.
func (b *Builder) Column(i int) *Vector {
	if b.batch == nil {
		b.batch = b.pool.Get()
	}
	return b.batch.Columns[i]
}

// Rows returns the number of rows that every column has: the shortest one decides.
func (b *Builder) Rows() int {
	if b.batch == nil || len(b.batch.Columns) == 0 {
		return 0
	}
	n := b.batch.Columns[0].Len()
	for _, c := range b.batch.Columns[1:] {
		n = min(n, c.Len())
	}
	return n
}

// Truncate drops the rows from n on, in every column: how a half decoded row is taken back.
func (b *Builder) Truncate(n int) {
	if b.batch == nil {
		return
	}
	for _, c := range b.batch.Columns {
		c.Truncate(n)
	}
}

// Size returns the bytes that the open batch holds.
func (b *Builder) Size() int {
	if b.batch == nil {
		return 0
	}
	return b.batch.Size()
}

// Finish returns the collected rows as a batch that the caller owns, or nil when there are none.
func (b *Builder) Finish() *Batch {
	n := b.Rows()
	if n == 0 {
		return nil
	}
	out := b.batch
	b.batch = nil
	for _, c := range out.Columns {
		c.Truncate(n)
	}
	out.Len = n
	return out
}

// Close frees what the builder holds. Batches that it gave away live on.
func (b *Builder) Close() {
	if b.batch != nil {
		b.batch.Release()
		b.batch = nil
	}
	b.pool.Close()
}
