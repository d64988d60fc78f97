// Package job is the front end for job specifications: it reads a YAML file, checks it against the fields of the job, of
// the connectors and of the formats, and builds a plan. It may import plan, io/connector, core, core/expr and
// internal/spec. Connectors are found by name in the registry: who wants one imports its package.
//
// Invariants:
//
//  1. Every mistake has a position, and one run reports all of them; a mistake is reported once, not again by those who
//     read the stream that has it.
//  2. The fields in fields.go are the only description of the job spec: the parser, the JSON Schema (Schema) and the
//     reference read them.
//  3. Parse does no I/O but what a connector's DefaultSchema does.
package job
