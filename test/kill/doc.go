// Package kill ends a job with SIGKILL again and again and lets it recover: Kafka to files, with keyed state beside it, for every format,
// broker and parallelism. It consists of tests only.
//
//	go test ./test/kill                  a short version on the embedded broker, and on the real one that TURBO_KAFKA names
//	go test ./test/kill -timeout 2h -v -args -long          at least 100 kills for each combination; prints the phases
//
// The job runs in a process of its own: this test's binary, which knows by its environment that it is the child. internal/killpoint
// kills it from the inside when it arrives at a named phase for the n-th time; one phase in turn is "outside": a kill at a random time.
//
// Each kill counts only when a checkpoint was committed before it and input was left. After each, a reader that shares no code with
// turbo's writers (test/visible) compares what the broker has with what is visible: by topic, partition, offset and payload.
//
// Imports: package run and what is below it; test/visible.
package kill
