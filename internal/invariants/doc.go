// Package invariants holds the assertions that only test builds pay for.
//
// Build with `-tags invariants` to switch them on. Without the tag Enabled is the constant false, so that
//
//	if invariants.Enabled {
//		invariants.Check(b.refs > 0, "batch released twice: ", b.id)
//	}
//
// costs nothing: the compiler drops the branch and the arguments with it.
//
// Race says the same of the race detector.
//
// Imports: the standard library only.
//
// Invariants:
//  1. Code that runs only under Enabled never changes a result; it observes and it may panic.
//  2. A failed check is a bug of turbo, never of its user or of the outside world; those get errors.
package invariants
