package stream

import (
	"fmt"
	"reflect"
	"unsafe"

	"turbo/core"
	"turbo/plan"
)

// Keyed is a stream that is divided by key columns: what has state keeps it for each key. Null is a key like any other.
type Keyed[T any] struct {
	s    *Stream[T]
	keys []string
}

// KeyBy divides the stream by columns. Without any, the whole stream has one key, and goes to one worker.
func (s *Stream[T]) KeyBy(columns ...string) *Keyed[T] {
	at := plan.Place{Name: "KeyBy", Pos: caller()}
	k := &Keyed[T]{s: s, keys: columns}
	if s.node == nil {
		return k
	}
	for i, name := range columns {
		near := ""
		if n := core.Nearest(name, s.Columns().Names()); n != "" {
			near = ", did you mean " + n + "?"
		}
		if s.Columns().Index(name) < 0 {
			s.env.fail(at, fmt.Errorf("unknown column %s%s", name, near))
			k.s = broken[T](s.env)
		}
		for _, before := range columns[:i] {
			if before == name {
				s.env.fail(at, fmt.Errorf("the key %s stands twice", name))
				k.s = broken[T](s.env)
			}
		}
	}
	return k
}

// Columns returns the key columns.
func (k *Keyed[T]) Columns() []string { return k.keys }

// KeyColumn is the name of the column that KeyByFunc adds for a key that is no struct.
const KeyColumn = "key"

// KeyByFunc divides the stream by what a function says. K is a struct, whose fields become key columns, or any type of a column, which
// becomes the column key. The function must give the same key for the same row.
func KeyByFunc[K, T any](s *Stream[T], name string, key func(row *T) (K, error)) *Keyed[T] {
	at := s.env.place(name)
	if s.node == nil {
		return &Keyed[T]{s: s}
	}
	fail := func(err error) *Keyed[T] {
		s.env.fail(at, err)
		return &Keyed[T]{s: broken[T](s.env)}
	}
	added, err := recordOf(reflect.TypeFor[K](), KeyColumn)
	if err != nil {
		return fail(err)
	}
	input := s.Columns()
	output := func(in *core.Schema) *core.Schema {
		out := *in
		out.Fields = append(append([]core.Field(nil), in.Fields...), added.Fields...)
		return &out
	}
	for _, f := range added.Fields {
		if input.Index(f.Name) >= 0 {
			return fail(fmt.Errorf("the key's column %s is in %v already: give the key's field another name by a tag", f.Name, input))
		}
	}
	kc, err := newRecordCodec(reflect.TypeFor[K](), KeyColumn, added)
	if err != nil {
		return fail(err)
	}
	spec := &function{at: at, needs: [][]string{nil}}
	spec.bind = func(inputs []*core.Schema) (plan.Bound, error) {
		c, err := newCodecOf(reflect.TypeFor[T](), inputs[0], false)
		return plan.Bound{Output: output(inputs[0]), New: func() core.Operator {
			return &keyer[K, T]{name: name, in: typed[T]{codec: c}, out: typed[K]{codec: kc}, f: key, added: added}
		}}, err
	}
	o, err := plan.NewOperator(at, "key", &plan.Operator{Kind: "key", Ports: make([]plan.Port, 1), Spec: spec}, s.node)
	return &Keyed[T]{s: result[T](s.env, at, o, err), keys: added.Names()}
}

// recordOf is the schema of a struct, or that of one column of the given name.
func recordOf(t reflect.Type, name string) (*core.Schema, error) {
	if isRecord(t) {
		return schemaOf(t)
	}
	typ, err := typeOf(t)
	if err != nil {
		return nil, err
	}
	return core.NewSchema(core.Field{Name: name, Type: typ}), nil
}

// isRecord says whether t is a struct of columns, rather than the value of one.
func isRecord(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != timeType && t != decimalType && !t.Implements(nullableType)
}

// newRecordCodec is newCodec for what recordOf made.
func newRecordCodec(t reflect.Type, name string, schema *core.Schema) (*codec, error) {
	if isRecord(t) {
		return newCodec(t, schema)
	}
	return partialCodec(t, name, schema)
}

// partialCodec is newRecordCodec for some of the columns.
func partialCodec(t reflect.Type, name string, schema *core.Schema) (*codec, error) {
	if isRecord(t) {
		return newCodecOf(t, schema, true)
	}
	k := fieldCodec{name: name, path: name, typ: t, kind: schema.Fields[0].Type}
	if t.Implements(nullableType) {
		k.null, k.typ, k.valid = true, t.Field(0).Type, t.Field(1).Offset
	}
	if err := k.resolve(); err != nil {
		return nil, fmt.Errorf("%v: %w", t, err)
	}
	return &codec{of: t, fields: []fieldCodec{k}}, nil
}

// keyer adds key columns to rows. The other columns are passed on.
type keyer[K, T any] struct {
	core.BaseOperator
	name  string
	in    typed[T]
	out   typed[K]
	f     func(*T) (K, error)
	added *core.Schema
	ctx   *core.OperatorContext
	pool  *core.BatchPool
}

// Open implements core.Operator.
func (k *keyer[K, T]) Open(ctx *core.OperatorContext) error {
	k.ctx, k.pool = ctx, core.NewBatchPool(ctx.Account, ctx.Output, ctx.BatchRows, 8)
	return nil
}

// Close implements core.Operator.
func (k *keyer[K, T]) Close() error {
	if k.pool != nil {
		k.pool.Close()
	}
	return nil
}

// Process implements core.Operator.
func (k *keyer[K, T]) Process(_ int, b *core.Batch, out core.Emitter) error {
	err := k.apply(b)
	if err != nil || b.Rows() == 0 {
		b.Release()
		return err
	}
	made := k.pool.Get()
	n := len(b.Columns)
	for c, v := range b.Columns { // a copy of the selected rows: the new columns are as long
		if b.Sel == nil {
			made.Columns[c].AppendRange(v, 0, b.Len)
		} else {
			made.Columns[c].AppendSelected(v, b.Sel)
		}
	}
	if b.Kinds != nil {
		kinds := made.MakeKinds(b.Rows())
		for i := range kinds {
			kinds[i] = b.Kind(b.Row(i))
		}
	}
	b.Release()
	tail := core.Batch{Columns: made.Columns[n:]}
	if err := k.out.codec.write(&tail, unsafe.Pointer(unsafe.SliceData(k.out.rows)), len(k.out.rows)); err != nil {
		made.Release()
		return failure(k.name, err)
	}
	made.Len = len(k.out.rows)
	return out.Emit(made)
}

func (k *keyer[K, T]) apply(b *core.Batch) (err error) {
	at := -1
	defer guard(k.name, b, &at, &err)
	if err := k.in.read(b); err != nil {
		at = rowOf(err)
		return err
	}
	keys := k.out.room(len(k.in.rows))
	for i := range k.in.rows {
		at = i
		if keys[i], err = k.f(&k.in.rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// Aggregate keeps running aggregates for each key: columns are expressions of aggregates such as SUM(passengers), as in a job specification. U names the
// key columns and these. The result is a changelog: each row replaces the one before it of the same key.
func Aggregate[U, T any](k *Keyed[T], name string, columns ...Column) *Stream[U] {
	return aggregate[U](k, name, false, columns)
}

// AggregateEveryRow is Aggregate with one update a row, instead of one a changed key and batch.
func AggregateEveryRow[U, T any](k *Keyed[T], name string, columns ...Column) *Stream[U] {
	return aggregate[U](k, name, true, columns)
}

func aggregate[U, T any](k *Keyed[T], name string, everyRow bool, columns []Column) *Stream[U] {
	e := k.s.env
	at := e.place(name)
	if k.s.node == nil {
		return broken[U](e)
	}
	list, err := aggregateColumns(at, k.s.Columns(), k.keys, columns)
	if err != nil {
		e.fail(at, err)
		return broken[U](e)
	}
	node, err := plan.NewAggregate(at, k.s.node, k.keys, list, everyRow)
	return checked[U](e, at, node, err)
}

func aggregateColumns(at plan.Place, input *core.Schema, keys []string, columns []Column) (list []*plan.AggregateColumn, err error) {
	for _, c := range columns {
		a, err := plan.NewAggregateColumn(c.Name, c.Expression, keys, input)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		list = append(list, a.Written(origin(at, "column "+c.Name)))
	}
	return list, nil
}
