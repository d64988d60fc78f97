// Package ops is the streaming operators: Calc (filter and project), Aggregate (running keyed aggregates) and Deduplicate. Each is
// a core.Operator over columns by index; front ends give names and types. It has the table of aggregate functions, and their accumulators, which windows
// and process functions use, too. It may import core, core/expr, core/hash, state, timers and
// memory.
//
// Invariants:
//
//  1. An operator takes the batch in every case, an error included.
//  2. Operators write no snapshot code: what must survive is in tables. Whatever else they hold is empty after each call (Flush
//     has nothing to do) or follows from the tables.
//  3. Result and state depend on the rows and watermarks only, never on how rows are cut into batches; but an aggregate that is not
//     every-row emits one update a changed key and batch, so what it emits in between does.
//  4. What an aggregate is, is in the table of functions only: its names, types, text and examples, whether it depends on order, merges, and can be taken back.
//  5. A state of bytes is changed in place only where the table says that nobody is reading it, or behind its end; a state that came by merging gives the result of the rows in
//     one state, of sums of floats and variances up to rounding.
package ops
