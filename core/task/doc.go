// Package task runs a physical graph: it fuses operators into chains, runs one instance of every chain on each worker,
// wires chains by exchanges, injects barriers and collects what tasks acknowledge. It may import the packages of
// the floors below (core, core/ops, memory, shuffle, state, timers) and knows no connector and no front end.
//
//	source reader --> [stage, stage, ...] --> exchange output ==ring==> gate --> [stage, ...] --> sink writer
//	\_______________ one task _________________/                 \__________ another task _________________/
//
// Invariants:
//
//  1. A task is owned by one worker. Everything in its chain is called by that worker's goroutine and by nobody else;
//     the fields that others read are atomics (published counters, parked).
//  2. Nothing on a worker blocks. A task whose output is full reports no progress and is stepped again later.
//  3. While anything in a chain has pending work or a full output, the task takes no new message from its root: pending
//     work is resumed from the last element to the first.
//  4. A control message (watermark, idleness, barrier, end) passes through a chain element by element, in topological order;
//     an element gets it only when every element before it has finished it and has nothing pending. No row is
//     processed in between, so a barrier cuts the stream at one point for the whole chain.
//  5. At a barrier the state is, in this order: flushed by operators, cut by the barrier that goes on, frozen. A task
//     acknowledges once, with everything that the manifest needs of it; uploads and prepares follow asynchronously.
//  6. Every batch that a task takes is released or passed on on every path, errors included: accounts are at zero when
//     an attempt has closed.
//  7. A worker parks only after it has declared itself parked and then found nothing to do in a whole round. Whoever gives a task
//     something to do afterwards sees the declaration and wakes it (both sides use sequentially consistent atomics).
package task
