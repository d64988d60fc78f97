package task

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"turbo/ckpt"
	"turbo/core"
)

// testCheckpoints is the coordination by hand: one checkpoint at a time, complete when every task has reported. With a store, the pages go
// through the page protocol.
type testCheckpoints struct {
	store    *ckpt.Store // may be nil
	mu       sync.Mutex
	attempt  *Attempt
	manifest *ckpt.Manifest // the last complete one; nil: none
	acks     []ckpt.Ack
	current  ckpt.Barrier // in hand; ID 0: none
	draining bool         // given up before all had reported
	declined bool         // a task has reported an error
	carried  []ckpt.Committable
	ended    int
	last     uint64
	crashed  bool // nothing counts any more
	err      error
}

func (c *testCheckpoints) restart(a *Attempt) {
	c.attempt, c.current, c.draining, c.declined, c.carried, c.ended, c.crashed = a, ckpt.Barrier{}, false, false, nil, 0, false
}

func (c *testCheckpoints) Write(id uint64, pages []ckpt.Page) error {
	if c.store == nil {
		return nil
	}
	return c.store.Write(id, pages)
}

func (c *testCheckpoints) TaskEnded(int) {
	c.mu.Lock()
	c.ended++
	c.mu.Unlock()
}

func (c *testCheckpoints) Ack(a ckpt.Ack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.crashed:
		return
	case a.Checkpoint != c.last || a.Err != nil && c.store == nil:
		c.err = fmt.Errorf("unexpected report %+v while %d is in hand", a, c.last)
	case slices.ContainsFunc(c.acks, func(b ckpt.Ack) bool { return a.Task == b.Task }):
		c.err = fmt.Errorf("task %d has reported checkpoint %d twice", a.Task, a.Checkpoint)
	}
	c.declined = c.declined || a.Err != nil
	c.acks = append(c.acks, a)
}

// begin injects the next barrier unless one is in hand.
func (c *testCheckpoints) begin(trigger ckpt.Trigger) {
	if c.current.ID != 0 {
		return
	}
	c.last++
	if c.store != nil {
		if err := c.store.Begin(c.last, 0); err != nil {
			c.err = err
			return
		}
	}
	c.mu.Lock()
	c.acks, c.declined = nil, false
	c.mu.Unlock()
	c.current = ckpt.Barrier{ID: c.last, Trigger: trigger}
	c.attempt.InjectBarrier(c.current)
}

// abort gives the checkpoint in hand up; barriers may be on their way.
func (c *testCheckpoints) abort() {
	if c.current.ID == 0 || c.draining {
		return
	}
	c.draining = true
	c.attempt.AbortCheckpoint(c.last, fmt.Errorf("abandoned"))
	if c.store != nil {
		c.store.Abandon(c.last)
	}
}

// poll completes the checkpoint in hand when every task has reported: it gives it up if abandon says so. It returns the manifest of the one
// that it completed.
func (c *testCheckpoints) poll(abandon bool) *ckpt.Manifest {
	c.mu.Lock()
	acks, declined := c.acks, c.declined
	c.mu.Unlock()
	if declined {
		c.abort()
	}
	if c.current.ID == 0 || len(acks) < len(c.attempt.tasks) {
		return nil
	}
	var sum ckpt.Summary
	if c.store != nil && !c.draining && !abandon {
		var err error
		if sum, err = c.store.Seal(c.last); err != nil {
			abandon = true
		}
	}
	if abandon {
		c.abort()
	}
	trigger, given := c.current.Trigger, c.draining
	c.current, c.draining = ckpt.Barrier{}, false
	slices.SortFunc(acks, func(a, b ckpt.Ack) int { return cmp.Compare(a.Task, b.Task) })
	for _, a := range acks {
		c.carried = append(c.carried, a.Committables...)
	}
	if given {
		return nil
	}
	m := &ckpt.Manifest{Checkpoint: c.last, Trigger: trigger, Finished: trigger == ckpt.End, Store: sum}
	splits := map[string]core.SplitState{}
	if c.manifest != nil {
		for _, s := range c.manifest.Source("src") {
			splits[s.ID] = s
		}
	}
	for _, a := range acks {
		for _, s := range a.Sources {
			for _, split := range s.Splits {
				splits[split.ID] = split
			}
		}
		m.Operators = append(m.Operators, a.Operators...)
	}
	slices.SortStableFunc(m.Operators, func(a, b ckpt.OperatorState) int {
		return cmp.Or(cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Worker, b.Worker))
	})
	state := ckpt.SourceState{Source: "src"}
	for _, s := range splits {
		state.Splits = append(state.Splits, s)
	}
	m.Sources = []ckpt.SourceState{state}
	bySink := map[string][]ckpt.Committable{}
	for _, part := range c.carried {
		bySink[part.Sink] = append(bySink[part.Sink], part)
	}
	for sink, parts := range bySink {
		m.Sinks = append(m.Sinks, ckpt.SinkState{Sink: sink, Committables: parts})
	}
	c.carried = nil
	if c.store != nil {
		if err := c.store.Complete(c.last); err != nil {
			c.err = err
		}
	}
	c.manifest = m
	if err := (Committer{c.attempt}).Commit(context.Background(), m); err != nil {
		c.err = err
	}
	c.attempt.CheckpointComplete(m)
	return m
}
