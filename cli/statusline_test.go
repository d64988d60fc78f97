package cli

import (
	"bytes"
	"strings"
	"testing"
)

// TestRowsAboveTheStatusLine: rows that a job prints stand on lines of their own on a terminal that also has the status line, also when they come in pieces.
func TestRowsAboveTheStatusLine(t *testing.T) {
	var terminal bytes.Buffer
	line := &statusLine{out: &terminal, live: true}
	rows := above{line, &terminal}
	line.show("status 1")
	for _, step := range []func(){
		func() { _, _ = rows.Write([]byte("row 1\nrow")) },
		func() { line.show("status 2") }, // within a row: not now
		func() { _, _ = rows.Write([]byte(" 2\n")) },
		func() { line.Note("a note") },
		func() { line.show("") },
		func() { _, _ = rows.Write([]byte("row 3\n")) },
	} {
		step()
	}
	// What a terminal shows: a line ends, or is cleared.
	var shown []string
	for text := range strings.SplitSeq(terminal.String(), "\n") {
		at := strings.LastIndex(text, clearLine)
		shown = append(shown, strings.TrimPrefix(text[max(at, 0):], clearLine))
	}
	if got := strings.Join(shown, "|"); got != "row 1|row 2|a note|row 3|" {
		t.Errorf("%q shows %s", terminal.String(), got)
	}
}
