package connector

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"turbo/core"
)

// SourceSpec describes a source connector.
type SourceSpec struct {
	Name        string // as the job spec's connector key has it
	Summary     string // one line
	Description string // paragraphs for the reference (Markdown)
	Guarantee   string // one line: what holds after a failure
	Fields      []Field
	Metadata    []MetadataColumn
	// DefaultSchema gives the columns when the job spec has no schema; nil: a schema is required unless the format has
	// a default. It may read files.
	DefaultSchema func(*Config) (*core.Schema, error)
	// New makes the source. It checks what only it can check and does no I/O: Open does.
	New func(*SourceContext) (core.Source, error)
}

// MetadataColumn is a value beside the record that a source can put into a column.
type MetadataColumn struct {
	Key  string // as the job spec's metadata block has it
	Type core.Type
	Doc  string
}

// SinkSpec describes a sink connector.
type SinkSpec struct {
	Name        string
	Summary     string
	Description string
	Guarantee   string
	Fields      []Field
	// Changelog says that the sink understands row kinds (Batch.Kinds) by itself. Others get the +I and +U rows of a
	// changelog as plain rows.
	Changelog bool
	// New makes the sink. It checks what only it can check and does no I/O: Open does.
	New func(*SinkContext) (core.Sink, error)
}

// FormatSpec describes a format. Functions that the format does not have are nil: a container such as Parquet has
// OpenFile and NewFile, a record format such as CSV the others.
type FormatSpec struct {
	Name        string // as the job spec's format key has it
	Summary     string
	Description string
	Fields      []Field // without type
	Extension   string  // of files, without the dot: "csv"
	// Supports reports why a column of the type cannot be carried, or nil.
	Supports func(core.Type) error
	// DefaultSchema gives the columns when the job spec has no schema; nil: there is no default.
	DefaultSchema func(*Config) (*core.Schema, error)
	// Check reports mistakes that only the format can see, also against the columns, whose types Supports has passed; nil: none.
	Check func(c *Config, schema *core.Schema) error

	NewSplitter func(*Config) (Splitter, error)
	NewDecoder  func(DecoderContext) (Decoder, error)
	NewEncoder  func(EncoderContext) (Encoder, error)
	OpenFile    func(FileContext, io.ReaderAt, int64) (FileReader, error)
	NewFile     func(FileContext, io.Writer) (FileWriter, error)
}

// IsContainer reports whether a file of the format is written as a whole and cannot be continued.
func (f *FormatSpec) IsContainer() bool { return f.NewFile != nil || f.OpenFile != nil }

// fields returns the fields of the block form: type and the format's own.
func (f *FormatSpec) fields() []Field {
	return append([]Field{{Name: "type", Type: String, Doc: "The name of the format.", Example: f.Name}}, f.Fields...)
}

var registry = struct {
	sync.RWMutex
	sources map[string]*SourceSpec
	sinks   map[string]*SinkSpec
	formats map[string]*FormatSpec
}{sources: map[string]*SourceSpec{}, sinks: map[string]*SinkSpec{}, formats: map[string]*FormatSpec{}}

// RegisterSource adds a source connector. It is called from init and panics when the name is taken or the description is
// mistaken: every test of a program that links the connector meets it.
func RegisterSource(s SourceSpec) { register(registry.sources, "source", s.Name, &s, s.Fields) }

// RegisterSink adds a sink connector, under the rules of RegisterSource.
func RegisterSink(s SinkSpec) { register(registry.sinks, "sink", s.Name, &s, s.Fields) }

// RegisterFormat adds a format, under the rules of RegisterSource.
func RegisterFormat(f FormatSpec) { register(registry.formats, "format", f.Name, &f, f.Fields) }

func register[T any](into map[string]*T, kind, name string, spec *T, fields []Field) {
	registry.Lock()
	defer registry.Unlock()
	if name == "" || into[name] != nil {
		panic(fmt.Sprintf("connector: %s %q is registered twice or has no name", kind, name))
	}
	if err := Check(fields); err != nil {
		panic(fmt.Sprintf("connector: %s %s: %v", kind, name, err))
	}
	into[name] = spec
}

// LookupSource returns a source connector or nil.
func LookupSource(name string) *SourceSpec { return lookup(registry.sources, name) }

// LookupSink returns a sink connector or nil.
func LookupSink(name string) *SinkSpec { return lookup(registry.sinks, name) }

// LookupFormat returns a format or nil.
func LookupFormat(name string) *FormatSpec { return lookup(registry.formats, name) }

func lookup[T any](in map[string]*T, name string) *T {
	registry.RLock()
	defer registry.RUnlock()
	return in[name]
}

// SourceNames returns the names of all source connectors, sorted.
func SourceNames() []string { return names(registry.sources) }

// SinkNames returns the names of all sink connectors, sorted.
func SinkNames() []string { return names(registry.sinks) }

// FormatNames returns the names of all formats, sorted.
func FormatNames() []string { return names(registry.formats) }

func names[T any](in map[string]*T) []string {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Sorted(maps.Keys(in))
}
