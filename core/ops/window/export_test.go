package window

import "turbo/core"

// NewGeneral returns the operator that keeps each window of each key by itself.
func NewGeneral(c Config) core.Operator { return newGeneral(c) }
