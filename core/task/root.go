package task

import (
	"fmt"
	"sync/atomic"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/internal/clock"
	"turbo/memory"
)

// root is where a task's messages come from: a source's reader, or the gate of an exchange.
type root interface {
	// next returns the next message and its port; NoMessage when there is nothing now. A DataMessage without a batch says that
	// something has moved, and that there may be more.
	next(now int64) (core.Message, int, error)
	// cut saves the root's state for the barrier that next has just returned.
	cut(t *task, report *pendingAck) error
	// blocked says that the root is not asked now, because what is behind it is full.
	blocked()
	// deadline is when next must be called again although nobody wakes the task.
	deadline(now int64) (int64, bool)
	close() error
}

// sourceRoot polls a reader, generates watermarks and injects barriers.
type sourceRoot struct {
	node      *Node
	reader    core.SourceReader
	marks     *watermarks
	restored  map[string]core.SplitState
	splits    map[string]int // id -> index in order of start
	dead      target         // of dead letters; nil element when there are none
	attempt   *Attempt
	last      uint64 // the barrier injected last
	nextMark  int64  // when watermarks are looked at again
	sinceMark int    // rows since they were
	sinceRide int    // rows since a riding one was looked at
	interval  int64
	silence   silence
	ended     bool // the reader has said EndOfInput
	markedMax bool
	endSent   bool
	stopped   bool // the final barrier has been injected
	count     core.Counters
	clock     clock.Clock
	account   *memory.Account // of what the root itself makes: times of ingestion, quarantined rows
	ids       []string        // of the splits, in order of start
	times     atomic.Pointer[publishedTimes]
	drift     *driftMember // nil: the source waits for no other
}

func (r *sourceRoot) wrap(err error) error {
	if err == nil {
		return nil
	}
	return r.node.named(err)
}

// silence is the clock by which splits turn idle. It does not count the time in which the reader was not asked, because the worker was busy
// or the chain blocked: rows may wait in it, and an idle split's rows would be late.
type silence struct {
	elapsed int64 // ns
	seen    int64 // monotonic ns of the last look; 0: none yet
	asked   bool  // since then the reader has nothing, as far as it said
	most    int64 // that a look after a poll that brought something counts
}

// silentGap is the most that may pass between two polls of a busy worker and be counted as silence of the splits that did not come.
const silentGap = 10 * time.Millisecond

// look brings the clock to now and returns it.
func (s *silence) look(now int64) int64 {
	if s.seen != 0 {
		gap := now - s.seen
		if !s.asked {
			gap = min(gap, s.most)
		}
		s.elapsed += gap
	}
	s.seen = now
	return s.elapsed
}

func (r *sourceRoot) blocked() { r.silence.asked = false }

func (r *sourceRoot) next(now int64) (core.Message, int, error) {
	if word := r.attempt.injected.Load(); word>>1 > r.last {
		r.last, r.stopped = word>>1, word&1 != 0
		return core.Message{Kind: core.BarrierMessage, Checkpoint: r.last}, 0, nil
	}
	if r.stopped && r.attempt.aborted.Load() >= r.last {
		r.stopped = false // the last checkpoint was given up: go on as if its barrier had not been
	}
	if r.stopped || r.endSent {
		r.silence.seen, r.silence.asked = now, false
		return core.Message{}, 0, nil
	}
	r.silence.look(now)
	if r.ended {
		if r.marks != nil && !r.markedMax {
			if r.marks.activate() { // an idle channel's watermark would be ignored
				return core.Message{Kind: core.ActiveMessage}, 0, nil
			}
			r.markedMax = true
			return core.Message{Kind: core.WatermarkMessage, Time: core.MaxTime}, 0, nil
		}
		if r.marks != nil {
			r.publishTimes(now)
		}
		r.endSent = true
		return core.Message{Kind: core.EndMessage}, 0, nil
	}
	if r.marks != nil && (now >= r.nextMark || r.sinceMark >= markRows) {
		r.marks.tick(core.TimeOf(r.clock.Now()))
		r.drift.publish(r.marks)
		if m, ok := r.marks.next(r.silence.elapsed); ok {
			return m, 0, nil // idleness and watermark may both be due: nextMark moves when there is nothing more
		}
		if now >= r.nextMark {
			r.publishTimes(now)
		}
		r.nextMark, r.sinceMark, r.sinceRide = now+r.interval, 0, 0
	}
	if r.sinceRide >= rideRows {
		r.sinceRide = 0
		if m, ok := r.marks.ride(); ok {
			return m, 0, nil
		}
	}
	if r.dead.element != nil && r.dead.full() {
		return core.Message{}, 0, nil
	}
	if r.drift.wait() {
		r.blocked()
		return core.Message{}, 0, nil
	}
	return r.poll(now)
}

// markRows is how many rows may pass before watermarks are looked at although the interval has not passed: at millions of rows a second, windows would otherwise
// stay open, and in memory, long after their end. It is many full batches, so flushing the open ones costs little. In between, one rides behind each rideRows
// rows or more: it costs a message on batches that go anyway, and windows and joins keep to what they need.
const (
	markRows = 1 << 18
	rideRows = 1 << 12
)

// pollEvents bounds the events that one call takes: barriers and other tasks must not wait for the end of a run of events without rows.
const pollEvents = 64

func (r *sourceRoot) poll(now int64) (core.Message, int, error) {
	r.silence.asked = false
	for range pollEvents {
		e, err := r.reader.Poll()
		if err != nil {
			return core.Message{}, 0, r.wrap(err)
		}
		r.count.In += e.Read
		r.count.Skipped += e.Skipped
		r.count.DeadLettered += e.DeadLettered
		switch e.Kind {
		case core.NoEvent:
			r.silence.asked = true
			if r.marks != nil && !r.marks.looked && r.settled() {
				r.marks.looked, r.nextMark = true, now
			}
			return core.Message{}, 0, nil
		case core.DataEvent:
			if e.Batch == nil {
				continue
			}
			b, err := r.timed(e.Split, e.Batch)
			if err != nil {
				return core.Message{}, 0, r.wrap(err)
			}
			r.count.Out += int64(b.Rows())
			return core.Message{Kind: core.DataMessage, Batch: b}, 0, nil
		case core.DeadLetter:
			if r.dead.element == nil {
				e.Batch.Release()
				return core.Message{}, 0, r.wrap(fmt.Errorf("a dead letter came, but no sink for dead letters is set"))
			}
			if err := r.dead.take(0, e.Batch); err != nil {
				return core.Message{}, 0, err
			}
			if r.dead.full() {
				return core.Message{}, 0, nil
			}
		case core.SplitStart:
			if e.Split != len(r.splits) {
				return core.Message{}, 0, r.wrap(fmt.Errorf("split %s starts as number %d, expected %d", e.ID, e.Split, len(r.splits)))
			}
			r.splits[e.ID] = e.Split
			r.ids = append(r.ids, e.ID)
			if r.marks != nil {
				s, ok := r.restored[e.ID]
				if !ok {
					s.Watermark = core.MinTime
				}
				r.marks.start(e.ID, s.Watermark, s.Idle, r.silence.elapsed)
				r.nextMark = now // an idle reader is active again before the others move on
			}
		case core.SplitEnd:
			if r.marks != nil {
				r.marks.end(e.Split)
				r.nextMark = now
			}
		case core.EndOfInput:
			r.ended = true
			r.drift.leave()
			return r.next(now)
		}
	}
	return core.Message{Kind: core.DataMessage}, 0, nil
}

func (r *sourceRoot) cut(_ *task, report *pendingAck) error {
	states, err := r.reader.Snapshot()
	if err != nil {
		return r.wrap(fmt.Errorf("snapshot: %w", err))
	}
	if r.marks != nil {
		r.marks.fill(states, r.splits, r.restored)
	}
	report.expect()
	report.done(func(ack *ckpt.Ack) {
		ack.Sources = append(ack.Sources, ckpt.SourceState{Source: r.node.ID, Splits: states})
	}, nil)
	return nil
}

// settler is a reader that finds its splits by and by, and says when it has started those that there were at first, and after the end of a split whether it
// has looked for another. Before that it is not idle for having none.
type settler interface{ Settled() bool }

func (r *sourceRoot) settled() bool {
	s, is := r.reader.(settler)
	return !is || s.Settled()
}

// holder is a reader that holds rows back for the buffer timeout and cannot wake the worker as precisely as it can wake itself.
type holder interface {
	// Deadline returns when Poll will have what is held back, in the clock's Nanos; 0: nothing is.
	Deadline() int64
}

func (r *sourceRoot) deadline(int64) (at int64, ok bool) {
	if r.stopped || r.ended {
		return 0, false
	}
	if r.marks != nil {
		// A pause of watermark emission needs a look after data that came since the last one, and for idleness.
		at, ok = r.marks.idleAt()
		at += r.silence.seen - r.silence.elapsed
		if r.marks.behind() {
			at, ok = earliest(at, ok, r.nextMark, true)
		}
		at = max(at, r.nextMark) // nothing is looked at before
	}
	if h, is := r.reader.(holder); is && !r.held() {
		due := h.Deadline()
		at, ok = earliest(at, ok, due, due != 0)
	}
	return at, ok
}

// held reports whether the reader is not asked for rows now, whatever it has: whoever ends that wakes the worker.
func (r *sourceRoot) held() bool {
	return r.drift != nil && r.drift.paused.Load() || r.dead.element != nil && r.dead.full()
}

func (r *sourceRoot) close() error { return r.wrap(r.reader.Close()) }
