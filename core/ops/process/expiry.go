package process

import (
	"turbo/core"
	"turbo/memory"
	"turbo/timers"
)

// never is when a slot without a timer is looked at.
const never = core.MaxTime

// sweepRows bounds how many expired rows are freed in one go.
const sweepRows = 1024

// expiry finds the rows of a table that may have expired: a queue of timers with at most one that counts a slot. A write that extends a life
// leaves the timer where it is; when that is due, the row says how long it lives, and the timer is set again. So a write costs a comparison, and the
// queue is no longer than the table.
type expiry struct {
	queue   *timers.Queue
	at      []core.Time // by slot: when its timer is due, never when it has none
	account *memory.Account
	bytes   int64
	due     []timers.Entry
	slots   []uint32
}

func newExpiry(account *memory.Account) *expiry {
	return &expiry{queue: timers.NewQueue(account), account: account, due: make([]timers.Entry, sweepRows)}
}

// note says that a value of slot expires at t.
func (e *expiry) note(slot uint32, t core.Time) error {
	if int(slot) >= len(e.at) {
		size := max(1024, 2*len(e.at), int(slot)+1)
		if err := e.account.Reserve(int64(size-len(e.at)) * 8); err != nil {
			return err
		}
		e.bytes += int64(size-len(e.at)) * 8
		at := make([]core.Time, size)
		for i := copy(at, e.at); i < size; i++ {
			at[i] = never
		}
		e.at = at
	}
	if t >= e.at[slot] {
		return nil
	}
	if err := e.queue.Push(timers.Entry{Time: t, Ref: uint64(slot)}); err != nil {
		return err
	}
	e.at[slot] = t
	return nil
}

// forget says that slot is no row any more.
func (e *expiry) forget(slot uint32) {
	if int(slot) < len(e.at) {
		e.at[slot] = never
	}
}

// pop returns up to sweepRows slots whose timers are due; each must be noted again if something of it is left that expires.
// The slice is valid until the next call. more says that there may be others.
func (e *expiry) pop(limit core.Time) (slots []uint32, more bool, err error) {
	n, err := e.queue.Pop(limit, e.due)
	e.slots = e.slots[:0]
	for _, d := range e.due[:n] {
		if s := uint32(d.Ref); e.at[s] == d.Time {
			e.at[s] = never
			e.slots = append(e.slots, s)
		}
	}
	return e.slots, n == len(e.due), err
}

func (e *expiry) close() {
	e.queue.Clear()
	e.account.Unreserve(e.bytes)
	e.bytes, e.at = 0, nil
}
