// Package kafka is the Kafka connector: a source with positions in the checkpoint and an at-least-once sink, on franz-go.
//
// It may import core, memory, internal/{clock,spec} and io/connector, and franz-go; no other connector or format.
//
// Files: fields.go describes the configuration; connect.go makes clients (TLS, SASL) and counts what happens to connections;
// errors.go puts Kafka's errors into words; topics.go finds partitions; offsets.go says where each begins and stops, and checks
// restored positions; probe.go looks at the log itself; source.go owns the splits and their division over readers; fetcher.go is
// one reader's loop; fetchsize.go keeps it within its memory; decode.go turns records into rows; recordpool.go reuses record arrays;
// background.go looks for new partitions and commits to the group; sink.go and writer.go are the sink; verify.go compares ranges with the log, for turbo verify.
//
// How the source reads. Each reader has a client of its own that consumes exactly its partitions at exact offsets: no consumer
// group, no rebalance. Its goroutine polls, decodes a run of records of one partition straight into a batch, and hands it over; the
// adapter merges small ones as the buffer timeout allows. Nobody polls while the hand-over queue is full,
// and the client then fetches no more than one response a broker ahead.
//
// Invariants
//
//  1. A split is a partition; its ID is "topic/partition" and its position the offset of the next record to read, with
//     the offset to stop at when the read is bounded. Both are resolved before the first row, so a restart neither moves the
//     start ("latest") nor the stop ("end").
//  2. An offset is never reset silently: every client runs without a reset policy, and a position outside the log is an error that names
//     topic, partition and offset.
//  3. Positions advance over everything that the log has there, also over what gives no row: control records, skipped and
//     dead-lettered records. Under read_committed the records of aborted transactions count like offsets that are gone.
//  4. A bounded split ends when no record below its stop offset is left, also when the last ones were compacted away.
//  5. Partitions found while running start at their beginning: they were empty when the job last looked.
//  6. Secrets are revealed to the SASL exchange only, and appear in no message.
//  7. A record array goes back to the pool only after the last of its records was decoded; nothing keeps a record.
package kafka
