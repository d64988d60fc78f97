package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"turbo/core"
	"turbo/core/ops/window"
	"turbo/internal/spec"
)

// Window describes a window over a stream. Config's columns and calls are filled in from the names when it is bound.
type Window struct {
	Config window.Config
	// Names of columns; "": none.
	GapColumn, TriggerColumn, EvictorColumn string
	// Late asks for the output of late rows.
	Late bool
}

// windowSpec is a Window with its keys and aggregates.
type windowSpec struct {
	Window
	keys  []string
	calls []Call
	all   bool   // the operator keeps whole rows
	time  string // column of event time; "" for processing time
}

// NewWindow puts windows on in: a projection that computes arguments, the window, and a projection of its results when a column is more than one aggregate. late is the
// output of late rows, with in's columns, when w asks for it.
func NewWindow(at Place, in Node, keys []string, w Window, columns []*AggregateColumn) (out Node, late Node, err error) {
	input := in.Common().Schema
	arguments := at.calc("arguments", in)
	arguments.Columns = []Column{}
	for _, f := range input.Fields {
		arguments.Columns = append(arguments.Columns, Column{Name: f.Name, Expr: NewColumn(f.Name, input)})
	}
	s := &windowSpec{Window: w, keys: keys, all: w.Config.Function != nil || w.Config.Evictor.Kind == window.CustomEvictor || w.Config.Trigger.Kind == window.CustomTrigger}
	if input.TimeColumn >= 0 {
		s.time = input.Fields[input.TimeColumn].Name
	}
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			return nil, nil, at.errorf("the key %s stands twice", k)
		}
	}
	added := map[string]bool{}
	type pending struct {
		column *AggregateColumn
		hidden []string
	}
	var posts []pending
	bare := true
	for _, c := range columns {
		var hidden []string
		for _, call := range c.calls {
			argument := ""
			if call.argument != nil {
				if argument = call.argument.AsColumn(input); argument == "" {
					argument = "$" + call.argument.Node.String()
					if !added[argument] {
						added[argument] = true
						arguments.Columns = append(arguments.Columns, Column{Name: argument, Expr: call.argument})
					}
				}
			}
			name := c.Name
			if !c.bare {
				name = hiddenName(len(s.calls))
			}
			s.calls = append(s.calls, call.plan(name, argument))
			hidden = append(hidden, name)
		}
		bare = bare && c.bare
		posts = append(posts, pending{c, hidden})
	}
	arguments.Schema = schemaOf(arguments.Columns, input)
	s.Config.LateOutput = w.Late
	o := &Operator{
		Kind: "window", Ports: []Port{{Exchange: Hash, Keys: keys}}, Spec: s, Partitioned: keys, Stateful: true,
		Unbalanced: fmt.Sprintf("%s makes windows: rows out are not rows in", at.Name),
	}
	if len(keys) == 0 {
		o.Ports[0].Exchange, o.Partitioned = Gather, []string{}
	}
	if w.Late {
		o.Sides = []Side{{Name: "late rows", Port: 0}}
	}
	if o, err = NewOperator(at, "window", o, arguments); err != nil {
		return nil, nil, err
	}
	if w.Late {
		side := NewSideOutput(at, o, 0)
		late = side
		if len(added) > 0 {
			late = narrow(side, at.Name+"/late", at, input)
		}
	}
	if bare {
		return o, late, nil
	}
	var results []Column
	for _, f := range o.Schema.Fields {
		if !strings.HasPrefix(f.Name, "$") && f.Name != window.KindColumn && !slices.ContainsFunc(columns, func(c *AggregateColumn) bool { return c.Name == f.Name }) {
			results = append(results, Column{Name: f.Name, Expr: NewColumn(f.Name, o.Schema)})
		}
	}
	for _, p := range posts {
		text, _ := p.column.post(p.hidden)
		e, err := NewExpr(text, o.Schema)
		if err != nil {
			return nil, nil, at.errorf("%s: %v", p.column.Name, err)
		}
		results = append(results, Column{Name: p.column.Name, Expr: p.column.result(e, p.hidden)})
	}
	results = append(results, Column{Name: window.KindColumn, Expr: NewColumn(window.KindColumn, o.Schema)})
	calc := at.calc("results", o)
	calc.Columns = results
	calc.Schema = schemaOf(results, o.Schema)
	return calc, late, nil
}

// Needs implements OperatorSpec.
func (s *windowSpec) Needs(int, *core.Schema) []string {
	if s.all {
		return nil
	}
	names := slices.Clone(s.keys)
	for _, n := range []string{s.time, s.GapColumn, s.TriggerColumn, s.EvictorColumn} {
		if n != "" {
			names = append(names, n)
		}
	}
	for _, c := range s.calls {
		if c.Argument != "" {
			names = append(names, c.Argument)
		}
	}
	return names
}

// Bind implements OperatorSpec.
func (s *windowSpec) Bind(inputs []*core.Schema) (Bound, error) {
	input := inputs[0]
	c := s.Config
	c.Keys, c.Calls = indexes(s.keys, input), nil
	column := func(name string, what string, part window.Part) (int, error) {
		if name == "" {
			return -1, nil
		}
		i := input.Index(name)
		if i < 0 {
			return -1, window.Mistakef(part, "%s: unknown column %s%s", what, name, suggest(name, input.Names()))
		}
		return i, nil
	}
	var err error
	if c.GapColumn, err = column(s.GapColumn, "the gap", window.OfGapColumn); err != nil {
		return Bound{}, err
	}
	if c.Trigger.Column, err = column(s.TriggerColumn, "the trigger", window.OfTriggerColumn); err != nil {
		return Bound{}, err
	}
	if c.Evictor.Column, err = column(s.EvictorColumn, "the evictor", window.OfEvictorColumn); err != nil {
		return Bound{}, err
	}
	for _, call := range s.calls {
		argument := -1
		if call.Argument != "" {
			argument = input.Index(call.Argument)
		}
		made, err := call.Bind(argument)
		if err != nil {
			return Bound{}, err
		}
		c.Calls = append(c.Calls, made)
	}
	output, err := c.Schema(input)
	if err != nil {
		return Bound{}, err
	}
	return Bound{Output: output, Sides: make([]*core.Schema, 1), New: func() core.Operator { return window.New(c) }}, nil
}

// Explain implements OperatorSpec.
func (s *windowSpec) Explain(line func(key, format string, args ...any)) {
	if len(s.keys) > 0 {
		line("key", "%s", strings.Join(s.keys, ", "))
	} else {
		line("key", "none: the whole stream on one worker")
	}
	line("window", "%s", s.text())
	line("trigger", "%s", s.trigger())
	if e := s.evictor(); e != "" {
		line("evictor", "%s", e)
	}
	for _, c := range s.calls {
		argument := strings.TrimPrefix(c.Argument, "$")
		if argument == "" {
			argument = "*"
		}
		line("column", "%s = %s %s", columnText(c.Output.Name), c.text(argument), c.Output.Type.Optional())
	}
	late := "dropped and counted"
	if s.Late {
		late = "an output of their own"
	}
	if !s.Config.ProcessingTime && s.Config.Kind.Timed() {
		line("late rows", "%s (allowed lateness %s)", late, micros(s.Config.Lateness))
	}
}

// Signature implements OperatorSpec.
func (s *windowSpec) Signature(fixed, free func(name, value string)) {
	fixed("window", s.text())
	fixed("trigger", s.trigger())
	if e := s.evictor(); e != "" {
		fixed("evictor", e)
	}
	for _, c := range s.calls {
		fixed("column "+c.Output.Name, c.state(c.Argument))
	}
	free("allowed-lateness", micros(s.Config.Lateness))
}

func micros(us int64) string { return spec.FormatDuration(time.Duration(us) * time.Microsecond) }

// text says what the windows are.
func (s *windowSpec) text() string {
	c := &s.Config
	var text string
	switch c.Kind {
	case window.Tumbling:
		text = "tumbling " + micros(c.Size)
	case window.Sliding:
		text = fmt.Sprintf("sliding %s every %s", micros(c.Size), micros(c.Slide))
	case window.Cumulating:
		text = fmt.Sprintf("cumulating %s by %s", micros(c.Size), micros(c.Slide))
	case window.Session:
		text = "session with a gap of " + micros(c.Gap)
		if s.GapColumn != "" {
			text = "session with the gap in " + s.GapColumn
		}
	case window.CountTumbling:
		text = fmt.Sprintf("count %d", c.Count)
	case window.CountSliding:
		text = fmt.Sprintf("count %d every %d", c.Count, c.Every)
	default:
		text = "global"
	}
	if c.Offset != 0 {
		text += ", offset " + micros(c.Offset)
	}
	if c.Zone != nil {
		text += ", in " + c.Zone.String()
	}
	if c.ProcessingTime {
		text += ", by processing time"
	}
	return text
}

func (s *windowSpec) trigger() string {
	t := &s.Config.Trigger
	of := "rows"
	if s.TriggerColumn != "" {
		of = "of the sum of " + s.TriggerColumn
	}
	text := ""
	switch t.Kind {
	case window.EventTime:
		text = "the watermark passes the end"
	case window.ProcessingTime:
		text = "the clock passes the end"
	case window.EveryCount:
		text = fmt.Sprintf("every %v rows", t.Every)
	case window.EveryDelta:
		text = fmt.Sprintf("%s has moved by more than %v", s.TriggerColumn, t.Threshold)
	case window.Continuous:
		text = "every " + micros(t.Interval) + " of event time"
	case window.ContinuousByClock:
		text = "every " + micros(t.Interval) + " of processing time"
	case window.Early:
		text = fmt.Sprintf("each time another %v %s have come, and the end", t.Every, of)
	case window.Multiples:
		text = fmt.Sprintf("each multiple of %v %s, and the end", t.Every, of)
	case window.CustomTrigger:
		text = "a function of the program"
	default:
		switch s.Config.Kind {
		case window.CountTumbling, window.CountSliding:
			text = "the count"
		case window.Global:
			text = "none: the window never speaks"
		default:
			text = "the end of the window"
		}
	}
	if t.Purging {
		text += "; each firing drops the contents"
	}
	return text
}

func (s *windowSpec) evictor() string {
	e := &s.Config.Evictor
	text := ""
	switch e.Kind {
	case window.NoEvictor:
		return ""
	case window.EvictByCount:
		text = fmt.Sprintf("the last %d rows stay", e.Count)
	case window.EvictByTime:
		text = "rows within " + micros(e.Span) + " of the latest stay"
	case window.EvictByDelta:
		text = fmt.Sprintf("rows whose %s is within %v of the last one's stay", s.EvictorColumn, e.Threshold)
	default:
		text = "a function of the program"
	}
	if e.After {
		text += ", after each firing"
	}
	return text
}
