package state

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// column puts values into the second of three words of each row.
func column(values []uint64) []uint64 {
	rows := make([]uint64, 0, 3*len(values))
	for i, v := range values {
		rows = append(rows, ^uint64(i), v, uint64(i)<<40)
	}
	return rows
}

func TestPackedRoundTrip(t *testing.T) {
	signed := func(x ...int64) []uint64 {
		out := make([]uint64, len(x))
		for i := range x {
			out[i] = uint64(x[i])
		}
		return out
	}
	for name, values := range map[string][]uint64{
		"one":        signed(-7),
		"equal":      signed(5, 5, 5, 5),
		"around 0":   signed(-1, 0, 1, -1),
		"whole":      signed(math.MinInt64, math.MaxInt64, 0, -1),
		"63 bits":    signed(0, math.MaxInt64, 1, 2, 3),
		"booleans":   signed(0, 1, 1, 0, 0),
		"doubles":    {math.Float64bits(1.5), math.Float64bits(-2), math.Float64bits(math.NaN()), math.Float64bits(math.Inf(-1))},
		"large base": signed(math.MaxInt64-3, math.MaxInt64, math.MaxInt64-1),
	} {
		check(t, name, values)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for width := range 65 {
		for range 5 {
			base := rng.Uint64()
			values := make([]uint64, 1+rng.IntN(200))
			for i := range values {
				values[i] = base + rng.Uint64()&(1<<width-1)
			}
			check(t, "random", values)
		}
	}
}

func check(t *testing.T, name string, values []uint64) {
	t.Helper()
	prefix := []byte("before")
	encoded := appendPacked(prefix[:len(prefix):len(prefix)], column(values), 1, 3)
	if string(encoded[:6]) != "before" {
		t.Fatalf("%s: what stood before is %q", name, encoded[:6])
	}
	r := pageReader{data: append(encoded[6:], "after"...)}
	p := r.packed(len(values))
	if r.err != nil || string(r.data) != "after" {
		t.Fatalf("%s: %v, %q is left", name, r.err, r.data)
	}
	for i, want := range values {
		if got := p.at(i); got != want {
			t.Fatalf("%s, %d bits, word %d of %d: %x, want %x", name, p.width, i, len(values), got, want)
		}
	}
	for cut := range len(encoded) - 6 {
		r := pageReader{data: encoded[6:][:cut]}
		if r.packed(len(values)); !errors.Is(r.err, ErrDamaged) {
			t.Fatalf("%s: cut to %d bytes: %v", name, cut, r.err)
		}
	}
}

func TestPackedRefusesWidth(t *testing.T) {
	r := pageReader{data: binary.LittleEndian.AppendUint64([]byte{65}, 1)}
	if r.packed(0); !errors.Is(r.err, ErrDamaged) {
		t.Errorf("65 bits a word: %v", r.err)
	}
}

// TestPackedSize: what differs little takes few bytes, whatever the size of the numbers.
func TestPackedSize(t *testing.T) {
	values := make([]uint64, 1000)
	for i := range values {
		values[i] = 1<<60 + uint64(i) // 10 bits
	}
	if n := len(appendPacked(nil, column(values), 1, 3)); n != 9+157*8 {
		t.Errorf("1000 values of 10 bits take %d bytes", n)
	}
}

func BenchmarkPack(b *testing.B) {
	values := make([]uint64, 1000)
	for i := range values {
		values[i] = uint64(i) * 7919
	}
	rows := column(values)
	var dst []byte
	for b.Loop() {
		dst = appendPacked(dst[:0], rows, 1, 3)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
}
