package main

import (
	_ "embed" // the examples
	"fmt"
	"slices"
	"strings"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops"
	"turbo/io/connector"
	"turbo/job"
)

const generated = "<!-- Written by go run ./internal/docgen: change the code's descriptions, not this page. -->\n\n"

// commandLine is the page that cmd/turbo makes of its own commands (its test compares it).
const commandLine = "cli.md"

// Pages returns every page of the reference by its path below docs/reference, but for commandLine.
func Pages() map[string]string {
	pages := map[string]string{"job.md": jobPage(), "functions.md": functionsPage()}
	var index strings.Builder
	index.WriteString(generated + "# Reference\n\n- [The job spec](job.md)\n- [Expressions and functions](functions.md)\n- [The command line](" + commandLine + ")\n")
	list := func(title, dir string, names []string, page func(string) (summary, text string)) {
		fmt.Fprintf(&index, "\n## %s\n\n", title)
		for _, n := range names {
			summary, text := page(n)
			pages[dir+"/"+n+".md"] = text
			fmt.Fprintf(&index, "- [%s](%s/%s.md): %s\n", n, dir, n, summary)
		}
	}
	list("Connectors", "connectors", connectorNames(), connectorPage)
	list("Formats", "formats", connector.FormatNames(), formatPage)
	pages["README.md"] = index.String()
	return pages
}

func connectorNames() []string {
	names := append(connector.SourceNames(), connector.SinkNames()...)
	slices.Sort(names)
	return slices.Compact(names)
}

func connectorPage(name string) (summary, text string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n", generated, name)
	if s := connector.LookupSource(name); s != nil {
		summary = s.Summary
		fmt.Fprintf(&b, "\n## Source\n\n%s\n\n%s\n\nAfter a failure: %s.\n", s.Summary, strings.TrimSpace(s.Description), strings.TrimSuffix(s.Guarantee, "."))
		b.WriteString("\nThe keys of every source (`schema`, `metadata`, `watermark`, `on-error`) are on the page of the [job spec](../job.md). Those of this one:\n\n")
		fieldTable(&b, "", s.Fields)
		if len(s.Metadata) > 0 {
			b.WriteString("\nMetadata columns:\n\n| key | type | |\n|---|---|---|\n")
			for _, m := range s.Metadata {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Key, m.Type, cell(m.Doc))
			}
		}
	}
	if s := connector.LookupSink(name); s != nil {
		if summary != "" {
			summary += " "
		}
		summary += s.Summary
		fmt.Fprintf(&b, "\n## Sink\n\n%s\n\n%s\n\nAfter a failure: %s.\n\n", s.Summary, strings.TrimSpace(s.Description), strings.TrimSuffix(s.Guarantee, "."))
		fieldTable(&b, "", s.Fields)
	}
	return summary, b.String()
}

func formatPage(name string) (summary, text string) {
	f := connector.LookupFormat(name)
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n%s\n\n%s\n", generated, name, f.Summary, strings.TrimSpace(f.Description))
	if len(f.Fields) > 0 {
		b.WriteString("\n")
		fieldTable(&b, "", f.Fields)
	}
	var refused []string
	for _, t := range everyType() {
		if err := f.Supports(t); err != nil {
			refused = append(refused, fmt.Sprintf("| %s | %s |\n", t, cell(err.Error())))
		}
	}
	if len(refused) == 0 {
		b.WriteString("\nIt carries every type.\n")
	} else {
		b.WriteString("\nTypes that it cannot carry:\n\n| type | why |\n|---|---|\n" + strings.Join(refused, ""))
	}
	return f.Summary, b.String()
}

// everyType has one type of each kind.
func everyType() []core.Type {
	var all []core.Type
	for k := core.Boolean; k <= core.IntervalMonth; k++ {
		all = append(all, core.Of(k))
	}
	element := core.Of(core.Int32)
	return append(all, core.ArrayOf(element), core.MapOf(core.Of(core.String).Required(), element), core.RowOf(core.Field{Name: "a", Type: element}))
}

// What stands behind the tables of keys. A test gives each YAML block to the parser, and looks for every key in them.
var (
	//go:embed examples/source.md
	sourceExamples string
	//go:embed examples/stream.md
	streamExamples string
	//go:embed examples/sink.md
	sinkExamples string
)

func jobPage() string {
	var b strings.Builder
	b.WriteString(generated + `# The job spec

A job is a YAML file. ` + "`${NAME}` and `${NAME:-default}`" + ` are filled from the command line (` + "`-D NAME=VALUE`" + `), then from the environment. ` + "`--set KEY=VALUE`" + `
overrides a key by its path, such as ` + "`engine.buffer-timeout=1ms`" + `. Unknown keys are refused with the nearest known one, and all mistakes are reported in one run.
` + "`turbo schema`" + ` prints the JSON Schema for editors; ` + "`turbo validate`" + ` checks a file; ` + "`turbo explain`" + ` shows the plan.

Durations are written as ` + "`10ms`, `1m`, `1h30m`" + `, sizes as ` + "`128MiB`" + `. Types are those of Flink SQL: ` + strings.Join(core.TypeNames(), ", ") + `, each with NOT NULL if wanted.
`)
	section := func(title, intro string, fields []connector.Field) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", title, intro)
		fieldTable(&b, "", fields)
	}
	section("The file", "The keys at the top.", without(job.TopFields, "engine"))
	section("engine", "How the job runs.", job.EngineFields)
	section("A source", "Every source has these keys and those of its connector.", job.SourceFields)
	b.WriteString("\n" + sourceExamples)
	section("A stream", "What happens to rows, in this order.", job.StreamFields)
	b.WriteString("\n" + streamExamples)
	section("A sink", "Every sink has these keys and those of its connector.", job.SinkFields)
	b.WriteString("\n" + sinkExamples)
	return b.String()
}

func without(fields []connector.Field, name string) []connector.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f connector.Field) bool { return f.Name == name })
}

func functionsPage() string {
	var b strings.Builder
	b.WriteString(generated + "# Expressions\n\nExpressions are SQL, in the dialect of Apache Flink. Names of columns are case-sensitive and stand between backticks when they are no plain words.\nNULL follows SQL's three-valued logic.\n")
	category := ""
	for _, d := range expr.FunctionDocs() {
		if d.Category != category {
			category = d.Category
			fmt.Fprintf(&b, "\n## %s\n", category)
		}
		fmt.Fprintf(&b, "\n### %s\n\n", d.Name)
		for _, s := range d.Signatures {
			fmt.Fprintf(&b, "    %s\n", s)
		}
		fmt.Fprintf(&b, "\n%s\n", d.Doc)
		if len(d.Examples) > 0 {
			b.WriteString("\n")
		}
		for _, e := range d.Examples {
			fmt.Fprintf(&b, "- `%s` gives `%s`\n", e.Expr, e.Result)
		}
	}
	b.WriteString("\n## Aggregates\n\nThey stand in `aggregate` only, also within expressions such as `SUM(a) / COUNT(*)`, over all rows of a key or of a window. Nulls are left out where nothing else is said; " +
		"over no value the counts are 0 and all others NULL. Programs add functions of their own by `stream.RegisterAggregate`.\n")
	var back []string
	for i, f := range ops.Functions() {
		if ops.Function(i).CheckChangelog(core.Of(core.Int64)) == nil {
			back = append(back, functionName(f))
		}
	}
	fmt.Fprintf(&b, "\nOver a changelog, whose rows take earlier ones back, there are %s (SUM and AVG of integers and decimals only).\n", strings.Join(back, ", "))
	for _, f := range ops.Functions() {
		fmt.Fprintf(&b, "\n### %s\n\n", strings.Join(append([]string{functionName(f)}, f.Aliases...), ", "))
		for _, s := range f.Signatures {
			fmt.Fprintf(&b, "    %s\n", s)
		}
		fmt.Fprintf(&b, "\n%s\n\n", f.Doc)
		for _, e := range f.ExampleList() {
			fmt.Fprintf(&b, "- `%s` over `%s` gives `%s`\n", e.Call, e.Over, e.Result)
		}
	}
	return b.String()
}

// functionName is how SQL writes an aggregate function.
func functionName(f ops.FunctionSpec) string {
	if strings.Contains(f.Signatures[0], "(DISTINCT x)") {
		return "COUNT(DISTINCT x)"
	}
	return f.Name
}

// fieldTable writes fields as a table; blocks within are rows with dotted names.
func fieldTable(b *strings.Builder, prefix string, fields []connector.Field) {
	if prefix == "" {
		b.WriteString("| key | type | default | |\n|---|---|---|---|\n")
	}
	for _, f := range fields {
		name := prefix + f.Name
		typ := f.Type.String()
		if len(f.Enum) > 0 {
			typ = "`" + strings.Join(f.Enum, "`, `") + "`"
		}
		def := ""
		switch {
		case f.Required:
			def = "required"
		case f.Default != "":
			def = "`" + f.Default + "`"
		}
		doc := f.Doc
		if f.Example != "" {
			doc += " Example: `" + f.Example + "`."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, typ, def, cell(doc))
		if len(f.Fields) > 0 {
			below := name + "."
			if f.Type == connector.ObjectMap {
				below = name + ".NAME."
			}
			fieldTable(b, below, f.Fields)
		}
	}
}

// cell makes a text fit into a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(s), "\n", " "), "|", `\|`)
}
