package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"turbo/memory"
)

// heap holds the bytes of variable-width values, as in slab allocation (Bonwick 1994): blocks of 64 KiB, each divided into cells of one size
// class; a value larger than half a block has a block of its own. A block with no value left goes back to the account.
//
// While pins is not zero a background writer may be reading: freed cells then wait, and nothing is overwritten.
type heap struct {
	account *memory.Account
	blocks  []block
	data    [][]byte // of blocks, by number: what a Frozen keeps a copy of
	spare   []uint32 // numbers of blocks that are gone
	partial [heapClasses]uint32
	waiting []handle
	pins    atomic.Int32
	used    int64 // bytes of blocks
}

// handle names a value: length (27 bits), cell within the block (13), block + 1 (24). The empty value is handle 0.
type handle uint64

const (
	blockBytes  = 64 << 10
	maxCell     = blockBytes / 2
	heapClasses = 44
	maxValue    = 1<<27 - 1
	maxBlocks   = 1<<24 - 2
	none        = ^uint32(0)
	ownClass    = heapClasses // a block with one large value
)

func (h handle) length() int   { return int(h & maxValue) }
func (h handle) start() int    { return int(h >> 27 & (1<<13 - 1) << 3) }
func (h handle) block() uint32 { return uint32(h>>40) - 1 }

type block struct {
	class      uint8
	listed     bool   // in the list of blocks with free cells
	used       uint32 // cells in use
	fresh      uint32 // bytes never handed out start here
	free       uint32 // first free cell + 1, each holding the next; 0 none
	prev, next uint32
}

// ErrTooLarge is the cause of errors about a value that is too long for keyed state.
var ErrTooLarge = errors.New("longer than 128 MiB")

// classOf returns the size class of n bytes and its cell size: 8, 16, 24, 32, then four classes a doubling up to half a block.
func classOf(n int) (class uint8, cell int) {
	if n <= 32 {
		c := max((n+7)/8, 1)
		return uint8(c - 1), 8 * c
	}
	shift := bits.Len(uint(n-1)) - 3 // n-1 = 1xx in units of 1<<shift
	quarter := (n - 1) >> shift & 3
	return uint8(4 + (shift-3)*4 + quarter), (5 + quarter) << shift
}

// cellOf returns the cell size of a class.
func cellOf(class uint8) int {
	if class < 4 {
		return 8 * (int(class) + 1)
	}
	return (5 + int(class)&3) << ((class-4)/4 + 3)
}

func (h *heap) init(account *memory.Account) {
	h.account = account
	for i := range h.partial {
		h.partial[i] = none
	}
}

func (h *heap) at(x handle) []byte { return valueAt(h.data, x) }

func valueAt(data [][]byte, x handle) []byte {
	n := x.length()
	if n == 0 {
		return nil
	}
	start := x.start()
	return data[x.block()][start : start+n : start+n]
}

// put copies b and returns its handle.
func (h *heap) put(b []byte) (handle, error) {
	x, cell, err := h.place(len(b), len(b))
	copy(cell, b)
	return x, err
}

// place finds a cell for a value of n bytes that has room for so many. It returns the cell from the value's start on.
func (h *heap) place(n, room int) (handle, []byte, error) {
	if n == 0 {
		return 0, nil, nil
	}
	h.trySettle()
	if room > maxCell {
		if n > maxValue {
			return 0, nil, fmt.Errorf("state: a value of %d bytes: %w", n, ErrTooLarge)
		}
		id, err := h.newBlock(ownClass, min(room, maxValue))
		if err != nil {
			return 0, nil, err
		}
		h.blocks[id].used = 1
		return handle(n) | handle(id+1)<<40, h.data[id], nil
	}
	class, cell := classOf(room)
	id := h.partial[class]
	if id == none {
		var err error
		if id, err = h.newBlock(class, blockBytes); err != nil {
			return 0, nil, err
		}
		h.list(id)
	}
	k := &h.blocks[id]
	var start int
	if k.free != 0 {
		start = int(k.free - 1)
		k.free = binary.LittleEndian.Uint32(h.data[id][start:])
	} else {
		start = int(k.fresh)
		k.fresh += uint32(cell)
	}
	k.used++
	if k.free == 0 && int(k.fresh)+cell > blockBytes {
		h.unlist(id)
	}
	return handle(n) | handle(start>>3)<<27 | handle(id+1)<<40, h.data[id][start:][:cell], nil
}

// extend puts more behind the value old. It stays where it is when its cell has room, also while the heap is pinned: what is read then are the bytes before. Else it
// moves to a cell with room for half as much again, so that appending costs what it appends.
func (h *heap) extend(old handle, more []byte) (handle, error) {
	n := old.length()
	if n == 0 {
		return h.put(more)
	}
	id, start, total := old.block(), old.start(), n+len(more)
	room := len(h.data[id])
	if class := h.blocks[id].class; class != ownClass {
		room = cellOf(class)
	}
	if total <= room {
		copy(h.data[id][start+n:], more)
		return old + handle(len(more)), nil
	}
	fresh, cell, err := h.place(total, max(total, n+n/2))
	if err != nil {
		return old, err
	}
	copy(cell, h.at(old))
	copy(cell[n:], more)
	h.drop(old)
	return fresh, nil
}

// replace puts b in the place of old, which is freed.
func (h *heap) replace(old handle, b []byte) (handle, error) {
	if n := old.length(); n > 0 && len(b) > 0 && n <= maxCell && len(b) <= maxCell && h.pins.Load() == 0 {
		c1, _ := classOf(n)
		if c2, _ := classOf(len(b)); c1 == c2 {
			copy(h.data[old.block()][old.start():], b)
			return old&^maxValue | handle(len(b)), nil
		}
	}
	fresh, err := h.put(b)
	if err != nil {
		return old, err
	}
	h.drop(old)
	return fresh, nil
}

// drop frees a value, or notes that it is to be freed.
func (h *heap) drop(x handle) {
	if x.length() == 0 {
		return
	}
	if h.pins.Load() > 0 {
		h.waiting = append(h.waiting, x)
		return
	}
	h.free(x)
}

// trySettle frees what has waited, unless the heap is pinned.
func (h *heap) trySettle() {
	if len(h.waiting) == 0 || h.pins.Load() > 0 {
		return
	}
	for _, x := range h.waiting {
		h.free(x)
	}
	h.waiting = h.waiting[:0]
	if cap(h.waiting) > 1<<16 {
		h.waiting = nil
	}
}

func (h *heap) free(x handle) {
	id := x.block()
	k := &h.blocks[id]
	k.used--
	if k.used == 0 {
		h.unlist(id)
		h.used -= int64(cap(h.data[id]))
		h.account.Free(h.data[id])
		h.data[id] = nil
		h.spare = append(h.spare, id)
		return
	}
	start := uint32(x.start())
	binary.LittleEndian.PutUint32(h.data[id][start:], k.free)
	k.free = start + 1
	h.list(id)
}

func (h *heap) newBlock(class uint8, n int) (uint32, error) {
	if len(h.spare) == 0 && len(h.blocks) >= maxBlocks {
		return 0, errors.New("state: a table has more than a tebibyte of variable-width values")
	}
	data, err := allocate(h.account, n)
	if err != nil {
		return 0, err
	}
	h.used += int64(cap(data))
	b := block{class: class, prev: none, next: none}
	if s := len(h.spare); s > 0 {
		id := h.spare[s-1]
		h.spare = h.spare[:s-1]
		h.blocks[id], h.data[id] = b, data
		return id, nil
	}
	h.blocks = append(h.blocks, b)
	h.data = append(h.data, data)
	return uint32(len(h.blocks) - 1), nil
}

// list puts a block into its class's list of blocks with free cells.
func (h *heap) list(id uint32) {
	k := &h.blocks[id]
	if k.listed || k.class == ownClass {
		return
	}
	head := h.partial[k.class]
	k.listed, k.prev, k.next = true, none, head
	if head != none {
		h.blocks[head].prev = id
	}
	h.partial[k.class] = id
}

func (h *heap) unlist(id uint32) {
	k := &h.blocks[id]
	if !k.listed {
		return
	}
	if k.prev != none {
		h.blocks[k.prev].next = k.next
	} else {
		h.partial[k.class] = k.next
	}
	if k.next != none {
		h.blocks[k.next].prev = k.prev
	}
	k.listed, k.prev, k.next = false, none, none
}

func (h *heap) close() {
	for i, d := range h.data {
		if d != nil {
			h.account.Free(d)
			h.data[i] = nil
		}
	}
	h.blocks, h.data, h.spare, h.waiting, h.used = nil, nil, nil, nil, 0
}

// allocate is account.Allocate with the limit as an error.
func allocate(account *memory.Account, n int) (b []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			limit, ok := r.(*memory.LimitError)
			if !ok {
				panic(r)
			}
			err = limit
		}
	}()
	return account.Allocate(n), nil
}
