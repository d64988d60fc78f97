//go:build race

package property

const raceEnabled = true
