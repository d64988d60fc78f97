// Total-arrivals says where taxis arrive: per cell of a grid over New York, the running sum of passengers that have arrived, one update per arrival.
//
//	go run ./examples/taxi/total-arrivals -input nycTaxiRides.csv.gz -output ./out/total-arrivals
package main

import (
	"time"

	"turbo/examples/taxi/rides"
	"turbo/stream"
)

// total is what is kept of a cell.
type total struct {
	Arrivals stream.Null[int64]
	Time     stream.Null[time.Time] `turbo:",TIMESTAMP_LTZ(3)"`
}

// located is a line of output.
type located struct {
	Cell     int32
	Lon, Lat float64
	Arrivals stream.Null[int64]
	Time     stream.Null[time.Time] `turbo:",TIMESTAMP_LTZ(3)"`
}

var program = rides.Program[located]{Name: "total-arrivals", Result: func(arrivals *stream.Stream[rides.Arrival]) *stream.Stream[located] {
	return stream.Process(arrivals.KeyBy("cell"), "totals", func(s *stream.Setup) stream.Processor[rides.Arrival, located] {
		state := stream.Value[total](s, "total")
		return stream.Processor[rides.Arrival, located]{Row: func(ctx *stream.Context[located], a *rides.Arrival) error {
			t, _ := state.Get()
			if a.Passengers.Valid {
				t.Arrivals = stream.Some(t.Arrivals.V + int64(a.Passengers.V))
			}
			if a.At.Valid && (!t.Time.Valid || a.At.V.After(t.Time.V)) {
				t.Time = a.At
			}
			state.Set(t)
			lon, lat := rides.Centre(a.Cell)
			ctx.Emit(located{Cell: a.Cell, Lon: lon, Lat: lat, Arrivals: t.Arrivals, Time: t.Time})
			return nil
		}}
	})
}}

func main() { program.Main() }
