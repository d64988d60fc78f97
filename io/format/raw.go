package format

import (
	"bytes"
	"errors"
	"fmt"

	"turbo/core"
	"turbo/io/connector"
)

func init() {
	connector.RegisterFormat(connector.FormatSpec{
		Name:    "raw",
		Summary: "the record as it is, in one STRING or BYTES column",
		Description: "The record's bytes are the value of the only column. In files a record is a line, without its line end; a value that has a " +
			"line end in it, and a null, cannot be written and fail the job. Without a schema the column is `value STRING`.",
		Extension: "txt",
		Supports:  supportsRaw,
		DefaultSchema: func(*connector.Config) (*core.Schema, error) {
			return core.NewSchema(core.Field{Name: "value", Type: core.Of(core.String)}), nil
		},
		Check: func(c *connector.Config, schema *core.Schema) error {
			if len(schema.Fields) != 1 {
				return c.Errorf("", "the format raw has one column, here are %d: %s", len(schema.Fields), schema)
			}
			return nil
		},
		NewSplitter: func(*connector.Config) (connector.Splitter, error) { return lineSplitter{}, nil },
		NewDecoder: func(c connector.DecoderContext) (connector.Decoder, error) {
			return &rawDecoder{targets: targets(c)}, nil
		},
		NewEncoder: func(c connector.EncoderContext) (connector.Encoder, error) {
			if len(c.Schema.Fields) != 1 {
				return nil, fmt.Errorf("the format raw has one column, here are %d: %s", len(c.Schema.Fields), c.Schema)
			}
			return &rawEncoder{name: c.Schema.Fields[0].Name, framed: c.Framed}, nil
		},
	})
}

func supportsRaw(t core.Type) error {
	if t.Kind != core.String && t.Kind != core.Bytes {
		return fmt.Errorf("%s: raw carries STRING and BYTES only; CAST the column, or choose csv or json", t.Optional())
	}
	return nil
}

type rawDecoder struct{ targets []target }

// Decode implements connector.Decoder.
func (d *rawDecoder) Decode(record []byte, b *core.Builder) error {
	for _, t := range d.targets {
		if !appendChecked(b.Column(t.column), record) {
			return &RecordError{t.name, -1, reasonUTF8}
		}
	}
	return nil
}

type rawEncoder struct {
	name   string
	framed bool
}

var errLineEnd = errors.New("the value has a line end in it, which raw files cannot carry: choose csv or json")

// Encode implements connector.Encoder.
func (e *rawEncoder) Encode(dst []byte, ends []int32, b *core.Batch) ([]byte, []int32, error) {
	v := b.Columns[0]
	for i := range b.Rows() {
		row := b.Row(i)
		if v.Null(row) {
			return dst, ends, &RecordError{e.name, -1, "null, which raw cannot carry: choose csv or json, or filter it out"}
		}
		value := v.BytesAt(row)
		dst = append(dst, value...)
		if e.framed {
			if bytes.IndexByte(value, '\n') >= 0 || len(value) > 0 && value[len(value)-1] == '\r' {
				return dst, ends, fmt.Errorf("column %s: %w", e.name, errLineEnd)
			}
			dst = append(dst, '\n')
		}
		ends = append(ends, int32(len(dst)))
	}
	return dst, ends, nil
}

// Header implements connector.Encoder.
func (e *rawEncoder) Header() []byte { return nil }
