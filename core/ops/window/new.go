package window

import "turbo/core"

// New returns the operator for one worker.
func New(config Config) core.Operator { return newGeneral(config) }
