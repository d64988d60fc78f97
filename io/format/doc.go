// Package format has turbo's formats, one file (or family of files) each: raw, csv, json, parquet, arrow. Each registers a
// connector.FormatSpec in init. Import it for its side effect.
//
// It may import core, memory, io/connector, Arrow's and Parquet's packages and klauspost/compress; no connector, no operator.
//
// Two kinds of formats: record formats (raw, csv, json) turn one record into one row and back, wherever the record comes from;
// containers (parquet, arrow) are files as a whole, read in units (row groups, record batches).
//
// Invariants:
//
//  1. Decode appends one row to each of its columns, or fails and leaves none. The error names the column and the byte.
//  2. What a writer writes, the reader of the same format and types reads as the same values, nulls included. A type that a
//     format cannot carry is refused by Supports with the reason, before anything is written.
//  3. A null or a missing value for a NOT NULL column is a bad record. A column that nobody reads is not looked at.
//  4. STRING is UTF-8: a record with other bytes in a STRING column is a bad record; nothing is replaced silently.
//  5. TIME and timestamps are cut to the precision of the column's type on the way in, as CAST does; DECIMAL is
//     rounded half up to its scale, and never goes by a float.
//  6. Decoders and encoders of record formats allocate nothing per record in steady state.
//  7. A reader of foreign files changes a value's type only where no value is lost; else it refuses the column with
//     the reason, or the value when it is met.
//  8. Buffers of containers come from the account of their context, or are reserved on it.
//  9. A damaged file is an error, also where the Arrow packages panic (guard). Arrow's Parquet reader trusts the sizes and indices
//     in a page, so each page's header and CRC-32 are checked before it reads a column chunk; turbo writes the checksums.
//     Arrow IPC files have none: one whose footer is damaged can ask for more memory than there is.
package format
