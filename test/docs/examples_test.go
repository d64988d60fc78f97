package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"turbo/core/ops/window"
	"turbo/io/connector"
	"turbo/job"
	_ "turbo/run/all"
	"turbo/stream"
)

// base is what the examples of the documentation stand on: what a piece of a job reads and does not define itself is from here, or from an
// earlier example of its page.
const base = `
sources:
  rides: {connector: generator, data: sequence, schema: {ride_id: BIGINT, cell: INT, passengers: INT, fare: DOUBLE, gap: BIGINT, kind: STRING, event: STRING, lon: DOUBLE, lat: DOUBLE, ts: TIMESTAMP(3)}, watermark: {column: ts}}
  fares: {connector: generator, data: sequence, schema: {ride_id: BIGINT, amount: DOUBLE, currency: STRING, ts: TIMESTAMP(3)}, watermark: {column: ts}}
  rates: {connector: generator, data: sequence, schema: {currency: STRING, rate: DOUBLE, ts: TIMESTAMP(3)}, watermark: {column: ts}}
  trips: {connector: generator, data: sequence, schema: {cell: INT, passengers: INT, ts: TIMESTAMP(3)}, watermark: {column: ts}}
  payments: {connector: generator, data: sequence, schema: {ride_id: BIGINT, cell: INT, fare: DOUBLE}}
streams:
  cells: {from: trips, select: {cell:, ts:, passengers: }}
  arrivals: {from: cells, filter: passengers > 0}
`

// exampleOf is what an example of some keys of a stream is an example for.
const exampleOf = `{from: cells, key-by: [cell], window: {sliding: 15m, every: 5m}, aggregate: {arrivals: SUM(passengers)}}`

type fare struct {
	RideID int64 `turbo:"ride_id"`
	Cell   int32
	Fare   float64
}

type zone struct{ Zone, Borough string }

type weighted struct {
	Value  float64
	Weight int64
}

func init() {
	stream.RegisterFunc("fraud", func(in *stream.Stream[fare], o *stream.Options) *stream.Stream[fare] {
		stream.Further(o, "large", stream.Filter(in, "large", func(f *fare) (bool, error) { return f.Fare > 1000, nil }))
		return stream.Filter(in, "rest", func(f *fare) (bool, error) { return f.Fare <= 1000, nil })
	})
	stream.RegisterAggregate("WEIGHTED_MEAN", stream.AggregateFunc[weighted, weighted, float64]{
		Add:    func(acc *weighted, x weighted) error { acc.Value += x.Value; return nil },
		Merge:  func(acc, other *weighted) error { acc.Value += other.Value; return nil },
		Result: func(acc *weighted) (float64, error) { return acc.Value, nil },
	})
	stream.RegisterLookup("zones", func(context.Context, int64, func(zone)) error { return nil })
	stream.RegisterTrigger("rush_hour", func() window.Trigger { return nil })
}

type section = map[string]any

// example is a YAML block of a page.
type example struct {
	line, indent int
	text         string
}

func examplesOf(page string) (out []example) {
	var at *example
	for i, line := range strings.Split(page, "\n") {
		switch {
		case at == nil && line == "```yaml":
			at = &example{line: i + 2, indent: -1}
		case at != nil && line == "```":
			out, at = append(out, *at), nil
		case at != nil:
			if at.indent < 0 {
				at.indent = len(line) - len(strings.TrimLeft(line, " "))
			}
			at.text += strings.TrimPrefix(line, strings.Repeat(" ", at.indent)) + "\n"
		}
	}
	return out
}

func read(t *testing.T, text string) section {
	t.Helper()
	out := section{}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// sections says what an example gives to a job: whole sections, entries of them, or keys of a stream.
func sections(t *testing.T, e example) section {
	got := read(t, e.text)
	switch e.indent {
	case 0:
		return got
	case 2:
		out := section{}
		for name, entry := range got {
			kind := "streams"
			if e, ok := entry.(section); ok && e["connector"] != nil {
				if kind = "sources"; e["from"] != nil {
					kind = "sinks"
				}
			}
			if out[kind] == nil {
				out[kind] = section{}
			}
			out[kind].(section)[name] = entry
		}
		return out
	}
	whole := read(t, exampleOf)
	for key, value := range got {
		whole[key] = value
	}
	return section{"streams": section{"example": whole}}
}

func entries(of section, kind string) section {
	e, _ := of[kind].(section)
	return e
}

// jobSchema is what editors check a job by.
func jobSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := job.Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("job.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("job.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is v as an editor has it.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestExamplesParse: every YAML block of the documentation is a job, or a piece of one, that the parser takes without a warning, and the JSON Schema, too, together
// with what the page has shown before.
func TestExamplesParse(t *testing.T) {
	root := filepath.Join("..", "..")
	files := []string{filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	parsed, schema := 0, jobSchema(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		known := read(t, base)
		for _, e := range examplesOf(string(text)) {
			given := sections(t, e)
			whole := given
			if given["name"] == nil { // a piece
				whole = section{"name": "example", "sinks": section{}}
				for _, key := range []string{"engine", "sources", "streams", "sinks"} {
					all := section{}
					maps.Copy(all, entries(known, key))
					maps.Copy(all, entries(given, key))
					whole[key] = all
				}
				see := func(name any) {
					entries(whole, "sinks")[fmt.Sprint("see_", name)] = section{"from": name, "connector": "blackhole"}
				}
				for name := range entries(given, "streams") {
					delete(entries(whole, "sources"), name)
				}
				for name := range entries(whole, "sources") {
					see(name)
				}
				for name, s := range entries(whole, "streams") {
					see(name)
					if late := s.(section)["late"]; late != nil {
						see(late)
					}
					for _, side := range entries(entries(s.(section), "process"), "sides") {
						see(side)
					}
				}
			}
			for _, kind := range []string{"sources", "streams"} { // for later examples
				for name, entry := range entries(given, kind) {
					if entries(known, kind)[name] == nil {
						entries(known, kind)[name] = entry
					}
				}
			}
			spec, err := yaml.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			lookup := func(name string) (string, bool) { return "/x/" + name, name == "input" || name == "output" }
			j, err := job.Parse(spec, job.Options{File: "spec", Lookup: lookup})
			if err != nil {
				t.Errorf("%s:%d: %v\n%s", file, e.line, err, spec)
				continue
			}
			if err := schema.Validate(asJSON(t, whole)); err != nil {
				t.Errorf("%s:%d: the JSON Schema does not take what the parser takes: %v", file, e.line, err)
			}
			if len(j.Warnings) > 0 {
				t.Errorf("%s:%d: %v", file, e.line, j.Warnings)
			}
			parsed++
		}
	}
	if parsed < 15 {
		t.Errorf("only %d examples were found", parsed)
	}
}

// TestEveryKeyHasAnExample: each key of sources, streams and sinks stands in an example on the page of the job spec.
func TestEveryKeyHasAnExample(t *testing.T) {
	seen := map[string]bool{}
	var note func(path string, v any)
	note = func(path string, v any) {
		seen[path] = true
		if block, ok := v.(section); ok {
			for key, value := range block {
				note(path+"."+key, value)
			}
		}
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "job.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range examplesOf(string(page)) {
		for kind, entries := range sections(t, e) {
			if named, ok := entries.(section); ok {
				for _, entry := range named {
					note(kind, entry)
				}
			}
		}
	}
	var missing []string
	var walk func(path string, f []connector.Field, shorthand string)
	walk = func(path string, fields []connector.Field, shorthand string) {
		for _, f := range fields {
			// What a value in place of the block fills in has an example when the block has: window: global. A join's window is a window.
			if !seen[path+"."+f.Name] && !(f.Name == shorthand && seen[path]) && path != "streams.join.window" {
				missing = append(missing, path+"."+f.Name)
			}
			walk(path+"."+f.Name, f.Fields, f.Shorthand)
		}
	}
	walk("sources", job.SourceFields, "")
	walk("streams", job.StreamFields, "")
	walk("sinks", job.SinkFields, "")
	if slices.Sort(missing); len(missing) > 0 {
		t.Errorf("no example has %s", strings.Join(missing, ", "))
	}
}

// TestReadmeShowsThePage: the lines of Go in the README are lines of docs/api.md, whose program is built and run by the tests of stream.
func TestReadmeShowsThePage(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		lines[strings.TrimSpace(line)] = true
	}
	_, code, ok := strings.Cut(string(readme), "```go\n")
	if code, _, _ = strings.Cut(code, "```"); !ok || code == "" {
		t.Fatal("the README shows no Go")
	}
	for line := range strings.Lines(code) {
		if !lines[strings.TrimSpace(line)] {
			t.Errorf("docs/api.md has no line %q", strings.TrimSpace(line))
		}
	}
}
