package job

import (
	"errors"
	"slices"

	"turbo/core/ops/join"
	"turbo/internal/spec"
	"turbo/io/connector"
	"turbo/plan"
)

var joinKinds = map[string]join.Kind{"inner": join.Inner, "left": join.Left, "right": join.Right, "full": join.Full, "semi": join.Semi, "anti": join.Anti}

// join reads the join of a stream. It is nil after a mistake.
func (b *builder) join(of *named, c *connector.Config, path []*named) plan.Node {
	before := b.report.Count()
	side := func(key string) plan.Node {
		name := c.String(key)
		if name == "" {
			return nil // reported
		}
		n := b.names[name]
		if n == nil {
			b.report.Errorf(c.ValuePosition(key), "%s.%s: no source or stream has the name %q%s", c.Path(), key, name, spec.Suggest(name, b.known()))
			return nil
		}
		of.reads = append(of.reads, n)
		return b.resolve(n, path)
	}
	left, right := side("left"), side("right")
	j := plan.Join{Kind: joinKinds[c.String("type")], AsOf: c.Bool("as-of"), Where: c.String("where")}
	j.Origin = origin(c.Node("where"), "stream "+of.name+", join.where")
	b.on(c, &j)
	var ways []string
	for _, key := range []string{"within", "window", "as-of", "ttl"} {
		if c.Has(key) && (key != "as-of" || j.AsOf) {
			ways = append(ways, key)
		}
	}
	if len(ways) > 1 {
		b.report.Errorf(c.Position(ways[1]), "%s: has %s: it is one of them", c.Path(), list(ways))
	}
	if c.Has("within") {
		w := c.Object("within")
		j.Within = &plan.Within{Lower: -w.Duration("before"), Upper: w.Duration("after")}
		if j.Within.Lower > j.Within.Upper && !c.Mistaken("within") {
			b.report.Errorf(c.ValuePosition("within"), "%s.within: no row is at least %s and at most %s later than another: before and after must not come to less than zero together", c.Path(),
				spec.FormatDuration(j.Within.Lower), spec.FormatDuration(j.Within.Upper))
		}
	}
	if c.Has("window") && !c.Mistaken("window") {
		b.joinWindow(c.Object("window"), &j)
	}
	if t := c.Object("ttl"); c.Has("ttl") {
		j.TTL[0], j.TTL[1] = t.Duration("left"), t.Duration("right")
	}
	if left == nil || right == nil || c.Mistaken("within") || c.Mistaken("window") || c.Mistaken("ttl") || b.report.Count() > before {
		return nil
	}
	node, err := plan.NewJoin(plan.Place{Name: of.name, Pos: c.Position("")}, left, right, j)
	if m := (*plan.JoinMistake)(nil); errors.As(err, &m) {
		b.joinMistake(c, m)
		return nil
	}
	if err != nil {
		b.add(c.Path(), err)
		return nil
	}
	return node
}

// joinMistake reports a mistake at its place in the block.
func (b *builder) joinMistake(c *connector.Config, m *plan.JoinMistake) {
	key, pos := "", c.Position("")
	switch m.Part {
	case plan.JoinLeft, plan.JoinRight:
		key = [...]string{"left", "right"}[m.Part]
		pos = c.ValuePosition(key)
	case plan.JoinOn:
		key = "on"
		if n := c.Node(key); n.Kind == spec.List {
			pos = n.Items[m.Index].Pos
		} else {
			pos = n.Entries[m.Index].KeyPos
		}
	case plan.JoinKind:
		key = "type"
		pos = c.ValuePosition(key)
	case plan.JoinWhere:
		b.expressionError(c.Node("where"), c.Path()+".where", m.Err)
		return
	}
	b.report.Errorf(pos, "%s.%s: %v", c.Path(), key, m.Err)
}

// on reads the columns that are equal.
func (b *builder) on(c *connector.Config, j *plan.Join) {
	n := c.Node("on")
	if n == nil || n.Broken {
		return // reported
	}
	switch {
	case n.Kind == spec.List && len(n.Items) > 0:
		for _, item := range n.Items {
			j.Left, j.Right = append(j.Left, item.Value), append(j.Right, item.Value)
		}
	case n.Kind == spec.Map && len(n.Entries) > 0:
		for _, e := range n.Entries {
			right := e.Key
			if e.Value != nil && e.Value.Kind == spec.Scalar {
				right = e.Value.Value
			}
			j.Left, j.Right = append(j.Left, e.Key), append(j.Right, right)
		}
	default:
		kind := n.Kind.String()
		if len(n.Items) == 0 && n.Kind == spec.List || len(n.Entries) == 0 && n.Kind == spec.Map {
			kind = "empty"
		}
		b.report.Errorf(n.Pos, "%s.on: expected a list of columns, or a block with left column: right column, this is %s", c.Path(), kind)
	}
}

// joinWindow reads the window of a window join: a window's block without what belongs to counts and clocks.
func (b *builder) joinWindow(c *connector.Config, j *plan.Join) {
	var w plan.Window
	kinds := []string{"tumbling", "sliding", "cumulating", "session"}
	if slices.ContainsFunc(kinds, c.Has) {
		b.windowKind(c, &w)
	} else {
		b.report.Errorf(c.Position(""), "%s: says nothing: it is one of %s", c.Path(), list(kinds))
	}
	for _, key := range []string{"zone", "clock"} {
		if c.Has(key) {
			b.report.Errorf(c.Position(key), "%s.%s: the windows of joins go by event time in UTC: offset moves them", c.Path(), key)
		}
	}
	if w.GapColumn != "" {
		b.report.Errorf(c.ValuePosition("session"), "%s.session: the gap of a window join is a duration", c.Path())
	}
	j.Window = &w.Config
}
