// Package dirlock gives a directory to one process at a time.
//
// A state directory written by two processes is lost, and so is an output directory: whoever uses one takes its lock
// first and keeps it until the end. The lock is an advisory lock of the operating system (flock) on a small hidden file
// in the directory, so it vanishes with its process, however that ends; the file stays, and says who holds or held it.
// On a file system that is not the real one (tests) the lock is a table in this process.
//
// Imports: internal/vfs, golang.org/x/sys.
//
// Invariants:
//  1. At most one Lock on a directory exists at a time, in this process and in others.
//  2. The file is never removed: a removed and recreated file would be two files with two locks.
//  3. A refusal names the holder's process id and what it said it was doing.
package dirlock
