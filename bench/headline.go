package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

func init() {
	register(Benchmark{"headlines", "1.5 million events a second and core without a shuffle; 25 ms with one", benchHeadlines})
}

// The two figures that turbo answers, by jobs that a user would write: CSV records are decoded, filtered and projected; rows go through a
// shuffle with a source and a sink that are connectors with goroutines of their own.

const headlineSpec = `name: headline
engine: {parallelism: 1, checkpoint: {interval: 1s, dir: %q}}
sources:
  rides: {connector: file, path: %q, format: csv, schema: {ride_id: BIGINT NOT NULL, event: STRING, ts: TIMESTAMP(3), lon: DOUBLE, lat: DOUBLE, passengers: INT}}
streams:
  arrivals:
    from: rides
    filter: event = 'END' AND passengers > 0
    select:
      ride_id:
      ts:
      cell: CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)
      passengers:
sinks:
  files: {from: arrivals, connector: %s}
`

// writeRides writes rows records of CSV and returns how many of them are arrivals.
func writeRides(path string, rows int) (arrivals int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	began := time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
	var line []byte
	for i := range rows {
		event, passengers := "START", i%5
		if i%2 == 1 {
			event = "END"
			if passengers > 0 {
				arrivals++
			}
		}
		line = fmt.Appendf(line[:0], "%d,%s,%s,-73.%06d,40.%06d,%d\n", i/2, event, began.Add(time.Duration(i)*time.Millisecond*37).Format("2006-01-02 15:04:05.000"), i*7919%1_000_000, i*104729%1_000_000, passengers)
		if _, err := w.Write(line); err != nil {
			return 0, err
		}
	}
	return arrivals, w.Flush()
}

func benchHeadlines(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "Without a shuffle: CSV of rides, decoded, filtered and projected; million events a second of wall time, one worker, and of processor time of the whole process (%s)\n\n", machine())
	rows := 4_000_000
	if o.Quick {
		rows = 50_000
	}
	dir, err := os.MkdirTemp(o.Dir, "headline")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	input := filepath.Join(dir, "rides.csv")
	want, err := writeRides(input, rows)
	if err != nil {
		return err
	}
	t := newTable(w, "into", "M events/s, wall", "M events/s and core", "lowest", "highest")
	for _, sink := range []struct{ name, text string }{
		{"a sink that drops them", "blackhole"}, {"Parquet files, exactly once", "file, path: %q, format: parquet"},
	} {
		var wall, cpu []float64
		for i := range min(o.pairs(), 5) {
			text := sink.text
			if sink.name[0] == 'P' {
				text = fmt.Sprintf(text, filepath.Join(dir, fmt.Sprint("out", i)))
			}
			var got jobAnswer
			used, err := runChild(ctx, childRequest{Role: "job", Job: fmt.Sprintf(headlineSpec, filepath.Join(dir, fmt.Sprint("state-", sink.name[:1], i)), input, text)}, &got)
			if err != nil {
				return err
			}
			if got.Read != int64(rows) || got.Written != want {
				return fmt.Errorf("%d events came in and %d went out, want %d and %d", got.Read, got.Written, rows, want)
			}
			wall, cpu = append(wall, float64(rows)/got.Elapsed.Seconds()/1e6), append(cpu, float64(rows)/used.Seconds()/1e6)
		}
		t.row(sink.name, fmt.Sprintf("%.2f", median(wall)), fmt.Sprintf("%.2f", median(cpu)), fmt.Sprintf("%.2f", -most(negative(cpu))), fmt.Sprintf("%.2f", most(cpu)))
	}
	fmt.Fprintf(w, "\nWith a shuffle: from the time at which a row should have been sent to the sink, in ms; source and sink behind queues\n\n")
	t = newTable(w, "buffer-timeout", "rows a second", "p50", "p99", "p99.9")
	for _, timeout := range []time.Duration{10 * time.Millisecond, 5 * time.Millisecond} {
		for _, rate := range []float64{750_000, 50_000} {
			f := flow{timeout: timeout, rows: int(5 * rate), hand: 4096, rate: rate, queued: true, dir: o.Dir}
			if o.Quick {
				f.rows = int(0.5 * rate)
			}
			_, delays, err := f.run(ctx)
			if err != nil {
				return err
			}
			t.row(timeout.String(), fmt.Sprintf("%.0f thousand", rate*flowWorkers/1000), ms(delays.ValueAtQuantile(50)), ms(delays.ValueAtQuantile(99)), ms(delays.ValueAtQuantile(99.9)))
		}
	}
	return nil
}

func negative(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = -v
	}
	return out
}
