package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"turbo/core"
	"turbo/core/supervisor"
	"turbo/memory"
)

// The control socket lies in the state directory. Where its path would be too long for a socket's address, it lies in the directory
// for temporary files and the state directory has a file with its path.
const (
	SocketName     = "control.sock"
	SocketPathName = "control.path"
	maxSocketPath  = 100 // darwin takes 103 bytes, linux 107
)

// Report is what a running job says of itself over its control socket.
type Report struct {
	Job         string           `json:"job"`
	PID         int              `json:"pid"`
	State       supervisor.State `json:"state"`
	Since       time.Time        `json:"since"`
	Parallelism int              `json:"parallelism"`
	Restarts    int              `json:"restarts"`
	LastError   string           `json:"last_error,omitempty"`
	Restored    uint64           `json:"restored,omitempty"` // the checkpoint that the process began with
	Finished    bool             `json:"finished,omitempty"` // of a job judged by its last checkpoint: its input was read to the end
	Checkpoints Checkpoints      `json:"checkpoints"`
	Lag         *int64           `json:"lag,omitempty"` // records still to read; nil: not known
	Nodes       []Node           `json:"nodes"`
	Sources     []SourceTimes    `json:"sources,omitempty"` // those with event time
	Memory      Memory           `json:"memory"`
}

// Checkpoints are the figures of checkpoints of the current attempt.
type Checkpoints struct {
	Completed  int64      `json:"completed"`
	Failed     int64      `json:"failed"`
	Last       uint64     `json:"last,omitempty"` // id of the last complete one
	LastTime   *time.Time `json:"last_time,omitempty"`
	LastMillis int64      `json:"last_duration_ms"`
	LastBytes  int64      `json:"last_bytes"`
	StateBytes int64      `json:"state_bytes"`
}

// Node are the figures of an operator, a source or a sink.
type Node struct {
	Node         string     `json:"node"`
	Label        string     `json:"label"`
	Inputs       []string   `json:"inputs,omitempty"`
	In           int64      `json:"in"`
	Out          int64      `json:"out"`
	Filtered     int64      `json:"filtered,omitempty"`
	Deduplicated int64      `json:"deduplicated,omitempty"`
	Late         int64      `json:"late,omitempty"`
	NoTime       int64      `json:"no_time,omitempty"`
	Skipped      int64      `json:"skipped,omitempty"`
	DeadLettered int64      `json:"dead_lettered,omitempty"`
	Watermark    *time.Time `json:"watermark,omitempty"`
	Trouble      string     `json:"trouble,omitempty"` // what keeps a source or a sink from its input or output
}

// SourceTimes is how far the event time of a source is.
type SourceTimes struct {
	Node          string        `json:"node"`
	IdleTimeout   time.Duration `json:"idle_timeout_ns"` // 0: none
	MaxDelay      time.Duration `json:"max_out_of_orderness_ns"`
	MaxFutureSkew time.Duration `json:"max_future_skew_ns"` // 0: none
	Generated     bool          `json:"generated,omitempty"`
	Splits        []SplitTime   `json:"splits"`
}

// SplitTime is how far a split is.
type SplitTime struct {
	ID        string        `json:"id"`
	Watermark *time.Time    `json:"watermark,omitempty"` // nil: it has had no row with a time
	Idle      bool          `json:"idle,omitempty"`
	Ended     bool          `json:"ended,omitempty"`
	Waiting   bool          `json:"waiting,omitempty"` // for sources that are behind by more than max-drift
	Silent    time.Duration `json:"silent_ns"`
}

// timeOf is nil where there is no time yet, or no end.
func timeOf(t core.Time) *time.Time {
	if t == core.MinTime || t == core.MaxTime {
		return nil
	}
	at := time.UnixMicro(int64(t)).UTC()
	return &at
}

// Memory is the budget of the process.
type Memory struct {
	Used  int64 `json:"used"`
	Held  int64 `json:"held"` // free slabs included
	Limit int64 `json:"limit"`
}

// NewReport describes a job now.
func NewReport(s *supervisor.Supervisor, pool *memory.Pool) Report {
	st := s.Status()
	k := st.Checkpoints
	r := Report{Job: st.Job, PID: os.Getpid(), State: st.State, Since: st.Since, Parallelism: st.Parallelism, Restarts: st.Restarts, LastError: st.LastError, Restored: st.Restored,
		Checkpoints: Checkpoints{Completed: k.Completed, Failed: k.Failed, Last: k.Last, LastMillis: k.LastTook.Milliseconds(), LastBytes: k.LastBytes, StateBytes: k.StateBytes},
		Nodes:       []Node{}, Memory: Memory{Used: pool.Used(), Held: pool.Held(), Limit: pool.Limit()}}
	if !k.LastTime.IsZero() {
		r.Checkpoints.LastTime = &k.LastTime
	}
	if st.LagKnown {
		r.Lag = &st.Lag
	}
	for _, n := range st.Nodes {
		c := n.Counters
		x := Node{Node: n.Node, Label: n.Label, Inputs: n.Inputs, In: c.In, Out: c.Out, Filtered: c.Filtered, Deduplicated: c.Deduplicated, Late: c.Late, NoTime: c.NoTime, Skipped: c.Skipped, DeadLettered: c.DeadLettered}
		if n.Watermark > core.MinTime && n.Watermark < core.MaxTime {
			x.Watermark = timeOf(n.Watermark)
		}
		if n.Trouble != nil {
			x.Trouble = n.Trouble.Error()
		}
		r.Nodes = append(r.Nodes, x)
	}
	for _, t := range st.Times {
		x := SourceTimes{Node: t.Node, IdleTimeout: t.IdleTimeout, MaxDelay: t.MaxDelay, MaxFutureSkew: t.Skew, Generated: t.Generated}
		for _, s := range t.Splits {
			x.Splits = append(x.Splits, SplitTime{s.ID, timeOf(s.Watermark), s.Idle, s.Ended, s.Waiting, s.Silent})
		}
		r.Sources = append(r.Sources, x)
	}
	return r
}

// Serve answers on the control socket of a state directory, which the caller has locked: GET /status gives a Report, POST /stop asks for
// a last checkpoint and the job's end, POST /checkpoint takes one and answers with its id when it is complete. stop closes it. The socket's file stays, because after the lock is given back it may be another
// process's.
func Serve(dir string, s *supervisor.Supervisor, pool *memory.Pool) (stop func(), err error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process that is gone: the lock is ours
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(NewReport(s, pool)) // the client has gone
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		s.Stop()
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST /checkpoint", func(w http.ResponseWriter, request *http.Request) {
		id, err := s.Checkpoint(request.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(checkpointAnswer{id}) // the client has gone
	})
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = h.Serve(l) }() // ends by Close
	return func() { _ = h.Close() }, nil
}

// socketPath chooses where the socket lies, and notes it when it is elsewhere.
func socketPath(dir string) (string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	note := filepath.Join(full, SocketPathName)
	if path := filepath.Join(full, SocketName); len(path) <= maxSocketPath {
		if err := os.Remove(note); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return path, nil
	}
	short, err := os.MkdirTemp("", "turbo-") // only its owner may enter it
	if err != nil {
		return "", err
	}
	if old, err := os.ReadFile(note); err == nil {
		_ = os.Remove(string(old)) // of a process that is gone; nothing but the socket and an empty directory goes
		_ = os.Remove(filepath.Dir(string(old)))
	}
	path := filepath.Join(short, "control.sock")
	return path, os.WriteFile(note, []byte(path), 0o600)
}

// ErrNotRunning says that nobody answers on a state directory's control socket.
var ErrNotRunning = errors.New("the job is not running")

// Status asks the job of a state directory. The error is ErrNotRunning when nobody answers.
func Status(ctx context.Context, dir string) (Report, error) {
	var r Report
	body, err := call(ctx, dir, http.MethodGet, "/status")
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("the control socket of %s gave no report: %w", dir, err)
	}
	return r, nil
}

// Stop asks the job of a state directory for a last checkpoint and its end. It does not wait for them.
func Stop(ctx context.Context, dir string) error {
	_, err := call(ctx, dir, http.MethodPost, "/stop")
	return err
}

// checkpointAnswer is the answer to POST /checkpoint.
type checkpointAnswer struct {
	Checkpoint uint64 `json:"checkpoint"`
}

// Checkpoint makes the job of a state directory take a checkpoint now, and returns its id when it is complete. The error is ErrNotRunning
// when nobody answers, and the job's own while its workers do not run, such as between an attempt and the next.
func Checkpoint(ctx context.Context, dir string) (uint64, error) {
	body, err := call(ctx, dir, http.MethodPost, "/checkpoint")
	if err != nil {
		return 0, err
	}
	var a checkpointAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return 0, fmt.Errorf("the control socket of %s gave no checkpoint: %w", dir, err)
	}
	return a.Checkpoint, nil
}

func call(ctx context.Context, dir, method, path string) ([]byte, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(full, SocketName)
	if other, err := os.ReadFile(filepath.Join(full, SocketPathName)); err == nil {
		socket = string(other)
	}
	if len(socket) > maxSocketPath {
		return nil, ErrNotRunning
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		return nil, ErrNotRunning
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, method, "http://turbo"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ErrNotRunning // it has just ended
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		return nil, ErrNotRunning
	}
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("the control socket of %s answers %s: %s", dir, answer.Status, bytes.TrimSpace(body.Bytes()))
	}
	return body.Bytes(), nil
}
