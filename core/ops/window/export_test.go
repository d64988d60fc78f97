package window

import (
	"math"

	"turbo/core"
)

// NewGeneral returns the operator that keeps each window of each key by itself.
func NewGeneral(c Config) core.Operator { return newGeneral(c) }

// WithoutDense makes an operator that has not been opened keep all windows in the table.
func WithoutDense(o core.Operator) core.Operator {
	if s, ok := o.(*sliced); ok {
		s.denseRest = math.MaxInt
	}
	return o
}

// Dense reports whether an operator keeps its windows densely now.
func Dense(o core.Operator) bool { return o.(*sliced).dense != nil }
