package job

import (
	"errors"
	"slices"
	"strings"
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
	mistaken := c.Mistaken("allowed-lateness") || c.Mistaken("late") // all of which has been reported
	for _, part := range []struct {
		key  string
		read func(*connector.Config, *plan.Window)
	}{{"window", b.windowKind}, {"trigger", b.trigger}, {"evictor", b.evictor}} {
		switch {
		case c.Mistaken(part.key):
			mistaken = true
		case c.Has(part.key):
			part.read(c.Object(part.key), &w)
		}
	}
	w.Config.Lateness = micros(c.Duration("allowed-lateness"))
	w.Config.EveryRow = c.String("emit") == "every-row"
	var columns []*plan.AggregateColumn
	if c.Node("aggregate") == nil {
		b.report.Errorf(c.Position("window"), "%s.window: needs aggregate, which says what a window comes to", c.Path())
	} else {
		columns, _ = b.aggregates(of.name, c, in)
	}
	if mistaken || b.report.Count() > before {
		return nil, nil
	}
	out, late, err := plan.NewWindow(at, in, c.Strings("key-by"), w, columns)
	if m := (*window.Mistake)(nil); errors.As(err, &m) {
		block, key := written(c, m.Part)
		b.report.Add(c.Position("window"), block.Errorf(key, "%s", m.Message))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if w.Config.Kind == window.Global && w.Config.Trigger.Kind == window.DefaultTrigger {
		b.report.Warnf(c.Position("window"), "%s.window: a global window has no end and no trigger, so it never speaks, and keeps its state for ever: add one, such as trigger: {count: 100}", c.Path())
	}
	of.lateOf = late
	return out, nil
}

// written says where a stream's configuration has the part of its window.
func written(c *connector.Config, part window.Part) (block *connector.Config, key string) {
	given := func(c *connector.Config, keys ...string) string {
		if i := slices.IndexFunc(keys, c.Has); i >= 0 {
			return keys[i]
		}
		return ""
	}
	switch part {
	case window.OfKind, window.OfGapColumn:
		block = c.Object("window")
		return block, given(block, windowKinds...)
	case window.OfStep:
		block = c.Object("window")
		return block, given(block, append([]string{"every", "step"}, windowKinds...)...)
	case window.OfTrigger, window.OfTriggerColumn:
		block, key = c.Object("trigger"), given(c.Object("trigger"), triggerKinds...)
		within := []string{"every", "multiples-of", "threshold"}
		if part == window.OfTriggerColumn {
			within = []string{"sum", "column"}
		}
		if key == "early" || key == "delta" {
			block = block.Object(key)
			within = slices.DeleteFunc(within, func(k string) bool {
				return !slices.ContainsFunc(block.Fields(), func(f connector.Field) bool { return f.Name == k })
			})
			return block, given(block, within...)
		}
		return block, key
	case window.OfEvictor, window.OfEvictorColumn:
		block, key = c.Object("evictor"), given(c.Object("evictor"), evictorKinds...)
		switch {
		case key != "delta":
		case part == window.OfEvictorColumn:
			return block.Object(key), "column"
		default:
			return block.Object(key), "threshold"
		}
		return block, key
	case window.OfLateness:
		return c, "allowed-lateness"
	case window.OfLateOutput:
		return c, "late"
	}
	return c, "window"
}

// The keys of which a window, a trigger and an evictor have one.
var (
	windowKinds  = []string{"tumbling", "sliding", "cumulating", "session", "count", "type"}
	triggerKinds = []string{"early", "count", "delta", "continuous", "continuous-processing", "function", "type"}
	evictorKinds = []string{"count", "time", "delta"}
)

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
	before := b.report.Count()
	kind := b.oneOf(c, windowKinds...)
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
				b.report.Errorf(c.ValuePosition("every"), "%s.every: %q: %v", c.Path(), c.String("every"), err)
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
		text := c.String(kind)
		d, err := spec.ParseDuration(text)
		switch {
		case err == nil:
			k.Gap = micros(d)
		case text == "" || strings.ContainsRune("0123456789.+-", rune(text[0])): // begins as no name does
			b.report.Add(c.ValuePosition(kind), c.Errorf(kind, "%q: %v; or the name of the column that has each row's gap", text, err))
		default:
			w.GapColumn, k.GapColumn = text, 0 // a column: bound by name
		}
	case "count":
		k.Kind, k.Count = window.CountTumbling, c.Int(kind)
		if c.Has("every") {
			n, err := spec.ParseInt(c.String("every"))
			if err != nil {
				b.report.Errorf(c.ValuePosition("every"), "%s.every: %q: of a count window it is a number of rows: %v", c.Path(), c.String("every"), err)
			}
			k.Kind, k.Every = window.CountSliding, n
		}
	case "type":
		k.Kind = window.Global
	}
	if k.Offset = micros(c.Duration("offset")); k.Offset < 0 { // begins as the window that is a whole length later
		length := k.Size
		if k.Kind == window.Sliding {
			length = k.Slide
		}
		if length > 0 {
			k.Offset = (k.Offset%length + length) % length
		}
	}
	if c.Has("zone") {
		zone, err := time.LoadLocation(c.String("zone"))
		if err != nil {
			b.report.Errorf(c.ValuePosition("zone"), "%s.zone: %q is no time zone that this machine knows: write it like Europe/Berlin", c.Path(), c.String("zone"))
		}
		k.Zone = zone
	}
	if b.report.Count() > before {
		return
	}
	if m := (*window.Mistake)(nil); errors.As(k.CheckKind(), &m) {
		if m.Part == window.OfStep && c.Has("every") {
			kind = "every"
		} else if m.Part == window.OfStep && c.Has("step") {
			kind = "step"
		}
		b.report.Add(c.ValuePosition(kind), c.Errorf(kind, "%s", m.Message))
	}
}

func (b *builder) trigger(c *connector.Config, w *plan.Window) {
	t := &w.Config.Trigger
	t.Purging = c.Bool("purging")
	if t.Purging && !slices.ContainsFunc(triggerKinds, c.Has) {
		return // the default trigger, purging
	}
	switch kind := b.oneOf(c, triggerKinds...); kind {
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
			b.report.Errorf(c.ValuePosition(kind), "%s.function: the program has no trigger %q%s", c.Path(), c.String(kind), registered(c.String(kind), plan.TriggerFunctions(), "RegisterTrigger"))
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
	switch kind := b.oneOf(c, evictorKinds...); kind {
	case "count":
		e.Kind, e.Count = window.EvictByCount, c.Int(kind)
	case "time":
		e.Kind, e.Span = window.EvictByTime, micros(c.Duration(kind))
	case "delta":
		d := c.Object(kind)
		e.Kind, w.EvictorColumn, e.Threshold = window.EvictByDelta, d.String("column"), d.Float("threshold")
	}
}
