// Package storetest is the conformance suite of page stores: every backend passes it, the model and Badger alike.
//
// It drives a ckpt.Store with random checkpoints (complete, abandoned at any point, cut off by a crash), retention,
// fallbacks and restores, and compares what is restored with plain maps. Imported by tests only.
//
// Imports: ckpt, testing.
package storetest
