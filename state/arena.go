package state

import (
	"fmt"
	"sync/atomic"

	"turbo/memory"
)

// arena is one growing run of words. On Linux and macOS it is address space reserved once and made accessible as it grows, so growing
// copies nothing, the words stay contiguous, and pieces can be given back to the system; large arenas ask for huge pages, which
// halves the cost of a random access. Elsewhere, and under the race detector (which does not watch memory outside of Go's
// heap), it is a slice that is copied when it doubles.
//
// The worker grows it; a Frozen keeps the words it saw, which stay readable until the last reference is released.
type arena struct {
	account  *memory.Account
	words    []uint64 // the accessible part
	reserved int64    // bytes taken from the account
	refs     atomic.Int32
	last     func() // called with the last reference
	mapping  mapping
}

// arenaStep is the least growth of an arena in bytes.
const arenaStep = 64 << 10

// hugePage is the size from which on an arena grows by huge pages.
const hugePage = 2 << 20

func newArena(account *memory.Account) *arena {
	a := &arena{account: account}
	a.refs.Store(1)
	return a
}

// grow makes at least n words accessible. The new ones are zero.
func (a *arena) grow(n int) error {
	if n <= len(a.words) {
		return nil
	}
	have := 8 * len(a.words)
	step := arenaStep
	if have >= 2*hugePage {
		step = hugePage
	}
	bytes := max(8*n, have+have/8)
	bytes = (bytes + step - 1) / step * step
	more := int64(bytes - have)
	if err := a.account.Reserve(more); err != nil {
		return err
	}
	if err := a.extend(bytes); err != nil {
		a.account.Unreserve(more)
		return fmt.Errorf("state: %w", err)
	}
	a.reserved += more
	return nil
}

// keep is how many bytes an empty arena keeps: tables of windows are emptied again and again, and memory that the system has to map and clear anew
// costs more than the rows that are written to it.
func (a *arena) keep() int64 {
	const most = 256 << 10
	if limit := a.account.Pool().Limit(); limit > 0 {
		return min(max(limit/1024, arenaStep), most)
	}
	return most
}

// reset gives everything back but what keep says; the words read as zero or not, and a Frozen keeps what it saw.
func (a *arena) reset() {
	if a.reserved > a.keep() || a.reserved != int64(8*len(a.words)) { // some of it was discarded: nobody would take that back
		a.clear()
		a.account.Unreserve(a.reserved)
		a.reserved = 0
	}
}

func (a *arena) retain() { a.refs.Add(1) }

// release drops a reference; with the last one the memory is gone.
func (a *arena) release() {
	if a.refs.Add(-1) != 0 {
		return
	}
	if a.last != nil {
		a.last()
	}
	a.unmap()
	a.words = nil
	a.account.Unreserve(a.reserved)
	a.reserved = 0
}
