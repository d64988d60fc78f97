package task

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"turbo/internal/clock"
	"turbo/memory"
	"turbo/shuffle"
)

const (
	// yieldEvery bounds how long a busy worker keeps its processor: fetches, timers and uploads run in between.
	yieldEvery = 50 * time.Microsecond
	// A worker that must act within spinBelow yields and polls instead of parking: the runtime's timers are too coarse (a sleep of
	// 100 µs takes about 1.1 ms on an idle process). With an alarm, it need not before spinBelowAlarm, and sleeps until alarmEarly
	// before the deadline.
	spinBelow      = 1500 * time.Microsecond
	spinBelowAlarm = 60 * time.Microsecond
	alarmEarly     = 30 * time.Microsecond
	// idleSpin is how long a worker polls after it has run out of work, before it parks: waking a parked goroutine costs ten times a round.
	idleSpin = 20 * time.Microsecond
	// publishEvery is how often counters are copied to where metrics read them.
	publishEvery = 20 * time.Millisecond
)

// worker runs its tasks round robin on one goroutine. In tests a seeded scheduler calls round instead of run.
type worker struct {
	index int
	tasks []*task // from the sinks to the sources, so that rings drain before they fill
	waker *shuffle.Waker
	token chan struct{}
	clock clock.Clock
	timer clock.Timer // of park, reused
	alarm *alarm      // nil: not made, or there is none
	tried bool        // to make the alarm

	published int64
	hasMail   atomic.Bool
	mailMu    sync.Mutex
	mail      []mail
}

func newWorker(index int, c clock.Clock) *worker {
	w := &worker{index: index, token: make(chan struct{}, 1), clock: c}
	w.waker = shuffle.NewWaker(w.wake)
	return w
}

// wake ends the worker's sleep, or its next one. Any goroutine may call it.
func (w *worker) wake() {
	select {
	case w.token <- struct{}{}:
	default:
	}
}

// round flushes what is due, then steps every task once: outputs learn the time before they get rows.
func (w *worker) round(now int64) (moved bool, err error) {
	if w.hasMail.Load() {
		if err := w.readMail(); err != nil {
			return true, err
		}
	}
	for _, t := range w.tasks {
		e, err := t.expire(now)
		if err != nil {
			return true, err
		}
		m, err := t.step(now)
		if err != nil {
			return true, err
		}
		moved = moved || m || e
	}
	return moved, nil
}

// mail is what the checkpoint coordination has to say to a worker's tasks.
type mail struct {
	checkpoint uint64
	complete   bool // else given up
}

// post leaves mail. Any goroutine may call it; it does not wake the worker, for nothing in it is urgent.
func (w *worker) post(m mail) {
	w.mailMu.Lock()
	w.mail = append(w.mail, m)
	w.mailMu.Unlock()
	w.hasMail.Store(true)
}

// readMail settles the checkpoints that are complete or given up.
func (w *worker) readMail() error {
	if !w.hasMail.Swap(false) {
		return nil
	}
	w.mailMu.Lock()
	all := w.mail
	w.mail = nil
	w.mailMu.Unlock()
	for _, m := range all {
		for _, t := range w.tasks {
			if err := t.settle(m.checkpoint, m.complete); err != nil {
				return err
			}
		}
	}
	return nil
}

// run works until stop is closed, or something fails.
func (w *worker) run(stop <-chan struct{}) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
		if w.timer != nil {
			w.timer.Stop()
		}
		if w.alarm != nil {
			w.alarm.close()
		}
		w.publish()
	}()
	now := w.clock.Nanos()
	yielded, busyAt := now, now
	for {
		moved, err := w.round(now)
		if err != nil {
			return err
		}
		now = w.clock.Nanos()
		if now-w.published >= int64(publishEvery) {
			w.publish()
			w.published = now
		}
		if moved {
			w.waker.Busy()
			busyAt = now
			if now-yielded < int64(yieldEvery) {
				continue
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
		if !moved {
			if now-busyAt >= int64(idleSpin) {
				if now, err = w.park(now, stop); err != nil {
					return err
				}
				yielded = now
				continue
			}
			w.waker.Idle()
		}
		runtime.Gosched()
		now = w.clock.Nanos()
		yielded = now
	}
}

// park waits for work, a deadline or stop. It returns the time after it.
func (w *worker) park(now int64, stop <-chan struct{}) (int64, error) {
	w.publish()
	at, ok := w.deadline(now)
	if ok && at-now < int64(spinBelow) && (at-now < int64(spinBelowAlarm) || !w.alarmed()) {
		w.waker.Idle()
		runtime.Gosched()
		return w.clock.Nanos(), nil
	}
	w.waker.Park()
	moved, err := w.round(w.clock.Nanos())
	if moved || err != nil {
		w.waker.Busy()
		return w.clock.Nanos(), err
	}
	// What was blocked in the first look may have got free in the last round, so that another deadline counts.
	at, ok = w.deadline(now)
	var expired <-chan time.Time
	if ok { // a stale expiry of an earlier park costs one round
		wait := time.Duration(at - now)
		switch {
		case wait < 2*spinBelow && w.alarmed():
			wait -= alarmEarly
			w.alarm.set(now, now+int64(wait))
		default:
			wait -= spinBelow / 2
		}
		if w.timer == nil {
			w.timer = w.clock.NewTimer(wait)
		} else {
			w.timer.Reset(wait)
		}
		expired = w.timer.C()
	}
	select {
	case <-w.token:
	case <-expired:
	case <-stop:
	}
	w.waker.Idle()
	return w.clock.Nanos(), nil
}

// alarmed makes the alarm at its first use and reports whether there is one.
func (w *worker) alarmed() bool {
	if !w.tried {
		if w.tried = true; w.clock == clock.Real() { // else instants are not the system's
			w.alarm = newAlarm(w.wake)
		}
	}
	return w.alarm != nil
}

func (w *worker) deadline(now int64) (at int64, ok bool) {
	for _, t := range w.tasks {
		d, dok := t.deadline(now)
		at, ok = earliest(at, ok, d, dok)
	}
	return at, ok
}

func (w *worker) publish() {
	for _, t := range w.tasks {
		t.publish()
	}
}

// safely calls f, which runs beside the workers or before them, and turns a panic into an error.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	return f()
}

// panicError turns a recovered panic into the job's failure. The memory limit is an ordinary refusal; everything else is a broken
// invariant and comes with its stack.
func panicError(p any) error {
	if err, ok := p.(error); ok {
		var limit *memory.LimitError
		if errors.As(err, &limit) {
			return err
		}
	}
	return fmt.Errorf("panic (a broken invariant, please report it): %v\n%s", p, debug.Stack())
}
