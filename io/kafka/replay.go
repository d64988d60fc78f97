package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReplayHeader is the header of records that Replay has written: TOPIC/PARTITION@OFFSET of the record that they stand for.
const ReplayHeader = "turbo-replay-of"

// ReplayRecord is a record to write once more, to the partition that it came from.
type ReplayRecord struct {
	Topic      string
	Partition  int32
	Offset     int64 // of the first time, for the header
	Key, Value []byte
}

// ErrRefused marks errors of Replay after which a record is certainly not in the log. After other errors it may be.
var ErrRefused = errors.New("the broker refused the record")

// Replay appends records to the partitions that they came from, with the time of now, and waits until all in-sync replicas have them. It
// returns one error a record, nil for those that are in the log; the second error says that nothing was sent. The source need not be open.
func (s *Source) Replay(ctx context.Context, records []ReplayRecord) ([]error, error) {
	client, err := s.connection.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(30*time.Second))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := s.connection.reach(ctx, client, answer, s.context.Log); err != nil {
		return nil, err
	}
	out := make([]*kgo.Record, len(records))
	at := make(map[*kgo.Record]int, len(records))
	for i, r := range records {
		place := fmt.Sprintf("%s@%d", SplitID(r.Topic, r.Partition), r.Offset)
		out[i] = &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: []kgo.RecordHeader{{Key: ReplayHeader, Value: []byte(place)}}}
		at[out[i]] = i
	}
	errs := make([]error, len(records))
	for _, result := range client.ProduceSync(ctx, out...) {
		if result.Err == nil {
			continue
		}
		r := result.Record
		text := partitionError(r.Topic, r.Partition, records[at[r]].Offset, s.connection.explain(result.Err, r.Topic))
		var refusal *kerr.Error
		if errors.As(result.Err, &refusal) && !refusal.Retriable {
			text = errors.Join(ErrRefused, text)
		}
		errs[at[r]] = text
	}
	return errs, nil
}
