package core

import "strings"

// Schema is the ordered list of a stream's columns. It is immutable once built and shared by pointer.
type Schema struct {
	Fields []Field
	// TimeColumn is the column that carries event time, or -1. It is a TIMESTAMP or TIMESTAMP_LTZ column.
	TimeColumn int
	// TimeShift is what to add to the time column's value for the event time of a row, in microseconds. It is -1 where the column is
	// the exclusive end of a window: the row belongs to the time just before it, as Flink's window_time.
	TimeShift int64
	// Changelog says that batches carry row kinds (+I, -U, +U, -D); else every row is an insertion.
	Changelog bool
}

// NewSchema returns an append-only schema without event time.
func NewSchema(fields ...Field) *Schema { return &Schema{Fields: fields, TimeColumn: -1} }

// Index returns the position of the column named name, or -1. Names are case-sensitive.
func (s *Schema) Index(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Names returns the column names in order.
func (s *Schema) Names() []string {
	out := make([]string, len(s.Fields))
	for i := range s.Fields {
		out[i] = s.Fields[i].Name
	}
	return out
}

// Equal reports whether both have the same columns, time column and changelog mode.
func (s *Schema) Equal(o *Schema) bool {
	if len(s.Fields) != len(o.Fields) || s.TimeColumn != o.TimeColumn || s.TimeShift != o.TimeShift || s.Changelog != o.Changelog {
		return false
	}
	for i := range s.Fields {
		if s.Fields[i].Name != o.Fields[i].Name || !s.Fields[i].Type.Equal(o.Fields[i].Type) {
			return false
		}
	}
	return true
}

// String renders the schema as "(a BIGINT NOT NULL, b STRING)".
func (s *Schema) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for i, f := range s.Fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(QuoteName(f.Name) + " " + f.Type.String())
	}
	b.WriteByte(')')
	return b.String()
}

// RowKind says how a changelog row changes the result. The values are those of Flink's RowKind.
type RowKind uint8

// The row kinds.
const (
	Insert       RowKind = iota // +I
	UpdateBefore                // -U: the row that an update replaces
	UpdateAfter                 // +U: the row that replaces it
	Delete                      // -D
)

// String returns "+I", "-U", "+U" or "-D".
func (k RowKind) String() string { return [...]string{"+I", "-U", "+U", "-D"}[k&3] }
