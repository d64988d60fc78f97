// Package run puts a checked job into a process: memory, state directory, supervisor, control socket, metrics. It is what `turbo run`,
// the demo and the suites in test/ share. It may import everything below it; connectors come from package run/all.
//
// Invariants:
//
//  1. engine.memory bounds the process: the pool, the runtime's soft limit and the state store are sized from it before anything is read.
//  2. The control socket lies in the state directory and answers only while the process holds the directory's lock.
package run
