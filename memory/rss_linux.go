package memory

import (
	"bytes"
	"os"
	"strconv"
)

// RssAnon returns the resident anonymous memory of this process in bytes, as the kernel counts it. ok is false where the figure
// does not exist (outside Linux).
func RssAnon() (bytes int64, ok bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	return parseRssAnon(status)
}

// parseRssAnon finds the line "RssAnon:  1234 kB".
func parseRssAnon(status []byte) (int64, bool) {
	for line := range bytes.Lines(status) {
		rest, found := bytes.CutPrefix(line, []byte("RssAnon:"))
		if !found {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) != 2 || string(fields[1]) != "kB" {
			return 0, false
		}
		kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
		return kib << 10, err == nil
	}
	return 0, false
}
