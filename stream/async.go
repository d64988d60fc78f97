package stream

import (
	"context"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/internal/spec"
	"turbo/plan"
)

// Retry says how often a request that failed is made again.
type Retry = process.Retry

// Async says how AsyncWait makes its requests.
type Async struct {
	Capacity int           // requests at a time for each worker; 0: 100
	Ordered  bool          // results in the order of the rows; otherwise as they come, but never across a watermark
	Timeout  time.Duration // of a request, all attempts together; 0: none
	Retry    Retry
	Drop     bool // a row whose request failed is dropped and counted as skipped, instead of failing the job
}

// AsyncWait calls a function that waits for something outside, for many rows at a time, each in a goroutine. It calls emit for none, one or several
// results before it returns, and returns soon when ctx ends. A request may be made again after a restart.
func AsyncWait[In, Out any](s *Stream[In], name string, how Async, f func(ctx context.Context, row *In, emit func(Out)) error) *Stream[Out] {
	return operator1[In, Out](s, name, "async", func(in, out *codec) core.Operator {
		config := process.AsyncConfig{RequestConfig: process.RequestConfig{Name: name, Capacity: how.Capacity, Ordered: how.Ordered, Timeout: how.Timeout, Retry: how.Retry}}
		if how.Drop {
			config.OnFailure = process.DropRow
		}
		config.Call = func(ctx context.Context, row process.Row, to *process.Output) error {
			r := new(In)
			if err := in.readRow(row.Batch(), []int32{int32(row.Index())}, unsafe.Pointer(r)); err != nil {
				return err
			}
			var made []Out
			if err := f(ctx, r, func(o Out) { made = append(made, o) }); err != nil {
				return err
			}
			for i := range made {
				emitRow(out, unsafe.Pointer(&made[i]), to)
			}
			return nil
		}
		return process.NewAsync(config)
	}, how.lines()...)
}

// lines are what EXPLAIN says of the requests.
func (how Async) lines() (out [][2]string) {
	capacity := how.Capacity
	if capacity == 0 {
		capacity = 100
	}
	text := fmt.Sprintf("%d at a time for each worker, results as they come", capacity)
	if how.Ordered {
		text = fmt.Sprintf("%d at a time for each worker, results in the order of the rows", capacity)
	}
	if how.Timeout > 0 {
		text += ", each at most " + spec.FormatDuration(how.Timeout)
	}
	if how.Retry.Attempts > 1 {
		text += fmt.Sprintf(", up to %d attempts", how.Retry.Attempts)
	}
	if how.Drop {
		text += ", rows of failed ones are dropped"
	}
	return [][2]string{{"requests", text}, {"waits", "a watermark, a barrier and the end of input pass when all requests before them are answered"}}
}

// operator1 puts an operator of one input on a stream, that gives rows of Out.
func operator1[In, Out any](s *Stream[In], name, kind string, make1 func(in, out *codec) core.Operator, lines ...[2]string) *Stream[Out] {
	at := s.env.place(name)
	if s.node == nil {
		return broken[Out](s.env)
	}
	output, err := schemaOf(reflect.TypeFor[Out]())
	if err != nil {
		return result[Out](s.env, at, nil, err)
	}
	keepTime(output, s.Columns())
	out, err := newCodec(reflect.TypeFor[Out](), output)
	if err != nil {
		return result[Out](s.env, at, nil, err)
	}
	f := &function{at: at, needs: [][]string{columnsOf[In]()}, lines: lines}
	f.bind = func(inputs []*core.Schema) (plan.Bound, error) {
		in, err := newCodec(reflect.TypeFor[In](), inputs[0])
		return plan.Bound{Output: output, New: func() core.Operator { return make1(in, out) }}, err
	}
	o, err := plan.NewOperator(at, kind, &plan.Operator{Kind: kind, Ports: make([]plan.Port, 1), Spec: f, Unbalanced: name + " makes any number of rows of one"}, s.node)
	return result[Out](s.env, at, o, err)
}

// Rows is rows of a batch for the batch form of a function: see its methods.
type Rows = process.Block

// Output is what the batch form of a function appends columns to: as many values to each, then EndRows.
type Output = process.Output

// MapBatch is FlatMap in batch form: columns in, columns out. in.Batch has the stream's columns in the order of Columns, of which in.Row and in.Sel say the
// rows; out has those of Out in the order of its fields. Functions on several workers run at the same time.
func MapBatch[Out, In any](s *Stream[In], name string, f func(in *Rows, out *Output) error) *Stream[Out] {
	at := s.env.place(name)
	if s.node == nil {
		return broken[Out](s.env)
	}
	output, err := schemaOf(reflect.TypeFor[Out]())
	if err != nil {
		return result[Out](s.env, at, nil, err)
	}
	keepTime(output, s.Columns())
	spec := &function{at: at, needs: [][]string{nil}}
	spec.bind = func([]*core.Schema) (plan.Bound, error) {
		return plan.Bound{Output: output, New: func() core.Operator { return process.NewFlatMapBlocks(name, f) }}, nil
	}
	o, err := plan.NewOperator(at, "map", &plan.Operator{Kind: "map", Ports: make([]plan.Port, 1), Spec: spec, Unbalanced: name + " makes any number of rows of one"}, s.node)
	return result[Out](s.env, at, o, err)
}

// FilterBatch is Filter in batch form: keep appends the physical rows of b that stay, in ascending order, to sel. b has the stream's columns in the order
// of Columns; b.Row(i) are the rows to choose from, for i below b.Rows().
func FilterBatch[T any](s *Stream[T], name string, keep func(b *core.Batch, sel []int32) ([]int32, error)) *Stream[T] {
	at := s.env.place(name)
	if s.node == nil {
		return s
	}
	spec := &function{at: at, needs: [][]string{nil}}
	spec.bind = func(inputs []*core.Schema) (plan.Bound, error) {
		return plan.Bound{Output: inputs[0], New: func() core.Operator { return process.NewFilterBlocks(name, keep) }}, nil
	}
	o, err := plan.NewOperator(at, "filter", &plan.Operator{Kind: "filter", Ports: make([]plan.Port, 1), Spec: spec}, s.node)
	return result[T](s.env, at, o, err)
}

// Split divides a stream in n: which says for each row the number of the stream that it goes to, or -1 for none. It is called n times a row.
func Split[T any](s *Stream[T], name string, n int, which func(row *T) int) []*Stream[T] {
	out := make([]*Stream[T], n)
	for i := range out {
		out[i] = Filter(s, fmt.Sprintf("%s-%d", name, i), func(row *T) (bool, error) {
			w := which(row)
			if w >= n {
				return false, fmt.Errorf("the row goes to stream %d of %d", w, n)
			}
			return w == i, nil
		})
	}
	return out
}
