package invariants

import "fmt"

// Check panics with the message when Enabled and cond is false. The message parts are joined as fmt.Sprint joins them.
// On a hot path guard the call with `if invariants.Enabled`: the parts are evaluated by the caller.
func Check(cond bool, msg ...any) {
	if Enabled && !cond {
		panic("invariant violated: " + fmt.Sprint(msg...))
	}
}

// Checkf is Check with a format. On a hot path guard the call with `if invariants.Enabled`.
func Checkf(cond bool, format string, args ...any) {
	if Enabled && !cond {
		panic("invariant violated: " + fmt.Sprintf(format, args...))
	}
}
