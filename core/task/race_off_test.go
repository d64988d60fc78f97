//go:build !race

package task

const raceFactor = 1
