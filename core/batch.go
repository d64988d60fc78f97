package core

import (
	"sync"

	"turbo/internal/invariants"
	"turbo/memory"
)

// Batch is a run of rows in columns, the unit of work between operators. It has exactly one owner (invariant 1).
//
// Columns have the same length, Len. Sel, when not nil, names the live rows in ascending order; the others are dead.
// Hashes, when not nil, has the key hash of every physical row (live rows at least), computed once at the exchange. Kinds, when not nil,
// has the row kind of every physical row; nil means that all are insertions.
type Batch struct {
	Schema  *Schema
	Columns []*Vector
	Len     int
	Sel     []int32
	Hashes  []uint64
	Kinds   []RowKind

	account *memory.Account
	pool    *BatchPool
	sel     []byte // buffers behind Sel, Hashes and Kinds, kept with the batch
	hashes  []byte
	kinds   []byte
	freed   bool
}

var batchHeaders = sync.Pool{New: func() any { return new(Batch) }}

// NewBatch returns an empty batch header; the caller sets Columns (whose references it takes over) and Len.
// Buffers for Sel, Hashes and Kinds come from account.
func NewBatch(account *memory.Account, schema *Schema) *Batch {
	b := batchHeaders.Get().(*Batch)
	b.Schema, b.account, b.pool, b.freed = schema, account, nil, false
	return b
}

// Rows returns the number of live rows.
func (b *Batch) Rows() int {
	if b.Sel != nil {
		return len(b.Sel)
	}
	return b.Len
}

// Account returns the account that the batch's buffers come from.
func (b *Batch) Account() *memory.Account { return b.account }

// Row returns the physical row of the i-th live one.
func (b *Batch) Row(i int) int {
	if b.Sel != nil {
		return int(b.Sel[i])
	}
	return i
}

// Kind returns the row kind of physical row i.
func (b *Batch) Kind(i int) RowKind {
	if b.Kinds == nil {
		return Insert
	}
	return b.Kinds[i]
}

func (b *Batch) room(buffer *[]byte, bytes int) []byte {
	if cap(*buffer) < bytes {
		if cap(*buffer) > 0 {
			b.account.Free((*buffer)[:cap(*buffer)])
		}
		*buffer = b.account.Allocate(bytes)
	}
	return (*buffer)[:cap(*buffer)]
}

// SelBuffer returns a selection buffer of length n that belongs to the batch, with undefined contents unless it is the
// one that Sel already uses (narrowing in place is fine). The caller assigns it to Sel, cut to its length. n = 0 gives an
// empty selection that is not nil.
func (b *Batch) SelBuffer(n int) []int32 {
	return view[int32](b.room(&b.sel, 4*max(n, 1)), max(n, 1))[:n]
}

// MakeHashes sets Hashes to a buffer of Len values with undefined contents and returns it.
func (b *Batch) MakeHashes() []uint64 {
	b.Hashes = view[uint64](b.room(&b.hashes, 8*max(b.Len, 1)), max(b.Len, 1))[:b.Len]
	return b.Hashes
}

// GrowHashes makes room for n hashes, keeping those that are there, and returns Hashes at its old length.
func (b *Batch) GrowHashes(n int) []uint64 {
	if cap(b.hashes) < 8*n {
		old := b.hashes
		b.hashes = b.account.Allocate(max(8*n, 2*cap(old)))
		fresh := view[uint64](b.hashes, cap(b.hashes)/8)
		copied := copy(fresh, b.Hashes)
		b.Hashes = fresh[:copied]
		if cap(old) > 0 {
			b.account.Free(old[:cap(old)])
		}
	} else if b.Hashes == nil {
		b.Hashes = view[uint64](b.hashes, cap(b.hashes)/8)[:0]
	}
	return b.Hashes
}

// MakeKinds sets Kinds to a buffer of n values with undefined contents and returns it.
func (b *Batch) MakeKinds(n int) []RowKind {
	b.Kinds = view[RowKind](b.room(&b.kinds, max(n, 1)), max(n, 1))[:n]
	return b.Kinds
}

// Share returns a second batch over the same columns, with its own selection: fan-out gives each consumer one.
func (b *Batch) Share() *Batch {
	s := NewBatch(b.account, b.Schema)
	s.Len = b.Len
	for _, c := range b.Columns {
		s.Columns = append(s.Columns, c.Retain())
	}
	if b.Sel != nil {
		s.Sel = s.SelBuffer(len(b.Sel))
		copy(s.Sel, b.Sel)
	}
	if b.Hashes != nil {
		copy(s.MakeHashes(), b.Hashes)
	}
	if b.Kinds != nil {
		copy(s.MakeKinds(len(b.Kinds)), b.Kinds)
	}
	return s
}

// Release ends the batch: its columns lose a reference, its buffers go back to the pool or the account.
func (b *Batch) Release() {
	if invariants.Enabled {
		invariants.Check(!b.freed, "batch released twice")
	}
	b.freed = true
	b.Sel, b.Hashes, b.Kinds = nil, nil, nil
	if b.pool != nil && b.pool.put(b) {
		return
	}
	b.drop()
}

// drop frees everything that the batch holds.
func (b *Batch) drop() {
	for i, c := range b.Columns {
		if c != nil {
			c.Release()
		}
		b.Columns[i] = nil
	}
	for _, buffer := range [...]*[]byte{&b.sel, &b.hashes, &b.kinds} {
		if cap(*buffer) > 0 {
			b.account.Free((*buffer)[:cap(*buffer)])
		}
		*buffer = nil
	}
	b.Columns = b.Columns[:0]
	b.Len, b.Schema, b.account, b.pool = 0, nil, nil, nil
	batchHeaders.Put(b)
}

// Size returns the bytes of memory that the batch holds, shared columns included.
func (b *Batch) Size() int {
	n := cap(b.sel) + cap(b.hashes) + cap(b.kinds)
	for _, c := range b.Columns {
		n += c.Size()
	}
	return n
}

// BatchPool hands out empty batches of one schema and takes them back with their buffers, so that a producer allocates
// nothing in steady state. Get is called by one goroutine or several; batches come back from any.
type BatchPool struct {
	account *memory.Account
	schema  *Schema
	rows    int

	mu     sync.Mutex
	free   []*Batch
	keep   int
	closed bool
}

// maxKept bounds the bytes of one batch that a pool keeps, as a multiple of what its rows need for fixed-width columns:
// a single batch of huge strings must not stay for ever.
const maxKept = 1 << 20

// NewBatchPool returns a pool of batches of schema with room for rows rows each; at most keep free ones are kept.
func NewBatchPool(account *memory.Account, schema *Schema, rows, keep int) *BatchPool {
	return &BatchPool{account: account, schema: schema, rows: rows, keep: keep}
}

// Get returns an empty batch (Len 0, every column empty and unshared) whose owner is the caller.
func (p *BatchPool) Get() *Batch {
	p.mu.Lock()
	var b *Batch
	if n := len(p.free); n > 0 {
		b = p.free[n-1]
		p.free = p.free[:n-1]
	}
	p.mu.Unlock()
	if b == nil {
		b = NewBatch(p.account, p.schema)
		b.pool = p
		for _, f := range p.schema.Fields {
			b.Columns = append(b.Columns, NewVector(p.account, f.Type, p.rows))
		}
		return b
	}
	b.freed = false
	for i, c := range b.Columns {
		if c == nil {
			b.Columns[i] = NewVector(p.account, p.schema.Fields[i].Type, p.rows)
		}
	}
	return b
}

// put takes back a released batch, or reports false when it is to be dropped.
func (p *BatchPool) put(b *Batch) bool {
	size := 0
	for i, c := range b.Columns {
		if c.Shared() {
			c.Release()
			b.Columns[i] = nil
			continue
		}
		c.Reset()
		size += c.Size()
	}
	b.Len = 0
	if size > maxKept {
		b.dropNil()
		return false
	}
	p.mu.Lock()
	keep := len(p.free) < p.keep && !p.closed
	if keep {
		p.free = append(p.free, b)
	}
	p.mu.Unlock()
	if !keep {
		b.dropNil()
	}
	return keep
}

// dropNil removes the columns that put has given up already.
func (b *Batch) dropNil() {
	live := b.Columns[:0]
	for _, c := range b.Columns {
		if c != nil {
			live = append(live, c)
		}
	}
	clear(b.Columns[len(live):])
	b.Columns = live
}

// Close frees the batches that the pool keeps; those still out are freed when they are released.
func (p *BatchPool) Close() {
	p.mu.Lock()
	free := p.free
	p.free, p.closed = nil, true
	p.mu.Unlock()
	for _, b := range free {
		b.dropNil()
		b.drop()
	}
}
