package stream

import "fmt"

// ReducingState is a value for each key to which others are added: f combines what there is with each.
type ReducingState[V any] struct {
	value *ValueState[V]
	f     func(acc, x V) (V, error)
}

// Reducing declares a reducing state. f must be the same in every run: what it has made is kept.
func Reducing[V any](s *Setup, name string, f func(acc, x V) (V, error), ttl ...TTL) *ReducingState[V] {
	return &ReducingState[V]{Value[V](s, name, ttl...), f}
}

// Add combines x with the value, or makes it the value when there is none. After an error of f the value is as before.
func (r *ReducingState[V]) Add(x V) error {
	if acc, ok := r.value.Get(); ok {
		var err error
		if x, err = r.f(acc, x); err != nil {
			return err
		}
	}
	r.value.Set(x)
	return nil
}

// Get returns the value; ok is false when nothing has been added, or it has expired.
func (r *ReducingState[V]) Get() (value V, ok bool) { return r.value.Get() }

// Clear removes it.
func (r *ReducingState[V]) Clear() { r.value.Clear() }

// AggregatingState is an accumulator for each key, to which values of another type are added. Acc is a struct of columns, or the Go type of one.
type AggregatingState[In, Acc, Out any] struct {
	acc *ValueState[Acc]
	f   AggregateFunc[In, Acc, Out]
}

// Aggregating declares an aggregating state. Of f it needs Add and Result, and New unless an accumulator begins as its zero value.
func Aggregating[In, Acc, Out any](s *Setup, name string, f AggregateFunc[In, Acc, Out], ttl ...TTL) *AggregatingState[In, Acc, Out] {
	if f.Add == nil || f.Result == nil {
		s.fail(fmt.Errorf("the aggregating state %s needs Add and Result", name))
	}
	return &AggregatingState[In, Acc, Out]{Value[Acc](s, name, ttl...), f}
}

// Add adds x. After an error of Add the accumulator is as before.
func (a *AggregatingState[In, Acc, Out]) Add(x In) error {
	acc, ok := a.acc.Get()
	if !ok && a.f.New != nil {
		acc = a.f.New()
	}
	if err := a.f.Add(&acc, x); err != nil {
		return err
	}
	a.acc.Set(acc)
	return nil
}

// Get returns what has been added comes to; ok is false when nothing has, or it has expired.
func (a *AggregatingState[In, Acc, Out]) Get() (value Out, ok bool, err error) {
	acc, ok := a.acc.Get()
	if !ok {
		return value, false, nil
	}
	value, err = a.f.Result(&acc)
	return value, err == nil, err
}

// Clear removes it.
func (a *AggregatingState[In, Acc, Out]) Clear() { a.acc.Clear() }

// Reduce keeps one row for each key, with which f combines each row that comes: acc is the first row, and then what f made of it. After each row
// the result is what there is.
func Reduce[T any](k *Keyed[T], name string, f func(acc, row *T) error) *Stream[T] {
	return Process(k, name, func(s *Setup) Processor[T, T] {
		state := Value[T](s, "reduced")
		return Processor[T, T]{Row: func(ctx *Context[T], row *T) error {
			acc, ok := state.Get()
			if !ok {
				acc = *row
			} else if err := f(&acc, row); err != nil {
				return err
			}
			state.Set(acc)
			ctx.Emit(acc)
			return nil
		}}
	})
}

// Fold keeps a value for each key, which begins as begin says and to which f adds each row that comes. After each row the result is what there is. U is a
// struct of columns; it has the key only if f puts it there.
func Fold[U, T any](k *Keyed[T], name string, begin func() U, f func(acc *U, row *T) error) *Stream[U] {
	return Process(k, name, func(s *Setup) Processor[T, U] {
		state := Value[U](s, "folded")
		return Processor[T, U]{Row: func(ctx *Context[U], row *T) error {
			acc, ok := state.Get()
			if !ok {
				acc = begin()
			}
			if err := f(&acc, row); err != nil {
				return err
			}
			state.Set(acc)
			ctx.Emit(acc)
			return nil
		}}
	})
}
