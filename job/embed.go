package job

import (
	"slices"

	"turbo/core"
	"turbo/internal/spec"
	"turbo/io/connector"
	"turbo/plan"
)

// Settings returns the engine's settings of a job of that name: the defaults, with overrides such as "engine.memory=1GiB" as on the
// command line. For front ends that have no file.
func Settings(name string, overrides []string) (plan.Settings, error) {
	b := embedded()
	vars := spec.Variables{Lookup: func(string) (string, bool) { return "", false }}
	root := &spec.Node{Kind: spec.Map, Entries: []spec.Entry{{Key: "name", Value: spec.NewScalar(name, spec.Pos{})}}}
	for _, o := range overrides {
		spec.Set(root, o, vars, b.report)
	}
	b.top = connector.Parse(root, spec.Pos{}, "", TopFields[:2], b.report)
	b.settings()
	return b.plan.Settings, b.report.Err()
}

func embedded() *builder {
	return &builder{report: &spec.Report{}, names: map[string]*named{}, plan: &plan.Plan{}, reached: map[*named]bool{}}
}

// Source builds a source from the text of its block, as it stands under its name in a file. record gives the columns when the block has no
// schema: those that are not in its metadata block. Mistakes are spec.Errors with lines of the text.
func Source(at plan.Place, text string, record *core.Schema) (*plan.Source, error) {
	b := embedded()
	n := b.text(at, text)
	if n == nil {
		return nil, b.report.Err()
	}
	if record != nil && n.Kind == spec.Map && n.Get("schema") == nil && !hasOwnSchema(n) {
		columns := &spec.Node{Kind: spec.Map, Pos: n.Pos}
		metadata := n.Get("metadata")
		for _, f := range record.Fields {
			if metadata.Get(f.Name) == nil {
				columns.Entries = append(columns.Entries, spec.Entry{Key: f.Name, KeyPos: n.Pos, Value: spec.NewScalar(f.Type.String(), n.Pos)})
			}
		}
		n.Entries = append(n.Entries, spec.Entry{Key: "schema", KeyPos: n.Pos, Value: columns})
	}
	node := b.source(&named{name: at.Name, pos: at.Pos, kind: "source", entry: n})
	source, _ := node.(*plan.Source)
	return source, b.report.Err()
}

// hasOwnSchema reports whether the source's connector, or the format that it reads, knows its columns without being told.
func hasOwnSchema(n *spec.Node) bool {
	name := n.Get("connector")
	if name == nil || !slices.Contains(connector.SourceNames(), name.Value) {
		return false
	}
	format := n.Get("format")
	if format != nil && format.Kind == spec.Map {
		format = format.Get("type")
	}
	if format != nil && slices.Contains(connector.FormatNames(), format.Value) {
		f := connector.LookupFormat(format.Value)
		return f.OpenFile != nil || f.DefaultSchema != nil
	}
	return connector.LookupSource(name.Value).DefaultSchema != nil
}

// Sink ends a stream in the sink that the text of a block describes.
func Sink(at plan.Place, text string, in plan.Node) (*plan.Sink, error) {
	b := embedded()
	n := b.text(at, text)
	if n == nil {
		return nil, b.report.Err()
	}
	path := "sinks." + at.Name
	name := b.connectorName(n, at.Pos, path, connector.SinkNames())
	if name == "" {
		return nil, b.report.Err()
	}
	const input = "input"
	b.names[input] = &named{name: input, kind: "stream", state: 2, node: in}
	n.Entries = append([]spec.Entry{{Key: "from", KeyPos: n.Pos, Value: spec.NewScalar(input, n.Pos)}}, n.Entries...)
	sink := b.sink(spec.Entry{Key: at.Name, KeyPos: at.Pos, Value: n}, path, name)
	return sink, b.report.Err()
}

func (b *builder) text(at plan.Place, text string) *spec.Node {
	name := at.Name
	if p := at.Pos.String(); p != "" {
		name = p + ": " + name
	}
	b.top = connector.Parse(&spec.Node{Kind: spec.Map}, spec.Pos{}, "", nil, b.report)
	return spec.Parse(name, []byte(text), spec.Variables{}, b.report)
}
