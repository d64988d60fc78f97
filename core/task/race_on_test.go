//go:build race

package task

// raceFactor divides the number of seeds under the race detector.
const raceFactor = 5
