// Package shuffle carries batches and control messages between the chains of a job: the exchange.
//
// A Channel is the way from one sender to one receiver, a Ring with the wakers of both workers. An Output is the sender's end of all
// its channels: it routes rows (forward, hash, rebalance, broadcast), collects small batches into larger ones as the buffer timeout
// allows, and passes control messages on behind the rows. A Gate is the receiver's end of all its channels: it merges their
// watermarks, idleness and barriers into one sequence of events.
//
// Imports: core, core/hash, memory, internal/invariants.
//
// Files: ring.go (SPSC ring, credit), waker.go (sleeping workers), channel.go, output.go (flushing, blocking, control), scatter.go
// (routing and copying rows), gate.go (polling, barrier alignment), valve.go (watermarks and idleness), snapshot.go.
//
// Invariants:
//
//  1. Per channel, messages arrive in the order in which they were sent, each exactly once; rows keep their order within a key.
//  2. Nothing blocks. A sender holds at most one finished batch a channel beyond the ring (the overflow slot) and then says Full.
//  3. A control message goes out behind all rows that were emitted before it, and in front of all that come later. It needs a slot
//     but no credit.
//  4. What a ring holds is bounded by slots, rows and bytes; a single batch larger than the bound passes alone, and a batch that is
//     added to in the ring (never to more than a full one, and only while less than half is taken) may pass it.
//  5. A batch in a ring belongs to the ring, then to who polled it; until then the sender may take the newest one back for more rows
//     (Ring.Reopen). Close on both ends releases what is left.
//  6. The watermark that a gate gives never falls, and neither does that of a restored gate.
//  7. Barriers: after the event for barrier n no row that was sent before n on any channel follows, and before it no row that was sent
//     after n on any channel came.
package shuffle
