package core

import "errors"

// Permanent marks an error that trying again does not mend: a record that cannot be decoded under on-error: fail, output that
// somebody has changed. A job with it fails at once, whatever its restart strategy.
func Permanent(err error) error {
	if err == nil || IsPermanent(err) {
		return err
	}
	return permanent{err}
}

// IsPermanent reports whether err, or an error that it wraps, was marked by Permanent.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

type permanent struct{ error }

// Unwrap returns the marked error.
func (p permanent) Unwrap() error { return p.error }
