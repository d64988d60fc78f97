package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/io/connector"
	"turbo/job"
	"turbo/memory"
	"turbo/run"
)

func init() {
	register(Benchmark{"footprint", "memory and start time of a job's process, Kafka to files", benchFootprint})
}

// footprint is what a job's process says of itself.
type footprint struct {
	Peak       int64 // bytes of anonymous memory
	FirstWrite int64 // ns from just before exec to the sink's first Write
}

// footprintChild runs a job whose file sinks note the time of the first Write, and looks at the process's memory every few milliseconds.
func footprintChild(ctx context.Context, r childRequest) error {
	var out footprint
	var first atomic.Int64
	file := connector.LookupSink("file")
	connector.RegisterSink(connector.SinkSpec{Name: "noted-file", Summary: "file, noting the first Write", Fields: file.Fields, New: func(c *connector.SinkContext) (core.Sink, error) {
		s, err := file.New(c)
		return notedSink{s, &first}, err
	}})
	done, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if bytes, ok := memory.RssAnon(); ok {
				out.Peak = max(out.Peak, bytes)
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	j, err := job.Parse([]byte(strings.Replace(r.Job, "connector: file", "connector: noted-file", 1)), job.Options{File: "bench.yaml"})
	if err != nil {
		return err
	}
	p, err := run.New(j, run.Options{})
	if err != nil {
		return err
	}
	_, err = p.Run(ctx)
	close(done)
	<-sampled
	if err != nil {
		return err
	}
	if first.Load() == 0 {
		return errors.New("the sink got no row")
	}
	out.FirstWrite = first.Load() - r.StartedAt
	return answer(out)
}

type notedSink struct {
	core.Sink
	first *atomic.Int64
}

func (s notedSink) Writer(w int) (core.SinkWriter, error) {
	writer, err := s.Sink.Writer(w)
	return notedWriter{writer, s.first}, err
}

type notedWriter struct {
	core.SinkWriter
	first *atomic.Int64
}

func (w notedWriter) Write(b *core.Batch) error {
	if w.first.Load() == 0 {
		w.first.CompareAndSwap(0, time.Now().UnixNano())
	}
	return w.SinkWriter.Write(b)
}

func benchFootprint(ctx context.Context, w io.Writer, o Options) error {
	fmt.Fprintf(w, "A job's process, Kafka to files: peak of anonymous memory, and time from exec to the sink's first Write (%s)\n\n", machine())
	t := newTable(w, "job", "engine.memory", "rows", "peak RssAnon, MB", "most", "first Write, ms", "most")
	address, closeBroker, err := startBroker(ctx)
	if err != nil {
		return err
	}
	defer closeBroker()
	for _, c := range kafkaFilesCases {
		if o.Quick {
			c.rows = 50_000
		}
		topic := "footprint-" + c.format
		if err := fillTopic(ctx, address, topic, c.rows, kgo.ZstdCompression(), c.record); err != nil {
			return err
		}
		for _, limit := range []string{"128MiB", "512MiB"} {
			spec := func(dir string) string {
				return strings.Replace(c.spec(address, topic, dir), "engine: {", "engine: {memory: "+limit+", ", 1)
			}
			var peaks, firsts []float64
			for range min(o.pairs(), 5) {
				dir, err := os.MkdirTemp(o.Dir, "footprint")
				if err != nil {
					return err
				}
				var got footprint
				if _, err = runChild(ctx, childRequest{Role: "footprint", Job: spec(dir)}, &got); err == nil {
					err = c.check(filepath.Join(dir, "out"), c.rows)
				}
				os.RemoveAll(dir)
				if err != nil {
					return err
				}
				peaks, firsts = append(peaks, float64(got.Peak)/1e6), append(firsts, float64(got.FirstWrite)/1e6)
			}
			t.row(c.name, limit, fmt.Sprint(c.rows), fmt.Sprintf("%.0f", median(peaks)), fmt.Sprintf("%.0f", most(peaks)), fmt.Sprintf("%.0f", median(firsts)), fmt.Sprintf("%.0f", most(firsts)))
		}
	}
	return nil
}

func most(x []float64) float64 {
	m := x[0]
	for _, v := range x {
		m = max(m, v)
	}
	return m
}
