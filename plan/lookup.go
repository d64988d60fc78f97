package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/internal/spec"
)

// Reference is what a lookup join asks: a function of the program that finds the rows of a key in some other system.
type Reference struct {
	Key   []core.Field // what it is asked with, in this order
	Table *core.Schema // of the rows that it finds
	// Bind returns the function for keys in these columns of an input, one for each of Key. It fails when a column's type does not fit.
	Bind func(input *core.Schema, keys []int) (func(ctx context.Context, row process.Row, out *process.Output) error, error)
}

// Lookup joins each row with what a Reference finds for its key now.
type Lookup struct {
	Name string // of the function, for messages
	Reference
	Keys []string // columns of the input, one for each of Reference.Key. Rows of a key go to one worker, which asks once
	// Config has how requests are made, Left and the cache.
	Config process.LookupConfig
}

// RegisterReference gives a function a name, for lookups in specifications. It panics when the name is taken: a mistake of the program.
func RegisterReference(name string, r Reference) {
	registry.Lock()
	defer registry.Unlock()
	if registry.references == nil {
		registry.references = map[string]Reference{}
	}
	if _, taken := registry.references[name]; taken {
		panic("plan: the lookup " + name + " is registered twice")
	}
	registry.references[name] = r
}

// LookupReference returns the function of that name.
func LookupReference(name string) (r Reference, ok bool) {
	registry.Lock()
	defer registry.Unlock()
	r, ok = registry.references[name]
	return r, ok
}

// References returns the names, sorted.
func References() []string {
	registry.Lock()
	defer registry.Unlock()
	var out []string
	for name := range registry.references {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// NewLookup puts a lookup join on a stream. The result has the stream's columns, then those of the table.
func NewLookup(at Place, in Node, l Lookup) (*Operator, error) {
	schema := in.Common().Schema
	if schema.Changelog {
		return nil, at.errorf("a lookup needs a stream of rows, this is a changelog, whose rows replace earlier ones: look up before it aggregates")
	}
	if len(l.Keys) != len(l.Key) || len(l.Keys) == 0 {
		return nil, at.errorf("%s is asked by (%s), not by (%s)", l.Name, strings.Join(core.NewSchema(l.Key...).Names(), ", "), strings.Join(l.Keys, ", "))
	}
	for _, f := range l.Table.Fields {
		if schema.Index(f.Name) >= 0 {
			return nil, at.errorf("the stream has a column %s, and %s finds one: rename the stream's by select in a stream before", f.Name, l.Name)
		}
	}
	l.Config.Name, l.Config.Table = l.Name, l.Table
	o := &Operator{Kind: "lookup join", Ports: []Port{{Exchange: Hash, Keys: l.Keys}}, Partitioned: l.Keys, Spec: &lookupSpec{l: l},
		Unbalanced: at.Name + " is a lookup join: rows out are not rows in"}
	return NewOperator(at, "lookup", o, in)
}

type lookupSpec struct {
	l      Lookup
	wanted set // columns of the result; nil: all
}

// prune implements pruner: the stream's columns that nobody wants need not come in.
func (s *lookupSpec) prune(wanted set) { s.wanted = wanted }

// Needs implements OperatorSpec: what it asks by, and what goes on.
func (s *lookupSpec) Needs(_ int, input *core.Schema) []string {
	names := slices.Clone(s.l.Keys)
	for _, f := range input.Fields {
		if s.wanted == nil || s.wanted[f.Name] {
			names = append(names, f.Name)
		}
	}
	return names
}

// Bind implements OperatorSpec.
func (s *lookupSpec) Bind(inputs []*core.Schema) (Bound, error) {
	config := s.l.Config
	for _, k := range s.l.Keys {
		config.Keys = append(config.Keys, inputs[0].Index(k))
	}
	call, err := s.l.Reference.Bind(inputs[0], config.Keys)
	if err != nil {
		return Bound{}, fmt.Errorf("the key (%s) of %s: %w", strings.Join(s.l.Keys, ", "), s.l.Name, err)
	}
	config.Call = call
	return Bound{Output: config.Schema(inputs[0]), New: func() core.Operator { return process.NewLookup(config) }}, nil
}

// Explain implements OperatorSpec.
func (s *lookupSpec) Explain(line func(key, format string, args ...any)) {
	c := &s.l.Config
	line("asks", "%s by %s", s.l.Name, strings.Join(s.l.Keys, ", "))
	if c.Left {
		line("rows", "those without a match go on with nulls")
	} else {
		line("rows", "those without a match are dropped")
	}
	capacity := c.Capacity
	if capacity == 0 {
		capacity = 100
	}
	text := fmt.Sprintf("%d at a time for each worker", capacity)
	if c.Timeout > 0 {
		text += ", each at most " + spec.FormatDuration(c.Timeout)
	}
	if c.Retry.Attempts > 1 {
		text += fmt.Sprintf(", up to %d attempts", c.Retry.Attempts)
	}
	if c.OnFailure == process.DropRow {
		text += ", rows of failed ones are dropped"
	}
	line("requests", "%s", text)
	order := "as they come"
	if c.Ordered {
		order = "in the order of the rows"
	}
	line("results", "%s; a watermark, a barrier and the end of input wait for those before them", order)
	if c.Cache.Rows > 0 {
		text = fmt.Sprintf("%d keys for each worker", c.Cache.Rows)
		if c.Cache.TTL > 0 {
			text += ", each for " + spec.FormatDuration(c.Cache.TTL)
		}
		line("cache", "%s", text)
	}
}

// Signature implements OperatorSpec: it has no state.
func (s *lookupSpec) Signature(_, free func(name, value string)) { free("asks", s.l.Name) }
