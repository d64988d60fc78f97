package physical

import (
	"fmt"

	"turbo/core"
	"turbo/core/ops"
	"turbo/core/task"
	"turbo/plan"
)

func (b *builder) aggregate(n *plan.Aggregate) (*task.Node, error) {
	config := ops.AggregateConfig{Keys: n.KeyIndexes, EveryRow: n.EveryRow, Before: n.Before}
	for _, c := range n.Calls {
		call, err := c.Bind(c.ArgumentIndex)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.ID, err)
		}
		config.Calls = append(config.Calls, call)
	}
	return b.put(&task.Node{ID: n.ID, Label: "aggregate " + n.Name, Place: place(n), Schema: n.Schema, Inputs: b.forward(n),
		Operator: func() core.Operator { return ops.NewAggregate(config) }}), nil
}

func (b *builder) deduplicate(n *plan.Deduplicate) (*task.Node, error) {
	config := ops.DeduplicateConfig{Keys: n.KeyIndexes, TTL: n.TTL, ProcessingTime: n.ProcessingTime}
	return b.put(&task.Node{ID: n.ID, Label: "deduplicate " + n.Name, Place: place(n), Schema: n.Schema, Inputs: b.forward(n),
		Operator: func() core.Operator { return ops.NewDeduplicate(config) }}), nil
}

// operator makes the node of what a package of operators implements.
func (b *builder) operator(n *plan.Operator) *task.Node {
	bound := n.Bound()
	node := &task.Node{ID: n.ID, Label: n.Kind + " " + n.Name, Place: place(n), Schema: n.Schema, Sides: bound.Sides, Operator: bound.New}
	for i, p := range n.Ports {
		in := b.input(n.Inputs[i], exchanges[p.Exchange], p.KeyIndexes)
		in.Port = i
		node.Inputs = append(node.Inputs, in)
	}
	return b.put(node)
}

// place says where the program has a node; "" when that is not known.
func place(n plan.Node) string {
	if pos := n.Common().Pos; pos.Line > 0 {
		return pos.String()
	}
	return ""
}
