// Package modelstore is the page store's model: a ckpt.Backend in memory that forgets at a crash what was not synced.
//
// It is what simulations and power-loss tests run on, and what the conformance suite compares Badger with. It is meaner
// than any real store: Discard forgets at once everything that it may, and Crash keeps nothing unsynced (or, with a seed,
// any part of it).
//
// Imports: ckpt, internal/vfs.
//
// Invariants:
//  1. A Disk outlives the backends that were opened on it; after Crash they are dead.
//  2. A version survives Crash exactly when a Sync began after its Put had returned.
package modelstore
