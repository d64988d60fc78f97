package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/devbroker"
	"turbo/io/connector"
	"turbo/memory"
)

// A test waits as long as it takes.
func init() { validation, lastCommit = 3*time.Minute, time.Minute }

// The format of these tests: one STRING column that is the record; records that begin with "bad" cannot be decoded.
func init() {
	connector.RegisterFormat(connector.FormatSpec{
		Name: "test-text", Summary: "for tests",
		Supports:   func(core.Type) error { return nil },
		NewDecoder: func(c connector.DecoderContext) (connector.Decoder, error) { return textDecoder{c.Columns[0]}, nil },
		NewEncoder: func(c connector.EncoderContext) (connector.Encoder, error) { return textEncoder{}, nil },
	})
}

type textDecoder struct{ column int }

var errBad = errors.New("not my kind of text")

// Decode takes back a row by the builder's row count, as a format may.
func (d textDecoder) Decode(record []byte, b *core.Builder) error {
	rows := b.Rows()
	b.Column(d.column).AppendBytes(record)
	if bytes.HasPrefix(record, []byte("bad")) {
		b.Truncate(rows)
		return errBad
	}
	return nil
}

type textEncoder struct{}

func (textEncoder) Header() []byte { return nil }
func (textEncoder) Encode(dst []byte, ends []int32, b *core.Batch) ([]byte, []int32, error) {
	for i := range b.Rows() {
		dst = append(dst, b.Columns[0].BytesAt(b.Row(i))...)
		ends = append(ends, int32(len(dst)))
	}
	return dst, ends, nil
}

var recordSchema = core.NewSchema(core.Field{Name: "line", Type: core.Of(core.String)})

// rig is a broker with topics and what a source of it needs.
type rig struct {
	t       *testing.T
	broker  *devbroker.Broker
	pool    *memory.Pool
	client  *kgo.Client
	log     *bytes.Buffer
	workers int
	onError connector.ErrorPolicy
	meta    []string
	rows    int
	address string
}

func newRig(t *testing.T, config devbroker.Config) *rig {
	t.Helper()
	broker, err := devbroker.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, broker: broker, pool: memory.NewPool(256 << 20), workers: 1, rows: 64, meta: []string{"topic", "partition", "offset"}, address: broker.Address()}
	t.Cleanup(func() {
		broker.Close()
		if err := r.pool.CheckZero(); err != nil {
			t.Error(err)
		}
	})
	if config.TLS == nil && len(config.Users) == 0 {
		r.client = r.newClient()
	}
	return r
}

func topics(names ...string) devbroker.Config {
	c := devbroker.Config{}
	for _, n := range names {
		name, partitions := n, 1
		if i := strings.IndexByte(n, ':'); i > 0 {
			name = n[:i]
			fmt.Sscan(n[i+1:], &partitions)
		}
		c.Topics = append(c.Topics, devbroker.Topic{Name: name, Partitions: partitions})
	}
	return c
}

func (r *rig) newClient(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(r.address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)}, opts...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return client
}

// restart starts a broker that was closed again, on the address that clients know.
func (r *rig) restart(config devbroker.Config) {
	r.t.Helper()
	again, err := devbroker.Start(config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(again.Close)
	if r.broker = again; again.Address() != r.address {
		r.t.Skipf("NOT RUN: somebody else has taken the port of %s meanwhile", r.address)
	}
}

// produce writes values to a partition, in one batch.
func (r *rig) produce(topic string, partition int32, values ...string) {
	r.t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		record := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}
		if v == "tombstone" {
			record.Key, record.Value = []byte("k"), nil
		}
		records = append(records, record)
	}
	client := r.client
	if r.broker != nil && partition > 0 && len(r.broker.Cluster().PartitionInfos(topic)) > 1 {
		client = r.newClient() // it may know fewer partitions than there are
	}
	if err := client.ProduceSync(testContext(r.t), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// make makes a source from the keys of a job spec beside brokers and format.
func (r *rig) make(spec string) (*Source, error) {
	r.t.Helper()
	text := fmt.Sprintf("brokers: %s\nformat: test-text\n%s\n", r.address, strings.ReplaceAll(spec, "; ", "\n"))
	config, err := connector.FromYAML("sources.test", sourceFields, text)
	if err != nil {
		return nil, err
	}
	fields := append([]core.Field{}, recordSchema.Fields...)
	var metadata []connector.MetadataIndex
	for _, key := range r.meta {
		for _, m := range metadataColumns {
			if m.Key == key {
				metadata = append(metadata, connector.MetadataIndex{Column: len(fields), Key: key})
				fields = append(fields, core.Field{Name: key, Type: m.Type})
			}
		}
	}
	r.log = &bytes.Buffer{}
	return NewSource(&connector.SourceContext{
		Runtime: connector.Runtime{
			Job: "job", Name: "test", Parallelism: r.workers, BatchRows: r.rows, Account: r.pool.Account("test"),
			Clock: clock.Real(), Log: slog.New(slog.DiscardHandler),
		},
		Config: config, Record: recordSchema, Schema: core.NewSchema(fields...), Columns: []int{0}, Metadata: metadata, OnError: r.onError,
	})
}

func (r *rig) open(spec string, restored []core.SplitState) *running {
	r.t.Helper()
	run, err := r.tryOpen(spec, restored)
	if err != nil {
		r.t.Fatal(err)
	}
	return run
}

func (r *rig) tryOpen(spec string, restored []core.SplitState) (*running, error) {
	r.t.Helper()
	source, err := r.make(spec)
	if err != nil {
		return nil, err
	}
	if err := source.Open(testContext(r.t), restored); err != nil {
		source.Close()
		return nil, err
	}
	run := &running{t: r.t, source: source, wake: make(chan struct{}, 1), seen: map[string][]row{}}
	r.t.Cleanup(run.close)
	for w := range r.workers {
		reader, err := source.Reader(w)
		if err != nil {
			r.t.Fatal(err)
		}
		reader.SetWaker(func() {
			select {
			case run.wake <- struct{}{}:
			default:
			}
		})
		run.readers = append(run.readers, reader)
		run.ids = append(run.ids, nil)
		run.finished = append(run.finished, false)
	}
	return run, nil
}

// running is an open source with its readers, and everything that came from them.
type running struct {
	t        *testing.T
	source   *Source
	readers  []core.SourceReader
	ids      [][]string // by reader: the splits' ids
	finished []bool
	wake     chan struct{}
	closed   bool

	seen    map[string][]row // by split, in order
	dead    []string
	rows    int
	read    int64
	skipped int64
	ended   []string
	failed  error
}

type row struct {
	offset int64
	value  string
}

// step polls one reader once and reports whether there was an event.
func (run *running) step(w int) bool {
	e, err := run.readers[w].Poll()
	if err != nil {
		run.failed = err
		return false
	}
	switch e.Kind {
	case core.NoEvent:
		return false
	case core.SplitStart:
		run.ids[w] = append(run.ids[w], e.ID)
	case core.SplitEnd:
		run.ended = append(run.ended, run.ids[w][e.Split])
	case core.EndOfInput:
		run.finished[w] = true
	case core.DataEvent:
		run.read += e.Read
		run.skipped += e.Skipped
		if b := e.Batch; b != nil {
			id := run.ids[w][e.Split]
			for i := range b.Rows() {
				topic, partition, offset := b.Columns[1].StringAt(i), b.Columns[2].Int32s()[i], b.Columns[3].Int64s()[i]
				if SplitID(topic, partition) != id {
					run.t.Fatalf("a row of %s/%d in a batch of %s", topic, partition, id)
				}
				value := "null"
				if !b.Columns[0].Null(i) {
					value = strings.Clone(b.Columns[0].StringAt(i)) // the column goes back to the pool
				}
				run.seen[id] = append(run.seen[id], row{offset, value})
				run.rows++
			}
			b.Release()
		}
	case core.DeadLetter:
		run.read += e.Read
		for i := range e.Batch.Rows() {
			run.dead = append(run.dead, fmt.Sprintf("%s@%d %s: %s", e.Batch.Columns[1].StringAt(i), e.Batch.Columns[2].Int64s()[i],
				e.Batch.Columns[5].BytesAt(i), e.Batch.Columns[3].StringAt(i)))
		}
		e.Batch.Release()
	}
	return true
}

// until polls all readers until done says so; it fails the test when the source fails or nothing comes.
func (run *running) until(done func() bool) {
	run.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !done() {
		progress := false
		for w := range run.readers {
			if !run.finished[w] && !done() {
				progress = run.step(w) || progress
			}
		}
		if run.failed != nil {
			run.t.Fatal(run.failed)
		}
		if !progress && !done() {
			select {
			case <-run.wake:
			case <-time.After(20 * time.Millisecond):
			case <-limit.C:
				run.t.Fatalf("nothing comes any more; %d rows so far: %v", run.rows, run.seen)
			}
		}
	}
}

func (run *running) untilRows(n int) {
	run.t.Helper()
	run.until(func() bool { return run.rows >= n })
}

func (run *running) untilEnd() {
	run.t.Helper()
	run.until(func() bool {
		for _, f := range run.finished {
			if !f {
				return false
			}
		}
		return true
	})
}

// untilError polls until the source fails and returns why.
func (run *running) untilError() error {
	run.t.Helper()
	for range 6000 {
		for w := range run.readers {
			for run.step(w) {
			}
			if run.failed != nil {
				return run.failed
			}
		}
		select {
		case <-run.wake:
		case <-time.After(10 * time.Millisecond):
		}
	}
	run.t.Fatal("the source does not fail")
	return nil
}

func (run *running) snapshot() []core.SplitState {
	run.t.Helper()
	var out []core.SplitState
	for _, r := range run.readers {
		s, err := r.Snapshot()
		if err != nil {
			run.t.Fatal(err)
		}
		out = append(out, s...)
	}
	return out
}

func (run *running) close() {
	if run.closed {
		return
	}
	run.closed = true
	for _, r := range run.readers {
		if err := r.Close(); err != nil {
			run.t.Error(err)
		}
	}
	if err := run.source.Close(); err != nil {
		run.t.Error(err)
	}
}

func numbered(prefix string, from, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, from+i)
	}
	return out
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error lacks %q:\n%v", p, err)
		}
	}
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
