package window

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"turbo/core"
	"turbo/memory"
)

// UserError is the failure of a user's trigger, evictor or function: it returned an error, or it panicked. It fails the job's attempt, never the process.
type UserError struct {
	Call     string // "trigger's OnElement", "window function", ...
	Window   Window
	Row      string // column by column; empty when the call was not about one row
	Err      error  // what it returned, or what it panicked with
	Panicked bool
	Stack    []byte // of the panic
}

// Error implements error: one line, and the stack of a panic behind it.
func (e *UserError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "the %s", e.Call)
	if e.Window.End != core.MaxTime {
		fmt.Fprintf(&s, ", window [%v, %v)", e.Window.Start, e.Window.End)
	}
	if e.Row != "" {
		s.WriteString(", row " + e.Row)
	}
	if e.Panicked {
		fmt.Fprintf(&s, " panicked: %v\n%s", e.Err, e.Stack)
	} else {
		fmt.Fprintf(&s, ": %v", e.Err)
	}
	return s.String()
}

// Unwrap returns what the user's code returned or panicked with.
func (e *UserError) Unwrap() error { return e.Err }

// guard, deferred, makes what a call of the user's code ended with a UserError. row is the physical row of the batch that it was about, or -1.
// The memory limit's refusal stays what it is.
func (g *general) guard(err *error, call string, w Window, row int) {
	p := recover()
	if p == nil && *err == nil {
		return
	}
	e := &UserError{Call: call, Window: w, Err: *err}
	if p != nil {
		cause, ok := p.(error)
		if !ok {
			cause = fmt.Errorf("%v", p)
		}
		var limit *memory.LimitError
		if errors.As(cause, &limit) {
			panic(p) // the worker's
		}
		e.Err, e.Panicked, e.Stack = cause, true, debug.Stack()
	}
	if row >= 0 && g.batch != nil {
		var parts []string
		for c, v := range g.batch.Columns {
			text := "null"
			if !v.Null(row) {
				text = string(v.AppendText(nil, row))
			}
			parts = append(parts, fmt.Sprintf("%s: %s", g.batch.Schema.Fields[c].Name, text))
		}
		e.Row = "{" + strings.Join(parts, ", ") + "}"
	}
	*err = e
}
