// Package window is the window operator: rows of a key, or of the whole stream, grouped by time or number, aggregated, and spoken when a trigger says
// so. New picks between two implementations with one semantics, that of Flink's WindowOperator. It may import core, core/hash, core/ops, state, timers and memory.
//
//   - general keeps each window of each key by itself: any kind of window, trigger, evictor and function, allowed lateness, event and processing time.
//   - slices aggregates aligned windows of event time by the slices that their bounds cut, and merges slices into windows when they end.
//
// Decisions that Flink's documentation leaves open, or that columns make different:
//
//   - The output is append-only; the column kind says whether a firing came before the window's end (early), at it (final), or because of a row after it
//     (late). Firings of count windows without a trigger of their own are final. A global window without a trigger never speaks, not at the end of the input either.
//   - A window is closed, and a row for it late, when its last instant plus the allowed lateness is at or before the watermark. A row in no window at all (a slide
//     longer than the size) is counted as filtered, or as late when its own time is past that.
//   - A window that has ended speaks once for each batch that brought it late rows, not once a row, unless Config.EveryRow asks for that. Firings of
//     triggers that count are exact: after each row that fires.
//   - Sessions that touch are one: rows exactly a gap apart are in the same session. A late row that touches an open session joins it.
//     Merged sessions combine in the order of their starts.
//   - Windows without contents (purged, or every row evicted) do not speak.
//   - Rows without an event time go where late rows go, and are counted apart; count and global windows take them.
//   - Processing time is read once for each batch. Its timers do not fire at the end of the input.
//   - Continuous triggers set no firing for a time that has passed.
//   - In a time zone, windows are those of the wall clock: where it repeats an hour, windows of that hour hold both; where it skips one, its windows hold nothing.
//   - A delta trigger cannot be used with sessions.
//
// Invariants:
//
//  1. What survives is in bags: windows (key, bounds, flags, trigger state, accumulators), rows of windows, timers of custom triggers. Everything else follows from
//     them and is rebuilt by Open, so results are the same with a restore at any message boundary and at any parallelism.
//  2. Rows and timers name their window by an id that is unique in its key group: rescaling brings groups of several workers together.
//  3. No row of a window is seen by a firing that an earlier row caused: contents are written before the window gets another row.
//  4. Firings of early and counting triggers depend on the rows and watermarks only, never on how rows are cut into batches.
//  5. Each window with something due is noted with that time or an earlier one; one of several entries counts. While event time is swept, windows that are due
//     after the watermark have no entry of the queue.
//  6. Output that does not fit stays in ready; the batch at hand waits where it is.
package window
