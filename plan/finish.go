package plan

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/io/connector"
)

// Finish turns the logical plan into the physical one, in place: fuses filters and projections, prunes columns, places
// exchanges, decides row kinds and balances, and resolves column indexes. It is called once.
func (p *Plan) Finish() {
	p.expressions = p.written() // the rules put them together
	for _, s := range p.Sinks {
		s.Computes = digest(s)
	}
	p.fuse()
	p.prune()
	p.fuse() // pruning leaves projections that do nothing
	p.exchange()
	p.resolve()
}

// consumers counts the readers of each node and lists them.
func (p *Plan) consumers() map[Node][]Node {
	out := map[Node][]Node{}
	for _, n := range p.Nodes() {
		for _, in := range n.Common().Inputs {
			out[in] = append(out[in], n)
		}
	}
	return out
}

// replace puts by in the place of old in all nodes that read it.
func (p *Plan) replace(old, by Node) {
	for _, n := range p.Nodes() {
		for i, in := range n.Common().Inputs {
			if in == old && n != by {
				n.Common().Inputs[i] = by
			}
		}
	}
}

// fuse merges a Calc into the one that alone reads it, and removes those that change nothing.
func (p *Plan) fuse() {
	for again := true; again; {
		again = false
		consumers := p.consumers()
		for _, n := range p.Nodes() {
			upper, ok := n.(*Calc)
			if !ok {
				continue
			}
			if upper.isIdentity() {
				p.replace(upper, upper.Inputs[0])
				again = true
				break
			}
			if lower, ok := upper.Inputs[0].(*Calc); ok && len(consumers[lower]) == 1 && upper.absorb(lower) {
				again = true
				break
			}
		}
	}
}

func (c *Calc) isIdentity() bool {
	input := c.Inputs[0].Common().Schema
	if len(c.Conditions) > 0 || c.Columns != nil && len(c.Columns) != len(input.Fields) {
		return false
	}
	for i, column := range c.Columns {
		if name := column.Expr.AsColumn(input); name != column.Name || input.Fields[i].Name != name {
			return false
		}
	}
	return true
}

// absorb merges lower, the input of c, into c, unless that would compute a column twice.
func (c *Calc) absorb(lower *Calc) bool {
	if lower.Columns == nil {
		c.Conditions = append(slices.Clone(lower.Conditions), c.Conditions...)
		c.Inputs = lower.Inputs
		return true
	}
	input, middle := lower.Inputs[0].Common().Schema, lower.Schema
	columns := c.Columns
	if columns == nil {
		for _, f := range middle.Fields {
			columns = append(columns, Column{Name: f.Name, Expr: NewColumn(f.Name, middle)})
		}
	}
	uses := map[string]int{}
	count := func(e *Expr) {
		for _, name := range e.Refs(middle) {
			uses[name]++
		}
	}
	for _, e := range c.Conditions {
		count(e)
	}
	for _, column := range columns {
		count(column.Expr)
	}
	for _, column := range lower.Columns {
		if uses[column.Name] > 1 && column.Expr.AsColumn(input) == "" {
			return false
		}
	}
	conditions := slices.Clone(lower.Conditions)
	for _, e := range c.Conditions {
		s := substitute(e, lower.Columns, middle, input)
		if s == nil {
			return false
		}
		conditions = append(conditions, s)
	}
	merged := make([]Column, len(columns))
	for i, column := range columns {
		s := substitute(column.Expr, lower.Columns, middle, input)
		if s == nil {
			return false
		}
		merged[i] = Column{Name: column.Name, Expr: s}
	}
	c.Conditions, c.Columns, c.Inputs = conditions, merged, lower.Inputs
	return true
}

// set is a set of column names.
type set map[string]bool

func (s set) add(names ...string) {
	for _, n := range names {
		s[n] = true
	}
}

// prune takes away every column that nobody reads, from the sinks back to the sources.
func (p *Plan) prune() {
	nodes := p.Nodes()
	needed := map[Node]set{}
	for _, n := range nodes {
		needed[n] = set{}
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		own := needed[n]
		c := n.Common()
		switch n := n.(type) {
		case *Sink:
			needed[c.Inputs[0]].add(c.Inputs[0].Common().Schema.Names()...)
		case *Aggregate:
			needed[c.Inputs[0]].add(c.Inputs[0].Common().Schema.Names()...)
			own.add(c.Schema.Names()...)
		case *Operator:
			n.prune(own, needed)
		case *SideOutput:
			n.prune(own)
		case *Union:
			if len(own) == 0 {
				own.add(c.Schema.Fields[0].Name)
			}
			for _, in := range c.Inputs {
				for name := range own {
					needed[in].add(name)
				}
			}
		case *Deduplicate:
			own.add(n.Keys...)
			if !n.ProcessingTime {
				own.add(c.Schema.Fields[c.Schema.TimeColumn].Name)
			}
			for name := range own {
				needed[c.Inputs[0]].add(name)
			}
		case *Calc:
			n.prune(own, needed[c.Inputs[0]])
		case *Source:
			n.prune(own)
		}
	}
	// Schemas follow, inputs first; a node whose input has more columns than it needs gets them taken away.
	for _, n := range nodes {
		c := n.Common()
		switch n := n.(type) {
		case *Union:
			c.Schema = keep(c.Schema, needed[n])
			for i := range c.Inputs {
				p.trim(n, i, c.Schema)
			}
		case *Deduplicate:
			c.Schema = keep(c.Schema, needed[n])
			p.trim(n, 0, c.Schema)
		case *Operator:
			for i, in := range c.Inputs {
				p.trim(n, i, keep(in.Common().Schema, n.reads[i]))
			}
			n.rebind()
		case *SideOutput:
			c.Schema = c.Inputs[0].(*Operator).bound.Sides[n.Side]
		case *Calc:
			input := c.Inputs[0].Common().Schema
			if n.Columns == nil {
				c.Schema = keep(input, needed[n])
				if len(c.Schema.Fields) < len(input.Fields) {
					for _, f := range c.Schema.Fields {
						n.Columns = append(n.Columns, Column{Name: f.Name, Expr: NewColumn(f.Name, input)})
					}
				}
				break
			}
			c.Schema = schemaOf(n.Columns, input)
		}
	}
}

// keep returns schema with only the columns in names.
func keep(schema *core.Schema, names set) *core.Schema {
	out := &core.Schema{TimeColumn: -1, Changelog: schema.Changelog}
	for i, f := range schema.Fields {
		if names[f.Name] {
			if i == schema.TimeColumn {
				out.TimeColumn, out.TimeShift = len(out.Fields), schema.TimeShift
			}
			out.Fields = append(out.Fields, f)
		}
	}
	return out
}

// trim puts a projection before input i of n when it has other columns than schema.
func (p *Plan) trim(n Node, i int, schema *core.Schema) {
	c := n.Common()
	in := c.Inputs[i]
	if slices.Equal(in.Common().Schema.Names(), schema.Names()) {
		return
	}
	c.Inputs = slices.Clone(c.Inputs)
	c.Inputs[i] = narrow(in, fmt.Sprintf("%s/columns-%d", c.ID, i), Place{Name: c.Name, Pos: c.Pos}, schema)
}

// prune drops the columns of a Calc that are not in own and adds what the others read to the input's needs.
func (n *Calc) prune(own, input set) {
	schema := n.Inputs[0].Common().Schema
	for _, e := range n.Conditions {
		input.add(e.Refs(schema)...)
	}
	if n.Columns == nil {
		if len(own) == 0 {
			own.add(schema.Fields[0].Name)
		}
		for name := range own {
			input.add(name)
		}
		return
	}
	kept := slices.DeleteFunc(slices.Clone(n.Columns), func(c Column) bool { return !own[c.Name] })
	if len(kept) == 0 { // rows need a column to be counted by
		kept = n.Columns[:1]
		own.add(kept[0].Name)
	}
	n.Columns = kept
	for _, c := range kept {
		input.add(c.Expr.Refs(schema)...)
	}
	if len(input) == 0 { // only constants
		input.add(schema.Fields[0].Name)
	}
}

// prune leaves a source the columns that somebody reads and the one that event time comes from.
func (s *Source) prune(own set) {
	if s.Watermark != nil {
		own.add(s.Watermark.Column)
		if s.Watermark.Punctuated != nil {
			own.add(s.Watermark.Punctuated.Refs(s.declared)...)
		}
	}
	if len(own) == 0 || len(own) == 1 && own[s.Ingestion] { // a reader's rows need a column to be counted by
		own.add(s.declared.Fields[0].Name)
	}
	s.Schema = keep(s.declared, own)
	s.Columns, s.MetadataIndexes = nil, nil
	for _, f := range s.Record.Fields {
		s.Columns = append(s.Columns, s.Schema.Index(f.Name))
	}
	var read []Metadata
	for _, m := range s.Metadata {
		if i := s.Schema.Index(m.Column.Name); i >= 0 {
			read = append(read, m)
			s.MetadataIndexes = append(s.MetadataIndexes, connector.MetadataIndex{Column: i, Key: m.Key})
		}
	}
	s.Metadata = read
	if s.Schema.Index(s.Ingestion) < 0 {
		s.Ingestion = ""
	}
}

// exchange puts an Exchange below every keyed node whose input is not partitioned by its key yet, and makes one of every
// Union.
func (p *Plan) exchange() {
	consumers := p.consumers()
	for _, n := range p.Nodes() {
		c := n.Common()
		var keys []string
		kind := Hash
		switch n := n.(type) {
		case *Union:
			reader := consumers[n]
			if len(reader) == 1 && isKeyed(reader[0]) {
				continue // the keyed node's exchange takes the inputs
			}
			e := &Exchange{Base: *c, Kind: Forward}
			p.replace(n, e)
			continue
		case *Aggregate:
			keys = n.Keys
		case *Deduplicate:
			keys = n.Keys
		case *Operator:
			n.place(consumers)
			continue
		default:
			continue
		}
		if len(keys) == 0 {
			kind = Gather
		}
		in := c.Inputs[0]
		if have, ok := partitioned(in); ok && slices.Equal(have, keys) {
			continue
		}
		e := &Exchange{Base: Base{ID: c.Name + "/exchange", Name: c.Name, Pos: c.Pos, Inputs: []Node{in}, Schema: in.Common().Schema}, Kind: kind, Keys: keys}
		if _, ok := n.(*Deduplicate); ok {
			e.ID = c.ID + "/exchange" // a stream can deduplicate and aggregate
		}
		if u, ok := in.(*Union); ok && len(consumers[u]) == 1 {
			e.Inputs = u.Inputs
		}
		c.Inputs = []Node{e}
	}
}

func isKeyed(n Node) bool {
	switch n := n.(type) {
	case *Aggregate, *Deduplicate:
		return true
	case *Operator:
		return n.alone() && n.Ports[0].Exchange != Forward
	}
	return false
}

// partitioned says by which columns the rows of n are dealt to workers: two rows with the same values in them are on the
// same one, chosen by the hash of these columns in this order.
func partitioned(n Node) (keys []string, ok bool) {
	switch n := n.(type) {
	case *Exchange:
		if n.Kind == Hash || n.Kind == Gather {
			return n.Keys, true
		}
	case *Aggregate:
		return n.Keys, true
	case *Operator:
		return n.Partitioned, n.Partitioned != nil
	case *Deduplicate:
		return partitioned(n.Inputs[0])
	case *Calc:
		below, ok := partitioned(n.Inputs[0])
		if !ok || n.Columns == nil {
			return below, ok
		}
		input := n.Inputs[0].Common().Schema
		for _, k := range below {
			i := slices.IndexFunc(n.Columns, func(c Column) bool { return c.Expr.AsColumn(input) == k })
			if i < 0 {
				return nil, false
			}
			keys = append(keys, n.Columns[i].Name)
		}
		return keys, true
	}
	return nil, false
}

// resolve fills in what nodes say by index, and what follows from the whole graph.
func (p *Plan) resolve() {
	nodes := p.Nodes()
	consumers := p.consumers()
	for _, n := range nodes {
		c := n.Common()
		c.Consumers = len(consumers[n])
		var input *core.Schema
		if len(c.Inputs) > 0 {
			input = c.Inputs[0].Common().Schema
		}
		switch n := n.(type) {
		case *Calc:
			for i := range n.Columns {
				n.Columns[i].Input = -1
				if name := n.Columns[i].Expr.AsColumn(input); name != "" {
					n.Columns[i].Input = input.Index(name)
				}
			}
		case *Exchange:
			n.KeyIndexes = indexes(n.Keys, c.Schema)
		case *Aggregate:
			n.KeyIndexes = indexes(n.Keys, input)
			for i := range n.Calls {
				n.Calls[i].ArgumentIndex = input.Index(n.Calls[i].Argument)
			}
			n.Before = readsBefore(n, consumers)
		case *Deduplicate:
			n.KeyIndexes = indexes(n.Keys, c.Schema)
		case *Operator:
			for i := range n.Ports {
				n.Ports[i].KeyIndexes = indexes(n.Ports[i].Keys, c.Inputs[i].Common().Schema)
			}
		case *Sink:
			n.resolve(input)
		}
	}
}

func indexes(names []string, schema *core.Schema) []int {
	out := make([]int, len(names))
	for i, name := range names {
		out[i] = schema.Index(name)
	}
	return out
}

// readsBefore reports whether a node behind n does something with -U rows.
func readsBefore(n Node, consumers map[Node][]Node) bool {
	for _, c := range consumers[n] {
		if s, ok := c.(*Sink); ok {
			if s.RowKindColumn != "" || s.Spec.Changelog {
				return true
			}
		} else if o, ok := c.(*Operator); ok {
			if slices.ContainsFunc(o.Ports, func(p Port) bool { return p.Retractions }) {
				return true
			}
		} else if _, ok := c.(*Aggregate); ok || readsBefore(c, consumers) {
			return true
		}
	}
	return false
}

// unbalanced says why rows out of a node are not its rows in; "" when they are.
func unbalanced(n Node) string {
	switch n := n.(type) {
	case *Aggregate:
		return fmt.Sprintf("%s aggregates: rows out are not rows in", n.Name)
	case *Operator:
		return n.Unbalanced
	case *SideOutput:
		return fmt.Sprintf("%s has only some of the rows", n.Name)
	}
	return ""
}

func (s *Sink) resolve(input *core.Schema) {
	switch {
	case s.RowKindColumn != "":
		s.RowKinds = KindColumn
		s.Schema = &core.Schema{Fields: append(slices.Clone(input.Fields), core.Field{Name: s.RowKindColumn, Type: core.Of(core.String).Required()}), TimeColumn: input.TimeColumn, TimeShift: input.TimeShift}
	case !input.Changelog:
		s.RowKinds, s.Schema = AppendOnly, input
	case s.Spec.Changelog:
		s.RowKinds, s.Schema = KeepsRowKinds, input
	default:
		s.RowKinds = UpsertRows
		s.Schema = &core.Schema{Fields: input.Fields, TimeColumn: input.TimeColumn, TimeShift: input.TimeShift}
	}
	s.Balance, s.Unbalanced = nil, ""
	seen := map[Node]bool{}
	var path []string
	var visit func(Node)
	visit = func(n Node) {
		c := n.Common()
		if s.Unbalanced == "" {
			s.Unbalanced = unbalanced(n)
		}
		if seen[n] {
			if s.Unbalanced == "" {
				s.Unbalanced = fmt.Sprintf("rows of %s come on more than one way", c.Name)
			}
			return
		}
		seen[n] = true
		for _, in := range c.Inputs {
			visit(in)
		}
		path = append(path, c.ID)
	}
	visit(s)
	if s.Unbalanced == "" {
		s.Balance = path
	}
}
