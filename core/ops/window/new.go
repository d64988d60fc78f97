package window

import "turbo/core"

// New returns the operator for one worker: by slices where the windows allow it, else with state for each key and window.
func New(config Config) core.Operator {
	if slicedSupports(&config) {
		return newSliced(config)
	}
	return newGeneral(config)
}
