//go:build !race && (linux || darwin)

package state

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is reserved address space; all of it inaccessible at first.
type mapping struct {
	whole     []byte // as mapped
	space     []byte // the part from the first multiple of a huge page on
	huge      bool
	discarded map[int]int64 // by first word: bytes given back by discard
}

// maxSpace bounds the address space of an arena: 64 GiB. Address space costs nothing until it is used.
const maxSpace = 64 << 30

func (a *arena) reserveSpace() error {
	size := int64(maxSpace)
	if limit := a.account.Pool().Limit(); limit < size {
		size = limit
	}
	size = (size+hugePage-1)/hugePage*hugePage + 2*hugePage
	var err error
	for ; size >= 4*hugePage; size /= 2 { // a limit on address space (ulimit -v) leaves less
		var b []byte
		b, err = unix.Mmap(-1, 0, int(size), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err == nil {
			skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (hugePage - 1)
			a.mapping.whole, a.mapping.space = b, b[skip:len(b)-hugePage+skip]
			return nil
		}
	}
	return fmt.Errorf("reserving address space: %w", err)
}

func (a *arena) extend(bytes int) error {
	m := &a.mapping
	if m.space == nil {
		if err := a.reserveSpace(); err != nil {
			return err
		}
	}
	if bytes > len(m.space) {
		return fmt.Errorf("a table cannot grow beyond %d bytes of address space", len(m.space))
	}
	have := 8 * len(a.words)
	if err := unix.Mprotect(m.space[have:bytes], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return fmt.Errorf("growing a table to %d bytes: %w", bytes, err)
	}
	if bytes >= 2*hugePage {
		from := have
		if !m.huge {
			from, m.huge = 0, true
		}
		adviseHuge(m.space[from/hugePage*hugePage : bytes])
	}
	a.words = unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(m.space))), bytes/8)
	return nil
}

// discard says that the words [from, to) are not needed any more: whole pages of the system go back to it, and their bytes to
// the account. They read as zero afterwards. It returns the bytes given back.
func (a *arena) discard(from, to int) int64 {
	const page = 16 << 10 // a multiple of every page size in use
	lo, hi := (8*from+page-1)/page*page, 8*to/page*page
	if lo >= hi || unix.Madvise(a.mapping.space[lo:hi], unix.MADV_DONTNEED) != nil {
		return 0
	}
	if a.mapping.discarded == nil {
		a.mapping.discarded = map[int]int64{}
	}
	n := int64(hi - lo)
	a.mapping.discarded[from] = n
	a.reserved -= n
	a.account.Unreserve(n)
	return n
}

// recommit takes back from the account what discard of the same words gave.
func (a *arena) recommit(from, to int) error {
	n := a.mapping.discarded[from]
	if n == 0 {
		return nil
	}
	if err := a.account.Reserve(n); err != nil {
		return err
	}
	a.reserved += n
	delete(a.mapping.discarded, from)
	return nil
}

func (a *arena) clear() {
	m := &a.mapping
	_ = unix.Madvise(m.space[:8*len(a.words)], unix.MADV_DONTNEED) // an error leaves memory in use, nothing else
	a.words, m.discarded = nil, nil
}

func (a *arena) unmap() {
	if a.mapping.whole != nil {
		_ = unix.Munmap(a.mapping.whole) // fails only for arguments that Mmap did not return
		a.mapping = mapping{}
	}
}
