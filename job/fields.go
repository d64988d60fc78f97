package job

import "turbo/io/connector"

// TopFields are the keys of a job specification.
var TopFields = []connector.Field{
	{Name: "name", Type: connector.String, Required: true, Example: "arrivals", Doc: "The job's name: letters, digits, `-`, `_` and `.`. It names the state directory, metrics and Kafka groups."},
	{Name: "engine", Type: connector.Object, Fields: EngineFields, Doc: "How the job runs."},
	{Name: "sources", Type: connector.Any, Required: true, Doc: "Where rows come from: a block of names, each with a source.", Schema: map[string]any{"$ref": "#/$defs/sources"}},
	{Name: "streams", Type: connector.Any, Doc: "What happens to them: a block of names, each with a stream. Streams can stand in any order.", Schema: map[string]any{"$ref": "#/$defs/streams"}},
	{Name: "sinks", Type: connector.Any, Required: true, Doc: "Where rows go: a block of names, each with a sink.", Schema: map[string]any{"$ref": "#/$defs/sinks"}},
}

// EngineFields are the keys of the engine block.
var EngineFields = []connector.Field{
	{Name: "parallelism", Type: connector.Int, Min: "1", Max: "4096", Example: "2", Doc: "Number of workers; each runs an instance of every task. Default: the number of CPUs. `-p N` on the command line overrides it."},
	{Name: "memory", Type: connector.ByteSize, Default: "512MiB", Min: "16MiB", Doc: "Bound of the process's memory: batches, state, buffers of connectors and of the state store."},
	{Name: "buffer-timeout", Type: connector.Duration, Default: "10ms", MinusOne: true, Max: "1h", Doc: "How long a row may wait for its batch to become full at each hand-over (source, exchange, sink). `0` hands over after every batch: lowest latency. `-1` hands over only full batches, and before control messages: highest throughput. Sub-millisecond values such as `0.1ms` work."},
	{Name: "flush-when-idle", Type: connector.Bool, Default: "false", Doc: "Hand over before the buffer timeout when the receiver has nothing to do. Without effect at `buffer-timeout: -1`."},
	{Name: "batch-rows", Type: connector.Int, Default: "4096", Min: "1", Max: "65536", Doc: "Rows of a full batch."},
	{Name: "key-groups", Type: connector.Int, Default: "128", Min: "1", Max: "32768", Doc: "Number of parts that keyed state is divided into: the highest useful parallelism. Fixed for the life of the state."},
	{Name: "checkpoint", Type: connector.Object, Off: true, Fields: CheckpointFields, Doc: "Checkpoints make the job exactly-once over failures. `off` turns them off: then nothing is guaranteed."},
	{Name: "restart", Type: connector.Object, Shorthand: "strategy", Fields: RestartFields, Doc: "What happens when the job fails: it starts again from the last checkpoint. A failure that a restart cannot mend (a record that cannot be decoded under `on-error: fail`, a division by zero, changed output) ends the job at once."},
	{Name: "dead-letters", Type: connector.String, Doc: "Directory for the records that `on-error: dead-letter` sets aside. Default: `./dead-letters/NAME`."},
}

// CheckpointFields are the keys of engine.checkpoint.
var CheckpointFields = []connector.Field{
	{Name: "interval", Type: connector.Duration, Default: "10s", Min: "1ms", Doc: "Time between the starts of two checkpoints. Output becomes visible when a checkpoint is complete."},
	{Name: "dir", Type: connector.String, Example: "./state/arrivals", Doc: "Directory of the job's state. Default: `./.turbo/NAME`."},
	{Name: "retain", Type: connector.Int, Default: "3", Min: "1", Max: "1000", Doc: "Number of complete checkpoints to keep."},
	{Name: "timeout", Type: connector.Duration, Default: "10m", Min: "1ms", Doc: "A checkpoint that takes longer is given up and counted; the job goes on."},
	{Name: "min-pause", Type: connector.Duration, Default: "0", Doc: "Least time between the end of a checkpoint and the start of the next."},
}

// RestartFields are the keys of engine.restart.
var RestartFields = []connector.Field{
	{Name: "strategy", Type: connector.Enum, Enum: []string{"exponential", "fixed", "failure-rate", "none"}, Default: "exponential", Doc: "`exponential`: waits `initial`, then longer each time up to `max`. `fixed`: waits `delay`. `failure-rate`: waits `delay`, gives up after `max-failures` within `interval`. `none`: the first failure ends the job."},
	{Name: "initial", Type: connector.Duration, Default: "1s", Doc: "exponential: the first wait."},
	{Name: "max", Type: connector.Duration, Default: "1m", Doc: "exponential: the longest wait."},
	{Name: "multiplier", Type: connector.Float, Default: "2", Min: "1", Max: "100", Doc: "exponential: by how much the wait grows."},
	{Name: "jitter", Type: connector.Float, Default: "0.1", Min: "0", Max: "1", Doc: "exponential: random part of the wait."},
	{Name: "reset-after", Type: connector.Duration, Default: "10m", Doc: "exponential: after so long without a failure the wait is `initial` again and attempts count from zero."},
	{Name: "attempts", Type: connector.Int, Default: "10", Min: "-1", Doc: "exponential, fixed: restarts before giving up; `-1`: without end."},
	{Name: "delay", Type: connector.Duration, Default: "1s", Doc: "fixed, failure-rate: the wait."},
	{Name: "max-failures", Type: connector.Int, Default: "3", Min: "1", Doc: "failure-rate: failures within `interval` before giving up."},
	{Name: "interval", Type: connector.Duration, Default: "10m", Doc: "failure-rate: the time that failures are counted over."},
}

// SourceFields are the keys of every source, beside those of its connector.
var SourceFields = []connector.Field{
	{Name: "connector", Type: connector.String, Required: true, Example: "kafka", Doc: "The name of the connector."},
	{Name: "schema", Type: connector.Any, Doc: "The columns of a record: `name: TYPE`, in order. Types are written as in Flink SQL: `BIGINT NOT NULL`, `TIMESTAMP(3)`, `DECIMAL(10, 2)`, `ARRAY<INT>`, `ROW<a INT, b STRING>`. Some connectors and formats have a schema of their own and need none.", Schema: columnsSchema},
	{Name: "metadata", Type: connector.StringMap, Example: "{kafka_offset: offset}", Doc: "Further columns from beside the record: `column: metadata key`. The connector's page lists the keys; every source has `ingestion-time`, when turbo took the row, which can be the watermark's column, too."},
	{Name: "watermark", Type: connector.Object, Fields: WatermarkFields, Doc: "Event time: which column has it and how far rows may be out of order."},
	{Name: "on-error", Type: connector.Enum, Enum: connector.ErrorPolicies, Default: "fail", Doc: "What happens to a record that cannot be decoded. `fail`: the job fails and names the record. `skip`: it is counted and dropped. `dead-letter`: it is set aside with its place and the error (`turbo dlq`). Columns that nothing in the job reads are not decoded, and a mistake in one is not noticed."},
}

// WatermarkFields are the keys of a source's watermark.
var WatermarkFields = []connector.Field{
	{Name: "column", Type: connector.String, Required: true, Example: "ts", Doc: "A TIMESTAMP or TIMESTAMP_LTZ column."},
	{Name: "max-out-of-orderness", Type: connector.Duration, Default: "0", Doc: "The watermark stays this much behind the latest time: rows may be late by up to it."},
	{Name: "idle-timeout", Type: connector.Duration, Default: "0", Doc: "A split (a Kafka partition, a file) without rows for so long does not hold back the watermark; `0`: it does."},
	{Name: "punctuated", Type: connector.String, Example: "kind = 'MARKER'", Doc: "The watermark comes from rows that say so: a condition that is true for a row up to whose time everything has come, or a TIMESTAMP up to which it has (null: the row says nothing). Instead of `max-out-of-orderness`."},
	{Name: "max-drift", Type: connector.Duration, Default: "0", Doc: "The source waits while its watermark is more than this ahead of the slowest source of its group, so that windows and joins do not have to keep what the fast one has read; `0`: it never waits."},
	{Name: "group", Type: connector.String, Doc: "max-drift: the sources of one group wait for one another. Default: all that have `max-drift` and no group."},
	{Name: "max-future-skew", Type: connector.Duration, Default: "0", Doc: "Rows whose time is more than this ahead of the clock go to the dead letters (as JSON), whatever `on-error` says, instead of dragging the watermark into the future and making everything else late; `0`: they pass."},
}

// StreamFields are the keys of a stream, in the order in which they take effect.
var StreamFields = []connector.Field{
	{Name: "from", Type: connector.StringList, Example: "rides", Doc: "The source or stream that it reads, or a list: their union. Streams of a union need the same columns. A stream has `from` or `join`."},
	{Name: "join", Type: connector.Object, Fields: JoinFields, Doc: "Two streams, row by row where columns are equal. The stream has the columns of both: a name that both have gets the stream's name and an underscore before it, but join columns of one name stand once (of a `full` join both). The other keys of the stream (filter, select, window) work on the result. The join keeps only the columns that are read of it, by later streams and sinks: what they read may not change while it has state."},
	{Name: "filter", Type: connector.String, Example: "event = 'END' AND passengers > 0", Doc: "A condition: only rows for which it is true go on."},
	{Name: "deduplicate", Type: connector.Object, Fields: DeduplicateFields, Doc: "Only the first row of each key goes on."},
	{Name: "lookup", Type: connector.Object, Fields: LookupFields, Doc: "Lookup join: each row with the rows that a function of the program finds for its key in some other system, now. The stream has its columns and those that the function finds. Rows of a key go to one worker, which asks once for all that wait."},
	{Name: "select", Type: connector.Any, Doc: "The columns of the stream: `name: expression`, or a name alone for a column as it is, or `\"*\":` for all columns. Without it the columns stay.", Schema: selectSchema},
	{Name: "process", Type: connector.Object, Fields: ProcessFields, Doc: "A function of the program: one that it has registered by `stream.RegisterFunc`. A program of your own is a `main` of one line, `cli.Main()`."},
	{Name: "key-by", Type: connector.StringList, Example: "[cell]", Doc: "The key columns of the aggregation or the window; without them the whole stream goes to one worker."},
	{Name: "window", Type: connector.Object, Shorthand: "type", Hint: windowHint, Fields: WindowFields, Doc: "Aggregates over windows of time or of rows instead of running ones: `{tumbling: 5m}`, `{sliding: 15m, every: 5m}`, `{cumulating: 1h, step: 1m}`, `{session: 10m}`, `{count: 100}`, `{count: 100, every: 10}` or `global`. The stream has the key columns, `window_start` and `window_end` (where there are such), the aggregates, and `kind`: `early`, `final` or `late`."},
	{Name: "trigger", Type: connector.Object, Shorthand: "type", Fields: TriggerFields, Doc: "When a window speaks. Default: at its end; count windows at their count; the global window never."},
	{Name: "evictor", Type: connector.Object, Fields: EvictorFields, Doc: "Which rows leave a window before it speaks. A window with an evictor keeps its rows."},
	{Name: "allowed-lateness", Type: connector.Duration, Default: "0", Doc: "How long after its end a window still takes rows; each batch of them makes it speak again, with kind `late`. Rows that come later than that are late."},
	{Name: "late", Type: connector.String, Example: "late_rides", Doc: "Makes a stream of this name from the late rows, with the columns that the window reads from. Without it they are dropped and counted."},
	{Name: "aggregate", Type: connector.Any, Doc: "Aggregates: `name: expression` (the reference of functions lists them). Without a window they are running ones: the stream has the key columns and these, and is a changelog: each row replaces the row before it of the same key.", Schema: selectSchema},
	{Name: "emit", Type: connector.Enum, Enum: []string{"per-batch", "every-row"}, Default: "per-batch", Doc: "How often an aggregation speaks: once per changed key and input batch, or once per row."},
}

// ProcessFields are the keys of a stream's process.
var ProcessFields = []connector.Field{
	{Name: "function", Type: connector.String, Required: true, Example: "fraud", Doc: "The name under which the program has registered it."},
	{Name: "options", Type: connector.StringMap, Doc: "What the function is told."},
	{Name: "sides", Type: connector.StringMap, Example: "{rejected: rejected_rides}", Doc: "The function's further outputs, as streams: `output: stream`."},
}

// LookupFields are the keys of a stream's lookup.
var LookupFields = []connector.Field{
	{Name: "function", Type: connector.String, Required: true, Example: "zones", Doc: "The name under which the program has registered it by `stream.RegisterLookup`."},
	{Name: "on", Type: connector.StringList, Required: true, Example: "[cell]", Doc: "The columns that the function is asked with, in its order. A row with a null among them has no match."},
	{Name: "type", Type: connector.Enum, Enum: []string{"inner", "left"}, Default: "inner", Doc: "`inner`: rows without a match are dropped. `left`: they go on with nulls."},
	{Name: "cache", Type: connector.Object, Fields: LookupCacheFields, Doc: "Keeps what was found, each worker for its keys. It is not in checkpoints. Without it every row asks, but those that wait for the same key."},
	{Name: "timeout", Type: connector.Duration, Default: "0", Doc: "How long a request may take, all attempts together; `0`: for ever."},
	{Name: "attempts", Type: connector.Int, Default: "1", Min: "1", Max: "1000", Doc: "How often a request is made until it does not fail."},
	{Name: "backoff", Type: connector.Duration, Default: "100ms", Doc: "The pause before the second attempt; it doubles from one to the next, up to a minute."},
	{Name: "on-failure", Type: connector.Enum, Enum: []string{"fail", "drop"}, Default: "fail", Doc: "What a request comes to that failed at every attempt, or in time: the job fails, or the row is dropped and counted as skipped."},
	{Name: "capacity", Type: connector.Int, Default: "100", Min: "1", Max: "100000", Doc: "How many requests each worker makes at a time."},
	{Name: "ordered", Type: connector.Bool, Default: "false", Doc: "Results come in the order of the rows; otherwise as they are found, but never across a watermark."},
}

// LookupCacheFields are the keys of a lookup's cache.
var LookupCacheFields = []connector.Field{
	{Name: "keys", Type: connector.Int, Required: true, Min: "1", Max: "1000000000", Example: "10000", Doc: "How many keys are kept; those that were used longest ago go first."},
	{Name: "ttl", Type: connector.Duration, Default: "0", Doc: "How long after it was found a result is used, by the clock; `0`: until others displace it."},
	{Name: "misses", Type: connector.Bool, Default: "true", Doc: "That nothing was found is kept, too."},
}

// JoinFields are the keys of a stream's join.
var JoinFields = []connector.Field{
	{Name: "left", Type: connector.String, Required: true, Example: "rides", Doc: "The stream on the left."},
	{Name: "right", Type: connector.String, Required: true, Example: "fares", Doc: "The stream on the right."},
	{Name: "type", Type: connector.Enum, Enum: []string{"inner", "left", "right", "full", "semi", "anti"}, Default: "inner", Doc: "`inner`: pairs. `left`, `right`, `full`: and the rows of that side (of both) without a partner, with nulls. `semi`, `anti`: the rows of the left side that have a partner, or none."},
	{Name: "on", Type: connector.Any, Required: true, Example: "[ride_id]", Doc: "The columns that are equal: a list of names that both sides have, or a block `left column: right column`. Null is equal to nothing.", Schema: map[string]any{"type": []any{"array", "object"}}},
	{Name: "within", Type: connector.Object, Hint: "such as {before: 5m, after: 1m}: a partner on the right may be up to 5 minutes earlier than the row on the left, and up to a minute later", Fields: WithinFields, Doc: "Interval join: partners are close in event time. Both sides need a watermark; rows are kept no longer than they can find a partner."},
	{Name: "window", Type: connector.Object, Hint: "the window of a join is written as {tumbling: 5m}, {sliding: 15m, every: 5m}, {cumulating: 1h, step: 1m} or {session: 10m}", Fields: WindowFields, Doc: "Window join: partners are in the same window: `{tumbling: 5m}`, `{session: 10m}`. Results come when the window ends, and have its `window_start` and `window_end`."},
	{Name: "as-of", Type: connector.Bool, Default: "false", Doc: "Temporal join: each row on the left with the version of the row on the right at its time: the latest that is not later. `inner` or `left`."},
	{Name: "ttl", Type: connector.Object, Hint: "such as {left: 1d, right: 1h}", Fields: TTLFields, Doc: "Join of everything that has come (without `within`, `window`, `as-of`): how long rows are kept for partners, by the clock. Without it they are kept for ever."},
	{Name: "where", Type: connector.String, Example: "amount > 10", Doc: "A further condition for partners, over the columns of the result; of semi and anti joins over those of the right side, too (one that the left side has as well with the stream's name and an underscore before it)."},
}

// WithinFields are the keys of an interval join's bounds.
var WithinFields = []connector.Field{
	{Name: "before", Type: connector.Duration, Default: "0", Signed: true, Doc: "A partner on the right may be so much earlier than the row on the left; negative: it must be so much later."},
	{Name: "after", Type: connector.Duration, Default: "0", Signed: true, Doc: "A partner on the right may be so much later than the row on the left; negative: it must be so much earlier."},
}

// TTLFields are the keys of a join's ttl.
var TTLFields = []connector.Field{
	{Name: "left", Type: connector.Duration, Default: "0", Doc: "How long rows of the left side are kept; `0`: for ever."},
	{Name: "right", Type: connector.Duration, Default: "0", Doc: "How long rows of the right side are kept; `0`: for ever."},
}

const windowHint = "a window is written as {tumbling: 5m}, {sliding: 15m, every: 5m}, {cumulating: 1h, step: 1m}, {session: 10m}, {count: 100} or global"

// WindowFields are the keys of a stream's window.
var WindowFields = []connector.Field{
	{Name: "type", Type: connector.Enum, Enum: []string{"global"}, Hint: windowHint, Doc: "`window: global`: one window for ever."},
	{Name: "tumbling", Type: connector.Duration, Example: "5m", Doc: "Windows of this length, one after the other."},
	{Name: "sliding", Type: connector.Duration, Example: "15m", Doc: "Windows of this length, one `every` so often."},
	{Name: "cumulating", Type: connector.Duration, Example: "1h", Doc: "Windows that begin at multiples of this length and grow by `step` up to it."},
	{Name: "session", Type: connector.String, Example: "10m", Doc: "Rows of a key that are at most this gap apart; or the column that has each row's gap, an INTERVAL DAY TO SECOND or an integer of milliseconds."},
	{Name: "count", Type: connector.Int, Min: "1", Example: "100", Doc: "Windows of so many rows of a key."},
	{Name: "every", Type: connector.String, Example: "5m", Doc: "sliding: the time between the starts of two windows. count: after how many rows of a key a window of the last `count` rows speaks."},
	{Name: "step", Type: connector.Duration, Example: "1m", Doc: "cumulating: by how much windows grow."},
	{Name: "offset", Type: connector.Duration, Default: "0", Signed: true, Example: "-8h", Doc: "Moves the windows against the multiples of their length since 1970 (in `zone`): `{tumbling: 1h, offset: 15m}` begins a quarter past. A negative offset is the same as one that is a window's length more (of sliding windows `every`)."},
	{Name: "zone", Type: connector.String, Example: "Europe/Berlin", Doc: "The time zone in which windows of whole days or hours begin, over changes of its clocks, too: days have 23 and 25 hours then. Default: UTC, as which a TIMESTAMP is taken."},
	{Name: "clock", Type: connector.Enum, Enum: []string{"event", "processing"}, Default: "event", Doc: "Which time counts: event time (the source needs a watermark, the stream its column) or the clock. Windows of the clock that are open at the end of bounded input do not speak, as in Flink."},
}

// TriggerFields are the keys of a stream's trigger.
var TriggerFields = []connector.Field{
	{Name: "type", Type: connector.Enum, Enum: []string{"event-time", "processing-time"}, Hint: "others are blocks, such as {count: 100}, {early: {every: 50}} or {continuous: 1m}", Doc: "`trigger: event-time` or `trigger: processing-time`: time passes the end of the window."},
	{Name: "early", Type: connector.Object, Hint: "such as {every: 50}, {sum: passengers, every: 50} or {multiples-of: 50}", Fields: EarlyFields, Doc: "Speaks early, each time that rows or a sum have grown by a step, and at the end."},
	{Name: "count", Type: connector.Int, Min: "1", Doc: "Speaks after every so many rows of the window, and not at its end."},
	{Name: "delta", Type: connector.Object, Hint: "such as {column: fare, threshold: 10}", Fields: DeltaFields, Doc: "Speaks when a column has moved by more than a threshold since the row that made it speak last, and not at the end."},
	{Name: "continuous", Type: connector.Duration, Doc: "Speaks every so often in event time, and at the end."},
	{Name: "continuous-processing", Type: connector.Duration, Doc: "Speaks every so often by the clock."},
	{Name: "function", Type: connector.String, Doc: "A trigger that the program has registered under this name (`stream.RegisterTrigger`)."},
	{Name: "purging", Type: connector.Bool, Default: "false", Doc: "Drops the contents of the window each time that it speaks."},
}

// EarlyFields are the keys of an early trigger.
var EarlyFields = []connector.Field{
	{Name: "sum", Type: connector.String, Example: "passengers", Doc: "The column whose sum counts; without it rows are counted."},
	{Name: "every", Type: connector.Float, Example: "50", Doc: "Speaks when so many have come since it last spoke; then it counts from zero again."},
	{Name: "multiples-of", Type: connector.Float, Example: "50", Doc: "Speaks at 50, 100, 150, ... since the beginning of the window."},
}

// DeltaFields are the keys of a delta.
var DeltaFields = []connector.Field{
	{Name: "column", Type: connector.String, Required: true, Doc: "A number."},
	{Name: "threshold", Type: connector.Float, Required: true, Doc: "The difference that counts."},
}

// EvictorFields are the keys of a stream's evictor.
var EvictorFields = []connector.Field{
	{Name: "count", Type: connector.Int, Min: "1", Doc: "The last so many rows stay."},
	{Name: "time", Type: connector.Duration, Doc: "Rows within so long of the latest one stay."},
	{Name: "delta", Type: connector.Object, Hint: "such as {column: fare, threshold: 10}", Fields: DeltaFields, Doc: "Rows stay whose column differs from the last row's by less than the threshold."},
	{Name: "after", Type: connector.Bool, Default: "false", Doc: "Rows leave after the window has spoken instead of before."},
}

// DeduplicateFields are the keys of a stream's deduplicate.
var DeduplicateFields = []connector.Field{
	{Name: "key", Type: connector.StringList, Required: true, Example: "[ride_id]", Doc: "The columns that say which rows are the same."},
	{Name: "ttl", Type: connector.Duration, Required: true, Min: "1ms", Example: "1h", Doc: "How long a key is remembered, from its first row on."},
	{Name: "clock", Type: connector.Enum, Enum: []string{"event", "processing"}, Default: "event", Doc: "Which time `ttl` counts: event time (the source needs a watermark, the stream its column) or the clock."},
}

// SinkFields are the keys of every sink, beside those of its connector.
var SinkFields = []connector.Field{
	{Name: "from", Type: connector.StringList, Required: true, Example: "arrivals", Doc: "The stream or source that it writes, or a list: their union."},
	{Name: "connector", Type: connector.String, Required: true, Example: "file", Doc: "The name of the connector."},
	{Name: "row-kind", Type: connector.String, Example: "op", Doc: "Writes all rows of a changelog, with their kind (`+I`, `-U`, `+U`, `-D`) in a column of this name. Without it a sink that only appends gets the `+I` and `+U` rows."},
}

var columnsSchema = map[string]any{"type": "object", "minProperties": 1, "additionalProperties": map[string]any{"type": "string"}}

var selectSchema = map[string]any{"type": "object", "minProperties": 1, "additionalProperties": map[string]any{"type": []any{"string", "number", "boolean", "null"}}}
