package supervisor

import (
	"testing"
	"time"
)

func TestRestartStrategies(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		name     string
		strategy Restart
		runs     []time.Duration // how long each attempt runs before it fails
		want     []time.Duration // delays; -1: gives up
	}{
		{"none", Restart{}, []time.Duration{s}, []time.Duration{-1}},
		{"fixed", Restart{Strategy: Fixed, Delay: s, Attempts: 2}, []time.Duration{s, s, s}, []time.Duration{s, s, -1}},
		{"exponential", Restart{Strategy: Exponential, Initial: s, Max: 5 * s, Attempts: -1}, []time.Duration{s, s, s, s, time.Hour, s},
			[]time.Duration{s, 2 * s, 4 * s, 5 * s, s, 2 * s}},
		{"exponential gives up", Restart{Strategy: Exponential, Initial: s, Max: 5 * s, Attempts: 1, Multiplier: 3}, []time.Duration{s, s}, []time.Duration{s, -1}},
		{"failure rate", Restart{Strategy: FailureRate, Delay: s, MaxFailures: 2, Window: 10 * s}, []time.Duration{s, s, 20 * s, s, s},
			[]time.Duration{s, s, s, s, -1}},
	} {
		r, now := newRestarts(c.strategy), time.Unix(0, 0)
		for i, run := range c.runs {
			started := now
			now = now.Add(run)
			delay, giveUp := r.failed(started, now)
			if giveUp != "" {
				delay = -1
			}
			if delay != c.want[i] {
				t.Errorf("%s: failure %d: delay %v, want %v (%s)", c.name, i+1, delay, c.want[i], giveUp)
			}
			now = now.Add(max(delay, 0))
		}
	}
	r := newRestarts(Restart{Strategy: Exponential, Initial: s, Max: s, Attempts: -1, Jitter: 0.5})
	for _, x := range []float64{0, 0.5, 1} {
		r.random = func() float64 { return x }
		if got, _ := r.failed(time.Unix(0, 0), time.Unix(1, 0)); got != time.Duration(float64(s)*(0.5+x)) {
			t.Errorf("jitter %v: delay %v", x, got)
		}
	}
}
