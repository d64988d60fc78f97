// Package stream is the Go API: jobs as Go programs, over streams of structs or of columns, with user functions. It only builds a plan, as
// every front end does, and runs it in this process.
//
// A row type is a struct; each exported field is a column. Its name is the field's in snake case, or the tag's; its type follows from the Go
// type, or is the tag's SQL type; "time" marks the column of event time:
//
//	type Ride struct {
//		RideID     int64
//		Event      string    `turbo:"event"`
//		At         time.Time `turbo:"ts,TIMESTAMP(3),time"`
//		Passengers stream.Null[int32] // nullable
//		scratch    int                // not exported: no column
//	}
//
// Integers, floats, bool, string, []byte, time.Time, time.Duration, decimal128.Num, slices, maps and structs of these are columns; Null[T] is
// a nullable one. A field may be wider than its column when it is only read.
//
// Operators have names. State is found by them when a job goes on, so they must be unique and stay.
//
// Mistakes (a field without a column, a name that stands twice, an option that does not exist) do not panic: the Env collects them with
// the line of the program, and Execute returns all of them.
//
// Invariants:
//
//  1. A user function that returns an error or panics fails the job with a *FunctionError that has the operator, the row and the stack. The
//     process goes on; the job's restart strategy decides.
//  2. Strings and slices that a function gets are copies: it may keep them. Pointers to rows are only valid during the call.
//  3. Functions of one operator instance are called by one goroutine; instances on other workers run at the same time, so what functions
//     share must be safe for that.
package stream
