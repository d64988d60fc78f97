package taxi

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"turbo/test/visible"
)

// process is a program that is running.
type process struct {
	command *exec.Cmd
	said    bytes.Buffer
	ended   chan struct{}
}

func start(t *testing.T, command *exec.Cmd) *process {
	t.Helper()
	p := &process{command: command, ended: make(chan struct{})}
	command.Stdout, command.Stderr = &p.said, &p.said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = command.Wait() // how it ended is in its state
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.command.Process.Kill() // it may be gone
	<-p.ended
}

// running reports whether the process lives, after a pause.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	case <-time.After(2 * time.Millisecond):
		return true
	}
}

// succeed waits for the end of the process, which must be a good one.
func (p *process) succeed(t *testing.T) string {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(5 * time.Minute):
		_ = p.command.Process.Signal(syscall.SIGQUIT) // it prints what it is doing
		<-p.ended
	}
	if !p.command.ProcessState.Success() {
		t.Fatalf("%v: %v\n%s", p.command.Args, p.command.ProcessState, &p.said)
	}
	return p.said.String()
}

// served reads in the delivery ledger how many rows of the file the committed checkpoints cover, and whether the last one was the final one.
func served(t *testing.T, dir string) (rows int64, final bool) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "_turbo/ledger.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var entry struct {
			Commit *struct {
				Final   bool
				Sources []struct{ To []byte }
			}
		}
		_, body, _ := strings.Cut(line, " ") // after the checksum
		if json.Unmarshal([]byte(body), &entry) != nil || entry.Commit == nil {
			continue // the last line may be half written now
		}
		for _, s := range entry.Commit.Sources {
			if len(s.To) == 16 { // rows and dead letters
				rows, final = int64(binary.LittleEndian.Uint64(s.To)), entry.Commit.Final
			}
		}
	}
	return rows, final
}

// output reads the rows of the visible files below dir. Each must have exactly the fields of the program: at is the name of its time.
func output(t *testing.T, dir, at string, kind bool) (rows []row) {
	t.Helper()
	names, _, err := visible.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(content, []byte("\n")) {
			t.Fatalf("%s ends within a line", name)
		}
		for line := range bytes.Lines(content) {
			r, err := parse(line, at, kind)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, bytes.TrimSpace(line), err)
			}
			rows = append(rows, r)
		}
	}
	return rows
}

func parse(line []byte, at string, kind bool) (r row, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return r, err
	}
	var lon, lat float64
	var when string
	into := map[string]any{"cell": &r.cell, "lon": &lon, "lat": &lat, "arrivals": &r.arrivals, at: &when}
	if kind {
		into["kind"] = &r.kind
	}
	if len(fields) != len(into) {
		return r, fmt.Errorf("%d fields, want %d", len(fields), len(into))
	}
	for name, to := range into {
		value, is := fields[name]
		if !is || string(value) == "null" {
			return r, fmt.Errorf("no value of %s", name)
		}
		if err := json.Unmarshal(value, to); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	parsed, err := time.Parse(time.RFC3339, when)
	if err != nil {
		return r, err
	}
	if !strings.HasSuffix(when, "Z") {
		return r, fmt.Errorf("%s is not in UTC", when)
	}
	r.lon, r.lat, r.at = micro(lon), micro(lat), parsed.UnixMicro()
	return r, nil
}
