package task

import (
	"turbo/core"
)

// This file runs an attempt without goroutines for its workers: whoever calls Settle runs them, one after the other, so that everything happens in one
// order. Test kits stand on it. Begin, Settle, Busy and Tables are for one goroutine; an attempt that was begun is never started.

// Begin prepares an attempt for Settle, instead of Start. Reports go to to.
func (a *Attempt) Begin(to Checkpoints) {
	for _, w := range a.workers[1:] { // nothing has woken them yet
		w.token = a.workers[0].token
	}
	a.begin(to)
}

// Settle runs the workers in turn until there is nothing that they can do at now, the clock's Nanos. now must grow from call to call by more than the
// watermark interval. After an error nothing but Close may be called.
func (a *Attempt) Settle(now int64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	for moved := true; moved; {
		moved = false
		for _, w := range a.workers {
			w.waker.Park() // who has something for it from here on leaves a token
			m, err := w.round(now)
			if err != nil {
				return err
			}
			moved = moved || m
		}
	}
	if f := a.failure.Load(); f != nil {
		return *f
	}
	return nil
}

// Wakes receives when something beside the workers, such as a function that waits for a network, has given one of them something to do since Settle.
func (a *Attempt) Wakes() <-chan struct{} { return a.workers[0].token }

// Busy returns how many calls of functions run beside the workers, and wait for something else than the clock.
func (a *Attempt) Busy() int {
	n := 0
	for _, t := range a.tasks {
		for _, e := range t.elements {
			if s, ok := e.(*stage); ok {
				if w, ok := s.op.(core.InFlight); ok {
					n += w.InFlight()
				}
			}
		}
	}
	return n
}

// TableStats says how many rows one keyed table of one worker has.
type TableStats struct {
	Node, Table string
	Worker      int
	Rows        int
}

// Tables returns the keyed tables of all workers.
func (a *Attempt) Tables() []TableStats {
	var out []TableStats
	for _, t := range a.tasks {
		for _, table := range t.backend.Tables() {
			node, name := table.Name()
			out = append(out, TableStats{node, name, t.worker, table.Len()})
		}
	}
	return out
}

// Publish brings the figures of Stats up to date.
func (a *Attempt) Publish() {
	for _, w := range a.workers {
		w.publish()
	}
}

// Deadline returns the next of the clock's Nanos at which Settle has something to do although nothing is given to it; ok is false when there is none.
func (a *Attempt) Deadline(now int64) (at int64, ok bool) {
	for _, w := range a.workers {
		d, dok := w.deadline(now)
		at, ok = earliest(at, ok, d, dok)
	}
	return at, ok
}
