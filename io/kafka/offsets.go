package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"turbo/io/connector"
)

// bound is where reading begins or stops: one of the words, or a time.
type bound struct {
	word    string // earliest, latest, committed, offsets, time; never, end
	at      time.Time
	offsets map[partitionKey]int64
	other   string // earliest, latest, fail
}

// parseBound reads the block "start" or "stop"; words are those that it knows apart from offsets and a time.
func parseBound(block *connector.Config, words ...string) (bound, error) {
	b := bound{word: block.String("at")}
	known := false
	for _, w := range append(words, "offsets") {
		known = known || w == b.word
	}
	if !known {
		at, err := time.Parse(time.RFC3339, b.word)
		if err != nil {
			return b, block.Errorf("at", "%q is neither one of %s, offsets nor a time such as 2026-01-31T12:00:00Z", b.word, strings.Join(words, ", "))
		}
		b.word, b.at = "time", at
	}
	entries := block.Entries("offsets")
	if (b.word == "offsets") != (len(entries) > 0) {
		return b, block.Errorf("offsets", "\"at: offsets\" and \"offsets\" belong together")
	}
	b.offsets = make(map[partitionKey]int64, len(entries))
	for _, e := range entries {
		topic, partition, err := ParseSplitID(e.Key)
		if err != nil {
			return b, block.Errorf("offsets", "%v", err)
		}
		offset, err := strconv.ParseInt(e.Value, 10, 64)
		if err != nil || offset < 0 {
			return b, block.Errorf("offsets", "%s: %q is no offset", e.Key, e.Value)
		}
		b.offsets[partitionKey{topic, partition}] = offset
	}
	return b, nil
}

// topicLog answers what the log has of a set of partitions, asking the cluster once for each question.
type topicLog struct {
	connection    *connection
	admin         *kadm.Client
	topics        []string
	readCommitted bool
	starts        kadm.ListedOffsets
	ends          kadm.ListedOffsets // high watermarks
	stables       kadm.ListedOffsets // last stable offsets
}

func newLog(c *connection, admin *kadm.Client, partitions []partitionKey, readCommitted bool) *topicLog {
	l := &topicLog{connection: c, admin: admin, readCommitted: readCommitted}
	for _, p := range partitions {
		if n := len(l.topics); n == 0 || l.topics[n-1] != p.topic {
			l.topics = append(l.topics, p.topic)
		}
	}
	return l
}

// list runs one question, unless it has been asked.
func (l *topicLog) list(ctx context.Context, have *kadm.ListedOffsets, ask func(context.Context, ...string) (kadm.ListedOffsets, error)) error {
	if *have != nil {
		return nil
	}
	listed, err := ask(ctx, l.topics...)
	if err != nil {
		var auth *kadm.AuthError
		if errors.As(err, &auth) {
			return l.connection.explain(auth.Err, strings.Join(l.topics, ", "))
		}
		var shards *kadm.ShardErrors
		if errors.As(err, &shards) && len(shards.Errs) > 0 {
			err = shards.Errs[0].Err
		}
		return l.connection.explain(err, strings.Join(l.topics, ", "))
	}
	*have = listed
	return nil
}

func (l *topicLog) lookup(listed kadm.ListedOffsets, p partitionKey) (int64, error) {
	o, ok := listed.Lookup(p.topic, p.partition)
	if !ok {
		return 0, fmt.Errorf("topic %q: the brokers know no partition %d", p.topic, p.partition)
	}
	if o.Err != nil {
		return 0, l.connection.explain(o.Err, p.topic)
	}
	return o.Offset, nil
}

// start returns the offset of the first record that the log still has.
func (l *topicLog) start(ctx context.Context, p partitionKey) (int64, error) {
	if err := l.list(ctx, &l.starts, l.admin.ListStartOffsets); err != nil {
		return 0, err
	}
	return l.lookup(l.starts, p)
}

// high returns the offset behind the last record, committed or not.
func (l *topicLog) high(ctx context.Context, p partitionKey) (int64, error) {
	if err := l.list(ctx, &l.ends, l.admin.ListEndOffsets); err != nil {
		return 0, err
	}
	return l.lookup(l.ends, p)
}

// end returns the offset behind the last record that a reader gets now.
func (l *topicLog) end(ctx context.Context, p partitionKey) (int64, error) {
	if !l.readCommitted {
		return l.high(ctx, p)
	}
	if err := l.list(ctx, &l.stables, l.admin.ListCommittedOffsets); err != nil {
		return 0, err
	}
	return l.lookup(l.stables, p)
}

// committed returns the offsets that a group has committed: none when there is no such group yet, which some brokers call an error.
func (l *topicLog) committed(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	offsets, err := l.admin.FetchOffsetsForTopics(ctx, group, l.topics...)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, l.connection.explain(err, "")
	}
	return offsets, nil
}

// since returns a function that gives the offset of the first record at or after a time, or the end.
func (l *topicLog) since(at time.Time) func(context.Context, partitionKey) (int64, error) {
	var listed kadm.ListedOffsets
	return func(ctx context.Context, p partitionKey) (int64, error) {
		err := l.list(ctx, &listed, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return l.admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topics...)
		})
		if err != nil {
			return 0, err
		}
		return l.lookup(listed, p)
	}
}

// startOf returns where partitions begin on a first run.
func (b bound) startOf(ctx context.Context, l *topicLog, group string) (func(context.Context, partitionKey) (int64, error), error) {
	otherwise := func(ctx context.Context, p partitionKey, why string) (int64, error) {
		switch b.other {
		case "latest":
			return l.end(ctx, p)
		case "earliest":
			return l.start(ctx, p)
		}
		return 0, fmt.Errorf("partition %s %s, and \"otherwise\" is fail", p, why)
	}
	switch b.word {
	case "latest":
		return l.end, nil
	case "time":
		return l.since(b.at), nil
	case "offsets":
		return func(ctx context.Context, p partitionKey) (int64, error) {
			if offset, ok := b.offsets[p]; ok {
				return offset, l.inside(ctx, p, offset, "the offset in \"start\"", "Choose one between them")
			}
			return otherwise(ctx, p, "has no offset in \"start\"")
		}, nil
	case "committed":
		committed, err := l.committed(ctx, group)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, p partitionKey) (int64, error) {
			offset, ok := committed.Lookup(p.topic, p.partition)
			switch {
			case ok && offset.Err != nil:
				return 0, l.connection.explain(offset.Err, p.topic)
			case !ok || offset.At < 0:
				return otherwise(ctx, p, fmt.Sprintf("has no committed offset of group %q", group))
			}
			return offset.At, l.inside(ctx, p, offset.At, fmt.Sprintf("the committed offset of group %q", group), "Set it anew with Kafka's tools, or choose another \"start\"")
		}, nil
	}
	return l.start, nil
}

// stopOf returns where partitions stop.
func (b bound) stopOf(l *topicLog) func(context.Context, partitionKey) (int64, error) {
	switch b.word {
	case "end":
		return l.end
	case "time":
		return l.since(b.at)
	case "offsets":
		return func(_ context.Context, p partitionKey) (int64, error) {
			if offset, ok := b.offsets[p]; ok {
				return offset, nil
			}
			return 0, fmt.Errorf("partition %s has no offset in \"stop\"; every partition must be there", p)
		}
	}
	return func(context.Context, partitionKey) (int64, error) { return NoStop, nil }
}

// inside checks that an offset can be read: that the log has it, or ends there.
func (l *topicLog) inside(ctx context.Context, p partitionKey, offset int64, what, wayOut string) error {
	start, err := l.start(ctx, p)
	if err != nil {
		return err
	}
	end, err := l.high(ctx, p)
	if err != nil {
		return err
	}
	switch {
	case offset < start:
		return fmt.Errorf("topic %s, partition %d: %s, %d, is before the log's first, %d: retention has deleted %d offsets that were not read. %s",
			p.topic, p.partition, what, offset, start, start-offset, wayOut)
	case offset > end:
		return fmt.Errorf("topic %s, partition %d: %s, %d, is beyond the log's end, %d: the topic was deleted and made again, or the brokers lost records. %s",
			p.topic, p.partition, what, offset, end, wayOut)
	}
	return nil
}

// freshStart is the way out for a position that no longer fits the log.
const freshStart = "What is gone cannot be read again; to go on with what is there, start the job with --fresh, or from a checkpoint whose positions are in the log"
