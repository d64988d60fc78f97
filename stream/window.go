package stream

import (
	"fmt"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/core/ops/window"
	"turbo/plan"
)

// Windows says how rows are put into windows: made by Tumbling and its like, refined by methods that return a changed copy.
type Windows struct{ w plan.Window }

func micros(d time.Duration) int64 { return d.Microseconds() }

// Tumbling is windows of that length, one after the other.
func Tumbling(size time.Duration) Windows {
	return windowsOf(window.Config{Kind: window.Tumbling, Size: micros(size)})
}

// Sliding is windows of that length, one every so often.
func Sliding(size, every time.Duration) Windows {
	return windowsOf(window.Config{Kind: window.Sliding, Size: micros(size), Slide: micros(every)})
}

// Cumulating is windows that begin at multiples of size and grow by step up to it.
func Cumulating(size, step time.Duration) Windows {
	return windowsOf(window.Config{Kind: window.Cumulating, Size: micros(size), Slide: micros(step)})
}

// Session is rows of a key that are at most gap apart.
func Session(gap time.Duration) Windows {
	return windowsOf(window.Config{Kind: window.Session, Gap: micros(gap)})
}

// SessionBy is sessions with a gap for each row, from a column: an INTERVAL DAY TO SECOND (a time.Duration), or an integer of milliseconds.
func SessionBy(column string) Windows {
	w := windowsOf(window.Config{Kind: window.Session})
	w.w.GapColumn, w.w.Config.GapColumn = column, 0
	return w
}

// Count is windows of so many rows of a key.
func Count(rows int64) Windows {
	return windowsOf(window.Config{Kind: window.CountTumbling, Count: rows})
}

// CountSliding is the last so many rows of a key, every so many rows.
func CountSliding(rows, every int64) Windows {
	return windowsOf(window.Config{Kind: window.CountSliding, Count: rows, Every: every})
}

// Global is one window for ever, which only a trigger makes speak.
func Global() Windows { return windowsOf(window.Config{Kind: window.Global}) }

func windowsOf(c window.Config) Windows {
	c.GapColumn = -1
	return Windows{plan.Window{Config: c}}
}

// Offset moves windows of time against the multiples of their length since 1970.
func (w Windows) Offset(d time.Duration) Windows { w.w.Config.Offset = micros(d); return w }

// In takes a time zone, in which windows of whole days or hours begin, over changes of its clocks, too.
func (w Windows) In(zone *time.Location) Windows { w.w.Config.Zone = zone; return w }

// ByClock puts rows into windows by processing time instead of event time.
func (w Windows) ByClock() Windows { w.w.Config.ProcessingTime = true; return w }

// A Trigger decides when a window speaks: made by OnCount and its like.
type Trigger struct {
	spec   window.TriggerSpec
	column string
}

// Purging drops the contents of the window each time that it speaks.
func (t Trigger) Purging() Trigger { t.spec.Purging = true; return t }

// OnEventTime is the end of the window, in event time.
func OnEventTime() Trigger { return Trigger{spec: window.TriggerSpec{Kind: window.EventTime}} }

// OnProcessingTime is the end of the window, by the clock.
func OnProcessingTime() Trigger {
	return Trigger{spec: window.TriggerSpec{Kind: window.ProcessingTime}}
}

// OnCount speaks after every so many rows of the window, and not at its end.
func OnCount(rows int64) Trigger {
	return Trigger{spec: window.TriggerSpec{Kind: window.EveryCount, Every: float64(rows)}}
}

// OnDelta speaks when a column has moved by more than threshold since the row that made it speak last, and not at the end.
func OnDelta(column string, threshold float64) Trigger {
	return Trigger{window.TriggerSpec{Kind: window.EveryDelta, Threshold: threshold}, column}
}

// Continuously speaks every so often in event time, and at the end.
func Continuously(d time.Duration) Trigger {
	return Trigger{spec: window.TriggerSpec{Kind: window.Continuous, Interval: micros(d)}}
}

// ContinuouslyByClock speaks every so often by the clock.
func ContinuouslyByClock(d time.Duration) Trigger {
	return Trigger{spec: window.TriggerSpec{Kind: window.ContinuousByClock, Interval: micros(d)}}
}

// Early speaks each time that so many rows, or (with a column) so much of its sum, have come since it last spoke; and at the end.
func Early(column string, every float64) Trigger {
	return Trigger{window.TriggerSpec{Kind: window.Early, Every: every}, column}
}

// MultiplesOf is Early counted from the beginning of the window: n, 2n, 3n.
func MultiplesOf(column string, n float64) Trigger {
	return Trigger{window.TriggerSpec{Kind: window.Multiples, Every: n}, column}
}

// CustomTrigger is a trigger of the program's: one is made for each worker.
func CustomTrigger(make1 func() window.Trigger) Trigger {
	return Trigger{spec: window.TriggerSpec{Kind: window.CustomTrigger, Custom: make1}}
}

// An Evictor says which rows leave a window before it speaks.
type Evictor struct {
	spec   window.EvictorSpec
	column string
}

// After evicts after the window has spoken instead of before.
func (e Evictor) After() Evictor { e.spec.After = true; return e }

// KeepCount keeps the last so many rows.
func KeepCount(rows int64) Evictor {
	return Evictor{spec: window.EvictorSpec{Kind: window.EvictByCount, Count: rows}}
}

// KeepTime keeps the rows within so long of the latest one.
func KeepTime(d time.Duration) Evictor {
	return Evictor{spec: window.EvictorSpec{Kind: window.EvictByTime, Span: micros(d)}}
}

// KeepDelta keeps the rows whose column differs from the last row's by less than threshold.
func KeepDelta(column string, threshold float64) Evictor {
	return Evictor{window.EvictorSpec{Kind: window.EvictByDelta, Threshold: threshold}, column}
}

// CustomEvictor is an evictor of the program's: one is made for each worker.
func CustomEvictor(make1 func() window.Evictor) Evictor {
	return Evictor{spec: window.EvictorSpec{Kind: window.CustomEvictor, Custom: make1}}
}

// Windowed is a stream in windows. Its methods refine it; AggregateWindow, ReduceWindow, FoldWindow and Apply say what a window comes to.
type Windowed[T any] struct {
	k    *Keyed[T]
	w    plan.Window
	late **Stream[T]
}

// Window puts the rows of each key into windows.
func (k *Keyed[T]) Window(w Windows) *Windowed[T] { return &Windowed[T]{k: k, w: w.w} }

// Window puts the rows of the whole stream into windows, on one worker.
func (s *Stream[T]) Window(w Windows) *Windowed[T] { return s.KeyBy().Window(w) }

// Trigger says when a window speaks.
func (w *Windowed[T]) Trigger(t Trigger) *Windowed[T] {
	w.w.Config.Trigger, w.w.TriggerColumn = t.spec, t.column
	return w
}

// Evictor says which rows leave a window before it speaks.
func (w *Windowed[T]) Evictor(e Evictor) *Windowed[T] {
	w.w.Config.Evictor, w.w.EvictorColumn = e.spec, e.column
	return w
}

// AllowedLateness is how long after its end a window still takes rows.
func (w *Windowed[T]) AllowedLateness(d time.Duration) *Windowed[T] {
	w.w.Config.Lateness = micros(d)
	return w
}

// EveryRow makes a window speak for each late row, instead of once for each batch of them.
func (w *Windowed[T]) EveryRow() *Windowed[T] { w.w.Config.EveryRow = true; return w }

// SideOutput makes a stream of the late rows: it is in *late when the window has been made. Without it they are dropped and counted.
func (w *Windowed[T]) SideOutput(late **Stream[T]) *Windowed[T] {
	w.w.Late, w.late = true, late
	return w
}

// AggregateWindow makes a row of each firing: the key columns, window_start and window_end (of windows of time), the columns, which are
// expressions of aggregates such as SUM(passengers), and kind, which is early, final or late. U names some of them.
func AggregateWindow[U, T any](w *Windowed[T], name string, columns ...Column) *Stream[U] {
	e := w.k.s.env
	at := e.place(name)
	if w.k.s.node == nil {
		w.end(at, nil, errBroken)
		return broken[U](e)
	}
	list, err := aggregateColumns(at, w.k.s.Columns(), w.k.keys, columns)
	if err != nil {
		w.end(at, nil, err)
		e.fail(at, err)
		return broken[U](e)
	}
	out, late, err := plan.NewWindow(at, w.k.s.node, w.k.keys, w.w, list)
	w.end(at, late, err)
	return checked[U](e, at, out, err)
}

var errBroken = fmt.Errorf("the input is mistaken")

// end makes the stream of late rows.
func (w *Windowed[T]) end(at plan.Place, late plan.Node, err error) {
	switch {
	case w.late == nil:
	case err != nil:
		*w.late = broken[T](w.k.s.env)
	default:
		*w.late = checked[T](w.k.s.env, at, late, nil)
	}
}

// WindowInfo is the window that speaks.
type WindowInfo struct {
	Start, End time.Time // End is exclusive; both zero for count and global windows
	Kind       string    // "early", "final" or "late"
}

// Apply calls a function with all rows of a window, in the order in which they came, each time that it speaks. Windows keep their rows for it. The
// result has the key columns, window_start and window_end (of windows of time), the columns of R that are no keys, and kind; U names some of them. The slice is
// only valid during the call.
func Apply[U, R, T any](w *Windowed[T], name string, f func(in WindowInfo, rows []T, emit func(R)) error) *Stream[U] {
	e := w.k.s.env
	at := e.place(name)
	fail := func(err error) *Stream[U] {
		w.end(at, nil, errBroken)
		if err != nil {
			e.fail(at, err)
		}
		return broken[U](e)
	}
	if w.k.s.node == nil {
		return fail(nil)
	}
	made, err := recordOf(reflect.TypeFor[R](), ValueColumn)
	if err != nil {
		return fail(err)
	}
	fields := made.Fields[:0:0]
	for _, f := range made.Fields {
		if !slices.Contains(w.k.keys, f.Name) {
			fields = append(fields, f)
		}
	}
	made = core.NewSchema(fields...)
	if len(fields) == 0 {
		return fail(fmt.Errorf("%v has no column but the keys", reflect.TypeFor[R]()))
	}
	outCodec, err := partialCodec(reflect.TypeFor[R](), ValueColumn, made)
	if err != nil {
		return fail(err)
	}
	if _, err := newCodec(reflect.TypeFor[T](), w.k.s.Columns()); err != nil {
		return fail(err)
	}
	pw := w.w
	pw.Config.FunctionColumns = made.Fields
	pw.Config.Function = func() window.Function {
		return &applier[T, R]{name: name, out: typed[R]{codec: outCodec}, f: f}
	}
	out, late, err := plan.NewWindow(at, w.k.s.node, w.k.keys, pw, nil)
	w.end(at, late, err)
	return checked[U](e, at, out, err)
}

// ValueColumn is the name of the column for results that are no struct.
const ValueColumn = "value"

// ReduceWindow combines the rows of a window into one: f adds a row to what those before it came to, of which the first row is the beginning. U is as
// for Apply.
func ReduceWindow[U, T any](w *Windowed[T], name string, f func(acc, row *T) error) *Stream[U] {
	return Apply[U, T](w, name, func(_ WindowInfo, rows []T, emit func(T)) error {
		acc := rows[0]
		for i := range rows[1:] {
			if err := f(&acc, &rows[1+i]); err != nil {
				return err
			}
		}
		emit(acc)
		return nil
	})
}

// FoldWindow begins with a value for each firing of a window, to which f adds its rows in the order in which they came. U is as for Apply.
func FoldWindow[U, A, T any](w *Windowed[T], name string, begin func() A, f func(acc *A, row *T) error) *Stream[U] {
	return Apply[U, A](w, name, func(_ WindowInfo, rows []T, emit func(A)) error {
		acc := begin()
		for i := range rows {
			if err := f(&acc, &rows[i]); err != nil {
				return err
			}
		}
		emit(acc)
		return nil
	})
}

// applier is the window's side of Apply.
type applier[T, R any] struct {
	name string
	in   typed[T]
	of   *core.Schema // that in's codec is for
	out  typed[R]
	f    func(WindowInfo, []T, func(R)) error
}

// Apply implements window.Function.
func (a *applier[T, R]) Apply(c *window.Contents, out []*core.Vector) (err error) {
	at := -1
	defer guard(a.name, c.Rows, &at, &err)
	if a.of != c.Rows.Schema {
		if a.in.codec, err = newCodecOf(reflect.TypeFor[T](), c.Rows.Schema, true); err != nil {
			return err
		}
		a.of = c.Rows.Schema
	}
	if err := a.in.read(c.Rows); err != nil {
		at = rowOf(err)
		return err
	}
	info := WindowInfo{Kind: c.Kind}
	if c.Window.Start != core.MinTime {
		info.Start, info.End = time.UnixMicro(int64(c.Window.Start)).UTC(), time.UnixMicro(int64(c.Window.End)).UTC()
	}
	a.out.rows = a.out.rows[:0]
	if err := a.f(info, a.in.rows, func(row R) { a.out.rows = append(a.out.rows, row) }); err != nil {
		return err
	}
	to := core.Batch{Columns: out}
	return a.out.codec.write(&to, unsafe.Pointer(unsafe.SliceData(a.out.rows)), len(a.out.rows))
}
