package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/io/connector"
)

// fetcher is the blocking side of one reader: it polls its client and decodes. Only add and interrupt are called by others.
type fetcher struct {
	source  *Source
	client  *kgo.Client
	decode  *decoder
	pool    *recordPool
	size    *fetchSize
	splits  map[partitionKey]*split
	started int  // splits, which is the number of the next one
	open    int  // splits that have not ended
	looked  bool // the splits of the beginning have been announced

	events []connector.FetchEvent // ready, in order
	work   []fetched              // polled and not yet decoded
	at     int                    // of work

	mu     sync.Mutex
	joined []*split           // assigned and not yet started
	cancel context.CancelFunc // ends the poll that is under way
}

// fetched is what one poll brought for one partition.
type fetched struct {
	split   *split
	records []*kgo.Record // all of them
	next    int           // first that is not decoded
	err     error         // after the records
}

func newFetcher(s *Source, worker int, splits []*split) (*fetcher, error) {
	f := &fetcher{source: s, splits: map[partitionKey]*split{}, pool: &recordPool{}}
	var err error
	if f.decode, err = newDecoder(s); err != nil {
		return nil, err
	}
	f.size = newFetchSize(s.memory / int64(s.context.Parallelism) / int64(s.brokers))
	isolation := kgo.ReadUncommitted()
	if s.committed {
		isolation = kgo.ReadCommitted()
	}
	f.client, err = s.connection.client(
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(isolation),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(f.size.now),
		kgo.FetchMaxPartitionBytes(f.size.partition()),
		kgo.WithHooks(f.size),
		kgo.MaxDecompressBatchBytes(int(min(max(s.memory, 64<<20), 1<<30))),
		kgo.FetchMaxWait(s.context.Config.Duration("fetch-max-wait")),
		kgo.WithPools(f.pool),
	)
	if err != nil {
		f.decode.close()
		return nil, err
	}
	f.joined = splits
	return f, nil
}

// add gives the reader one more partition, from any goroutine.
func (f *fetcher) add(sp *split) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined = append(f.joined, sp)
	if f.cancel != nil {
		f.cancel()
	}
}

// interrupt ends a poll, from any goroutine.
func (f *fetcher) interrupt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel != nil {
		f.cancel()
	}
}

// Fetch implements connector.Fetcher.
func (f *fetcher) Fetch(ctx context.Context) (connector.FetchEvent, error) {
	for {
		if err := f.source.broken.Load(); err != nil {
			return connector.FetchEvent{}, *err
		}
		if len(f.events) > 0 {
			e := f.events[0]
			f.events = f.events[:copy(f.events, f.events[1:])]
			return e, nil
		}
		if f.at < len(f.work) {
			w := &f.work[f.at]
			if w.next < len(w.records) && !w.split.ended {
				if err := f.decodeSome(w); err != nil {
					return connector.FetchEvent{}, err
				}
				continue
			}
			f.pool.release(w.records)
			err := w.err
			*w = fetched{}
			f.at++
			if err != nil {
				return connector.FetchEvent{}, err
			}
			continue
		}
		f.startJoined()
		if len(f.events) > 0 {
			continue
		}
		if f.open == 0 && f.source.Bounded() {
			return connector.FetchEvent{Event: core.Event{Kind: core.EndOfInput}}, nil
		}
		if !f.looked {
			f.looked = true
			return connector.FetchEvent{}, nil
		}
		if err := f.poll(ctx); err != nil {
			return connector.FetchEvent{}, err
		}
	}
}

// startJoined announces the splits that were added, and has the client consume them.
func (f *fetcher) startJoined() {
	f.mu.Lock()
	joined := f.joined
	f.joined = nil
	f.mu.Unlock()
	more := map[string]map[int32]kgo.Offset{}
	for _, sp := range joined {
		sp.index = f.started
		f.started++
		f.open++
		f.splits[sp.key] = sp
		f.events = append(f.events, f.event(sp, core.SplitStart))
		if more[sp.key.topic] == nil {
			more[sp.key.topic] = map[int32]kgo.Offset{}
		}
		more[sp.key.topic][sp.key.partition] = kgo.NoResetOffset().At(sp.next.Load())
	}
	f.client.AddConsumePartitions(more)
}

func (f *fetcher) event(sp *split, kind core.EventKind) connector.FetchEvent {
	e := connector.FetchEvent{Event: core.Event{Kind: kind, Split: sp.index}, Position: sp.position().Encode()}
	if kind == core.SplitStart {
		e.ID = sp.id
	}
	return e
}

// probeAfter is how long a bounded reader that gets nothing waits before it looks at the log by hand.
const probeAfter = time.Second

// poll waits for records and takes them. It returns without any when it was interrupted.
func (f *fetcher) poll(ctx context.Context) error {
	var (
		pollCtx context.Context
		cancel  context.CancelFunc
	)
	if f.source.Bounded() {
		pollCtx, cancel = context.WithTimeout(ctx, probeAfter)
	} else {
		pollCtx, cancel = context.WithCancel(ctx)
	}
	defer cancel()
	f.mu.Lock()
	f.cancel = cancel
	if len(f.joined) > 0 || f.source.broken.Load() != nil {
		cancel()
	}
	f.mu.Unlock()
	fetches := f.client.PollFetches(pollCtx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f.size.adapt() {
		f.client.UpdateFetchMaxBytes(f.size.now, f.size.partition())
	}
	f.work, f.at = f.work[:0], 0
	for _, fetch := range fetches {
		for _, topic := range fetch.Topics {
			for i := range topic.Partitions {
				if err := f.take(topic.Topic, &topic.Partitions[i]); err != nil {
					return err
				}
			}
		}
	}
	if len(f.work) == 0 && errors.Is(pollCtx.Err(), context.DeadlineExceeded) {
		return f.probeEnds(ctx)
	}
	return nil
}

// take enters what was polled of one partition.
func (f *fetcher) take(topic string, p *kgo.FetchPartition) error {
	if errors.Is(p.Err, context.Canceled) || errors.Is(p.Err, context.DeadlineExceeded) {
		return nil // the poll was interrupted
	}
	sp := f.splits[partitionKey{topic, p.Partition}]
	if sp == nil {
		if p.Err != nil {
			return f.source.connection.explain(p.Err, topic)
		}
		return nil
	}
	if sp.ended {
		f.pool.release(p.Records)
		return nil
	}
	if high := p.HighWatermark; p.Err == nil && high >= 0 {
		if f.source.committed && p.LastStableOffset >= 0 {
			high = p.LastStableOffset
		}
		sp.high.Store(high)
	}
	f.work = append(f.work, fetched{split: sp, records: p.Records, err: f.explain(sp, p)})
	return nil
}

// explain puts the error of a fetch into words; nil stays nil. The client has tried again by itself what can be.
func (f *fetcher) explain(sp *split, p *kgo.FetchPartition) error {
	if p.Err == nil {
		return nil
	}
	offset := sp.next.Load()
	if n := len(p.Records); n > 0 {
		offset = p.Records[n-1].Offset + 1
	}
	var (
		loss  *kgo.ErrDataLoss
		large *kgo.ErrDecompressTooLarge
	)
	switch {
	case errors.As(p.Err, &large):
		return partitionError(sp.key.topic, sp.key.partition, large.Offset, fmt.Errorf("a record batch decompresses to more than \"fetch-memory\" allows: %w", p.Err))
	case errors.Is(p.Err, kerr.OffsetOutOfRange):
		return fmt.Errorf("topic %s, partition %d: offset %d is not in the log any more (the broker has %d to %d): retention deleted it before it was read, or the topic was made again: %w. %s",
			sp.key.topic, sp.key.partition, offset, p.LogStartOffset, p.HighWatermark, p.Err, freshStart)
	case errors.As(p.Err, &loss):
		return fmt.Errorf("the brokers lost records that were read already (an unclean leader election): %w. %s", p.Err, freshStart)
	}
	return partitionError(sp.key.topic, sp.key.partition, offset, f.source.connection.explain(p.Err, ""))
}

// probeEnds ends the splits that have nothing left below their stop offset although no record at or behind it has come: the
// last ones were compacted away.
func (f *fetcher) probeEnds(ctx context.Context) error {
	for _, sp := range f.splits {
		for offset := sp.next.Load(); !sp.ended; {
			record, next, err := probe(ctx, f.source.client, sp.key, offset, f.source.committed)
			if err != nil || record != nil && record.Offset < sp.stop {
				break // the client meets the same, sooner or later
			}
			if record != nil || next >= sp.stop {
				sp.next.Store(sp.stop)
				f.end(sp)
				break
			}
			if next == offset {
				break
			}
			offset = next
		}
	}
	return ctx.Err()
}

// end announces that a split has nothing left.
func (f *fetcher) end(sp *split) {
	sp.ended = true
	f.open--
	f.events = append(f.events, f.event(sp, core.SplitEnd))
	f.client.RemoveConsumePartitions(map[string][]int32{sp.key.topic: {sp.key.partition}})
}

// decodeSome turns the next records of w into events: at most one batch of rows, and what is wrong behind it.
func (f *fetcher) decodeSome(w *fetched) error {
	sp := w.split
	result, err := f.decode.run(sp, w.records[w.next:])
	w.next += result.taken
	if result.taken > 0 {
		sp.next.Store(result.next)
	}
	if result.batch != nil || result.taken > 0 && result.dead == nil {
		e := f.event(sp, core.DataEvent)
		e.Position = Position{Offset: result.dataNext, Stop: sp.stop}.Encode()
		e.Batch, e.Read, e.Skipped = result.batch, result.read, result.skipped
		f.events = append(f.events, e)
	}
	if result.dead != nil {
		e := f.event(sp, core.DeadLetter)
		e.Batch = result.dead
		e.Read, e.DeadLettered = int64(result.dead.Len), int64(result.dead.Len)
		f.events = append(f.events, e)
	}
	if err != nil {
		// What was decoded before the bad record is dropped with the attempt.
		f.drop()
		return partitionError(sp.key.topic, sp.key.partition, result.next, err)
	}
	if sp.position().Ended() {
		f.end(sp)
	}
	return nil
}

func (f *fetcher) drop() {
	for _, e := range f.events {
		if e.Batch != nil {
			e.Batch.Release()
		}
	}
	f.events = nil
}

// Close implements connector.Fetcher.
func (f *fetcher) Close() error {
	f.drop()
	f.client.Close()
	f.decode.close()
	return nil
}
