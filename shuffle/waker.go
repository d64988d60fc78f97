package shuffle

import "sync/atomic"

// Waker is how the senders of a worker know whether it runs, polls in vain, or sleeps, and how they wake it. Each worker has one,
// shared by all its gates, outputs and connectors.
//
// # No lost wake-up
//
// The worker goes to sleep in this order:
//
//	w.Park()                     // (1) store: parked
//	if work() { w.Busy(); ... }  // (2) look at every gate (Ready), blocked output (Resume) and reader once more
//	<-token                      // (3) wait for wake, or for a deadline
//	w.Busy()
//
// and whoever has work for it does (4) publish the work: Ring.Push or Ring.Pop, an atomic store; then (5) Notify: load the state, and when
// it is parked, swap it to running and call wake. Assume that the worker sleeps at (3) and nobody wakes it for work published at
// (4). It did not see the work at (2), so in the single order of sequentially consistent operations its load came before the store (4),
// hence (1) before (2) before (4) before (5): the load at (5) saw parked or a later state. A later state before (3) ends can only be
// running, set by another Notify, which called wake. Either way wake was called after (1). wake leaves a token that the
// wait at (3) takes, even when it came between (2) and (3). So the worker wakes. A stale token (Notify came, but (2) found the work by
// itself) costs one round of polling later.
//
// Several notifiers race on the swap, and one calls wake: a burst of batches wakes once.
//
// Rejected: a condition variable (a lock per batch on the sender's side); always leaving a token (a channel send per batch, 50
// to 150 ns, where loading a flag that rarely changes is 1 ns).
type Waker struct {
	_     [cacheLine]byte
	state atomic.Uint32
	_     [cacheLine]byte
	wake  func()
}

const (
	running uint32 = iota
	polling
	parked
)

// NewWaker returns the waker of a worker. wake must not block, may be called by any goroutine, and must leave a token: a
// non-blocking send to a channel of capacity 1.
func NewWaker(wake func()) *Waker { return &Waker{wake: wake} }

// Busy says that the worker has work. The worker calls it when a round of its tasks has found some after rounds that had not.
func (w *Waker) Busy() {
	if w.state.Load() != running {
		w.state.Store(running)
	}
}

// Idle says that the worker polls, but that the last round found nothing: senders may flush to it early.
func (w *Waker) Idle() {
	if w.state.Load() != polling {
		w.state.Store(polling)
	}
}

// Park says that the worker is about to sleep; see the type's comment for what it must do next.
func (w *Waker) Park() { w.state.Store(parked) }

// Notify wakes the worker if it sleeps. Call it after publishing the work. Any goroutine may.
func (w *Waker) Notify() {
	if w.state.Load() == parked && w.state.CompareAndSwap(parked, running) {
		w.wake()
	}
}

// Hungry reports whether the worker polls in vain or sleeps.
func (w *Waker) Hungry() bool { return w.state.Load() != running }
