// Package powerloss takes the power from a whole job, supervisor to file sink, again and again: on a file system and a page store in
// memory that forget at a crash what was not synced. It consists of tests only.
//
//	go test ./test/powerloss
//	go test ./test/powerloss -args -histories 2000 -first 100      many more, from seed 100 on
//
// The power goes before a random operation of the file system, or at a named phase. Between two crashes the parallelism may change, the
// page store may fail or the disk be full for a while (checkpoints are given up and taken again, the last one too), and the job restarts
// by itself. Visible rows are read by test/visible. Mutants stand between the job and its disks and each break one promise; the test must
// notice every one.
//
// Imports: package plan/physical, job, core/supervisor and what is below them; test/visible.
package powerloss
