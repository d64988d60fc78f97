//go:build !linux

package task

// alarm exists on Linux only; elsewhere a worker polls before near deadlines.
type alarm struct{}

func newAlarm(func()) *alarm     { return nil }
func (*alarm) set(now, at int64) {}
func (*alarm) close()            {}
