package job

import (
	"encoding/json"
	"slices"

	"turbo/io/connector"
)

// Schema returns the JSON Schema (draft 2020-12) of job specifications with the connectors and formats that are
// registered, for editors: completion, documentation on hover, and mistakes as one types.
func Schema() ([]byte, error) {
	root := objectSchema(TopFields, nil)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "turbo job"
	sources, sinks := map[string][]connector.Field{}, map[string][]connector.Field{}
	summaries := map[string]string{}
	for _, name := range connector.SourceNames() {
		s := connector.LookupSource(name)
		sources[name] = s.Fields
		summaries["source "+name] = s.Summary
	}
	for _, name := range connector.SinkNames() {
		s := connector.LookupSink(name)
		sinks[name] = s.Fields
		summaries["sink "+name] = s.Summary
	}
	formats := map[string][]connector.Field{}
	for _, name := range connector.FormatNames() {
		f := connector.LookupFormat(name)
		formats[name] = f.Fields
		summaries["format "+name] = f.Summary
	}
	root["$defs"] = map[string]any{
		"variable": variable,
		"sources":  named1(choice("connector", "source ", SourceFields, sources, summaries)),
		"streams":  named1(objectSchema(StreamFields, nil)),
		"sinks":    named1(choice("connector", "sink ", SinkFields, sinks, summaries)),
		"format": map[string]any{"anyOf": []any{
			map[string]any{"enum": anys(connector.FormatNames())},
			map[string]any{"$ref": "#/$defs/variable"},
			choice("type", "format ", []connector.Field{{Name: "type", Type: connector.String, Required: true, Doc: "The name of the format."}}, formats, summaries),
		}},
	}
	return json.MarshalIndent(root, "", "  ")
}

// variable is a text with a ${...}: it may stand wherever a single value may.
var variable = map[string]any{"type": "string", "pattern": `\$\{`}

// named1 is a block of at least one name, each with what values describes. An empty stream block is allowed by YAML as null.
func named1(values map[string]any) map[string]any {
	return map[string]any{"type": "object", "minProperties": 1, "additionalProperties": values, "propertyNames": map[string]any{"pattern": namePattern.String()}}
}

// choice is a block whose further keys depend on the value of one: a connector or a format.
func choice(key, kind string, common []connector.Field, by map[string][]connector.Field, summaries map[string]string) map[string]any {
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	slices.Sort(names)
	var branches, options []any
	for _, name := range names {
		fields := append(slices.Clone(common), by[name]...)
		branches = append(branches, map[string]any{
			"if":   map[string]any{"properties": map[string]any{key: map[string]any{"const": name}}, "required": []any{key}},
			"then": objectSchema(fields, map[string]any{key: map[string]any{"const": name}}),
		})
		options = append(options, map[string]any{"const": name, "description": summaries[kind+name]})
	}
	options = append(options, map[string]any{"$ref": "#/$defs/variable"})
	return map[string]any{"type": "object", "required": []any{key}, "properties": map[string]any{key: map[string]any{"anyOf": options}}, "allOf": branches}
}

// objectSchema describes a block; special replaces the description of some keys.
func objectSchema(fields []connector.Field, special map[string]any) map[string]any {
	properties := map[string]any{}
	required := []any{}
	for _, f := range fields {
		if s, ok := special[f.Name]; ok {
			properties[f.Name] = s
		} else {
			properties[f.Name] = fieldSchema(f)
		}
		if f.Required {
			required = append(required, f.Name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// scalarSchema describes a single value: the given form, or a text with a variable.
func scalarSchema(forms ...any) map[string]any {
	return map[string]any{"anyOf": append(forms, map[string]any{"$ref": "#/$defs/variable"})}
}

var anyScalar = map[string]any{"type": []any{"string", "number", "boolean"}}

func fieldSchema(f connector.Field) map[string]any {
	var out map[string]any
	switch f.Type {
	case connector.Int:
		out = scalarSchema(map[string]any{"type": "integer"})
	case connector.Float:
		out = scalarSchema(map[string]any{"type": "number"})
	case connector.Bool:
		out = scalarSchema(map[string]any{"type": "boolean"}, map[string]any{"enum": []any{"yes", "no", "on", "off"}})
	case connector.Duration:
		numbers, sign := []any{0}, ""
		if f.Signed {
			sign = "-?"
		}
		if f.MinusOne {
			numbers = append(numbers, -1)
		}
		out = scalarSchema(map[string]any{"enum": numbers}, map[string]any{"type": "string", "pattern": "^" + sign + `([0-9.]+ ?(ns|us|µs|μs|ms|s|sec|m|min|h|d) ?)+$`})
	case connector.ByteSize:
		out = scalarSchema(map[string]any{"type": "integer", "minimum": 0}, map[string]any{"type": "string", "pattern": `^[0-9.]+ ?([bB]|bytes|[kKmMgGtT]([iI]?[bB])?)?$`})
	case connector.Enum:
		out = scalarSchema(map[string]any{"enum": anys(f.Enum)})
	case connector.StringList:
		out = map[string]any{"anyOf": []any{anyScalar, map[string]any{"type": "array", "items": anyScalar}}}
	case connector.StringMap:
		out = map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []any{"string", "number", "boolean", "null"}}}
	case connector.Secret:
		out = map[string]any{"anyOf": []any{anyScalar, map[string]any{"type": "object", "properties": map[string]any{"file": map[string]any{"type": "string"}},
			"required": []any{"file"}, "additionalProperties": false}}}
	case connector.Object:
		out = blockSchema(f)
	case connector.ObjectMap:
		out = map[string]any{"type": "object", "additionalProperties": orNull(objectSchema(f.Fields, nil))}
	case connector.Format:
		out = map[string]any{"$ref": "#/$defs/format"}
	case connector.Any:
		out = map[string]any{}
		for k, v := range f.Schema {
			out[k] = v
		}
	default:
		out = map[string]any{"type": []any{"string", "number", "boolean"}}
	}
	out["description"] = f.Doc
	if f.Default != "" {
		out["default"] = f.Default
	}
	if !f.Required {
		return orNull(out)
	}
	return out
}

// orNull lets a key stand without a value, which means the same as leaving it out.
func orNull(s map[string]any) map[string]any {
	out := map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
	for _, k := range []string{"description", "default"} {
		if v, ok := s[k]; ok {
			out[k] = v
			delete(s, k)
		}
	}
	return out
}

func blockSchema(f connector.Field) map[string]any {
	forms := []any{objectSchema(f.Fields, nil)}
	for _, inner := range f.Fields {
		if inner.Name == f.Shorthand {
			forms = append(forms, fieldSchema(inner))
		}
	}
	if f.Off {
		forms = append(forms, map[string]any{"enum": []any{"off", "none", false}})
	}
	if len(forms) == 1 {
		return forms[0].(map[string]any)
	}
	return map[string]any{"anyOf": forms}
}
