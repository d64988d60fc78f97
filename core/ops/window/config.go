package window

import (
	"fmt"
	"time"

	"turbo/core"
	"turbo/core/ops"
	"turbo/internal/spec"
)

// Kind says how rows are assigned to windows.
type Kind uint8

// The kinds of windows.
const (
	Tumbling      Kind = iota // one after the other, Size long
	Sliding                   // Size long, one every Slide
	Cumulating                // from each multiple of Size, growing by Slide up to Size
	Session                   // rows of a key that are at most Gap apart (sessions that touch are one, as in Flink)
	CountTumbling             // Count rows of a key
	CountSliding              // the last Count rows of a key, every Every rows
	Global                    // one window for ever: only triggers make it speak
)

var kindNames = [...]string{"tumbling", "sliding", "cumulating", "session", "count", "count", "global"}

// String names the kind as a job specification does.
func (k Kind) String() string { return kindNames[k] }

// Aligned reports whether windows of the kind begin at the same times for all keys.
func (k Kind) Aligned() bool { return k <= Cumulating }

// Timed reports whether windows of the kind have a start and an end.
func (k Kind) Timed() bool { return k <= Session }

// Config describes a window operator. Durations are microseconds, columns are those of the input.
type Config struct {
	Keys []int // none: windows over the whole stream, which the exchange must bring to worker 0
	Kind Kind
	// Size and Slide (of cumulating windows the step) and Offset of aligned windows. A window begins at Offset plus a multiple of Slide (Size for
	// tumbling and cumulating ones) since 1970-01-01 in Zone.
	Size, Slide, Offset int64
	Zone                *time.Location // nil: UTC
	// Gap of session windows: the same for all rows, or from GapColumn (INTERVAL DAY TO SECOND, or an integer of milliseconds) when that is >= 0.
	Gap       int64
	GapColumn int
	// Count and Every of count windows, in rows of a key.
	Count, Every int64
	// ProcessingTime assigns rows by the clock instead of event time.
	ProcessingTime bool
	// Lateness is how long after its end a window of event time still takes rows.
	Lateness int64
	// LateOutput sends late rows to Sides[0], with the input's columns; else they are dropped. They are counted in both cases.
	LateOutput bool
	Trigger    TriggerSpec
	Evictor    EvictorSpec
	Calls      []ops.Call
	// EveryRow fires once for each late row instead of once for each window and batch with late rows.
	EveryRow bool
	// Function makes one instance's function over the rows of a window; nil: none. FunctionColumns are the columns of its result rows.
	Function        func() Function
	FunctionColumns []core.Field
	// AggregatesOnly says that the function looks at the aggregates and not at the rows: then none are kept.
	AggregatesOnly bool
}

// TriggerKind says when a window speaks.
type TriggerKind uint8

// The kinds of triggers.
const (
	DefaultTrigger    TriggerKind = iota // the end of the window; of count windows their count; of the global window never
	EventTime                            // the watermark passes the end of the window
	ProcessingTime                       // the clock passes the end of the window
	EveryCount                           // every Every rows in the window, and not at its end
	EveryDelta                           // when Column has moved by more than Threshold since the row that fired last, and not at the end
	Continuous                           // every Interval of event time, and at the end
	ContinuousByClock                    // every Interval of processing time; not at the end of event time
	Early                                // Every rows, or a sum of Column of Every, have come since the last firing; and at the end
	Multiples                            // as Early, but counted from the window's beginning: Every, 2 Every, 3 Every; and at the end
	CustomTrigger                        // Custom
)

// TriggerSpec describes a trigger.
type TriggerSpec struct {
	Kind TriggerKind
	// Purging drops the contents of the window at each firing.
	Purging   bool
	Column    int     // of Early and Multiples: -1 counts rows; of EveryDelta
	Every     float64 // of EveryCount, Early, Multiples
	Threshold float64 // of EveryDelta
	Interval  int64   // of Continuous and ContinuousByClock, microseconds
	Custom    func() Trigger
}

// EvictorKind says which rows leave a window before it speaks.
type EvictorKind uint8

// The kinds of evictors. Windows with one keep their rows.
const (
	NoEvictor     EvictorKind = iota
	EvictByCount              // all but the last Count
	EvictByTime               // those more than Span before the latest
	EvictByDelta              // those whose Column differs by Threshold or more from the last row's
	CustomEvictor             // Custom
)

// EvictorSpec describes an evictor.
type EvictorSpec struct {
	Kind      EvictorKind
	Count     int64
	Span      int64 // microseconds
	Column    int
	Threshold float64
	// After evicts after the function has seen the rows instead of before.
	After  bool
	Custom func() Evictor
}

// The columns that windows add.
const (
	StartColumn = "window_start"
	EndColumn   = "window_end"
	KindColumn  = "kind"
)

// The values of KindColumn: a firing before the end of the window, the one at its end, one because of a row that came after that.
const (
	KindEarly = "early"
	KindFinal = "final"
	KindLate  = "late"
)

// Part is what a Mistake is about.
type Part uint8

// The parts of a Config.
const (
	OfKind          Part = iota // the kind of window and its sizes
	OfStep                      // Slide, or Every of a count window
	OfGapColumn                 // the column with the gap of a session
	OfTrigger                   // the trigger and its number
	OfTriggerColumn             // the column that it reads
	OfEvictor
	OfEvictorColumn
	OfLateness
	OfLateOutput
)

// Mistake is an error of Check, CheckKind and Schema that is about one part of the configuration.
type Mistake struct {
	Part    Part
	Message string
}

// Error says what is wrong and what to do.
func (m *Mistake) Error() string { return m.Message }

// Mistakef makes a Mistake.
func Mistakef(part Part, format string, args ...any) error {
	return &Mistake{part, fmt.Sprintf(format, args...)}
}

// CheckKind reports what cannot be of the windows alone: the message says what to do.
func (c *Config) CheckKind() error {
	switch c.Kind {
	case Tumbling, Sliding, Cumulating:
		switch {
		case c.Size <= 0:
			return Mistakef(OfKind, "a %v window needs a size above zero", c.Kind)
		case c.Kind != Tumbling && c.Slide <= 0:
			return Mistakef(OfStep, "a %v window needs a step above zero", c.Kind)
		case c.Kind == Cumulating && (c.Slide > c.Size || c.Size%c.Slide != 0):
			return Mistakef(OfStep, "the size of a cumulating window is a multiple of its step: %v is none of %v", micros(c.Size), micros(c.Slide))
		case c.Kind == Sliding && c.Size/c.Slide > 1_000_000:
			return Mistakef(OfStep, "a row would be in %d windows: make the slide longer", c.Size/c.Slide)
		}
	case Session:
		if c.GapColumn < 0 && c.Gap <= 0 {
			return Mistakef(OfKind, "a session window needs a gap above zero: with a gap of zero no two rows are in one session")
		}
	case CountTumbling:
		if c.Count <= 0 {
			return Mistakef(OfKind, "a count window needs a count above zero")
		}
	case CountSliding:
		if c.Count <= 0 || c.Every <= 0 {
			return Mistakef(OfStep, "a sliding count window needs a count and every above zero")
		}
	}
	return nil
}

// Check reports what cannot be. Column numbers are the caller's promise.
func (c *Config) Check() error {
	if err := c.CheckKind(); err != nil {
		return err
	}
	if c.Lateness < 0 || c.Lateness > 0 && (c.ProcessingTime || !c.Kind.Timed()) {
		return Mistakef(OfLateness, "allowed lateness is for windows of event time, and not negative: windows of rows, of the clock and for ever have no late rows")
	}
	if c.LateOutput && (c.ProcessingTime || !c.Kind.Timed()) {
		return Mistakef(OfLateOutput, "only windows of event time have late rows: windows of rows, of the clock and for ever take every row")
	}
	t := &c.Trigger
	switch t.Kind {
	case EveryCount, Early, Multiples:
		if !(t.Every > 0) {
			return Mistakef(OfTrigger, "a trigger that counts needs a number above zero")
		}
	case Continuous, ContinuousByClock:
		if t.Interval <= 0 {
			return Mistakef(OfTrigger, "a continuous trigger needs an interval above zero")
		}
		if t.Kind == Continuous && c.ProcessingTime {
			return Mistakef(OfTrigger, "the trigger counts in event time and the window in processing time: use the continuous trigger of processing time")
		}
	case EveryDelta:
		if c.Kind == Session {
			return Mistakef(OfTrigger, "a delta trigger compares with one earlier row, which merging sessions do not have: use another trigger")
		}
		if !(t.Threshold >= 0) {
			return Mistakef(OfTrigger, "a delta trigger needs a threshold of zero or more")
		}
	case EventTime, ProcessingTime:
		if !c.Kind.Timed() {
			return Mistakef(OfTrigger, "a %v window has no end that time could pass: use a trigger that counts", c.Kind)
		}
	case CustomTrigger:
		if t.Custom == nil {
			return Mistakef(OfTrigger, "a custom trigger needs its function")
		}
	}
	e := &c.Evictor
	switch {
	case e.Kind != NoEvictor && c.Kind == CountSliding:
		return Mistakef(OfEvictor, "a sliding count window evicts rows itself: use a global window with a count trigger and an evictor of your own")
	case e.Kind == EvictByCount && e.Count <= 0:
		return Mistakef(OfEvictor, "an evictor by count needs a count above zero")
	case e.Kind == EvictByTime && e.Span <= 0:
		return Mistakef(OfEvictor, "an evictor by time needs a span above zero")
	case e.Kind == EvictByDelta && !(e.Threshold >= 0):
		return Mistakef(OfEvictor, "an evictor by delta needs a threshold of zero or more")
	case e.Kind == CustomEvictor && e.Custom == nil:
		return Mistakef(OfEvictor, "a custom evictor needs its function")
	case c.AggregatesOnly && (c.Function == nil || len(c.Calls) == 0 || e.Kind != NoEvictor || c.Kind == CountSliding):
		return fmt.Errorf("a function of aggregates only needs aggregates and a window whose rows nothing else needs: leave out the evictor")
	}
	if c.Function != nil && len(c.FunctionColumns) == 0 {
		return fmt.Errorf("a window function needs the columns of its result")
	}
	if len(c.Calls) == 0 && c.Function == nil {
		return fmt.Errorf("a window needs an aggregate or a function")
	}
	return nil
}

// Schema returns the output: the key columns, the window's start and end (of windows that have them), one column a call, the function's columns, and the kind of the
// firing. Event time is the end of the window, which is exclusive.
func (c *Config) Schema(input *core.Schema) (*core.Schema, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if input.Changelog {
		return nil, fmt.Errorf("the input is a changelog (its rows replace earlier ones), and windows over one are not supported")
	}
	if input.TimeColumn < 0 && !c.ProcessingTime && c.Kind.Timed() {
		return nil, fmt.Errorf("the window counts in event time, and the stream has none: give its source a watermark and keep the column, or use processing time (a running aggregate and a regular join have no event time)")
	}
	if err := c.checkColumns(input); err != nil {
		return nil, err
	}
	out := &core.Schema{TimeColumn: -1}
	add := func(name string, t core.Type) error {
		if out.Index(name) >= 0 {
			return fmt.Errorf("the column %s stands twice in the result of the window", name)
		}
		out.Fields = append(out.Fields, core.Field{Name: name, Type: t})
		return nil
	}
	for _, k := range c.Keys {
		if err := add(input.Fields[k].Name, input.Fields[k].Type); err != nil {
			return nil, err
		}
	}
	if c.Kind.Timed() {
		t := core.Of(core.TimestampLTZ)
		if !c.ProcessingTime {
			t = input.Fields[input.TimeColumn].Type
		}
		t.Precise = 6
		if t.Kind == core.Timestamp || t.Kind == core.TimestampLTZ {
			if !c.ProcessingTime {
				t.Precise = input.Fields[input.TimeColumn].Type.Precise
				if c.Size%precision(t.Precise) != 0 || c.Slide%precision(t.Precise) != 0 || c.Offset%precision(t.Precise) != 0 || c.Gap%precision(t.Precise) != 0 {
					t.Precise = 6
				}
			}
		}
		for _, name := range []string{StartColumn, EndColumn} {
			if err := add(name, t.Required()); err != nil {
				return nil, err
			}
		}
		out.TimeColumn, out.TimeShift = len(out.Fields)-1, -1
	}
	for _, call := range c.Calls {
		var argument core.Type
		if call.Argument >= len(input.Fields) || call.Argument < 0 && call.Function != ops.Count {
			return nil, fmt.Errorf("aggregate %s: %v of column %d of %d", call.Name, call.Function, call.Argument, len(input.Fields))
		}
		if call.Argument >= 0 {
			argument = input.Fields[call.Argument].Type
		}
		if c.Kind == Session && call.Function.Spec().NoMerge {
			return nil, fmt.Errorf("aggregate %s: %v has no Merge, which sessions that meet need", call.Name, call.Function)
		}
		t, err := call.Function.ResultType(argument)
		if err != nil {
			return nil, fmt.Errorf("aggregate %s: %w", call.Name, err)
		}
		if err := add(call.Name, t); err != nil {
			return nil, err
		}
	}
	for _, f := range c.FunctionColumns {
		if err := add(f.Name, f.Type); err != nil {
			return nil, err
		}
	}
	return out, add(KindColumn, core.Of(core.String).Required())
}

// checkColumns checks the types of the columns that windows, triggers and evictors read.
func (c *Config) checkColumns(input *core.Schema) error {
	number := func(part Part, what string, column int) error {
		if column >= len(input.Fields) || column < 0 {
			return fmt.Errorf("%s: column %d of %d", what, column, len(input.Fields))
		}
		if t := input.Fields[column].Type; !t.Kind.IsNumeric() {
			return Mistakef(part, "%s needs a number, and %s is %v: CAST it", what, input.Fields[column].Name, t.Optional())
		}
		return nil
	}
	for _, k := range c.Keys {
		if k < 0 || k >= len(input.Fields) {
			return fmt.Errorf("key column %d of %d", k, len(input.Fields))
		}
	}
	if c.Kind == Session && c.GapColumn >= 0 {
		if c.GapColumn >= len(input.Fields) {
			return fmt.Errorf("the session gap: column %d of %d", c.GapColumn, len(input.Fields))
		}
		if t := input.Fields[c.GapColumn].Type; t.Kind != core.IntervalDay && !t.Kind.IsInteger() {
			return Mistakef(OfGapColumn, "the session gap is an INTERVAL DAY TO SECOND or an integer of milliseconds, and %s is %v", input.Fields[c.GapColumn].Name, t.Optional())
		}
	}
	switch t := &c.Trigger; t.Kind {
	case Early, Multiples:
		if t.Column >= 0 {
			if err := number(OfTriggerColumn, "the sum of a trigger", t.Column); err != nil {
				return err
			}
		}
	case EveryDelta:
		if err := number(OfTriggerColumn, "a delta trigger", t.Column); err != nil {
			return err
		}
	}
	if c.Evictor.Kind == EvictByDelta {
		return number(OfEvictorColumn, "an evictor by delta", c.Evictor.Column)
	}
	return nil
}

// precision is the least difference between two values of a TIMESTAMP(p), in microseconds.
func precision(p uint8) int64 {
	d := int64(1)
	for ; p < 6; p++ {
		d *= 10
	}
	return d
}

// micros shows a number of microseconds as a duration.
func micros(us int64) string { return spec.FormatDuration(time.Duration(us) * time.Microsecond) }
