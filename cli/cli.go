// Package cli is the command line of turbo. A program of your own has all of it, and its own functions beside it, by a main of one line:
//
//	func main() { cli.Main() }
//
// in a package that imports those that register functions, connectors or formats. See docs/reference/cli.md.
package cli

import (
	"errors"
	"fmt"
	"os"

	"turbo/internal/killpoint"
	_ "turbo/run/all" // links the connectors
)

// Main runs the command line of the process and ends it with its exit code.
func Main() {
	if err := killpoint.Arm(os.Getenv(killpoint.Variable)); err != nil { // of the suites in test/: dies at a named step
		fmt.Fprintln(os.Stderr, "turbo:", err)
		os.Exit(exitUsage)
	}
	os.Exit(execute(os.Args[1:]))
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitSIGINT = 130
	exitTerm   = 143
)

// codeError carries an exit code up to main. A nil error prints nothing.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// execute runs a command line and returns the exit code. Errors are printed here, and nowhere else.
func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	command, err := root.ExecuteC()
	if err == nil {
		return exitDone
	}
	var c *codeError
	if !errors.As(err, &c) { // what cobra refuses
		fmt.Fprintln(root.ErrOrStderr(), "turbo:", err)
		if command.Runnable() && !group(command) {
			fmt.Fprintf(root.ErrOrStderr(), "usage: %s\n", command.UseLine())
		}
		fmt.Fprintf(root.ErrOrStderr(), "%s --help says more\n", command.CommandPath())
		return exitUsage
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(root.ErrOrStderr(), "turbo:", text)
	}
	return c.code
}

func failed(err error) error  { return &codeError{exitFailed, err} }
func misused(err error) error { return &codeError{exitUsage, err} }
