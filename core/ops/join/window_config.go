package join

import (
	"fmt"

	"turbo/core"
)

// WindowKind is a kind of windows.
type WindowKind uint8

// The kinds of windows. Session windows are by key, over the rows of both inputs together.
const (
	Tumbling WindowKind = iota
	Sliding
	Cumulating
	Session
)

// Windows says in which windows a row is. Times are microseconds.
type Windows struct {
	Kind WindowKind
	// Size is the length of a window (cumulating: of the longest).
	Size int64
	// Slide is from one window's start to the next (sliding), or from one window's end to the next (cumulating, a divisor of Size).
	Slide int64
	// Offset moves the windows, which else begin at the epoch, UTC.
	Offset int64
	// Gap ends a session: rows that are no further apart than Gap are in one.
	Gap int64
}

func (w *Windows) check(what string) error {
	switch w.Kind {
	case Tumbling:
		if w.Size <= 0 {
			return fmt.Errorf("%s: the window size %d µs is not positive", what, w.Size)
		}
	case Sliding, Cumulating:
		if w.Size <= 0 || w.Slide <= 0 {
			return fmt.Errorf("%s: window size %d µs and step %d µs must be positive", what, w.Size, w.Slide)
		}
		if w.Kind == Cumulating && w.Size%w.Slide != 0 {
			return fmt.Errorf("%s: cumulating windows of %d µs do not consist of whole steps of %d µs", what, w.Size, w.Slide)
		}
	case Session:
		if w.Gap <= 0 {
			return fmt.Errorf("%s: the session gap %d µs is not positive", what, w.Gap)
		}
	default:
		return fmt.Errorf("%s: there is no window of kind %d", what, w.Kind)
	}
	return nil
}

// slice is the longest piece of time that no window begins or ends in: all its rows are in the same windows.
func (w *Windows) slice() int64 {
	switch w.Kind {
	case Sliding:
		a, b := w.Size, w.Slide
		for b != 0 {
			a, b = b, a%b
		}
		return a
	case Cumulating:
		return w.Slide
	}
	return w.Size
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// number is the slice of a time.
func (w *Windows) number(t int64) int64 { return floorDiv(t-w.Offset, w.slice()) }

// next is the first window that ends after `after` of those that contain slice n; ok is false when there is none. A sliding window's slice may be in no
// window at all, when the slide is longer than the size.
func (w *Windows) next(n, after int64) (start, end int64, ok bool) {
	begin := n*w.slice() + w.Offset
	switch w.Kind {
	case Tumbling:
		return begin, begin + w.Size, begin+w.Size > after
	case Cumulating:
		start = floorDiv(begin-w.Offset, w.Size)*w.Size + w.Offset
		end = begin + w.Slide
		if after >= end {
			end += (floorDiv(after-end, w.Slide) + 1) * w.Slide
		}
		return start, end, end <= start+w.Size
	}
	// Sliding: starts are multiples of the slide, from begin - size (exclusive) to begin.
	start = floorDiv(begin-w.Size-w.Offset, w.Slide)*w.Slide + w.Slide + w.Offset
	if after >= start+w.Size {
		start += (floorDiv(after-start-w.Size, w.Slide) + 1) * w.Slide
	}
	return start, start + w.Size, start <= begin
}

// last is the end of the last window that contains slice n.
func (w *Windows) last(n int64) int64 {
	begin := n*w.slice() + w.Offset
	switch w.Kind {
	case Tumbling:
		return begin + w.Size
	case Cumulating:
		return floorDiv(begin-w.Offset, w.Size)*w.Size + w.Offset + w.Size
	}
	start := floorDiv(begin-w.Offset, w.Slide)*w.Slide + w.Offset
	return start + w.Size
}

// WindowConfig describes a window join: rows with equal keys in the same window. Results come when the window closes.
type WindowConfig struct {
	Config
	Windows
	Start, End string // names of the last two output columns, "window_start" and "window_end" when empty
}

// Schema returns the output: the chosen columns, the start and the (exclusive) end of the window. Event time is just before the end.
func (c *WindowConfig) Schema(left, right *core.Schema) (*core.Schema, error) {
	const what = "window join"
	if err := windowed(what, &c.Windows, left, right); err != nil {
		return nil, err
	}
	out, err := c.schema(what, left, right)
	if err != nil {
		return nil, err
	}
	return out, addWindow(what, out, c.Start, c.End, left)
}

func windowed(what string, w *Windows, left, right *core.Schema) error {
	if err := appendOnly(what, left, right); err != nil {
		return err
	}
	if err := timed(what, left, right); err != nil {
		return err
	}
	return w.check(what)
}

func addWindow(what string, out *core.Schema, start, end string, left *core.Schema) error {
	if start == "" {
		start = "window_start"
	}
	if end == "" {
		end = "window_end"
	}
	for _, name := range []string{start, end} {
		if err := addTime(what, out, name, left); err != nil {
			return err
		}
	}
	out.TimeShift = -1
	return nil
}

// CoGroupConfig describes a co-group: for each key and window, a function of all rows of both inputs. Null is a key like any other here.
type CoGroupConfig struct {
	Windows
	Keys [2][]int
	// Fields are the columns that the function makes; at least one.
	Fields     []core.Field
	Start, End string // as in WindowConfig
	// New makes the function, one for each instance.
	New func() (CoGrouper, error)
}

// CoGrouper is the function of a co-group.
type CoGrouper interface {
	// CoGroup appends result rows to out: as many values to each of its columns (those of CoGroupConfig.Fields, by index). The group is the
	// caller's and ends with the call.
	CoGroup(g *Group, out *core.Builder) error
}

// Group is the rows of a key in a window.
type Group struct {
	Start, End  core.Time   // End is exclusive
	Left, Right *core.Batch // all columns of the inputs; one of them may have no rows
}

// Schema returns the output: Fields, then the start and the end of the window.
func (c *CoGroupConfig) Schema(left, right *core.Schema) (*core.Schema, error) {
	const what = "co-group"
	if err := windowed(what, &c.Windows, left, right); err != nil {
		return nil, err
	}
	if len(c.Fields) == 0 || c.New == nil {
		return nil, fmt.Errorf("%s: it needs a function, and at least one column that it makes", what)
	}
	join := Config{Keys: c.Keys}
	if _, err := join.schema(what, left, right); err != nil {
		return nil, err
	}
	out := core.NewSchema(append([]core.Field(nil), c.Fields...)...)
	return out, addWindow(what, out, c.Start, c.End, left)
}
