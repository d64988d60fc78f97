package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops"
	"turbo/io/connector"
	"turbo/io/ledger"
	"turbo/job"
	"turbo/memory"
	"turbo/plan"
)

// way is how rows come from one source to a sink: the filters and projections in between, and where the sink's rows carry
// the place of their record.
type way struct {
	source *plan.Source
	sink   *plan.Sink
	calcs  []*plan.Calc
	// thinned says why not every row that passes the filters arrives, or "": then rows can be expected.
	thinned string
	// Columns of the sink's schema with the record's place; -1: not written.
	topic, partition, offset int
	// files is the schema of the files: the sink's without the columns that stand in directory names (byPath).
	files  *core.Schema
	byPath map[string]bool
	plain  bool // directory names are values without a key
	// loose are the conditions that depend on the clock: nobody can say now which rows passed them.
	loose map[*plan.Expr]bool
	// fixed says of each column of the sink whether its value follows from the record alone.
	fixed []bool
}

// sinkOf finds the job's sink that writes the directory: the one that the ledger names, and its path must be there.
func sinkOf(j *job.Job, h *ledger.Header, dir string) (*plan.Sink, error) {
	if h.Job != j.Plan.Settings.Name {
		return nil, fmt.Errorf("the directory was written by job %s, and the spec is of job %s", h.Job, j.Plan.Settings.Name)
	}
	var names []string
	for _, s := range j.Plan.Sinks {
		if s.Spec.Name != "file" {
			continue
		}
		if s.Name == h.Sink {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("the directory %s was written by sink %s of job %s, and the spec has no such file sink (file sinks: %s)", dir, h.Sink, h.Job, strings.Join(names, ", "))
}

// wayTo follows a sink's rows back to their source. The reason says why rows cannot be followed; then there is no way.
func wayTo(sink *plan.Sink) (w *way, reason string) {
	w = &way{sink: sink, byPath: map[string]bool{}, loose: map[*plan.Expr]bool{}, plain: sink.Config.String("partition-style") == "plain"}
	if sink.RowKinds != plan.AppendOnly {
		return nil, sink.Unbalanced
	}
	for n := sink.Inputs[0]; w.source == nil; {
		switch n := n.(type) {
		case *plan.Source:
			w.source = n
		case *plan.Calc:
			w.calcs = append(w.calcs, n)
		case *plan.Exchange:
			if len(n.Inputs) > 1 {
				return nil, n.Name + " brings several streams together"
			}
		case *plan.Deduplicate:
			w.thinned = n.Name + " removes duplicates"
		case *plan.Aggregate:
			return nil, fmt.Sprintf("%s aggregates: rows out are not rows in", n.Name)
		default:
			return nil, fmt.Sprintf("%s is not understood here", n.Common().ID)
		}
		if w.source == nil {
			n = n.Common().Inputs[0]
		}
	}
	slices.Reverse(w.calcs)
	w.follow()
	var fields []core.Field
	for _, e := range sink.Config.Entries("partition-by") {
		w.byPath[e.Key] = true
	}
	for _, f := range sink.Schema.Fields {
		if !w.byPath[f.Name] {
			fields = append(fields, f)
		}
	}
	w.files = core.NewSchema(fields...)
	return w, ""
}

// follow finds the columns of the record's place, and those that depend on the clock, through the projections.
func (w *way) follow() {
	keys := map[int]string{} // by column
	for _, m := range w.source.MetadataIndexes {
		keys[m.Column] = m.Key
	}
	schema := w.source.Schema
	varying := map[string]bool{}
	for _, c := range w.calcs {
		for _, e := range c.Conditions {
			if varies(e, varying, schema) {
				w.loose[e] = true
				w.thinned = "the filter " + e.Text + " depends on the time at which it ran"
			}
		}
		if c.Columns == nil {
			continue
		}
		after, changing := map[int]string{}, map[string]bool{}
		for i, column := range c.Columns {
			if name := column.Expr.AsColumn(schema); name != "" {
				if key, is := keys[schema.Index(name)]; is {
					after[i] = key
				}
			}
			if varies(column.Expr, varying, schema) {
				changing[column.Name] = true
			}
		}
		keys, varying, schema = after, changing, c.Schema
	}
	w.topic, w.partition, w.offset = -1, -1, -1
	for _, i := range slices.Sorted(maps.Keys(keys)) {
		switch keys[i] {
		case "topic":
			w.topic = i
		case "partition":
			w.partition = i
		case "offset":
			w.offset = i
		}
	}
	for _, f := range w.sink.Schema.Fields {
		w.fixed = append(w.fixed, !varying[f.Name])
	}
}

// varies reports whether an expression depends on the clock, by itself or by a column.
func varies(e *plan.Expr, varying map[string]bool, schema *core.Schema) bool {
	for _, name := range e.Refs(schema) {
		if varying[name] {
			return true
		}
	}
	found := false
	expr.Walk(e.Node, func(n expr.Node) bool {
		if c, ok := n.(*expr.Call); ok {
			found = found || strings.HasPrefix(c.Name, "CURRENT_") || strings.HasPrefix(c.Name, "LOCALTIME") || slices.Contains([]string{"NOW", "RAND", "UUID"}, c.Name)
		}
		return !found
	})
	return found
}

// chain runs the filters and projections of a way. It is an emitter for each of its operators.
type chain struct {
	operators []core.Operator
	sink      func(*core.Batch) error // owns the batch
}

type link struct {
	c    *chain
	next int
}

// Emit implements core.Emitter.
func (l link) Emit(b *core.Batch) error { return l.c.from(l.next, b) }

// Full implements core.Emitter.
func (l link) Full() bool { return false }

func (c *chain) from(i int, b *core.Batch) error {
	if i == len(c.operators) {
		return c.sink(b)
	}
	return c.operators[i].Process(0, b, link{c, i + 1})
}

func (w *way) chain(account *memory.Account, now func() core.Time, sink func(*core.Batch) error) (*chain, error) {
	c := &chain{sink: sink}
	for _, n := range w.calcs {
		input := n.Inputs[0].Common().Schema
		compile := func(e *plan.Expr) (*expr.Program, error) {
			return e.Compile(input)
		}
		var conditions, columns []*expr.Program
		for _, e := range n.Conditions {
			if w.loose[e] {
				continue
			}
			p, err := compile(e)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n.ID, err)
			}
			conditions = append(conditions, p)
		}
		for _, column := range n.Columns {
			p, err := compile(column.Expr)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n.ID, err)
			}
			columns = append(columns, p)
		}
		o := ops.NewCalc(conditions, columns)
		if err := o.Open(&core.OperatorContext{ID: n.ID, Workers: 1, Inputs: []*core.Schema{input}, Output: n.Schema, Account: account, Now: now, Counters: &core.Counters{}}); err != nil {
			return nil, err
		}
		c.operators = append(c.operators, o)
	}
	return c, nil
}

// pathValue returns the value of a key in a Hive-style path, or false.
func pathValue(path, key string) (string, bool) {
	for _, element := range strings.Split(filepath.ToSlash(path), "/") {
		if name, value, is := strings.Cut(element, "="); is && name == key {
			return value, true
		}
	}
	return "", false
}

// formatConfig is the format that a run of the file sink wrote, with the options of its header.
func formatConfig(h *ledger.Header) (*connector.FormatSpec, *connector.Config, error) {
	format := connector.LookupFormat(h.Format)
	if format == nil {
		return nil, nil, fmt.Errorf("format %q is not known here", h.Format)
	}
	fields := append([]connector.Field{{Name: "type", Type: connector.String, Doc: "The name of the format."}}, format.Fields...)
	c, err := connector.FromMap("format", fields, h.Options)
	return format, c, err
}
