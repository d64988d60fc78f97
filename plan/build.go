package plan

import (
	"fmt"
	"slices"
	"time"

	"turbo/core"
	"turbo/internal/spec"
	"turbo/io/connector"
)

// Place is where a node belongs: the stream (or source or sink) and the position in the specification. Errors of the New
// functions that take one are *spec.Error at that position.
type Place struct {
	Name string
	Pos  spec.Pos
}

func (p Place) errorf(format string, args ...any) error {
	return spec.Errorf(p.Pos, "%s", fmt.Sprintf(format, args...))
}

// wrap puts an error of a lower package at the place; errors.As finds it.
func (p Place) wrap(err error) error {
	return &spec.Error{Pos: p.Pos, Message: err.Error(), Cause: err}
}

func (p Place) common(role string, inputs ...Node) Base {
	c := Base{ID: p.Name + "/" + role, Name: p.Name, Pos: p.Pos, Inputs: inputs}
	if len(inputs) > 0 {
		c.Schema = inputs[0].Common().Schema
	}
	return c
}

func (p Place) calc(role string, in Node) *Calc { return &Calc{Base: p.common(role, in)} }

// NewSource makes a source. record has the declared columns of a record; metadata columns follow them. watermark may be
// nil; its column must be a TIMESTAMP or TIMESTAMP_LTZ.
func NewSource(at Place, s *connector.SourceSpec, config *connector.Config, record *core.Schema, metadata []Metadata, onError connector.ErrorPolicy, watermark *Watermark) (*Source, error) {
	out := &Source{Base: at.common("source"), Spec: s, Config: config, Record: record, Metadata: metadata, OnError: onError, Watermark: watermark}
	schema := core.NewSchema(slices.Clone(record.Fields)...)
	out.Metadata = nil
	for _, m := range metadata {
		if m.Key == IngestionTime {
			if out.Ingestion != "" {
				return nil, at.errorf("the columns %s and %s both have the metadata %s", out.Ingestion, m.Column.Name, IngestionTime)
			}
			out.Ingestion = m.Column.Name
			continue
		}
		out.Metadata = append(out.Metadata, m)
		schema.Fields = append(schema.Fields, m.Column)
	}
	if out.Ingestion != "" { // the task adds it behind what the reader gives
		schema.Fields = append(schema.Fields, core.Field{Name: out.Ingestion, Type: IngestionType})
	}
	names := map[string]bool{}
	for _, f := range schema.Fields {
		if names[f.Name] {
			return nil, at.errorf("the column %s stands twice", f.Name)
		}
		names[f.Name] = true
	}
	if len(schema.Fields) == 0 {
		return nil, at.errorf("the source has no columns")
	}
	if watermark != nil {
		i := schema.Index(watermark.Column)
		if i < 0 {
			return nil, at.errorf("unknown column %s%s", watermark.Column, suggest(watermark.Column, schema.Names()))
		}
		if t := schema.Fields[i].Type; !t.Kind.IsTime() {
			return nil, at.errorf("the watermark needs a TIMESTAMP or TIMESTAMP_LTZ column, %s is %s", watermark.Column, t.Optional())
		}
		if e := watermark.Punctuated; e != nil && e.Type.Kind != core.Boolean && !e.Type.Kind.IsTime() {
			return nil, at.errorf("punctuated is BOOLEAN (everything up to this row's time has come) or TIMESTAMP (everything up to it has), this is %s", e.Type.Optional())
		}
		schema.TimeColumn = i
	}
	out.Schema, out.declared = schema, schema
	return out, nil
}

// NewFilter keeps the rows for which condition, a BOOLEAN over in's columns, is true.
func NewFilter(at Place, in Node, condition *Expr) (Node, error) {
	if condition.Type.Kind != core.Boolean {
		return nil, at.errorf("a filter is BOOLEAN, this is %s", condition.Type.Optional())
	}
	c := at.calc("filter", in)
	c.Conditions = []*Expr{condition}
	return c, nil
}

// NewProject computes columns over in's.
func NewProject(at Place, in Node, columns []Column) (Node, error) {
	if len(columns) == 0 {
		return nil, at.errorf("there is no column")
	}
	seen := map[string]bool{}
	for _, c := range columns {
		if seen[c.Name] {
			return nil, at.errorf("the column %s stands twice", c.Name)
		}
		seen[c.Name] = true
	}
	c := at.calc("select", in)
	c.Columns = columns
	c.Schema = schemaOf(columns, in.Common().Schema)
	return c, nil
}

// NewComputed adds columns behind those of in, for a sink whose options are expressions.
func NewComputed(at Place, in Node, computed []Column) Node {
	input := in.Common().Schema
	c := at.calc("computed", in)
	for _, f := range input.Fields {
		c.Columns = append(c.Columns, Column{Name: f.Name, Expr: NewColumn(f.Name, input)})
	}
	c.Columns = append(c.Columns, computed...)
	c.Schema = schemaOf(c.Columns, input)
	return c
}

// schemaOf is the schema of a projection: the event time goes on when its column does.
func schemaOf(columns []Column, input *core.Schema) *core.Schema {
	out := &core.Schema{TimeColumn: -1, Changelog: input.Changelog}
	for i, c := range columns {
		if name := c.Expr.AsColumn(input); name != "" && out.TimeColumn < 0 && input.TimeColumn >= 0 && name == input.Fields[input.TimeColumn].Name {
			out.TimeColumn, out.TimeShift = i, input.TimeShift
		}
		out.Fields = append(out.Fields, core.Field{Name: c.Name, Type: c.Expr.Type})
	}
	return out
}

// NewUnion brings streams together. They need the same columns; the first one's order counts.
func NewUnion(at Place, inputs []Node) (Node, error) {
	if len(inputs) == 1 {
		return inputs[0], nil
	}
	first := inputs[0].Common()
	schema := &core.Schema{Fields: slices.Clone(first.Schema.Fields), TimeColumn: first.Schema.TimeColumn, TimeShift: first.Schema.TimeShift, Changelog: first.Schema.Changelog}
	u := &Union{at.common("union", inputs...)}
	u.Inputs = slices.Clone(inputs)
	for i, in := range inputs[1:] {
		c := in.Common()
		if slices.Contains(inputs[:i+1], in) {
			return nil, at.errorf("%s stands twice in the union", c.Name)
		}
		for _, f := range c.Schema.Fields {
			if schema.Index(f.Name) < 0 {
				return nil, at.errorf("%s has the column %s and %s has not: a union needs the same columns", c.Name, f.Name, first.Name)
			}
		}
		same := true
		for j := range schema.Fields {
			f := &schema.Fields[j]
			k := c.Schema.Index(f.Name)
			if k < 0 {
				return nil, at.errorf("%s has the column %s and %s has not: a union needs the same columns", first.Name, f.Name, c.Name)
			}
			same = same && k == j
			t := c.Schema.Fields[k].Type
			if !t.Same(f.Type) {
				return nil, at.errorf("the column %s is %s in %s and %s in %s: a union needs the same types", f.Name, f.Type.Optional(), first.Name, t.Optional(), c.Name)
			}
			f.Type.NotNull = f.Type.NotNull && t.NotNull
		}
		if t := schema.TimeColumn; t >= 0 && (c.Schema.TimeColumn < 0 || c.Schema.Fields[c.Schema.TimeColumn].Name != schema.Fields[t].Name || c.Schema.TimeShift != schema.TimeShift) {
			schema.TimeColumn, schema.TimeShift = -1, 0
		}
		schema.Changelog = schema.Changelog || c.Schema.Changelog
		if !same {
			u.Inputs[i+1] = narrow(in, fmt.Sprintf("%s/order-%d", u.ID, i+1), at, schema)
		}
	}
	u.Schema = schema
	return u, nil
}

// narrow puts a projection to the columns of schema, by name, on in.
func narrow(in Node, id string, at Place, schema *core.Schema) *Calc {
	c := at.calc("", in)
	c.ID = id
	c.Columns = make([]Column, len(schema.Fields))
	for i, f := range schema.Fields {
		c.Columns[i] = Column{Name: f.Name, Expr: NewColumn(f.Name, in.Common().Schema)}
	}
	c.Schema = schemaOf(c.Columns, in.Common().Schema)
	return c
}

// NewDeduplicate keeps the first row of each key until ttl has passed since that row.
func NewDeduplicate(at Place, in Node, keys []string, ttl time.Duration, processingTime bool) (Node, error) {
	schema := in.Common().Schema
	if schema.Changelog {
		return nil, at.errorf("%s is a changelog (rows of it replace earlier ones) and cannot be deduplicated", in.Common().Name)
	}
	if len(keys) == 0 {
		return nil, at.errorf("deduplicate needs a key")
	}
	for i, k := range keys {
		if schema.Index(k) < 0 {
			return nil, at.errorf("unknown column %s%s", k, suggest(k, schema.Names()))
		}
		if slices.Contains(keys[:i], k) {
			return nil, at.errorf("the key %s stands twice", k)
		}
	}
	if !processingTime && schema.TimeColumn < 0 {
		return nil, at.errorf("the time to live counts in event time, and %s has none: give its source a watermark and keep the column, or say clock: processing", in.Common().Name)
	}
	return &Deduplicate{Base: at.common("deduplicate", in), Keys: keys, TTL: ttl, ProcessingTime: processingTime}, nil
}

// NewSink ends a stream in a connector. rowKindColumn is "" or the name of a column to add.
func NewSink(at Place, in Node, s *connector.SinkSpec, config *connector.Config, rowKindColumn string) (*Sink, error) {
	out := &Sink{Base: at.common("sink", in), Spec: s, Config: config, RowKindColumn: rowKindColumn}
	input := in.Common().Schema
	if rowKindColumn != "" {
		if input.Index(rowKindColumn) >= 0 {
			return nil, at.errorf("the column %s for the row kind is there already", rowKindColumn)
		}
		out.Schema = &core.Schema{Fields: append(slices.Clone(input.Fields), core.Field{Name: rowKindColumn, Type: core.Of(core.String).Required()}), TimeColumn: input.TimeColumn, TimeShift: input.TimeShift}
	}
	return out, nil
}
