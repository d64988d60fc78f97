package spec

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"turbo/core"
)

// Pos is a place in a specification. Line and Column count from 1, columns in characters; a Line of 0 means the file
// as a whole (or an override of the command line, whose text then stands in File).
type Pos struct {
	File   string
	Line   int
	Column int
}

// String renders file:line:column, or what is known of it.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.File == "":
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one mistake in a specification.
type Error struct {
	Pos     Pos
	Message string
	Cause   error // what Message says, for errors.As; nil: nothing more than that
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Error renders "file:line:column: message".
func (e *Error) Error() string {
	if p := e.Pos.String(); p != "" {
		return p + ": " + e.Message
	}
	return e.Message
}

// Errorf makes an Error.
func Errorf(pos Pos, format string, args ...any) *Error {
	return &Error{Pos: pos, Message: fmt.Sprintf(format, args...)}
}

// Errors are all mistakes of one run in the order of their positions; each renders as a line.
type Errors []*Error

// Error renders one line per mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As access to the single errors.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i := range e {
		out[i] = e[i]
	}
	return out
}

// Report collects errors and warnings. The zero value is ready; it is used by one goroutine.
type Report struct {
	errors   Errors
	warnings Errors
}

// Errorf adds a mistake.
func (r *Report) Errorf(pos Pos, format string, args ...any) {
	r.errors = append(r.errors, Errorf(pos, format, args...))
}

// Warnf adds a warning: the specification works, and probably not as its author thinks.
func (r *Report) Warnf(pos Pos, format string, args ...any) {
	r.warnings = append(r.warnings, Errorf(pos, format, args...))
}

// Add adds an error of another package: *Error and Errors keep their positions, any other error gets pos.
func (r *Report) Add(pos Pos, err error) {
	var one *Error
	var many Errors
	switch {
	case err == nil:
	case errors.As(err, &many):
		r.errors = append(r.errors, many...)
	case errors.As(err, &one):
		r.errors = append(r.errors, one)
	default:
		r.errors = append(r.errors, &Error{Pos: pos, Message: err.Error()})
	}
}

// Failed reports whether there is an error so far.
func (r *Report) Failed() bool { return len(r.errors) > 0 }

// Count returns the number of errors so far, to see whether a step added any.
func (r *Report) Count() int { return len(r.errors) }

// Warnings returns the warnings in the order of their positions.
func (r *Report) Warnings() Errors { return sorted(r.warnings) }

// Err returns all errors in the order of their positions without repetitions, or nil.
func (r *Report) Err() error {
	if len(r.errors) == 0 {
		return nil
	}
	return sorted(r.errors)
}

func sorted(list Errors) Errors {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return slices.CompactFunc(out, func(a, b *Error) bool { return a.Pos == b.Pos && a.Message == b.Message })
}

// Nearest returns the candidate that name was probably meant to be, or "". Dashes, underscores and case do not count:
// buffer_timeout and bufferTimeout are both buffer-timeout.
func Nearest(name string, candidates []string) string {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(s))
	}
	folded := make([]string, len(candidates))
	for i, c := range candidates {
		if folded[i] = fold(c); folded[i] == fold(name) && c != name {
			return c
		}
	}
	if near := core.Nearest(fold(name), folded); near != "" {
		return candidates[slices.Index(folded, near)]
	}
	// A part of a longer name ("timeout", "interval"), when only one has it.
	found := ""
	if f := fold(name); len(f) >= 4 {
		for i, c := range folded {
			if strings.Contains(c, f) || len(c) >= 4 && strings.Contains(f, c) {
				if found != "" {
					return ""
				}
				found = candidates[i]
			}
		}
	}
	return found
}

// Suggest returns ", did you mean X?" for the nearest candidate, else "; known: a, b, c", for the end of a message.
func Suggest(name string, candidates []string) string {
	if near := Nearest(name, candidates); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	if len(candidates) == 0 {
		return ""
	}
	list := slices.Sorted(slices.Values(candidates))
	return "; known: " + strings.Join(list, ", ")
}
