package expr

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// SyntaxError is a mistake in a SQL text: one that the lexer, the parser or the compiler found.
type SyntaxError struct {
	Source  string // the whole text
	Offset  int    // byte offset of the mistake in Source
	Line    int    // from 1
	Column  int    // in characters, from 1
	Message string // what is wrong and what would be right
}

// Error gives "line 1, column 5: message".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Snippet is the line of the mistake with a caret under it, for a terminal.
func (e *SyntaxError) Snippet() string {
	line := e.Source
	if at := strings.LastIndexByte(line[:min(e.Offset, len(line))], '\n'); at >= 0 {
		line = line[at+1:]
	}
	if at := strings.IndexByte(line, '\n'); at >= 0 {
		line = line[:at]
	}
	return line + "\n" + strings.Repeat(" ", max(e.Column-1, 0)) + "^"
}

// Position gives line and column, both from 1, of a byte offset; the column counts characters.
func Position(src string, offset int) (line, column int) {
	offset = min(max(offset, 0), len(src))
	head := src[:offset]
	line = 1 + strings.Count(head, "\n")
	if at := strings.LastIndexByte(head, '\n'); at >= 0 {
		head = head[at+1:]
	}
	return line, 1 + utf8.RuneCountInString(head)
}

func syntaxErrorf(src string, offset int, format string, args ...any) *SyntaxError {
	line, column := Position(src, offset)
	return &SyntaxError{Source: src, Offset: offset, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

// The causes of an EvalError; test with errors.Is.
var (
	ErrDivisionByZero = errors.New("division by zero")
	ErrCast           = errors.New("cast failed")
	ErrArgument       = errors.New("invalid argument")
	ErrTooLarge       = errors.New("result too large")
)

// causef makes an error that wraps one of the causes and says more.
func causef(cause error, format string, args ...any) error {
	return &causeError{cause: cause, text: fmt.Sprintf(format, args...)}
}

type causeError struct {
	cause error
	text  string
}

func (e *causeError) Error() string { return e.text }
func (e *causeError) Unwrap() error { return e.cause }

// EvalError is a row for which an expression has no value, such as a division by zero or a text that is no number.
type EvalError struct {
	Expr   string   // the part of the expression that failed, as written
	Line   int      // where that part begins, from 1
	Column int      // in characters, from 1
	Row    int      // physical row of the batch
	Values []string // the row's values that the part uses, as "name = value"
	Cause  error    // wraps ErrDivisionByZero, ErrCast, ErrArgument or ErrTooLarge
	Place  string   // where that part was written, as Options.Written says; "": not known
	Remedy string   // what gives a value instead; "": nothing but to leave such rows out
}

// Error names the cause, the expression, its place and the row's values; with a Place also what to do.
func (e *EvalError) Error() string {
	var b strings.Builder
	if e.Place != "" {
		fmt.Fprintf(&b, "%s: %s: %v", e.Place, shorten(e.Expr, 120), e.Cause)
		if len(e.Values) > 0 {
			b.WriteString(", for ")
			b.WriteString(strings.Join(e.Values, ", "))
		}
		b.WriteString(": ")
		b.WriteString(e.remedy())
		return b.String()
	}
	fmt.Fprintf(&b, "%v in %s (line %d, column %d)", e.Cause, shorten(e.Expr, 120), e.Line, e.Column)
	if len(e.Values) > 0 {
		b.WriteString(" for ")
		b.WriteString(strings.Join(e.Values, ", "))
	}
	return b.String()
}

func (e *EvalError) remedy() string {
	switch {
	case e.Remedy != "":
		return e.Remedy
	case errors.Is(e.Cause, ErrDivisionByZero):
		return "NULLIF(divisor, 0) gives NULL there, or filter such rows out"
	}
	return "filter such rows out"
}

// Unwrap gives the cause.
func (e *EvalError) Unwrap() error { return e.Cause }
