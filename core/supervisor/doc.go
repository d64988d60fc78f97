// Package supervisor runs a job from its state to its end: it recovers the newest checkpoint, starts an attempt, takes checkpoints
// through package ckpt's driver, and starts again after a failure as the restart strategy allows. It may import core/task, ckpt and
// what they import; it knows no connector and no front end.
//
// Invariants:
//
//  1. One process at a time works on a state directory: it is locked before anything in it is read.
//  2. An attempt begins at the newest complete checkpoint, whose output is committed (again) before the first row is read.
//  3. Falling back goes to the newest checkpoint that does not share the damage, and happens only after every sink that can has withdrawn
//     what the newer ones made visible; when one fails to, or there is no such checkpoint, the job refuses to start and says so.
//  4. A bounded job that has finished does nothing when it is run again: it says so.
package supervisor
