package stream

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"turbo/internal/spec"
	"turbo/job"
	"turbo/plan"
)

// Env is one job under construction: streams are made from it, and Execute runs what they came to. Mistakes are collected, with the line of
// the program that made them, and reported by Execute.
type Env struct {
	name     string
	set      []string
	fresh    bool
	prefix   string // of operators' names
	logger   *slog.Logger
	names    map[string]bool
	sinks    []*plan.Sink
	mistakes []error
}

// Option is a setting of the engine.
type Option func(*Env)

// New begins a job of that name.
func New(name string, options ...Option) *Env {
	e := &Env{name: name, names: map[string]bool{}}
	for _, o := range options {
		o(e)
	}
	return e
}

// Set is any key of a job specification's engine block: Set("engine.memory=1GiB").
func Set(override string) Option { return func(e *Env) { e.set = append(e.set, override) } }

// Parallelism is the number of workers; the default is the number of CPUs.
func Parallelism(n int) Option { return Set(fmt.Sprintf("engine.parallelism=%d", n)) }

// Memory bounds the process's memory, in bytes.
func Memory(bytes int64) Option { return Set(fmt.Sprintf("engine.memory=%d", bytes)) }

// BufferTimeout is how long a row may wait for its batch to fill at each hand-over.
func BufferTimeout(d time.Duration) Option { return Set("engine.buffer-timeout=" + duration(d)) }

// Checkpoint keeps the job's state in dir and saves it every interval.
func Checkpoint(dir string, interval time.Duration) Option {
	return func(e *Env) {
		e.set = append(e.set, "engine.checkpoint.dir="+dir, "engine.checkpoint.interval="+duration(interval))
	}
}

// NoCheckpoint runs without durable state: nothing is guaranteed over failures.
func NoCheckpoint() Option { return Set("engine.checkpoint=off") }

// Fresh forgets the state of earlier runs and replaces their output.
func Fresh() Option { return func(e *Env) { e.fresh = true } }

// Log takes the job's log.
func Log(l *slog.Logger) Option { return func(e *Env) { e.logger = l } }

func duration(d time.Duration) string { return spec.FormatDuration(d) }

// fail notes a mistake of the caller of this package.
func (e *Env) fail(at plan.Place, err error) {
	text := err.Error()
	if p := at.Pos.String(); p != "" && !strings.HasPrefix(text, p) {
		err = fmt.Errorf("%s: %s: %w", p, at.Name, err)
	}
	e.mistakes = append(e.mistakes, err)
}

// Err returns the mistakes so far.
func (e *Env) Err() error {
	if len(e.mistakes) == 0 {
		return nil
	}
	lines := make([]string, len(e.mistakes))
	for i, m := range e.mistakes {
		lines[i] = m.Error()
	}
	return fmt.Errorf("job %s: %s", e.name, strings.Join(lines, "\n"))
}

// place names an operator and finds the line of the program that makes it. Names are those of state: they must be unique and stay.
func (e *Env) place(name string) plan.Place {
	at := plan.Place{Name: e.prefix + name, Pos: caller()}
	if name == "" {
		e.fail(at, fmt.Errorf("an operator needs a name: its state is found by it"))
	} else if e.names[name] {
		e.fail(at, fmt.Errorf("the name %q is taken: an operator's state is found by its name, so each needs one of its own", name))
	}
	e.names[name] = true
	return at
}

// caller is the first line outside of this package.
func caller() spec.Pos {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		own := strings.HasPrefix(f.Function, "turbo/stream.") || strings.HasPrefix(f.Function, "turbo/stream/streamtest.")
		if !own || strings.HasSuffix(f.File, "_test.go") {
			return spec.Pos{File: filepath.Base(f.File), Line: f.Line, Column: 1}
		}
		if !more {
			return spec.Pos{}
		}
	}
}

// origin says where the SQL texts of the operator at are, and what they compute.
func origin(at plan.Place, what string) plan.Origin {
	return plan.Origin{Name: "stream " + at.Name + ", " + what, At: func(int) spec.Pos { return at.Pos }}
}

// Plan returns the finished plan of the job, for EXPLAIN and for tests.
func (e *Env) Plan() (*plan.Plan, error) {
	settings, err := job.Settings(e.name, e.set)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", e.name, err)
	}
	if err := e.Err(); err != nil {
		return nil, err
	}
	if len(e.sinks) == 0 {
		return nil, fmt.Errorf("job %s: no stream ends in a sink: add To, ToFunc or Collect", e.name)
	}
	p := &plan.Plan{Settings: settings, Sinks: slices.Clone(e.sinks)}
	p.Finish()
	return p, nil
}
