package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/core"
	"turbo/core/supervisor"
	"turbo/internal/vfs"
	"turbo/io/ledger"
	"turbo/job"
	"turbo/run"
	"turbo/server"
)

// TestReference keeps docs/reference/cli.md, and with it the help texts, up to date.
func TestReference(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "reference", "cli.md"))
	if err != nil || string(page) != reference() {
		t.Errorf("docs/reference/cli.md is stale (%v): run go run ./internal/docgen", err)
	}
}

const generated = `name: numbers
engine: {parallelism: 2, memory: 64MiB, checkpoint: {interval: 50ms, dir: DIR/state}}
sources:
  numbers:
    connector: generator
    data: sequence
    rows: ROWS
    rate: RATE
    schema: {n: BIGINT NOT NULL}
streams:
  odd: {from: numbers, filter: n % 2 = 1}
sinks:
  out: {from: odd, connector: file, path: DIR/out, format: csv}
`

// jobDir makes a directory with a job that writes ROWS/2 numbers.
func jobDir(t *testing.T, rows, rate string) (dir, job string) {
	t.Helper()
	dir = t.TempDir()
	job = filepath.Join(dir, "job.yaml")
	write(t, job, strings.NewReplacer("DIR", dir, "ROWS", rows, "RATE", rate).Replace(generated))
	return dir, job
}

// process is turbo in a process of its own.
type process struct {
	*exec.Cmd
	t    *testing.T
	mu   sync.Mutex
	said bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], args...), t: t}
	p.Env = append(os.Environ(), asCommand+"=1")
	p.Stdout, p.Stderr = p, p
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end waits for the process's end and returns its exit code; -1 after a signal.
func (p *process) end() int {
	p.t.Helper()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

var page = regexp.MustCompile(`http://\S+/metrics`)

// page waits until the process has said where its metrics are.
func (p *process) page() string {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); page.FindString(p.text()) == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal(p.text())
		}
	}
	return page.FindString(p.text())
}

// until waits for a report of the job.
func until(t *testing.T, state string, ok func(server.Report) bool) server.Report {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		r, err := server.Status(t.Context(), state)
		if err == nil && ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job does not come so far: %+v, %v", r, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// underWay returns a condition for until: there are complete checkpoints, and one of them has rows at the sink.
func underWay() func(server.Report) bool {
	enough := int64(-1)
	return func(r server.Report) bool {
		if enough < 0 && len(r.Nodes) > 0 && r.Nodes[len(r.Nodes)-1].In > 0 {
			enough = r.Checkpoints.Completed + 2 // the next one may have begun before these rows came
		}
		return enough >= 0 && r.Checkpoints.Completed >= enough
	}
}

// odd checks that the output has every odd number below rows once.
func odd(t *testing.T, dir string, rows int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "out", "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if line == "n\n" {
				continue
			}
			if seen[line] {
				t.Fatalf("%s is there twice", line)
			}
			seen[line] = true
		}
	}
	if len(seen) != rows/2 {
		t.Errorf("%d rows, want %d", len(seen), rows/2)
	}
	must(t, exitDone, "verify", filepath.Join(dir, "out"))
}

func TestRunThroughKillAndSignal(t *testing.T) {
	dir, job := jobDir(t, "40000", "500") // which would take more than a minute
	state := filepath.Join(dir, "state")

	p := start(t, "run", job)
	until(t, state, underWay())
	has(t, must(t, exitFailed, "run", job), "is in use by process")
	has(t, must(t, exitDone, "status", job), "job numbers is running", "2 workers", "source numbers: in ")
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != -1 {
		t.Errorf("killed: exit code %d", code)
	}
	has(t, must(t, exitDone, "status", state), "is not running; the next run goes on from its last checkpoint", "  source numbers: in ", "  stream odd: in ", "filtered\n  sink out: in ")
	has(t, must(t, exitFailed, "stop", state), "the job is not running")

	p = start(t, "run", job)
	until(t, state, underWay())
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != exitTerm {
		t.Errorf("SIGTERM: exit code %d\n%s", code, p.text())
	}
	has(t, p.text(), "stopping with a last checkpoint", "job numbers stopped after", "began at checkpoint")

	p = start(t, "run", job)
	until(t, state, underWay())
	has(t, must(t, exitDone, "stop", job), "has ended", "is not running; the next run goes on")
	if code := p.end(); code != exitDone {
		t.Errorf("stop: exit code %d\n%s", code, p.text())
	}

	has(t, must(t, exitDone, "run", job, "--set", "sources.numbers.rate=0"), "job numbers finished", "source numbers: 40000 rows read", "20000 filtered", "sink out: 20000 rows written")
	odd(t, dir, 40000)
	has(t, must(t, exitDone, "run", job, "--set", "sources.numbers.rate=0"), "has finished before", "--fresh")
	has(t, must(t, exitDone, "status", "--json", job), `"state": "finished"`)
	has(t, must(t, exitDone, "run", job, "--fresh", "--set", "sources.numbers.rate=0"), "job numbers finished")
	odd(t, dir, 40000)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	dir, job := jobDir(t, "0", "1000")
	p := start(t, "run", job)
	until(t, filepath.Join(dir, "state"), underWay())
	for range 2 {
		if err := p.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		time.Sleep(signalEcho + 20*time.Millisecond) // sooner, the second one counts as an echo of the first
	}
	if code := p.end(); code != exitSIGINT {
		t.Errorf("exit code %d\n%s", code, p.text())
	}
}

// TestSummaryTellsCommittedFromWritten: what came after the last checkpoint is not counted as written, nor are rows in hidden files as seen.
func TestSummaryTellsCommittedFromWritten(t *testing.T) {
	dir, path := jobDir(t, "0", "2000")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	j, err := job.Parse(text, job.Options{File: path})
	if err != nil {
		t.Fatal(err)
	}
	proc, err := run.New(j, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() { // some rows after the first checkpoints
		for ready := underWay(); !ready(server.NewReport(proc.Supervisor, proc.Memory)); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
		cancel(errors.New("at once"))
	}()
	result, err := proc.Run(ctx)
	if err == nil || result.Checkpoint == 0 {
		t.Fatal(result, err)
	}
	var out bytes.Buffer
	summary(&out, proc, result, err)
	m, err := ckpt.NewManifests(vfs.OS(), filepath.Join(dir, "state")).Load(result.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	committed := map[string]int64{}
	for _, c := range m.Totals {
		committed[c.Operator] = max(c.Counters.Out, c.Counters.In)
	}
	written := fmt.Sprintf("sink out: %d rows written", committed["out/sink"])
	if l, err := ledger.Read(vfs.OS(), filepath.Join(dir, "out")); err != nil || l.Last == nil {
		t.Fatal(l, err)
	} else if l.Last.Checkpoint == result.Checkpoint { // it may have come between a checkpoint and its commit
		written += ", all of them to files that are still open"
	}
	has(t, out.String(), fmt.Sprintf("the last complete checkpoint is %d, and up to there\n", result.Checkpoint), fmt.Sprintf("source numbers: %d rows read", committed["numbers/source"]), written)
	var read int64
	for _, n := range proc.Supervisor.Status().Nodes {
		if n.Node == "numbers/source" {
			read = n.Counters.In
		}
	}
	if after := read - committed["numbers/source"]; after > 0 {
		has(t, out.String(), fmt.Sprintf("  not committed: %d rows read and ", after))
	}
	// Before the first checkpoint nothing counts.
	out.Reset()
	summary(&out, proc, supervisor.Result{Uncommitted: []ckpt.OperatorCounters{{Operator: "numbers/source", Counters: core.Counters{In: 7}}, {Operator: "out/sink", Counters: core.Counters{Out: 3}}}}, errors.New("failed"))
	has(t, out.String(), "no checkpoint is complete, so nothing is committed\n", "source numbers: 0 rows read", "not committed: 7 rows read and 3 written since")
}

func TestMetrics(t *testing.T) {
	dir, job := jobDir(t, "0", "1000")
	p := start(t, "run", job, "--metrics", "127.0.0.1:0")
	until(t, filepath.Join(dir, "state"), underWay())
	answer, err := http.Get(p.page())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	has(t, string(text), `turbo_rows_total{job="numbers",node="numbers/source",what="in"}`, `turbo_running{job="numbers"} 1`,
		`turbo_checkpoints_total{job="numbers",result="completed"}`, "turbo_memory_limit_bytes", "turbo_memory_bytes{", "turbo_checkpoint_last_timestamp_seconds", "turbo_restarts_total")
	must(t, exitDone, "stop", job)
	p.end()
}

func TestCheckpointOff(t *testing.T) {
	dir, job := jobDir(t, "1000", "0")
	has(t, must(t, exitDone, "run", job, "--set", "engine.checkpoint=off"), "Nothing is guaranteed", "source numbers: 1000 rows read")
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("there is a state directory")
	}
}

func TestUsage(t *testing.T) {
	dir, job := jobDir(t, "10", "0")
	wrong := filepath.Join(dir, "wrong.yaml")
	text, err := os.ReadFile(job)
	if err != nil {
		t.Fatal(err)
	}
	write(t, wrong, strings.NewReplacer("filter:", "fliter:", "data: sequence", "data: sequences").Replace(string(text)))
	for _, c := range []struct {
		code int
		args string
		says string
	}{
		{exitUsage, "run", "accepts 1 arg(s), received 0"},
		{exitUsage, "dev kafak", `unknown command "kafak" for "turbo dev"`},
		{exitUsage, "dlq lits", `unknown command "lits" for "turbo dlq"`},
		{exitDone, "dlq", "dlq [command]"},
		{exitUsage, "run -p 0 " + job, "-p 0: expected at least one worker"},
		{exitUsage, "validate -p -1 " + job, "-p -1: expected at least one worker"},
		{exitUsage, "run --set sources.numbers.start-time=x " + job, "start-time"}, // what only the connector can check
		{exitUsage, "run --set sources.numbers.columns.x.min=3 " + job, "there is no column x in the schema"},
		{exitUsage, "status " + dir, "is not the state directory of a job"},
		{exitUsage, "run nothing.yaml", "nothing.yaml"},
		{exitUsage, "runn", `unknown command "runn"`},
		{exitUsage, "run --what " + job, "unknown flag: --what"},
		{exitUsage, "run --profile x " + job, "expected cpu, mem, trace or block"},
		{exitUsage, "run --log-level x " + job, "expected debug, info, warn or error"},
		{exitUsage, "run --log-format x " + job, "expected text or json"},
		{exitUsage, "run -D x " + job, "expected NAME=VALUE"},
		{exitUsage, "run --metrics nowhere:x " + job, "--metrics nowhere:x"},
		{exitUsage, "run -p 1000 " + job, "engine.parallelism: 1000 workers, but only 128 key groups"},
		{exitUsage, "validate " + wrong, "wrong.yaml:11:24: streams.odd: unknown key \"fliter\""},
		{exitUsage, "validate --offline " + wrong, "has 2 mistakes"},
		{exitDone, "validate --offline " + job, "the spec is valid; sources and sinks were not asked"},
		{exitDone, "validate " + job, "source numbers: nothing outside of turbo to check\nsink out: ok\n"},
		{exitFailed, "validate --set sinks.out.path=" + job + " " + job, "sink out: output directory: "},
		{exitDone, "explain " + job, "n % 2 = 1"},
		{exitDone, "status " + job, "the job is not running and has no complete checkpoint"},
		{exitFailed, "why " + job, "the job is not running and has no complete checkpoint: there is nothing to judge by"},
		{exitDone, "run " + job, "finished"},
		{exitDone, "explain " + job, "sink out"},
		{exitDone, "explain --set streams.odd.filter=n>5 " + job, "stream odd, filter: was n % 2 = 1 and is n>5\n"},
		{exitDone, "explain --set sinks.out.path=" + dir + "/else " + job, "does not fit the job: the dataflow is another:\n  out/sink: path was "},
		{exitUsage, "connectors kafak", "did you mean kafka?"},
		{exitDone, "connectors kafka", "After a failure: at-least-once."},
		{exitDone, "connectors", "format  parquet"},
		{exitUsage, "bench nothing", "there is no benchmark nothing"},
		{exitDone, "bench", "keyed"},
		{exitUsage, "dev kafka --topic x:0", "at least one partition"},
		{exitUsage, "dev kafka --sync", "--sync needs --dir"},
		{exitUsage, "status nothing", "no job in ./.turbo"},
		{exitDone, "version", "turbo dev"},
		{exitDone, "--version", "turbo dev"},
	} {
		has(t, must(t, c.code, strings.Fields(c.args)...), c.says)
	}
	p := start(t, "run")
	if code := p.end(); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	has(t, p.text(), "accepts 1 arg(s), received 0\nusage: turbo run JOB.yaml [flags]\nturbo run --help says more\n")
	var schema map[string]any
	if err := json.Unmarshal([]byte(must(t, exitDone, "schema")), &schema); err != nil {
		t.Error(err)
	}
}

// TestJobNamedAsADirectory has a job whose name a directory beside it has too, such as its input's.
func TestJobNamedAsADirectory(t *testing.T) {
	dir, job := jobDir(t, "10", "0")
	t.Chdir(dir)
	if err := os.Mkdir("numbers", 0o777); err != nil {
		t.Fatal(err)
	}
	must(t, exitDone, "run", job, "--set", "engine.checkpoint.dir="+filepath.Join(".turbo", "numbers"))
	has(t, must(t, exitDone, "status", "numbers"), "job numbers has finished")
	has(t, must(t, exitFailed, "stop", "numbers"), "the job is not running")
	has(t, must(t, exitDone, "status", filepath.Join(".turbo", "numbers")), "job numbers has finished")
	has(t, must(t, exitUsage, "stop", "."), "is not the state directory")
}

func TestVerifyFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"missing": os.Remove,
		"changed": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o644)
		},
		"changed.": func(path string) error { return os.Truncate(path, 10) },
		"extra": func(path string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(path), "other.csv"), nil, 0o644)
		},
	} {
		dir, job := jobDir(t, "1000", "0")
		must(t, exitDone, "run", job)
		out := filepath.Join(dir, "out")
		files, err := filepath.Glob(filepath.Join(out, "*.csv"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		must(t, exitDone, "verify", out)
		if err := damage(files[0]); err != nil {
			t.Fatal(err)
		}
		has(t, must(t, exitFailed, "verify", out), strings.TrimSuffix(name, "."))
	}
}

func TestDevKafka(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "broker")
	p := start(t, "dev", "kafka", "--port", "0", "--dir", dir, "--topic", "rides:2")
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(p.text(), "embedded Kafka broker at 127.0.0.1:") {
		if time.Now().After(deadline) {
			t.Fatal(p.text())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != exitDone {
		t.Errorf("exit code %d: %s", code, p.text())
	}
}

// TestStoppedBetweenAttempts: a signal while a failed job waits to start again ends it, as a signal.
func TestStoppedBetweenAttempts(t *testing.T) {
	dir := t.TempDir()
	spec := filepath.Join(dir, "job.yaml")
	write(t, spec, strings.NewReplacer("DIR", dir).Replace(`name: failing
engine: {memory: 24MiB, checkpoint: {dir: DIR/state}, restart: {strategy: fixed, delay: 1h}}
sources:
  numbers: {connector: generator, data: sequence, schema: {n: BIGINT NOT NULL}}
streams:
  many: {from: numbers, key-by: [n], aggregate: {c: COUNT(*)}}
sinks:
  out: {from: many, connector: blackhole}
`))
	p := start(t, "run", spec)
	defer func() { _ = p.Process.Kill() }()
	until(t, filepath.Join(dir, "state"), func(r server.Report) bool { return r.Restarts > 0 })
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != 130 {
		t.Errorf("exit code %d:\n%s", code, p.text())
	}
}
