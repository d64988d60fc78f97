package supervisor

import (
	"fmt"
	"time"
)

// Restart is a restart strategy. The zero value never restarts.
type Restart struct {
	Strategy Strategy
	Initial  time.Duration // Exponential: the first delay. Fixed, FailureRate: every delay
	Max      time.Duration // Exponential: the largest delay
	Attempts int           // restarts in a row; 0: without end. FailureRate: restarts within Window
	Window   time.Duration // FailureRate: the time over which restarts are counted
	// ResetAfter is how long an attempt must have run for the failures before it to be forgotten. Default one minute.
	ResetAfter time.Duration
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

// restarts decides about restarts. It is pure: times come from outside.
type restarts struct {
	Restart
	inARow int
	recent []time.Time // of FailureRate
}

// failed says what to do after an attempt that began at started has failed at now: wait and start again, or give up and why.
func (r *restarts) failed(started, now time.Time) (delay time.Duration, giveUp string) {
	reset := r.ResetAfter
	if reset <= 0 {
		reset = time.Minute
	}
	if now.Sub(started) >= reset {
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
		r.recent = append(live, now)
		if r.Attempts > 0 && len(r.recent) > r.Attempts {
			return 0, fmt.Sprintf("it failed %d times within %v, and the restart strategy allows %d", len(r.recent), r.Window, r.Attempts)
		}
		return r.Initial, ""
	}
	r.inARow++
	if r.Attempts > 0 && r.inARow > r.Attempts {
		return 0, fmt.Sprintf("all %d restarts in a row have failed", r.Attempts)
	}
	delay = r.Initial
	if r.Strategy == Exponential {
		for i := 1; i < r.inARow && delay < r.Max; i++ {
			delay *= 2
		}
		delay = min(delay, r.Max)
	}
	return delay, ""
}
