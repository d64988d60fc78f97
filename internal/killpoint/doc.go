// Package killpoint names the places at which a test may kill the process.
//
// Code that makes something durable in steps calls Reach before each step ("manifest", "manifest-rename", ...). Normally
// that is one atomic load. A kill test arms it: with TURBO_KILL_PHASE=manifest:3 in its environment the process sends
// itself SIGKILL when it arrives at the point "manifest" for the third time. Kill -9 at a known step, from the inside, is
// exact where a killer outside can only hope to hit the step.
//
// Imports: the standard library only.
//
// Invariants:
//  1. Without Set or Arm, Reach does nothing: one atomic load, no allocation.
//  2. A hook is called in the goroutine that arrived, before the step that the point is named after.
//  3. Arm changes nothing when the variable is empty, and refuses what it cannot parse.
package killpoint
