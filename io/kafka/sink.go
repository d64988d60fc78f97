package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"turbo/core"
	"turbo/internal/spec"
	"turbo/io/connector"
)

// Guarantee is what the sink promises after a failure.
const Guarantee = "at-least-once"

func init() {
	connector.RegisterSink(connector.SinkSpec{
		Name:    "kafka",
		Summary: "Writes a topic of a Kafka cluster.",
		Description: "Each row is one record. Records are acknowledged by all in-sync replicas (`acks=all`, idempotent producer) before the checkpoint that covers " +
			"them completes; after a failure, rows since the last checkpoint are written again.\n\n" +
			"Rows with a key go to the partition that Kafka's default partitioner gives it (murmur2).",
		Guarantee: Guarantee,
		Fields:    sinkFields,
		New:       func(c *connector.SinkContext) (core.Sink, error) { return NewSink(c) },
	})
}

// Sink is the Kafka sink; see core.Sink for who may call what.
type Sink struct {
	context    *connector.SinkContext
	connection *connection
	topic      string
	format     *connector.FormatConfig
	layout     layout
	memory     int64
	reserved   bool
}

// layout says where the parts of a record stand among the columns.
type layout struct {
	value     []int // nil: all
	schema    *core.Schema
	key       []int
	keySchema *core.Schema
	keyJSON   bool
	headers   []header
	partition int // -1: none
	timestamp int // -1: none
}

type header struct {
	name   string
	column int
}

// NewSink makes a sink and checks the configuration. It does no network I/O.
func NewSink(c *connector.SinkContext) (*Sink, error) {
	s := &Sink{context: c, topic: c.Config.String("topic")}
	var err error
	if s.connection, err = newConnection(c.Config, c.Log); err != nil {
		return nil, err
	}
	s.format = c.Config.Format("format")
	if s.format == nil || s.format.Spec.NewEncoder == nil {
		return nil, c.Config.Errorf("format", "is a format of whole files; a Kafka record needs a record format")
	}
	if s.layout, err = newLayout(c.Config, c.Schema, s.format.Spec); err != nil {
		return nil, err
	}
	if check := s.format.Spec.Check; check != nil {
		if err := check(s.format.Config, s.layout.schema); err != nil {
			return nil, err
		}
	}
	s.memory = connectorMemory(c.Config, "buffer-memory", c.Runtime)
	return s, nil
}

func newLayout(config *connector.Config, schema *core.Schema, format *connector.FormatSpec) (layout, error) {
	l := layout{partition: -1, timestamp: -1}
	column := func(field, name string) (int, error) {
		i := schema.Index(name)
		if i < 0 {
			return i, config.Errorf(field, "the sink gets no column %q%s", name, spec.Suggest(name, schema.Names()))
		}
		return i, nil
	}
	var aside []int // columns that the value leaves out by default
	for _, name := range config.Strings("key") {
		i, err := column("key", name)
		if err != nil {
			return l, err
		}
		l.key = append(l.key, i)
	}
	l.keySchema = pick(schema, l.key)
	l.keyJSON = config.String("key-format") == "json"
	switch {
	case len(l.key) == 0:
	case l.keyJSON:
		if f := connector.LookupFormat("json"); f == nil || f.NewEncoder == nil {
			return l, config.Errorf("key-format", "the format json is not built into this program")
		}
	case len(l.key) > 1:
		return l, config.Errorf("key-format", "raw takes one key column, here are %d; use key-format: json", len(l.key))
	case !rawKey(l.keySchema.Fields[0].Type.Kind):
		return l, config.Errorf("key", "a column of type %s is no raw key: STRING, BYTES, BOOLEAN and whole numbers are; use key-format: json", l.keySchema.Fields[0].Type)
	}
	for _, e := range config.Entries("headers") {
		i, err := column("headers", e.Value)
		if err != nil {
			return l, err
		}
		if k := schema.Fields[i].Type.Kind; k != core.String && k != core.Bytes {
			return l, config.Errorf("headers", "the column %q is %s; a header is STRING or BYTES", e.Value, schema.Fields[i].Type)
		}
		l.headers = append(l.headers, header{e.Key, i})
		aside = append(aside, i)
	}
	if name := config.String("partition"); name != "" {
		i, err := column("partition", name)
		if err != nil {
			return l, err
		}
		if k := schema.Fields[i].Type.Kind; k != core.Int32 && k != core.Int64 {
			return l, config.Errorf("partition", "the column %q is %s; it must be INT or BIGINT", name, schema.Fields[i].Type)
		}
		l.partition = i
		aside = append(aside, i)
	}
	if name := config.String("timestamp"); name != "" {
		i, err := column("timestamp", name)
		if err != nil {
			return l, err
		}
		if !schema.Fields[i].Type.Kind.IsTime() {
			return l, config.Errorf("timestamp", "the column %q is %s; it must be TIMESTAMP or TIMESTAMP_LTZ", name, schema.Fields[i].Type)
		}
		l.timestamp = i
		aside = append(aside, i)
	}
	if names := config.Strings("value-columns"); len(names) > 0 {
		for _, name := range names {
			i, err := column("value-columns", name)
			if err != nil {
				return l, err
			}
			l.value = append(l.value, i)
		}
	} else if len(aside) > 0 {
		for i := range schema.Fields {
			if !slices.Contains(aside, i) {
				l.value = append(l.value, i)
			}
		}
	}
	l.schema = schema
	if l.value != nil {
		l.schema = pick(schema, l.value)
	}
	for _, f := range l.schema.Fields {
		if format.Supports == nil {
			break
		}
		if err := format.Supports(f.Type); err != nil {
			return l, config.Errorf("format", "column %q: %v", f.Name, err)
		}
	}
	return l, nil
}

func pick(schema *core.Schema, columns []int) *core.Schema {
	fields := make([]core.Field, len(columns))
	for i, c := range columns {
		fields[i] = schema.Fields[c]
	}
	return core.NewSchema(fields...)
}

// Guarantee says what holds after a failure, for explain.
func (s *Sink) Guarantee() string { return Guarantee }

// Metrics returns what happened to the sink's connections.
func (s *Sink) Metrics() *Metrics { return s.connection.metrics }

// Trouble implements core.TroubleReporter: a broker cannot be reached.
func (s *Sink) Trouble() error { return s.connection.metrics.away.longest() }

// ReportMetrics implements core.MetricsReporter.
func (s *Sink) ReportMetrics() []core.Metric { return s.connection.metrics.report() }

// Open implements core.Sink: it waits for a broker and checks the topic. There is nothing to recover.
func (s *Sink) Open(ctx context.Context, _ *core.RestoredSink) error {
	client, err := s.connection.client()
	if err == nil {
		defer client.Close()
		if err = s.connection.reach(ctx, client, s.context.Config.Duration("connect-timeout"), s.context.Log); err == nil {
			err = s.check(ctx, client)
		}
	}
	if err == nil {
		if err = s.context.Account.Reserve(s.memory); err != nil {
			err = fmt.Errorf("%w; a smaller \"buffer-memory\" needs less", err)
		}
		s.reserved = err == nil
	}
	if err != nil {
		return fmt.Errorf("sink %s: %w", s.context.Name, err)
	}
	return nil
}

// Validate implements core.Validator: it connects and checks that the topic exists and may be written. It waits for nothing.
func (s *Sink) Validate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, validation)
	defer cancel()
	client, err := s.connection.client(kgo.RequestRetries(1), kgo.DialTimeout(validation/3))
	if err == nil {
		defer client.Close()
		if err = s.connection.reach(ctx, client, 0, s.context.Log); err == nil {
			err = s.check(ctx, client)
		}
	}
	if err != nil {
		return fmt.Errorf("sink %s: %w", s.context.Name, err)
	}
	return nil
}

// check finds out whether the topic exists and this client may write to it.
func (s *Sink) check(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	metadata, err := admin.Metadata(kadm.WithAuthorizedOps(ctx), s.topic)
	if err != nil {
		return s.connection.explain(err, s.topic)
	}
	topic := metadata.Topics[s.topic]
	switch {
	case errors.Is(topic.Err, kerr.UnknownTopicOrPartition):
		var names []string
		if all, err := admin.ListTopics(ctx); err == nil {
			names = all.Names()
		}
		return missingTopic(s.topic, names)
	case topic.Err != nil:
		return s.connection.explain(topic.Err, s.topic)
	}
	// Brokers that do not tell list nothing.
	if ops := topic.AuthorizedOperations; len(ops) > 0 && !slices.Contains(ops, kmsg.ACLOperationWrite) && !slices.Contains(ops, kmsg.ACLOperationAll) {
		return s.connection.explain(kerr.TopicAuthorizationFailed, s.topic)
	}
	return nil
}

// Writer implements core.Sink.
func (s *Sink) Writer(worker int) (core.SinkWriter, error) {
	w, err := newWriter(s)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.context.Name, err)
	}
	return connector.NewAsyncWriter(w, connector.AsyncWriterOptions{Runtime: s.context.Runtime, Worker: worker}), nil
}

// Commit implements core.Sink: what is prepared is visible already.
func (s *Sink) Commit(context.Context, core.CommitInfo, [][]byte) error { return nil }

// Close implements core.Sink.
func (s *Sink) Close() error {
	if s.reserved {
		s.reserved = false
		s.context.Account.Unreserve(s.memory)
	}
	return nil
}

var (
	_ core.Sink      = (*Sink)(nil)
	_ core.Validator = (*Sink)(nil)
)
