package stream

import (
	"errors"
	"reflect"

	"turbo/core"
	"turbo/plan"
)

// Filter keeps the rows for which keep is true. keep must not change the row, nor hold on to the pointer.
func Filter[T any](s *Stream[T], name string, keep func(row *T) (bool, error)) *Stream[T] {
	at := s.env.place(name)
	if s.node == nil {
		return s
	}
	spec := &function{at: at, needs: [][]string{columnsOf[T]()}}
	spec.bind = func(inputs []*core.Schema) (plan.Bound, error) {
		c, err := newCodec(reflect.TypeFor[T](), inputs[0])
		return plan.Bound{Output: inputs[0], New: func() core.Operator {
			return &filter[T]{name: name, in: typed[T]{codec: c}, keep: keep}
		}}, err
	}
	// The rows go on as they are: their columns are the input's, so all that readers want must come in.
	spec.needs[0] = nil
	o, err := plan.NewOperator(at, "filter", &plan.Operator{Kind: "filter", Ports: make([]plan.Port, 1), Spec: spec}, s.node)
	return result[T](s.env, at, o, err)
}

// result is the stream of an operator.
func result[T any](e *Env, at plan.Place, o *plan.Operator, err error) *Stream[T] {
	if err != nil {
		e.fail(at, err)
		return broken[T](e)
	}
	return checked[T](e, at, o, nil)
}

// Map makes one row of each.
func Map[In, Out any](s *Stream[In], name string, f func(row *In) (Out, error)) *Stream[Out] {
	at := s.env.place(name)
	if s.node == nil {
		return broken[Out](s.env)
	}
	o, err := transform[In, Out](at, "map", s.node, func(in, out *codec) core.Operator {
		return &mapper[In, Out]{name: name, in: typed[In]{codec: in}, out: typed[Out]{codec: out}, f: f}
	})
	return result[Out](s.env, at, o, err)
}

// FlatMap makes any number of rows of each: f calls emit for them.
func FlatMap[In, Out any](s *Stream[In], name string, f func(row *In, emit func(Out)) error) *Stream[Out] {
	at := s.env.place(name)
	if s.node == nil {
		return broken[Out](s.env)
	}
	o, err := transform[In, Out](at, "flat map", s.node, func(in, out *codec) core.Operator {
		return &flatMapper[In, Out]{name: name, in: typed[In]{codec: in}, out: typed[Out]{codec: out}, f: f}
	})
	return result[Out](s.env, at, o, err)
}

// transform puts an operator from rows of In to rows of Out on a stream. Out says by a tag which column has event time; without one, it is
// the input's event time column if Out has that under the same name and type.
func transform[In, Out any](at plan.Place, kind string, node plan.Node, make1 func(in, out *codec) core.Operator) (*plan.Operator, error) {
	if node.Common().Schema.Changelog {
		return nil, errors.New("the stream is a changelog, whose rows replace earlier ones: a function would have to know; use Select or Where")
	}
	output, err := schemaOf(reflect.TypeFor[Out]())
	if err != nil {
		return nil, err
	}
	outCodec, err := newCodec(reflect.TypeFor[Out](), output)
	if err != nil {
		return nil, err
	}
	keepTime(output, node.Common().Schema)
	spec := &function{at: at, needs: [][]string{columnsOf[In]()}}
	spec.bind = func(inputs []*core.Schema) (plan.Bound, error) {
		c, err := newCodec(reflect.TypeFor[In](), inputs[0])
		return plan.Bound{Output: output, New: func() core.Operator { return make1(c, outCodec) }}, err
	}
	return plan.NewOperator(at, "map", &plan.Operator{Kind: kind, Ports: make([]plan.Port, 1), Spec: spec, Unbalanced: unbalancedBy(kind, at)}, node)
}

func unbalancedBy(kind string, at plan.Place) string {
	if kind == "flat map" {
		return at.Name + " makes any number of rows of one"
	}
	return ""
}

// keepTime takes over event time from a column of the same name.
func keepTime(output, input *core.Schema) {
	if output.TimeColumn >= 0 || input.TimeColumn < 0 {
		return
	}
	f := input.Fields[input.TimeColumn]
	if i := output.Index(f.Name); i >= 0 && output.Fields[i].Type.Kind.IsTime() {
		output.TimeColumn, output.TimeShift = i, input.TimeShift
	}
}

type filter[T any] struct {
	core.BaseOperator
	name string
	in   typed[T]
	keep func(*T) (bool, error)
	ctx  *core.OperatorContext
	at   int // row that the function has, for errors; -1: none
}

// Open implements core.Operator.
func (f *filter[T]) Open(ctx *core.OperatorContext) error { f.ctx = ctx; return nil }

// Process implements core.Operator.
func (f *filter[T]) Process(_ int, b *core.Batch, out core.Emitter) error {
	before := b.Rows()
	if err := f.narrow(b); err != nil {
		b.Release()
		return err
	}
	f.ctx.Counters.Filtered += int64(before - b.Rows())
	if b.Rows() == 0 {
		b.Release()
		return nil
	}
	return out.Emit(b)
}

func (f *filter[T]) narrow(b *core.Batch) (err error) {
	f.at = -1
	defer guard(f.name, b, &f.at, &err)
	if err := f.in.read(b); err != nil {
		f.at = rowOf(err)
		return err
	}
	sel := b.SelBuffer(len(f.in.rows))
	n := 0
	for i := range f.in.rows {
		f.at = i
		keep, err := f.keep(&f.in.rows[i])
		if err != nil {
			return err
		}
		if keep {
			sel[n] = int32(b.Row(i)) // n <= i: what is read is not yet overwritten
			n++
		}
	}
	f.at = -1
	b.Sel = sel[:n]
	return nil
}

// rowOf is the row that an error is about, or -1.
func rowOf(err error) int {
	var e *rowError
	if errors.As(err, &e) {
		return e.row
	}
	return -1
}

type mapper[In, Out any] struct {
	core.BaseOperator
	name string
	in   typed[In]
	out  typed[Out]
	f    func(*In) (Out, error)
	pool *core.BatchPool
	at   int // row that the function has, for errors; -1: none
}

// Open implements core.Operator.
func (m *mapper[In, Out]) Open(ctx *core.OperatorContext) error {
	m.pool = core.NewBatchPool(ctx.Account, ctx.Output, ctx.BatchRows, 8)
	return nil
}

// Close implements core.Operator.
func (m *mapper[In, Out]) Close() error {
	if m.pool != nil {
		m.pool.Close()
	}
	return nil
}

// Process implements core.Operator.
func (m *mapper[In, Out]) Process(_ int, b *core.Batch, out core.Emitter) error {
	err := m.apply(b)
	b.Release()
	if err != nil || len(m.out.rows) == 0 {
		return err
	}
	made := m.pool.Get()
	if err := m.out.write(made); err != nil {
		made.Release()
		return failure(m.name, err)
	}
	return out.Emit(made)
}

func (m *mapper[In, Out]) apply(b *core.Batch) (err error) {
	m.at = -1
	defer guard(m.name, b, &m.at, &err)
	if err := m.in.read(b); err != nil {
		m.at = rowOf(err)
		return err
	}
	return m.rows(m.in.rows, m.out.room(len(m.in.rows)))
}

// rows calls the function for each row.
func (m *mapper[In, Out]) rows(in []In, outs []Out) error {
	outs = outs[:len(in)]
	for i := range in {
		m.at = i
		made, err := m.f(&in[i])
		if err != nil {
			return err
		}
		outs[i] = made
	}
	return nil
}

type flatMapper[In, Out any] struct {
	core.BaseOperator
	name string
	in   typed[In]
	out  typed[Out]
	f    func(*In, func(Out)) error
	ctx  *core.OperatorContext
	pool *core.BatchPool
	emit func(Out)
	made []Out       // by the rows before next
	rest []Out       // of made, not emitted yet
	from *core.Batch // in work, for messages
	next int
}

// Open implements core.Operator.
func (m *flatMapper[In, Out]) Open(ctx *core.OperatorContext) error {
	m.ctx, m.pool = ctx, core.NewBatchPool(ctx.Account, ctx.Output, ctx.BatchRows, 8)
	m.emit = func(row Out) { m.made = append(m.made, row) }
	return nil
}

// Close implements core.Operator.
func (m *flatMapper[In, Out]) Close() error {
	if m.from != nil {
		m.from.Release()
	}
	if m.pool != nil {
		m.pool.Close()
	}
	return nil
}

// Process implements core.Operator.
func (m *flatMapper[In, Out]) Process(_ int, b *core.Batch, out core.Emitter) (err error) {
	m.from, m.next = b, 0
	at := -1
	defer guard(m.name, b, &at, &err)
	if err = m.in.read(b); err != nil {
		at = rowOf(err)
	}
	return err
}

// Resume implements core.Operator: it goes on with the rows of the batch, for as long as what they make can be taken.
func (m *flatMapper[In, Out]) Resume(out core.Emitter) (more bool, err error) {
	for m.from != nil && !out.Full() {
		if len(m.rest) == 0 {
			if err := m.some(); err != nil {
				return false, err
			}
		}
		if len(m.rest) > 0 {
			made := m.pool.Get()
			m.out.rows = m.rest[:min(len(m.rest), m.ctx.BatchRows)] // one row may make more than a batch
			m.rest = m.rest[len(m.out.rows):]
			if err := m.out.write(made); err != nil {
				made.Release()
				return false, failure(m.name, err)
			}
			if err := out.Emit(made); err != nil {
				return false, err
			}
		}
		if len(m.rest) == 0 && m.next == len(m.in.rows) {
			m.from.Release()
			m.from = nil
		}
	}
	return m.from != nil, nil
}

// some calls the function for the next rows, until they have made a batch.
func (m *flatMapper[In, Out]) some() (err error) {
	defer guard(m.name, m.from, &m.next, &err)
	m.made = m.made[:0]
	for ; m.next < len(m.in.rows) && len(m.made) < m.ctx.BatchRows; m.next++ {
		if err := m.f(&m.in.rows[m.next], m.emit); err != nil {
			return err
		}
	}
	m.rest = m.made
	return nil
}
