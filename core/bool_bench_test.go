package core

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// Why a BOOLEAN is one byte a value inside: x < a AND y < b, then the selection of the rows for which it is true, over a batch. As
// columns of bytes; as bitmaps; and as the engine does it in a filter, where each comparison narrows the selection.

func byBytes(x []float64, y []int64, a float64, b int64, p, q []byte, sel []int32) []int32 {
	y, p, q, sel = y[:len(x)], p[:len(x)], q[:len(x)], sel[:len(x)]
	for i, v := range x {
		p[i] = oneIf(v < a)
	}
	for i, v := range y {
		q[i] = oneIf(v < b)
	}
	for i := range p {
		p[i] &= q[i]
	}
	k := 0
	for i, t := range p {
		sel[k] = int32(i)
		k += int(t)
	}
	return sel[:k]
}

func byBits(x []float64, y []int64, a float64, b int64, p, q []uint64, sel []int32) []int32 {
	for w := range p {
		var word uint64
		for i, v := range x[w*64 : w*64+64] {
			word |= uint64(oneIf(v < a)) << i
		}
		p[w] = word
	}
	for w := range q {
		var word uint64
		for i, v := range y[w*64 : w*64+64] {
			word |= uint64(oneIf(v < b)) << i
		}
		q[w] = word
	}
	for w := range p {
		p[w] &= q[w]
	}
	k := 0
	for w, word := range p {
		for ; word != 0; word &= word - 1 {
			sel[k] = int32(w*64 + bits.TrailingZeros64(word))
			k++
		}
	}
	return sel[:k]
}

func bySelection(x []float64, y []int64, a float64, b int64, sel []int32) []int32 {
	sel = sel[:len(x)]
	k := 0
	for i, v := range x {
		sel[k] = int32(i)
		k += int(oneIf(v < a))
	}
	sel = sel[:k]
	k = 0
	for _, i := range sel {
		sel[k] = i
		k += int(oneIf(y[i] < b))
	}
	return sel[:k]
}

func oneIf(t bool) (b byte) {
	if t {
		b = 1
	}
	return b
}

func BenchmarkBooleans(b *testing.B) {
	const n = 4096
	r := rand.New(rand.NewPCG(1, 1))
	x, y := make([]float64, n), make([]int64, n)
	for i := range n {
		x[i], y[i] = r.Float64(), r.Int64N(1000)
	}
	sel := make([]int32, n)
	for _, percent := range []int{1, 25, 90} { // of the rows pass; each condition alone lets the root of it through
		each := map[int]float64{1: 0.1, 25: 0.5, 90: 0.95}[percent]
		limit := int64(each * 1000)
		want := slices.Clone(bySelection(x, y, each, limit, sel))
		run := func(name string, f func() []int32) {
			b.Run(fmt.Sprintf("%s/%d%%", name, percent), func(b *testing.B) {
				if got := f(); !slices.Equal(got, want) {
					b.Fatalf("%d rows, want %d", len(got), len(want))
				}
				for b.Loop() {
					f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
			})
		}
		p, q := make([]byte, n), make([]byte, n)
		run("bytes", func() []int32 { return byBytes(x, y, each, limit, p, q, sel) })
		pw, qw := make([]uint64, n/64), make([]uint64, n/64)
		run("bits", func() []int32 { return byBits(x, y, each, limit, pw, qw, sel) })
		run("selection", func() []int32 { return bySelection(x, y, each, limit, sel) })
	}
}
