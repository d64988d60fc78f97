// Package generator is the source connector "generator": seeded rows for demos, tests and benchmarks. It may import core,
// io/connector and what they import.
//
// Invariants:
//
//  1. Row n is a function of the configuration, the seed and n alone: a restart, another parallelism or another
//     batch size gives the same rows.
//  2. Rows are dealt to a fixed number of splits, in pairs (row n belongs to split n/2 mod splits; pairs, because a ride's rows
//     alternate between starts and ends, and every split should have both). A split's position is the number of its
//     rows that were emitted, as 8 bytes little-endian.
//  3. Nothing blocks: rows are made on the worker, by Poll; a rate is kept by answering NoEvent until rows are due.
package generator
