// Package core is turbo's vocabulary: types, schemas, vectors, batches, messages, and the contracts of operators,
// sources, sinks and keyed state. It starts no goroutine and does no I/O. It may import memory,
// internal/{clock,invariants} and Arrow.
//
// Invariants:
//
//  1. A Batch has exactly one owner. Passing it to Process, Emit, Write or a ring moves it, even when the call fails;
//     the last owner calls Release. Fan-out calls Share, which costs one batch header and no copy of values.
//  2. A Vector is immutable once the batch that holds it has been emitted. Vectors are reference counted; a batch
//     holds one reference to each of its columns.
//  3. Columns have Arrow's layout, except BOOLEAN (one byte a value; packed to bits at an Arrow edge). A nil validity
//     bitmap means that no value is null. A value under a null is undefined, but in bounds (offsets stay monotonic).
//  4. A selection vector is strictly ascending. Rows outside it are dead: nobody reads them, and they may be undefined.
//  5. Event time is int64 microseconds since 1970-01-01T00:00:00Z, everywhere.
package core
