package kill

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/internal/devbroker"
	"turbo/internal/killpoint"
)

var (
	long  = flag.Bool("long", false, "at least 100 kills for each combination")
	kills = flag.Int("kills", 0, "kills for each combination")
	seeds = flag.Uint64("seed", 1, "seed of the random choices")
)

const outside = "outside" // killed by its parent at a random time

// phases are where the child dies, in turn.
var phases = append(slices.Clone(ckpt.Phases), ckpt.PhaseFreeze, "writing", "rename", "ledger", outside)

// combination is one kind of job.
type combination struct {
	format, broker string
	parallelism    int
}

func (c combination) String() string {
	return fmt.Sprintf("%s/%s/p%d", c.format, c.broker, c.parallelism)
}

// sinkFormats are the lines of the job's sink for each format.
var sinkFormats = map[string]string{
	"raw":     "format: raw",
	"csv":     "format: csv\n    compression: gzip",
	"json":    "format: json",
	"parquet": "format: {type: parquet, compression: zstd}",
}

func (c combination) spec(address, topic, dir string) string {
	columns := "topic: , part: , off: , value: "
	if c.format == "raw" {
		columns = "value: "
	}
	return fmt.Sprintf(`name: kill
engine:
  parallelism: %d
  memory: 200MiB
  buffer-timeout: 1ms
  checkpoint: {interval: 15ms, dir: %s/state, retain: 2}
  restart: none
sources:
  events:
    connector: kafka
    brokers: %s
    topic: %s
    start: earliest
    format: raw
    schema: {value: STRING NOT NULL}
    metadata: {topic: topic, part: partition, off: offset}
streams:
  rows: {from: events, select: {%s}}
  keyed: {from: events, select: {k: "CAST(part * %d + MOD(off, %d) AS INT)"}}
  counted: {from: keyed, key-by: [k], aggregate: {n: COUNT(*)}, emit: every-row}
sinks:
  files:
    from: rows
    connector: file
    path: %s/files
    %s
    roll: {size: 40KiB, interval: 150ms}
  counts: {from: counted, connector: file, path: %s/counts, format: json, roll: {size: 30KiB, interval: 200ms}}
`, c.parallelism, dir, address, topic, columns, countKeys, countKeys, dir, sinkFormats[c.format], dir)
}

// ordeal is one combination while it is run.
type ordeal struct {
	t      *testing.T
	random *rand.Rand
	spec   string
	dir    string
	topic  *topic
	output *output
	died   map[string]int
}

func start(t *testing.T, c combination, address string) *ordeal {
	t.Helper()
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.String()))
	o := &ordeal{t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(*seeds, h.Sum64())), died: map[string]int{}}
	name := fmt.Sprintf("kill-%s-%d-%x", c.format, c.parallelism, time.Now().UnixNano())
	o.topic = makeTopic(t, address, name, rand.New(rand.NewPCG(*seeds, h.Sum64()+1)))
	o.output = newOutput(o.topic, o.dir, c.format)
	o.spec = filepath.Join(o.dir, "job.yaml")
	if err := os.WriteFile(o.spec, []byte(c.spec(address, name, o.dir)), 0o666); err != nil {
		t.Fatal(err)
	}
	return o
}

// run starts the child; kill says how it dies, stop waits while it must live. It returns what the child said and how it ended.
func (o *ordeal) run(environment []string, during func(*os.Process, <-chan struct{})) (said string, err error) {
	o.t.Helper()
	self, err := os.Executable()
	if err != nil {
		o.t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(append(os.Environ(), childSpec+"="+o.spec), environment...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		o.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		err = command.Wait()
		close(ended)
	}()
	during(command.Process, ended)
	<-ended
	return out.String(), err
}

func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// committed reports whether the ledger has a commit: what is in it is in the manifest before.
func (o *ordeal) committed() bool {
	content, _ := os.ReadFile(filepath.Join(o.dir, "files/_turbo/ledger.jsonl"))
	return bytes.Contains(content, []byte(`"checkpoint"`))
}

// untilCommitted runs the job until it has committed for the first time.
func (o *ordeal) untilCommitted() {
	o.t.Helper()
	stop := o.topic.flow(o.t)
	said, err := o.run(nil, func(p *os.Process, ended <-chan struct{}) {
		for deadline := time.Now().Add(2 * time.Minute); !o.committed() && time.Now().Before(deadline); {
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
		_ = p.Kill()
	})
	stop()
	if !o.committed() || !killed(err) {
		o.t.Fatalf("the job did not commit: %v\n%s", err, said)
	}
}

// kill runs the job until it dies in a phase, and checks what it left.
func (o *ordeal) kill(phase string) {
	o.t.Helper()
	arrival := 1 + o.random.IntN(3)
	switch phase {
	case "writing", ckpt.PhaseUpload, ckpt.PhaseFreeze:
		arrival = 1 + o.random.IntN(12)
	}
	var environment []string
	if phase != outside {
		environment = []string{fmt.Sprintf("%s=%s:%d", killpoint.Variable, phase, arrival)}
	}
	after := time.Duration(50+o.random.IntN(400)) * time.Millisecond
	stop := o.topic.flow(o.t)
	inTime := true
	said, err := o.run(environment, func(p *os.Process, ended <-chan struct{}) {
		wait := after
		if phase != outside {
			wait = 2 * time.Minute
		}
		select {
		case <-ended:
		case <-time.After(wait):
			inTime = phase == outside
			_ = p.Kill()
		}
	})
	produced := o.topic.produced()
	stop()
	if !killed(err) {
		o.t.Fatalf("phase %s:%d: the job ended by itself: %v\n%s", phase, arrival, err, said)
	}
	if !inTime {
		o.t.Fatalf("phase %s:%d was not reached within two minutes\n%s", phase, arrival, said)
	}
	if err := o.output.check(false); err != nil {
		o.t.Fatalf("after a kill in phase %s:%d: %v\n%s", phase, arrival, err, said)
	}
	if o.output.rows < produced {
		o.died[phase]++
	}
}

// drain lets the job read everything and stop, and checks that all of it is there.
func (o *ordeal) drain() {
	o.t.Helper()
	said, err := o.run([]string{fmt.Sprintf("%s=%d", childDrain, o.topic.produced())}, func(p *os.Process, ended <-chan struct{}) {
		select {
		case <-ended:
		case <-time.After(3 * time.Minute):
			_ = p.Signal(syscall.SIGQUIT) // it prints what it is doing
		}
	})
	if err != nil {
		o.t.Fatalf("the job did not read its input to the end: %v\n%s", err, said)
	}
	if err := o.output.check(true); err != nil {
		o.t.Fatalf("after the job was stopped: %v\n%s", err, said)
	}
}

// endure runs one combination through n kills.
func endure(t *testing.T, c combination, address string, n int) {
	began := time.Now()
	o := start(t, c, address)
	o.untilCommitted()
	for i := 0; o.total() < n; i++ {
		if i > 2*n+10 {
			t.Fatalf("only %d of %d kills left input behind", o.total(), i)
		}
		o.kill(phases[i%len(phases)])
		if i%30 == 29 {
			o.drain()
		}
	}
	o.drain()
	o.output = newOutput(o.topic, o.dir, c.format) // everything once more, from the start
	if err := o.output.check(true); err != nil {
		t.Fatalf("at the end: %v", err)
	}
	var counts []string
	least := n
	for _, phase := range phases {
		counts = append(counts, fmt.Sprintf("%s %d", phase, o.died[phase]))
		least = min(least, o.died[phase])
	}
	t.Logf("%v: %d kills in %.0f s, %d records, %d files, each record once; by phase: %s", c, o.total(), time.Since(began).Seconds(), o.topic.produced(),
		len(o.output.files), strings.Join(counts, ", "))
	if n >= 100 && least < 5 {
		t.Errorf("a phase was met only %d times", least)
	}
}

func (o *ordeal) total() (n int) {
	for _, k := range o.died {
		n += k
	}
	return n
}

// TestKill is the short version unless -long is given: then each format meets each broker and each parallelism.
func TestKill(t *testing.T) {
	broker, err := devbroker.Start(devbroker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	addresses := map[string]string{"embedded": broker.Address()}
	if real := os.Getenv("TURBO_KAFKA"); real != "" {
		addresses["real"] = real
		if !*long {
			delete(addresses, "embedded") // it has its turn in every other run
		}
	} else if *long {
		t.Error("TURBO_KAFKA is not set: the long version needs a real broker too (test/kafka/start.sh starts one and prints its address)")
	}
	n := len(phases)
	switch {
	case *kills > 0:
		n = *kills
	case *long:
		n = 8 * len(phases) // more than 100
	case testing.Short():
		n = 4
	}
	for i, format := range []string{"raw", "csv", "json", "parquet"} {
		for name, address := range addresses {
			for _, parallelism := range []int{1, 2} {
				if !*long && parallelism != 1+i%2 {
					continue
				}
				c := combination{format, name, parallelism}
				t.Run(c.String(), func(t *testing.T) {
					t.Parallel()
					endure(t, c, address, n)
				})
			}
		}
	}
}
