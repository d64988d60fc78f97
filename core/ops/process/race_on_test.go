//go:build race

package process_test

// raceEnabled: the detector makes pools forget at random, and everything slower.
const raceEnabled = true
