//go:build !race

package join_test

const raceDetector = false
