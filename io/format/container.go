package format

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"

	"turbo/core"
	"turbo/io/connector"
)

// filePlan says which column of a file feeds which column of the batches.
type filePlan struct {
	context connector.FileContext
	targets []target
	fields  []int // for each target the file's top-level field, or -1: null
}

// planFile finds the columns that are read by name and checks that they can be read as their types.
func planFile(c connector.FileContext, file *arrow.Schema) (*filePlan, error) {
	p := &filePlan{context: c, targets: targets(connector.DecoderContext{Record: c.Record, Schema: c.Schema, Columns: c.Columns})}
	for _, t := range p.targets {
		found := file.FieldIndices(t.name)
		switch {
		case len(found) > 1:
			return nil, fmt.Errorf("the file has %d columns %s", len(found), core.QuoteName(t.name))
		case len(found) == 1:
			if err := core.CheckArrow(file.Field(found[0]).Type, t.typ); err != nil {
				return nil, fmt.Errorf("column %s: %w", core.QuoteName(t.name), err)
			}
			p.fields = append(p.fields, found[0])
			continue
		case c.Config.String("missing-columns") == "null" && !t.typ.NotNull:
			p.fields = append(p.fields, -1)
			continue
		}
		var names []string
		for _, f := range file.Fields() {
			names = append(names, f.Name)
		}
		hint := ""
		if near := core.Nearest(t.name, names); near != "" {
			hint = fmt.Sprintf(", but a column %s", core.QuoteName(near))
		}
		return nil, fmt.Errorf("the file has no column %s%s", core.QuoteName(t.name), hint)
	}
	return p, nil
}

// batch makes a batch of rows [from, to) of a record. position gives a field's column in the record.
func (p *filePlan) batch(record arrow.Record, position func(field int) int, from, to int64) (*core.Batch, error) {
	b := core.NewBatch(p.context.Account, p.context.Schema)
	b.Len = int(to - from)
	b.Columns = append(b.Columns[:0], make([]*core.Vector, len(p.context.Schema.Fields))...)
	part := record
	if record != nil {
		part = record.NewSlice(from, to)
		defer part.Release()
	}
	for i, t := range p.targets {
		v := core.NewVector(p.context.Account, t.typ, b.Len)
		b.Columns[t.column] = v
		if p.fields[i] < 0 {
			v.AppendNulls(b.Len)
			continue
		}
		if err := v.AppendArrow(part.Column(position(p.fields[i]))); err != nil {
			releasePartial(b)
			return nil, fmt.Errorf("column %s: %w", core.QuoteName(t.name), err)
		}
	}
	return b, nil
}

// releasePartial releases a batch some of whose columns are not there yet.
func releasePartial(b *core.Batch) {
	there := b.Columns[:0]
	for _, v := range b.Columns {
		if v != nil {
			there = append(there, v)
		}
	}
	b.Columns = there
	b.Release()
}

// guard runs f and turns a panic of the Arrow packages, which is how they meet damaged files, into an error.
func guard(what string, f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("%s: %w", what, r)
		default:
			err = fmt.Errorf("%s: %v", what, r)
		}
	}()
	if err = f(); err != nil {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// supportedColumns returns the columns of a file that turbo has a type for.
func supportedColumns(file *arrow.Schema) *core.Schema {
	out := core.NewSchema()
	for _, f := range file.Fields() {
		if t, err := core.TypeOfArrowField(f); err == nil {
			out.Fields = append(out.Fields, core.Field{Name: f.Name, Type: t})
		}
	}
	return out
}

// section is a file to the Arrow packages: they want a seeker.
func section(r io.ReaderAt, size int64) *io.SectionReader { return io.NewSectionReader(r, 0, size) }
