package plan

import (
	"fmt"
	"slices"

	"turbo/core"
)

// Operator is a node whose work a package of operators does: a window, a join, a user's function. What is particular to it is in its
// Spec; what all nodes need of one another (exchanges, pruning, identifiers) is here.
type Operator struct {
	Base
	Kind  string // "window", "interval join": in labels, EXPLAIN and the signature
	Ports []Port // by input
	Sides []Side // further outputs, read by SideOutput nodes
	Spec  OperatorSpec
	// Partitioned are the columns of the output by whose hash its rows lie on the workers; nil: unknown. With no columns, all are on worker 0.
	Partitioned []string
	// Stateful says that checkpoints have state of it.
	Stateful bool
	// Unbalanced says why rows out are not rows in; "" when each row read goes on, to a side or into a counter of drops.
	Unbalanced string

	bound Bound
	reads []set // by input: the columns that it and its sides read
}

// Port is one input of an Operator.
type Port struct {
	Exchange ExchangeKind
	Keys     []string // of Hash
	// KeyIndexes are the columns of Keys. Set by Finish.
	KeyIndexes []int
	// Retractions says that the operator makes use of -U rows.
	Retractions bool
}

// Side is a further output of an Operator.
type Side struct {
	Name string
	// Port is the input whose rows and columns the side passes on, or -1: the spec says its columns.
	Port int
}

// OperatorSpec is what is particular to one kind of operator. Columns are named, because pruning moves them.
type OperatorSpec interface {
	// Needs returns the columns that the operator reads of an input; nil: all of them.
	Needs(port int, input *core.Schema) []string
	// Bind resolves names over the inputs' columns: first when the node is made, where an error is the user's, and again by Finish.
	Bind(inputs []*core.Schema) (Bound, error)
	// Explain adds the lines of EXPLAIN.
	Explain(line func(key, format string, args ...any))
	// Signature adds what state depends on, and what may change between runs.
	Signature(fixed, free func(name, value string))
}

// pruner is an OperatorSpec that can do without columns of its output.
type pruner interface {
	// prune is called before Needs with the columns that somebody reads.
	prune(wanted set)
}

// Bound is an operator over known input columns.
type Bound struct {
	Output *core.Schema
	Sides  []*core.Schema // of sides with Port < 0 only; others are nil
	New    func() core.Operator
}

// NewOperator puts an operator on its inputs. The caller has filled in everything but the Base.
func NewOperator(at Place, role string, o *Operator, inputs ...Node) (*Operator, error) {
	o.Base = at.common(role, inputs...)
	o.reads = make([]set, len(inputs))
	for i := range o.reads {
		o.reads[i] = set{}
	}
	var schemas []*core.Schema
	for i, in := range inputs {
		schema := in.Common().Schema
		schemas = append(schemas, schema)
		for _, k := range o.Ports[i].Keys {
			if schema.Index(k) < 0 {
				return nil, at.errorf("unknown column %s%s", k, suggest(k, schema.Names()))
			}
		}
	}
	if err := o.bind(schemas); err != nil {
		return nil, at.wrap(err)
	}
	return o, nil
}

func (o *Operator) bind(inputs []*core.Schema) error {
	b, err := o.Spec.Bind(inputs)
	if err != nil {
		return err
	}
	sides := make([]*core.Schema, len(o.Sides))
	for i, s := range o.Sides {
		if sides[i] = nil; s.Port >= 0 {
			sides[i] = inputs[s.Port]
		} else {
			sides[i] = b.Sides[i]
		}
	}
	b.Sides = sides
	o.bound, o.Schema = b, b.Output
	return nil
}

// Bound returns the operator over its inputs' columns, with the schemas of all sides.
func (o *Operator) Bound() Bound { return o.bound }

// SideOutput reads a further output of an Operator, which is its input.
type SideOutput struct {
	Base
	Side int
}

// NewSideOutput reads side number side of o.
func NewSideOutput(at Place, o *Operator, side int) *SideOutput {
	s := &SideOutput{Base: at.common("side", o), Side: side}
	s.Schema = o.bound.Sides[side]
	return s
}

// alone reports whether the operator has one input, so that it runs behind an Exchange of its own or in the chain of its input.
func (o *Operator) alone() bool { return len(o.Ports) == 1 }

// prune adds what the operator reads of its inputs, when own is what is read of it.
func (o *Operator) prune(own set, needed map[Node]set) {
	if p, ok := o.Spec.(pruner); ok {
		p.prune(own)
	}
	for i, in := range o.Inputs {
		names := o.Spec.Needs(i, in.Common().Schema)
		if names == nil {
			names = in.Common().Schema.Names()
		}
		reads := o.reads[i]
		reads.add(names...)
		reads.add(o.Ports[i].Keys...)
		if len(reads) == 0 { // rows need a column to be counted by
			reads.add(in.Common().Schema.Fields[0].Name)
		}
		for name := range reads {
			needed[in].add(name)
		}
	}
}

// prune adds what readers of the side want of the input that it passes on.
func (s *SideOutput) prune(own set) {
	o := s.Inputs[0].(*Operator)
	if port := o.Sides[s.Side].Port; port >= 0 {
		for name := range own {
			o.reads[port].add(name)
		}
	}
}

// rebind follows the inputs' columns after pruning. What was bound once is bound again: a failure is a broken promise of the spec.
func (o *Operator) rebind() {
	var schemas []*core.Schema
	for _, in := range o.Inputs {
		schemas = append(schemas, in.Common().Schema)
	}
	if err := o.bind(schemas); err != nil {
		panic(fmt.Sprintf("plan: %s cannot be bound to pruned columns: %v", o.ID, err))
	}
}

// place decides the exchanges before the operator's inputs.
func (o *Operator) place(consumers map[Node][]Node) {
	for i := range o.Ports {
		p := &o.Ports[i]
		in := o.Inputs[i]
		if p.Exchange == Hash || p.Exchange == Gather {
			if have, ok := partitioned(in); ok && slices.Equal(have, p.Keys) {
				p.Exchange = Forward
			}
		}
		if p.Exchange == Forward || !o.alone() {
			continue
		}
		e := &Exchange{Base: Base{ID: o.ID + "/exchange", Name: o.Name, Pos: o.Pos, Inputs: []Node{in}, Schema: in.Common().Schema}, Kind: p.Exchange, Keys: p.Keys}
		if u, ok := in.(*Union); ok && len(consumers[u]) == 1 {
			e.Inputs = u.Inputs
		}
		o.Inputs[i] = e
		p.Exchange = Forward
	}
}
