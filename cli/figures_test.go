package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"turbo/server"
)

// TestFigures reads what a running Kafka job publishes, when all of its input is read, and takes a checkpoint on demand.
func TestFigures(t *testing.T) {
	w := newWorld(t, located, "csv")
	text, err := os.ReadFile(w.spec)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.spec, strings.NewReplacer("    stop: end\n", "", "interval: 10s", "interval: 1h").Replace(string(text)))
	w.produce(numbers(0, 12)...)
	state := filepath.Join(w.dir, "state")
	p := start(t, "run", w.spec, "--metrics", "127.0.0.1:0")
	until(t, state, func(r server.Report) bool {
		return len(r.Nodes) > 0 && r.Nodes[0].In == 12 && r.Nodes[len(r.Nodes)-1].In == 8 && r.Lag != nil && *r.Lag == 0
	})
	before, err := newestManifest(state)
	if err != nil {
		t.Fatal(err)
	}
	id, err := server.Checkpoint(t.Context(), state)
	if m, why := newestManifest(state); err != nil || why != nil || m == nil || m.Checkpoint != id || before != nil && before.Checkpoint >= id {
		t.Errorf("checkpoint %d, %v; the newest one is %+v, %v", id, err, m, why)
	}
	answer, err := http.Get(p.page())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	figures, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %v\n%s", answer.Status, err, figures)
	}
	has(t, string(figures),
		`turbo_rows_total{job="copy",node="numbers/source",what="in"} 12`+"\n",
		`turbo_rows_total{job="copy",node="files/sink",what="in"} 8`+"\n",
		`turbo_lag_records{job="copy"} 0`+"\n",
		`turbo_kafka_connect_errors_total{job="copy",node="numbers/source"} 0`+"\n",
		`turbo_kafka_down{job="copy",node="numbers/source"} 0`+"\n",
		`turbo_kafka_partition_lag_records{job="copy",node="numbers/source",partition="0",topic="numbers"} 0`+"\n",
		`turbo_kafka_partition_lag_records{job="copy",node="numbers/source",partition="2",topic="numbers"} 0`+"\n",
		"# TYPE turbo_kafka_read_bytes_total counter\n", "# TYPE turbo_kafka_partition_lag_records gauge\n")
	if regexp.MustCompile(`turbo_kafka_read_bytes_total\S+ 0\n`).Match(figures) {
		t.Error("12 records were read, but no byte")
	}
	must(t, exitDone, "stop", w.spec)
	if code := p.end(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, p.text())
	}
	if _, err := server.Checkpoint(t.Context(), state); err != server.ErrNotRunning {
		t.Errorf("a checkpoint of a job that does not run: %v", err)
	}
}

// TestPoisonInAFile has two lines that cannot be read, under each policy.
func TestPoisonInAFile(t *testing.T) {
	for _, c := range []struct {
		policy string
		code   int
		says   []string
	}{
		{"fail", exitFailed, []string{"in.csv", "on-error"}},
		{"skip", exitDone, []string{"source numbers: 4 rows read", "2 skipped", "sink out: 2 rows written"}},
		{"dead-letter", exitDone, []string{"source numbers: 4 rows read", "2 dead-lettered", "sink out: 2 rows written"}},
	} {
		dir := t.TempDir()
		job := filepath.Join(dir, "job.yaml")
		write(t, job, strings.NewReplacer("DIR", dir, "on-error: dead-letter", "on-error: "+c.policy).Replace(fileJob))
		write(t, filepath.Join(dir, "in.csv"), "1,a\nx,b\n3,c\ny,d\n")
		has(t, must(t, c.code, "run", job), c.says...)
	}
}

// TestRefusedStarts starts jobs on state and output that are not theirs.
func TestRefusedStarts(t *testing.T) {
	dir, job := jobDir(t, "0", "1000")
	p := start(t, "run", job)
	until(t, filepath.Join(dir, "state"), underWay())
	has(t, must(t, exitFailed, "run", job, "--set", "engine.checkpoint.dir="+filepath.Join(dir, "other")), "directory "+filepath.Join(dir, "out")+" is in use by process "+strconv.Itoa(p.Process.Pid))
	must(t, exitDone, "stop", job)
	p.end()
	changed := must(t, exitFailed, "run", job, "--set", "sources.numbers.data=random")
	has(t, changed, "sequence", "random", "--fresh")
}
