package job

import (
	"slices"
	"time"

	"turbo/core/ops/window"
	"turbo/internal/spec"
	"turbo/io/connector"
	"turbo/plan"
)

// windowKeys are the keys of a stream that need a window.
var windowKeys = []string{"trigger", "evictor", "allowed-lateness", "late"}

// window reads the window of a stream with everything that belongs to it.
func (b *builder) window(of *named, c *connector.Config, in plan.Node) (plan.Node, error) {
	before := b.report.Count()
	at := plan.Place{Name: of.name, Pos: c.Position("window")}
	w := plan.Window{Late: c.Has("late")}
	b.windowKind(c.Object("window"), &w)
	if c.Has("trigger") {
		b.trigger(c.Object("trigger"), &w)
	}
	if c.Has("evictor") {
		b.evictor(c.Object("evictor"), &w)
	}
	w.Config.Lateness = micros(c.Duration("allowed-lateness"))
	w.Config.EveryRow = c.String("emit") == "every-row"
	var columns []*plan.AggregateColumn
	if c.Node("aggregate") == nil {
		b.report.Errorf(c.Position("window"), "%s.window: needs aggregate, which says what a window comes to", c.Path())
	} else {
		columns, _ = b.aggregates(of.name, c, in)
	}
	if b.report.Count() > before {
		return nil, nil
	}
	out, late, err := plan.NewWindow(at, in, c.Strings("key-by"), w, columns)
	if err != nil {
		return nil, err
	}
	of.lateOf = late
	return out, nil
}

func micros(d time.Duration) int64 { return int64(d / time.Microsecond) }

// oneOf returns which of the keys is there; it reports when none or several are.
func (b *builder) oneOf(c *connector.Config, keys ...string) string {
	found := ""
	for _, k := range keys {
		if !c.Has(k) {
			continue
		}
		if found != "" {
			b.report.Errorf(c.Position(k), "%s: has %s and %s: it is one of them", c.Path(), found, k)
			return ""
		}
		found = k
	}
	if found == "" {
		b.report.Errorf(c.Position(""), "%s: says nothing: it is one of %s", c.Path(), list(keys))
	}
	return found
}

func list(words []string) string {
	text := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			text += " and "
		default:
			text += ", "
		}
		text += w
	}
	return text
}

func (b *builder) windowKind(c *connector.Config, w *plan.Window) {
	k := &w.Config
	k.GapColumn = -1
	kinds := []string{"tumbling", "sliding", "cumulating", "session", "count", "type"}
	kind := b.oneOf(c, kinds...)
	belongs := map[string][]string{"tumbling": {"offset", "zone"}, "sliding": {"every", "offset", "zone"}, "cumulating": {"step", "offset", "zone"}, "count": {"every"}}[kind]
	for _, key := range []string{"every", "step", "offset", "zone"} {
		if kind != "" && c.Has(key) && !slices.Contains(belongs, key) {
			b.report.Errorf(c.Position(key), "%s.%s: has no meaning for this kind of window", c.Path(), key)
		}
	}
	if k.ProcessingTime = c.String("clock") == "processing"; k.ProcessingTime && (kind == "count" || kind == "type") {
		b.report.Errorf(c.Position("clock"), "%s.clock: has no meaning for this kind of window", c.Path())
	}
	needs := func(key, why string) bool {
		if !c.Has(key) {
			b.report.Errorf(c.Position(""), "%s: the key %q is missing: %s", c.Path(), key, why)
		}
		return c.Has(key)
	}
	switch kind {
	case "tumbling":
		k.Kind, k.Size = window.Tumbling, micros(c.Duration(kind))
	case "sliding":
		k.Kind, k.Size = window.Sliding, micros(c.Duration(kind))
		if needs("every", "the time between the starts of two windows") {
			d, err := spec.ParseDuration(c.String("every"))
			if err != nil {
				b.report.Errorf(c.ValuePosition("every"), "%s.every: %v", c.Path(), err)
			}
			k.Slide = micros(d)
		}
	case "cumulating":
		k.Kind, k.Size = window.Cumulating, micros(c.Duration(kind))
		if needs("step", "by how much windows grow") {
			k.Slide = micros(c.Duration("step"))
		}
	case "session":
		k.Kind = window.Session
		if d, err := spec.ParseDuration(c.String(kind)); err == nil {
			k.Gap = micros(d)
		} else {
			w.GapColumn, k.GapColumn = c.String(kind), 0 // a column: bound by name
		}
	case "count":
		k.Kind, k.Count = window.CountTumbling, c.Int(kind)
		if c.Has("every") {
			n, err := spec.ParseInt(c.String("every"))
			if err != nil {
				b.report.Errorf(c.ValuePosition("every"), "%s.every: of a count window it is a number of rows: %v", c.Path(), err)
			}
			k.Kind, k.Every = window.CountSliding, n
		}
	case "type":
		k.Kind = window.Global
	}
	k.Offset = micros(c.Duration("offset"))
	if c.Has("zone") {
		zone, err := time.LoadLocation(c.String("zone"))
		if err != nil {
			b.report.Errorf(c.ValuePosition("zone"), "%s.zone: %q is no time zone that this machine knows: write it like Europe/Berlin", c.Path(), c.String("zone"))
		}
		k.Zone = zone
	}
	if err := k.CheckKind(); err != nil && kind != "" {
		b.report.Errorf(c.Position(kind), "%s.%s: %v", c.Path(), kind, err)
	}
}

func (b *builder) trigger(c *connector.Config, w *plan.Window) {
	t := &w.Config.Trigger
	t.Purging = c.Bool("purging")
	kinds := []string{"early", "count", "delta", "continuous", "continuous-processing", "function", "type"}
	if t.Purging && !slices.ContainsFunc(kinds, c.Has) {
		return // the default trigger, purging
	}
	switch kind := b.oneOf(c, kinds...); kind {
	case "early":
		e := c.Object(kind)
		w.TriggerColumn = e.String("sum")
		switch b.oneOf(e, "every", "multiples-of") {
		case "every":
			t.Kind, t.Every = window.Early, e.Float("every")
		case "multiples-of":
			t.Kind, t.Every = window.Multiples, e.Float("multiples-of")
		}
	case "count":
		t.Kind, t.Every = window.EveryCount, float64(c.Int(kind))
	case "delta":
		d := c.Object(kind)
		t.Kind, w.TriggerColumn, t.Threshold = window.EveryDelta, d.String("column"), d.Float("threshold")
	case "continuous":
		t.Kind, t.Interval = window.Continuous, micros(c.Duration(kind))
	case "continuous-processing":
		t.Kind, t.Interval = window.ContinuousByClock, micros(c.Duration(kind))
	case "function":
		f := plan.TriggerFunction(c.String(kind))
		if f == nil {
			b.report.Errorf(c.ValuePosition(kind), "%s.function: the program has no trigger %q%s", c.Path(), c.String(kind), spec.Suggest(c.String(kind), plan.TriggerFunctions()))
		}
		t.Kind, t.Custom = window.CustomTrigger, f
	case "type":
		t.Kind = window.EventTime
		if c.String(kind) == "processing-time" {
			t.Kind = window.ProcessingTime
		}
	}
}

func (b *builder) evictor(c *connector.Config, w *plan.Window) {
	e := &w.Config.Evictor
	e.After = c.Bool("after")
	switch kind := b.oneOf(c, "count", "time", "delta"); kind {
	case "count":
		e.Kind, e.Count = window.EvictByCount, c.Int(kind)
	case "time":
		e.Kind, e.Span = window.EvictByTime, micros(c.Duration(kind))
	case "delta":
		d := c.Object(kind)
		e.Kind, w.EvictorColumn, e.Threshold = window.EvictByDelta, d.String("column"), d.Float("threshold")
	}
}
