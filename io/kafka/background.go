package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
)

// discover looks for new partitions until ctx ends. A broker that does not answer is asked again next time.
func (s *Source) discover(ctx context.Context, every time.Duration) {
	for {
		timer := s.context.Clock.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
		if err := s.discoverOnce(ctx); err != nil && ctx.Err() == nil {
			s.context.Log.Warn("looking for new partitions failed, trying again later", "source", s.context.Name, "error", err)
		}
	}
}

// discoverOnce looks for partitions that no reader has and gives them to the readers.
func (s *Source) discoverOnce(ctx context.Context) error {
	partitions, ids, _, err := s.subscription.find(ctx, s.connection, s.admin)
	if err != nil {
		return err
	}
	if err := s.sameTopics(ids); err != nil {
		s.fail(err)
		return nil
	}
	var fresh []partitionKey
	s.mu.Lock()
	for _, p := range partitions {
		if s.splits[p] == nil {
			fresh = append(fresh, p)
		}
	}
	s.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	l := newLog(s.connection, s.admin, fresh, s.committed)
	for _, p := range fresh {
		start, err := l.start(ctx, p)
		if err != nil {
			return err
		}
		sp := newSplit(p, Position{Offset: start, Stop: NoStop})
		s.mu.Lock()
		worker := s.take(sp)
		f := s.fetchers[worker]
		if f == nil { // its reader is not made yet
			s.assigned[worker] = append(s.assigned[worker], sp)
			s.restored[worker] = append(s.restored[worker], core.SplitState{ID: sp.id, Position: sp.position().Encode(), Start: sp.position().Encode(), Watermark: core.MinTime})
		}
		s.mu.Unlock()
		if f != nil {
			f.add(sp)
		}
		s.context.Log.Info("found a new partition", "source", s.context.Name, "partition", sp.id, "offset", start, "worker", worker)
	}
	return nil
}

// sameTopics reports a topic that was deleted and made again while it was read: the client would wait for the old one for ever, and the
// offsets of the state mean nothing in the new one.
func (s *Source) sameTopics(ids map[string]kadm.TopicID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, id := range ids {
		was := s.ids[topic]
		if none := (kadm.TopicID{}); was != none && id != none && was != id {
			return core.Permanent(fmt.Errorf("topic %q was deleted and made again while the job was reading it: its positions are those of the old one. %s", topic, freshStart))
		}
		s.ids[topic] = id
	}
	return nil
}

// fail ends the source's readers with an error.
func (s *Source) fail(err error) {
	s.broken.CompareAndSwap(nil, &err)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fetchers {
		if f != nil {
			f.interrupt()
		}
	}
}

// commitLoop commits offsets to the group, for observers, until ctx ends; then once more what is left.
func (s *Source) commitLoop(ctx context.Context) {
	for {
		select {
		case offsets := <-s.commits:
			s.commit(ctx, offsets)
		case <-ctx.Done():
			select {
			case offsets := <-s.commits:
				last, cancel := context.WithTimeout(context.Background(), lastCommit)
				s.commit(last, offsets)
				cancel()
			default:
			}
			return
		}
	}
}

func (s *Source) commit(ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset) {
	var list kadm.Offsets
	for topic, partitions := range offsets {
		for partition, offset := range partitions {
			list.AddOffset(topic, partition, offset.Offset, -1)
		}
	}
	err := s.admin.CommitAllOffsets(ctx, s.group, list)
	if err == nil {
		return
	}
	if ctx.Err() != nil { // the job is ending: what was not committed is committed by the next run
		select {
		case s.commits <- offsets:
		default:
		}
		return
	}
	if n := s.commitErrors.Add(1); n == 1 || n%100 == 0 {
		s.context.Log.Warn("offsets cannot be committed to the group; the job itself does not need them", "source", s.context.Name, "group", s.group,
			"times", n, "error", s.connection.explain(err, ""))
	}
}
