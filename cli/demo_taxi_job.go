package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"turbo/core"
	"turbo/io/connector"
	"turbo/job"
	"turbo/run"
)

// The job of the demo: total-arrivals and early-arrivals of examples/taxi over one source. Its sinks are replaced by the map.
const taxiSpec = `name: taxi-demo
engine: {checkpoint: off, restart: none}
sources:
  rides:
%s
streams:
  cells:
    from: rides
    filter: event = 'END' AND lon >= -74.05 AND lon < -73.7 AND lat > 40.5 AND lat <= 41.0
    select:
      cell: CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT) + 250 * CAST(FLOOR((41.0 - lat) / 0.00125) AS INT)
      ts:
      passengers: CAST(passengers AS BIGINT)
  totals:
    from: cells
    key-by: [cell]
    aggregate: {arrivals: SUM(passengers), time: MAX(ts)}
    emit: every-row
  popular:
    from: cells
    key-by: [cell]
    window: {sliding: 15m, every: 5m}
    trigger: {early: {sum: passengers, every: 50}}
    aggregate: {arrivals: SUM(passengers)}
  totals_out: {from: totals, select: {cell: , arrivals: , time: }}
  popular_out: {from: popular, select: {cell: , arrivals: , kind: , window_end: }}
sinks:
  totals: {from: totals_out, connector: blackhole}
  popular: {from: popular_out, connector: blackhole}
`

const taxiGenerated = `    connector: generator
    data: rides
    rows: %d
    rate: %g
    batch-rows: 64
    schema: {event: STRING, ts: TIMESTAMP_LTZ(3), lon: DOUBLE, lat: DOUBLE, passengers: INT}
    watermark: {column: ts}`

const taxiFile = `    connector: replay
    path: %q
    format: csv
    time: ts
    serving-speed: %g
    schema:
      ride_id: BIGINT NOT NULL
      event: STRING
      ts: TIMESTAMP_LTZ(3)
      other_time: TIMESTAMP_LTZ(3)
      start_lon: DOUBLE
      start_lat: DOUBLE
      lon: DOUBLE
      lat: DOUBLE
      passengers: INT
      taxi_id: BIGINT
      driver_id: BIGINT
    watermark: {column: ts}`

const (
	taxiRows     = 100_000
	taxiInterval = 0.063 // seconds of event time between generated events
)

// taxiJob makes the demo's job, whose results go to the city. input "" generates rides.
func taxiJob(input string, speed float64, rows, parallelism int, to *city) (*run.Process, error) {
	source := fmt.Sprintf(taxiGenerated, rows, speed/taxiInterval)
	if input != "" {
		source = fmt.Sprintf(taxiFile, input, speed)
	}
	j, err := job.Parse(fmt.Appendf(nil, taxiSpec, source), job.Options{File: "taxi-demo", Parallelism: parallelism})
	if err != nil {
		return nil, err
	}
	for _, s := range j.Plan.Sinks {
		take := to.total
		if s.Name == "popular" {
			take = to.window
		}
		s.Spec = &connector.SinkSpec{Name: "map", Guarantee: "none: it is a picture", New: func(*connector.SinkContext) (core.Sink, error) { return citySink{take}, nil }}
	}
	return run.New(j, run.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

// citySink hands batches to the city.
type citySink struct{ take func(*core.Batch) }

func (citySink) Open(context.Context, *core.RestoredSink) error          { return nil }
func (citySink) Commit(context.Context, core.CommitInfo, [][]byte) error { return nil }
func (s citySink) Writer(int) (core.SinkWriter, error)                   { return s, nil }
func (citySink) Close() error                                            { return nil }
func (citySink) Full() bool                                              { return false }
func (citySink) SetWaker(func())                                         {}

// Write implements core.SinkWriter.
func (s citySink) Write(b *core.Batch) error {
	s.take(b)
	b.Release()
	return nil
}

// Prepare implements core.SinkWriter.
func (citySink) Prepare(_ uint64, _ bool, done func([]byte, error)) { done(nil, nil) }
