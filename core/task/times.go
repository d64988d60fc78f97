package task

import (
	"time"

	"turbo/core"
)

// SourceTimes is how far the event time of a source is, over all workers.
type SourceTimes struct {
	Node        string
	IdleTimeout time.Duration
	MaxDelay    time.Duration
	Skew        time.Duration // max-future-skew; 0: none
	Generated   bool          // the watermark comes from rows that say so, or from a function
	Splits      []SplitTime
}

// SplitTime is how far one split is.
type SplitTime struct {
	ID        string
	Watermark core.Time // core.MinTime before the first row with a time
	Idle      bool
	Ended     bool
	Silent    time.Duration // since its last rows, as far as the reader was asked for some
	Waiting   bool          // held back, because other sources are behind by more than max-drift
}

// publishedTimes is what a source root has published last.
type publishedTimes struct {
	at     int64 // monotonic ns
	splits []SplitTime
}

// publishTimes publishes the state of the splits.
func (r *sourceRoot) publishTimes(now int64) {
	p := &publishedTimes{at: now, splits: make([]SplitTime, len(r.marks.splits))}
	waiting := r.drift != nil && r.drift.paused.Load()
	for i := range p.splits {
		s := &r.marks.splits[i]
		p.splits[i] = SplitTime{ID: s.id, Watermark: s.watermark, Idle: s.idle, Ended: s.ended, Silent: time.Duration(r.silence.elapsed - s.lastData), Waiting: waiting && !s.ended && !s.idle}
	}
	r.times.Store(p)
}

// Times returns how far the sources with event time are, in the graph's order, as published at most some hundred milliseconds ago. Any goroutine may
// call it.
func (a *Attempt) Times() []SourceTimes {
	var out []SourceTimes
	now := a.graph.Options.Clock.Nanos()
	for _, n := range a.graph.Nodes {
		w := n.Watermark
		if n.Source == nil || w == nil {
			continue
		}
		t := SourceTimes{Node: n.ID, IdleTimeout: w.IdleTimeout, MaxDelay: w.MaxDelay, Skew: w.MaxFutureSkew, Generated: w.Generator != nil}
		for _, task := range a.tasks {
			r, ok := task.root.(*sourceRoot)
			if !ok || r.node != n {
				continue
			}
			if p := r.times.Load(); p != nil {
				for _, s := range p.splits {
					s.Silent += time.Duration(now - p.at)
					t.Splits = append(t.Splits, s)
				}
			}
		}
		out = append(out, t)
	}
	return out
}
