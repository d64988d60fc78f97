package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"turbo/memory"
)

// Restart is a restart strategy. The zero value never restarts.
type Restart struct {
	Strategy Strategy
	// Exponential: Initial, then times Multiplier each time up to Max, each with a random part of Jitter (0 to 1) more or less.
	Initial, Max       time.Duration
	Multiplier, Jitter float64
	// ResetAfter is how long an attempt must have run for the failures before it to be forgotten. Default ten minutes.
	ResetAfter time.Duration
	// Attempts is the number of restarts in a row of Exponential and Fixed; negative: without end.
	Attempts int
	// Delay is every delay of Fixed and FailureRate.
	Delay time.Duration
	// FailureRate gives up after MaxFailures failures within Window.
	MaxFailures int
	Window      time.Duration
}

// Strategy names a way to restart.
type Strategy uint8

// The strategies.
const (
	None Strategy = iota
	Fixed
	Exponential
	FailureRate
)

// Strategies are the words of the job spec.
var Strategies = map[string]Strategy{"none": None, "fixed": Fixed, "exponential": Exponential, "failure-rate": FailureRate}

// outOfMemory says why an attempt that ran into engine.memory is not made again: the one before did so too, and no checkpoint has become
// complete since, so the next would do the same work with the same memory. starved is the newest checkpoint of the former such failure, nil
// when the attempt before ended otherwise. It returns "" for all else: a peak may pass.
func (s *Supervisor) outOfMemory(err error, starved **uint64) string {
	var limit *memory.LimitError
	if !errors.As(err, &limit) {
		*starved = nil
		return ""
	}
	newest := uint64(0)
	if ids, err := s.dir.Manifests.List(); err == nil && len(ids) > 0 {
		newest = ids[len(ids)-1]
	}
	if *starved != nil && **starved == newest {
		at := "the start"
		if newest > 0 {
			at = fmt.Sprintf("checkpoint %d", newest)
		}
		return "the attempt before ran out of memory, too, and got no further than " + at
	}
	*starved = &newest
	return ""
}

// restarts decides about restarts. It is pure: times come from outside.
type restarts struct {
	Restart
	inARow int
	recent []time.Time // of FailureRate
	random func() float64
}

func newRestarts(r Restart) *restarts {
	if r.ResetAfter <= 0 {
		r.ResetAfter = 10 * time.Minute
	}
	if r.Multiplier < 1 {
		r.Multiplier = 2
	}
	return &restarts{Restart: r, random: rand.Float64}
}

// failed says what to do after an attempt that began at started has failed at now: wait and start again, or give up and why.
func (r *restarts) failed(started, now time.Time) (delay time.Duration, giveUp string) {
	if now.Sub(started) >= r.ResetAfter {
		r.inARow = 0
	}
	switch r.Strategy {
	case None:
		return 0, "the restart strategy is none"
	case FailureRate:
		live := r.recent[:0]
		for _, t := range r.recent {
			if now.Sub(t) < r.Window {
				live = append(live, t)
			}
		}
		if r.recent = append(live, now); len(r.recent) > r.MaxFailures {
			return 0, fmt.Sprintf("it failed %d times within %v, and the restart strategy allows %d", len(r.recent), r.Window, r.MaxFailures)
		}
		return r.Delay, ""
	}
	r.inARow++
	if r.Attempts >= 0 && r.inARow > r.Attempts {
		return 0, fmt.Sprintf("all %d restarts in a row have failed", r.Attempts)
	}
	if r.Strategy == Fixed {
		return r.Delay, ""
	}
	wait := float64(r.Initial)
	for i := 1; i < r.inARow && wait < float64(r.Max); i++ {
		wait *= r.Multiplier
	}
	wait = min(wait, float64(r.Max))
	return time.Duration(wait * (1 + r.Jitter*(2*r.random()-1))), ""
}
