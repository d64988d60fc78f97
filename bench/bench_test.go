package bench

import (
	"os"
	"testing"
)

// TestQuick runs every benchmark in small: answers are checked, speeds are not.
func TestQuick(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			if testing.Short() {
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
			for b.Loop() {
				if err := x.Run(b.Context(), os.Stderr, Options{Dir: b.TempDir()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
