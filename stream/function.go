package stream

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"unsafe"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/memory"
	"turbo/plan"
)

// function is the plan's side of a user's function.
type function struct {
	needs [][]string // by input; nil: all columns
	bind  func(inputs []*core.Schema) (plan.Bound, error)
	lines [][2]string // of EXPLAIN
	fixed [][2]string // what its state depends on
	at    plan.Place
}

// Needs implements plan.OperatorSpec.
func (f *function) Needs(port int, _ *core.Schema) []string { return f.needs[port] }

// Bind implements plan.OperatorSpec.
func (f *function) Bind(inputs []*core.Schema) (plan.Bound, error) { return f.bind(inputs) }

// Explain implements plan.OperatorSpec.
func (f *function) Explain(line func(key, format string, args ...any)) {
	for _, l := range f.lines {
		line(l[0], "%s", l[1])
	}
	if p := f.at.Pos; p.Line > 0 {
		line("function", "%s:%d", p.File, p.Line)
	}
}

// Signature implements plan.OperatorSpec.
func (f *function) Signature(fixed, _ func(name, value string)) {
	for _, l := range f.fixed {
		fixed(l[0], l[1])
	}
}

// columnsOf are the columns that T names.
func columnsOf[T any]() []string {
	s, err := schemaOf(reflect.TypeFor[T]())
	if err != nil {
		return nil
	}
	return s.Names()
}

// typed is rows of one type in a reused slice, with their codec.
type typed[T any] struct {
	codec *codec
	rows  []T
}

// read fills the slice from a batch. It does not take the batch.
func (t *typed[T]) read(b *core.Batch) error {
	n := b.Rows()
	if cap(t.rows) < n {
		t.rows = make([]T, n)
	}
	t.rows = t.rows[:n]
	if n == 0 {
		return nil
	}
	return t.codec.read(b, unsafe.Pointer(unsafe.SliceData(t.rows)))
}

// write appends the slice to a batch.
func (t *typed[T]) write(out *core.Batch) error {
	return t.codec.write(out, unsafe.Pointer(unsafe.SliceData(t.rows)), len(t.rows))
}

// room makes the slice n long, with what it had in it.
func (t *typed[T]) room(n int) []T {
	if cap(t.rows) < n {
		t.rows = make([]T, n)
	}
	t.rows = t.rows[:n]
	return t.rows
}

// FunctionError is a failure of a user's function: it returned an error, or it panicked. The job fails with it, and its restart strategy
// decides what comes then.
type FunctionError = process.UserError

func failure(operator string, err error) *FunctionError {
	return &FunctionError{Operator: operator, Call: "function", Err: err}
}

// guard is deferred around calls of a user's function: it turns a panic, and an error that err holds, into a FunctionError about row *at of b.
func guard(operator string, b *core.Batch, at *int, err *error) {
	p := recover()
	if p == nil && *err == nil {
		return
	}
	failed := failure(operator, *err)
	if p != nil {
		if e, ok := p.(error); ok {
			var limit *memory.LimitError
			if errors.As(e, &limit) { // the engine's refusal, not the function's failure
				*err = e
				return
			}
			failed.Err = e
		} else {
			failed.Err = fmt.Errorf("%v", p)
		}
		failed.Panicked, failed.Stack = true, []byte(userStack())
	}
	if b != nil && *at >= 0 && *at < b.Rows() {
		failed.Row = rowText(b, b.Row(*at))
	}
	*err = failed
}

// userStack is the stack of a panic from its place to the call by this package.
func userStack() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	var out []string
	inside := false
	for {
		f, more := frames.Next()
		own := strings.HasPrefix(f.Function, "turbo/stream.") && !strings.HasSuffix(f.File, "_test.go")
		switch {
		case f.Function == "runtime.gopanic" || f.Function == "runtime.panicmem" || f.Function == "runtime.sigpanic":
			inside, out = true, nil
		case inside && own:
			return strings.Join(out, "\n")
		case inside && !strings.HasPrefix(f.Function, "runtime."):
			out = append(out, fmt.Sprintf("\t%s\n\t\t%s:%d", f.Function, f.File, f.Line))
		}
		if !more {
			return strings.Join(out, "\n")
		}
	}
}

// rowText renders a row as JSON.
func rowText(b *core.Batch, row int) string {
	text := []byte{'{'}
	for c, f := range b.Schema.Fields {
		if c > 0 {
			text = append(text, ", "...)
		}
		text = core.AppendJSONString(text, []byte(f.Name))
		text = b.Columns[c].AppendJSON(append(text, ": "...), row)
	}
	return string(append(text, '}'))
}
