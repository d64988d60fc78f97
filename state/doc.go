// Package state is columnar keyed state: tables of rows found by key, divided into pages that are checkpointed
// incrementally while the worker goes on writing. It may import core, core/hash, memory, internal/invariants and x/sys/unix; it never imports
// ckpt, shuffle, timers or io/connector. Where pages go to and come from is PageSink and PageSource, which the task adapts.
//
// A Table is an open-addressing index from key hash to slot over rows of 64-bit words. A row holds a header (which fields are not
// null, and a stamp), the key and the values, each in words of its own: the shape that makes a probe, the comparison of the key
// and the update of the values touch one cache line of the row, where separate columns would touch one each. Columns[T] gives
// typed access by stride, so an operator's inner loop is slices and a multiplication. Pages are written column by column, packed.
//
// Slots are handed out page by page; a page belongs to one key group and is named (operator, table, key group, number).
//
// Invariants:
//
//  1. Keys are compared in full: a hash is never an identity. Nulls are legal keys, equal to each other; so are NaN; -0.0 equals 0.0.
//  2. Hashes passed in are those of core/hash over the key columns: the index is rebuilt from the keys after a restore.
//  3. Nothing of a row that a checkpoint saves is written before Touch (or TouchDistinct, Upsert, Drop) has announced it.
//  4. A page that is dirty at a freeze is taken exactly once, by whoever comes first: the worker, which encodes it (or, if it has
//     variable-width values, copies its rows) before its first write to it, or the background writer, which copies its rows. Both hold the Frozen's lock meanwhile; nothing else is shared between them.
//  5. Bytes of variable-width values are never changed or reused while a Frozen is being written: frees wait.
//  6. A delta is only written over a page whose base is in the last completed checkpoint; dirty bits of an abandoned checkpoint are merged
//     back, and pages that it dropped are dropped again by the next.
//  7. Memory is reserved from the account before it is used; at the limit a call fails with *memory.LimitError and the table is as it was,
//     but for keys of the batch that were created already.
package state
