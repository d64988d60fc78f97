//go:build !invariants

package memory

import "unsafe"

// tracker knows nothing outside the invariants build; see track.go.
type tracker struct{}

func poison(unsafe.Pointer, int)                         {}
func (*tracker) verify(unsafe.Pointer, int)              {}
func (*tracker) allocated(*Account, unsafe.Pointer, int) {}
func (*tracker) freed(*Account, unsafe.Pointer, int)     {}
func (*tracker) origins(*Account) string                 { return "" }
