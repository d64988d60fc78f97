package window_test

import (
	"testing"

	"turbo/core/ops/window"
)

// TestDense goes through what sliding windows kept densely meet, with flushes as before a checkpoint anywhere: more keys, keys that come and go, windows that stay
// open for long, and what they are given up for. Every sum is that of a map.
func TestDense(t *testing.T) {
	for name, c := range map[string]struct {
		limit  int64 // of memory
		phases []phase
		dense  []bool // after each
	}{
		"more-keys":   {0, []phase{{rows: 30_000, keys: 500, late: 400, step: 2, flush: 7}, {rows: 60_000, keys: 5000, late: 1500, step: 20, flush: 9}, {rows: 20_000, keys: 50, late: 100, step: 30}}, []bool{true, true, true}},
		"come-and-go": {0, []phase{{rows: 300_000, keys: 300, first: 20, late: 100, step: 20, flush: 11}}, []bool{true}},
		"open-long":   {64 << 20, []phase{{rows: 15_000, keys: 100, late: 9000, step: 40, flush: 3}, {rows: 30_000, keys: 100, late: 9000, step: 1, flush: 50}}, []bool{true, true}},
		"few-of-many": {64 << 20, []phase{{rows: 15_000, keys: 4000, late: 100, step: 5, flush: 4}, {rows: 120_000, keys: 40, late: 100, step: 30, flush: 5}, {rows: 1_100_000, keys: 40, late: 100, step: 1, flush: 400}}, []bool{true, false, false}},
		"too-many":    {64 << 20, []phase{{rows: 30_000, keys: 3000, late: 100, step: 5, flush: 4}, {rows: 200_000, keys: 1_000_000, late: 100, step: 1, flush: 40}}, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := window.Config{Keys: []int{0}, Kind: window.Sliding, Size: 1000, Slide: 100, Calls: sumCalls}
			op := openLimited(t, config, keyedSchema(), c.limit)
			feedPhases(t, op, config.Size, config.Slide, c.phases, func(phase int) {
				if got := window.Dense(op); got != c.dense[phase] {
					t.Errorf("after phase %d: dense is %v", phase, got)
				}
			})
			if err := op.Flush(nil); err != nil {
				t.Error(err)
			}
		})
	}
}
