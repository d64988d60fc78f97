// Package file is the connector for files: a sink that delivers exactly once, and a source.
//
// # The sink
//
// A worker writes rows into hidden files (".NAME.turbo-open"), one for each partition. A file is sealed when it is large or
// old enough, or nothing comes any more. A sealed file becomes visible, by a rename that never replaces, once the
// checkpoint that covers it is complete. An open file stays open over checkpoints: a barrier makes its prefix durable and
// puts the prefix's length, rows and checksum into the checkpoint; after a crash the file is cut back to it and continued.
//
// Text formats continue anywhere; compressed ones at a frame, which the barrier closes. Containers (Parquet, Arrow) have a
// footer and cannot be continued in place of it. So a barrier ends a complete container file, a part, and the next part is
// appended to the same file; when the file is sealed one footer over the row groups of all parts is written at its end
// (parquet.go, arrow.go). Nothing is written twice and the file is an ordinary one. Containers of other formats
// are sealed at every checkpoint.
//
// Order of a commit: ledger, renames, sync of the directories. Everything it needs was made durable before the manifest, so
// it can be repeated after any crash: temporary name gone and final name there is "done already", anything else is an error.
//
// # The source
//
// Splits are whole files, byte ranges of large plain text files, or ranges of row groups. See source.go.
//
// Imports: core, memory, io/connector, io/compress, io/ledger, internal/{vfs,clock,dirlock,killpoint}; arrow for the footers.
//
// Invariants:
//  1. A visible file is complete, durable, in the ledger, and is never touched again (but by a withdrawal).
//  2. After Open exactly what the restored checkpoint covers is there: visible, or hidden with its durable prefix.
//  3. Everything that a committable names is durable before its Prepare is done: content, name, and the directories above. The
//     disk is waited for on a goroutine beside the writer's (flush.go), in the order of the writes; rows behind the barrier
//     may be in the file by then, and are no part of the prefix. An error on that way is final for the writer.
//  4. A file that was sealed is in every committable until a checkpoint that covers it has committed: a checkpoint that
//     was given up loses nothing. Commit leaves out what an earlier commit delivered.
//  5. Names are unique within a run: worker, checkpoint before the file was opened, number since then.
package file
