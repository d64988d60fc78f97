// Package rides is what the three taxi programs have in common: their options, the rides, the grid over New York, and the output.
package rides

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"turbo/stream"
)

// Ride is an event of a ride: a line of the file, in the order of its columns.
type Ride struct {
	RideID     int64
	Event      stream.Null[string]    // START or END
	At         stream.Null[time.Time] `turbo:"ts,TIMESTAMP_LTZ(3)"`
	OtherTime  stream.Null[time.Time] `turbo:",TIMESTAMP_LTZ(3)"`
	StartLon   stream.Null[float64]
	StartLat   stream.Null[float64]
	Lon        stream.Null[float64] // where the ride ends
	Lat        stream.Null[float64]
	Passengers stream.Null[int32]
	TaxiID     stream.Null[int64]
	DriverID   stream.Null[int64]
}

// Arrival is the end of a ride in a cell of the grid.
type Arrival struct {
	Cell       int32
	At         stream.Null[time.Time] `turbo:"ts,TIMESTAMP_LTZ(3),time"`
	Passengers stream.Null[int32]
}

// Count is the passengers that arrived in a cell in a window.
type Count struct {
	Cell      int32
	WindowEnd time.Time
	Arrivals  stream.Null[int64]
	Kind      string // early or final
}

// Located is a Count with the centre of its cell: a line of output.
type Located struct {
	Cell      int32
	Lon, Lat  float64
	Arrivals  stream.Null[int64]
	Kind      string
	WindowEnd time.Time `turbo:",TIMESTAMP_LTZ(3)"`
}

// The grid: columns west to east, rows north to south, counted from the north-west corner.
const (
	west, east   = -74.05, -73.7
	south, north = 40.5, 41.0
	width        = 0.0014  // of a cell, in degrees of longitude
	height       = 0.00125 // of a cell, in degrees of latitude
	columns      = 250
)

// InNewYork says whether the event is the end of a ride inside New York.
func InNewYork(r *Ride) (bool, error) {
	lon, lat := r.Lon, r.Lat
	return r.Event.Valid && r.Event.V == "END" && lon.Valid && lat.Valid && lon.V >= west && lon.V < east && lat.V > south && lat.V <= north, nil
}

// ToCell finds the cell in which a ride ends.
func ToCell(r *Ride) (Arrival, error) {
	x := math.Floor((-west - math.Abs(r.Lon.V)) / width)
	y := math.Floor((north - r.Lat.V) / height)
	return Arrival{Cell: int32(x) + columns*int32(y), At: r.At, Passengers: r.Passengers}, nil
}

// Centre returns the middle of a cell. It counts in millionths of a degree: the result is the nearest double.
func Centre(cell int32) (lon, lat float64) {
	x, y := cell%columns, cell/columns
	return float64(-74_050_000+1400*x+700) / 1e6, float64(41_000_000-1250*y-625) / 1e6
}

// Locate adds the centre of its cell to a count.
func Locate(c *Count) (Located, error) {
	lon, lat := Centre(c.Cell)
	return Located{Cell: c.Cell, Lon: lon, Lat: lat, Arrivals: c.Arrivals, Kind: c.Kind, WindowEnd: c.WindowEnd}, nil
}

// Program is one of the three: its name, and its way from arrivals to what is written.
type Program[T any] struct {
	Name   string
	Result func(arrivals *stream.Stream[Arrival]) *stream.Stream[T]
}

// Main runs a program with the options of the command line, until its input ends or it is interrupted; then it goes on there the next time.
func (p Program[T]) Main() {
	input := flag.String("input", "", "`file` of rides, CSV")
	output := flag.String("output", "", "`directory` for JSON lines")
	state := flag.String("state", "./state/"+p.Name, "`directory` for checkpoints")
	parallelism := flag.Int("p", 0, "`workers`; 0: one for each CPU")
	delay := flag.Duration("max-serving-delay", 0, "rides come up to so much later than they happened, and out of order")
	speed := flag.Float64("serving-speed", 0, "how many seconds of the rides' time are served in a second; 0: as fast as possible")
	flag.Parse()
	if *input == "" || *output == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	options := []stream.Option{stream.Checkpoint(*state, time.Second)}
	if *parallelism > 0 {
		options = append(options, stream.Parallelism(*parallelism))
	}
	job := stream.New(p.Name, options...)
	p.Build(job, *input, *output, *delay, *speed)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := job.Execute(ctx); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// Build puts the program together: its source is rides, its sink out.
func (p Program[T]) Build(job *stream.Env, input, output string, delay time.Duration, speed float64) {
	rides := stream.From[Ride](job, "rides", fmt.Sprintf(`
connector: replay
path: %q
format: csv
time: ts
max-serving-delay: %s
serving-speed: %v
watermark: {column: ts, max-out-of-orderness: %[2]s}
`, input, fmt.Sprintf("%dms", delay.Milliseconds()), speed))
	arrivals := stream.Map(stream.Filter(rides, "in-new-york", InNewYork), "cells", ToCell)
	p.Result(arrivals).To("out", fmt.Sprintf("connector: file\npath: %q\nformat: {type: json, timestamps: iso-8601}", output))
}
