package plan

import (
	"turbo/core"
	"turbo/core/expr"
)

// typeOf checks an expression against a schema and returns the type of its value.
func typeOf(node expr.Node, text string, schema *core.Schema) (core.Type, error) {
	program, err := expr.Compile(node, schema, expr.Options{Source: text})
	if err != nil {
		return core.Type{}, err
	}
	return program.Type(), nil
}
