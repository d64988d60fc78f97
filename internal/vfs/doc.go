// Package vfs is the file system as a seam: the real one, one in memory that forgets at a crash what was not synced, and a
// wrapper that injects faults.
//
// Everything in turbo that must survive a power loss goes through FS, so that tests can take the power away. Imports: the
// standard library and golang.org/x/sys.
//
// Invariants:
//  1. Rename never replaces: if the new name exists the call fails with fs.ErrExist and nothing has changed. Only Replace
//     replaces.
//  2. Content is durable after File.Sync. A name, a rename or a removal is durable after SyncDir of every directory it
//     touched, and a directory only once its parent is synced. Nothing else makes anything durable (Mem in strict mode
//     takes this literally; real systems often do more).
//  3. Errors carry the operation and the path (*fs.PathError or *os.LinkError) and satisfy errors.Is with fs.ErrExist,
//     fs.ErrNotExist and the syscall.Errno behind them.
package vfs
