package bench

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// BenchmarkFlow is the flow of `turbo bench small-batches`, one setting at a time: for profiles. A run has b.N hand-overs a worker;
// ns/op is wall time a hand-over of one worker.
func BenchmarkFlow(b *testing.B) {
	for _, queued := range []bool{false, true} {
		for _, hand := range []int{1, 64, 4096} {
			for _, timeout := range []time.Duration{0, time.Millisecond, 100 * time.Millisecond} {
				b.Run(fmt.Sprintf("queued=%t/hand=%d/timeout=%v", queued, hand, timeout), func(b *testing.B) {
					f := flow{timeout: timeout, rows: b.N * hand, hand: hand, queued: queued, dir: b.TempDir()}
					r, _, err := f.run(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(r.Elapsed.Nanoseconds())/float64(b.N), "ns/op")
					b.ReportMetric(r.perSecond(), "Mrows/s")
				})
			}
		}
	}
}
