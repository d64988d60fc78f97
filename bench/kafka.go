package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/internal/devbroker"
	"turbo/job"
	"turbo/run"
	_ "turbo/run/all" // the connectors
)

// What children do with Kafka, and the topics that they read.

const kafkaPartitions = 4

// brokerChild is the embedded broker; it ends when its standard input does.
func brokerChild(context.Context, childRequest) error {
	b, err := devbroker.Start(devbroker.Config{Partitions: kafkaPartitions})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := answer(b.Address()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// bareChild consumes and counts with franz-go alone, as its documentation does.
func bareChild(ctx context.Context, r childRequest) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.Broker), kgo.ConsumeTopics(r.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	var rows int64
	for rows < r.Rows {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		rows += int64(fetches.NumRecords())
	}
	return answer(rows)
}

// jobAnswer is what a job's child says.
type jobAnswer struct {
	Checkpoints   int64
	Read, Written int64
	Elapsed       time.Duration
}

// jobChild runs a job spec, as `turbo run` does.
func jobChild(ctx context.Context, r childRequest) error {
	j, err := job.Parse([]byte(r.Job), job.Options{File: "bench.yaml"})
	if err != nil {
		return err
	}
	p, err := run.New(j, run.Options{})
	if err != nil {
		return err
	}
	began := time.Now()
	result, err := p.Run(ctx)
	if err != nil {
		return err
	}
	a := jobAnswer{Checkpoints: int64(result.Checkpoints.Completed), Elapsed: time.Since(began)}
	nodes := p.Supervisor.Status().Nodes
	a.Read, a.Written = nodes[0].Counters.In, nodes[len(nodes)-1].Counters.In
	return answer(a)
}

// fillTopic makes a topic and fills it with rows records, spread over the partitions; record returns the i-th, appended to dst.
func fillTopic(ctx context.Context, address, topic string, rows int64, codec kgo.CompressionCodec, record func(dst []byte, i int64) []byte) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(200_000))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, kafkaPartitions, 1, nil, topic); err != nil {
		return err
	}
	var failed error
	for i := range rows {
		client.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(i % kafkaPartitions), Value: record(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("filling topic %s: %w", topic, failed)
	}
	return nil
}
