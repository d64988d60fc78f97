package plan

import (
	"fmt"
	"slices"

	"turbo/core/expr"
	"turbo/core/ops"
)

// RegisterAggregate gives a program's aggregate function a name that expressions of aggregates can call, in job specifications and in the Go API, in running
// aggregates and in windows. Programs register in their init functions. It panics when the name is taken or wrong: a mistake of the program.
func RegisterAggregate(u ops.UserAggregate) {
	err := fmt.Errorf("the name %s is that of a scalar function", u.Name)
	if !slices.Contains(expr.Functions(), u.Name) {
		err = ops.RegisterAggregate(u)
	}
	if err != nil {
		panic("plan: " + err.Error())
	}
}
