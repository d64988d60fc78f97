//go:build race

package badgerstore_test

const raceEnabled = true // the detector's own memory is anonymous too
