package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"time"
)

// Some benchmarks need processes of their own: a broker whose time must not count, a consumer whose time alone counts. A child is this
// program once more, with childVariable naming what it is to do; it does that before main and exits.
const childVariable = "TURBO_BENCH_CHILD"

// profileVariable names a file that children write their CPU profile to (the last one wins).
const profileVariable = "TURBO_BENCH_PROFILE"

// childRequest is what a child is asked for.
type childRequest struct {
	Role      string // a key of childRoles
	Broker    string
	Topic     string
	Rows      int64
	Job       string // a job spec
	StartedAt int64  // Unix nanoseconds just before the child was started
}

func init() {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	os.Unsetenv(childVariable)
	if err := beChild(text); err != nil {
		fmt.Fprintln(os.Stderr, "bench child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func beChild(text string) error {
	var r childRequest
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	roles := map[string]func(context.Context, childRequest) error{
		"broker": brokerChild, "bare": bareChild, "job": jobChild, "footprint": footprintChild,
	}
	role, ok := roles[r.Role]
	if !ok {
		return fmt.Errorf("no role %q", r.Role)
	}
	if path := os.Getenv(profileVariable); path != "" && r.Role != "broker" {
		f, err := os.Create(path + "." + r.Role)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return role(context.Background(), r)
}

// command prepares a child.
func (r childRequest) command(ctx context.Context) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r.StartedAt = time.Now().UnixNano()
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, self)
	c.Env = append(os.Environ(), childVariable+"="+string(text))
	c.Stderr = os.Stderr
	return c, nil
}

// runChild runs a child to its end. It returns the processor time that it took, user and system, and reads its answer.
func runChild(ctx context.Context, r childRequest, answer any) (time.Duration, error) {
	c, err := r.command(ctx)
	if err != nil {
		return 0, err
	}
	out, err := c.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", r.Role, err)
	}
	if answer != nil {
		if err := json.Unmarshal(out, answer); err != nil {
			return 0, fmt.Errorf("%s answered %q: %w", r.Role, out, err)
		}
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// startBroker starts the embedded broker in a process of its own, which ends with close, or with this process.
func startBroker(ctx context.Context) (address string, closeBroker func(), err error) {
	c, err := childRequest{Role: "broker"}.command(ctx)
	if err != nil {
		return "", nil, err
	}
	in, err := c.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	closeBroker = func() { in.Close(); _, _ = io.Copy(io.Discard, out); _ = c.Wait() }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &address)
	}
	if err != nil {
		closeBroker()
		return "", nil, fmt.Errorf("the broker's process: %w", err)
	}
	return address, closeBroker, nil
}

func answer(x any) error { return json.NewEncoder(os.Stdout).Encode(x) }
