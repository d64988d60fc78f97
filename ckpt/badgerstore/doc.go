// Package badgerstore keeps pages of state in Badger (managed mode): a ckpt.Backend on disk.
//
// The checkpoint id is the commit timestamp, so writing what is dirty at N is the incremental checkpoint, reading at N is
// the restore, and the discard timestamp is the retention. What Badger 4.9 needs for that, each found by experiment:
//
//   - NumVersionsToKeep is the maximum, and versions that end a chain are written with the discard mark. With the default,
//     compaction would drop whole pages under their deltas; without marks nothing would ever be dropped.
//   - The memtable is small and one table on level 0 is enough for a compaction. Pages lie in the value log, so a memtable
//     of ordinary size would hold minutes of checkpoints, and only compaction tells the value log what is garbage.
//   - Tombstones are ordinary versions with the discard mark, not Badger deletes. Garbage collection of the value log
//     rewrites old versions to the top of the tree; a delete mark that compaction has dropped at the bottom by then could
//     no longer hide them.
//   - Badger's own Sync covers the active files only, so Sync here syncs every file that may have changed, then the directory.
//   - Garbage collection copies what lives from one value log file to another and removes the first, syncing nothing. An
//     iterator held open all the while postpones the removal until the copies are synced.
//   - Badger's files are mapped into memory: a full disk is a SIGBUS that ends the process. Open and ckpt.Store look at the free space first.
//
// Imports: ckpt, memory, internal/vfs, Badger.
//
// Invariants:
//  1. What Put returned without an error before Sync was called is durable after Sync returned without an error.
//  2. No file with live values is removed before the copies of these values are durable.
//  3. No panic of Badger about damaged files leaves this package; it becomes an error.
//  4. Badger logs nothing by itself: everything goes to the given logger at debug level.
package badgerstore
