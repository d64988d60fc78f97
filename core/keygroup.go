package core

import "math/bits"

// DefaultKeyGroups and MaxKeyGroups bound the number of key groups of a job, fixed for the life of its state.
const (
	DefaultKeyGroups = 128
	MaxKeyGroups     = 32768
)

// KeyGroup maps a key hash evenly onto [0, groups): the high half of a 64 × 64 multiplication (Lemire's reduction), which uses
// the hash's high bits and leaves the low ones to hash tables.
func KeyGroup(hash uint64, groups int) int {
	hi, _ := bits.Mul64(hash, uint64(groups))
	return int(hi)
}

// WorkerOf returns the worker that owns a key group when groups key groups are dealt to workers in contiguous ranges.
func WorkerOf(group, groups, workers int) int { return group * workers / groups }

// KeyGroupRange returns the half-open range of the key groups that worker owns: those with WorkerOf(group) == worker.
func KeyGroupRange(worker, groups, workers int) (from, to int) {
	return (worker*groups + workers - 1) / workers, ((worker+1)*groups + workers - 1) / workers
}
