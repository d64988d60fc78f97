// Package window runs the scenarios of testdata/window: one readable file for each, with a window as a job specification writes it, rows,
// watermarks and the clock in the order in which they come, and what the window says after each. It consists of tests only.
//
//	go test ./test/window                  every scenario
//	go test ./test/window -run /late       those with "late" in their names
//	go test ./test/window -update          writes what the operator says into the files: read the difference
//
// A file:
//
//	# A row exactly at the end of a window belongs to the next one.
//
//	key-by: [k]
//	window: {tumbling: 10s}
//	aggregate: {n: COUNT(*), total: SUM(v)}
//	---
//	row a 10s 2                       key, time, value (columns k, ts, v), gap as a duration when there is a fourth (column gap)
//	watermark 9.999999s
//	> a [0s, 10s) 1 1 final           what comes out of the step before: key, bounds, aggregates, kind; sorted
//	clock 5s                          processing time, which begins at 0s
//	restore                           a checkpoint, and one new instance from it
//	rescale 3                         the same, and three instances
//	end                               the input ends
//	---
//	late 1                            the counters that are not zero at the end: late, no time, filtered
//	late> a 9s 1                      rows of the late output
//
// Times are durations since 1970, or RFC 3339; "-" is null and "" the empty string. A specification that is refused has "refused: MESSAGE"
// lines after the first "---" instead.
//
// Each scenario has two opponents. What the file says is compared with an oracle that does a row at a time and shares no code with
// turbo, its parser included; and with the operator as the job's plan makes it, row by row, and again in every variant of testkit.Harness: rows cut into other
// batches, with dead rows between them, restored after each message, at another parallelism. Late firings come once a batch unless
// the specification says emit: every-row; with batches of several rows they are compared as package documentation of core/ops/window states.
//
// Imports: packages job, plan and internal/testkit, and what is below them.
package window
