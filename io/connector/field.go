package connector

import (
	"fmt"
	"strings"
)

// FieldType says what a field's value looks like and which getter of Config reads it.
type FieldType uint8

// The field types.
const (
	String     FieldType = iota // any single value
	Int                         // a whole number, 64 bits
	Float                       // a finite number
	Bool                        // true or false
	Duration                    // 10ms, 1m; -1 only where the field says so
	ByteSize                    // 128MiB
	Enum                        // one of Field.Enum
	StringList                  // a list, or one value with commas
	StringMap                   // keys of the user's choice, each with a single value or none
	Secret                      // text, ${env:NAME} or {file: path}; never printed
	Object                      // a block with the keys of Field.Fields
	ObjectMap                   // names of the user's choice, each with a block of Field.Fields
	Format                      // the name of a format, or a block with type and the format's own keys
	Any                         // read by its owner from the node
)

var fieldTypeNames = [...]string{
	"string", "integer", "number", "boolean", "duration", "size", "enum", "list", "map", "secret", "block", "map of blocks", "format", "any",
}

// String returns the name that the reference uses.
func (t FieldType) String() string { return fieldTypeNames[t] }

// Field describes one key of a block. The same description drives parsing, defaults, error messages, the JSON Schema
// and the reference.
type Field struct {
	Name     string
	Type     FieldType
	Doc      string // one or more sentences for the reference
	Default  string // as it would be written in the file; "" means none
	Example  string
	Required bool
	Enum     []string // of an Enum, in the order of the reference
	Fields   []Field  // of an Object or ObjectMap

	// Min and Max bound an Int, Float, Duration or ByteSize, written as in the file; "" means no bound.
	Min, Max string
	// MinusOne lets a Duration be -1 (spec.Unlimited) and its Doc says what that means; otherwise durations and sizes
	// are not negative.
	MinusOne bool
	// Signed lets a Duration be negative, as in -5m.
	Signed bool
	// Hint says in the message of a mistake how the value is written.
	Hint string
	// Shorthand names the field of an Object that a single value in place of the block fills in.
	Shorthand string
	// Off lets an Object be the word "off"; Config.Off reports it.
	Off bool
	// Identity marks a key that says which input or output it is (a topic, a path): with another value the state of a
	// checkpoint does not fit.
	Identity bool
	// Columns says of a sink's StringMap that its values are expressions over the columns of the input: the sink gets a
	// further column for each key (unless the value is empty or the key itself, which name a column that is there).
	Columns bool
	// Schema of an Any field, for the JSON Schema.
	Schema map[string]any
}

// Check reports mistakes in the description itself: duplicate names, a default that does not parse, an enum without
// values. The registry's test calls it for every connector.
func Check(fields []Field) error {
	seen := map[string]bool{}
	for _, f := range fields {
		switch {
		case f.Name == "" || strings.ToLower(f.Name) != f.Name || strings.ContainsAny(f.Name, "_ "):
			return fmt.Errorf("field %q: names are lower case with dashes", f.Name)
		case seen[f.Name]:
			return fmt.Errorf("field %s stands twice", f.Name)
		case f.Doc == "":
			return fmt.Errorf("field %s has no Doc", f.Name)
		case (f.Type == Enum) != (len(f.Enum) > 0):
			return fmt.Errorf("field %s: Enum values belong to the type Enum and are needed there", f.Name)
		case (f.Type == Object || f.Type == ObjectMap) != (len(f.Fields) > 0):
			return fmt.Errorf("field %s: Fields belong to the types Object and ObjectMap and are needed there", f.Name)
		case f.Columns && f.Type != StringMap:
			return fmt.Errorf("field %s: Columns belongs to the type StringMap", f.Name)
		case f.Required && f.Default != "":
			return fmt.Errorf("field %s is required and has a default", f.Name)
		case f.Shorthand != "" && fieldNamed(f.Fields, f.Shorthand) == nil:
			return fmt.Errorf("field %s: no field %q for the shorthand", f.Name, f.Shorthand)
		}
		seen[f.Name] = true
		for _, text := range []string{f.Default, f.Min, f.Max} {
			if text == "" {
				continue
			}
			if err := checkText(f, text); err != nil {
				return fmt.Errorf("field %s: %q: %w", f.Name, text, err)
			}
		}
		if err := Check(f.Fields); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return nil
}

// checkText parses a default or bound. The default of an Object or a Format is checked where it is used.
func checkText(f Field, text string) error {
	var v value
	f.Min, f.Max = "", ""
	switch f.Type {
	case Object, ObjectMap, Format, Any, StringList, StringMap, Secret:
		return nil
	}
	return v.scalar(f, text)
}

func fieldNamed(fields []Field, name string) *Field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

func fieldNames(fields []Field) []string {
	out := make([]string, len(fields))
	for i := range fields {
		out[i] = fields[i].Name
	}
	return out
}
