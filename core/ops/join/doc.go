// Package join is the operators of two inputs that find rows by equal keys: Interval, Window (and CoGroup), Temporal and Regular. Each
// takes its left input on port 0 and its right one on port 1, both divided by the hash of their keys. It may import core, core/expr, core/hash, state
// and memory.
//
// Rows that may still be needed are in bags (state.Table without keys), one a side, with the columns that keys, time, condition and output
// need. What finds them is derived and in memory: chains of a key's rows by slot, and buckets of slots by time. It is rebuilt from the bags when the
// operator opens, since slots do not survive.
//
// Invariants:
//
//  1. A key with a null is equal to nothing. Outer and anti joins emit such rows as rows without partner, at once or with their window.
//  2. A row is late when its time is not after the watermark (window joins: when all its windows are closed). Late rows and rows without time
//     are counted and go to the side output of their port (Sides[0] left, Sides[1] right) when it is declared; else they are dropped.
//  3. The multiset of results follows from rows, watermarks and their order, never from how rows are cut into batches; the order of
//     results between two watermarks is not defined.
//  4. Output is made in batches of at most BatchRows, while the outputs take them; then the operator stops with a cursor and goes on in
//     Resume. A cursor never lives over a checkpoint: work is done before a barrier passes.
//  5. A kept row is freed as soon as the watermark (Regular: its time to live) says that it cannot have a further partner.
package join
