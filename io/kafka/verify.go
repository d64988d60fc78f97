package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/io/connector"
)

// AuditRange is a range of a partition that is to be compared with the log.
type AuditRange struct {
	Topic     string
	Partition int32
	From      int64 // first offset; -1: where the source's "start" says
	To        int64 // behind the last one
}

// Span is a range of offsets, To exclusive.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Audit is what the log has of one range. The offsets between From and To are the sum of Records, Control, Aborted, Compacted,
// Deleted and those in Lost and Unexplained.
type Audit struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"` // -1: it cannot be known any more, and nothing was read
	To        int64  `json:"to"`
	Guessed   bool   `json:"guessed,omitempty"` // From is where the job would begin now, and may have been less then: the log does not begin at 0
	Start     int64  `json:"log_start"`         // first offset that the log has now
	End       int64  `json:"log_end"`           // behind the last one
	Records   int64  `json:"records"`           // that the source gets
	Skipped   int64  `json:"skipped"`           // of them: without a value, or undecodable under on-error: skip
	Bad       int64  `json:"bad"`               // of them: undecodable
	Control   int64  `json:"control"`           // markers of transactions
	Aborted   int64  `json:"aborted"`           // records of aborted transactions
	Compacted int64  `json:"compacted"`         // gone by compaction
	Deleted   int64  `json:"deleted"`           // gone by retention: before Start
	Lost      []Span `json:"lost,omitempty"`
	// Unexplained are gaps of a topic whose cleanup.policy this client may not see: compaction, or loss.
	Unexplained []Span `json:"unexplained,omitempty"`
	// Gone are all offsets behind Start that are not in the log, for whatever reason, in order.
	Gone []Span `json:"-"`

	holes []Span // offsets that the source does not get and that are no control records
}

// Audit reads ranges of the log that the source has read, once more and with clients of its own, tells what stands at every
// offset of them, and gives the decoded rows (columns as in the source's context) to rows, which owns the batch and gets the range that it
// belongs to, with From, To, Start and End. The source must be new and is not opened. Offsets are in order within a partition.
func (s *Source) Audit(ctx context.Context, ranges []AuditRange, rows func(at *Audit, b *core.Batch) error) ([]Audit, error) {
	client, err := s.connection.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := s.connection.reach(ctx, client, answer, s.context.Log); err != nil {
		return nil, err
	}
	a := &auditor{source: s, probes: client, admin: kadm.NewClient(client), rows: rows}
	slices.SortFunc(ranges, func(x, y AuditRange) int {
		return comparePartitions(partitionKey{x.Topic, x.Partition}, partitionKey{y.Topic, y.Partition})
	})
	if err := a.resolve(ctx, ranges); err != nil {
		return nil, err
	}
	if err := a.read(ctx); err != nil {
		return nil, err
	}
	if err := a.explainHoles(ctx); err != nil {
		return nil, err
	}
	return a.audits, nil
}

type auditor struct {
	source *Source
	probes *kgo.Client
	admin  *kadm.Client
	audits []Audit
	decode *decoder
	rows   func(*Audit, *core.Batch) error
}

// resolve finds where the ranges begin and where the log begins and ends.
func (a *auditor) resolve(ctx context.Context, ranges []AuditRange) error {
	var keys []partitionKey
	for _, r := range ranges {
		keys = append(keys, partitionKey{r.Topic, r.Partition})
	}
	l := newLog(a.source.connection, a.admin, keys, a.source.committed)
	startOf, err := a.source.start.startOf(ctx, l, a.source.group)
	if err != nil {
		return err
	}
	for i, r := range ranges {
		audit := Audit{Topic: r.Topic, Partition: r.Partition, From: r.From, To: r.To}
		if audit.Start, err = l.start(ctx, keys[i]); err != nil {
			return err
		}
		if audit.End, err = l.high(ctx, keys[i]); err != nil {
			return err
		}
		if r.From < 0 {
			switch a.source.start.word {
			case "earliest", "time", "offsets":
				if from, err := startOf(ctx, keys[i]); err == nil && from <= r.To {
					audit.From = from
					audit.Guessed = a.source.start.word != "offsets" && audit.Start > 0
				}
			}
		}
		a.audits = append(a.audits, audit)
	}
	return nil
}

// read goes through the ranges as the source does.
func (a *auditor) read(ctx context.Context) (err error) {
	decode := &Source{context: new(connector.SourceContext), format: a.source.format, tombstones: a.source.tombstones}
	*decode.context = *a.source.context
	if decode.context.OnError == connector.FailOnError {
		decode.context.OnError = connector.DeadLetters // counted, and compared with what the job has counted
	}
	if a.decode, err = newDecoder(decode); err != nil {
		return err
	}
	defer a.decode.close()
	spans := map[partitionKey]Span{}
	at := map[partitionKey]*Audit{}
	next := map[partitionKey]int64{}
	for i := range a.audits {
		x := &a.audits[i]
		if x.From < 0 {
			continue
		}
		key := partitionKey{x.Topic, x.Partition}
		at[key], next[key] = x, x.From
		if x.From < x.Start {
			x.Deleted = min(x.Start, x.To) - x.From
			next[key] += x.Deleted
		}
		spans[key] = Span{next[key], min(x.To, x.End)}
	}
	err = a.scan(ctx, spans, a.source.committed, func(key partitionKey, records []*kgo.Record) error {
		x := at[key]
		for _, r := range records {
			if r.Offset > next[key] {
				x.holes = append(x.holes, Span{next[key], r.Offset})
			}
			next[key] = r.Offset + 1
			if r.Attrs.IsControl() {
				x.Control++
			} else {
				x.Records++
			}
		}
		return a.decodeAll(key, x, records)
	})
	if err != nil {
		return err
	}
	for key, x := range at {
		if next[key] < x.To {
			x.holes = append(x.holes, Span{next[key], x.To})
		}
	}
	return nil
}

// decodeAll decodes the records of one fetch and hands on the rows.
func (a *auditor) decodeAll(key partitionKey, x *Audit, records []*kgo.Record) error {
	sp := newSplit(key, Position{Offset: x.From, Stop: NoStop})
	for len(records) > 0 {
		sp.next.Store(records[0].Offset)
		r, err := a.decode.run(sp, records)
		if err != nil {
			return partitionError(key.topic, key.partition, r.next, err)
		}
		x.Skipped += r.skipped
		if r.dead != nil {
			x.Bad += int64(r.dead.Len)
			r.dead.Release()
		}
		if r.batch != nil {
			if err := a.rows(x, r.batch); err != nil {
				return err
			}
		}
		records = records[r.taken:]
	}
	return nil
}

// scan reads spans of partitions with a client of its own, control records included, and gives what is in them to visit, in
// order within a partition.
func (a *auditor) scan(ctx context.Context, spans map[partitionKey]Span, committed bool, visit func(partitionKey, []*kgo.Record) error) error {
	from := map[string]map[int32]kgo.Offset{}
	left := map[partitionKey]Span{}
	for key, span := range spans {
		if span.From >= span.To {
			continue
		}
		left[key] = span
		if from[key.topic] == nil {
			from[key.topic] = map[int32]kgo.Offset{}
		}
		from[key.topic][key.partition] = kgo.NoResetOffset().At(span.From)
	}
	if len(left) == 0 {
		return nil
	}
	isolation := kgo.ReadUncommitted()
	if committed {
		isolation = kgo.ReadCommitted()
	}
	client, err := a.source.connection.client(kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(from), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(2<<20), kgo.FetchMaxWait(250*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	done := func(key partitionKey) {
		delete(left, key)
		client.RemoveConsumePartitions(map[string][]int32{key.topic: {key.partition}})
	}
	for len(left) > 0 {
		wait, cancel := context.WithTimeout(ctx, probeAfter)
		fetches := client.PollFetches(wait)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		got := false
		var failed error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			key := partitionKey{p.Topic, p.Partition}
			span, reading := left[key]
			if !reading || failed != nil {
				return
			}
			if p.Err != nil && !errors.Is(p.Err, context.DeadlineExceeded) && !errors.Is(p.Err, context.Canceled) {
				failed = partitionError(key.topic, key.partition, span.From, a.source.connection.explain(p.Err, ""))
				return
			}
			records := p.Records
			for len(records) > 0 && records[0].Offset < span.From { // of a batch that begins before
				records = records[1:]
			}
			if len(records) == 0 {
				return
			}
			got = true
			n := len(records)
			for n > 0 && records[n-1].Offset >= span.To {
				n--
			}
			span.From = records[len(records)-1].Offset + 1
			left[key] = span
			if n > 0 {
				failed = visit(key, records[:n])
			}
			if span.From >= span.To {
				done(key)
			}
		})
		if failed != nil {
			return failed
		}
		if got {
			continue
		}
		for key, span := range left { // what is left may be empty: compacted, or behind the log's end
			if end, err := a.emptyUpTo(ctx, key, span, committed); err != nil {
				return err
			} else if end {
				done(key)
			}
		}
	}
	return nil
}

// emptyUpTo looks at the log itself, and reports whether a span has no record for a reader.
func (a *auditor) emptyUpTo(ctx context.Context, key partitionKey, span Span, committed bool) (bool, error) {
	for offset := span.From; offset < span.To; {
		record, next, err := probe(ctx, a.probes, key, offset, committed)
		if err != nil {
			return false, a.source.connection.explain(err, key.topic)
		}
		if record != nil {
			return record.Offset >= span.To, nil
		}
		if next <= offset { // the end of the log
			return true, nil
		}
		offset = next
	}
	return true, nil
}

// explainHoles finds out why offsets are not there for the source: records of aborted transactions are in the log for a
// reader that asks for everything; what is not even there was compacted away, if the topic is one that is compacted.
func (a *auditor) explainHoles(ctx context.Context) error {
	spans := map[partitionKey]Span{}
	at := map[partitionKey]*Audit{}
	var names []string
	for i := range a.audits {
		x := &a.audits[i]
		if len(x.holes) == 0 {
			continue
		}
		key := partitionKey{x.Topic, x.Partition}
		at[key], spans[key] = x, Span{x.holes[0].From, min(x.holes[len(x.holes)-1].To, x.End)}
		if len(names) == 0 || names[len(names)-1] != x.Topic {
			names = append(names, x.Topic)
		}
	}
	if len(at) == 0 {
		return nil
	}
	if a.source.committed {
		err := a.scan(ctx, spans, false, func(key partitionKey, records []*kgo.Record) error {
			at[key].aborted(records)
			return nil
		})
		if err != nil {
			return err
		}
	}
	policies := map[string]string{}
	if configs, err := a.admin.DescribeTopicConfigs(ctx, names...); err == nil {
		for _, c := range configs {
			for _, k := range c.Configs {
				if c.Err == nil && k.Key == "cleanup.policy" {
					policies[c.Name] = k.MaybeValue()
				}
			}
		}
	}
	for _, x := range at {
		policy := policies[x.Topic]
		for _, hole := range x.holes {
			switch {
			case strings.Contains(policy, "compact"):
				x.Compacted += hole.To - hole.From
			case policy == "" && hole.To <= x.End:
				x.Unexplained = append(x.Unexplained, hole)
			default:
				x.Lost = append(x.Lost, hole)
			}
		}
		x.Gone, x.holes = x.holes, nil
	}
	return nil
}

// aborted takes the records out of the holes in which they stand. Records and holes are in order.
func (x *Audit) aborted(records []*kgo.Record) {
	for _, r := range records {
		i, in := slices.BinarySearchFunc(x.holes, r.Offset, func(h Span, offset int64) int {
			switch {
			case h.To <= offset:
				return -1
			case h.From > offset:
				return 1
			}
			return 0
		})
		if !in {
			continue
		}
		x.Aborted++
		hole := x.holes[i]
		switch {
		case hole.From == r.Offset:
			x.holes[i].From++
			if x.holes[i].From == hole.To {
				x.holes = slices.Delete(x.holes, i, i+1)
			}
		case hole.To == r.Offset+1:
			x.holes[i].To--
		default:
			x.holes[i].To = r.Offset
			x.holes = slices.Insert(x.holes, i+1, Span{r.Offset + 1, hole.To})
		}
	}
}
