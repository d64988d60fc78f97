package supervisor

import (
	"time"

	"turbo/ckpt"
	"turbo/core/task"
)

// Status is what a job shows of itself.
type Status struct {
	Job         string
	State       State
	Since       time.Time // start of the process's work on the job
	Parallelism int
	Restarts    int
	LastError   string
	Restored    uint64 // the checkpoint that this run began with
	Checkpoints ckpt.Status
	Nodes       []task.NodeStats   // counters of the current attempt, or of the last one
	Times       []task.SourceTimes // nil while the workers do not run
	Lag         int64              // records still to read
	LagKnown    bool
}

// ConnectorMetrics returns what sources and sinks publish of themselves; nil while the workers do not run.
func (s *Supervisor) ConnectorMetrics() []task.NodeMetrics {
	s.mu.Lock()
	a := s.attempt
	s.mu.Unlock()
	if a == nil {
		return nil
	}
	return a.ConnectorMetrics()
}

// Status describes the present.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	st := Status{Job: s.job.Name, State: s.state, Since: s.since, Parallelism: s.job.Parallelism, Restarts: s.restarts, Restored: s.restored}
	if s.lastErr != nil {
		st.LastError = s.lastErr.Error()
	}
	a, d := s.attempt, s.driver
	st.Nodes, st.Checkpoints = s.last.Nodes, s.last.Checkpoints
	s.mu.Unlock()
	if a != nil {
		st.Nodes, st.Times = a.Stats(), a.Times()
		st.Lag, st.LagKnown = a.Lag()
		st.Checkpoints = d.Status()
	}
	return st
}
