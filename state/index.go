package state

import (
	"turbo/core"
	"turbo/memory"
)

// index is an open-addressing hash table with linear probing. An entry is the low 32 bits of the hash and the slot + 1; 0 is empty. The
// low bits are both the home position and the tag, so the table can be doubled and entries removed without looking at the
// keys. Removal moves entries back, so there are no tombstones.
type index struct {
	account *memory.Account
	arena   *arena
	entries []uint64 // a power of two
	n       int
	off     bool // a bag's: it takes no entries
}

const (
	minIndex = 256
	// keepIndex is the size in entries that an index keeps once it has it: tables of windows are emptied again and again, and mapping memory anew
	// costs more than filling 128 KiB.
	keepIndex = 1 << 14
)

func (x *index) init(account *memory.Account) error {
	x.account = account
	return x.resize(minIndex)
}

func (x *index) resize(size int) error {
	old, oldArena := x.entries, x.arena
	fresh := newArena(x.account)
	if err := fresh.grow(size); err != nil {
		fresh.release()
		return err
	}
	x.arena = fresh
	x.entries = fresh.words[:size]
	mask := uint64(size - 1)
	for _, e := range old {
		if e == 0 {
			continue
		}
		p := e >> 32 & mask
		for x.entries[p] != 0 {
			p = (p + 1) & mask
		}
		x.entries[p] = e
	}
	if oldArena != nil {
		oldArena.release()
	}
	return nil
}

// makeRoom grows the index so that one more entry fits: at most half of it is used, which keeps nine of ten keys within
// a cache line of their home.
func (x *index) makeRoom() error {
	if 2*(x.n+1) <= len(x.entries) || x.off {
		return nil
	}
	return x.resize(2 * len(x.entries))
}

// shrink gives memory back when few entries are left.
func (x *index) shrink() error {
	size := len(x.entries)
	for size > keepIndex && 16*x.n < size {
		size /= 2
	}
	if size == len(x.entries) {
		return nil
	}
	return x.resize(size)
}

// add inserts an entry that is known not to be there. makeRoom has been called.
func (x *index) add(hash uint64, slot uint32) {
	if x.off {
		return
	}
	mask := uint64(len(x.entries) - 1)
	p := hash & mask
	for x.entries[p] != 0 {
		p = (p + 1) & mask
	}
	x.entries[p] = hash<<32 | uint64(slot+1)
	x.n++
}

// remove deletes the entry of slot and reports whether it was there.
func (x *index) remove(hash uint64, slot uint32) bool {
	mask := uint64(len(x.entries) - 1)
	want := hash<<32 | uint64(slot+1)
	p := hash & mask
	for x.entries[p] != want {
		if x.entries[p] == 0 {
			return false
		}
		p = (p + 1) & mask
	}
	for q := p; ; { // move back what would not be found any more (Knuth 6.4, algorithm R)
		q = (q + 1) & mask
		e := x.entries[q]
		if e == 0 {
			break
		}
		if home := e >> 32 & mask; (q-home)&mask >= (q-p)&mask {
			x.entries[p] = e
			p = q
		}
	}
	x.entries[p] = 0
	x.n--
	return true
}

// candidates writes, for each hash, the slot of the first entry with the same tag, or core.NoSlot. It is the first stage of a batch
// of probes: the loads of different rows do not depend on each other, so their cache misses overlap.
func (x *index) candidates(hashes []uint64, slots []uint32) {
	entries := x.entries
	slots = slots[:len(hashes)]
	for i, h := range hashes {
		p := h & uint64(len(entries)-1)
		e := entries[p]
		for uint32(e>>32) != uint32(h) && e != 0 {
			p = (p + 1) & uint64(len(entries)-1)
			e = entries[p]
		}
		slots[i] = uint32(e) - 1
	}
}

func (x *index) candidatesSelected(hashes []uint64, sel []int32, slots []uint32) {
	entries := x.entries
	slots = slots[:len(sel)]
	for i, r := range sel {
		h := hashes[r]
		p := h & uint64(len(entries)-1)
		e := entries[p]
		for uint32(e>>32) != uint32(h) && e != 0 {
			p = (p + 1) & uint64(len(entries)-1)
			e = entries[p]
		}
		slots[i] = uint32(e) - 1
	}
}

func (x *index) close() {
	if x.arena != nil {
		x.arena.release()
		x.arena, x.entries = nil, nil
	}
}

var _ = core.NoSlot // candidates writes it as uint32(0) - 1
