package format

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"turbo/core"
	"turbo/io/connector"
)

// RecordError says why a record is bad: at which byte of it, counted from 0, and for which column.
type RecordError struct {
	Column string // as in the schema, with dots into rows; "" when it is no column's fault
	Offset int    // byte of the record, or -1
	Reason string
}

// Error names the column, the byte and the reason.
func (e *RecordError) Error() string {
	switch {
	case e.Column == "" && e.Offset < 0:
		return e.Reason
	case e.Column == "":
		return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason)
	case e.Offset < 0:
		return fmt.Sprintf("column %s: %s", e.Column, e.Reason)
	}
	return fmt.Sprintf("column %s, byte %d: %s", e.Column, e.Offset, e.Reason)
}

const (
	reasonNotNull = "null, but the column is NOT NULL"
	reasonMissing = "missing, but the column is NOT NULL"
	reasonUTF8    = "it is not valid UTF-8, declare the column BYTES"
)

// target is a column of the record that somebody reads.
type target struct {
	record int // index in the record's schema
	column int // index in the builder's schema
	name   string
	typ    core.Type
}

// targets lists the record's columns that are read, in the record's order.
func targets(c connector.DecoderContext) []target {
	var out []target
	for i, f := range c.Record.Fields {
		if c.Columns[i] >= 0 {
			out = append(out, target{i, c.Columns[i], f.Name, f.Type})
		}
	}
	return out
}

// lineSplitter cuts at line feeds; a carriage return before one belongs to it.
type lineSplitter struct{}

// Split implements connector.Splitter.
func (lineSplitter) Split(data []byte, start int, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
		return start + i + 1, withoutCR(data[:start+i]), nil
	}
	if atEOF {
		return len(data), withoutCR(data), nil
	}
	return 0, nil, nil
}

func withoutCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}

// appendChecked appends text to a STRING or BYTES vector and reports whether it is valid for it.
func appendChecked(v *core.Vector, text []byte) bool {
	if v.Type.Kind == core.String && !utf8.Valid(text) {
		return false
	}
	v.AppendBytes(text)
	return true
}

// supportsScalars is the Supports function of formats whose values are single texts.
func supportsScalars(reason string) func(core.Type) error {
	return func(t core.Type) error {
		if t.Kind.IsNested() {
			return fmt.Errorf("%s: %s", t.Optional(), reason)
		}
		return nil
	}
}

// trim drops the rows from n on, and what has been appended to children for a row that was never ended.
func trim(v *core.Vector, n int) {
	v.Truncate(n)
	switch v.Type.Kind {
	case core.Array, core.Map:
		end := int(v.Offsets()[n])
		for i := range v.Type.Elements {
			trim(v.Child(i), end)
		}
	case core.Row:
		for i := range v.Type.Elements {
			trim(v.Child(i), n)
		}
	}
}
