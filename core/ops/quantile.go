package ops

import (
	"encoding/binary"
	"math"
	"slices"

	"turbo/core"
)

// quantile is a sketch of buckets whose bounds grow by a factor (DDSketch, Masson and others, 2019). A state is the buckets in their order: number (4 bytes) and count
// of values (8 bytes).
type quantile struct {
	q      float64
	scale  float64
	values []float64
	fresh  []uint32
	other  []byte
}

const (
	bucketBytes  = 12
	zeroBucket   = 1 << 20 // positive numbers above, negative ones below
	bucketOffset = 40000   // makes the logarithm's number positive
	nanBucket    = 1 << 22
	infBucket    = 1 << 21
)

var (
	// logGamma is the logarithm of the factor, for an error of 1 % less what rounding takes.
	logGamma  = math.Log1p(2 * 0.009999 / (1 - 0.009999))
	logCentre = math.Log(2 / (math.Exp(logGamma) + 1))
)

func newQuantile(argument core.Type, parameters []any) (encoding, error) {
	s := &quantile{q: 0.5, scale: math.Pow10(int(argument.Scale))}
	if len(parameters) > 0 {
		s.q = parameters[0].(float64)
	}
	return s, nil
}

func bucketOf(x float64) uint32 {
	switch {
	case x != x:
		return nanBucket
	case math.IsInf(x, 0):
		if x < 0 {
			return 0
		}
		return infBucket
	case x == 0:
		return zeroBucket
	}
	i := uint32(bucketOffset + int(math.Ceil(math.Log(math.Abs(x))/logGamma)))
	if x < 0 {
		return zeroBucket - i
	}
	return zeroBucket + i
}

func bucketValue(b uint32) float64 {
	switch {
	case b == nanBucket:
		return math.NaN()
	case b == infBucket:
		return math.Inf(1)
	case b == 0:
		return math.Inf(-1)
	case b == zeroBucket:
		return 0
	case b < zeroBucket:
		return -centre(zeroBucket - b)
	}
	return centre(b - zeroBucket)
}

func centre(i uint32) float64 {
	return min(math.Exp(float64(int(i)-bucketOffset)*logGamma+logCentre), math.MaxFloat64)
}

func appendBucket(dst []byte, b uint32, n uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(dst, b), n)
}

func bucketAt(s []byte, i int) (uint32, uint64) {
	return binary.LittleEndian.Uint32(s[i:]), binary.LittleEndian.Uint64(s[i+4:])
}

func (s *quantile) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	s.values = resize(s.values, len(rows))
	floats(in, &Rows{Sel: rows}, s.scale, s.values)
	s.fresh = s.fresh[:0]
	for _, x := range s.values {
		s.fresh = append(s.fresh, bucketOf(x))
	}
	slices.Sort(s.fresh)
	s.other = s.other[:0]
	for from, i := 0, 1; i <= len(s.fresh); i++ {
		if i == len(s.fresh) || s.fresh[i] != s.fresh[from] {
			s.other = appendBucket(s.other, s.fresh[from], uint64(i-from))
			from = i
		}
	}
	return s.merge(dst, old, s.other)
}

func (s *quantile) merge(dst, old, other []byte) ([]byte, bool, error) {
	dst, err := addBuckets(dst, old, other, 1)
	return dst, true, err
}

// take implements taker.
func (s *quantile) take(dst, old, other []byte) ([]byte, error) {
	return addBuckets(dst, old, other, math.MaxUint64)
}

// addBuckets writes old + sign * other.
func addBuckets(dst, old, other []byte, sign uint64) ([]byte, error) {
	if len(old)%bucketBytes != 0 || len(other)%bucketBytes != 0 {
		return nil, errDamagedState
	}
	for i, j := 0, 0; i < len(old) || j < len(other); {
		x, y := uint32(math.MaxUint32), uint32(math.MaxUint32)
		var n, m uint64
		if i < len(old) {
			x, n = bucketAt(old, i)
		}
		if j < len(other) {
			y, m = bucketAt(other, j)
		}
		if x <= y {
			i += bucketBytes
		} else {
			n = 0
		}
		if y <= x {
			j += bucketBytes
			n += sign * m
		}
		if n != 0 {
			dst = appendBucket(dst, min(x, y), n)
		}
	}
	return dst, nil
}

func (s *quantile) result(out *core.Vector, b []byte) error {
	total := uint64(0)
	for i := 0; i+bucketBytes <= len(b); i += bucketBytes {
		_, n := bucketAt(b, i)
		total += n
	}
	if total == 0 {
		out.AppendNull()
		return nil
	}
	rank, value := uint64(s.q*float64(total-1)), uint32(0)
	for i := 0; i+bucketBytes <= len(b); i += bucketBytes {
		k, n := bucketAt(b, i)
		if value = k; rank < n {
			break
		}
		rank -= n
	}
	out.AppendFloat64(bucketValue(value))
	return nil
}
