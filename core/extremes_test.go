package core

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestExtremes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 40; n++ {
		values := make([]int64, n)
		var sel []int32
		var picked []int64
		for i := range values {
			values[i] = r.Int64N(100) - 50
			if i == n-1 && sel == nil || r.IntN(2) == 0 {
				sel, picked = append(sel, int32(i)), append(picked, values[i])
			}
		}
		if low, high := Extremes(values, nil); low != slices.Min(values) || high != slices.Max(values) {
			t.Errorf("%v: %d to %d", values, low, high)
		}
		if low, high := Extremes(values, sel); low != slices.Min(picked) || high != slices.Max(picked) {
			t.Errorf("%v at %v: %d to %d", values, sel, low, high)
		}
	}
}

func BenchmarkExtremes(b *testing.B) {
	values := make([]int64, 4096)
	for i := range values {
		values[i] = int64(i * 7919 % 4096)
	}
	b.Run("loop", func(b *testing.B) {
		for b.Loop() {
			low, high := values[0], values[0]
			for _, x := range values {
				low, high = min(low, x), max(high, x)
			}
			if low != 0 || high != 4095 {
				b.Fatal(low, high)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(values)), "ns/row")
	})
	b.Run("extremes", func(b *testing.B) {
		for b.Loop() {
			if low, high := Extremes(values, nil); low != 0 || high != 4095 {
				b.Fatal(low, high)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(values)), "ns/row")
	})
}
