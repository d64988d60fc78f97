package ckpt

import "fmt"

// Step takes one event at a time and returns what to do about it. now is the time of a monotonic clock in nanoseconds.
// After Finish or Fail every further event is ignored, but that Demands are answered.
func (c *Coordinator) Step(now int64, e Event) []Action {
	if c.phase == stopped {
		if d, ok := e.(Demand); ok {
			return []Action{Reply{[]uint64{d.Token}, 0, ErrStopped}}
		}
		return nil
	}
	if c.wakeAt != 0 && now >= c.wakeAt {
		c.wakeAt = 0
	}
	actions, err := c.step(now, e)
	if err != nil {
		return append(actions, c.fail(err)...)
	}
	actions = append(actions, c.due(now)...)
	return append(actions, c.next(now)...)
}

// fail ends everything.
func (c *Coordinator) fail(err error) []Action {
	var actions []Action
	if tokens := append(c.tokens, c.waiting...); len(tokens) > 0 {
		actions = append(actions, Reply{tokens, 0, err})
	}
	c.tokens, c.waiting = nil, nil
	c.phase = stopped
	c.stats.LastError = err
	return append(actions, Fail{err})
}

func (c *Coordinator) step(now int64, e Event) ([]Action, error) {
	switch e := e.(type) {
	case Tick:
		return nil, nil
	case Demand:
		c.waiting = append(c.waiting, e.Token)
		return nil, nil
	case StopRequested:
		c.stopping = true
		return nil, nil
	case TaskEnded:
		if e.Task < 0 || e.Task >= len(c.ended) || c.ended[e.Task] {
			return nil, c.unexpected(e)
		}
		c.ended[e.Task] = true
		c.running--
		return nil, nil
	case Begun:
		return c.begun(now, e)
	case Ack:
		return c.ack(now, e)
	case Sealed:
		return c.sealed(now, e)
	case Written:
		return c.written(now, e)
	case Committed:
		return c.committed(now, e)
	case Retained:
		return c.retained(now, e)
	case Aborted:
		if c.phase != draining || e.ID != c.id || c.aborted {
			return nil, c.unexpected(e)
		}
		c.aborted = true
		return c.drained(now), nil
	}
	return nil, c.unexpected(e)
}

func (c *Coordinator) begun(now int64, e Begun) ([]Action, error) {
	if c.phase != beginning {
		return nil, c.unexpected(e)
	}
	if e.Err != nil { // nothing was started, so there is nothing to abort
		c.failed(now, e.Err)
		c.finished(now)
		if len(c.tokens) == 0 {
			return nil, nil
		}
		tokens := c.tokens
		c.tokens = nil
		return []Action{Reply{tokens, 0, e.Err}}, nil
	}
	if e.ID <= c.last {
		return nil, fmt.Errorf("checkpoint coordinator: id %d was used before (last %d)", e.ID, c.last)
	}
	c.phase, c.id, c.last = collecting, e.ID, e.ID
	c.deadline = now + int64(c.config.Timeout)
	c.missing = len(c.acked)
	clear(c.acked)
	clear(c.acks)
	return []Action{Inject{Barrier{c.id, c.trigger}}}, nil
}

func (c *Coordinator) ack(now int64, e Ack) ([]Action, error) {
	expected := (c.phase == collecting || c.phase == draining) && e.Checkpoint == c.id
	if !expected || e.Task < 0 || e.Task >= len(c.acked) || c.acked[e.Task] {
		return nil, c.unexpected(e)
	}
	c.acked[e.Task] = true
	c.missing--
	if c.phase == draining {
		c.stats.LateAcks++
		c.carry(e)
		return c.drained(now), nil
	}
	c.acks[e.Task] = e
	if e.Err != nil {
		c.stats.Declined++
		return c.abort(now, fmt.Errorf("task %s: %w", c.config.Tasks[e.Task], e.Err)), nil
	}
	if c.missing > 0 {
		return nil, nil
	}
	c.phase = sealing
	return []Action{Seal{c.id}}, nil
}

func (c *Coordinator) sealed(now int64, e Sealed) ([]Action, error) {
	if c.phase != sealing || e.ID != c.id {
		return nil, c.unexpected(e)
	}
	if e.Err != nil {
		return c.abort(now, e.Err), nil
	}
	c.phase, c.store = writing, e.Sum
	return []Action{WriteManifest{c.content()}}, nil
}

func (c *Coordinator) written(now int64, e Written) ([]Action, error) {
	if c.phase != writing || e.ID != c.id {
		return nil, c.unexpected(e)
	}
	if e.Unknown {
		return nil, fmt.Errorf("checkpoint %d: %w", c.id, e.Err)
	}
	if e.Err != nil {
		return c.abort(now, e.Err), nil
	}
	c.carried = nil // they are in a durable manifest
	clear(c.acks)
	c.phase, c.attempts = committing, 1
	return []Action{Commit{c.id}}, nil
}

func (c *Coordinator) committed(now int64, e Committed) ([]Action, error) {
	if c.phase != committing || e.ID != c.id {
		return nil, c.unexpected(e)
	}
	if e.Err != nil {
		c.stats.LastError = e.Err
		if c.attempts >= c.config.CommitAttempts {
			return nil, fmt.Errorf("checkpoint %d is complete, but its output could not be committed in %d attempts: %w", c.id, c.attempts, e.Err)
		}
		c.stats.CommitRetries++
		c.phase = recommit
		c.retryAt = now + int64(c.config.RetryDelay)<<(c.attempts-1)
		c.attempts++
		return nil, nil
	}
	c.lastDone = c.id
	c.stats.Completed++
	c.stats.LastError = nil
	c.failures, c.notBefore = 0, 0
	actions := []Action{Notify{c.id, c.trigger}}
	if len(c.tokens) > 0 {
		actions = append(actions, Reply{c.tokens, c.id, nil})
		c.tokens = nil
	}
	c.phase = retaining
	return append(actions, Retain{}), nil
}

func (c *Coordinator) retained(now int64, e Retained) ([]Action, error) {
	if c.phase != retaining {
		return nil, c.unexpected(e)
	}
	if e.Err != nil {
		c.stats.RetainErrors++
		c.stats.LastError = e.Err
	}
	c.finished(now)
	if !c.trigger.Final() {
		return nil, nil
	}
	c.phase = stopped
	actions := []Action{Finish{c.id, c.trigger}}
	if len(c.waiting) > 0 {
		actions = append(actions, Reply{c.waiting, 0, ErrStopped})
		c.waiting = nil
	}
	return actions, nil
}

// drained goes on when nothing of an aborted checkpoint is on its way any more.
func (c *Coordinator) drained(now int64) []Action {
	if c.missing == 0 && c.aborted {
		clear(c.acks)
		c.finished(now)
	}
	return nil
}

// due does what only time makes happen.
func (c *Coordinator) due(now int64) []Action {
	switch c.phase {
	case collecting:
		if now < c.deadline {
			return c.wake(c.deadline)
		}
		c.stats.TimedOut++
		missing := c.Missing()
		return c.abort(now, fmt.Errorf("%w: after %v, %d of %d tasks had not reported, first %s", ErrLate, c.config.Timeout, len(missing), len(c.acked), missing[0]))
	case recommit:
		if now < c.retryAt {
			return c.wake(c.retryAt)
		}
		c.phase = committing
		return []Action{Commit{c.id}}
	}
	return nil
}
