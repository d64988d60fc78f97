package bench

import (
	"flag"
	"os"
	"testing"
)

var (
	pairsFlag = flag.Int("pairs", 0, "interleaved pairs of a benchmark; 0: as many as it takes by itself")
	outFlag   = flag.String("out", "", "directory for plots; none: they are thrown away")
)

// TestQuick runs every benchmark in small: answers are checked, speeds are not.
func TestQuick(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			if testing.Short() && b.Name != "exchange" && b.Name != "filter-project" {
				t.Skip("-short")
			}
			if err := b.Run(t.Context(), t.Output(), Options{Quick: true, Pairs: 1, Dir: t.TempDir()}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// BenchmarkAll runs each benchmark in full; tables go to standard error. Use -benchtime 1x.
func BenchmarkAll(b *testing.B) {
	for _, x := range List() {
		b.Run(x.Name, func(b *testing.B) {
			o := Options{Pairs: *pairsFlag, Dir: b.TempDir(), Plots: *outFlag}
			for b.Loop() {
				if err := x.Run(b.Context(), os.Stderr, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
