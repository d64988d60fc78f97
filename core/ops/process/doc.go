// Package process is the machinery under user functions: process functions with keyed state and timers (Process), of one input or of several, with
// broadcast state; functions without state (FlatMap, Filter); functions that wait for something outside (Async), and lookup joins
// on top of them (Lookup). The typed Go API stands on it. It may import core, core/hash, core/expr, core/ops, state, timers, memory, internal/clock
// and internal/invariants.
//
// A function is one object an operator instance; every call comes from its worker (those of async functions apart, which run in
// goroutines of their own). Rows are views into columns, state is words in a table's row, output is appended to columns: nothing is allocated a row.
// Each row-at-a-time form has a batch form, which gets columns and the slots of the rows' keys.
//
// Invariants:
//
//  1. What a function keeps in declared states and timers survives a kill and a rescale, and nothing else does. Functions see the same
//     rows of a key in the same order, wherever batches are cut and the job was restarted.
//  2. The key of a row is found once, by a vectorised probe of a block of rows; access to value state is an offset from there.
//  3. A key whose states are all absent has no row: after Clear, or when all has expired, its memory is free at the end of the batch.
//  4. An expired value is never visible, whether its memory has been freed or not.
//  5. Timers of a key fire in the order of their times; a timer set in OnTimer for a time that has passed fires in its place among the
//     others that are due; a deleted timer does not fire.
//  6. The function is not called while a batch of output waits for its taker. Rows are handed on at the latest at the end of the input batch, so nothing
//     but state is left between messages.
//  7. An error or panic of user code ends the attempt as a *UserError with the row, the operator and the stack, never the process.
//  8. Results of async functions never cross a watermark, a barrier or the end of input: these wait for the requests in flight.
package process
