package spec

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// The limits of a specification file.
const (
	MaxBytes = 4 << 20
	MaxDepth = 64
	MaxNodes = 100_000
)

// Parse reads one YAML document. name is the file name of the positions. Mistakes go to the report: of YAML itself
// (then the result is nil), keys that stand twice, variables that nobody defined. A file without content gives an
// empty Map.
func Parse(name string, data []byte, vars Variables, report *Report) *Node {
	whole := Pos{File: name}
	if len(data) > MaxBytes {
		report.Errorf(whole, "the file has %d bytes, at most %d are read", len(data), MaxBytes)
		return nil
	}
	if !utf8.Valid(data) {
		report.Errorf(whole, "the file is not UTF-8 text")
		return nil
	}
	var documents []yaml.Node
	if err := yaml.Load(data, &documents, yaml.WithAllDocuments()); err != nil {
		report.Add(whole, yamlError(name, err))
		return nil
	}
	b := builder{name: name, vars: vars, report: report, lines: strings.Split(string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))), "\n")}
	if len(documents) == 0 {
		return &Node{Kind: Map, Pos: Pos{File: name, Line: 1, Column: 1}}
	}
	if len(documents) > 1 {
		report.Errorf(Pos{name, documents[1].Line, max(documents[1].Column, 1)}, "a second document (---): one file is one specification")
	}
	root := &documents[0]
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	return b.node(root, 0)
}

func yamlError(name string, err error) error {
	var one *yaml.LoadError
	if !errors.As(err, &one) {
		return &Error{Pos: Pos{File: name}, Message: "not valid YAML: " + err.Error()}
	}
	message := "not valid YAML: " + one.Message
	if one.ContextMsg != "" {
		message += " (" + one.ContextMsg + ")"
	}
	switch {
	case strings.Contains(one.Message, "mapping values are not allowed"):
		message += "; a value that contains \": \" needs quotes"
	case strings.Contains(one.Message, "cannot start any token"):
		message += "; YAML indents with spaces, and a value that begins with @, ` or % needs quotes"
	case strings.Contains(one.ContextMsg, "flow"):
		message += "; a value with ${...}, {, [ or a comma needs quotes between { } and [ ]"
	}
	return &Error{Pos: Pos{name, one.Mark.Line, one.Mark.Column}, Message: message}
}

type builder struct {
	name     string
	vars     Variables
	report   *Report
	lines    []string
	nodes    int
	overflow bool
}

func (b *builder) node(y *yaml.Node, depth int) *Node {
	n := &Node{Pos: Pos{b.name, y.Line, y.Column}, lines: b.lines}
	if b.nodes++; b.nodes > MaxNodes || depth > MaxDepth {
		if !b.overflow {
			b.overflow = true
			b.report.Errorf(n.Pos, "the specification is too large: at most %d values and %d levels (an alias that contains itself?)", MaxNodes, MaxDepth)
		}
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		return b.node(y.Alias, depth+1)
	case yaml.SequenceNode:
		n.Kind = List
		for i := 0; i < len(y.Content); i++ {
			c := y.Content[i]
			if more, whole := torn(y, i, 1); more > 0 {
				b.tornError(c, whole)
				n.Items = append(n.Items, &Node{Kind: Scalar, Value: whole, Pos: Pos{b.name, c.Line, c.Column}, Broken: true})
				i += more
				continue
			}
			n.Items = append(n.Items, b.node(c, depth+1))
		}
	case yaml.MappingNode:
		n.Kind = Map
		b.entries(n, y, depth)
	case yaml.ScalarNode:
		b.scalar(n, y)
	}
	return n
}

func (b *builder) scalar(n *Node, y *yaml.Node) {
	switch tag := y.ShortTag(); tag {
	case "!!null":
		return
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
	default:
		b.report.Errorf(n.Pos, "the tag %s is not supported", tag)
	}
	n.Kind = Scalar
	switch {
	case y.Style&yaml.SingleQuotedStyle != 0:
		n.Style = SingleQuoted
	case y.Style&yaml.DoubleQuotedStyle != 0:
		n.Style = DoubleQuoted
	case y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		n.Style = Block
	}
	n.raw = y.Value
	value, spans, err := b.vars.expand(y.Value)
	if err != nil {
		n.Value = y.Value
		b.report.Errorf(n.At(err.offset), "%s", err.message)
		n.Broken = true
		return
	}
	n.Value, n.spans = value, spans
}

func (b *builder) entries(n *Node, y *yaml.Node, depth int) {
	var merged []*yaml.Node
	lines := make(map[string]int, len(y.Content)/2) // of the keys so far
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		at := Pos{b.name, key.Line, key.Column}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			b.report.Errorf(at, "a key must be a single word, not a list or a block")
			continue
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if first, ok := lines[key.Value]; ok {
			b.report.Errorf(at, "the key %q stands twice, first in line %d", key.Value, first)
			continue
		}
		lines[key.Value] = at.Line
		if more, whole := torn(y, i+1, 2); more > 0 {
			b.tornError(value, whole)
			n.Entries = append(n.Entries, Entry{key.Value, at, &Node{Kind: Scalar, Value: whole, Pos: Pos{b.name, value.Line, value.Column}, Broken: true}})
			i += 2 * more
			continue
		}
		n.Entries = append(n.Entries, Entry{key.Value, at, b.node(value, depth+1)})
	}
	for _, m := range merged { // <<: *other fills in keys that are not here
		other := b.node(m, depth+1)
		if other.Kind != Map && !b.overflow {
			b.report.Errorf(other.Pos, "<< needs a block of keys, this is %s", other.Kind)
		}
		for _, e := range other.Entries {
			if _, ok := lines[e.Key]; !ok {
				lines[e.Key] = e.KeyPos.Line
				n.Entries = append(n.Entries, e)
			}
		}
	}
}

// torn looks for a value that YAML has cut at its commas: {amount: DECIMAL(10, 2)} has the keys amount and "2)". i is the value's place in
// the content of a map (step 2: what follows are keys without a value) or a list (step 1). It returns how many entries behind it belong to it,
// and the whole.
func torn(y *yaml.Node, i, step int) (more int, whole string) {
	value := y.Content[i]
	if y.Style&yaml.FlowStyle == 0 || !plain(value) {
		return 0, ""
	}
	open, closing := "(", ")"
	if name, _, ok := strings.Cut(value.Value, "<"); ok && slices.Contains([]string{"ARRAY", "MAP", "ROW"}, strings.ToUpper(strings.TrimSpace(name))) {
		open, closing = "<", ">"
	}
	whole = value.Value
	for at := i + 1; strings.Count(whole, open) > strings.Count(whole, closing); at += step {
		if at+step > len(y.Content) || !plain(y.Content[at]) || step == 2 && y.Content[at+1].ShortTag() != "!!null" {
			return 0, ""
		}
		whole += ", " + y.Content[at].Value
		more++
	}
	return more, whole
}

func plain(y *yaml.Node) bool {
	return y.Kind == yaml.ScalarNode && y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

func (b *builder) tornError(y *yaml.Node, whole string) {
	b.report.Errorf(Pos{b.name, y.Line, y.Column}, "within { } and [ ] a comma ends the value: put quotes around it: %q", whole)
}
