package kafka

import (
	"turbo/core"
	"turbo/io/connector"
)

// connectionFields are the keys that source and sink share.
func connectionFields() []connector.Field {
	return []connector.Field{
		{Name: "brokers", Type: connector.StringList, Required: true, Example: "localhost:9092",
			Doc: "Addresses to find the cluster by, HOST:PORT; without a port, 9092. One that answers is enough."},
		{Name: "tls", Type: connector.Object, Shorthand: "enabled", Off: true, Doc: "Encrypts the connection. An empty block trusts the system's authorities.", Fields: []connector.Field{
			{Name: "enabled", Type: connector.Bool, Default: "true", Doc: "Switches TLS on or off."},
			{Name: "ca", Type: connector.String, Example: "./ca.pem", Doc: "PEM file with the certificates of the authorities to trust in place of the system's."},
			{Name: "cert", Type: connector.String, Example: "./client.pem", Doc: "PEM file with the client's certificate, for mutual TLS."},
			{Name: "key", Type: connector.String, Example: "./client.key", Doc: "PEM file with the key of the client's certificate."},
			{Name: "server-name", Type: connector.String, Doc: "The host name that the broker's certificate must carry, when it is another one than in brokers."},
			{Name: "insecure", Type: connector.Bool, Default: "false", Doc: "Accepts any certificate: for tests only, as anybody can then pose as the broker."},
		}},
		{Name: "sasl", Type: connector.Object, Doc: "Logs in to the cluster.", Fields: []connector.Field{
			{Name: "mechanism", Type: connector.Enum, Enum: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}, Default: "SCRAM-SHA-512", Doc: "How the password is proven. PLAIN sends it as it is: use it with TLS only."},
			{Name: "username", Type: connector.String, Required: true, Doc: "The user's name."},
			{Name: "password", Type: connector.Secret, Required: true, Example: "${env:KAFKA_PASSWORD}", Doc: "The password, from the environment or a file; read again at each login and never printed."},
		}},
		{Name: "client-id", Type: connector.String, Default: "turbo", Doc: "The name by which brokers log and throttle this client."},
		{Name: "connect-timeout", Type: connector.Duration, Default: "1m", Doc: "How long a start waits for a broker that does not answer. A broker that goes away later is waited for without a bound."},
		{Name: "format", Type: connector.Format, Required: true, Example: "json", Doc: "How a record's value is encoded."},
	}
}

var sourceFields = append(connectionFields(), []connector.Field{
	{Name: "topic", Type: connector.StringList, Identity: true, Example: "rides", Doc: "The topic to read, or several. This or topic-pattern."},
	{Name: "topic-pattern", Type: connector.String, Identity: true, Example: "rides-.*", Doc: "A regular expression that the whole name of a topic must match; topics that appear later are read too. Internal topics never match."},
	{Name: "start", Type: connector.Object, Shorthand: "at", Doc: "Where a first run begins. A restart always goes on from the checkpoint.", Fields: []connector.Field{
		{Name: "at", Type: connector.String, Default: "earliest", Example: "2026-01-31T12:00:00Z",
			Doc: "earliest, latest, committed (the offsets of group), offsets, or a time: the first record of that time or later."},
		{Name: "offsets", Type: connector.StringMap, Example: "{rides/0: 1200}", Doc: "With at: offsets, the first offset to read by topic/partition."},
		{Name: "otherwise", Type: connector.Enum, Enum: []string{"earliest", "latest", "fail"}, Default: "earliest", Doc: "Where partitions begin that have no committed offset or are not in offsets."},
	}},
	{Name: "stop", Type: connector.Object, Shorthand: "at", Doc: "Where reading ends, fixed when the job first starts. A bounded job finishes, and looks for no new partitions.", Fields: []connector.Field{
		{Name: "at", Type: connector.String, Default: "never", Example: "end",
			Doc: "never, end (of what is there at the start), offsets, or a time: the first record of that time or later is not read."},
		{Name: "offsets", Type: connector.StringMap, Example: "{rides/0: 5000}", Doc: "With at: offsets, the first offset not to read by topic/partition; every partition must be there."},
	}},
	{Name: "group", Type: connector.String, Doc: "Consumer group to commit offsets to after each checkpoint, so that Kafka's tools show the lag. turbo itself uses them only for start: committed."},
	{Name: "isolation", Type: connector.Enum, Enum: []string{"read_committed", "read_uncommitted"}, Default: "read_committed", Doc: "read_committed leaves out records of aborted transactions and waits for open ones."},
	{Name: "partition-discovery", Type: connector.Duration, Default: "30s", Doc: "How often to look for new partitions and topics; 0 never does. What is found later starts at its beginning."},
	{Name: "tombstones", Type: connector.Enum, Enum: []string{"skip", "keep", "error"}, Default: "skip",
		Doc: "What a record without a value is: skip counts it as skipped, keep makes a row whose decoded columns are null, error treats it as a bad record."},
	{Name: "fetch-memory", Type: connector.ByteSize, Min: "1MiB", Doc: "Memory for records that are fetched and not yet decoded, all readers together. Default: a twelfth of what engine.memory leaves for buffers."},
	{Name: "fetch-max-wait", Type: connector.Duration, Default: "500ms", Min: "1ms", Max: "60s", Doc: "How long a broker may hold a fetch when it has nothing new. It delays no record."},
}...)

// metadataColumns are what the source knows of a record beside its value.
var metadataColumns = []connector.MetadataColumn{
	{Key: "key", Type: core.Of(core.Bytes), Doc: "The record's key, or null."},
	{Key: "headers", Type: core.MapOf(core.Of(core.String).Required(), core.Of(core.Bytes)).Required(), Doc: "The record's headers in order."},
	{Key: "topic", Type: core.Of(core.String).Required(), Doc: "The topic."},
	{Key: "partition", Type: core.Of(core.Int32).Required(), Doc: "The partition."},
	{Key: "offset", Type: core.Of(core.Int64).Required(), Doc: "The offset in the partition."},
	{Key: "timestamp", Type: core.Type{Kind: core.TimestampLTZ, Precise: 3, NotNull: true}, Doc: "The record's time in milliseconds."},
	{Key: "timestamp-type", Type: core.Of(core.String).Required(), Doc: "Who gave the time: CreateTime (producer) or LogAppendTime (broker)."},
	{Key: "leader-epoch", Type: core.Of(core.Int32), Doc: "The leader epoch in which the record was written, or null."},
}

var sinkFields = append(connectionFields(), []connector.Field{
	{Name: "topic", Type: connector.String, Required: true, Example: "arrivals", Doc: "The topic to write to. It must exist."},
	{Name: "key", Type: connector.StringList, Example: "ride_id", Doc: "Columns that make the record's key. Rows of one key go to one partition, as with Kafka's default partitioner."},
	{Name: "key-format", Type: connector.Enum, Enum: []string{"raw", "json"}, Default: "raw", Doc: "raw is the text of a single column (its bytes when it is BYTES); json is an object of the key columns."},
	{Name: "value-columns", Type: connector.StringList, Doc: "Columns that the value has. Default: all but those of headers, partition and timestamp."},
	{Name: "headers", Type: connector.StringMap, Example: "{trace: trace_id}", Doc: "Headers of each record: name and the column with its value, STRING or BYTES. A null gives no header."},
	{Name: "partition", Type: connector.String, Doc: "Integer column with the partition of the record; without it the key's hash decides, and rows without a key fill one partition's batch after another's."},
	{Name: "timestamp", Type: connector.String, Doc: "TIMESTAMP or TIMESTAMP_LTZ column with the record's time. Default: the time of writing."},
	{Name: "compression", Type: connector.Enum, Enum: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Default: "zstd", Doc: "Codec of the record batches."},
	{Name: "batch-size", Type: connector.ByteSize, Default: "1000000", Min: "1KiB", Doc: "Largest record batch. Not more than the broker's message.max.bytes."},
	{Name: "linger", Type: connector.Duration, Default: "5ms", Doc: "How long a batch that is not full waits for more rows; a checkpoint does not wait."},
	{Name: "delivery-timeout", Type: connector.Duration, Default: "2m", Doc: "How long a record is tried before the job's attempt fails and restarts from its checkpoint; 0 tries for ever."},
	{Name: "buffer-memory", Type: connector.ByteSize, Min: "1MiB", Doc: "Memory for records that are not yet acknowledged, all writers together. Default: a twelfth of what engine.memory leaves for buffers."},
}...)
