package stream

import (
	"fmt"

	"turbo/core/ops/window"
	"turbo/plan"
)

// Options are what a job specification says to a registered function, and the function's further outputs.
type Options struct {
	Values map[string]string // its options block
	sides  map[string]plan.Node
}

// Further gives a further output a name, by which a specification makes a stream of it: process: {function: F, sides: {NAME: stream}}.
func Further[T any](o *Options, name string, s *Stream[T]) {
	if s.node != nil {
		o.sides[name] = s.node
	}
}

// RegisterFunc gives a piece of a program a name, for job specifications:
//
//	streams:
//	  checked: {from: rides, process: {function: fraud, options: {limit: "5"}}}
//
// f gets the stream and returns what it makes of it, by any operators of this package. It runs once for each use of it, when the job is read; operators' names are within the stream's. Call
// it in an init function, in a package that the program's main imports beside turbo/cli.
func RegisterFunc[In, Out any](name string, f func(in *Stream[In], o *Options) *Stream[Out]) {
	plan.RegisterFunction(name, func(at plan.Place, in plan.Node, values map[string]string) (plan.Node, map[string]plan.Node, error) {
		e := New(at.Name)
		e.prefix = at.Name + "/"
		o := &Options{Values: values, sides: map[string]plan.Node{}}
		s := checked[In](e, plan.Place{Name: name, Pos: at.Pos}, in, nil)
		if err := e.Err(); err != nil {
			return nil, nil, err
		}
		out := f(s, o)
		if err := e.Err(); err != nil {
			return nil, nil, err
		}
		if out == nil || out.node == nil {
			return nil, nil, fmt.Errorf("the function %s returns no stream", name)
		}
		if len(e.sinks) > 0 {
			return nil, nil, fmt.Errorf("the function %s ends a stream in a sink: sinks are the specification's", name)
		}
		return out.node, o.sides, nil
	})
}

// RegisterTrigger gives a trigger a name, for the trigger block of a job specification.
func RegisterTrigger(name string, f func() window.Trigger) { plan.RegisterTrigger(name, f) }
