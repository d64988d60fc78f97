// Package clock is the seam through which turbo reads time.
//
// Everything that decides by time (flush deadlines, checkpoint intervals, rolling, restart delays) takes a Clock, so that
// tests drive it by hand. Imports: the standard library only.
//
// Invariants:
//  1. Nanos never goes back, whatever happens to the wall clock.
//  2. A Manual clock moves only in Advance; timers fire in the order of their deadlines, equal deadlines in the order in
//     which they were set, and Now is the deadline of the timer while it fires.
package clock
