//go:build !race

package state

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages; a system without them ignores it.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
