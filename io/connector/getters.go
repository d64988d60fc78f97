package connector

import (
	"time"

	"turbo/internal/spec"
)

// get returns the value of a field. Asking for a field that the specification of the connector does not declare is a
// mistake of the connector's author that every test run meets, so it panics.
func (c *Config) get(name string) *value {
	v, ok := c.values[name]
	if !ok {
		panic("connector: " + c.path + " declares no field " + name)
	}
	return v
}

// Has reports whether the file gives the key a value (a default does not count).
func (c *Config) Has(name string) bool { return c.get(name).given }

// Mistaken reports whether the key's value, or anything in its block, has a mistake. It has been reported.
func (c *Config) Mistaken(name string) bool { return c.get(name).mistaken }

// Off reports whether the block was the word "off".
func (c *Config) Off() bool { return c.off }

// String returns a String or Enum.
func (c *Config) String(name string) string { return c.get(name).text }

// Int returns an Int.
func (c *Config) Int(name string) int64 { return c.get(name).integer }

// Float returns a Float.
func (c *Config) Float(name string) float64 { return c.get(name).float }

// Bool returns a Bool.
func (c *Config) Bool(name string) bool { return c.get(name).boolean }

// Duration returns a Duration; -1 is spec.Unlimited.
func (c *Config) Duration(name string) time.Duration { return c.get(name).duration }

// Bytes returns a ByteSize in bytes.
func (c *Config) Bytes(name string) int64 { return c.get(name).integer }

// Strings returns a StringList; the caller must not change it.
func (c *Config) Strings(name string) []string { return c.get(name).list }

// Entries returns a StringMap in the order of the file with positions, or the entries of a StringList (without keys).
func (c *Config) Entries(name string) []Entry { return c.get(name).entries }

// Map returns a StringMap as a new map.
func (c *Config) Map(name string) map[string]string {
	entries := c.get(name).entries
	out := make(map[string]string, len(entries))
	for _, e := range entries {
		out[e.Key] = e.Value
	}
	return out
}

// Secret returns a Secret.
func (c *Config) Secret(name string) SecretText { return c.get(name).secret }

// Object returns the block of an Object. It is never nil: a block that is not given has its defaults.
func (c *Config) Object(name string) *Config {
	if o := c.get(name).object; o != nil {
		return o
	}
	return Parse(nil, c.pos, join(c.path, name), optional(c.field(name).Fields), &spec.Report{})
}

// Objects returns the blocks of an ObjectMap in the order of the file.
func (c *Config) Objects(name string) []Named { return c.get(name).objects }

// Format returns the chosen format, or nil when there is none (or when it was mistaken, which has been reported).
func (c *Config) Format(name string) *FormatConfig { return c.get(name).format }

// Node returns the value as it stands in the file, or nil for a default.
func (c *Config) Node(name string) *spec.Node { return c.get(name).node }

// Block returns the node of the whole block, or nil.
func (c *Config) Block() *spec.Node { return c.node }

// Fields returns the description of the block; the caller must not change it.
func (c *Config) Fields() []Field { return c.fields }

// Path returns the dotted path of the block, such as sources.rides.
func (c *Config) Path() string { return c.path }

// Position returns where a key stands, or the block when the key is not there or name is "".
func (c *Config) Position(name string) spec.Pos {
	if v, ok := c.values[name]; ok && v.given {
		return v.keyPos
	}
	return c.pos
}

// ValuePosition returns where the value of a key begins, or Position.
func (c *Config) ValuePosition(name string) spec.Pos {
	if v, ok := c.values[name]; ok && v.node != nil {
		return v.node.Pos
	}
	return c.Position(name)
}

// Errorf makes an error at a key's value ("" is the block) with file:line:column, "sources.rides.topic: " and the message.
func (c *Config) Errorf(name, format string, args ...any) error {
	path := c.path
	if name != "" {
		path = join(path, name)
	}
	return spec.Errorf(c.ValuePosition(name), prefix(path)+format, args...)
}

func (c *Config) field(name string) *Field { return fieldNamed(c.fields, name) }

// With returns a copy of the block with one field's value replaced by text, as if the file said so; for tools that
// derive one configuration from another.
func (c *Config) With(name, text string) (*Config, error) {
	var report spec.Report
	out := *c
	out.values = make(map[string]*value, len(c.values))
	for k, v := range c.values {
		out.values[k] = v
	}
	f := c.field(name)
	if f == nil {
		return nil, c.Errorf("", "no field %q", name)
	}
	v := &value{given: true, keyPos: c.pos, node: spec.NewScalar(text, c.pos)}
	v.parse(*f, v.node, join(c.path, name), &report)
	out.values[name] = v
	return &out, report.Err()
}

// FromMap parses a block from Go values, for tests and tools: keys with single values.
func FromMap(path string, fields []Field, values map[string]string) (*Config, error) {
	var report spec.Report
	n := spec.NewMap(spec.Pos{})
	for _, f := range fields { // in the order of the fields, for stable messages
		if v, ok := values[f.Name]; ok {
			n.Entries = append(n.Entries, spec.Entry{Key: f.Name, Value: spec.NewScalar(v, spec.Pos{})})
		}
	}
	for k, v := range values {
		if fieldNamed(fields, k) == nil {
			n.Entries = append(n.Entries, spec.Entry{Key: k, Value: spec.NewScalar(v, spec.Pos{})})
		}
	}
	c := Parse(n, spec.Pos{}, path, fields, &report)
	return c, report.Err()
}

// FromYAML parses a block from text, for tests and tools.
func FromYAML(path string, fields []Field, text string) (*Config, error) {
	var report spec.Report
	n := spec.Parse(path, []byte(text), spec.Variables{}, &report)
	if report.Failed() {
		return nil, report.Err()
	}
	c := Parse(n, n.Pos, path, fields, &report)
	return c, report.Err()
}
