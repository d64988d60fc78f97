package clock

import (
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestManualFiresInOrder(t *testing.T) {
	m := NewManual(start)
	var got []string
	add := func(name string, d time.Duration) Timer {
		return m.AfterFunc(d, func() { got = append(got, name+"@"+m.Now().Sub(start).String()) })
	}
	add("b", 2*time.Second)
	add("a", time.Second)
	add("c", 2*time.Second)
	late := add("late", 10*time.Second)
	stopped := add("stopped", time.Second)
	if !stopped.Stop() || stopped.Stop() {
		t.Fatal("Stop must report whether the timer was pending")
	}
	m.Advance(3 * time.Second)
	want := []string{"a@1s", "b@2s", "c@2s"}
	if len(got) != len(want) {
		t.Fatalf("fired %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("fired %v, want %v", got, want)
		}
	}
	if !late.Reset(time.Second) {
		t.Fatal("Reset must report that the timer was pending")
	}
	m.Advance(time.Second)
	if got[len(got)-1] != "late@4s" || m.Nanos() != int64(4*time.Second) || m.Pending() != 0 {
		t.Fatalf("fired %v at %d, %d pending", got, m.Nanos(), m.Pending())
	}
}

func TestManualChannelTimer(t *testing.T) {
	m := NewManual(start)
	timer := m.NewTimer(time.Second)
	m.Advance(time.Second)
	timer.Reset(time.Second) // takes the stale value away
	select {
	case <-timer.C():
		t.Fatal("a stale value was received after Reset")
	default:
	}
	m.Advance(time.Second)
	if at := <-timer.C(); !at.Equal(start.Add(2 * time.Second)) {
		t.Fatalf("fired at %v", at)
	}
	if at := <-m.NewTimer(0).C(); !at.Equal(m.Now()) {
		t.Fatalf("an expired timer fired at %v", at)
	}
}

func TestManualTimerSetInCallback(t *testing.T) {
	m := NewManual(start)
	n := 0
	var tick func()
	tick = func() { n++; m.AfterFunc(time.Second, tick) }
	m.AfterFunc(time.Second, tick)
	m.Advance(5 * time.Second)
	if n != 5 {
		t.Fatalf("a repeating timer fired %d times in 5 periods", n)
	}
}

func TestAwaitPending(t *testing.T) {
	m := NewManual(start)
	ready := make(chan bool)
	go func() { ready <- m.AwaitPending(1, nil) }()
	m.NewTimer(time.Second)
	if !<-ready {
		t.Fatal("AwaitPending returned false without a stop")
	}
	stop := make(chan struct{})
	close(stop)
	if m.AwaitPending(2, stop) {
		t.Fatal("AwaitPending returned true with one timer")
	}
}

func TestRealIsMonotonic(t *testing.T) {
	c := Real()
	last := c.Nanos()
	for range 1000 {
		now := c.Nanos()
		if now < last {
			t.Fatalf("Nanos went back from %d to %d", last, now)
		}
		last = now
	}
	<-c.NewTimer(0).C()
	if c.Now().IsZero() {
		t.Fatal("Now is zero")
	}
	done := make(chan struct{})
	c.AfterFunc(0, func() { close(done) })
	<-done
}
