package ops

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"turbo/core"
	"turbo/memory"
)

// UserError is the failure of a user function: it returned an error, or it panicked. It ends the attempt like any failure of an
// operator, never the process; it is not permanent, so the job's restart strategy decides whether the rows are tried again, as in Flink.
type UserError struct {
	Operator string // id
	Function string // the name that the configuration gives the function
	Call     string // what was called: "Process", "OnTimer", ...
	Row      string // the row, or the key and time of the timer, as JSON; empty when the call had none
	Err      error  // what the function returned, or what it panicked with
	Panicked bool
	Stack    []byte // of the panic

	row int // of an aggregate's batch, from 1; 0: none
}

// Error implements error: one line, and the stack of a panic behind it.
func (e *UserError) Error() string {
	var s strings.Builder
	s.WriteString(e.Operator + ": ")
	if e.Function != "" && !strings.HasPrefix(e.Operator+"/", e.Function+"/") { // else the operator's id says it
		s.WriteString(e.Function + ".")
	}
	s.WriteString(e.Call)
	if e.Row != "" {
		s.WriteString(" of " + e.Row)
	}
	if e.Panicked {
		fmt.Fprintf(&s, " panicked: %v\n%s", e.Err, e.Stack)
	} else {
		fmt.Fprintf(&s, ": %v", e.Err)
	}
	return s.String()
}

// Unwrap returns what the function returned or panicked with.
func (e *UserError) Unwrap() error { return e.Err }

// AsError turns what a call into user code ended with into an error: err as returned, or panicked as recovered (nil: it did not panic). The memory
// limit's refusal stays what it is.
func (e UserError) AsError(err error, panicked any) error {
	cause, isError := panicked.(error)
	switch {
	case panicked == nil:
		cause = err
	case !isError:
		cause = fmt.Errorf("%v", panicked)
	}
	var limit *memory.LimitError
	if cause == nil || errors.As(cause, &limit) {
		return cause
	}
	if inner := (*UserError)(nil); panicked == nil && errors.As(err, &inner) { // a call within the call knows better
		if inner.Row == "" {
			inner.Row = e.Row
		}
		if inner.Call == "function" {
			inner.Call = e.Call
		}
		return err
	}
	if e.Err = cause; panicked != nil {
		e.Panicked, e.Stack = true, debug.Stack()
	}
	return &e
}

// ofRow adds the row to a failure of a program's aggregate.
func ofRow(err error, input *core.Schema, columns []*core.Vector) error {
	var u *UserError
	if errors.As(err, &u) && u.row > 0 {
		u.Row = RenderRow(input.Fields, columns, u.row-1)
	}
	return err
}

// RenderRow renders physical row i of columns as a JSON object.
func RenderRow(fields []core.Field, columns []*core.Vector, i int) string {
	out := []byte{'{'}
	for c, f := range fields {
		if c >= len(columns) || i >= columns[c].Len() {
			break
		}
		if c > 0 {
			out = append(out, ',')
		}
		out = append(core.AppendJSONString(out, []byte(f.Name)), ':')
		out = columns[c].AppendJSON(out, i)
	}
	return string(append(out, '}'))
}
