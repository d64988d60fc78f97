package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"turbo/core"
	"turbo/internal/spec"
	"turbo/io/connector"
	"turbo/plan"
)

// connectorName reads the connector key of a block, before the block can be parsed: the connector has most of its fields.
func (b *builder) connectorName(n *spec.Node, pos spec.Pos, path string, known []string) string {
	if n == nil || n.Kind != spec.Map {
		kind := spec.Null
		if n != nil {
			kind = n.Kind
		}
		b.report.Errorf(pos, "%s: expected a block of keys, this is %s", path, kind)
		return ""
	}
	name := n.Get("connector")
	switch {
	case name == nil:
		for _, e := range n.Entries {
			if core.Nearest(e.Key, []string{"connector"}) != "" {
				b.report.Errorf(e.KeyPos, "%s: unknown key %q, did you mean connector?", path, e.Key)
				return ""
			}
		}
		b.report.Errorf(pos, "%s: the key \"connector\" is missing%s", path, spec.Suggest("", known))
	case name.Broken:
	case name.Kind != spec.Scalar:
		b.report.Errorf(name.Pos, "%s.connector: expected the name of a connector, this is %s", path, name.Kind)
	case !slices.Contains(known, name.Value):
		b.report.Errorf(name.Pos, "%s.connector: unknown connector %q%s", path, name.Value, spec.Suggest(name.Value, known))
	default:
		return name.Value
	}
	return ""
}

// AllSourceFields are the keys of a source with this connector.
func AllSourceFields(s *connector.SourceSpec) []connector.Field {
	return append(slices.Clone(SourceFields), s.Fields...)
}

// AllSinkFields are the keys of a sink with this connector.
func AllSinkFields(s *connector.SinkSpec) []connector.Field {
	return append(slices.Clone(SinkFields), s.Fields...)
}

func (b *builder) source(n *named) plan.Node {
	path := "sources." + n.name
	name := b.connectorName(n.entry, n.pos, path, connector.SourceNames())
	if name == "" {
		return nil
	}
	before := b.report.Count()
	s := connector.LookupSource(name)
	c := connector.Parse(n.entry, n.pos, path, AllSourceFields(s), b.report)
	n.config = c
	record := b.recordSchema(s, c)
	metadata := b.metadata(s, c)
	if record == nil {
		return nil
	}
	b.format(c, s.Fields, record, true)
	watermark := b.watermark(c, record, metadata)
	if b.report.Count() > before {
		return nil
	}
	policy := connector.ErrorPolicy(slices.Index(connector.ErrorPolicies, c.String("on-error")))
	node, err := plan.NewSource(plan.Place{Name: n.name, Pos: n.pos}, s, c, record, metadata, policy, watermark)
	if err != nil {
		b.add(path, err)
		return nil
	}
	return node
}

// formatOf finds the format field of a connector.
func formatOf(c *connector.Config, fields []connector.Field) (*connector.FormatConfig, string) {
	for _, f := range fields {
		if f.Type == connector.Format {
			return c.Format(f.Name), f.Name
		}
	}
	return nil, ""
}

// format checks that the connector's format can do what is asked of it.
func (b *builder) format(c *connector.Config, fields []connector.Field, schema *core.Schema, read bool) *connector.FormatConfig {
	f, key := formatOf(c, fields)
	if f == nil {
		return nil
	}
	verb := "written"
	can := f.Spec.NewEncoder != nil || f.Spec.NewFile != nil
	if read {
		verb, can = "read", f.Spec.NewDecoder != nil || f.Spec.OpenFile != nil
	}
	if !can {
		b.report.Add(c.Position(key), c.Errorf(key, "the format %s cannot be %s", f.Spec.Name, verb))
		return f
	}
	for _, field := range schema.Fields {
		if f.Spec.Supports == nil {
			break
		}
		if err := f.Spec.Supports(field.Type); err != nil {
			pos := c.ValuePosition(key)
			if at := c.Block().Get("schema"); read && at != nil && at.Get(field.Name) != nil {
				pos = at.Get(field.Name).Pos
			}
			b.report.Errorf(pos, "%s: the format %s cannot carry the column %s: %v", c.Path(), f.Spec.Name, core.QuoteName(field.Name), err)
		}
	}
	if f.Spec.Check != nil {
		b.report.Add(c.ValuePosition(key), f.Spec.Check(f.Config, schema))
	}
	return f
}

// recordSchema reads schema, or asks the connector and then the format for theirs.
func (b *builder) recordSchema(s *connector.SourceSpec, c *connector.Config) *core.Schema {
	n := c.Node("schema")
	if n != nil {
		return b.columns(n, c.Path()+".schema")
	}
	format, _ := formatOf(c, s.Fields)
	var schema *core.Schema
	var err error
	switch {
	case s.DefaultSchema != nil:
		schema, err = s.DefaultSchema(c)
	case format != nil && format.Spec.DefaultSchema != nil:
		schema, err = format.Spec.DefaultSchema(format.Config)
	}
	if err != nil {
		b.report.Add(c.Position(""), err)
		return nil
	}
	if schema == nil {
		b.report.Add(c.Position(""), c.Errorf("", "the key \"schema\" is missing: it has the columns, as in schema: {id: BIGINT, name: STRING}"))
	}
	return schema
}

func (b *builder) columns(n *spec.Node, path string) *core.Schema {
	if n.Kind != spec.Map || len(n.Entries) == 0 {
		b.report.Errorf(n.Pos, "%s: expected a block of columns with their types, this is %s", path, n.Kind)
		return nil
	}
	schema := core.NewSchema()
	ok := true
	for _, e := range n.Entries {
		if e.Value.Broken {
			ok = false
			continue
		}
		if e.Value.Kind != spec.Scalar {
			b.report.Errorf(e.KeyPos, "%s.%s: expected a type such as BIGINT, this is %s", path, e.Key, e.Value.Kind)
			ok = false
			continue
		}
		t, err := core.ParseType(e.Value.Value)
		var mistake *core.TypeError
		if errors.As(err, &mistake) {
			b.report.Errorf(e.Value.At(mistake.Offset), "%s.%s: %s", path, e.Key, mistake.Reason)
		} else {
			b.report.Add(e.Value.Pos, err)
		}
		ok = ok && err == nil
		schema.Fields = append(schema.Fields, core.Field{Name: e.Key, Type: t})
	}
	if !ok {
		return nil
	}
	return schema
}

func (b *builder) metadata(s *connector.SourceSpec, c *connector.Config) []plan.Metadata {
	var out []plan.Metadata
	var known []string
	for _, m := range s.Metadata {
		known = append(known, m.Key)
	}
	known = append(known, plan.IngestionTime)
	for _, e := range c.Entries("metadata") {
		i := slices.Index(known, e.Value)
		switch {
		case i == len(s.Metadata):
			out = append(out, plan.Metadata{Column: core.Field{Name: e.Key, Type: plan.IngestionType}, Key: e.Value})
			if c.Block().Get("schema").Get(e.Key) != nil {
				b.report.Errorf(e.KeyPos, "%s.metadata.%s: the schema has this column already", c.Path(), e.Key)
			}
		case i < 0:
			b.report.Errorf(e.Node.Pos, "%s.metadata.%s: unknown metadata key %q%s", c.Path(), e.Key, e.Value, spec.Suggest(e.Value, known))
		default:
			out = append(out, plan.Metadata{Column: core.Field{Name: e.Key, Type: s.Metadata[i].Type}, Key: e.Value})
			if c.Block().Get("schema").Get(e.Key) != nil {
				b.report.Errorf(e.KeyPos, "%s.metadata.%s: the schema has this column already", c.Path(), e.Key)
			}
		}
	}
	return out
}

func (b *builder) watermark(c *connector.Config, record *core.Schema, metadata []plan.Metadata) *plan.Watermark {
	if !c.Has("watermark") {
		return nil
	}
	w := c.Object("watermark")
	out := &plan.Watermark{
		Column: w.String("column"), MaxOutOfOrderness: w.Duration("max-out-of-orderness"), IdleTimeout: w.Duration("idle-timeout"),
		MaxDrift: w.Duration("max-drift"), Group: w.String("group"), MaxFutureSkew: w.Duration("max-future-skew"),
	}
	if w.Has("group") && out.MaxDrift == 0 {
		b.report.Errorf(w.Position("group"), "%s.group: has no meaning without max-drift", w.Path())
	}
	if w.Has("punctuated") && w.Has("max-out-of-orderness") {
		b.report.Errorf(w.Position("punctuated"), "%s.punctuated: the watermark comes either from rows that say so, or follows the times by max-out-of-orderness: leave one of them out", w.Path())
	}
	fields := slices.Clone(record.Fields)
	for _, m := range metadata {
		fields = append(fields, m.Column)
	}
	if out.Column == "" {
		return nil // reported
	}
	var times []string
	for _, f := range fields {
		if f.Type.Kind.IsTime() {
			times = append(times, f.Name)
		}
	}
	i := slices.IndexFunc(fields, func(f core.Field) bool { return f.Name == out.Column })
	switch {
	case i < 0:
		names := times
		if len(names) == 0 {
			names = core.NewSchema(fields...).Names()
		}
		b.report.Add(w.Position("column"), w.Errorf("column", "unknown column %q%s", out.Column, spec.Suggest(out.Column, names)))
	case !fields[i].Type.Kind.IsTime():
		b.report.Add(w.Position("column"), w.Errorf("column", "event time needs a TIMESTAMP or TIMESTAMP_LTZ column, %s is %s", out.Column, fields[i].Type.Optional()))
	}
	if n := w.Node("punctuated"); n != nil && n.Kind == spec.Scalar && !n.Broken {
		e, err := plan.NewExpr(n.Value, core.NewSchema(fields...))
		if err != nil {
			b.expressionError(n, w.Path()+".punctuated", err)
			return nil
		}
		out.Punctuated = e.Written(origin(n, "source "+strings.TrimPrefix(c.Path(), "sources.")+", watermark.punctuated"))
	}
	return out
}

func (b *builder) stream(n *named, path []*named) plan.Node {
	c := n.config
	for _, key := range []string{"join", "filter", "deduplicate", "lookup", "process", "window", "trigger", "evictor"} {
		if v := n.entry.Get(key); v != nil && v.Kind == spec.Null {
			b.report.Errorf(n.entry.KeyPos(key), "%s.%s: has no value: give it one, or leave the key out", c.Path(), key)
			return nil
		}
	}
	var in plan.Node
	switch {
	case c.Has("join") && c.Has("from"):
		b.report.Errorf(c.Position("join"), "%s: has from and join: it is one of them", c.Path())
	case c.Has("join"):
		in = b.join(n, c.Object("join"), path)
	case !c.Has("from"):
		b.report.Errorf(n.pos, "%s: the key \"from\" is missing (or \"join\")", c.Path())
	default:
		in, n.reads = b.inputs(c, n.name, n.pos, path)
	}
	if in == nil {
		b.syntaxOnly(c)
		return nil
	}
	at := func(key string) plan.Place { return plan.Place{Name: n.name, Pos: c.ValuePosition(key)} }
	for _, step := range []func() (plan.Node, error){
		func() (plan.Node, error) {
			if !c.Has("filter") {
				return in, nil
			}
			e := b.expression(c.Node("filter"), c.Path()+".filter", "stream "+n.name+", filter", in)
			if e == nil {
				return nil, nil
			}
			return plan.NewFilter(at("filter"), in, e)
		},
		func() (plan.Node, error) {
			if !c.Has("deduplicate") {
				return in, nil
			}
			d := c.Object("deduplicate")
			if len(d.Strings("key")) == 0 || d.Duration("ttl") == 0 {
				return nil, nil // reported
			}
			return plan.NewDeduplicate(at("deduplicate"), in, d.Strings("key"), d.Duration("ttl"), d.String("clock") == "processing")
		},
		func() (plan.Node, error) { return b.lookup(c, in, at("lookup")) },
		func() (plan.Node, error) { return b.project(c, in, at("select")) },
		func() (plan.Node, error) { return b.process(n, c, in) },
		func() (plan.Node, error) { return b.aggregate(n, c, in, at("aggregate")) },
	} {
		next, err := step()
		if err != nil {
			b.add(c.Path(), err)
			return nil
		}
		if next == nil {
			return nil
		}
		in = next
	}
	// A stream that changes nothing is the one that it reads, under a second name.
	return in
}

// origin says where the expression in n was written, and what it computes.
func origin(n *spec.Node, what string) plan.Origin {
	if n == nil {
		return plan.Origin{Name: what}
	}
	return plan.Origin{Name: what, At: n.At}
}

// expression checks the expression in n over the columns of in. what says what it computes.
func (b *builder) expression(n *spec.Node, path, what string, in plan.Node) *plan.Expr {
	if n == nil || n.Kind != spec.Scalar || n.Broken {
		return nil // reported
	}
	e, err := plan.NewExpr(n.Value, in.Common().Schema)
	if err != nil {
		b.expressionError(n, path, err)
		return nil
	}
	return e.Written(origin(n, what))
}

func (b *builder) expressionError(n *spec.Node, path string, err error) {
	if offset, message, ok := plan.Offset(err); ok {
		b.report.Errorf(n.At(offset), "%s: %s", path, message)
		return
	}
	b.report.Errorf(n.Pos, "%s: %v", path, err)
}

// project reads select. A list of names is a select of columns as they are.
func (b *builder) project(c *connector.Config, in plan.Node, at plan.Place) (plan.Node, error) {
	n := c.Node("select")
	if n == nil {
		return in, nil
	}
	path := c.Path() + ".select"
	schema := in.Common().Schema
	var columns []plan.Column
	ok := true
	take := func(name string, pos spec.Pos) {
		e := plan.NewColumn(name, schema)
		if e == nil {
			b.report.Errorf(pos, "%s: unknown column %q%s", path, name, spec.Suggest(name, schema.Names()))
			ok = false
			return
		}
		columns = append(columns, plan.Column{Name: name, Expr: e})
	}
	switch {
	case n.Kind == spec.List:
		for _, item := range n.Items {
			take(item.Value, item.Pos)
		}
	case n.Kind != spec.Map || len(n.Entries) == 0:
		b.report.Errorf(n.Pos, "%s: expected a block of columns, this is %s", path, n.Kind)
		return nil, nil
	}
	for _, e := range n.Entries {
		switch {
		case e.Key == "*" && e.Value.Kind == spec.Null:
			for _, f := range schema.Fields {
				if n.Get(f.Name) == nil { // one that is named is taken from there
					take(f.Name, e.KeyPos)
				}
			}
		case e.Key == "*":
			b.report.Errorf(e.Value.Pos, "%s.*: stands for all columns and takes no expression", path)
			ok = false
		case e.Value.Kind == spec.Null:
			take(e.Key, e.KeyPos)
		case e.Value.Kind != spec.Scalar:
			b.report.Errorf(e.Value.Pos, "%s.%s: expected an expression, this is %s", path, e.Key, e.Value.Kind)
			ok = false
		default:
			expression := b.expression(e.Value, path+"."+e.Key, "stream "+at.Name+", column "+e.Key, in)
			ok = ok && expression != nil
			columns = append(columns, plan.Column{Name: e.Key, Expr: expression})
		}
	}
	if !ok {
		return nil, nil
	}
	return plan.NewProject(at, in, columns)
}

func (b *builder) aggregate(of *named, c *connector.Config, in plan.Node, at plan.Place) (plan.Node, error) {
	if c.Has("window") {
		return b.window(of, c, in)
	}
	for _, key := range windowKeys {
		if c.Has(key) {
			b.report.Errorf(c.Position(key), "%s.%s: has no meaning without window", c.Path(), key)
			return nil, nil
		}
	}
	if c.Node("aggregate") == nil {
		for _, key := range []string{"key-by", "emit"} {
			if c.Has(key) {
				b.report.Errorf(c.Position(key), "%s.%s: has no meaning without aggregate", c.Path(), key)
				return nil, nil
			}
		}
		return in, nil
	}
	columns, ok := b.aggregates(of.name, c, in)
	if !ok {
		return nil, nil
	}
	return plan.NewAggregate(at, in, c.Strings("key-by"), columns, c.String("emit") == "every-row")
}

// aggregates reads key-by and aggregate.
func (b *builder) aggregates(name string, c *connector.Config, in plan.Node) (columns []*plan.AggregateColumn, ok bool) {
	n := c.Node("aggregate")
	path := c.Path() + ".aggregate"
	if n.Kind != spec.Map || len(n.Entries) == 0 {
		b.report.Errorf(n.Pos, "%s: expected a block of columns with aggregates, this is %s", path, n.Kind)
		return nil, false
	}
	keys := c.Strings("key-by")
	schema := in.Common().Schema
	ok = true
	for _, e := range c.Entries("key-by") {
		if schema.Index(e.Value) < 0 {
			b.report.Errorf(e.Node.Pos, "%s.key-by: unknown column %q%s", c.Path(), e.Value, spec.Suggest(e.Value, schema.Names()))
			ok = false
		}
	}
	for _, e := range n.Entries {
		if e.Value.Broken {
			ok = false
			continue
		}
		if e.Value.Kind != spec.Scalar {
			b.report.Errorf(e.KeyPos, "%s.%s: expected an aggregate such as SUM(x), this is %s", path, e.Key, e.Value.Kind)
			ok = false
			continue
		}
		column, err := plan.NewAggregateColumn(e.Key, e.Value.Value, keys, schema)
		if err != nil {
			b.expressionError(e.Value, path+"."+e.Key, err)
			ok = false
			continue
		}
		columns = append(columns, column.Written(origin(e.Value, "stream "+name+", column "+e.Key)))
	}
	return columns, ok
}

// syntaxOnly checks the expressions of a stream whose input is mistaken, as far as that goes without knowing its columns.
func (b *builder) syntaxOnly(c *connector.Config) {
	check := func(n *spec.Node, path string) {
		if n == nil || n.Kind != spec.Scalar || n.Broken {
			return
		}
		if err := plan.Syntax(n.Value); err != nil {
			b.expressionError(n, path, err)
		}
	}
	if c.Has("filter") {
		check(c.Node("filter"), c.Path()+".filter")
	}
	for _, key := range []string{"select", "aggregate"} {
		if n := c.Node(key); n != nil {
			for _, e := range n.Entries {
				check(e.Value, fmt.Sprintf("%s.%s.%s", c.Path(), key, e.Key))
			}
		}
	}
}

func (b *builder) sinks() {
	seen := map[string]bool{}
	b.reached = map[*named]bool{}
	for _, e := range b.block("sinks") {
		path := "sinks." + e.Key
		if !namePattern.MatchString(e.Key) {
			b.report.Errorf(e.KeyPos, "sinks: %q: a name has letters, digits, _, - and . and begins with none of - and .", e.Key)
		}
		name := b.connectorName(e.Value, e.KeyPos, path, connector.SinkNames())
		if name == "" || seen[e.Key] {
			continue
		}
		seen[e.Key] = true
		if node := b.sink(e, path, name); node != nil {
			b.plan.Sinks = append(b.plan.Sinks, node)
		}
	}
}

// sink builds one sink, whose connector is known. It is nil after a mistake.
func (b *builder) sink(e spec.Entry, path, name string) *plan.Sink {
	before := b.report.Count()
	s := connector.LookupSink(name)
	c := connector.Parse(e.Value, e.KeyPos, path, AllSinkFields(s), b.report)
	in, reads := b.inputs(c, e.Key, e.KeyPos, nil)
	for _, n := range reads {
		b.reached[n] = true
	}
	if in == nil {
		return nil
	}
	place := plan.Place{Name: e.Key, Pos: e.KeyPos}
	if in = b.computed(place, c, s.Fields, in); in == nil {
		return nil
	}
	if c.Has("row-kind") {
		place.Pos = c.ValuePosition("row-kind")
	}
	node, err := plan.NewSink(place, in, s, c, c.String("row-kind"))
	if err != nil {
		b.add(path, err)
		return nil
	}
	b.format(c, s.Fields, node.Schema, false)
	if c.Has("row-kind") && !in.Common().Schema.Changelog {
		b.report.Warnf(c.Position("row-kind"), "%s.row-kind: every row of %s is an insertion: the column will always say +I", path, in.Common().Name)
	}
	if b.report.Count() > before {
		return nil
	}
	return node
}

// computed adds the columns that a sink's options ask for by expressions: partition-by. It returns nil after a mistake.
func (b *builder) computed(at plan.Place, c *connector.Config, fields []connector.Field, in plan.Node) plan.Node {
	before := b.report.Count()
	schema := in.Common().Schema
	var columns []plan.Column
	for _, f := range fields {
		if !f.Columns {
			continue
		}
		for _, e := range c.Entries(f.Name) {
			path := c.Path() + "." + f.Name + "." + e.Key
			there := schema.Index(e.Key) >= 0
			switch {
			case e.Value == "" && !there:
				near := ""
				if n := core.Nearest(e.Key, schema.Names()); n != "" {
					near = fmt.Sprintf(", did you mean %s?", n)
				}
				b.report.Errorf(e.KeyPos, "%s: there is no column %s%s", path, core.QuoteName(e.Key), near)
			case e.Value == "" || e.Value == e.Key:
			case there:
				b.report.Errorf(e.KeyPos, "%s: there is a column %s already: give the computed one another name", path, core.QuoteName(e.Key))
			default:
				if x := b.expression(e.Node, path, "sink "+at.Name+", "+f.Name+"."+e.Key, in); x != nil {
					columns = append(columns, plan.Column{Name: e.Key, Expr: x})
				}
			}
		}
	}
	switch {
	case b.report.Count() > before:
		return nil
	case len(columns) == 0:
		return in
	}
	return plan.NewComputed(at, in, columns)
}
