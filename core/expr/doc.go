// Package expr parses scalar expressions in Flink's SQL syntax, types them over a schema and compiles them to vector kernels.
//
//	program, err := expr.CompileText("CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)", schema, expr.Options{})
//	column, err := program.Eval(&expr.Context{Now: now}, batch)
//
// It may import core, memory and Arrow's decimal128, and is imported by everything above floor 3. Lexer and Parser know nothing of types, so that a parser
// of whole statements can use them (see Parser).
//
// Files: lexer, parser, parse_primary, parse_call, ast and format are the syntax; bind, literal, coerce type it; op and vec are what an evaluation works on; arith,
// compare, logic, case, like, cast, nested are the operators and kern_* their loops; fn_* is the table of functions; civil, timetext, datefmt, decimal and jsonscan
// are what those need.
//
// Invariants:
//
//  1. A result is aligned with the batch's physical rows; only rows of the selection are defined. Columns that go through untouched are shared, never copied. The
//     alternative, to gather the live rows first and to work on dense batches, was measured beside it (BenchmarkFilterProject, eight columns,
//     three of them computed) and is slower at every selectivity: by a sixth at 10 %, and by a third at 50 and 90 %.
//  2. Every operation owns one scratch vector and is evaluated at most once a batch for each place where it stands. It may write over the scratch of an
//     operand of the same width, never over a column, a constant or what a memoOp shares. In steady state a batch costs no allocation.
//  3. An operation that can fail sees exactly the rows that need it. CASE, IF, COALESCE, AND and OR narrow the selection for what comes after; kernels that cannot
//     fail may compute rows that nobody asked for. As a condition (Filter, WHEN, IF) the right side of AND is not evaluated where the left side is NULL; as a value it is.
//  4. The result of a filter is ascending, and narrowing happens in place: position <= row read.
//  5. A value under a null is undefined but readable; validity is combined a word at a time.
//  6. A constant has its value in row 0 and mask 0, which maps every row there. Constants are folded when compiling; one that fails is left to fail at its row.
//  7. Rows are computed in Go's and IEEE's arithmetic, which is Java's and so Flink's: integers wrap around, DOUBLE knows infinities and NaN. DECIMAL follows Flink:
//     the types of results, rounding halves away from zero, NULL on overflow.
//  8. A Program belongs to one goroutine at a time; Clone compiles another.
package expr
