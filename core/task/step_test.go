package task

import (
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/memory"
)

// stepRoot is a root of batches of given sizes; 0 is a control message.
type stepRoot struct {
	root
	account *memory.Account
	rows    []int
}

func (r *stepRoot) next(int64) (core.Message, int, error) {
	if len(r.rows) == 0 {
		return core.Message{}, 0, nil
	}
	n := r.rows[0]
	r.rows = r.rows[1:]
	if n == 0 {
		return core.Message{Kind: core.WatermarkMessage, Time: 1}, 0, nil
	}
	b := core.NewBatch(r.account, core.NewSchema())
	b.Len = n
	return core.Message{Kind: core.DataMessage, Batch: b}, 0, nil
}

func (r *stepRoot) blocked() {}

// stepEnd takes batches until it has no room.
type stepEnd struct {
	element
	room, taken, marks int
}

func (s *stepEnd) take(_ int, b *core.Batch) error {
	b.Release()
	s.taken++
	s.room--
	return nil
}
func (s *stepEnd) full() bool                    { return s.room <= 0 }
func (s *stepEnd) resume() (bool, error)         { return false, nil }
func (s *stepEnd) control(control) (bool, error) { s.marks++; return true, nil }

// A step takes small batches up to a bound of rows and of batches, none after a control message, and none that the chain has no room for.
func TestStepTakesSmallBatches(t *testing.T) {
	many := func(n, rows int) []int {
		out := make([]int, n)
		for i := range out {
			out[i] = rows
		}
		return out
	}
	for name, c := range map[string]struct {
		rows               []int
		room, taken, marks int
	}{
		"tiny":    {many(100, 1), 1000, stepBatches, 0},
		"small":   {many(100, 400), 1000, 3, 0},
		"full":    {many(100, 4096), 1000, 1, 0},
		"no room": {many(100, 1), 2, 2, 0},
		"blocked": {many(100, 1), 0, 0, 0},
		"few":     {many(3, 1), 1000, 3, 0},
		"control": {[]int{1, 1, 0, 1}, 1000, 2, 1},
		"nothing": {nil, 1000, 0, 0},
	} {
		r, s := &stepRoot{account: memory.NewPool(0).Account("test"), rows: c.rows}, &stepEnd{room: c.room}
		task := &task{root: r, entry: []target{{element: s}}, elements: []element{s}, metrics: &taskMetrics{}}
		moved, err := task.step(1)
		if err != nil || moved != (c.taken+c.marks > 0) || s.taken != c.taken || s.marks != c.marks {
			t.Errorf("%s: moved %v, %v: %d batches and %d control messages, want %d and %d", name, moved, err, s.taken, s.marks, c.taken, c.marks)
		}
	}
}

// An alarm rings although an earlier setting has passed or a later one is asked for, and ends with close.
func TestAlarm(t *testing.T) {
	rung := make(chan bool, 10)
	a := newAlarm(func() { rung <- true })
	if a == nil {
		t.Skip("no alarms here")
	}
	real := clock.Real()
	for _, after := range []time.Duration{time.Millisecond, 100 * time.Microsecond, -time.Second, time.Microsecond} {
		now := real.Nanos()
		a.set(now, now+int64(after))
		a.set(now, now+int64(time.Hour)) // rings no later for it
		<-rung
	}
	now := real.Nanos()
	a.set(now, now+int64(time.Hour))
	a.set(now, now+int64(time.Microsecond))
	<-rung
	a.set(now, now+int64(time.Hour))
	a.close()
}
