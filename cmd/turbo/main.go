// Command turbo runs stream and batch jobs. See docs/reference/cli.md.
package main

import (
	"errors"
	"fmt"
	"os"

	"turbo/internal/killpoint"
	_ "turbo/run/all"
)

func main() {
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
