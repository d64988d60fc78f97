package kill

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 3

var seed = maphash.MakeSeed()

// topic is what the broker has: this test's producer and, by a consumer, what was really stored.
type topic struct {
	name     string
	producer *kgo.Client
	consumer *kgo.Client
	random   *rand.Rand
	next     [partitions]int64    // offsets, known in advance: there is one producer, and it is no transactional one
	stored   [partitions][]uint64 // hashes of payloads by offset, read back
	mu       sync.Mutex           // of next and the producer's random
}

// makeTopic makes the topic on a broker.
func makeTopic(t *testing.T, address, name string, random *rand.Rand) *topic {
	t.Helper()
	producer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	if _, err := kadm.NewClient(producer).CreateTopic(context.Background(), partitions, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = kadm.NewClient(producer).DeleteTopic(context.Background(), name) })
	start := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		start[p] = kgo.NewOffset().AtStart()
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: start}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consumer.Close)
	b := &topic{name: name, producer: producer, consumer: consumer, random: random}
	if err := b.produce(context.Background(), 30); err != nil { // it waits until the broker knows the topic
		t.Fatal(err)
	}
	return b
}

// scraps make payloads awkward for text formats.
var scraps = []string{`"quoted"`, "a,b;c", `back\slash`, "'single'", "\tTab", "été 時間", "{\"json\":[1]}", " spaces  ", "plain", "%25", "0x00"}

// produce appends n records, a few partitions at a time.
func (b *topic) produce(ctx context.Context, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	records := make([]*kgo.Record, n)
	for i := range records {
		p := b.random.IntN(partitions)
		value := fmt.Sprintf("%s|%d|%d|%s", b.name, p, b.next[p], scraps[b.random.IntN(len(scraps))])
		for range b.random.IntN(5) {
			value += scraps[b.random.IntN(len(scraps))]
		}
		b.next[p]++
		records[i] = &kgo.Record{Topic: b.name, Partition: int32(p), Value: []byte(value)}
	}
	return b.producer.ProduceSync(ctx, records...).FirstErr()
}

// flow produces until the returned function is called.
func (b *topic) flow(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := b.produce(context.Background(), 20); err != nil {
				done <- err
				return
			}
			time.Sleep(4 * time.Millisecond)
		}
		done <- nil
	}()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Fatalf("produce: %v", err)
		}
	}
}

// produced counts all records.
func (b *topic) produced() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.next {
		n += o
	}
	return n
}

// readBack reads what the broker has up to what was produced.
func (b *topic) readBack() error {
	b.mu.Lock()
	want := b.next
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		behind := false
		for p := range want {
			behind = behind || int64(len(b.stored[p])) < want[p]
		}
		if !behind {
			return nil
		}
		fetches := b.consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the broker back: %w", err)
		}
		var wrong error
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(len(b.stored[r.Partition])) {
				wrong = fmt.Errorf("partition %d has offset %d at place %d", r.Partition, r.Offset, len(b.stored[r.Partition]))
				return
			}
			b.stored[r.Partition] = append(b.stored[r.Partition], maphash.Bytes(seed, r.Value))
		})
		if wrong != nil {
			return wrong
		}
	}
}
