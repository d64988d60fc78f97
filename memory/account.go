package memory

import (
	"sync/atomic"
	"unsafe"

	"turbo/internal/invariants"
)

// Account is a named part of a pool's budget and an Arrow memory.Allocator. All methods are safe for concurrent use; a slab may
// be freed by another goroutine than the one that allocated it, to the same account.
type Account struct {
	pool  *Pool
	name  string
	home  *shard
	limit atomic.Int64 // 0 = none but the pool's
	_     [24]byte
	used  atomic.Int64
	_     [56]byte
}

// Name returns the account's name.
func (a *Account) Name() string { return a.name }

// Pool returns the pool that the account draws on.
func (a *Account) Pool() *Pool { return a.pool }

// Used returns the bytes of the slabs in use plus the bytes reserved, nested accounts not included.
func (a *Account) Used() int64 { return a.used.Load() }

// SetLimit bounds this account below the pool's limit; 0 takes the bound away. What is used already stays.
func (a *Account) SetLimit(bytes int64) { a.limit.Store(bytes) }

// Allocate returns n bytes of undefined contents that start at a multiple of Alignment; cap is the whole slab and may be used.
// The caller owns them until it passes the slice (resliced at will, but from its start) to Free of the same account.
// It panics with a *LimitError when the budget is spent. Allocate(0) returns an empty slice that needs no Free.
func (a *Account) Allocate(n int) []byte {
	if n <= 0 {
		return []byte{}
	}
	if n > MaxSlab {
		return a.allocateDirect(n)
	}
	class := classOf(n)
	size := classBytes(class)
	if used, limit := a.used.Add(int64(size)), a.limit.Load(); limit != 0 && used > limit {
		a.refuse(int64(size), limit)
	}
	p := a.pool.take(class, a.home)
	if p == nil {
		a.refuse(int64(size), 0)
	}
	if invariants.Enabled {
		a.pool.track.allocated(a, p, size)
	}
	return unsafe.Slice((*byte)(p), size)[:n]
}

func (a *Account) allocateDirect(n int) []byte {
	size := SlabSize(n)
	if used, limit := a.used.Add(int64(size)), a.limit.Load(); limit != 0 && used > limit {
		a.refuse(int64(size), limit)
	}
	if !a.pool.grow(int64(size)) {
		a.refuse(int64(size), 0)
	}
	p := newSlab(size)
	if invariants.Enabled {
		poison(p, size)
		a.pool.track.allocated(a, p, size)
	}
	return unsafe.Slice((*byte)(p), size)[:n]
}

// refuse takes back what was added for a request and panics with the reason. limit is the account's own, or 0.
func (a *Account) refuse(n, limit int64) {
	used := a.used.Add(-n)
	e := a.pool.limitError(a, n)
	if limit != 0 {
		e.OfAccount, e.Limit, e.Used = true, limit, used
	}
	panic(e)
}

// Free gives a slab back. b must start where the slice that Allocate returned started and keep its capacity. Its contents must
// not be touched any more. An empty slice without capacity is ignored.
func (a *Account) Free(b []byte) {
	size := cap(b)
	if size == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	if invariants.Enabled {
		a.pool.track.freed(a, p, size)
	}
	if size > MaxSlab {
		a.used.Add(-int64(size))
		a.pool.held.Add(-int64(size))
		return
	}
	a.used.Add(-int64(size))
	a.home.push(classOf(size), p)
}

// Reallocate returns a slice of n bytes that begins with the bytes of b, and takes b, which the caller must not use any more. It
// stays in place while n fits the slab and would not fit a quarter of it. It panics with a *LimitError when the budget is spent;
// b then still belongs to the caller.
func (a *Account) Reallocate(n int, b []byte) []byte {
	if size := cap(b); n > 0 && n <= size && (n > size/4 || size == 1<<minShift) {
		return b[:n]
	}
	fresh := a.Allocate(n)
	copy(fresh, b)
	a.Free(b)
	return fresh
}

// Reserve takes n bytes from the budget for memory that does not come from slabs. It returns a *LimitError when they are not
// there, and then has taken nothing: the caller spills, waits or fails.
func (a *Account) Reserve(n int64) error {
	if n <= 0 {
		return nil
	}
	used, limit := a.used.Add(n), a.limit.Load()
	if limit != 0 && used > limit || !a.pool.grow(n) {
		own := limit != 0 && used > limit
		used = a.used.Add(-n)
		e := a.pool.limitError(a, n)
		if own {
			e.OfAccount, e.Limit, e.Used = true, limit, used
		}
		return e
	}
	return nil
}

// Unreserve gives back n bytes that Reserve took.
func (a *Account) Unreserve(n int64) {
	if n <= 0 {
		return
	}
	left := a.used.Add(-n)
	a.pool.held.Add(-n)
	if invariants.Enabled {
		invariants.Checkf(left >= 0, "account %q gave back more than it had: %d bytes", a.name, left)
	}
}
