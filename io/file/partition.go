package file

import (
	"bytes"
	"fmt"

	"turbo/core"
)

// partitioner finds the directory of each row.
type partitioner struct {
	names   []string // one for each column: the key before the "=", or "" for the plain style
	columns []int    // in the schema of the batches
	groups  map[string]*group
	order   []*group // those of the current batch, in the order of their first rows
	key     []byte
	last    []byte
}

// group is the rows of one batch that go into one directory.
type group struct {
	partition string
	rows      []int32
}

// partitionable reports why values of a type cannot name a directory.
func partitionable(t core.Type) error {
	switch t.Kind {
	case core.Float32, core.Float64, core.Bytes, core.Array, core.Map, core.Row:
		return fmt.Errorf("values of type %s cannot name a directory; use a string, number without fraction, date, time or boolean", t)
	}
	return nil
}

// maxGroups bounds the directories that a partitioner remembers between batches.
const maxGroups = 4096

// split divides the live rows of a batch. The result is valid until the next call. Without partition columns it is nil:
// all rows go to one place.
func (p *partitioner) split(b *core.Batch) []*group {
	if len(p.columns) == 0 {
		return nil
	}
	if p.groups == nil || len(p.groups) > maxGroups {
		p.groups = map[string]*group{}
	}
	p.order = p.order[:0]
	var current *group
	rows := b.Rows()
	before := -1
	for i := range rows {
		row := b.Row(i)
		if current == nil || !p.same(b, before, row) {
			current = p.find(b, row)
		}
		current.rows = append(current.rows, int32(row))
		before = row
	}
	return p.order
}

// done empties the groups of the last split.
func (p *partitioner) done() {
	for _, g := range p.order {
		g.rows = g.rows[:0]
	}
	p.order = p.order[:0]
}

// same compares two rows of a batch cheaply; false means that it does not know.
func (p *partitioner) same(b *core.Batch, x, y int) bool {
	for _, c := range p.columns {
		v := b.Columns[c]
		if v.Null(x) || v.Null(y) {
			return false
		}
		switch v.Type.Kind {
		case core.String:
			if !bytes.Equal(v.BytesAt(x), v.BytesAt(y)) {
				return false
			}
		case core.Int32, core.Date:
			if v.Int32s()[x] != v.Int32s()[y] {
				return false
			}
		case core.Int64, core.Timestamp, core.TimestampLTZ, core.TimeOfDay:
			if v.Int64s()[x] != v.Int64s()[y] {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (p *partitioner) find(b *core.Batch, row int) *group {
	p.key = p.key[:0]
	for i, c := range p.columns {
		if i > 0 {
			p.key = append(p.key, '/')
		}
		if p.names[i] != "" {
			p.key = appendEscaped(p.key, []byte(p.names[i]))
			p.key = append(p.key, '=')
		}
		v := b.Columns[c]
		p.last = p.last[:0]
		if !v.Null(row) {
			p.last = v.AppendText(p.last, row)
		}
		p.key = appendPartition(p.key, p.last, p.names[i] == "")
	}
	g := p.groups[string(p.key)]
	if g == nil {
		g = &group{partition: string(p.key)}
		p.groups[g.partition] = g
	}
	if len(g.rows) == 0 {
		p.order = append(p.order, g)
	}
	return g
}
