// Package physical turns a finished plan into the graph that workers run: plan nodes become operators, exchanges become edges,
// connectors get their contexts. It may import plan, core/task, core/ops and what they import; connectors are found in the registry.
//
// Invariants:
//
//  1. Node ids are those of the plan; nodes that this package adds (row kinds of a sink, dead letters of a source) hang their own word
//     on the id of the node that they serve.
//  2. Nothing is opened here: functions in the graph make sources, operators and sinks, once an attempt.
package physical
