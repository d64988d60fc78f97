// Package memory is the byte budget of the process: one Pool with a limit, named Accounts that draw on it, and slabs that are
// used again instead of being garbage.
//
// An Account is an Arrow memory.Allocator. It hands out slabs from power-of-two size classes (64 B to 1 MiB; larger requests are
// allocated directly) that start at a multiple of 64 bytes and hold undefined contents. Memory that does not come from slabs
// (pages of keyed state, the buffers of franz-go, Badger and the Parquet writer) is reserved on an account, so that one figure
// covers the whole process.
//
// Imports: the standard library, Arrow's Allocator interface (in a test only), internal/invariants.
//
// Files: pool.go (budget, shards, trimming), account.go (the allocator), class.go (size classes), track.go and
// untrack.go (leak, double-free and use-after-free detection by build tag), plan.go (shares of engine.memory), rss_*.go.
//
// Invariants:
//  1. held = the slabs in use + the slabs kept for reuse + the reservations, and held <= limit at every moment.
//  2. A slab is in exactly one place: in use by one account, or in one free list.
//  3. An account's figure counts whole slabs (their class size, not the bytes asked for): what the process really holds.
//  4. Slabs kept for reuse never make an allocation fail: they are dropped before the limit is enforced.
//  5. Slabs are pointer-free Go memory. The collector never scans one, and a slab that its owner forgets is collected; its
//     account shows the leak.
//  6. In the invariants build a freed slab is filled with poison that is verified when the slab is handed out again, a slab freed
//     twice or to another account panics, and CheckZero tells where the leaked ones were allocated.
package memory
