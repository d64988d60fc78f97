package ops

import (
	"math"

	"turbo/core"
)

// orderedFloat returns bits, in the upper part of the word for FLOAT, that compare as the numbers do: -0 is 0, and all NaN are one that is the largest.
func orderedFloat(v *core.Vector, i int) uint64 {
	if v.Type.Kind == core.Float32 {
		x := v.Float32s()[i]
		bits := math.Float32bits(x + 0)
		switch {
		case x != x:
			bits = math.MaxUint32
		case bits>>31 != 0:
			bits = ^bits
		default:
			bits |= 1 << 31
		}
		return uint64(bits) << 32
	}
	return orderedBits(v.Float64s()[i])
}

func orderedBits(x float64) uint64 {
	bits := math.Float64bits(x + 0)
	switch {
	case x != x:
		return math.MaxUint64
	case bits>>63 != 0:
		return ^bits
	}
	return bits | 1<<63
}

func unorderedFloat32(bits uint32) float32 {
	switch {
	case bits == math.MaxUint32:
		return float32(math.NaN())
	case bits>>31 == 0:
		return math.Float32frombits(^bits)
	}
	return math.Float32frombits(bits &^ (1 << 31))
}

func unorderedFloat64(bits uint64) float64 {
	switch {
	case bits == math.MaxUint64:
		return math.NaN()
	case bits>>63 == 0:
		return math.Float64frombits(^bits)
	}
	return math.Float64frombits(bits &^ (1 << 63))
}
