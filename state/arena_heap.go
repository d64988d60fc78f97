//go:build race || !(linux || darwin)

package state

type mapping struct{}

// extend makes bytes accessible.
func (a *arena) extend(bytes int) error {
	words := make([]uint64, bytes/8)
	copy(words, a.words)
	a.words = words
	return nil
}

// discard says that the words [from, to) are not needed any more; they may keep their contents. It returns the bytes given back.
func (a *arena) discard(from, to int) int64 { return 0 }

// recommit takes back from the account what discard gave.
func (a *arena) recommit(from, to int) error { return nil }

func (a *arena) clear() { a.words = nil }

func (a *arena) unmap() {}
