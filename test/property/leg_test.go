package property

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"turbo/core"
	"turbo/core/supervisor"
	"turbo/internal/killpoint"
	"turbo/job"
	"turbo/run"
	_ "turbo/run/all"
)

// step is a point up to which the job may read.
type step struct {
	Limits map[string]int64 // by path
	// Watermark is the one that the operator has for certain when everything up to here was read (µs); MinTime: the next step need not wait.
	Watermark int64
}

// The ways in which a leg ends.
const (
	finish = "finish" // by itself, when the input is done
	stop   = "stop"   // by a last checkpoint
	fail   = "fail"   // by itself, after a failure from which the job restarts in its process
	cancel = "cancel" // without a checkpoint, as a crash
	kill   = "kill"   // SIGKILL of the process
)

// leg is one run of a job, from a start to an end.
type leg struct {
	Parallelism int
	End         string
	At          int    // the step after which it ends, or fails
	Checkpoints int    // ... when so many checkpoints of this leg are complete
	Phase       string // kill: a phase of internal/killpoint with the arrival at which the process dies; "": when the checkpoints are complete
}

func (l leg) String() string {
	if l.End == finish {
		return fmt.Sprintf("p%d to the end", l.Parallelism)
	}
	text := fmt.Sprintf("p%d, %s at step %d after %d checkpoints", l.Parallelism, l.End, l.At, l.Checkpoints)
	if l.Phase != "" {
		text += " in phase " + l.Phase
	}
	return text
}

// life is everything that a process needs to run a leg: it is what children are given.
type life struct {
	Spec  string // path of the job specification
	Input string // directory behind the gate
	Steps []step
	Leg   leg
}

// childLife names the file with the life of a child process.
const childLife = "TURBO_PROPERTY_LIFE"

// child is the process that is killed.
func child(path string) error {
	fmt.Println("hello")
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var l life
	if err := json.Unmarshal(content, &l); err != nil {
		return err
	}
	if err := killpoint.Arm(l.Leg.Phase); err != nil {
		return err
	}
	_, err = l.run()
	return err
}

// forking is held while a process is started: until it is the child, which says so, it may have this process's files open, and with them the locks of
// directories that a leg has just given back.
var forking sync.Mutex

// live runs a leg, in this process or, when it is to be killed, in one of its own. It returns the checkpoint at which the leg began; 0: none, or it is
// not known because the process was killed.
func (l *life) live() (restored uint64, err error) {
	if l.Leg.End != kill {
		return l.run()
	}
	content, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	path := filepath.Join(filepath.Dir(l.Spec), "life.json")
	if err := os.WriteFile(path, content, 0o666); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), childLife+"="+path)
	var said bytes.Buffer
	command.Stderr = &said
	hello, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	forking.Lock()
	if err = command.Start(); err == nil {
		_, err = hello.Read(make([]byte, 1))
	}
	forking.Unlock()
	if werr := command.Wait(); err == nil {
		err = werr
	}
	var exit *exec.ExitError
	if err == nil && l.Leg.At == len(l.Steps)-1 {
		return 0, nil // all input was there: it was faster
	}
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return 0, nil
	}
	return 0, fmt.Errorf("the process was not killed: %w\n%s", err, &said)
}

// set makes the job restart when it is to fail. Otherwise no failure may be hidden.
func (l *life) set() []string {
	if l.Leg.End != fail {
		return nil
	}
	return []string{"engine.restart.strategy=fixed", "engine.restart.attempts=1000", "engine.restart.delay=1ms"}
}

// patience is how long a job may make no progress before the test gives up and prints what it was doing.
const patience = 90 * time.Second

// run runs the leg in this process.
func (l *life) run() (restored uint64, err error) {
	forking.Lock() // a process that is being started is through
	j, err := job.Load(l.Spec, job.Options{Parallelism: l.Leg.Parallelism, Set: l.set()})
	forking.Unlock()
	if err != nil {
		return 0, err
	}
	g := newGate(l.Input)
	var said bytes.Buffer
	p, err := run.New(j, run.Options{FS: g, Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return 0, err
	}
	ctx, stopped := context.WithCancel(context.Background())
	defer stopped()
	type end struct {
		result supervisor.Result
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		result, err := p.Run(ctx)
		ended <- end{result, err}
	}()
	d := &director{life: l, p: p, gate: g, cancel: stopped}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case e := <-ended:
			g.close()
			if cerr := p.Memory.CheckZero(); cerr != nil {
				return 0, fmt.Errorf("after the leg: %w", cerr)
			}
			switch {
			case l.Leg.End == cancel && d.over && (errors.Is(e.err, context.Canceled) || errors.Is(e.err, errGate)): // whichever is noticed first
			case e.err != nil:
				return 0, fmt.Errorf("the job failed: %w\n%s", e.err, &said)
			case l.Leg.End == fail && (!e.result.Finished || e.result.Restarts == 0 || !strings.Contains(p.Supervisor.Status().LastError, errBroken.Error())):
				return 0, fmt.Errorf("the leg %v did not fail and restart: %+v, %s", l.Leg, e.result, p.Supervisor.Status().LastError)
			case l.Leg.End == finish && !e.result.Finished || l.Leg.End == stop && !e.result.Stopped || l.Leg.End == cancel:
				return 0, fmt.Errorf("the leg %v ended otherwise: %+v", l.Leg, e.result)
			}
			return p.Supervisor.Status().Restored, nil
		case <-limit.C:
			status := p.Supervisor.Status()
			g.close()
			return 0, fmt.Errorf("the job does not move (step %d): %+v\n%s", d.step, status, &said)
		case <-time.After(500 * time.Microsecond):
			d.look()
		}
	}
}

// director opens the gate step by step, and ends the leg.
type director struct {
	*life
	p      *run.Process
	gate   *gate
	cancel func()
	step   int // of those that are open
	over   bool
	ran    bool
	failed bool

	restarts int // before it failed
}

func (d *director) look() {
	s := d.p.Supervisor.Status()
	running := s.Times != nil
	if d.ran && !running { // the attempt is closing: its readers must not wait any more
		if d.failed { // the next one's may
			d.gate.fail()
			d.step, d.over = 0, false
		} else {
			d.gate.close()
		}
	}
	d.ran = d.ran || running
	if d.failed && running && s.Restarts == d.restarts { // a reader that has opened its file only now fails, too
		d.gate.fail()
		return
	}
	if d.over || !running {
		return
	}
	if d.step == 0 {
		d.advance()
		return
	}
	if !reached(s, d.Steps[d.step-1].Watermark) {
		return
	}
	switch {
	case d.Leg.End != finish && !d.failed && d.step > d.Leg.At:
		if int(s.Checkpoints.Completed) >= d.Leg.Checkpoints {
			d.restarts = s.Restarts
			d.end()
		}
	case d.step < len(d.Steps):
		d.advance()
	default:
		d.over = true
	}
}

func (d *director) advance() {
	d.gate.open(d.Steps[d.step].Limits)
	d.step++
}

func (d *director) end() {
	if d.Leg.End == fail {
		d.failed, d.step = true, 0
		d.gate.fail()
		return
	}
	d.over = true
	switch d.Leg.End {
	case stop:
		d.p.Supervisor.Stop()
	case cancel:
		d.cancel()
		d.gate.close()
	case kill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// reached reports whether every instance of the operators behind exchanges has a watermark.
func reached(s supervisor.Status, watermark int64) bool {
	if watermark == int64(core.MinTime) {
		return true
	}
	found := false
	for _, n := range s.Nodes {
		if strings.HasSuffix(n.Node, "/window") || strings.HasSuffix(n.Node, "/join") {
			found = true
			if int64(n.Watermark) < watermark {
				return false
			}
		}
	}
	return found
}
