// Package property runs whole random jobs and compares what they make visible with naive loops. It consists of tests only.
//
//	go test ./test/property                          sixty jobs
//	go test ./test/property -seed 812 -runs 1 -v     one job again (-keep keeps its files)
//	go test ./test/property -seed 1000 -runs 500     a soak
//
// A seed makes a job specification (windows, triggers, evictors, lateness, joins, deduplication, unions, windows over windows and joins, a process function), its input files with rows
// out of order, late rows and nulls, the engine's settings, and a life: at which points the job is stopped with a last checkpoint, fails, is cancelled or killed
// (SIGKILL, in a process of its own), and with which parallelism it goes on. The job runs through package run on the real file system. What it
// wrote is read by test/visible, and the oracle is written from the semantics that Flink documents, a row at a time, over maps; neither shares code with turbo.
//
// What a job may see is controlled by a gate: a file system that lets the job read its input up to a point only (gate_test.go). So a job that is
// stopped always has input left, whatever the machine's speed, and no test looks at a clock. There are three kinds of input, because some results depend on the
// order in which rows and watermarks come, and that order is not defined between splits:
//
//   - free: any number of sources and splits, no row is late. Results that depend on the rows alone are compared row by row; early firings, whose
//     contents depend on the order of splits, by what must hold in each order.
//   - ordered: one split, no row is late. The order of a key's rows is that of the file at every parallelism, so every firing is compared.
//   - paced: a source is one split, and rows are late. The gate opens a segment of the input only when all instances of the operator have a watermark that
//     follows from the segments before. For each row that bounds the watermark from both sides (row.low, row.high); a row for which the two
//     bounds do not lead to the same end gets another time. So lateness is certain, and every firing is compared.
//
// A trigger that counts rows, or their order, is compared where the order is that of a file; of windows and triggers
// of the clock only that is compared which holds for every clock (clock_case_test.go).
//
// Imports: package run and what is below it; stream, which registers a trigger; test/visible.
package property
