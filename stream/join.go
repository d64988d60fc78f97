package stream

import (
	"fmt"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/core/ops/join"
	"turbo/core/ops/window"
	"turbo/plan"
)

// JoinKind says which rows a join gives.
type JoinKind = join.Kind

// The kinds of joins. Semi gives the left rows that have a partner, anti those that have none.
const (
	Inner = join.Inner
	Left  = join.Left
	Right = join.Right
	Full  = join.Full
	Semi  = join.Semi
	Anti  = join.Anti
)

// JoinSpec says how streams are joined: made by Within and its like, refined by methods that return a changed copy.
type JoinSpec struct{ j plan.Join }

// Within is an interval join: a partner on the right is at most `before` earlier and `after` later than the row on the left, in event time.
func Within(before, after time.Duration) JoinSpec {
	return JoinSpec{plan.Join{Within: &plan.Within{Lower: -before, Upper: after}}}
}

// InWindow is a window join: partners are in the same window of event time (tumbling, sliding, cumulating, session).
func InWindow(w Windows) JoinSpec { return JoinSpec{plan.Join{Window: &w.w.Config}} }

// AsOf is a temporal join: each row on the left with the latest row on the right that is not later. It is Inner or Left.
func AsOf() JoinSpec { return JoinSpec{plan.Join{AsOf: true}} }

// Regular is a join of everything that has come. Rows are kept for so long, by the clock; 0: for ever.
func Regular(left, right time.Duration) JoinSpec {
	return JoinSpec{plan.Join{TTL: [2]time.Duration{left, right}}}
}

// Kind says which rows come out; without it the join is Inner.
func (j JoinSpec) Kind(k JoinKind) JoinSpec { j.j.Kind = k; return j }

// Where is a further SQL condition for partners, over the columns of the result.
func (j JoinSpec) Where(condition string) JoinSpec { j.j.Where = condition; return j }

// Join joins two streams whose keys are equal, pairwise of the same type. The result has the columns of both: a name that both have gets the operator's
// name of its stream and an underscore before it, but keys of one name stand once. An interval join adds join_time, a window join window_start and
// window_end: their event time. U names some of the columns.
func Join[U, L, R any](left *Keyed[L], right *Keyed[R], name string, how JoinSpec) *Stream[U] {
	e := left.s.env
	at := e.place(name)
	if left.s.node == nil || right.s.node == nil {
		return broken[U](e)
	}
	j := how.j
	j.Origin = origin(at, "the condition of the join")
	j.Left, j.Right = left.keys, right.keys
	if w := j.Window; w != nil {
		if err := joinable(*w); err != nil {
			e.fail(at, err)
			return broken[U](e)
		}
	}
	node, err := plan.NewJoin(at, left.s.node, right.s.node, j)
	return checked[U](e, at, node, err)
}

// joinable says what a window of a join cannot be.
func joinable(w window.Config) error {
	switch {
	case !w.Kind.Timed():
		return fmt.Errorf("two streams are joined in windows of time, this one is %v", w.Kind)
	case w.ProcessingTime, w.Zone != nil, w.Kind == window.Session && w.Gap == 0:
		return fmt.Errorf("the window of a join has a fixed gap, and neither a time zone nor the clock")
	}
	return w.CheckKind()
}

// CoGroup calls a function for each key and window with the rows of both streams, of which one may have none. The result has R's columns,
// window_start and window_end; U names some of them. Slices are only valid during the call.
func CoGroup[U, Made, L, R any](left *Keyed[L], right *Keyed[R], name string, w Windows, f func(in WindowInfo, left []L, right []R, emit func(Made)) error) *Stream[U] {
	e := left.s.env
	at := e.place(name)
	if left.s.node == nil || right.s.node == nil {
		return broken[U](e)
	}
	fail := func(err error) *Stream[U] {
		e.fail(at, err)
		return broken[U](e)
	}
	if err := joinable(w.w.Config); err != nil {
		return fail(err)
	}
	made, err := schemaOf(reflect.TypeFor[Made]())
	if err != nil {
		return fail(err)
	}
	out, err := newCodec(reflect.TypeFor[Made](), made)
	if err != nil {
		return fail(err)
	}
	c := w.w.Config
	spec := &function{at: at, needs: [][]string{inputOf(left.s, left.keys, false).needs, inputOf(right.s, right.keys, false).needs}}
	spec.fixed = [][2]string{{"window", fmt.Sprint(c.Kind, c.Size, c.Slide, c.Offset, c.Gap)}}
	spec.bind = func(inputs []*core.Schema) (plan.Bound, error) {
		config := join.CoGroupConfig{
			Windows: join.Windows{Kind: joinWindows[c.Kind], Size: c.Size, Slide: c.Slide, Offset: c.Offset, Gap: c.Gap}, Fields: made.Fields,
		}
		for i, keys := range [][]string{left.keys, right.keys} {
			for _, k := range keys {
				config.Keys[i] = append(config.Keys[i], inputs[i].Index(k))
			}
		}
		l, err := newCodec(reflect.TypeFor[L](), inputs[0])
		if err != nil {
			return plan.Bound{}, err
		}
		r, err := newCodec(reflect.TypeFor[R](), inputs[1])
		if err != nil {
			return plan.Bound{}, err
		}
		config.New = func() (join.CoGrouper, error) {
			return &coGrouper[Made, L, R]{name: name, left: typed[L]{codec: l}, right: typed[R]{codec: r}, out: typed[Made]{codec: out}, f: f}, nil
		}
		output, err := config.Schema(inputs[0], inputs[1])
		return plan.Bound{Output: output, New: func() core.Operator { return join.NewCoGroup(config) }}, err
	}
	o := &plan.Operator{Kind: "co-group", Spec: spec, Stateful: true, Unbalanced: name + " groups rows: rows out are not rows in"}
	for _, keys := range [][]string{left.keys, right.keys} {
		port := plan.Port{Exchange: plan.Hash, Keys: slices.Clone(keys)}
		if len(keys) == 0 {
			port.Exchange = plan.Gather
		}
		o.Ports = append(o.Ports, port)
	}
	node, err := plan.NewOperator(at, "co-group", o, left.s.node, right.s.node)
	return result[U](e, at, node, err)
}

// joinWindows are the windows that joins have, by their kind elsewhere.
var joinWindows = map[window.Kind]join.WindowKind{
	window.Tumbling: join.Tumbling, window.Sliding: join.Sliding, window.Cumulating: join.Cumulating, window.Session: join.Session,
}

type coGrouper[Made, L, R any] struct {
	name  string
	left  typed[L]
	right typed[R]
	out   typed[Made]
	f     func(WindowInfo, []L, []R, func(Made)) error
}

// CoGroup implements join.CoGrouper.
func (g *coGrouper[Made, L, R]) CoGroup(group *join.Group, out *core.Builder) (err error) {
	at := -1
	defer guard(g.name, nil, &at, &err)
	if err := g.left.read(group.Left); err != nil {
		return err
	}
	if err := g.right.read(group.Right); err != nil {
		return err
	}
	g.out.rows = g.out.rows[:0]
	info := WindowInfo{Start: moment(group.Start), End: moment(group.End), Kind: window.KindFinal}
	if err := g.f(info, g.left.rows, g.right.rows, func(row Made) { g.out.rows = append(g.out.rows, row) }); err != nil {
		return err
	}
	return g.out.codec.build(out, unsafe.Pointer(unsafe.SliceData(g.out.rows)), len(g.out.rows))
}

// build appends n structs at base to the columns of a builder.
func (c *codec) build(out *core.Builder, base unsafe.Pointer, n int) error {
	to := core.Batch{}
	for i := range c.fields {
		to.Columns = append(to.Columns, out.Column(i))
	}
	return c.write(&to, base, n)
}
