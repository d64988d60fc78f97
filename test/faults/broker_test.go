package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"turbo/internal/devbroker"
)

func TestBrokerDown(t *testing.T) {
	config := devbroker.Config{Dir: t.TempDir()}
	r := newRig(t, config)
	r.produce(300)
	r.broker.Close()
	r.connect = "3s" // the first connection must be refused in that time, also on a busy machine
	r.fails("broker-down-at-start", nil)
	r.connect = ""

	restart := func() {
		t.Helper()
		b, err := devbroker.Start(config)
		if err != nil {
			t.Fatal(err)
		}
		if b.Address() != r.address {
			t.Skipf("the port of %s is taken by now", r.address)
		}
		r.broker = b
	}
	restart()
	w := r.start(nil)
	w.drained()
	r.broker.Close() // in the middle
	time.Sleep(100 * time.Millisecond)
	restart()
	r.produce(300)
	w.until("rows after the broker came back", func() bool { return w.p.Supervisor.Status().Nodes[0].Counters.In >= 600 })
	w.drained()
	w.stop()
	if w.result.Restarts != 0 {
		t.Errorf("%d restarts: a broker that is away for a moment is waited for", w.result.Restarts)
	}
	r.check()
}

func TestTopicMissing(t *testing.T) {
	r := newRig(t, devbroker.Config{Topics: []devbroker.Topic{{Name: "other", Partitions: 1}}})
	r.fails("topic-missing", nil)
	if err := r.broker.EnsureTopic(devbroker.Topic{Name: "events", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	r.produce(100)
	r.complete()
}

func TestAuthorisationRefused(t *testing.T) {
	r := newRig(t, devbroker.Config{Users: []devbroker.User{{Mechanism: "PLAIN", Name: "admin", Password: "admin-secret", Super: true},
		{Mechanism: "PLAIN", Name: "reader", Password: "reader-secret"}}})
	admin := kgo.SASL(plain.Auth{User: "admin", Pass: "admin-secret"}.AsMechanism())
	r.produce(100, admin)
	t.Setenv("READER", "wrong")
	r.options = "    sasl: {mechanism: PLAIN, username: reader, password: \"${env:READER}\"}"
	r.fails("authentication-refused", nil)
	t.Setenv("READER", "reader-secret")
	r.fails("authorisation-refused", nil)
	t.Setenv("READER", "admin-secret")
	r.options = strings.Replace(r.options, "username: reader", "username: admin", 1)
	r.complete()
}

// TestRealAuthorisationRefused is the same on a real broker, where the right is given while the job is stopped.
func TestRealAuthorisationRefused(t *testing.T) {
	address := os.Getenv("TURBO_KAFKA")
	sasl, err := os.ReadFile(filepath.Join(os.Getenv("TURBO_KAFKA_DIR"), "bootstrap.sasl"))
	if address == "" || err != nil {
		if os.Getenv("TURBO_REAL") != "" {
			t.Fatalf("TURBO_KAFKA and TURBO_KAFKA_DIR must be set here: %v", err)
		}
		t.Skip("NOT RUN: TURBO_KAFKA and TURBO_KAFKA_DIR do not name a broker of test/kafka/start.sh --secure")
	}
	r := &rig{t: t, dir: t.TempDir(), want: map[string]string{}, keys: "k", retain: 3, format: "{type: csv}", address: address}
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin, ctx := kadm.NewClient(client), context.Background()
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "events"); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = admin.DeleteTopic(ctx, "events") }()
	r.produce(200)
	r.address = strings.TrimSpace(string(sasl))
	t.Setenv("READER", "reader-secret")
	r.options = "    sasl: {mechanism: SCRAM-SHA-256, username: reader, password: \"${env:READER}\"}"
	r.fails("authorisation-refused-real", nil)
	rights := kadm.NewACLs().Allow("User:reader").AllowHosts("*").Topics("events").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpDescribe)
	if results, err := admin.CreateACLs(ctx, rights); err != nil || len(results) == 0 || results[0].Err != nil {
		t.Fatal(results, err)
	}
	defer func() { _, _ = admin.DeleteACLs(ctx, rights) }()
	reader, err := kgo.NewClient(kgo.SeedBrokers(r.address), kgo.SASL(scram.Auth{User: "reader", Pass: "reader-secret"}.AsSha256Mechanism()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the broker learns of the right a moment later
		topics, err := kadm.NewClient(reader).ListTopics(ctx, "events")
		if err == nil && topics.Has("events") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the right has no effect: %v %v", topics, err)
		}
	}
	r.complete()
	if strings.Contains(r.logged.String()+fmt.Sprint(r.options), "reader-secret") {
		t.Error("the password was printed")
	}
}
