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

// Sweeps reports whether a general operator looks through all windows at each watermark now.
func Sweeps(o core.Operator) bool { return o.(*general).events.sweeping }

// Sweeping makes a general operator that has not been opened look through all windows however few rows come.
func Sweeping(o core.Operator) core.Operator {
	o.(*general).events.worth = math.MaxInt32
	return o
}
