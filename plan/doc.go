// Package plan is the one thing that all front ends produce and the runtime consumes: a graph of nodes from sources to
// sinks. A front end builds logical nodes (New... functions, which check names and types), Finish turns them into the
// physical plan: columns pruned, filters and projections fused, exchanges placed, row kinds decided, operators named.
// It may import core, core/expr, io/connector and internal/spec; it knows no front end and no operator implementation.
//
// Invariants:
//
//  1. Column names are unique within a schema; nodes refer to columns by name until Finish resolves them to indexes.
//  2. After Finish every keyed node has an Exchange by exactly its key below it, with no node between that could change
//     the key, or an input that is partitioned so already; and no Union is left: an Exchange with several inputs is one.
//  3. Operator identifiers follow from the names in the specification alone, never from the order or number of nodes:
//     state finds its operator again when other parts of the job change.
//  4. A plan is deterministic: the same specification gives the same plan, signature and explanation.
package plan
