package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/internal/devbroker"
)

const windowSpec = `name: windows
engine: {parallelism: 2, memory: 128MiB, dead-letters: DIR/dead, buffer-timeout: 1ms, checkpoint: {interval: 50ms, dir: DIR/state}}
sources:
  live:
    connector: kafka
    brokers: BROKER
    topic: events
    start: earliest
    format: csv
    schema: {k: STRING, ts: TIMESTAMP(3)}
    watermark: {column: ts, WATERMARK}
  old:
    connector: file
    path: DIR/old.csv
    format: csv
    schema: {k: STRING, ts: TIMESTAMP(3)}
    watermark: {column: ts}
streams:
  all: {from: [live, old]}
  counts:
    from: all
    key-by: [k]
    window: {tumbling: 1s}
    aggregate: {n: COUNT(*)}
sinks:
  out: {from: counts, connector: file, path: DIR/out, format: csv, roll: {on-checkpoint: true}}
`

// TestWhyWindowsDoNotSpeak: a partition that is silent, an input that has ended early and a row from the year 2999 do not keep a window from its results when
// the settings for that are there; when one is missing, turbo why names the cause and the setting.
func TestWhyWindowsDoNotSpeak(t *testing.T) {
	const idle, future = "idle-timeout: 100ms", "max-future-skew: 1h"
	for _, c := range []struct{ name, settings, why string }{
		{"all settings", idle + ", " + future, ""},
		{"no idle timeout", future, "events/1 has been silent for"},
		{"no bound of the future", idle, "a row of events/2 has taken it to 2998-12-31 23:59:59.999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker, err := devbroker.Start(devbroker.Config{Topics: []devbroker.Topic{{Name: "events", Partitions: 3}}})
			if err != nil {
				t.Fatal(err)
			}
			defer broker.Close()
			client, err := kgo.NewClient(kgo.SeedBrokers(broker.Address()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("events"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			produce := func(partition int32, k string, at time.Time) {
				r := &kgo.Record{Partition: partition, Value: []byte(k + "," + at.UTC().Format("2006-01-02 15:04:05.000"))}
				if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil && t.Context().Err() == nil {
					t.Error(err)
				}
			}
			dir := t.TempDir()
			spec := filepath.Join(dir, "job.yaml")
			write(t, spec, strings.NewReplacer("DIR", dir, "BROKER", broker.Address(), "WATERMARK", c.settings).Replace(windowSpec))
			begin := time.Now().Add(-time.Minute).Truncate(time.Second)
			write(t, filepath.Join(dir, "old.csv"), "early,"+begin.UTC().Format("2006-01-02 15:04:05.000")+"\n")
			produce(1, "silent", begin)
			produce(2, "sane", begin)
			produce(2, "mad", time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { // partition 0 goes on, a second of event time every few milliseconds
				defer close(done)
				for i := 0; ctx.Err() == nil; i++ {
					produce(0, "live", begin.Add(time.Duration(i)*100*time.Millisecond))
					produce(2, "sane", begin.Add(time.Duration(i)*100*time.Millisecond))
					time.Sleep(5 * time.Millisecond)
					if i > 500 { // the clock must not be overtaken
						time.Sleep(100 * time.Millisecond)
					}
				}
			}()
			defer func() { cancel(); <-done }()
			p := start(t, "run", spec)
			defer func() { _ = p.Process.Kill(); p.end() }()
			deadline := time.Now().Add(3 * time.Minute)
			for {
				rows := 0
				files, _ := filepath.Glob(filepath.Join(dir, "out", "*.csv"))
				for _, f := range files {
					if b, err := os.ReadFile(f); err == nil {
						rows += strings.Count(string(b), "live,")
					}
				}
				why, err := turbo(t, "why", spec)
				if c.why == "" && rows >= 10 {
					if n := strings.Count(p.text(), "panic"); n > 0 {
						t.Error(p.text())
					}
					return
				}
				if c.why != "" && err == nil && strings.Contains(why, c.why) {
					if status, err := turbo(t, "status", spec); err != nil || !strings.Contains(status, "why: ") {
						t.Errorf("status has no line about it: %v\n%s", err, status)
					}
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d rows of results; why says (%v):\n%s\nthe job:\n%s", rows, err, why, p.text())
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// A job that has ended with rows in windows that nothing closes says so, in why and in the status.
func TestWhyAfterTheEnd(t *testing.T) {
	dir := t.TempDir()
	spec := filepath.Join(dir, "job.yaml")
	text := `
name: ended
engine: {checkpoint: {dir: ` + filepath.Join(dir, "state") + `}}
sources:
  s: {connector: generator, rows: 11, schema: {v: INT, ts: TIMESTAMP(3)}, watermark: {column: ts}}
streams:
  w: {from: s, window: {tumbling: 1h, clock: processing}, aggregate: {n: COUNT(*)}}
sinks:
  o: {from: w, connector: blackhole}
`
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := turbo(t, "run", spec); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, command := range []string{"why", "status"} {
		if out, err := turbo(t, command, spec); err != nil || !strings.Contains(out, "window w has 11 rows and has not spoken before its input ended") {
			t.Errorf("%s (%v):\n%s", command, err, out)
		}
	}
}
