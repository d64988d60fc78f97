// Package timers holds what is to happen at a time: a Queue in memory, and a Service whose timers are keyed state and so survive a
// restart at any parallelism. It serves event time (fired as the watermark advances) and processing time alike: each has a queue or service
// of its own, and the operator says what time it is. It may import core, core/hash, memory and internal/invariants; tables come
// through core.TableFactory, never from package state.
//
// Which to use: timers that follow from rows of a table (a row's expiry) need a Queue only, filled again from the table when the
// operator opens; timers that nothing else remembers (a key group's window ends, a user's timers) need a Service.
//
// Invariants:
//
//  1. A timer leaves its queue before it fires: what fires may register the same timer again.
//  2. Timers fire in the order of their times; those of one time in no particular order.
//  3. A timer that is registered for a time that has passed fires with the next batch.
//  4. Registering a Service's timer twice is registering it once. A Queue does not look: whoever pops checks the row.
package timers
