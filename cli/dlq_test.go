package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// exitCode is what the process would end with.
func exitCode(err error) int {
	var c *codeError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &c):
		return c.code
	}
	return exitUsage
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// must runs a command that must exit with a code, and returns what it and its error say.
func must(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, err := turbo(t, args...)
	if err != nil {
		out += err.Error()
	}
	if got := exitCode(err); got != code {
		t.Fatalf("turbo %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

func TestDeadLettersOfATopic(t *testing.T) {
	w := newWorld(t, located, "csv")
	text, err := os.ReadFile(w.spec)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("on-error: skip", "on-error: dead-letter", "  parallelism: 1\n", "  parallelism: 1\n  dead-letters: "+w.dir+"/letters\n").Replace(string(text))
	write(t, w.spec, changed)
	w.produce(numbers(0, 12)...)
	w.produce(&kgo.Record{Partition: 1, Key: []byte("k"), Value: []byte("thirteen,bad")}, &kgo.Record{Partition: 2, Value: []byte("\xff,worse")})
	has(t, must(t, exitDone, "run", w.spec), "2 dead-lettered")

	list := must(t, exitDone, "dlq", "list", w.spec)
	has(t, list, "numbers:numbers/1@4: ", "  thirteen,bad\n", "numbers:numbers/2@4: ", `"\xff,worse"`, "2 waiting, 0 sent back")
	if byDir := must(t, exitDone, "dlq", "list", w.dir+"/letters"); byDir != list {
		t.Errorf("by directory:\n%s", byDir)
	}
	file := filepath.Join(w.dir, "corrected.jsonl")
	var corrected string
	for line := range strings.Lines(must(t, exitDone, "dlq", "list", "--json", w.spec)) {
		if strings.Contains(line, "numbers/1@4") {
			corrected = strings.Replace(line, "thirteen,bad", "13,good", 1)
		} else {
			has(t, line, `"value_base64":"`)
		}
	}
	write(t, file, corrected)
	has(t, must(t, exitUsage, "dlq", "replay", w.dir+"/letters", "--corrected", file), "needs the job spec")
	has(t, must(t, exitDone, "dlq", "replay", w.spec, "--corrected", file), "1 sent back")
	has(t, must(t, exitDone, "dlq", "replay", w.spec, "--corrected", file), "0 sent back, 1 left out")
	has(t, must(t, exitDone, "dlq", "list", w.spec), "1 waiting, 1 sent back")

	client := w.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"numbers": {1: kgo.NewOffset().At(5)}}))
	records := client.PollFetches(w.context()).Records()
	if len(records) != 1 || string(records[0].Value) != "13,good" || string(records[0].Key) != "k" || fmt.Sprintf("%s", records[0].Headers) != "[{turbo-replay-of numbers/1@4}]" {
		t.Errorf("replayed: %v", records)
	}
	must(t, exitDone, "run", w.spec, "--fresh")
	has(t, must(t, exitDone, "verify", w.out, "--source", w.spec))
	rows, err := filepath.Glob(filepath.Join(w.out, "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, r := range rows {
		data, err := os.ReadFile(r)
		if err != nil {
			t.Fatal(err)
		}
		all += string(data)
	}
	has(t, all, "13,good,26")

	write(t, file, `{"id": "numbers:numbers/0@99", "value": "x"}`)
	has(t, must(t, exitFailed, "dlq", "replay", w.spec, "--corrected", file), "there is no dead letter numbers:numbers/0@99")
}

// TestFutureRowsOfATopic: rows that turbo has set aside as JSON do not go back to a topic of CSV as they are.
func TestFutureRowsOfATopic(t *testing.T) {
	w := newWorld(t, "n: ", "csv")
	text, err := os.ReadFile(w.spec)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("text: STRING}", "text: TIMESTAMP(3)}\n    watermark: {column: text, max-future-skew: 1h}", "  parallelism: 1\n", "  parallelism: 1\n  dead-letters: "+w.dir+"/letters\n").Replace(string(text))
	write(t, w.spec, changed)
	w.produce(&kgo.Record{Partition: 1, Value: []byte("1,2026-01-01 00:00:00")}, &kgo.Record{Partition: 1, Value: []byte("2,2999-01-01 00:00:00")})
	has(t, must(t, exitDone, "run", w.spec), "1 dead-lettered")
	has(t, must(t, exitFailed, "dlq", "replay", w.spec), "0 sent back", "1 left out: max-future-skew has set rows aside as JSON")
	listed := must(t, exitDone, "dlq", "list", "--json", w.spec)
	file := filepath.Join(w.dir, "corrected.jsonl")
	at := strings.Index(listed, `"value":"`)
	if at < 0 {
		t.Fatal(listed)
	}
	write(t, file, listed[:at]+`"value":"2,2026-01-01 00:00:01"}`+"\n")
	has(t, must(t, exitDone, "dlq", "replay", w.spec, "--corrected", file), "1 sent back")
	has(t, must(t, exitDone, "run", w.spec, "--fresh"), "3 rows read, 1 dead-lettered")
}

// TestRowsFromTheFuture: dlq list says which setting has set a row aside, how far it lets rows go, and when that was.
func TestRowsFromTheFuture(t *testing.T) {
	dir := t.TempDir()
	job := filepath.Join(dir, "job.yaml")
	spec := strings.NewReplacer("DIR", dir, "    on-error: dead-letter\n", "", "{n: BIGINT NOT NULL, text: STRING}", "{n: BIGINT NOT NULL, ts: TIMESTAMP(3)}\n    watermark: {column: ts, max-future-skew: 90m}").Replace(fileJob)
	write(t, job, spec)
	write(t, filepath.Join(dir, "in.csv"), "1,2026-01-01 08:00:00\n2,2999-01-01 00:00:00\n")
	must(t, exitDone, "run", job)
	listed := must(t, exitDone, "dlq", "list", job)
	has(t, listed, "ts is 2999-01-01 00:00:00.000: the watermark's max-future-skew takes no row that is more than 1h30m ahead of the clock, at 20")
	has(t, listed, "1 waiting")
	write(t, job, strings.Replace(spec, ", max-future-skew: 90m", "", 1))
	has(t, must(t, exitUsage, "dlq", "list", job), "no source has on-error: dead-letter, or a watermark with max-future-skew")
}

const fileJob = `name: lines
engine: {parallelism: 1, memory: 64MiB, checkpoint: {dir: DIR/state}, dead-letters: DIR/letters}
sources:
  numbers:
    connector: file
    path: DIR/in.csv
    format: csv
    on-error: dead-letter
    schema: {n: BIGINT NOT NULL, text: STRING}
sinks:
  out: {from: numbers, connector: file, path: DIR/out, format: csv}
`

func TestDeadLettersOfAFile(t *testing.T) {
	dir := t.TempDir()
	job, to := filepath.Join(dir, "job.yaml"), filepath.Join(dir, "again.csv")
	write(t, job, strings.ReplaceAll(fileJob, "DIR", dir))
	write(t, filepath.Join(dir, "in.csv"), "1,a\nx,b\n3,c\ny,d\n")
	must(t, exitDone, "run", job)
	box := filepath.Join(dir, "letters", "numbers")
	has(t, must(t, exitDone, "dlq", "list", box), "2 waiting")
	has(t, must(t, exitUsage, "dlq", "replay", job), "source numbers is not Kafka: use --to FILE")
	has(t, must(t, exitDone, "dlq", "replay", job, "--to", to), "2 sent back")
	if data, err := os.ReadFile(to); err != nil || string(data) != "x,b\ny,d\n" {
		t.Errorf("%q, %v", data, err)
	}
	has(t, must(t, exitUsage, "dlq", "replay", job, "--to", to), "the file exists")
	has(t, must(t, exitDone, "dlq", "replay", job, "--to", to+"2"), "0 sent back, 2 left out")
	if _, err := os.Stat(to + "2"); err == nil {
		t.Error("an empty file was made")
	}

	// A replay that the process did not survive: its letters are left out until somebody decides.
	log, err := openReplayLog(box)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openReplayLog(box); err == nil {
		t.Error("two replays at a time")
	}
	var ids []string
	for id := range log.states {
		ids = append(ids, id)
	}
	if err := errors.Join(log.note(sending, to, ids[0]), log.Close()); err != nil {
		t.Fatal(err)
	}
	torn, err := os.OpenFile(filepath.Join(replayDir(box), "log.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = torn.WriteString(`{"id":"num`)
	if err := errors.Join(err, torn.Close()); err != nil {
		t.Fatal(err)
	}
	has(t, must(t, exitFailed, "dlq", "replay", box, "--to", to+"2"), "1 letters were left out", "--again")
	has(t, must(t, exitDone, "dlq", "list", box), "1 in an interrupted replay")
	has(t, must(t, exitDone, "dlq", "replay", box, "--mark"), "1 noted as sent")
	has(t, must(t, exitDone, "dlq", "list", box), "0 waiting, 2 sent back")
	has(t, must(t, exitDone, "dlq", "replay", box, "--to", to+"3", "--again"), "2 sent back")
	must(t, exitDone, "verify", box)
	has(t, must(t, exitUsage, "dlq", "list", filepath.Join(dir, "nothing")), "no directory of dead letters")
}
