package task

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes a sleeping worker at an instant. The runtime's timers do that only within a millisecond on Linux while the process is
// idle, for it sleeps in epoll_wait, which counts milliseconds. A timer that is a file descriptor ends that sleep on time. Under load
// it is the other way round, the runtime looks at its timers often and at descriptors seldom: a worker sets both.
type alarm struct {
	file *os.File
	fd   int
	at   int64 // Nanos for which it is set, if that is still to come
	done chan struct{}
}

// newAlarm returns an alarm that calls wake, or nil when there is none to be had.
func newAlarm(wake func()) *alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		var count [8]byte
		for {
			if _, err := a.file.Read(count[:]); err != nil {
				return // closed
			}
			wake()
		}
	}()
	return a
}

// set has the alarm call wake at an instant, or at an earlier one that is still to come. One goroutine calls it.
func (a *alarm) set(now, at int64) {
	if now < a.at && a.at <= at {
		return
	}
	a.at = max(at, now+int64(time.Microsecond)) // 0 would disarm it
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(a.at - now)}
	_ = unix.TimerfdSettime(a.fd, 0, &spec, nil) // valid arguments; the runtime's timer is there, too
}

// close ends the alarm and its goroutine.
func (a *alarm) close() {
	_ = a.file.Close() // nothing was written
	<-a.done
}
