// Package bench is the benchmark harness: each benchmark runs turbo and the simplest hand-written loop that gives the same answer, in
// interleaved pairs in one process, checks both answers, and reports the median ratio and its spread. `turbo bench NAME` runs
// them; `go test -bench` runs the same code. It may import everything below it.
//
// Invariants:
//
//  1. The loops are honest: no work that turbo does is left out of what the answer needs, nothing is added to slow them down.
//  2. Answers are checked in every run; a wrong answer is an error, never a slow result.
//  3. Speeds are printed, never asserted: these machines are noisy, quote the ratios.
package bench
