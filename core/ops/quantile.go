package ops

import (
	"math"

	"turbo/core"
)

// quantile is a sketch of buckets whose bounds grow by a factor (DDSketch, Masson and others, 2019). A state is a histogram of the buckets' numbers, in 4 bytes each.
type quantile struct{ share }

const (
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
	return &quantile{newShare(4, argument, parameters)}, nil
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
	root := math.Exp((float64(int(i)-bucketOffset)*logGamma + logCentre) / 2) // Exp itself overflows a little early
	return min(root*root, math.MaxFloat64)
}

func (s *quantile) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	s.fresh = s.fresh[:0]
	for _, x := range s.floats(in, rows) {
		s.fresh = append(s.fresh, uint64(bucketOf(x)))
	}
	return s.addFresh(dst, old)
}

func (s *quantile) result(out *core.Vector, b []byte) error {
	total := s.total(b)
	if total == 0 {
		out.AppendNull()
		return nil
	}
	bucket, _ := s.find(b, uint64(s.q*float64(total-1)))
	out.AppendFloat64(bucketValue(uint32(bucket)))
	return nil
}
