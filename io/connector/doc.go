// Package connector is what every connector and format is written against: the description of their configuration, the
// registries that they enter in init, the contexts that they are made with, and adapters that put blocking I/O behind a
// queue. It may import core, memory, internal/{spec,clock,vfs}; it imports no connector.
//
// Adding a connector: a package that calls RegisterSource or RegisterSink in init; adding a format: a file that calls
// RegisterFormat. The Fields of its spec drive parsing, defaults, error messages, the JSON Schema and the reference.
//
// Invariants:
//
//  1. A Config that reaches New has passed every check of its Fields; getters never fail. What only the connector can
//     check, it reports by Config.Errorf, which carries file:line:column.
//  2. A secret is printed by no method but Reveal.
//  3. A reader's Snapshot is exactly the position after the last event that Poll returned: positions travel with events.
//  4. Batches belong to whoever holds them: a queue that is closed releases what is in it.
//  5. An adapter's goroutine ends in Close, and a panic in it becomes an error of the job's attempt.
//  6. A queue is bounded in batches and bytes.
package connector
