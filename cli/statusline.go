package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"turbo/core/supervisor"
	"turbo/run"
)

func isTerminal(fd int) bool { return term.IsTerminal(fd) }

// statusLine is the last line of a terminal, redrawn while a job runs; in a pipe it is nothing. Whatever else goes to the same
// stream is written through it, so that lines do not mix. Methods may be called by any goroutine.
type statusLine struct {
	out  io.Writer
	live bool

	mu    sync.Mutex
	shown bool
	open  bool // the last rows that were printed end within a line
	text  string
}

func newStatusLine(w io.Writer) *statusLine {
	f, ok := w.(*os.File)
	return &statusLine{out: w, live: ok && terminal(f)}
}

const clearLine = "\r\x1b[K"

// Write implements io.Writer: whole lines above the status line.
func (s *statusLine) Write(p []byte) (int, error) { return s.above(s.out, p) }

// rows is where a job prints rows, when out shows them on the same terminal: above the status line.
func (s *statusLine) rows(out io.Writer) io.Writer {
	f, ok := out.(*os.File)
	if !s.live || !ok || !terminal(f) {
		return out
	}
	return above{s, out}
}

// above writes rows above a status line.
type above struct {
	line *statusLine
	out  io.Writer
}

// Write implements io.Writer. It need not end with a line.
func (a above) Write(p []byte) (int, error) { return a.line.above(a.out, p) }

func (s *statusLine) above(out io.Writer, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown && !s.open {
		_, _ = io.WriteString(s.out, clearLine) // a status line that cannot be cleared is no reason to lose the message
	}
	n, err := out.Write(p)
	if n > 0 {
		s.open = p[n-1] != '\n'
	}
	if s.shown && !s.open {
		_, _ = io.WriteString(s.out, s.text)
	}
	return n, err
}

// Note prints a line for the user.
func (s *statusLine) Note(text string) { fmt.Fprintln(s, text) }

func (s *statusLine) show(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.shown = text, text != ""
	if !s.open {
		_, _ = io.WriteString(s.out, clearLine+text)
	}
}

// Follow keeps the line up to date with a job until the returned function is called.
func (s *statusLine) Follow(p *run.Process) (finish func()) {
	if !s.live {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		before, at := flow(p.Supervisor.Status()), time.Now()
		for {
			select {
			case <-done:
				s.show("")
				return
			case now := <-ticker.C:
				st := p.Supervisor.Status()
				f := flow(st)
				s.show(describe(st, rate(f.read-before.read, now.Sub(at)), rate(f.written-before.written, now.Sub(at))))
				before, at = f, now
			}
		}
	}()
	return func() { close(done); <-ended }
}

// rows is what went through a job.
type rows struct{ read, written int64 }

// flow sums the published counters: rows read by sources, rows written by sinks.
func flow(st supervisor.Status) rows {
	var r rows
	for _, n := range st.Nodes {
		switch {
		case strings.HasPrefix(n.Label, "source "):
			r.read += n.Counters.In
		case strings.HasPrefix(n.Label, "sink "):
			r.written += n.Counters.Out
		}
	}
	return r
}

func rate(n int64, d time.Duration) float64 { return max(float64(n), 0) / d.Seconds() }

func describe(st supervisor.Status, read, written float64) string {
	parts := []string{fmt.Sprintf("%s: %s", st.Job, st.State), "in " + count(read) + "/s", "out " + count(written) + "/s"}
	if st.LagKnown {
		parts = append(parts, "lag "+count(float64(st.Lag)))
	}
	if c := st.Checkpoints; c.Last > 0 {
		parts = append(parts, fmt.Sprintf("checkpoint %d %s ago, %s", c.Last, time.Since(c.LastTime).Round(100*time.Millisecond), size(c.LastBytes)))
	}
	if st.Restarts > 0 {
		parts = append(parts, fmt.Sprintf("restarts %d", st.Restarts))
	}
	return strings.Join(parts, " | ")
}

// count renders a number of rows for people.
func count(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2fG", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1fK", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

// size renders bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
