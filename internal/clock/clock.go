package clock

import "time"

// Clock tells the time and makes timers. All methods may be called by any goroutine.
type Clock interface {
	// Now is the wall clock.
	Now() time.Time
	// Nanos is a monotonic count of nanoseconds from an arbitrary origin; only differences mean anything.
	Nanos() int64
	// NewTimer returns a timer that sends once on its channel after d. d <= 0 fires at once.
	NewTimer(d time.Duration) Timer
	// AfterFunc calls f once after d: in a goroutine of its own (Real), or inside Advance (Manual).
	// The returned timer has a nil channel.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is one pending alarm. Stop and Reset behave like those of time.Timer under Go 1.23 or newer: after they return no
// stale value is received from the channel.
type Timer interface {
	// C is the channel on which the time is sent; nil for AfterFunc timers.
	C() <-chan time.Time
	// Stop prevents the timer from firing and reports whether it was pending.
	Stop() bool
	// Reset makes the timer fire after d from now and reports whether it was pending.
	Reset(d time.Duration) bool
}

// Real returns the operating system's clock.
func Real() Clock { return realClock{} }

var origin = time.Now()

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }
func (realClock) Nanos() int64   { return int64(time.Since(origin)) }
func (realClock) NewTimer(d time.Duration) Timer {
	return realTimer{time.NewTimer(d)}
}
func (realClock) AfterFunc(d time.Duration, f func()) Timer {
	return realTimer{time.AfterFunc(d, f)}
}

type realTimer struct{ t *time.Timer }

func (r realTimer) C() <-chan time.Time        { return r.t.C }
func (r realTimer) Stop() bool                 { return r.t.Stop() }
func (r realTimer) Reset(d time.Duration) bool { return r.t.Reset(d) }
