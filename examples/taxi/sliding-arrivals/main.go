// Sliding-arrivals says where taxis are arriving now: every five minutes, per cell, the passengers that have arrived in the last fifteen.
//
//	go run ./examples/taxi/sliding-arrivals -input nycTaxiRides.csv.gz -output ./out/sliding-arrivals
package main

import (
	"time"

	"turbo/examples/taxi/rides"
	"turbo/stream"
)

var program = rides.Program[rides.Located]{Name: "sliding-arrivals", Result: func(arrivals *stream.Stream[rides.Arrival]) *stream.Stream[rides.Located] {
	windows := arrivals.KeyBy("cell").Window(stream.Sliding(15*time.Minute, 5*time.Minute))
	popular := stream.AggregateWindow[rides.Count](windows, "popular", stream.Column{Name: "arrivals", Expression: "SUM(passengers)"})
	return stream.Map(popular, "located", rides.Locate)
}}

func main() { program.Main() }
