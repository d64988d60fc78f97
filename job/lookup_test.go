package job_test

import (
	"context"
	"fmt"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/plan"
)

func init() {
	plan.RegisterReference("zones", plan.Reference{
		Key:   []core.Field{{Name: "cell", Type: core.Of(core.Int64)}},
		Table: core.NewSchema(core.Field{Name: "zone", Type: core.Of(core.String).Required()}),
		Bind: func(input *core.Schema, keys []int) (func(context.Context, process.Row, *process.Output) error, error) {
			if t := input.Fields[keys[0]].Type; t.Kind == core.String {
				return nil, fmt.Errorf("it is asked with a number, this is a %v", t)
			}
			return func(context.Context, process.Row, *process.Output) error { return nil }, nil
		},
	})
}
