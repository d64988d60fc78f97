package format

import (
	"fmt"
	"slices"

	"turbo/core"
	"turbo/io/connector"
)

var timeStyles = []string{"sql", "iso-8601", "epoch-millis"}

func init() {
	connector.RegisterFormat(connector.FormatSpec{
		Name:    "json",
		Summary: "one JSON object a record; in files one a line",
		Description: "Members are found by name, in any order; unknown ones are skipped, missing ones and `null` are null, and of a name that stands " +
			"twice the last one counts. Numbers become any numeric type exactly, DECIMAL without a detour by floating point; a number may also " +
			"stand in a string, as NaN and Infinity do. A STRING takes any value: what is no string as its JSON text. BYTES are base64, " +
			"ROW and MAP are objects, ARRAY is an array. Timestamps are read in SQL and ISO 8601 form. A record that is not " +
			"exactly one valid JSON object of valid UTF-8 is bad.",
		Fields: []connector.Field{
			{Name: "timestamps", Type: connector.Enum, Enum: timeStyles, Default: "sql", Doc: "How TIMESTAMP and TIMESTAMP_LTZ are " +
				"written: `2013-01-01 00:00:36.5`, `2013-01-01T00:00:36.5` (with a Z for TIMESTAMP_LTZ), or milliseconds since 1970 as a number. " +
				"Both texts are always read; numbers with `epoch-millis` only, which holds precisions up to 3."},
			{Name: "omit-nulls", Type: connector.Bool, Default: "false", Doc: "Leave out the columns that are null instead of writing `null`."},
			{Name: "max-depth", Type: connector.Int, Default: "64", Min: "1", Max: "1000", Doc: "How deep arrays and objects may nest in a record."},
		},
		Extension: "jsonl",
		Supports:  supportsJSON,
		Check: func(c *connector.Config, schema *core.Schema) error {
			if schema == nil {
				return nil
			}
			for _, f := range schema.Fields {
				if err := checkMillis(c.String("timestamps"), f.Type); err != nil {
					return c.Errorf("timestamps", "column %s: %v", core.QuoteName(f.Name), err)
				}
			}
			return nil
		},
		NewSplitter: func(*connector.Config) (connector.Splitter, error) { return lineSplitter{}, nil },
		NewDecoder:  newJSONDecoder,
		NewEncoder:  newJSONEncoder,
	})
}

func supportsJSON(t core.Type) error {
	for _, e := range t.Elements {
		if err := supportsJSON(e.Type); err != nil {
			return err
		}
	}
	return nil
}

// checkMillis refuses timestamps that would lose digits as milliseconds.
func checkMillis(style string, t core.Type) error {
	if style == "epoch-millis" && t.Kind.IsTime() && t.Precise > 3 {
		return fmt.Errorf("%s has more digits than milliseconds: declare %s(3)", t.Optional(), t.Kind)
	}
	for _, e := range t.Elements {
		if err := checkMillis(style, e.Type); err != nil {
			return err
		}
	}
	return nil
}

// jsonEncoder writes rows as objects.
type jsonEncoder struct {
	schema *core.Schema
	names  [][]byte // "name": of each column
	times  core.TimeStyle
	omit   bool
	framed bool
}

func newJSONEncoder(c connector.EncoderContext) (connector.Encoder, error) {
	e := &jsonEncoder{schema: c.Schema, omit: c.Config.Bool("omit-nulls"), framed: c.Framed}
	e.times = core.TimeStyle(slices.Index(timeStyles, c.Config.String("timestamps")))
	for _, f := range c.Schema.Fields {
		if err := checkMillis(c.Config.String("timestamps"), f.Type); err != nil {
			return nil, c.Config.Errorf("timestamps", "column %s: %v", core.QuoteName(f.Name), err)
		}
		e.names = append(e.names, append(core.AppendJSONString(nil, []byte(f.Name)), ':'))
	}
	return e, nil
}

// Header implements connector.Encoder.
func (e *jsonEncoder) Header() []byte { return nil }

// Encode implements connector.Encoder.
func (e *jsonEncoder) Encode(dst []byte, ends []int32, b *core.Batch) ([]byte, []int32, error) {
	for c, v := range b.Columns {
		if hasNullKeys(v) {
			return dst, ends, &RecordError{e.schema.Fields[c].Name, -1, "a key of a MAP is null, which JSON cannot carry"}
		}
	}
	for i := range b.Rows() {
		row := b.Row(i)
		open := byte('{')
		for c, v := range b.Columns {
			if e.omit && v.Null(row) {
				continue
			}
			dst = append(append(dst, open), e.names[c]...)
			dst = v.AppendJSONTimes(dst, row, e.times)
			open = ','
		}
		if open == '{' {
			dst = append(dst, '{')
		}
		dst = append(dst, '}')
		if e.framed {
			dst = append(dst, '\n')
		}
		ends = append(ends, int32(len(dst)))
	}
	return dst, ends, nil
}

// hasNullKeys reports whether a MAP somewhere in v has a null key.
func hasNullKeys(v *core.Vector) bool {
	if v.Type.Kind == core.Map && v.Child(0).HasNulls() {
		return true
	}
	for i := range v.Type.Elements {
		if hasNullKeys(v.Child(i)) {
			return true
		}
	}
	return false
}
