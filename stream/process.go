package stream

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/plan"
)

// Context is what a process function may use during a call.
type Context[Out any] struct {
	c     *process.Context
	codec *codec
	row   Out
}

// Emit sends a row to the output.
func (c *Context[Out]) Emit(row Out) {
	c.row = row
	emitRow(c.codec, unsafe.Pointer(&c.row), c.c.Out())
}

// Time returns the event time of the row or event-time timer at hand; ok is false when there is none.
func (c *Context[Out]) Time() (t time.Time, ok bool) {
	at, ok := c.c.EventTime()
	return moment(at), ok
}

// Watermark returns the watermark of the inputs; ok is false before the first.
func (c *Context[Out]) Watermark() (t time.Time, ok bool) {
	w := c.c.Watermark()
	return moment(w), w != core.MinTime
}

// Now returns processing time: it is read once a batch.
func (c *Context[Out]) Now() time.Time { return moment(c.c.ProcessingTime()) }

// SetTimer calls Timer for the key at hand when the watermark has reached at.
func (c *Context[Out]) SetTimer(at time.Time) { c.c.RegisterEventTimer(core.Time(at.UnixMicro())) }

// DeleteTimer removes such a timer, if it is set.
func (c *Context[Out]) DeleteTimer(at time.Time) { c.c.DeleteEventTimer(core.Time(at.UnixMicro())) }

// SetClockTimer calls Timer for the key at hand when processing time has reached at. Timers that are left when all input has ended do not fire.
func (c *Context[Out]) SetClockTimer(at time.Time) {
	c.c.RegisterProcessingTimer(core.Time(at.UnixMicro()))
}

// DeleteClockTimer removes such a timer, if it is set.
func (c *Context[Out]) DeleteClockTimer(at time.Time) {
	c.c.DeleteProcessingTimer(core.Time(at.UnixMicro()))
}

// EachKey makes every key that has state the one at hand in turn: for rows of a broadcast stream, which have no key.
func (c *Context[Out]) EachKey(visit func() error) error { return c.c.EachKey(visit) }

// Timer is a timer that is due.
type Timer struct {
	At time.Time
	// Processing says that it is one of processing time, else of event time.
	Processing bool
	key        process.Row
}

// KeyString returns the key's columns as text, separated by commas.
func (t Timer) KeyString() string {
	var parts []string
	b := t.key.Batch()
	for _, v := range b.Columns {
		if v.Null(t.key.Index()) {
			parts = append(parts, "null")
		} else {
			parts = append(parts, string(v.AppendText(nil, t.key.Index())))
		}
	}
	return strings.Join(parts, ",")
}

// Key reads the key's columns, in the order of KeyBy, into the fields of a struct, or the only one into a value of its type.
func (t Timer) Key(into any) error {
	p := reflect.ValueOf(into)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("a timer's key is read into a pointer, this is a %T", into)
	}
	b := t.key.Batch()
	schema := &core.Schema{TimeColumn: -1}
	name := ""
	for i, v := range b.Columns {
		if b.Schema != nil {
			name = b.Schema.Fields[i].Name
		}
		schema.Fields = append(schema.Fields, core.Field{Name: name, Type: v.Type})
	}
	c, err := newRecordCodec(p.Type().Elem(), name, schema)
	if err != nil {
		return err
	}
	return c.readRow(b, []int32{int32(t.key.Index())}, p.UnsafePointer())
}

// Processor is a process function.
type Processor[In, Out any] struct {
	// Row takes a row; state is that of its key. The pointer is only valid during the call.
	Row func(ctx *Context[Out], row *In) error
	// Timer takes a timer that is due; nil when none are set.
	Timer func(ctx *Context[Out], timer Timer) error
}

// CoProcessor is a process function of two inputs.
type CoProcessor[L, R, Out any] struct {
	Left  func(ctx *Context[Out], row *L) error
	Right func(ctx *Context[Out], row *R) error
	Timer func(ctx *Context[Out], timer Timer) error
}

// Process calls a function for each row of a keyed stream, with state and timers of its key: the builder declares them (see Setup) and makes the function.
func Process[In, Out any](k *Keyed[In], name string, build func(*Setup) Processor[In, Out]) *Stream[Out] {
	e := k.s.env
	at := e.place(name)
	return processOf(e, at, "process", []input{inputOf(k.s, k.keys, false)}, func(s *Setup, schemas []*core.Schema) (*calls[Out], error) {
		f := build(s)
		row, err := caller1(s, schemas[0], f.Row)
		return &calls[Out]{rows: []call[Out]{row}, timer: f.Timer}, err
	})
}

// CoProcess calls a function for the rows of two streams whose keys have the same types: state and timers are the key's, whichever stream a row is of.
func CoProcess[L, R, Out any](left *Keyed[L], right *Keyed[R], name string, build func(*Setup) CoProcessor[L, R, Out]) *Stream[Out] {
	e := left.s.env
	at := e.place(name)
	return processOf(e, at, "co-process", []input{inputOf(left.s, left.keys, false), inputOf(right.s, right.keys, false)}, coCalls(build))
}

// ProcessBroadcast calls a function for the rows of a keyed stream (Left) and for those of a second one (Right), which every worker gets all of, and
// which may write broadcast state (BroadcastMap). Rows of the second have no key.
func ProcessBroadcast[In, B, Out any](k *Keyed[In], broadcast *Stream[B], name string, build func(*Setup) CoProcessor[In, B, Out]) *Stream[Out] {
	e := k.s.env
	at := e.place(name)
	return processOf(e, at, "broadcast process", []input{inputOf(k.s, k.keys, false), inputOf(broadcast, nil, true)}, coCalls(build))
}

func coCalls[L, R, Out any](build func(*Setup) CoProcessor[L, R, Out]) func(*Setup, []*core.Schema) (*calls[Out], error) {
	return func(s *Setup, schemas []*core.Schema) (*calls[Out], error) {
		f := build(s)
		left, err := caller1(s, schemas[0], f.Left)
		if err != nil {
			return nil, err
		}
		right, err := caller1(s, schemas[1], f.Right)
		return &calls[Out]{rows: []call[Out]{left, right}, timer: f.Timer}, err
	}
}

type input struct {
	node      plan.Node
	keys      []string
	needs     []string
	broadcast bool
}

func inputOf[T any](s *Stream[T], keys []string, broadcast bool) input {
	needs := columnsOf[T]()
	for _, k := range keys {
		if !slices.Contains(needs, k) {
			needs = append(needs, k)
		}
	}
	if s.node != nil { // event time is read with the row
		if schema := s.Columns(); schema.TimeColumn >= 0 {
			if name := schema.Fields[schema.TimeColumn].Name; !slices.Contains(needs, name) {
				needs = append(needs, name)
			}
		}
	}
	return input{s.node, keys, needs, broadcast}
}

// call takes a row of an input.
type call[Out any] func(ctx *Context[Out], row process.Row) error

// calls is a function of the program, for one instance.
type calls[Out any] struct {
	rows  []call[Out]
	timer func(*Context[Out], Timer) error
	batch *BatchProcessor // instead of both
}

// caller1 makes a struct of each row.
func caller1[T, Out any](_ *Setup, schema *core.Schema, f func(*Context[Out], *T) error) (call[Out], error) {
	if f == nil {
		return nil, fmt.Errorf("a process function needs a function for the rows of each input")
	}
	c, err := newCodec(reflect.TypeFor[T](), schema)
	row, sel := new(T), make([]int32, 1)
	return func(ctx *Context[Out], r process.Row) error {
		sel[0] = int32(r.Index())
		if err := c.readRow(r.Batch(), sel, unsafe.Pointer(row)); err != nil {
			return err
		}
		return f(ctx, row)
	}, err
}

func processOf[Out any](e *Env, at plan.Place, kind string, inputs []input, build func(*Setup, []*core.Schema) (*calls[Out], error)) *Stream[Out] {
	declared := &Setup{env: e}
	fail := func(err error) *Stream[Out] {
		for _, f := range declared.made {
			f(at, nil)
		}
		if err != nil {
			e.fail(at, err)
		}
		return broken[Out](e)
	}
	var nodes []plan.Node
	var schemas []*core.Schema
	o := &plan.Operator{Kind: kind, Stateful: true, Unbalanced: at.Name + " is a process function: rows out are not rows in"}
	for _, in := range inputs {
		if in.node == nil {
			return fail(nil)
		}
		nodes, schemas = append(nodes, in.node), append(schemas, in.node.Common().Schema)
		port := plan.Port{Exchange: plan.Hash, Keys: in.keys}
		switch {
		case in.broadcast:
			port.Exchange = plan.Broadcast
		case len(in.keys) == 0:
			port.Exchange = plan.Gather
		}
		o.Ports = append(o.Ports, port)
	}
	made, err := build(declared, schemas)
	if err != nil {
		return fail(err)
	}
	if declared.err != nil {
		return fail(declared.err)
	}
	output, err := schemaOf(reflect.TypeFor[Out]())
	if err != nil {
		return fail(err)
	}
	keepTime(output, schemas[0])
	out, err := newCodec(reflect.TypeFor[Out](), output)
	if err != nil {
		return fail(err)
	}
	spec := &function{at: at}
	for _, in := range inputs {
		spec.needs = append(spec.needs, in.needs)
		spec.lines = append(spec.lines, [2]string{"key", strings.Join(in.keys, ", ")})
	}
	for _, d := range append(slices.Clone(declared.states), declared.broadcasts...) {
		spec.lines = append(spec.lines, [2]string{"state", d.Name + " " + d.Kind.String()})
		spec.fixed = append(spec.fixed, [2]string{"state " + d.Name, fmt.Sprint(d.Kind, " ", d.Keys, " ", d.Fields)})
	}
	o.Spec, o.Sides = spec, declared.sides
	spec.bind = func(schemas []*core.Schema) (plan.Bound, error) {
		config := process.Config{Name: at.Name, Keyed: true, States: declared.states, Broadcasts: declared.broadcasts}
		for i, in := range inputs {
			port := process.Port{Broadcast: in.broadcast}
			for _, k := range in.keys {
				port.Keys = append(port.Keys, schemas[i].Index(k))
			}
			config.Ports = append(config.Ports, port)
		}
		one := func() instance[Out] {
			return instance[Out]{env: e, build: build, schemas: schemas, ctx: Context[Out]{codec: out}}
		}
		if made.batch != nil {
			config.NewBatch = func() process.BatchFunction { return &batchInstance[Out]{one()} }
		} else {
			config.New = func() process.Function {
				i := one()
				return &i
			}
		}
		return plan.Bound{Output: output, Sides: declared.schemas, New: func() core.Operator { return process.New(config) }}, nil
	}
	node, err := plan.NewOperator(at, "process", o, nodes...)
	if err != nil {
		return fail(err)
	}
	for _, f := range declared.made {
		f(at, node)
	}
	return checked[Out](e, at, node, nil)
}

// instance is a function of the program on one worker.
type instance[Out any] struct {
	env     *Env
	build   func(*Setup, []*core.Schema) (*calls[Out], error)
	schemas []*core.Schema
	setup   Setup
	calls   *calls[Out]
	ctx     Context[Out]
}

// Open implements process.Function.
func (i *instance[Out]) Open(s *process.Setup) (err error) {
	i.setup = Setup{env: i.env, open: s}
	i.calls, err = i.build(&i.setup, i.schemas)
	if err == nil {
		err = i.setup.err
	}
	return err
}

// Process implements process.Function.
func (i *instance[Out]) Process(c *process.Context, row process.Row) error {
	i.ctx.c, i.setup.active = c, c
	return i.calls.rows[c.Port()](&i.ctx, row)
}

// OnTimer implements process.Function.
func (i *instance[Out]) OnTimer(c *process.Context, t process.Timer) error {
	i.ctx.c, i.setup.active = c, c
	if i.calls.timer == nil {
		return fmt.Errorf("a timer is due, and the function has no Timer")
	}
	return i.calls.timer(&i.ctx, Timer{At: moment(t.Time), Processing: t.Processing, key: t.Key})
}

// Close implements process.Function.
func (i *instance[Out]) Close() error {
	for _, f := range i.setup.close {
		f()
	}
	i.setup.close = nil
	return nil
}
