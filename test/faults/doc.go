// Package faults breaks what a job depends on, one thing at a time, and holds two things against it: the message says what is wrong,
// where, and what to do (testdata/, rewritten with -update), and after the repair every record is in the output exactly once.
//
//	go test ./test/faults            -args -update      rewrites the messages
//
// Tests named Real need the broker of test/real.sh. It consists of tests only.
//
// Imports: package run and what is below it; test/visible.
package faults
