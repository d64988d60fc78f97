package clock

import (
	"sync"
	"time"
)

// Manual is a clock that stands still until it is advanced. The zero value is not usable; call NewManual.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	nanos   int64
	serial  uint64
	pending map[*manualTimer]struct{}
	changed chan struct{} // closed and replaced whenever the set of pending timers changes
}

// NewManual returns a clock that shows start.
func NewManual(start time.Time) *Manual {
	return &Manual{now: start, pending: map[*manualTimer]struct{}{}, changed: make(chan struct{})}
}

// Now is the time the clock was set or advanced to.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Nanos is the sum of all advances so far.
func (m *Manual) Nanos() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nanos
}

// Advance moves the clock forward by d and fires every timer that comes due on the way. A negative d panics: it breaks
// invariant 1.
func (m *Manual) Advance(d time.Duration) {
	if d < 0 {
		panic("clock: a manual clock cannot go back")
	}
	m.mu.Lock()
	end := m.nanos + int64(d)
	for {
		var next *manualTimer
		for t := range m.pending {
			if t.due <= end && (next == nil || t.due < next.due || t.due == next.due && t.serial < next.serial) {
				next = t
			}
		}
		if next == nil {
			break
		}
		m.moveTo(max(next.due, m.nanos))
		m.remove(next)
		if next.fn != nil {
			m.mu.Unlock()
			next.fn()
			m.mu.Lock()
			continue
		}
		select {
		case next.c <- m.now:
		default:
		}
	}
	if m.nanos < end { // a callback may have advanced the clock further
		m.moveTo(end)
	}
	m.mu.Unlock()
}

// Pending is the number of timers that are set.
func (m *Manual) Pending() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pending)
}

// AwaitPending returns once at least n timers are set, or stop is closed (then false). Tests use it to know that the code
// under test has armed its timer before they advance.
func (m *Manual) AwaitPending(n int, stop <-chan struct{}) bool {
	for {
		m.mu.Lock()
		have, changed := len(m.pending), m.changed
		m.mu.Unlock()
		if have >= n {
			return true
		}
		select {
		case <-changed:
		case <-stop:
			return false
		}
	}
}

// NewTimer implements Clock.
func (m *Manual) NewTimer(d time.Duration) Timer {
	t := &manualTimer{clock: m, c: make(chan time.Time, 1)}
	t.Reset(d)
	return t
}

// AfterFunc implements Clock; f runs inside Advance (or inside this call when d <= 0).
func (m *Manual) AfterFunc(d time.Duration, f func()) Timer {
	t := &manualTimer{clock: m, fn: f}
	t.Reset(d)
	return t
}

func (m *Manual) moveTo(nanos int64) {
	m.now = m.now.Add(time.Duration(nanos - m.nanos))
	m.nanos = nanos
}

func (m *Manual) remove(t *manualTimer) {
	delete(m.pending, t)
	m.notify()
}

func (m *Manual) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}

type manualTimer struct {
	clock  *Manual
	c      chan time.Time
	fn     func()
	due    int64
	serial uint64
}

func (t *manualTimer) C() <-chan time.Time { return t.c }

func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.stop()
}

func (t *manualTimer) stop() bool {
	_, was := t.clock.pending[t]
	if was {
		t.clock.remove(t)
	}
	if t.c != nil {
		select {
		case <-t.c:
		default:
		}
	}
	return was
}

func (t *manualTimer) Reset(d time.Duration) bool {
	m := t.clock
	m.mu.Lock()
	was := t.stop()
	if d <= 0 {
		now := m.now
		m.mu.Unlock()
		if t.fn != nil {
			t.fn()
		} else {
			t.c <- now
		}
		return was
	}
	m.serial++
	t.serial, t.due = m.serial, m.nanos+int64(d)
	m.pending[t] = struct{}{}
	m.notify()
	m.mu.Unlock()
	return was
}
