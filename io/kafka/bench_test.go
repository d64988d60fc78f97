package kafka

import (
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/devbroker"
	"turbo/io/connector"
	"turbo/memory"
)

// The CPU benchmarks need a broker in a process of its own, or its time is counted too: TURBO_KAFKA names one. Without it
// they run against an embedded broker and say so.

// The records as they are, like the format raw.
func init() {
	connector.RegisterFormat(connector.FormatSpec{
		Name: "test-bytes", Summary: "for benchmarks",
		NewDecoder: func(c connector.DecoderContext) (connector.Decoder, error) { return bytesDecoder{c.Columns[0]}, nil },
	})
}

type bytesDecoder struct{ column int }

func (d bytesDecoder) Decode(record []byte, b *core.Builder) error {
	b.Column(d.column).AppendBytes(record)
	return nil
}

// cpuTime returns the user and system time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const benchPartitions = 4

// benchTopic fills a topic with n 100-byte lines over 4 partitions.
func benchTopic(b *testing.B, n int, codec kgo.CompressionCodec) (address, topic string) {
	b.Helper()
	address, own := os.Getenv("TURBO_KAFKA"), false
	if address == "" {
		own = true
		broker, err := devbroker.Start(devbroker.Config{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(broker.Close)
		address = broker.Address()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	topic = fmt.Sprintf("turbo-bench-%d", time.Now().UnixNano())
	if _, err := kadm.NewClient(client).CreateTopic(testContext(b), benchPartitions, 1, nil, topic); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		client, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err == nil {
			kadm.NewClient(client).DeleteTopics(testContext(b), topic) //nolint:errcheck // best effort
			client.Close()
		}
	})
	ctx := testContext(b)
	for i := range n {
		value := fmt.Appendf(make([]byte, 0, 128), "%020d,%020d,%020d,%037d", i, i*7919, i*104729%1000003, i*i)
		client.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(i % benchPartitions), Value: value[:100]}, nil)
	}
	if err := client.Flush(testContext(b)); err != nil {
		b.Fatal(err)
	}
	if own {
		b.Log("broker in this process: its CPU time is counted too; set TURBO_KAFKA for figures that mean something")
	}
	return address, topic
}

// bare consumes and counts with franz-go alone, as its documentation does.
func bare(b *testing.B, address, topic string, n int) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	ctx := testContext(b)
	for seen := 0; seen < n; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.Fatal(err)
		}
		seen += fetches.NumRecords()
	}
}

// throughSource reads the topic through the source into batches and releases them.
func throughSource(b *testing.B, address, topic string, n int, metadata bool) {
	config, err := connector.FromYAML("sources.bench", sourceFields, fmt.Sprintf("brokers: %s\nformat: test-bytes\ntopic: %s\nstop: end\n", address, topic))
	if err != nil {
		b.Fatal(err)
	}
	fields := []core.Field{{Name: "line", Type: core.Of(core.Bytes)}}
	var indexes []connector.MetadataIndex
	if metadata {
		fields = append(fields, core.Field{Name: "partition", Type: core.Of(core.Int32)}, core.Field{Name: "offset", Type: core.Of(core.Int64)})
		indexes = []connector.MetadataIndex{{Column: 1, Key: "partition"}, {Column: 2, Key: "offset"}}
	}
	pool := memory.NewPool(384 << 20)
	source, err := NewSource(&connector.SourceContext{
		Runtime: connector.Runtime{Name: "bench", Parallelism: 1, BatchRows: 4096, BufferTimeout: 10 * time.Millisecond, Account: pool.Account("bench"),
			Clock: clock.Real(), Log: slog.New(slog.DiscardHandler)},
		Config: config, Record: core.NewSchema(fields[0]), Schema: core.NewSchema(fields...), Columns: []int{0}, Metadata: indexes,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	if err := source.Open(testContext(b), nil); err != nil {
		b.Fatal(err)
	}
	reader, err := source.Reader(0)
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	wake := make(chan struct{}, 1)
	reader.SetWaker(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	rows, bytes := 0, 0
	for {
		e, err := reader.Poll()
		if err != nil {
			b.Fatal(err)
		}
		if e.Kind == core.EndOfInput {
			break
		}
		if e.Kind == core.NoEvent {
			<-wake
			continue
		}
		if e.Batch != nil {
			rows += e.Batch.Rows()
			o := e.Batch.Columns[0].Offsets()
			bytes += int(o[len(o)-1])
			e.Batch.Release()
		}
	}
	if rows != n || bytes != 100*n {
		b.Fatalf("%d rows with %d bytes, want %d", rows, bytes, n)
	}
}

// BenchmarkSource compares the source, decoding raw lines into batches, with bare franz-go, in turn in the same run. The figures are
// rows per second of CPU time (user and system) of this process, and their ratio.
func BenchmarkSource(b *testing.B) {
	const n = 1_000_000
	for _, c := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"zstd", kgo.ZstdCompression()}} {
		b.Run("codec="+c.name, func(b *testing.B) {
			address, topic := benchTopic(b, n, c.codec)
			var cpu [3]time.Duration
			measure := func(i int, f func()) {
				before := cpuTime()
				f()
				cpu[i] += cpuTime() - before
			}
			b.ResetTimer()
			for range b.N {
				measure(0, func() { bare(b, address, topic, n) })
				measure(1, func() { throughSource(b, address, topic, n, false) })
				measure(2, func() { throughSource(b, address, topic, n, true) })
			}
			rate := func(i int) float64 { return float64(n) * float64(b.N) / cpu[i].Seconds() / 1e6 }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rate(0), "bare-Mrows/cpu-s")
			b.ReportMetric(rate(1), "source-Mrows/cpu-s")
			b.ReportMetric(rate(2), "metadata-Mrows/cpu-s")
			b.ReportMetric(rate(1)/rate(0), "ratio")
		})
	}
}
