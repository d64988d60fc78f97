// Package ckpt takes checkpoints and restores them: the protocol (Coordinator, Driver), the pages of keyed state (Store),
// and the files that make a checkpoint complete (Manifest, Directory).
//
// Imports: core, memory, internal/{vfs,clock,dirlock,killpoint}. It knows no task, no table and no connector: they meet it
// in Runtime, Committer and Page.
//
// # How a checkpoint goes
//
//	Coordinator decides      Driver does                                          if it fails
//	Begin                    take an id, check disk space, Store.Begin            not started; retried later
//	Inject                   Runtime.InjectBarrier; tasks freeze, write pages     Ack with an error: abandoned
//	                         (Store.Write) and report (Ack)
//	Seal                     cover unfinished versions, sync the page store       abandoned
//	WriteManifest            temporary file, sync, rename, sync of the directory  abandoned, or the job restarts (ErrUnknown)
//	Commit                   Committer.Commit: the sinks' second phase            retried, then the job restarts
//	Notify                   Runtime.CheckpointComplete
//	Retain                   old manifests go, then what only they needed         counted
//
// An abandoned checkpoint is counted and shown, and the next one tries again; it never fails the job. The interval between attempts doubles.
//
// # Files of a state directory
//
//	.turbo.lock              who has it (internal/dirlock)
//	manifest-<id>            complete checkpoints, the newest `retain`
//	withdrawn-<id>           checkpoints that somebody fell back from
//	next-id                  a bound above every checkpoint id ever used
//	pages/                   the page store (badgerstore)
//
// A start is: OpenDirectory, badgerstore.Open(PagesPath), Directory.Recover; then restore operators (Store.Restore) and sources
// (Manifest.Source), open sinks, NewDriver, Driver.Recommit, tasks, Driver.Run. A restart after a failure repeats it from Recover.
//
// # Pages and versions
//
// A page is a piece of one table that belongs to one key group. Each checkpoint writes versions of the pages that changed: whole
// ones, deltas against the last *completed* checkpoint, tombstones. A restore gets the chain from the newest whole page on. Versions that
// an abandoned or cut-off checkpoint has left lie above good ones and would be read by later checkpoints; so the next checkpoint
// puts an ending version over each of them: what the task writes, or a copy of the good chain that the store
// makes by itself ("bundle"). Tables need not know any of that, but for one rule: after an abort, what was frozen is merged back into what is dirty.
//
// # What sinks must know
//
// A writer's Prepare may be followed by another Prepare without a Commit in between, when the checkpoint was abandoned. The
// first committable is not lost: the next manifest holds it too, before the writer's own, so Commit and Open can get
// more than one committable of a writer, in the order of checkpoints. A Prepare that failed has kept its rows for the next.
//
// # Invariants
//
//  1. Checkpoint ids grow, and none is used twice: not after an abort, a crash, a fallback or a fresh start.
//  2. At most one checkpoint is in hand. The next begins when every task has reported the barrier of the last one, so
//     no two barriers are ever on their way.
//  3. A manifest is written only when every task has acknowledged and every page is durable.
//  4. Nothing is committed before its manifest is durable, and the next checkpoint begins after the commit.
//  5. What is committed can be restored: a version is forgotten only after every manifest that needs it is durably gone.
//  6. Every committable that was ever reported is in exactly the first manifest that becomes durable after it.
//  7. A restore at N reads versions of completed checkpoints only, and notices when one is missing: the manifest holds
//     a digest of all (page, version, kind).
//  8. Every stored page and every manifest has a checksum; damage is an error that names the page or the file.
//  9. The Coordinator does no I/O and reads no clock.
//  10. Nothing falls back to an older checkpoint by itself: its output may be visible already.
package ckpt
