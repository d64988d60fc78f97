package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/devbroker"
	"turbo/io/connector"
)

var sinkSchema = core.NewSchema(
	core.Field{Name: "line", Type: core.Of(core.String)},
	core.Field{Name: "id", Type: core.Of(core.Int64)},
	core.Field{Name: "tag", Type: core.Of(core.Bytes)},
	core.Field{Name: "at", Type: core.Of(core.Timestamp)},
	core.Field{Name: "part", Type: core.Of(core.Int32)},
)

func (r *rig) makeSink(spec string) (*Sink, error) {
	r.t.Helper()
	text := fmt.Sprintf("brokers: %s\nformat: test-text\n%s\n", r.address, strings.ReplaceAll(spec, "; ", "\n"))
	config, err := connector.FromYAML("sinks.test", sinkFields, text)
	if err != nil {
		return nil, err
	}
	return NewSink(&connector.SinkContext{
		Runtime: connector.Runtime{Job: "job", Name: "test", Parallelism: 1, BatchRows: 64, Account: r.pool.Account("sink"),
			Clock: clock.Real(), Log: slog.New(slog.DiscardHandler)},
		Config: config, Schema: sinkSchema,
	})
}

// batch makes rows from..from+n-1: line l<i>, id i (null each 5th), tag t<i> (null each 3rd), at i minutes, part i%2; odd rows are not selected
// when half is true.
func (r *rig) batch(from, n int, half bool) *core.Batch {
	b := core.NewBuilder(r.pool.Account("sink"), sinkSchema, n)
	defer b.Close()
	for i := from; i < from+n; i++ {
		b.Column(0).AppendString(fmt.Sprintf("l%d", i))
		if i%5 == 4 {
			b.Column(1).AppendNull()
		} else {
			b.Column(1).AppendInt64(int64(i))
		}
		if i%3 == 2 {
			b.Column(2).AppendNull()
		} else {
			b.Column(2).AppendBytes(fmt.Appendf(nil, "t%d", i))
		}
		b.Column(3).AppendInt64(int64(i) * 60e6)
		b.Column(4).AppendInt32(int32(i % 2))
	}
	batch := b.Finish()
	if half {
		sel := batch.SelBuffer(n)[:0]
		for i := 0; i < n; i += 2 {
			sel = append(sel, int32(i))
		}
		batch.Sel = sel
	}
	return batch
}

type prepared struct {
	committable []byte
	err         error
}

func prepare(w core.SinkWriter, checkpoint uint64) prepared {
	done := make(chan prepared, 1)
	w.Prepare(checkpoint, false, func(c []byte, err error) { done <- prepared{c, err} })
	return <-done
}

// records reads everything that a topic has, by partition.
func (r *rig) records(topic string) map[int32][]*kgo.Record {
	r.t.Helper()
	left := int64(0)
	for _, p := range r.broker.Cluster().PartitionInfos(topic) {
		left += p.HighWatermark
	}
	client := r.newClient(kgo.ConsumeTopics(topic))
	out := map[int32][]*kgo.Record{}
	for left > 0 {
		fetches := client.PollFetches(testContext(r.t))
		if err := fetches.Err(); err != nil {
			r.t.Fatal(err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			out[rec.Partition] = append(out[rec.Partition], rec)
			left--
		})
	}
	return out
}

func (r *rig) openSink(spec string) (*Sink, core.SinkWriter) {
	r.t.Helper()
	sink, err := r.makeSink(spec)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := sink.Open(testContext(r.t), nil); err != nil {
		r.t.Fatal(err)
	}
	w, err := sink.Writer(0)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		w.Close()
		sink.Close()
	})
	return sink, w
}

func TestSink(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		r := newRig(t, topics("out:4"))
		sink, w := r.openSink("topic: out; key: id; headers: {tag: tag}; timestamp: at; compression: " + compression)
		for i := range 10 {
			if err := w.Write(r.batch(i*100, 100, true)); err != nil {
				t.Fatal(err)
			}
		}
		if p := prepare(w, 1); p.err != nil || len(p.committable) != 0 {
			t.Fatal(p.err)
		}
		if err := sink.Commit(testContext(t), core.CommitInfo{Checkpoint: 1}, nil); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for partition, records := range r.records("out") {
			for _, rec := range records {
				var i int
				fmt.Sscanf(string(rec.Value), "l%d", &i)
				seen[string(rec.Value)] = true
				if i%5 == 4 {
					if rec.Key != nil {
						t.Errorf("row %d has the key %q", i, rec.Key)
					}
				} else if string(rec.Key) != fmt.Sprint(i) {
					t.Errorf("row %d has the key %q", i, rec.Key)
				} else if want := javaPartition(rec.Key, 4); partition != want {
					t.Errorf("key %q is in partition %d, Kafka's partitioner says %d", rec.Key, partition, want)
				}
				if (len(rec.Headers) == 0) != (i%3 == 2) || len(rec.Headers) > 0 && (rec.Headers[0].Key != "tag" || string(rec.Headers[0].Value) != fmt.Sprintf("t%d", i)) {
					t.Errorf("row %d has the headers %v", i, rec.Headers)
				}
				if rec.Timestamp.Unix() != int64(i)*60 {
					t.Errorf("row %d has the time %v", i, rec.Timestamp)
				}
			}
		}
		if len(seen) != 500 {
			t.Errorf("%s: %d different rows", compression, len(seen))
		}
	}
}

// javaPartition is DefaultPartitioner of Kafka's Java client: murmur2 with seed 0x9747b28c, without the sign bit, modulo the partitions.
func javaPartition(key []byte, partitions int32) int32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return int32(h&0x7fffffff) % partitions
}

func TestSinkPartitionColumn(t *testing.T) {
	r := newRig(t, topics("out:2"))
	_, w := r.openSink("topic: out; partition: part; key: line")
	if err := w.Write(r.batch(0, 10, false)); err != nil {
		t.Fatal(err)
	}
	if p := prepare(w, 1); p.err != nil {
		t.Fatal(p.err)
	}
	for partition, records := range r.records("out") {
		for _, rec := range records {
			var i int
			fmt.Sscanf(string(rec.Value), "l%d", &i)
			if int32(i%2) != partition || string(rec.Key) != string(rec.Value) {
				t.Errorf("row %d with key %s is in partition %d", i, rec.Key, partition)
			}
		}
	}
}

// A partition that is not there is the row's mistake: the message has the column, its value and the row, and trying again is no use.
func TestSinkPartitionOutOfRange(t *testing.T) {
	for _, c := range []struct {
		partition int32 // -2: null
		want      string
	}{
		{2, `topic "out" has 2 partitions, from 0 on, and the column "part" says 2 in the row with the key "l1" and the value "l1": select`},
		{-7, `the column "part", the partition to write to, is -7 in the row with the key "l1" and the value "l1": select`},
		{-2, `the column "part", the partition to write to, is NULL in the row with the key "l1" and the value "l1": select`},
	} {
		r := newRig(t, topics("out:2"))
		_, w := r.openSink("topic: out; partition: part; key: line")
		b := core.NewBuilder(r.pool.Account("sink"), sinkSchema, 2)
		for i, p := range []int32{0, c.partition} {
			b.Column(0).AppendString(fmt.Sprintf("l%d", i))
			b.Column(1).AppendInt64(7)
			b.Column(2).AppendNull()
			b.Column(3).AppendInt64(0)
			if p == -2 {
				b.Column(4).AppendNull()
			} else {
				b.Column(4).AppendInt32(p)
			}
		}
		batch := b.Finish()
		b.Close()
		err := w.Write(batch)
		if err == nil {
			err = prepare(w, 1).err
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !core.IsPermanent(err) {
			t.Errorf("partition %d: %v", c.partition, err)
		}
	}
}

// Nothing is acknowledged while the broker is away; when it is back, what was written arrives, in order.
func TestSinkBrokerAway(t *testing.T) {
	t.Parallel()
	config := topics("out:1")
	config.Dir = t.TempDir()
	r := newRig(t, config)
	sink, w := r.openSink("topic: out")
	if err := w.Write(r.batch(0, 10, false)); err != nil {
		t.Fatal(err)
	}
	if p := prepare(w, 1); p.err != nil {
		t.Fatal(p.err)
	}
	r.broker.Close()
	if err := w.Write(r.batch(10, 10, false)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	w.Prepare(2, false, func(_ []byte, err error) { done <- err })
	for sink.Metrics().ConnectErrors.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-done:
		t.Fatalf("prepared without a broker: %v", err)
	default:
	}
	r.restart(config)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rec := range r.records("out")[0] {
		got = append(got, string(rec.Value))
	}
	if strings.Join(got, " ") != strings.Join(numbered("l", 0, 20), " ") {
		t.Errorf("records: %v", got)
	}
}

func TestSinkRefusedRecords(t *testing.T) {
	r := newRig(t, topics("out:1"))
	_, w := r.openSink("topic: out")
	r.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "out", Err: kerr.TopicAuthorizationFailed, Count: -1})
	if err := w.Write(r.batch(0, 10, false)); err != nil {
		t.Fatal(err)
	}
	wantError(t, prepare(w, 1).err, "sink test", `topic "out": access is refused`)
}

// A broker that stays away fails the attempt when the timeout has passed, also while the writer is blocked by a full buffer.
func TestSinkDeliveryTimeout(t *testing.T) {
	r := newRig(t, topics("out:1"))
	_, w := r.openSink("topic: out; delivery-timeout: 40ms; buffer-memory: 1MiB")
	r.broker.Close()
	for i := range 100 {
		if err := w.Write(r.batch(i, 100, false)); err != nil {
			break
		}
	}
	wantError(t, prepare(w, 1).err, "sink test", "no record was acknowledged for 40ms")
}

func TestSinkClosedWithRecordsPending(t *testing.T) {
	r := newRig(t, topics("out:1"))
	_, w := r.openSink("topic: out")
	r.broker.Close()
	if err := w.Write(r.batch(0, 10, false)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	w.Prepare(1, false, func(_ []byte, err error) { done <- err })
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("prepared without a broker")
	}
}

func TestSinkMistakes(t *testing.T) {
	t.Parallel()
	config := topics("out:1")
	config.Users = append(users(), devbroker.User{Mechanism: "SCRAM-SHA-512", Name: "writer", Password: "w", Allow: []kfake.ACL{
		{Resource: kmsg.ACLResourceTypeTopic, Name: "out", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationWrite, Allow: true}}},
		devbroker.User{Mechanism: "SCRAM-SHA-512", Name: "out-looker", Password: "w", Allow: []kfake.ACL{
			{Resource: kmsg.ACLResourceTypeTopic, Name: "out", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}}})
	r := newRig(t, config)
	for _, c := range []struct{ spec, want string }{
		{"topic: out; key: idd", `sinks.test.key: the sink gets no column "idd", did you mean "id"?`},
		{"topic: out; key: [id, line]", "raw takes one key column, here are 2"},
		{"topic: out; key: at", "a column of type TIMESTAMP(6) is no raw key"},
		{"topic: out; headers: {h: id}", `the column "id" is BIGINT; a header is STRING or BYTES`},
		{"topic: out; partition: line", "must be INT or BIGINT"},
		{"topic: out; timestamp: id", "must be TIMESTAMP or TIMESTAMP_LTZ"},
		{"topic: out; value-columns: [lin]", `did you mean "line"?`},
	} {
		_, err := r.makeSink(c.spec)
		wantError(t, err, c.want)
	}
	for _, c := range []struct{ spec, want string }{
		{"topic: ouu; sasl: {mechanism: PLAIN, username: admin, password: s3cret-a}", `topic "ouu" does not exist on this cluster; did you mean "out"?`},
		{"topic: out; sasl: {username: nobody, password: s3cret-n}", `topic "out": access is refused to user "nobody"`},
		{"topic: out; sasl: {username: out-looker, password: w}", `topic "out": access is refused to user "out-looker"`},
		{"topic: out; sasl: {username: writer, password: w}", ""},
	} {
		sink, err := r.makeSink(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		for name, check := range map[string]func(context.Context) error{"validate": sink.Validate,
			"open": func(ctx context.Context) error { defer sink.Close(); return sink.Open(ctx, nil) }} {
			err := check(testContext(t))
			if c.want == "" && err != nil {
				t.Errorf("%s, %s: %v", name, c.spec, err)
			} else if c.want != "" {
				wantError(t, err, "sink test", c.want)
			}
		}
	}
}
