package job

import (
	"slices"

	"turbo/internal/spec"
	"turbo/io/connector"
	"turbo/plan"
)

// process puts a function that the program has registered on a stream.
func (b *builder) process(of *named, c *connector.Config, in plan.Node) (plan.Node, error) {
	if !c.Has("process") {
		return in, nil
	}
	p := c.Object("process")
	name := p.String("function")
	if name == "" {
		return nil, nil // reported
	}
	f := plan.LookupFunction(name)
	if f == nil {
		b.report.Errorf(p.ValuePosition("function"), "%s.function: the program has no function %q%s", p.Path(), name, registered(name, plan.Functions(), "RegisterFunc"))
		return nil, nil
	}
	options := map[string]string{}
	for _, e := range p.Entries("options") {
		options[e.Key] = e.Value
	}
	out, sides, err := f(plan.Place{Name: of.name, Pos: c.Position("process")}, in, options)
	if err != nil {
		b.report.Errorf(c.Position("process"), "%s.process: %v", c.Path(), err)
		return nil, nil
	}
	known := make([]string, 0, len(sides))
	for side := range sides {
		known = append(known, side)
	}
	slices.Sort(known)
	for _, e := range p.Entries("sides") {
		if sides[e.Key] == nil {
			b.report.Errorf(e.KeyPos, "%s.sides: the function %s has no output %q%s", p.Path(), name, e.Key, spec.Suggest(e.Key, known))
			return nil, nil
		}
	}
	of.sides = sides
	return out, nil
}

// registered suggests a name that the program has registered, or says how it gets one.
func registered(name string, known []string, by string) string {
	if len(known) == 0 {
		return ": this one has none; a program of your own registers it by stream." + by + " (docs/api.md)"
	}
	return spec.Suggest(name, known)
}
