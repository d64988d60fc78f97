// Package devbroker is an embedded Kafka broker for development, tests and the demo: franz-go's kfake behind a small API.
//
// It is a real listener on the loopback interface that any Kafka client can use: topics, transactions with control records,
// consumer group offsets, compaction, SASL, TLS and ACLs. It is no broker for production: one process, one replica, no
// throttling.
//
// Memory: without a directory the log lives in memory and grows with what is produced (about the bytes on the wire, batches
// stay compressed); retention (topic setting retention.bytes) bounds it. With a directory the log lives in segment files and the
// process holds an index entry a batch (under 100 bytes) and the batches of requests under way; a log of many gigabytes is fine.
//
// Durability: with a directory each batch has reached the operating system when the producer is answered, so it outlives a killed
// process; Config.Sync asks for an fsync a batch. A torn last entry is dropped when the directory is opened again.
//
// It may import turbo/internal/*, franz-go and golang.org/x/sys; nothing of turbo above that.
//
// Invariants
//
//  1. At most one process serves a directory: a second one is refused (lock file).
//  2. A directory that is started again on port 0 listens on the port that it had before, when that is free: clients that were
//     configured with the address find the broker again.
//  3. Config.Topics only adds: a topic that exists keeps its partitions and its records; asking for more partitions adds them,
//     asking for fewer is refused.
package devbroker
