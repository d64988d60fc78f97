package memory

import (
	"math/bits"
	"unsafe"
)

const (
	// Alignment is the alignment of every slab in bytes: a cache line, and what Arrow recommends.
	Alignment = 64
	// MaxSlab is the largest pooled size in bytes; larger requests are allocated and freed directly.
	MaxSlab = 1 << maxShift

	minShift = 6  // 64 B
	maxShift = 20 // 1 MiB
	classes  = maxShift - minShift + 1

	// directUnit rounds requests beyond MaxSlab: the runtime's page, so that the account shows what the heap really holds.
	directUnit = 8 << 10
)

// classOf returns the smallest class whose slabs hold n bytes. n is in 1..MaxSlab.
func classOf(n int) int {
	if n <= 1<<minShift {
		return 0
	}
	return bits.Len(uint(n-1)) - minShift
}

func classBytes(class int) int { return 1 << (class + minShift) }

// SlabSize returns the bytes that Allocate(n) takes from the budget: the size class of n, or n rounded up to a page beyond it.
// Builders that grow ask for this much and waste nothing.
func SlabSize(n int) int {
	switch {
	case n <= 0:
		return 0
	case n <= MaxSlab:
		return classBytes(classOf(n))
	}
	return (n + directUnit - 1) &^ (directUnit - 1)
}

// newSlab returns size bytes that start at a multiple of Alignment. The runtime's size classes for powers of two from 64 bytes
// are so aligned already; the second allocation is there for a runtime that would change that.
func newSlab(size int) unsafe.Pointer {
	b := make([]byte, size)
	p := unsafe.Pointer(unsafe.SliceData(b))
	if off := uintptr(p) & (Alignment - 1); off != 0 {
		b = make([]byte, size+Alignment)
		p = unsafe.Pointer(unsafe.SliceData(b))
		p = unsafe.Add(p, (Alignment-int(uintptr(p)&(Alignment-1)))&(Alignment-1))
	}
	return p
}
