package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// probe fetches once from a partition, by hand, and returns what is there at offset: the first record if there is one, and
// the offset up to which the log has been looked at. Unlike a consumer it sees batches that compaction has emptied.
func probe(ctx context.Context, client *kgo.Client, p partitionKey, offset int64, readCommitted bool) (record *kgo.Record, next int64, err error) {
	metadata, err := kadm.NewClient(client).Metadata(ctx, p.topic)
	if err != nil {
		return nil, offset, err
	}
	detail := metadata.Topics[p.topic].Partitions[p.partition]
	if err := metadata.Topics[p.topic].Err; err != nil {
		return nil, offset, err
	}
	if detail.Err != nil {
		return nil, offset, detail.Err
	}
	reqPartition := kmsg.NewFetchRequestTopicPartition()
	reqPartition.Partition = p.partition
	reqPartition.FetchOffset = offset
	reqPartition.PartitionMaxBytes = 64 << 10
	reqTopic := kmsg.NewFetchRequestTopic()
	reqTopic.Topic = p.topic
	reqTopic.TopicID = metadata.Topics[p.topic].ID
	reqTopic.Partitions = append(reqTopic.Partitions, reqPartition)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 0, 64<<10
	isolation := kgo.ReadUncommitted()
	if readCommitted {
		req.IsolationLevel = 1
		isolation = kgo.ReadCommitted()
	}
	req.Topics = append(req.Topics, reqTopic)
	answer, err := client.Broker(int(detail.Leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, offset, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, offset, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, offset, fmt.Errorf("the broker answers a fetch of one partition with %d topics", len(resp.Topics))
	}
	found, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true,
		Offset:             offset,
		IsolationLevel:     isolation,
		Topic:              p.topic,
		Partition:          p.partition,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if found.Err != nil {
		return nil, offset, found.Err
	}
	if len(found.Records) > 0 {
		return found.Records[0], next, nil
	}
	return nil, next, nil
}
