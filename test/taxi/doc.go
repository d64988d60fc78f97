// Package taxi runs the three programs of the guide (examples/taxi) by the turbo binary, and compares what they write with what a naive loop
// over the rows of the file, written here and sharing nothing with turbo, makes of the same rides: at parallelism 1, 2 and 4, in order and
// delayed by up to 60 s, whole and killed by SIGKILL twice on the way. The Go programs beside the job specs must write the same.
//
// The rides are the real ones when TURBO_DATA names their folder, a few thousand generated ones otherwise (it says which).
//
//	TURBO_DATA=DIR go test ./test/taxi -v
//
// What must be equal: of total-arrivals the last value of each cell (and every update, when the rides come in order); of sliding-arrivals
// every row; of early-arrivals every final count, and every early one when the rides come in order. Out of order, the early counts must be the
// same at every parallelism and over kills, and at least 50 and at most 55 passengers apart.
//
// It consists of tests only. Imports: test/visible; turbo itself only as a binary.
package taxi
