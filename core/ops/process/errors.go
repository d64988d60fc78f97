package process

import (
	"errors"

	"turbo/core/ops"
)

// UserError is the failure of a user function.
type UserError = ops.UserError

// refused is an error of the engine on its way through a user function as a panic: accessors of state have no error to return.
type refused struct{ error }

// ErrNoKey is what access to keyed state panics with where there is no current key: in Open, or for a row of a broadcast input.
var ErrNoKey = errors.New("keyed state has no current key here")

// ErrReadOnly is what writing broadcast state panics with outside of a broadcast input's rows.
var ErrReadOnly = errors.New("broadcast state is written for rows of a broadcast input only")

// asError is UserError.AsError; errors of the engine, too, stay what they are.
func asError(e UserError, err error, panicked any) error {
	if r, ok := panicked.(refused); ok {
		return r.error
	}
	var ours refused
	if panicked == nil && errors.As(err, &ours) {
		return ours.error
	}
	return e.AsError(err, panicked)
}

// must passes an error of the engine through user code.
func must(err error) {
	if err != nil {
		panic(refused{err})
	}
}
