package stream

import (
	"reflect"

	"turbo/core"
	"turbo/plan"
)

// Stream is rows of type T, of which the columns are the fields (see the package comment).
type Stream[T any] struct {
	env  *Env
	node plan.Node // nil after a mistake
}

// broken is the stream after a mistake, which has been noted.
func broken[T any](e *Env) *Stream[T] { return &Stream[T]{env: e} }

// checked returns the stream over node when T fits its columns.
func checked[T any](e *Env, at plan.Place, node plan.Node, err error) *Stream[T] {
	if err == nil {
		_, err = newCodec(reflect.TypeFor[T](), node.Common().Schema)
	}
	if err != nil {
		e.fail(at, err)
		return broken[T](e)
	}
	return &Stream[T]{e, node}
}

// Columns returns the stream's columns; nil after a mistake. They may be more than T names: filters and sinks see all of them.
func (s *Stream[T]) Columns() *core.Schema {
	if s.node == nil {
		return nil
	}
	return s.node.Common().Schema
}

// Env returns the job that the stream belongs to.
func (s *Stream[T]) Env() *Env { return s.env }

// As reads the same rows as another struct type: its fields must be among the columns.
func As[U, T any](s *Stream[T]) *Stream[U] {
	at := plan.Place{Name: "As", Pos: caller()}
	if s.node == nil {
		return broken[U](s.env)
	}
	return checked[U](s.env, at, s.node, nil)
}

// Where keeps the rows for which an SQL condition over the columns is true.
func (s *Stream[T]) Where(name, condition string) *Stream[T] {
	at := s.env.place(name)
	if s.node == nil {
		return s
	}
	e, err := plan.NewExpr(condition, s.Columns())
	if err != nil {
		s.env.fail(at, err)
		return broken[T](s.env)
	}
	node, err := plan.NewFilter(at, s.node, e.Written(origin(at, "condition")))
	return checked[T](s.env, at, node, err)
}

// Column is a column of Select: a name and an SQL expression.
type Column struct{ Name, Expression string }

// Select computes columns by SQL expressions. U names some of them.
func Select[U, T any](s *Stream[T], name string, columns ...Column) *Stream[U] {
	at := s.env.place(name)
	if s.node == nil {
		return broken[U](s.env)
	}
	var list []plan.Column
	for _, c := range columns {
		e, err := plan.NewExpr(c.Expression, s.Columns())
		if err != nil {
			s.env.fail(at, err)
			return broken[U](s.env)
		}
		list = append(list, plan.Column{Name: c.Name, Expr: e.Written(origin(at, "column "+c.Name))})
	}
	node, err := plan.NewProject(at, s.node, list)
	return checked[U](s.env, at, node, err)
}

// Union brings streams of the same columns together.
func Union[T any](name string, first *Stream[T], others ...*Stream[T]) *Stream[T] {
	at := first.env.place(name)
	var nodes []plan.Node
	for _, s := range append([]*Stream[T]{first}, others...) {
		if s.node == nil {
			return broken[T](first.env)
		}
		nodes = append(nodes, s.node)
	}
	node, err := plan.NewUnion(at, nodes)
	return checked[T](first.env, at, node, err)
}
