package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// demoSpec is the demo's job: what `turbo demo --keep` leaves to look at.
const demoSpec = `# The job of turbo demo: rides from Kafka, cleansed, into Parquet files, exactly once; and passengers per cell, counted on the way.
name: demo
engine:
  parallelism: %[2]d
  memory: 128MiB
  checkpoint: {interval: 250ms, dir: %[3]q}
sources:
  rides:
    connector: kafka
    brokers: %[4]q
    topic: rides
    start: earliest
    stop: {at: offsets, offsets: {%[5]s}}
    format: csv
    schema:
      ride_id: BIGINT NOT NULL
      event: STRING
      ts: TIMESTAMP(3)
      lon: DOUBLE
      lat: DOUBLE
      passengers: INT
    metadata: {kafka_partition: partition, kafka_offset: offset}
streams:
  arrivals:
    from: rides
    filter: event = 'END' AND lon <> 0
    select:
      kafka_partition:
      kafka_offset:
      ride_id:
      ts:
      cell: CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)
      passengers:
  per_cell:
    from: arrivals
    key-by: [cell]
    aggregate: {rides: COUNT(*), passengers: SUM(passengers), last: MAX(ts)}
sinks:
  files:
    from: arrivals
    connector: file
    path: %[1]q
    format: {type: parquet, compression: zstd}
    roll: {on-checkpoint: true}
  totals:
    from: per_cell
    connector: file
    path: %[6]q
    format: csv
    compression: zstd
`

// demoPaths are the places of a demo.
type demoPaths struct{ dir, spec, out, totals, state, broker string }

func newDemoPaths(dir string) demoPaths {
	at := func(name string) string { return filepath.Join(dir, name) }
	return demoPaths{dir, at("job.yaml"), at("out"), at("totals"), at("state"), at("broker")}
}

func (p demoPaths) write(broker string, parallelism int, per [demoPartitions]int64) error {
	var stops []string
	for i, n := range per {
		stops = append(stops, fmt.Sprintf("%s/%d: %d", demoTopic, i, n))
	}
	text := fmt.Sprintf(demoSpec, p.out, parallelism, p.state, broker, strings.Join(stops, ", "), p.totals)
	return os.WriteFile(p.spec, []byte(text), 0o644)
}

// demoProcess is the job in a process of its own.
type demoProcess struct {
	command *exec.Cmd
	output  bytes.Buffer
	started time.Time
	ended   chan struct{} // closed when it has ended; err is set then
	err     error
	peak    *atomic.Int64 // RssAnon in bytes, of all processes of the demo; 0: unknown
}

func startDemoProcess(spec string, peak *atomic.Int64) (*demoProcess, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &demoProcess{command: exec.Command(program, "run", spec), ended: make(chan struct{}), peak: peak}
	p.command.Stdout, p.command.Stderr = io.Discard, &p.output
	p.started = time.Now()
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start the job: %w", err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	go p.watchMemory()
	return p, nil
}

// watchMemory keeps the highest anonymous memory, where the system tells it.
func (p *demoProcess) watchMemory() {
	name := fmt.Sprintf("/proc/%d/status", p.command.Process.Pid)
	for {
		if n := rssAnon(name); n > p.peak.Load() {
			p.peak.Store(n)
		}
		select {
		case <-p.ended:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func rssAnon(name string) int64 {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "RssAnon:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[0], 10, 64)
	return n << 10
}

// running reports whether it still runs.
func (p *demoProcess) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill is kill -9; it waits until the process is gone.
func (p *demoProcess) kill() {
	_ = p.command.Process.Kill() // it may have ended by itself
	<-p.ended
}

// failure is why a process ended, with what it said.
func (p *demoProcess) failure() error {
	return fmt.Errorf("the job's process ended: %v\n%s", p.err, strings.TrimSpace(p.output.String()))
}
