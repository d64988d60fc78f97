//go:build race

package join_test

const raceDetector = true
