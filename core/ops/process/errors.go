package process

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
}

// Error implements error: one line, and the stack of a panic behind it.
func (e *UserError) Error() string {
	var s strings.Builder
	s.WriteString(e.Operator)
	s.WriteString(": ")
	if e.Function != "" {
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

// refused is an error of the engine on its way through a user function as a panic: accessors of state have no error to return.
type refused struct{ error }

// ErrNoKey is what access to keyed state panics with where there is no current key: in Open, or for a row of a broadcast input.
var ErrNoKey = errors.New("keyed state has no current key here")

// ErrReadOnly is what writing broadcast state panics with outside of a broadcast input's rows.
var ErrReadOnly = errors.New("broadcast state is written for rows of a broadcast input only")

// asError turns what a call into user code ended with into an error: err as returned, or panicked as recovered (nil: it did not
// panic). The memory limit's refusal and errors of the engine stay what they are.
func (e UserError) asError(err error, panicked any) error {
	var limit *memory.LimitError
	switch p := panicked.(type) {
	case nil:
		if err == nil || errors.As(err, &limit) {
			return err
		}
		var ours refused
		if errors.As(err, &ours) {
			return ours.error
		}
		e.Err = err
		return &e
	case refused:
		return p.error
	case error:
		if errors.As(p, &limit) {
			return p
		}
		e.Err = p
	default:
		e.Err = fmt.Errorf("%v", p)
	}
	e.Panicked, e.Stack = true, debug.Stack()
	return &e
}

// must passes an error of the engine through user code.
func must(err error) {
	if err != nil {
		panic(refused{err})
	}
}

// renderRow renders physical row i of columns as a JSON object.
func renderRow(fields []core.Field, columns []*core.Vector, i int) string {
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
