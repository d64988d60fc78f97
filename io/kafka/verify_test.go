package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/internal/devbroker"
	"turbo/io/connector"
)

// audit runs an audit of one partition and returns it with the rows, "line@offset".
func (r *rig) audit(yaml string, onError connector.ErrorPolicy, ranges ...AuditRange) ([]Audit, string) {
	r.t.Helper()
	r.onError = onError
	s, err := r.make(yaml)
	if err != nil {
		r.t.Fatal(err)
	}
	var rows []string
	audits, err := s.Audit(testContext(r.t), ranges, func(a *Audit, b *core.Batch) error {
		defer b.Release()
		for i := range b.Rows() {
			rows = append(rows, fmt.Sprintf("%s@%s/%d/%d", b.Columns[0].StringAt(i), b.Columns[1].StringAt(i), b.Columns[2].Int32s()[i], b.Columns[3].Int64s()[i]))
		}
		if a.To <= a.From {
			r.t.Errorf("rows of the range %+v", a)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return audits, strings.Join(rows, " ")
}

func TestAuditBadRecords(t *testing.T) {
	r := newRig(t, topics("a:2"))
	r.produce("a", 0, "x", "bad", "tombstone", "y", "z")
	for _, c := range []struct {
		policy       connector.ErrorPolicy
		skipped, bad int64
	}{{connector.FailOnError, 1, 1}, {connector.DeadLetters, 1, 1}, {connector.SkipOnError, 2, 0}} {
		audits, rows := r.audit("topic: a", c.policy, AuditRange{"a", 1, 0, 0}, AuditRange{"a", 0, -1, 4})
		want := Audit{Topic: "a", From: 0, To: 4, End: 5, Records: 4, Skipped: c.skipped, Bad: c.bad}
		if got := fmt.Sprintf("%+v", audits[0]); got != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %s", c.policy, got)
		}
		if rows != "x@a/0/0 y@a/0/3" {
			t.Errorf("rows %s", rows)
		}
		if a := audits[1]; a.Partition != 1 || a.Records != 0 || a.From != 0 {
			t.Errorf("%+v", a)
		}
	}
}

func TestAuditStarts(t *testing.T) {
	r := newRig(t, topics("a"))
	r.produce("a", 0, "0", "1", "2", "3")
	for _, c := range []struct {
		start string
		from  int64
		rows  string
	}{
		{"earliest", 0, "0@a/0/0 1@a/0/1 2@a/0/2"},
		{"{at: offsets, offsets: {a/0: 2}}", 2, "2@a/0/2"},
		{"latest", -1, ""}, // nobody knows any more where the end was
	} {
		audits, rows := r.audit("topic: a\nstart: "+c.start, connector.FailOnError, AuditRange{"a", 0, -1, 3})
		if audits[0].From != c.from || rows != c.rows {
			t.Errorf("%s: from %d, rows %s", c.start, audits[0].From, rows)
		}
	}
}

func TestAuditTransactions(t *testing.T) {
	auditTransactions(t, newRig(t, topics("a")), "a")
}

func TestRealAuditTransactions(t *testing.T) {
	r, admin := realRig(t)
	auditTransactions(t, r, realTopic(t, admin, 1, nil))
}

// auditTransactions: a record, and then transactions of two records and a marker each, the middle one committed.
func auditTransactions(t *testing.T, r *rig, topic string) {
	r.produce(topic, 0, "0")
	c := r.newClient(kgo.TransactionalID("of " + topic))
	for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}, &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := c.EndTransaction(testContext(t), end); err != nil {
			t.Fatal(err)
		}
	}
	audits, rows := r.audit("topic: "+topic, connector.FailOnError, AuditRange{topic, 0, 0, 10})
	want := strings.ReplaceAll("0@a/0/0 1@a/0/4 1@a/0/5", "a", topic)
	if a := audits[0]; a.Records != 3 || a.Control != 3 || a.Aborted != 4 || a.Compacted != 0 || len(a.Lost)+len(a.Unexplained) != 0 || rows != want {
		t.Errorf("%+v, rows %s", a, rows)
	}
	// A range that ends among the records of an aborted transaction.
	if audits, _ = r.audit("topic: "+topic, connector.FailOnError, AuditRange{topic, 0, 2, 8}); audits[0].Records != 2 || audits[0].Control != 2 || audits[0].Aborted != 2 {
		t.Errorf("%+v", audits[0])
	}
	if audits, _ = r.audit("topic: "+topic+"\nisolation: read_uncommitted", connector.FailOnError, AuditRange{topic, 0, 0, 10}); audits[0].Records != 7 || audits[0].Control != 3 {
		t.Errorf("read_uncommitted: %+v", audits[0])
	}
}

// Apache Kafka compacts when its cleaner comes by: a topic with short segments, and a few more records to close the last one.
func TestRealAuditCompaction(t *testing.T) {
	r, admin := realRig(t)
	topic := realTopic(t, admin, 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"})
	put := func(key, value int) {
		if err := r.client.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Key: fmt.Append(nil, key), Value: fmt.Append(nil, value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	put(9, 0)
	for i := range 60 {
		put(i%3, i)
	}
	for try := 1; ; try++ {
		audits, _ := r.audit("topic: "+topic, connector.FailOnError, AuditRange{topic, 0, 0, 61})
		a := audits[0]
		if a.Records+a.Compacted != 61 || len(a.Lost) != 0 {
			t.Fatalf("%+v", a)
		}
		if a.Compacted > 0 {
			return
		}
		if try == 100 {
			t.Skip("NOT RUN: the broker's cleaner did not come by within 20 s")
		}
		time.Sleep(200 * time.Millisecond)
		put(0, 100+try)
	}
}

// What is gone from a compacted topic is no loss; gone from another one it is.
func TestAuditHoles(t *testing.T) {
	for _, policy := range []string{"compact", "delete"} {
		r := newRig(t, devbroker.Config{Topics: []devbroker.Topic{{Name: "a", Partitions: 1, Settings: map[string]string{
			"cleanup.policy": "compact", "segment.bytes": "200", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "1"}}}})
		for i := range 40 {
			key := 3 // of one record at the start, so that the log still begins there
			if i > 0 {
				key = i % 3
			}
			record := &kgo.Record{Topic: "a", Key: fmt.Append(nil, key), Value: fmt.Append(nil, i)}
			if err := r.client.ProduceSync(testContext(t), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		r.broker.Cluster().Compact()
		if policy == "delete" { // the log keeps its holes
			_, err := kadm.NewClient(r.client).AlterTopicConfigs(testContext(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &policy}}, "a")
			if err != nil {
				t.Fatal(err)
			}
		}
		audits, _ := r.audit("topic: a", connector.FailOnError, AuditRange{"a", 0, 0, 40})
		a := audits[0]
		lost := int64(0)
		for _, s := range a.Lost {
			lost += s.To - s.From
		}
		if a.Records == 40 || a.Records+a.Compacted+lost != 40 {
			t.Fatalf("%s: %+v", policy, a)
		}
		if (policy == "compact") != (lost == 0) || (policy == "delete") != (a.Compacted == 0) {
			t.Errorf("%s: %+v", policy, a)
		}
	}
}

func TestAuditRetention(t *testing.T) {
	r := newRig(t, topics("a"))
	r.produce("a", 0, "0", "1", "2", "3", "4")
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "a", At: 2})
	if _, err := kadm.NewClient(r.client).DeleteRecords(testContext(t), offsets); err != nil {
		t.Fatal(err)
	}
	audits, rows := r.audit("topic: a", connector.FailOnError, AuditRange{"a", 0, 0, 4})
	if a := audits[0]; a.Deleted != 2 || a.Records != 2 || a.Start != 2 || len(a.Lost) != 0 || rows != "2@a/0/2 3@a/0/3" {
		t.Errorf("%+v, rows %s", a, rows)
	}
	// A range that goes beyond the log's end ends there, and says so.
	if audits, _ = r.audit("topic: a", connector.FailOnError, AuditRange{"a", 0, 3, 9}); audits[0].Records != 2 || fmt.Sprint(audits[0].Lost) != "[{5 9}]" {
		t.Errorf("%+v", audits[0])
	}
}
