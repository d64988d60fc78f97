package kafka

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"turbo/io/connector"
)

// partitionKey names one partition.
type partitionKey struct {
	topic     string
	partition int32
}

func (k partitionKey) String() string { return SplitID(k.topic, k.partition) }

func comparePartitions(a, b partitionKey) int {
	if c := strings.Compare(a.topic, b.topic); c != 0 {
		return c
	}
	return int(a.partition) - int(b.partition)
}

// subscription says which topics are read.
type subscription struct {
	topics  []string
	pattern *regexp.Regexp // nil when topics are given
}

func newSubscription(config *connector.Config) (subscription, error) {
	s := subscription{topics: slices.Clone(config.Strings("topic"))}
	slices.Sort(s.topics)
	s.topics = slices.Compact(s.topics)
	text := config.String("topic-pattern")
	switch {
	case len(s.topics) == 0 && text == "":
		return s, config.Errorf("", "which topic? Give \"topic\" or \"topic-pattern\"")
	case len(s.topics) > 0 && text != "":
		return s, config.Errorf("topic-pattern", "\"topic\" is given too: only one of both")
	case text != "":
		pattern, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			return s, config.Errorf("topic-pattern", "%v", err)
		}
		s.pattern = pattern
	}
	return s, nil
}

// has reports whether a topic belongs to the subscription.
func (s subscription) has(topic string) bool {
	if s.pattern != nil {
		return s.pattern.MatchString(topic)
	}
	return slices.Contains(s.topics, topic)
}

// find returns the partitions that there are now, sorted, and the number of brokers. A given topic that is missing or refused is an
// error; a pattern may match nothing.
func (s subscription) find(ctx context.Context, c *connection, admin *kadm.Client) (found []partitionKey, ids map[string]kadm.TopicID, brokers int, err error) {
	metadata, err := admin.Metadata(ctx, s.topics...) // none: all
	if err != nil {
		return nil, nil, 0, c.explain(err, strings.Join(s.topics, ", "))
	}
	ids = map[string]kadm.TopicID{}
	for _, topic := range metadata.Topics.Sorted() {
		if s.pattern != nil && (topic.IsInternal || !s.pattern.MatchString(topic.Topic)) {
			continue
		}
		if errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
			if s.pattern != nil {
				continue // it went away between two answers
			}
			var names []string
			if all, err := admin.ListTopics(ctx); err == nil {
				names = all.Names()
			}
			return nil, nil, 0, missingTopic(topic.Topic, names)
		}
		if topic.Err != nil {
			return nil, nil, 0, c.explain(topic.Err, topic.Topic)
		}
		ids[topic.Topic] = topic.ID
		for partition := range topic.Partitions {
			found = append(found, partitionKey{topic.Topic, partition})
		}
	}
	slices.SortFunc(found, comparePartitions)
	return found, ids, max(len(metadata.Brokers), 1), nil
}

// describe names the subscription in messages.
func (s subscription) describe() string {
	if s.pattern != nil {
		return fmt.Sprintf("topics that match %s", strings.TrimSuffix(strings.TrimPrefix(s.pattern.String(), "^(?:"), ")$"))
	}
	return "topic " + strings.Join(s.topics, ", ")
}
