package process

import (
	"fmt"
	"time"

	"turbo/core"
	"turbo/core/ops"
)

// StateKind is the shape of a keyed state.
type StateKind uint8

// The kinds of keyed state.
const (
	ValueKind       StateKind = iota // one row of fields a key
	ListKind                         // rows of fields in the order in which they were added
	MapKind                          // rows of fields by a key of the user's
	ReducingKind                     // a value to which rows are added by Reduce
	AggregatingKind                  // a value to which rows are added by Add, and read by Result
)

// String returns "value", "list", "map", "reducing" or "aggregating".
func (k StateKind) String() string {
	return [...]string{"value", "list", "map", "reducing", "aggregating"}[k]
}

// TTL is the time to live of a state. List elements and map entries have one each. What has expired is never visible, and its memory
// is freed soon after: by timers, a bounded number of rows at a time.
type TTL struct {
	// After is how long a value lives from the last write; 0: for ever.
	After time.Duration
	// OnRead counts reading as writing. Each read is a change then, which the next checkpoint writes.
	OnRead bool
	// EventTime counts in event time: an access is made at the time of the row or timer at hand (or, when that has none, at the watermark),
	// and values are freed when the watermark has passed. Otherwise it is processing time, which is read once a batch.
	EventTime bool
}

// Descriptor declares a keyed state. States are declared before the operator opens and are fixed for the life of the job's state: all
// value, reducing and aggregating states of an operator are columns of one table, so that one probe a row finds them all; each list and
// map has a table of its own.
type Descriptor struct {
	Name string
	Kind StateKind
	// Keys are the fields of a map's key.
	Keys []core.Field
	// Fields are the fields of the value. Types that columns do not have are encoded by the caller into BYTES.
	Fields []core.Field
	TTL    TTL

	// Reduce folds a row of the state's fields into the value of a ReducingKind. The first row becomes the value as it is.
	Reduce func(acc *Value, in Row) error
	// Add folds a row, of any schema, into the value of an AggregatingKind. acc is absent (Present is false) for the first.
	Add func(acc *Value, in Row) error
	// Calls instead of Add make an AggregatingKind of aggregate functions over rows of the schema Input. It has no Fields: they follow from the calls.
	Calls []ops.Call
	Input *core.Schema
	// Result emits what the value of an AggregatingKind stands for. nil: one column a call, or its fields.
	Result func(acc *Value, out *Output) error
}

func (d *Descriptor) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%v state %q: %s", d.Kind, d.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Name == "":
		return bad("it has no name")
	case d.Kind > AggregatingKind:
		return fmt.Errorf("state %q: kind %d is none", d.Name, d.Kind)
	case d.Kind == MapKind && len(d.Keys) == 0:
		return bad("it needs key fields")
	case d.Kind != MapKind && len(d.Keys) > 0:
		return bad("only maps have key fields")
	case len(d.Fields) == 0 && len(d.Calls) == 0 && d.Kind != MapKind:
		return bad("it has no fields")
	case d.TTL.After < 0:
		return bad("its time to live is %v", d.TTL.After)
	case d.TTL.After > 0 && d.TTL.After < time.Microsecond:
		return bad("its time to live of %v is below a microsecond", d.TTL.After)
	case d.TTL.After == 0 && (d.TTL.OnRead || d.TTL.EventTime):
		return bad("its time to live has no duration")
	case d.Kind == ReducingKind && d.Reduce == nil:
		return bad("it has no Reduce function")
	case d.Kind == AggregatingKind && (d.Add == nil) == (len(d.Calls) == 0):
		return bad("it needs one of an Add function and Calls")
	case len(d.Calls) > 0 && (d.Kind != AggregatingKind || d.Input == nil):
		return bad("Calls are for aggregating states, and need the schema of their input")
	}
	names := map[string]bool{}
	for _, f := range append(append([]core.Field(nil), d.Keys...), d.Fields...) {
		if names[f.Name] {
			return bad("two fields are named %q", f.Name)
		}
		names[f.Name] = true
	}
	return nil
}

// clockKind says which time a time to live counts in.
type clockKind uint8

const (
	processing clockKind = iota
	event
)

func (t TTL) clock() clockKind {
	if t.EventTime {
		return event
	}
	return processing
}
