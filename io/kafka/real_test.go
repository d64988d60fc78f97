package kafka

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"turbo/core"
	"turbo/memory"
)

// The tests of this file run against a real Apache Kafka. test/kafka/start.sh --secure DIR starts one; then
//
//	TURBO_KAFKA=$(cat DIR/bootstrap) TURBO_KAFKA_DIR=DIR go test ./io/kafka -run Real
//
// TURBO_KAFKA is the address of its listener without login, TURBO_KAFKA_DIR the folder with the other addresses. Where TURBO_REAL is set (test/real.sh does)
// they must be set.

// realRig is a rig on the real broker with an admin client, or skips the test.
func realRig(t *testing.T) (*rig, *kadm.Client) {
	t.Helper()
	address := os.Getenv("TURBO_KAFKA")
	if address == "" {
		if os.Getenv("TURBO_REAL") != "" {
			t.Fatal("TURBO_REAL is set and TURBO_KAFKA is not: the tests against a real Kafka broker must run here")
		}
		t.Skip("NOT RUN: TURBO_KAFKA is not set, so nothing was tested against a real Kafka broker (test/kafka/start.sh starts one)")
	}
	r := rigAt(t, address)
	return r, kadm.NewClient(r.client)
}

func rigAt(t *testing.T, address string) *rig {
	t.Helper()
	r := &rig{t: t, pool: memory.NewPool(256 << 20), workers: 1, rows: 64, meta: []string{"topic", "partition", "offset"}, address: address}
	t.Cleanup(func() {
		if err := r.pool.CheckZero(); err != nil {
			t.Error(err)
		}
	})
	r.client = r.newClient()
	return r
}

// realTopic makes a topic with a name of its own, and deletes it after the test.
func realTopic(t *testing.T, admin *kadm.Client, partitions int32, settings map[string]string) string {
	t.Helper()
	name := fmt.Sprintf("turbo-test-%s-%08x", strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), rand.Uint32())
	configs := map[string]*string{}
	for k, v := range settings {
		configs[k] = &v
	}
	if _, err := admin.CreateTopic(testContext(t), partitions, 1, configs, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.DeleteTopics(testContext(t), name) }) //nolint:errcheck // best effort
	// The controller has it; the broker learns of it a moment later.
	for {
		topics, err := admin.ListTopics(testContext(t), name)
		if err != nil {
			t.Fatal(err)
		}
		if topics.Has(name) && topics[name].Err == nil && len(topics[name].Partitions) == int(partitions) && topics[name].Partitions[0].Leader >= 0 {
			return name
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Two producers interleave transactions, committed and aborted, with records outside of any; the source restarts at random
// points. It must give what an oracle says, under both isolation levels.
func TestRealTransactions(t *testing.T) {
	r, admin := realRig(t)
	random := seeded(t)
	topic := realTopic(t, admin, 2, nil)
	id := fmt.Sprintf("tx-%08x", random.Uint32())
	writers := [2]*kgo.Client{r.newClient(kgo.TransactionalID(id + "a")), r.newClient(kgo.TransactionalID(id + "b"))}
	committed, all := map[string]bool{}, map[string]bool{}
	next := 0
	put := func(client *kgo.Client, into ...map[string]bool) {
		t.Helper()
		value := fmt.Sprintf("v%d", next)
		next++
		record := &kgo.Record{Topic: topic, Partition: int32(random.IntN(2)), Value: []byte(value)}
		if err := client.ProduceSync(testContext(t), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for _, m := range into {
			m[value] = true
		}
	}
	round := func(last bool) {
		t.Helper()
		var outcome [2]map[string]bool
		for i, w := range writers {
			if err := w.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			outcome[i] = map[string]bool{}
		}
		for range 2 + random.IntN(10) {
			switch i := random.IntN(3); i {
			case 2:
				put(r.client, all, committed)
			default:
				put(writers[i], all, outcome[i])
			}
		}
		for _, i := range random.Perm(2) {
			try := kgo.TryAbort
			if !last && random.IntN(2) == 0 {
				try = kgo.TryCommit
				for v := range outcome[i] {
					committed[v] = true
				}
			}
			if err := writers[i].EndTransaction(testContext(t), try); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 15 {
		round(i == 14) // the log ends with aborted records and markers
	}
	for isolation, want := range map[string]map[string]bool{"read_committed": committed, "read_uncommitted": all} {
		seen := map[string]int{}
		var state []core.SplitState
		r.rows = 3
		for attempt := 0; ; attempt++ {
			r.workers = 1 + attempt%2
			run := r.open(fmt.Sprintf("topic: %s; stop: end; isolation: %s", topic, isolation), state)
			cut, events := random.IntN(20), 0
			finished := func() bool {
				for _, f := range run.finished {
					if !f {
						return false
					}
				}
				return true
			}
			run.until(func() bool { events++; return finished() || attempt < 6 && events > cut })
			state = run.snapshot()
			for _, rows := range run.seen {
				for _, row := range rows {
					seen[row.value]++
				}
			}
			done := finished()
			run.close()
			if done {
				break
			}
		}
		for v := range want {
			if seen[v] != 1 {
				t.Errorf("%s: %s came %d times", isolation, v, seen[v])
			}
		}
		if len(seen) != len(want) {
			t.Errorf("%s: %d different rows, want %d", isolation, len(seen), len(want))
		}
		for _, s := range state {
			if p, err := ParsePosition(s.Position); err != nil || p.Offset != p.Stop {
				t.Errorf("%s: %s is not at its stop: %s", isolation, s.ID, s.Position)
			}
		}
	}
}

// A bounded read ends although the records before its stop are compacted away.
func TestRealCompaction(t *testing.T) {
	r, admin := realRig(t)
	topic := realTopic(t, admin, 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.0", "max.compaction.lag.ms": "100"})
	put := func(n int, key string) {
		for range n {
			if err := r.client.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte("v")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(1, "first")
	put(50, "again")
	left := func() (offsets []int64) {
		client := r.newClient(kgo.ConsumeTopics(topic))
		defer client.Close()
		end, err := admin.ListEndOffsets(testContext(t), topic)
		if err != nil {
			t.Fatal(err)
		}
		last, _ := end.Lookup(topic, 0)
		for len(offsets) == 0 || offsets[len(offsets)-1] < last.Offset-1 {
			client.PollFetches(testContext(t)).EachRecord(func(rec *kgo.Record) { offsets = append(offsets, rec.Offset) })
		}
		return offsets
	}
	deadline := time.Now().Add(60 * time.Second)
	var offsets []int64
	for i := 0; ; i++ {
		time.Sleep(200 * time.Millisecond) // the broker rolls a segment on the first append after segment.ms
		put(1, "again")
		if offsets = left(); offsets[0] == 0 && len(offsets) > 1 && offsets[1] > 40 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker does not compact: %v", offsets)
		}
	}
	t.Logf("left of the log: %v", offsets)
	run := r.open(fmt.Sprintf("topic: %s; stop: {at: offsets, offsets: {%s/0: 40}}", topic, topic), nil)
	run.untilEnd()
	if run.rows != 1 || positions(run.snapshot()) != topic+"/0=40/40" {
		t.Errorf("%d rows, then %s", run.rows, positions(run.snapshot()))
	}
}

func TestRealRetention(t *testing.T) {
	r, admin := realRig(t)
	topic := realTopic(t, admin, 1, nil)
	r.produce(topic, 0, numbered("", 0, 20)...)
	run := r.open("topic: "+topic, nil)
	run.untilRows(20)
	state := []core.SplitState{{ID: topic + "/0", Position: []byte("5")}}
	run.close()
	to := kadm.Offsets{}
	to.AddOffset(topic, 0, 12, -1)
	if _, err := admin.DeleteRecords(testContext(t), to); err != nil {
		t.Fatal(err)
	}
	_, err := r.tryOpen("topic: "+topic, state)
	wantError(t, err, "the restored offset, 5, is before the log's first, 12", "--fresh")
	_, err = r.tryOpen("topic: turbo-test-there-is-none", nil)
	wantError(t, err, `topic "turbo-test-there-is-none" does not exist on this cluster`)
}

func TestRealSink(t *testing.T) {
	r, admin := realRig(t)
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic := realTopic(t, admin, 4, nil)
		_, w := r.openSink(fmt.Sprintf("topic: %s; key: id; compression: %s", topic, compression))
		for i := range 5 {
			if err := w.Write(r.batch(i*100, 100, false)); err != nil {
				t.Fatal(err)
			}
		}
		if p := prepare(w, 1); p.err != nil {
			t.Fatal(p.err)
		}
		run := r.open(fmt.Sprintf("topic: %s; stop: end", topic), nil)
		run.untilEnd()
		seen := map[string]int{}
		for id, rows := range run.seen {
			_, partition, _ := ParseSplitID(id)
			for _, row := range rows {
				seen[row.value]++
				var i int
				fmt.Sscanf(row.value, "l%d", &i)
				if want := javaPartition(fmt.Append(nil, i), 4); i%5 != 4 && want != partition {
					t.Errorf("row %d is in partition %d, want %d", i, partition, want)
				}
			}
		}
		if run.rows != 500 || len(seen) != 500 {
			t.Errorf("%s: %d rows, %d different", compression, run.rows, len(seen))
		}
	}
}

func TestRealSecurity(t *testing.T) {
	plain, admin := realRig(t)
	dir := os.Getenv("TURBO_KAFKA_DIR")
	address := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			if os.Getenv("TURBO_REAL") != "" {
				t.Fatalf("TURBO_KAFKA_DIR must name the folder of a broker that was started with --secure: %v", err)
			}
			t.Skip("NOT RUN: TURBO_KAFKA_DIR does not name the folder of a broker that was started with --secure, so SASL, TLS and ACLs were not tested on a real broker")
		}
		return strings.TrimSpace(string(b))
	}
	sasl, tlsOnly, both := address("bootstrap.sasl"), address("bootstrap.tls"), address("bootstrap.sasl-tls")
	ca := filepath.Join(dir, "ca.pem")
	topic := realTopic(t, admin, 1, nil)
	plain.produce(topic, 0, "1", "2")
	validate := func(at, spec string) error {
		r := rigAt(t, at)
		source, err := r.make("topic: " + topic + "; " + spec)
		if err != nil {
			return err
		}
		return source.Validate(testContext(t))
	}
	login := func(mechanism, user, password string) string {
		return fmt.Sprintf("sasl: {mechanism: %s, username: %s, password: %s}", mechanism, user, password)
	}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		if err := validate(sasl, login(mechanism, "admin", "admin-secret")); err != nil {
			t.Error(err)
		}
		if err := validate(both, login(mechanism, "admin", "admin-secret")+"; tls: {ca: "+ca+"}"); err != nil {
			t.Error(err)
		}
		err := validate(sasl, login(mechanism, "admin", "not-the-secret"))
		wantError(t, err, fmt.Sprintf("login of user %q by %s", "admin", mechanism))
		if strings.Contains(err.Error(), "not-the-secret") {
			t.Errorf("the message shows the password: %v", err)
		}
	}
	wantError(t, validate(sasl, ""), "probably wants")
	wantError(t, validate(tlsOnly, ""), "probably wants TLS")
	wantError(t, validate(tlsOnly, "tls: true"), "signed by an unknown authority")
	for _, spec := range []string{"tls: {ca: " + ca + "}", "tls: {insecure: true}"} {
		run := rigAt(t, tlsOnly).open("topic: "+topic+"; stop: end; "+spec, nil)
		run.untilEnd()
		if run.rows != 2 {
			t.Errorf("%s: %d rows", spec, run.rows)
		}
		run.close()
	}
	// Authorisation: reader has nothing at first, then may look, then may read.
	reader := login("SCRAM-SHA-256", "reader", "reader-secret")
	wantError(t, validate(sasl, reader), `access is refused to user "reader"`)
	allow := func(operation kadm.ACLOperation) {
		t.Helper()
		acl := kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(operation).Allow("User:reader").AllowHosts()
		if _, err := admin.CreateACLs(testContext(t), acl); err != nil {
			t.Fatal(err)
		}
	}
	allow(kmsg.ACLOperationDescribe)
	wait(t, func() error {
		err := validate(sasl, reader)
		if err == nil || !strings.Contains(err.Error(), "Read") {
			return fmt.Errorf("with Describe alone: %v", err)
		}
		return nil
	})
	allow(kmsg.ACLOperationRead)
	wait(t, func() error { return validate(sasl, reader) })
	wantError(t, validate(sasl, reader+"; group: turbo-test"), `consumer group is refused to user "reader"`)
	run := rigAt(t, sasl)
	run.client.Close()
	run.client = run.newClient(kgo.SASL(scram.Auth{User: "admin", Pass: "admin-secret"}.AsSha256Mechanism()))
	running := run.open("topic: "+topic+"; stop: end; "+reader, nil)
	running.untilEnd()
	if running.rows != 2 {
		t.Errorf("%d rows", running.rows)
	}
	// A sink of the same user is refused.
	sink, err := run.makeSink("topic: " + topic + "; " + reader)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, sink.Validate(testContext(t)), `access is refused to user "reader"`, kerr.TopicAuthorizationFailed.Message)
}

// wait tries until check passes: a broker applies ACLs a moment after it has answered.
func wait(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for range 1200 {
		if err = check(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal(err)
}

// A broker of its own is killed while source and sink use it.
func TestRealBrokerKilled(t *testing.T) {
	realRig(t)
	dir := t.TempDir()
	script := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(filepath.Join("..", "..", "test", "kafka", name), append(args, dir)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	address := script("start.sh")
	t.Cleanup(func() { script("stop.sh", "--kill") })
	r := rigAt(t, address)
	topic := realTopic(t, kadm.NewClient(r.client), 2, nil)
	_, w := r.openSink("topic: " + topic + "; key: id")
	run := r.open("topic: "+topic, nil)
	write := func(from int) {
		t.Helper()
		for i := range 5 {
			if err := w.Write(r.batch(from+i*100, 100, false)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0)
	if p := prepare(w, 1); p.err != nil {
		t.Fatal(p.err)
	}
	run.untilRows(500)
	script("stop.sh", "--kill")
	write(500)
	for run.source.Metrics().ConnectErrors.Load() == 0 {
		run.step(0)
		time.Sleep(time.Millisecond)
	}
	if again := script("start.sh"); again != address {
		t.Fatalf("the broker came back at %s, not %s", again, address)
	}
	if p := prepare(w, 2); p.err != nil {
		t.Fatal(p.err)
	}
	run.untilRows(1000)
	seen := map[string]int{}
	for _, rows := range run.seen {
		for i, row := range rows {
			seen[row.value]++
			if row.offset != int64(i) {
				t.Fatalf("offset %d is row %d", row.offset, i)
			}
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d different rows", len(seen))
	}
}
