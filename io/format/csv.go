package format

import (
	"fmt"
	"unicode/utf8"

	"turbo/core"
	"turbo/io/connector"
)

func init() {
	connector.RegisterFormat(connector.FormatSpec{
		Name:    "csv",
		Summary: "comma-separated values (RFC 4180), one record a row",
		Description: "Fields that have the delimiter, the quote or a line end in them stand in quotes; a quote within is doubled, or follows the " +
			"escape character. A field without quotes that equals the null literal is null, so that an empty field is null and `\"\"` " +
			"an empty string. BYTES are base64. A TIMESTAMP_LTZ is written with a Z at its end; both timestamps are read in SQL " +
			"(`2013-01-01 00:00:36.5`) and ISO 8601 form.",
		Fields: []connector.Field{
			{Name: "delimiter", Type: connector.String, Default: ",", Doc: "The character between two fields; one ASCII character, `\\t` for a tab."},
			{Name: "quote", Type: connector.String, Default: `"`, Doc: "The character around a field; one ASCII character, or `none`."},
			{Name: "escape", Type: connector.String, Default: "none", Doc: "A character that, within quotes, takes away the meaning of the next one; or `none`."},
			{Name: "header", Type: connector.Bool, Default: "false", Doc: "Files begin with a line of column names: columns are found by these, and written files have one."},
			{Name: "null-literal", Type: connector.String, Default: "", Doc: "The text of a field without quotes that means null. The default is the empty field."},
			{Name: "lenient-columns", Type: connector.Bool, Default: "false", Doc: "Fields that a row lacks at its end are null, and more fields than columns are ignored; otherwise such a row is a bad record."},
		},
		Extension: "csv",
		Supports:  supportsCSV,
		Check: func(c *connector.Config, _ *core.Schema) error {
			_, err := csvOptionsOf(c)
			return err
		},
		NewSplitter: func(c *connector.Config) (connector.Splitter, error) {
			o, err := csvOptionsOf(c)
			return &csvSplitter{options: o}, err
		},
		NewDecoder: newCSVDecoder,
		NewEncoder: newCSVEncoder,
	})
}

var supportsCSV = supportsScalars("CSV has no nested values; use json, or select the parts as columns of their own")

// csvOptions are the characters of a dialect; 0 means that there is none.
type csvOptions struct {
	delimiter, quote, escape byte
	header, lenient          bool
	null                     string
}

func csvOptionsOf(c *connector.Config) (o csvOptions, err error) {
	o = csvOptions{header: c.Bool("header"), lenient: c.Bool("lenient-columns"), null: c.String("null-literal")}
	for _, f := range []struct {
		name string
		into *byte
	}{{"delimiter", &o.delimiter}, {"quote", &o.quote}, {"escape", &o.escape}} {
		switch text := c.String(f.name); {
		case text == "none" && f.name != "delimiter":
		case text == `\t`:
			*f.into = '\t'
		case len(text) == 1 && text[0] < utf8.RuneSelf && text[0] != '\n' && text[0] != '\r' && text[0] != 0:
			*f.into = text[0]
		default:
			return o, c.Errorf(f.name, "%q: expected one ASCII character", text)
		}
	}
	switch {
	case o.delimiter == o.quote || o.delimiter == o.escape:
		return o, c.Errorf("delimiter", "%q is the quote or the escape character too", rune(o.delimiter))
	case o.quote == 0 && o.escape != 0:
		return o, c.Errorf("escape", "it works within quotes only, and there are none")
	case o.escape == o.quote:
		o.escape = 0 // a doubled quote is the rule anyway
	}
	for _, b := range []byte(o.null) {
		if b == o.delimiter || b == '\n' || b == '\r' || b == o.quote && o.quote != 0 {
			return o, c.Errorf("null-literal", "%q has the delimiter, the quote or a line end in it", o.null)
		}
	}
	return o, nil
}

// csvEncoder writes rows as CSV.
type csvEncoder struct {
	csvOptions
	schema  *core.Schema
	framed  bool
	special [256]bool // bytes that force quotes
	scratch []byte
}

func newCSVEncoder(c connector.EncoderContext) (connector.Encoder, error) {
	o, err := csvOptionsOf(c.Config)
	if err != nil {
		return nil, err
	}
	for _, f := range c.Schema.Fields {
		if err := supportsCSV(f.Type); err != nil {
			return nil, fmt.Errorf("column %s: %w", core.QuoteName(f.Name), err)
		}
	}
	e := &csvEncoder{csvOptions: o, schema: c.Schema, framed: c.Framed}
	e.special['\n'], e.special['\r'], e.special[o.delimiter] = true, true, true
	if o.quote != 0 {
		e.special[o.quote] = true
	}
	if o.escape != 0 {
		e.special[o.escape] = true
	}
	return e, nil
}

// Header implements connector.Encoder.
func (e *csvEncoder) Header() []byte {
	if !e.header {
		return nil
	}
	var out []byte
	for i, f := range e.schema.Fields {
		if i > 0 {
			out = append(out, e.delimiter)
		}
		out, _ = e.appendField(out, []byte(f.Name)) // a name that needs quotes where there are none stands bare
	}
	return append(out, '\n')
}

// Encode implements connector.Encoder.
func (e *csvEncoder) Encode(dst []byte, ends []int32, b *core.Batch) ([]byte, []int32, error) {
	for i := range b.Rows() {
		row := b.Row(i)
		for c, v := range b.Columns {
			if c > 0 {
				dst = append(dst, e.delimiter)
			}
			if v.Null(row) {
				dst = append(dst, e.null...)
				continue
			}
			var ok bool
			switch v.Type.Kind {
			case core.String:
				dst, ok = e.appendField(dst, v.BytesAt(row))
			case core.Bytes:
				e.scratch = base64Text(e.scratch[:0], v.BytesAt(row))
				dst, ok = e.appendField(dst, e.scratch)
			case core.Boolean:
				e.scratch = appendLowerBool(e.scratch[:0], v.Bools()[row])
				dst, ok = e.appendField(dst, e.scratch)
			default:
				e.scratch = v.AppendText(e.scratch[:0], row)
				if v.Type.Kind == core.TimestampLTZ {
					e.scratch = append(e.scratch, 'Z')
				}
				dst, ok = e.appendField(dst, e.scratch)
			}
			if !ok {
				return dst, ends, &RecordError{e.schema.Fields[c].Name, -1, "the value needs quotes, and the format's quote is none"}
			}
		}
		if e.framed {
			dst = append(dst, '\n')
		}
		ends = append(ends, int32(len(dst)))
	}
	return dst, ends, nil
}

func appendLowerBool(dst []byte, x uint8) []byte {
	if x != 0 {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}

// appendField appends a value, in quotes where needed; ok is false when they are and there are none.
func (e *csvEncoder) appendField(dst, text []byte) (out []byte, ok bool) {
	quoted := string(text) == e.null
	if !quoted {
		for _, c := range text {
			if e.special[c] {
				quoted = true
				break
			}
		}
	}
	if !quoted {
		return append(dst, text...), true
	}
	if e.quote == 0 {
		return append(dst, text...), false
	}
	dst = append(dst, e.quote)
	for _, c := range text {
		switch {
		case e.escape != 0 && (c == e.quote || c == e.escape):
			dst = append(dst, e.escape)
		case c == e.quote:
			dst = append(dst, e.quote)
		}
		dst = append(dst, c)
	}
	return append(dst, e.quote), true
}
