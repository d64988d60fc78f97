package ckpt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// script runs events against a coordinator and renders the actions, one line an event.
func script(t *testing.T, config CoordinatorConfig, steps ...any) string {
	t.Helper()
	c, err := NewCoordinator(config, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var now int64
	var out []string
	for _, step := range steps {
		switch s := step.(type) {
		case time.Duration:
			now += int64(s)
		case Event:
			var names []string
			for _, a := range c.Step(now, s) {
				names = append(names, render(a))
			}
			out = append(out, fmt.Sprintf("%T: %s", s, strings.Join(names, ", ")))
		}
	}
	return strings.ReplaceAll(strings.Join(out, "\n"), "ckpt.", "")
}

func render(a Action) string {
	switch a := a.(type) {
	case Begin:
		return "begin " + string(a.Trigger)
	case Inject:
		return fmt.Sprint("inject ", a.Barrier.ID)
	case Seal:
		return fmt.Sprint("seal ", a.ID)
	case WriteManifest:
		return fmt.Sprint("manifest ", a.Content.ID, " with ", len(a.Content.Committables))
	case Commit:
		return fmt.Sprint("commit ", a.ID)
	case Notify:
		return fmt.Sprint("notify ", a.ID)
	case Retain:
		return "retain"
	case Abort:
		return fmt.Sprintf("abort %d (%v)", a.ID, a.Cause)
	case Wake:
		return fmt.Sprint("wake ", time.Duration(a.At))
	case Reply:
		return fmt.Sprintf("reply %v %d %v", a.Tokens, a.ID, a.Err)
	case Finish:
		return fmt.Sprint("finish ", a.ID, " ", a.Trigger)
	case Fail:
		return fmt.Sprintf("fail (%v)", a.Err)
	}
	return fmt.Sprintf("%T", a)
}

func TestScripts(t *testing.T) {
	two := []string{"map", "sink"}
	second := CoordinatorConfig{Tasks: two, Interval: time.Second, MinPause: 100 * time.Millisecond, Timeout: 5 * time.Second}
	whole := func(id uint64) []any {
		return []any{Begun{ID: id}, Ack{Task: 0, Checkpoint: id}, Ack{Task: 1, Checkpoint: id, Committables: []Committable{{}}},
			Sealed{ID: id}, Written{ID: id}, Committed{ID: id}, Retained{}}
	}
	bad := errors.New("no space")
	for _, c := range []struct {
		name   string
		config CoordinatorConfig
		steps  []any
		want   string
	}{
		{"periodic", second, slices.Concat([]any{Tick{}, time.Second, Tick{}}, whole(1), []any{time.Second, Tick{}}), `
Tick: wake 1s
Tick: begin periodic
Begun: inject 1, wake 6s
Ack: 
Ack: seal 1
Sealed: manifest 1 with 1
Written: commit 1
Committed: notify 1, retain
Retained: wake 2s
Tick: begin periodic`},
		{"late", second, []any{time.Second, Tick{}, Begun{ID: 1}, Ack{Task: 1, Checkpoint: 1, Committables: []Committable{{}}}, 5 * time.Second, Tick{},
			Aborted{1}, 3 * time.Second, Ack{Task: 0, Checkpoint: 1, Committables: []Committable{{}}}, 100 * time.Millisecond, Tick{}, Begun{ID: 2}, Ack{Task: 0, Checkpoint: 2}, Ack{Task: 1, Checkpoint: 2}, Sealed{ID: 2}}, `
Tick: begin periodic
Begun: inject 1, wake 6s
Ack: 
Tick: abort 1 (acknowledgements were late: after 5s, 1 of 2 tasks had not reported, first map)
Aborted: 
Ack: wake 9.1s
Tick: begin periodic
Begun: inject 2, wake 14.1s
Ack: 
Ack: seal 2
Sealed: manifest 2 with 2`},
		{"declined", second, []any{time.Second, Demand{7}, Begun{ID: 1}, Ack{Task: 0, Checkpoint: 1, Err: bad}, Ack{Task: 1, Checkpoint: 1}, Aborted{1}}, `
Demand: begin requested
Begun: inject 1, wake 6s
Ack: abort 1 (task map: no space), reply [7] 1 task map: no space
Ack: 
Aborted: wake 2s`},
		{"not begun", second, []any{time.Second, Tick{}, Begun{Err: bad}, 100 * time.Millisecond, Tick{}, time.Second, Tick{}, Begun{Err: bad}}, `
Tick: begin periodic
Begun: wake 2s
Tick: 
Tick: begin periodic
Begun: wake 3.1s`},
		{"end", CoordinatorConfig{Tasks: two}, slices.Concat([]any{TaskEnded{1}, TaskEnded{0}}, whole(4), []any{Demand{1}}), `
TaskEnded: 
TaskEnded: begin end
Begun: inject 4, wake 10m0s
Ack: 
Ack: seal 4
Sealed: manifest 4 with 1
Written: commit 4
Committed: notify 4, retain
Retained: finish 4 end
Demand: reply [1] 0 the job has stopped`},
		{"stop during another", second, slices.Concat([]any{time.Second, Tick{}, StopRequested{}, Demand{3}}, whole(1), whole(2)), `
Tick: begin periodic
StopRequested: 
Demand: 
Begun: inject 1, wake 6s
Ack: 
Ack: seal 1
Sealed: manifest 1 with 1
Written: commit 1
Committed: notify 1, retain
Retained: begin stop
Begun: inject 2
Ack: 
Ack: seal 2
Sealed: manifest 2 with 1
Written: commit 2
Committed: notify 2, reply [3] 2 <nil>, retain
Retained: finish 2 stop`},
		{"commit fails", CoordinatorConfig{Tasks: two, CommitAttempts: 2}, []any{StopRequested{}, Begun{ID: 1}, Ack{Task: 0, Checkpoint: 1}, Ack{Task: 1, Checkpoint: 1},
			Sealed{ID: 1}, Written{ID: 1}, Committed{ID: 1, Err: bad}, 100 * time.Millisecond, Tick{}, Committed{ID: 1, Err: bad}}, `
StopRequested: begin stop
Begun: inject 1, wake 10m0s
Ack: 
Ack: seal 1
Sealed: manifest 1 with 0
Written: commit 1
Committed: wake 100ms
Tick: commit 1
Committed: fail (checkpoint 1 is complete, but its output could not be committed in 2 attempts: no space)`},
		{"unknown", CoordinatorConfig{Tasks: two}, []any{StopRequested{}, Begun{ID: 1}, Ack{Task: 0, Checkpoint: 1}, Ack{Task: 1, Checkpoint: 1},
			Sealed{ID: 1}, Written{ID: 1, Err: ErrUnknown, Unknown: true}, Tick{}}, `
StopRequested: begin stop
Begun: inject 1, wake 10m0s
Ack: 
Ack: seal 1
Sealed: manifest 1 with 0
Written: fail (checkpoint 1: whether the manifest is durable is not known)
Tick: `},
		{"an id used before", CoordinatorConfig{Tasks: two}, []any{StopRequested{}, Begun{ID: 0}}, `
StopRequested: begin stop
Begun: fail (checkpoint coordinator: id 0 was used before (last 0))`},
		{"a task reports twice", CoordinatorConfig{Tasks: two}, []any{StopRequested{}, Begun{ID: 1}, Ack{Task: 0, Checkpoint: 1}, TaskEnded{0}, TaskEnded{0}}, `
StopRequested: begin stop
Begun: inject 1, wake 10m0s
Ack: 
TaskEnded: 
TaskEnded: fail (checkpoint coordinator: unexpected TaskEnded {Task:0} while collecting acknowledgements (checkpoint 1))`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := script(t, c.config, c.steps...); got != strings.TrimPrefix(c.want, "\n") {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
		})
	}
}

func TestRetriesBackOff(t *testing.T) {
	c, err := NewCoordinator(CoordinatorConfig{Tasks: []string{"a"}, Interval: time.Second, RetryDelay: time.Second}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	now, delays := int64(time.Second), []time.Duration{}
	actions := c.Step(now, Tick{})
	for range 8 {
		if _, ok := actions[0].(Begin); !ok || len(actions) != 1 {
			t.Fatalf("%+v, want a new attempt", actions)
		}
		actions = c.Step(now, Begun{Err: errModel})
		at := actions[0].(Wake).At
		delays = append(delays, time.Duration(at-now))
		now = at
		actions = c.Step(now, Tick{})
	}
	if got := fmt.Sprint(delays); got != "[1s 2s 4s 8s 16s 30s 30s 30s]" {
		t.Errorf("delays %s", got)
	}
	if s := c.Stats(); s.Failed != 8 || s.LastError == nil {
		t.Errorf("%+v", s)
	}
}

func TestMissingNamesTheSlow(t *testing.T) {
	c, err := NewCoordinator(CoordinatorConfig{Tasks: []string{"a", "b", "c"}}, 5, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Step(0, Demand{1})
	c.Step(0, Begun{ID: 6})
	c.Step(0, Ack{Task: 1, Checkpoint: 6})
	id, what, ok := c.InFlight()
	if got := fmt.Sprintf("%v %d %s %t", c.Missing(), id, what, ok); got != "[a c] 6 collecting acknowledgements true" {
		t.Error(got)
	}
}
