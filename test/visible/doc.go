// Package visible reads what a user of an output directory sees: every file whose name, and whose directories' names, begin with
// neither a dot nor an underscore. It shares no code with turbo's writers: raw lines by bufio, CSV and JSON by the standard library, gzip by
// the standard library, Parquet by parquet-go.
//
// Imports: the standard library and parquet-go; nothing of turbo.
//
// Invariants:
//
//  1. A visible file that is not complete and well-formed is an error: nothing in progress may be visible.
//  2. Rows come in the order of the file, their fields as text in the order that the caller names; a null is the empty text.
package visible
