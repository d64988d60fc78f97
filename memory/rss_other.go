//go:build !linux

package memory

// RssAnon returns the resident anonymous memory of this process in bytes, as the kernel counts it. ok is false where the figure
// does not exist (outside Linux).
func RssAnon() (bytes int64, ok bool) { return 0, false }
