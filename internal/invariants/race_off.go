//go:build !race

package invariants

// Race says whether the binary was built with the race detector: its memory is anonymous too, it makes a sync.Pool forget at random, and
// everything is slower. Tests that count allocations or memory leave out under it what it would falsify.
const Race = false
