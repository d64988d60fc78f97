package ckpt

import (
	"errors"
	"fmt"
	"time"
)

// CoordinatorConfig says when checkpoints are taken. Durations are of the clock whose readings Step gets.
type CoordinatorConfig struct {
	// Tasks names the tasks whose acknowledgement a checkpoint needs.
	Tasks []string
	// Interval is the time from the start of one periodic checkpoint to that of the next. 0: none but requested and last ones.
	Interval time.Duration
	// MinPause is the least time from the end of one checkpoint to the start of the next periodic one.
	MinPause time.Duration
	// Timeout aborts a checkpoint whose acknowledgements are not there in time. Default 10 min.
	Timeout time.Duration
	// RetryDelay is the time after a failed checkpoint until the next attempt; it doubles with every further failure, up
	// to the larger of Interval and 30 s. Default 100 ms.
	RetryDelay time.Duration
	// CommitAttempts is how often a sink's commit is tried before the job fails (and tries again when it restarts). Default 5.
	CommitAttempts int
}

// Coordinator decides about checkpoints. It does no I/O and reads no clock: the Driver feeds it events and carries out
// its actions. It is used by one goroutine. See the package comment for its invariants.
type Coordinator struct {
	config CoordinatorConfig
	phase  phase

	// The checkpoint in hand.
	id       uint64
	trigger  Trigger
	started  int64 // when Begin was asked for
	deadline int64
	acked    []bool
	missing  int
	acks     []Ack
	store    Summary
	attempts int   // of the commit
	retryAt  int64 // of the commit
	tokens   []uint64
	aborted  bool // the abort has been carried out

	// Across checkpoints.
	last      uint64 // id of the last one begun
	lastDone  uint64
	nextAt    int64 // when the next periodic one is due
	notBefore int64 // retry delay after failures
	failures  int   // in a row
	carried   []Committable
	ended     []bool
	running   int // tasks that have not ended
	stopping  bool
	waiting   []uint64 // tokens of Demands for the next checkpoint
	wakeAt    int64    // last Wake asked for; 0: none
	stats     Stats
}

// Stats counts what a Coordinator has seen.
type Stats struct {
	Completed     int64
	Failed        int64 // aborted, for whatever reason
	TimedOut      int64 // of these: acknowledgements were late
	Declined      int64 // of these: a task could not take part
	LateAcks      int64 // acknowledgements of aborted checkpoints
	CommitRetries int64
	RetainErrors  int64
	LastError     error // of the last failure; nil after a success
}

type phase uint8

const (
	idle       phase = iota
	beginning        // Begin is out
	collecting       // barriers are out
	sealing
	writing
	committing // Commit is out
	recommit   // a commit failed and is tried again later
	retaining
	draining // aborted: waiting for the remaining tasks' reports and for the abort itself
	stopped
)

var phaseNames = [...]string{"idle", "beginning", "collecting acknowledgements", "syncing pages", "writing the manifest", "committing",
	"waiting to commit again", "removing old checkpoints", "aborting", "stopped"}

func (p phase) String() string { return phaseNames[p] }

const (
	defaultTimeout        = 10 * time.Minute
	defaultRetryDelay     = 100 * time.Millisecond
	maxRetryDelay         = 30 * time.Second
	defaultCommitAttempts = 5
)

var (
	// ErrLate is the cause of an abort by timeout.
	ErrLate = errors.New("acknowledgements were late")
	// ErrStopped is the answer to a Demand that comes after the last checkpoint.
	ErrStopped = errors.New("the job has stopped")
)

// NewCoordinator makes a coordinator at time now. last is the id of the last complete checkpoint, 0 for none.
func NewCoordinator(config CoordinatorConfig, last uint64, now int64) (*Coordinator, error) {
	if len(config.Tasks) == 0 {
		return nil, errors.New("checkpoint coordinator: no tasks")
	}
	if config.Timeout <= 0 {
		config.Timeout = defaultTimeout
	}
	if config.RetryDelay <= 0 {
		config.RetryDelay = defaultRetryDelay
	}
	if config.CommitAttempts <= 0 {
		config.CommitAttempts = defaultCommitAttempts
	}
	n := len(config.Tasks)
	return &Coordinator{
		config:   config,
		last:     last,
		lastDone: last,
		nextAt:   now + int64(config.Interval),
		acked:    make([]bool, n),
		acks:     make([]Ack, n),
		ended:    make([]bool, n),
		running:  n,
	}, nil
}

// Stats returns the counts so far.
func (c *Coordinator) Stats() Stats { return c.stats }

// InFlight returns the checkpoint in hand, whether there is one, and what it waits for.
func (c *Coordinator) InFlight() (id uint64, what string, ok bool) {
	if c.phase == idle || c.phase == stopped || c.phase == beginning {
		return 0, c.phase.String(), c.phase == beginning
	}
	return c.id, c.phase.String(), true
}

// Missing lists the tasks that have not reported about the checkpoint in hand.
func (c *Coordinator) Missing() []string {
	if c.phase != collecting && c.phase != draining {
		return nil
	}
	var names []string
	for i, done := range c.acked {
		if !done {
			names = append(names, c.config.Tasks[i])
		}
	}
	return names
}

// start asks for a checkpoint.
func (c *Coordinator) start(now int64, trigger Trigger) []Action {
	c.phase, c.trigger, c.started = beginning, trigger, now
	c.tokens, c.waiting = c.waiting, nil
	return []Action{Begin{trigger}}
}

// next decides what to do when nothing is in hand.
func (c *Coordinator) next(now int64) []Action {
	if c.phase != idle {
		return nil
	}
	last := c.running == 0 || c.stopping
	periodic := c.config.Interval > 0
	switch {
	case last || len(c.waiting) > 0 || (periodic && now >= c.nextAt):
		if now < c.notBefore {
			return c.wake(c.notBefore)
		}
	case periodic:
		return c.wake(max(c.nextAt, c.notBefore))
	default:
		return nil
	}
	switch {
	case c.running == 0:
		return c.start(now, End)
	case c.stopping:
		return c.start(now, Stop)
	case len(c.waiting) > 0:
		return c.start(now, Requested)
	}
	return c.start(now, Periodic)
}

// wake asks for a Tick unless the same was asked for already.
func (c *Coordinator) wake(at int64) []Action {
	if c.wakeAt == at {
		return nil
	}
	c.wakeAt = at
	return []Action{Wake{at}}
}

// finished notes the end of a checkpoint at now, complete or not, and plans the next.
func (c *Coordinator) finished(now int64) {
	c.phase = idle
	interval := int64(c.config.Interval)
	c.nextAt = max(c.started+interval, now+int64(c.config.MinPause))
}

// failed notes a failure: the next attempt comes after a delay.
func (c *Coordinator) failed(now int64, cause error) {
	c.stats.Failed++
	c.stats.LastError = cause
	limit := max(c.config.Interval, maxRetryDelay)
	delay := c.config.RetryDelay
	for range c.failures {
		if delay *= 2; delay >= limit {
			delay = limit
			break
		}
	}
	c.failures++
	c.notBefore = now + int64(delay)
}

// abort gives the checkpoint in hand up. Barriers may be on their way still: the tasks that have not reported yet will.
func (c *Coordinator) abort(now int64, cause error) []Action {
	c.failed(now, cause)
	c.phase, c.aborted = draining, false
	for i := range c.acks {
		if c.acked[i] {
			c.carry(c.acks[i])
		}
	}
	actions := []Action{Abort{c.id, cause}}
	if len(c.tokens) > 0 {
		actions = append(actions, Reply{c.tokens, c.id, cause})
		c.tokens = nil
	}
	return actions
}

// carry keeps what sink writers prepared for an aborted checkpoint: the next manifest has it.
func (c *Coordinator) carry(a Ack) {
	c.carried = append(c.carried, a.Committables...)
}

// content assembles what the manifest holds.
func (c *Coordinator) content() Content {
	content := Content{ID: c.id, Trigger: c.trigger, Store: c.store, Acks: append([]Ack(nil), c.acks...)}
	content.Committables = append(content.Committables, c.carried...)
	for _, a := range c.acks {
		content.Committables = append(content.Committables, a.Committables...)
	}
	return content
}

// unexpected is the error for an event that cannot come now: the Driver or a task is wrong.
func (c *Coordinator) unexpected(e Event) error {
	return fmt.Errorf("checkpoint coordinator: unexpected %T %+v while %v (checkpoint %d)", e, e, c.phase, c.id)
}
