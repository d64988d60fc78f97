package core

import (
	"math"
	"time"
)

// Time is an instant of event or processing time: microseconds since 1970-01-01T00:00:00Z.
type Time int64

const (
	// MinTime is before every instant: the watermark of a channel that has not said anything yet.
	MinTime Time = math.MinInt64
	// MaxTime is after every instant: the watermark at the end of bounded input.
	MaxTime Time = math.MaxInt64
)

// TimeOf converts a wall-clock instant, dropping what is below a microsecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Std returns t as a UTC time.Time.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add returns t moved by d, saturating at MinTime and MaxTime.
func (t Time) Add(d time.Duration) Time {
	us := Time(d / time.Microsecond)
	switch {
	case us > 0 && t > MaxTime-us:
		return MaxTime
	case us < 0 && t < MinTime-us:
		return MinTime
	}
	return t + us
}

// String renders t in RFC 3339 with microseconds, or "min" and "max".
func (t Time) String() string {
	switch t {
	case MinTime:
		return "min"
	case MaxTime:
		return "max"
	}
	return t.Std().Format("2006-01-02T15:04:05.999999Z07:00")
}
