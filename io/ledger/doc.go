// Package ledger keeps and checks the delivery ledger of a sink directory.
//
// The ledger is a file beside the output in which every committed checkpoint appends one record: which source ranges it
// covers, the balance of rows, the files that it made visible and the durable prefix of those still open. With it anybody
// can check afterwards that the output has everything once: Verify reads the files again and compares.
//
// The file is DIR/_turbo/ledger.jsonl. Each line is eight hex digits (the CRC-32C of what follows the space), a space and a
// JSON object of type Entry. A line that fails its checksum with no good line after it is a torn tail: it was being written
// when the power went, and Open cuts it off. Anywhere else it is damage and an error.
//
// Imports: core, internal/vfs, internal/killpoint.
//
// Invariants:
//  1. A commit is in the ledger, durably, before any of its files gets its visible name. So a crash in between leaves an entry
//     whose files are still hidden, never a visible file that the ledger does not know.
//  2. Within a run checkpoints only grow, and each names the one before it. Appending the newest one again is accepted and
//     writes nothing; it must be the same.
//  3. Entries are not changed (but see 4). A withdrawal is an entry of its own that makes the later commits of its run void.
//  4. A ledger of more than 16 MiB is compacted: old commits of a run become one with their sums. The file is replaced
//     atomically, and a finding that Verify would have made before it makes afterwards.
//  5. A checksum covers the bytes of a file as they are on disk and can be continued from its own value, so a file that stays
//     open over a restart needs no second reading.
package ledger
