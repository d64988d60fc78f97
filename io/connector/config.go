package connector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"turbo/internal/spec"
)

// Config is one parsed and checked block. Every key that the block does not have shows its default. It is read-only
// and may be shared.
type Config struct {
	path   string // dotted, for messages: "sources.rides"
	pos    spec.Pos
	node   *spec.Node // nil when the block is not in the file
	fields []Field
	values map[string]*value
	off    bool
}

// Entry is one key of a StringMap.
type Entry struct {
	Key    string
	KeyPos spec.Pos
	Value  string     // "" when there is none
	Node   *spec.Node // of the value, for positions within it: Node.At(offset)
}

type value struct {
	given    bool
	mistaken bool
	keyPos   spec.Pos
	node     *spec.Node // nil for a default
	text     string
	integer  int64
	float    float64
	boolean  bool
	duration time.Duration
	list     []string
	entries  []Entry
	secret   SecretText
	object   *Config
	objects  []Named
	format   *FormatConfig
}

// Named is one block of an ObjectMap, in the order of the file.
type Named struct {
	Name   string
	Pos    spec.Pos
	Config *Config
}

// FormatConfig is a chosen format with its parsed keys.
type FormatConfig struct {
	Spec   *FormatSpec
	Config *Config
}

// Parse checks a block against its fields: unknown keys (with the nearest known one), missing required ones, values of
// the wrong type or out of range. All mistakes go to the report; the result is usable even then, mistaken values
// being zero. A nil or Null node is an empty block at pos. path is dotted and used in messages.
func Parse(node *spec.Node, pos spec.Pos, path string, fields []Field, report *spec.Report) *Config {
	c := &Config{path: path, pos: pos, node: node, fields: fields, values: make(map[string]*value, len(fields))}
	if node != nil && node.Kind == spec.Null {
		node = nil
	}
	if node != nil && node.Kind != spec.Map {
		report.Errorf(node.Pos, "%sexpected a block of keys, this is %s", prefix(path), node.Kind)
		node = nil
		for _, f := range fields {
			c.values[f.Name] = &value{}
		}
		return c
	}
	if node != nil {
		for _, e := range node.Entries {
			if fieldNamed(fields, e.Key) == nil {
				report.Errorf(e.KeyPos, "%sunknown key %q%s", prefix(path), e.Key, spec.Suggest(e.Key, fieldNames(fields)))
			}
		}
	}
	for _, f := range fields {
		v := &value{keyPos: pos}
		c.values[f.Name] = v
		at := node.Get(f.Name)
		switch {
		case at != nil && (at.Kind != spec.Null || f.Type == Any):
			v.given, v.keyPos, v.node = true, node.KeyPos(f.Name), at
			before := report.Count()
			v.parse(f, at, join(path, f.Name), report)
			v.mistaken = report.Count() > before || at.Broken
		case at != nil && f.Required:
			report.Errorf(node.KeyPos(f.Name), "%s%q has no value", prefix(path), f.Name)
		case f.Required && !hasUnknownNear(node, fields, f.Name):
			example := ""
			if f.Example != "" {
				example = fmt.Sprintf(", such as %s: %s", f.Name, f.Example)
			}
			report.Errorf(pos, "%sthe key %q is missing%s", prefix(path), f.Name, example)
		case f.Type == Object:
			if f.Default == "" {
				// A block that is not given has its fields' defaults, but none of its required keys is missed.
				v.object = Parse(nil, pos, join(path, f.Name), optional(f.Fields), report)
				break
			}
			fallthrough
		case f.Default != "":
			v.parse(f, spec.NewScalar(f.Default, pos), join(path, f.Name), report)
			v.node = nil
		}
	}
	return c
}

// hasUnknownNear says that a missing key has been misspelt, which has been reported already.
func hasUnknownNear(node *spec.Node, fields []Field, name string) bool {
	if node == nil {
		return false
	}
	for _, e := range node.Entries {
		if fieldNamed(fields, e.Key) == nil && spec.Nearest(e.Key, fieldNames(fields)) == name {
			return true
		}
	}
	return false
}

func optional(fields []Field) []Field {
	out := slices.Clone(fields)
	for i := range out {
		out[i].Required = false
	}
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

func (v *value) parse(f Field, n *spec.Node, path string, report *spec.Report) {
	if n.Broken {
		return
	}
	fail := func(format string, args ...any) { report.Errorf(n.Pos, path+": "+format, args...) }
	switch f.Type {
	case Any:
	case Object:
		v.parseObject(f, n, path, report)
	case ObjectMap:
		if n.Kind != spec.Map {
			fail("expected a block of names, this is %s", n.Kind)
			return
		}
		for _, e := range n.Entries {
			v.objects = append(v.objects, Named{e.Key, e.KeyPos, Parse(e.Value, e.KeyPos, join(path, e.Key), f.Fields, report)})
		}
	case Format:
		v.format = parseFormat(n, path, report)
	case Secret:
		v.parseSecret(n, fail)
	case StringList:
		v.parseList(n, path, report)
	case StringMap:
		if n.Kind != spec.Map {
			fail("expected a block of keys, this is %s", n.Kind)
			return
		}
		for _, e := range n.Entries {
			if e.Value.Broken {
				continue
			}
			if e.Value.Kind != spec.Scalar && e.Value.Kind != spec.Null {
				report.Errorf(e.Value.Pos, "%s.%s: expected a single value, this is %s", path, e.Key, e.Value.Kind)
				continue
			}
			v.entries = append(v.entries, Entry{e.Key, e.KeyPos, e.Value.Value, e.Value})
		}
	default:
		if n.Kind != spec.Scalar {
			fail("expected %s, this is %s", describe(f), n.Kind)
			return
		}
		v.text = n.Value
		if err := v.scalar(f, n.Value); err != nil {
			shown, hint := n.Show(), ""
			if f.Hint != "" {
				hint = ": " + f.Hint
			}
			if f.Type == Enum {
				fail("%q is not known%s%s", shown, spec.Suggest(n.Value, f.Enum), hint)
			} else {
				fail("%q: %s%s", shown, err, hint)
			}
		}
	}
}

func (v *value) parseObject(f Field, n *spec.Node, path string, report *spec.Report) {
	if n.Kind == spec.Scalar && f.Off && n.Style == spec.Plain && (n.Value == "off" || n.Value == "false" || n.Value == "none") {
		v.object = Parse(nil, n.Pos, path, optional(f.Fields), report)
		v.object.off = true
		return
	}
	if n.Kind == spec.Scalar && f.Shorthand != "" {
		block := spec.NewMap(n.Pos)
		block.Entries = []spec.Entry{{Key: f.Shorthand, KeyPos: n.Pos, Value: n}}
		n = block
	}
	if n.Kind != spec.Map && n.Kind != spec.Null && f.Hint != "" {
		report.Errorf(n.Pos, "%s: expected a block of keys, this is %s: %s", path, n.Kind, f.Hint)
		n = nil
	}
	v.object = Parse(n, v.keyPos, path, f.Fields, report)
}

func (v *value) parseList(n *spec.Node, path string, report *spec.Report) {
	switch n.Kind {
	case spec.Scalar:
		for part := range strings.SplitSeq(n.Value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				v.list = append(v.list, part)
				v.entries = append(v.entries, Entry{KeyPos: n.Pos, Value: part, Node: n})
			}
		}
	case spec.List:
		for _, item := range n.Items {
			if item.Broken {
				continue
			}
			if item.Kind != spec.Scalar {
				report.Errorf(item.Pos, "%s: expected single values in the list, this is %s", path, item.Kind)
				continue
			}
			v.list = append(v.list, item.Value)
			v.entries = append(v.entries, Entry{KeyPos: item.Pos, Value: item.Value, Node: item})
		}
	default:
		report.Errorf(n.Pos, "%s: expected a list, this is %s", path, n.Kind)
	}
}

func (v *value) parseSecret(n *spec.Node, fail func(string, ...any)) {
	switch {
	case n.Kind == spec.Scalar:
		v.secret = SecretText{text: n.Value, set: n.Value != ""}
	case n.Kind == spec.Map && len(n.Entries) == 1 && n.Entries[0].Key == "file" && n.Entries[0].Value.Kind == spec.Scalar:
		v.secret = SecretText{file: n.Entries[0].Value.Value, set: true}
	default:
		fail("expected a secret: ${env:NAME} or {file: PATH}")
	}
}

// parseFormat reads "csv" or {type: csv, ...}. It returns nil when the format is not known.
func parseFormat(n *spec.Node, path string, report *spec.Report) *FormatConfig {
	name, at, options := "", n, n
	switch n.Kind {
	case spec.Scalar:
		name, options = n.Value, nil
	case spec.Map:
		if at = n.Get("type"); at != nil && at.Broken {
			return nil
		} else if at == nil || at.Kind != spec.Scalar {
			report.Errorf(n.Pos, "%s: the block needs a key \"type\" with the name of a format%s", path, spec.Suggest("", FormatNames()))
			return nil
		}
		name = at.Value
	default:
		report.Errorf(n.Pos, "%s: expected the name of a format or a block with type, this is %s", path, n.Kind)
		return nil
	}
	f := LookupFormat(name)
	if f == nil {
		report.Errorf(at.Pos, "%s: unknown format %q%s", path, name, spec.Suggest(name, FormatNames()))
		return nil
	}
	return &FormatConfig{f, Parse(options, n.Pos, path, f.fields(), report)}
}

func describe(f Field) string {
	switch f.Type {
	case Int:
		return "a whole number"
	case Float:
		return "a number"
	case Bool:
		return "true or false"
	case Duration:
		return "a duration such as 10ms"
	case ByteSize:
		return "a size such as 128MiB"
	case Enum:
		return "one of " + strings.Join(f.Enum, ", ")
	}
	return "a single value"
}

// scalar parses text by the field's type and checks its bounds.
func (v *value) scalar(f Field, text string) (err error) {
	switch f.Type {
	case Int:
		v.integer, err = spec.ParseInt(text)
		return bounded(f, v.integer, err, spec.ParseInt)
	case Float:
		v.float, err = spec.ParseFloat(text)
		return bounded(f, v.float, err, spec.ParseFloat)
	case Bool:
		v.boolean, err = spec.ParseBool(text)
		return err
	case Duration:
		v.duration, err = spec.ParseDuration(text)
		if f.Signed && v.duration == spec.Unlimited {
			return fmt.Errorf("the number has no unit; a duration is written as 10s or -10s")
		}
		if f.Signed {
			return bounded(f, v.duration, err, spec.ParseDuration)
		}
		if err == nil && v.duration < 0 && !(f.MinusOne && v.duration == spec.Unlimited) {
			if f.MinusOne {
				return fmt.Errorf("must not be negative, except -1")
			}
			return fmt.Errorf("must not be negative")
		}
		if v.duration == spec.Unlimited {
			return err
		}
		return bounded(f, v.duration, err, spec.ParseDuration)
	case ByteSize:
		v.integer, err = spec.ParseSize(text)
		return bounded(f, v.integer, err, spec.ParseSize)
	case Enum:
		v.text = text
		if !slices.Contains(f.Enum, text) {
			return fmt.Errorf("not one of %s", strings.Join(f.Enum, ", "))
		}
	default:
		v.text = text
	}
	return nil
}

func bounded[T int64 | float64 | time.Duration](f Field, x T, err error, parse func(string) (T, error)) error {
	if err != nil {
		return err
	}
	if f.Min != "" {
		if low, _ := parse(f.Min); x < low {
			return fmt.Errorf("must be at least %s", f.Min)
		}
	}
	if f.Max != "" {
		if high, _ := parse(f.Max); x > high {
			return fmt.Errorf("must be at most %s", f.Max)
		}
	}
	return nil
}
