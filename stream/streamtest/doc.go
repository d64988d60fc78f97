// Package streamtest runs jobs of package stream by hand, for their tests: a test pushes rows and watermarks, moves the clock, and reads what came
// out. Everything happens during its calls, in one order: there is no wall clock, no waiting and no port.
//
// New takes a job with all its sources and sinks. Whatever they are in production (a Kafka topic, files, a function), here the sources give
// what Input pushes, and the sinks keep what Output reads. Between them run the real operators, on as many workers as Workers says, with exchanges,
// watermarks, state and timers. To test a piece of a program, make a job around it: Source makes a stream for it, and Collect ends what comes
// out, side outputs and late rows too.
//
//	func TestTotals(t *testing.T) {
//		job := stream.New("test")
//		Totals(streamtest.Source[Trip](job, "trips")).Collect("totals")
//		h := streamtest.New(job, streamtest.WithT(t))
//		trips, totals := streamtest.Input[Trip](h, "trips"), streamtest.Output[Total](h, "totals")
//
//		trips.Push(Trip{Cell: "a", Passengers: 2})
//		trips.Watermark(noon)
//		h.Advance(time.Minute)
//		got := totals.Rows()
//
//		state := h.Snapshot(ctx)
//		...
//	}
//
// A snapshot is a checkpoint: New starts from it with the option From, in another process if need be, on another number of workers (the state
// is dealt to them anew) or with a changed job (what does not fit is refused as it would be in production).
//
// Errors are kept: after the first one every call returns it, and Err. That of a user's function is a *stream.FunctionError, with the row, the
// operator and the stack. With WithT, an error ends the test.
//
// It may import what package stream does, and core/task, whose workers it runs.
package streamtest
