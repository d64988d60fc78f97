package cli

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/io/connector"
	"turbo/memory"
)

const (
	demoTopic      = "rides"
	demoPartitions = 4
	demoSeed       = 1
)

var rideFields = []core.Field{
	{Name: "ride_id", Type: core.Of(core.Int64).Required()},
	{Name: "event", Type: core.Of(core.String)},
	{Name: "ts", Type: core.Type{Kind: core.Timestamp, Precise: 3}},
	{Name: "lon", Type: core.Of(core.Float64)},
	{Name: "lat", Type: core.Of(core.Float64)},
	{Name: "passengers", Type: core.Of(core.Int32)},
}

// rideProducer makes seeded rides and produces them as CSV, split n of the generator to partition n.
type rideProducer struct {
	total    int64
	per      [demoPartitions]int64 // rows of each partition
	produced atomic.Int64          // handed to the client
	limit    atomic.Int64          // rows that may be produced now; the rest is held back
	raised   chan struct{}         // a token when limit has grown
}

func newRideProducer(rows int64) *rideProducer {
	p := &rideProducer{total: rows, raised: make(chan struct{}, 1)}
	for i := range p.per { // as the generator divides them: pairs of rows
		p.per[i] = 2*(rows/(2*demoPartitions)) + min(max(rows%(2*demoPartitions)-int64(2*i), 0), 2)
	}
	return p
}

// allow lets so many rows be produced in all.
func (p *rideProducer) allow(rows int64) {
	p.limit.Store(min(rows, p.total))
	select {
	case p.raised <- struct{}{}:
	default:
	}
}

// run produces everything, waiting where rows are held back, and returns when the broker has it.
func (p *rideProducer) run(ctx context.Context, broker string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(demoTopic),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(50_000), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	schema := core.NewSchema(rideFields...)
	csv := connector.LookupFormat("csv")
	config, err := connector.FromMap("csv", csv.Fields, nil)
	if err != nil {
		return err
	}
	encoder, err := csv.NewEncoder(connector.EncoderContext{Config: config, Schema: schema})
	if err != nil {
		return err
	}
	generator := connector.LookupSource("generator")
	options, err := connector.FromYAML("generator", generator.Fields, fmt.Sprintf("data: rides\nrows: %d\nseed: %d\nsplits: %d\nmax-disorder: 2s\n", p.total, demoSeed, demoPartitions))
	if err != nil {
		return err
	}
	c := &connector.SourceContext{Runtime: verifyRuntime(memory.NewPool(verifyMemory), "rides"), Config: options, Record: schema, Schema: schema}
	for i := range schema.Fields {
		c.Columns = append(c.Columns, i)
	}
	c.BatchRows = 512
	var ends []int32
	err = drain(ctx, generator, c, func(split int, b *core.Batch) error {
		defer b.Release()
		for p.produced.Load()+int64(b.Len) > p.limit.Load() && p.limit.Load() < p.total {
			select {
			case <-p.raised:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		text, after, err := encoder.Encode(make([]byte, 0, 64*b.Len), ends[:0], b) // the client keeps the text until it is sent
		if err != nil {
			return err
		}
		ends = after
		from := int32(0)
		for _, to := range ends {
			client.Produce(ctx, &kgo.Record{Partition: int32(split), Value: text[from:to:to]}, func(_ *kgo.Record, err error) {
				if err != nil {
					cancel(err)
				}
			})
			from = to
		}
		p.produced.Add(int64(b.Len))
		return nil
	})
	if err != nil {
		return fmt.Errorf("produce rides: %w", err)
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("produce rides: %w", context.Cause(ctx))
	}
	return context.Cause(ctx)
}
