package ckpt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// environment is everything around a Coordinator, reduced to what matters to its invariants: which answers are
// outstanding, and what has become durable. Its choices are the events that could come next.
type environment struct {
	c   *Coordinator
	now int64

	barriers  []uint64 // by task: the barrier that it has not reported; 0: none
	ended     []bool
	pending   Action // Begin, Seal, WriteManifest, Commit or Retain that has no answer
	abort     uint64 // Abort that has no answer
	wake      int64
	nextID    uint64
	sealed    uint64
	durable   []uint64
	committed []uint64
	injected  []uint64
	prepared  []string // committables reported and not in a durable manifest, "id/task", in order
	writing   []string // those in the manifest being written
	demands   int      // without an answer
	finished  bool
	failed    bool
	stopping  bool

	// What may still happen.
	failures, ticks, asks, stops, checkpoints int
}

func newEnvironment(t testing.TB, tasks int, interval time.Duration) *environment {
	t.Helper()
	names := make([]string, tasks)
	for i := range names {
		names[i] = fmt.Sprint("task", i)
	}
	c, err := NewCoordinator(CoordinatorConfig{Tasks: names, Interval: interval, Timeout: 1000, RetryDelay: 10, CommitAttempts: 3}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	e := &environment{c: c, nextID: 1, barriers: make([]uint64, tasks), ended: make([]bool, tasks)}
	return e
}

func (e *environment) clone() *environment {
	n := *e
	n.barriers, n.ended = slices.Clone(e.barriers), slices.Clone(e.ended)
	n.durable, n.committed, n.injected = slices.Clone(e.durable), slices.Clone(e.committed), slices.Clone(e.injected)
	n.prepared, n.writing = slices.Clone(e.prepared), slices.Clone(e.writing)
	c := *e.c
	c.acked, c.acks, c.ended = slices.Clone(c.acked), slices.Clone(c.acks), slices.Clone(c.ended)
	c.carried, c.tokens, c.waiting = slices.Clone(c.carried), slices.Clone(c.tokens), slices.Clone(c.waiting)
	n.c = &c
	return &n
}

// fingerprint tells states apart; times count relative to now, ids relative to the last.
func (e *environment) fingerprint() string {
	c := e.c
	at := func(t int64) int64 {
		if t == 0 {
			return -1
		}
		return max(t-e.now, 0)
	}
	base := e.nextID
	deadline, retry := int64(0), int64(0)
	if c.phase == collecting {
		deadline = at(c.deadline)
	}
	if c.phase == recommit {
		retry = at(c.retryAt)
	}
	return fmt.Sprint(e.barriers, e.ended, fmt.Sprintf("%T", e.pending), e.abort, at(e.wake), base, e.sealed, len(e.durable), len(e.committed), e.prepared, e.writing,
		e.demands, e.finished, e.failed, e.stopping, e.failures, e.ticks, e.asks, e.stops, e.checkpoints, "|",
		c.phase, c.trigger, deadline, c.acked, c.attempts, retry, c.aborted, at(c.nextAt), at(c.notBefore), c.failures, len(c.carried), c.running, c.stopping, len(c.waiting), len(c.tokens), at(c.wakeAt))
}

var errModel = errors.New("model failure")

// choices lists the events that may come now. The costs of each are paid in take.
func (e *environment) choices() []Event {
	if e.finished || e.failed {
		return nil
	}
	var all []Event
	fails := e.failures > 0
	add := func(ok, bad Event) {
		all = append(all, ok)
		if fails {
			all = append(all, bad)
		}
	}
	for i, id := range e.barriers {
		if id != 0 {
			name := Committable{Worker: i, Checkpoint: id}
			add(Ack{Task: i, Checkpoint: id, Committables: []Committable{name}}, Ack{Task: i, Checkpoint: id, Err: errModel, Committables: []Committable{name}})
		}
		if !e.ended[i] && e.stops > 0 {
			all = append(all, TaskEnded{i})
		}
	}
	switch p := e.pending.(type) {
	case Begin:
		if e.checkpoints > 0 {
			add(Begun{ID: e.nextID}, Begun{Err: errModel})
		}
	case Seal:
		add(Sealed{ID: p.ID}, Sealed{ID: p.ID, Err: errModel})
	case WriteManifest:
		add(Written{ID: p.Content.ID}, Written{ID: p.Content.ID, Err: errModel})
		if fails {
			all = append(all, Written{ID: p.Content.ID, Err: errModel, Unknown: true})
		}
	case Commit:
		add(Committed{ID: p.ID}, Committed{ID: p.ID, Err: errModel})
	case Retain:
		add(Retained{}, Retained{errModel})
	}
	if e.abort != 0 {
		all = append(all, Aborted{e.abort})
	}
	if e.wake != 0 && e.ticks > 0 {
		all = append(all, Tick{})
	}
	if e.asks > 0 {
		all = append(all, Demand{uint64(e.asks)})
	}
	if e.stops > 0 && !e.stopping {
		all = append(all, StopRequested{})
	}
	return all
}

// take lets an event happen, checks what the Coordinator does, and returns what is wrong.
func (e *environment) take(event Event) error {
	failed := false
	switch x := event.(type) {
	case Tick:
		e.ticks--
		e.now = max(e.now, e.wake)
		e.wake = 0
	case Demand:
		e.asks--
		e.demands++
	case StopRequested:
		e.stops--
		e.stopping = true
	case TaskEnded:
		e.ended[x.Task] = true
	case Ack:
		e.barriers[x.Task] = 0
		for _, c := range x.Committables {
			e.prepared = append(e.prepared, fmt.Sprint(c.Checkpoint, "/", c.Worker))
		}
		failed = x.Err != nil
	case Begun:
		e.pending, failed = nil, x.Err != nil
		if !failed {
			e.nextID++
			e.checkpoints--
		}
	case Sealed:
		e.pending, failed = nil, x.Err != nil
		if !failed {
			e.sealed = x.ID
		}
	case Written:
		e.pending, failed = nil, x.Err != nil
		if !failed {
			e.durable = append(e.durable, x.ID)
			for _, name := range e.writing {
				e.prepared = slices.DeleteFunc(e.prepared, func(s string) bool { return s == name })
			}
			if len(e.prepared) > 0 {
				return fmt.Errorf("manifest %d lacks committables %v", x.ID, e.prepared)
			}
		}
	case Committed:
		e.pending, failed = nil, x.Err != nil
		if !failed {
			e.committed = append(e.committed, x.ID)
		}
	case Retained:
		e.pending, failed = nil, x.Err != nil
	case Aborted:
		e.abort = 0
	}
	if failed {
		e.failures--
	}
	for _, a := range e.c.Step(e.now, event) {
		if err := e.obey(a); err != nil {
			return err
		}
	}
	return nil
}

// obey checks the invariants that an action could break.
func (e *environment) obey(a Action) error {
	if e.finished || e.failed {
		if r, ok := a.(Reply); !ok || r.Err == nil {
			return fmt.Errorf("%T after the end", a)
		}
	}
	quiet := e.pending == nil && e.abort == 0 && slices.Max(e.barriers) == 0
	switch a := a.(type) {
	case Begin:
		if !quiet {
			return fmt.Errorf("begin while pending %T, abort %d, barriers %v", e.pending, e.abort, e.barriers)
		}
		if len(e.committed) < len(e.durable) {
			return fmt.Errorf("begin while %v is not committed", e.durable)
		}
		e.pending = a
	case Inject:
		id := a.Barrier.ID
		if !quiet || (len(e.injected) > 0 && id <= e.injected[len(e.injected)-1]) {
			return fmt.Errorf("inject %d while pending %T, barriers %v, earlier %v", id, e.pending, e.barriers, e.injected)
		}
		e.injected = append(e.injected, id)
		for i := range e.barriers {
			e.barriers[i] = id
		}
	case Seal:
		if !quiet || a.ID != e.injected[len(e.injected)-1] {
			return fmt.Errorf("seal %d while barriers %v", a.ID, e.barriers)
		}
		e.pending = a
	case WriteManifest:
		if !quiet || e.sealed != a.Content.ID {
			return fmt.Errorf("manifest %d while sealed %d", a.Content.ID, e.sealed)
		}
		for i, ack := range a.Content.Acks {
			if ack.Task != i || ack.Checkpoint != a.Content.ID || ack.Err != nil {
				return fmt.Errorf("manifest %d has the report %+v at %d", a.Content.ID, ack, i)
			}
		}
		e.writing = nil
		var last uint64
		for _, c := range a.Content.Committables {
			if c.Checkpoint < last {
				return fmt.Errorf("manifest %d: committables out of order: %v", a.Content.ID, a.Content.Committables)
			}
			last = c.Checkpoint
			name := fmt.Sprint(c.Checkpoint, "/", c.Worker)
			if slices.Contains(e.writing, name) {
				return fmt.Errorf("manifest %d has %s twice", a.Content.ID, name)
			}
			if !slices.Contains(e.prepared, name) {
				return fmt.Errorf("manifest %d has %s, which an earlier one had", a.Content.ID, name)
			}
			e.writing = append(e.writing, name)
		}
		e.pending = a
	case Commit:
		if !quiet || len(e.durable) == 0 || a.ID != e.durable[len(e.durable)-1] || slices.Contains(e.committed, a.ID) {
			return fmt.Errorf("commit %d; durable %v, committed %v", a.ID, e.durable, e.committed)
		}
		e.pending = a
	case Notify:
		if !slices.Contains(e.committed, a.ID) {
			return fmt.Errorf("notify %d; committed %v", a.ID, e.committed)
		}
	case Retain:
		if !quiet || len(e.committed) != len(e.durable) {
			return fmt.Errorf("retain; durable %v, committed %v", e.durable, e.committed)
		}
		e.pending = a
	case Abort:
		if e.pending != nil || e.abort != 0 || slices.Contains(e.durable, a.ID) || a.Cause == nil {
			return fmt.Errorf("abort %d while pending %T, durable %v", a.ID, e.pending, e.durable)
		}
		e.abort = a.ID
	case Wake:
		if a.At <= e.now {
			return fmt.Errorf("wake at %d, it is %d", a.At, e.now)
		}
		e.wake = a.At
	case Reply:
		e.demands -= len(a.Tokens)
		if a.Err == nil && !slices.Contains(e.committed, a.ID) {
			return fmt.Errorf("reply that %d is done; committed %v", a.ID, e.committed)
		}
	case Finish:
		if !a.Trigger.Final() || !slices.Contains(e.committed, a.ID) || (a.Trigger == End && slices.Contains(e.ended, false)) {
			return fmt.Errorf("finish %d %s; committed %v, ended %v", a.ID, a.Trigger, e.committed, e.ended)
		}
		e.finished = true
	case Fail:
		e.failed = true
	}
	if e.demands < 0 {
		return errors.New("a demand was answered twice")
	}
	return nil
}

// check is for states in which nothing more can happen by itself.
func (e *environment) check() error {
	if (e.finished || e.failed) && e.demands != 0 {
		return fmt.Errorf("the end, with %d demands unanswered", e.demands)
	}
	if e.finished || e.failed || e.pending != nil || e.abort != 0 || e.wake != 0 || slices.Max(e.barriers) != 0 {
		return nil
	}
	if e.demands > 0 || e.stopping || !slices.Contains(e.ended, false) || e.c.config.Interval > 0 {
		return fmt.Errorf("stuck while %v", e.c.phase)
	}
	return nil
}

// TestEveryOrder visits every order of events of a small world: two tasks, up to three checkpoints, two failures
// of any kind, three alarms, a demand, a stop, ends of input.
func TestEveryOrder(t *testing.T) {
	for _, interval := range []time.Duration{0, 100} {
		start := newEnvironment(t, 2, interval)
		start.failures, start.ticks, start.asks, start.stops, start.checkpoints = 2, 3, 1, 1, 3
		if err := start.take(Tick{}); err != nil {
			t.Fatal(err)
		}
		start.ticks++
		seen := map[string]bool{}
		ends := map[string]int{}
		var path []Event
		var visit func(e *environment)
		visit = func(e *environment) {
			if t.Failed() {
				return
			}
			key := e.fingerprint()
			if seen[key] {
				return
			}
			seen[key] = true
			if err := e.check(); err != nil {
				t.Errorf("%v\nafter %+v", err, path)
				return
			}
			switch {
			case e.finished:
				ends["finished"]++
			case e.failed:
				ends["failed"]++
			}
			for _, event := range e.choices() {
				next := e.clone()
				path = append(path, event)
				if err := next.take(event); err != nil {
					t.Errorf("%v\nafter %+v", err, path)
					return
				}
				visit(next)
				path = path[:len(path)-1]
			}
		}
		visit(start)
		t.Logf("interval %v: %d states, ends %v", interval, len(seen), ends)
		if !t.Failed() && (ends["finished"] == 0 || ends["failed"] == 0 || len(seen) < 1000) {
			t.Errorf("the model is too small to mean anything: %d states, ends %v", len(seen), ends)
		}
	}
}

// TestRandomWalks is the same in larger worlds.
func TestRandomWalks(t *testing.T) {
	completed := int64(0)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		e := newEnvironment(t, 1+random.IntN(5), time.Duration(random.IntN(3))*100)
		e.failures, e.ticks, e.asks, e.stops, e.checkpoints = 200, 1000, 40, 0, 1000
		var path []Event
		for step := range 3000 {
			if step == 2000 {
				e.stops, e.failures = 10, 5
			}
			all := e.choices()
			if len(all) == 0 {
				break
			}
			event := all[random.IntN(len(all))]
			if w, ok := event.(Written); ok && w.Unknown && random.IntN(20) != 0 {
				continue // it ends the walk
			}
			path = append(path, event)
			err := e.take(event)
			if err == nil {
				err = e.check()
			}
			if err != nil {
				t.Fatalf("seed %d, step %d: %v\nthe last events: %+v", seed, step, err, path[max(0, len(path)-12):])
			}
		}
		completed += e.c.Stats().Completed
	}
	if completed < 1000 {
		t.Errorf("only %d checkpoints were completed in all walks", completed)
	}
}
