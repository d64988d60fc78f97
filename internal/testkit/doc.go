// Package testkit is what tests of operators and of keyed state share: random data, readable rows, an in-memory page store, a
// checker between operators, and a harness that runs an operator over batch sizes, selections, and a restore at every
// message boundary. Tests alone import it. It may import core, core/hash, state, memory and internal/invariants.
//
// Invariants:
//
//  1. Everything random comes from a rand.Rand that the test seeds.
//  2. Every helper releases what it was given to release; a test ends with the pool's CheckZero.
package testkit
