package window

import (
	"errors"

	"turbo/core"
)

// general is the operator of the windows that are not cut into slices.
type general struct {
	core.BaseOperator
	config Config
}

func newGeneral(config Config) core.Operator { return &general{config: config} }

// Open implements core.Operator.
func (g *general) Open(*core.OperatorContext) error {
	return errors.New("this kind of window is not there yet")
}

// Process implements core.Operator.
func (g *general) Process(_ int, b *core.Batch, _ core.Emitter) error { b.Release(); return nil }
