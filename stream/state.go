package stream

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/plan"
)

// TTL is the time to live of a state.
type TTL = process.TTL

// Setup is what the builder of a process function declares its states and side outputs with. The builder is called once when the job is built, to learn
// what it declares, and then once for each worker; so it must declare the same each time and do nothing else but make its function.
type Setup struct {
	env        *Env
	states     []process.Descriptor
	broadcasts []process.Descriptor
	sides      []plan.Side
	schemas    []*core.Schema
	made       []func(at plan.Place, o *plan.Operator) // streams of sides
	err        error

	open   *process.Setup // nil while the job is built
	close  []func()
	active *process.Context
}

func (s *Setup) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// record is one value under way between Go and columns.
type record[V any] struct {
	codec *codec
	batch core.Batch
	value V
}

func newRecord[V any](s *Setup, name string) *record[V] {
	r := &record[V]{}
	t := reflect.TypeFor[V]()
	schema, err := recordOf(t, name)
	if err == nil {
		r.codec, err = newRecordCodec(t, name, schema)
	}
	if err != nil {
		s.fail(err)
		return r
	}
	r.batch.Schema = schema
	if s.open == nil {
		return r
	}
	account := s.open.Context().Account
	for _, f := range schema.Fields {
		v := core.NewVector(account, f.Type, 1)
		r.batch.Columns = append(r.batch.Columns, v)
		s.close = append(s.close, v.Release)
	}
	return r
}

func (r *record[V]) fields() []core.Field {
	if r.batch.Schema == nil {
		return nil
	}
	return r.batch.Schema.Fields
}

// row brings x into columns.
func (r *record[V]) row(x V) process.Row {
	for _, v := range r.batch.Columns {
		v.Reset()
	}
	r.batch.Len = 0
	r.value = x
	if err := r.codec.write(&r.batch, unsafe.Pointer(&r.value), 1); err != nil {
		panic(err)
	}
	return process.RowOf(&r.batch, 0)
}

// get makes a value of fields that appendTo brings into columns.
func (r *record[V]) get(appendTo func(v *core.Vector, f int)) V {
	for f, v := range r.batch.Columns {
		v.Reset()
		appendTo(v, f)
	}
	r.batch.Len = 1
	var zero V
	r.value = zero
	if err := r.codec.read(&r.batch, unsafe.Pointer(&r.value)); err != nil {
		panic(err)
	}
	return r.value
}

func (s *Setup) declare(list *[]process.Descriptor, d process.Descriptor, ttl []TTL) {
	for _, t := range ttl {
		d.TTL = t
	}
	for _, other := range *list {
		if other.Name == d.Name {
			s.fail(fmt.Errorf("two states are named %s", d.Name))
		}
	}
	*list = append(*list, d)
}

// ValueState is one value for each key. Its methods are about the key of the row or timer at hand; so it is with all keyed state.
type ValueState[V any] struct {
	state *process.Value
	r     *record[V]
}

// Value declares a value state. V is a struct of columns, or the Go type of one.
func Value[V any](s *Setup, name string, ttl ...TTL) *ValueState[V] {
	v := &ValueState[V]{r: newRecord[V](s, ValueColumn)}
	s.declare(&s.states, process.Descriptor{Name: name, Kind: process.ValueKind, Fields: v.r.fields()}, ttl)
	if s.open != nil {
		v.state = s.open.Value(name)
	}
	return v
}

// Get returns the value; ok is false when there is none, or it has expired.
func (v *ValueState[V]) Get() (value V, ok bool) {
	if !v.state.Present() {
		return value, false
	}
	return v.r.get(v.state.AppendTo), true
}

// Set writes the value.
func (v *ValueState[V]) Set(x V) { v.state.SetRow(v.r.row(x)) }

// Clear removes it.
func (v *ValueState[V]) Clear() { v.state.Clear() }

// ListState is a list for each key.
type ListState[V any] struct {
	state *process.List
	r     *record[V]
}

// List declares a list state.
func List[V any](s *Setup, name string, ttl ...TTL) *ListState[V] {
	l := &ListState[V]{r: newRecord[V](s, ValueColumn)}
	s.declare(&s.states, process.Descriptor{Name: name, Kind: process.ListKind, Fields: l.r.fields()}, ttl)
	if s.open != nil {
		l.state = s.open.List(name)
	}
	return l
}

// Add appends an element.
func (l *ListState[V]) Add(x V) { l.state.AddRow(l.r.row(x)) }

// Each visits the elements in the order in which they were added; remove says that the element goes.
func (l *ListState[V]) Each(visit func(x V) (remove bool, err error)) error {
	return l.state.Each(func(at *process.Cells) error {
		remove, err := visit(l.r.get(at.AppendTo))
		if remove {
			l.state.Remove()
		}
		return err
	})
}

// All returns the elements.
func (l *ListState[V]) All() []V {
	var out []V
	_ = l.Each(func(x V) (bool, error) { out = append(out, x); return false, nil })
	return out
}

// Len returns the number of elements.
func (l *ListState[V]) Len() int { return l.state.Len() }

// Clear removes all elements.
func (l *ListState[V]) Clear() { l.state.Clear() }

// entries is what maps of both kinds can do.
type entries interface {
	Key() *process.Record
	Find() bool
	Put() bool
	At() *process.Cells
	AppendKey(v *core.Vector, f int)
	Remove()
	Each(visit func() error) error
	Len() int
}

// MapState is a map for each key (made by Map), or one map for all (made by BroadcastMap).
type MapState[K comparable, V any] struct {
	state entries
	key   *record[K]
	value *record[V]
	clear func()
}

// MapOf declares a map state. K and V are structs of columns, or the Go types of one.
func MapOf[K comparable, V any](s *Setup, name string, ttl ...TTL) *MapState[K, V] {
	m := newMap[K, V](s)
	s.declare(&s.states, process.Descriptor{Name: name, Kind: process.MapKind, Keys: m.key.fields(), Fields: m.value.fields()}, ttl)
	if s.open != nil {
		state := s.open.Map(name)
		m.state, m.clear = state, state.Clear
	}
	return m
}

// BroadcastMap declares broadcast state of a ProcessBroadcast: the same on every worker, written for rows of the broadcast stream and read anywhere.
func BroadcastMap[K comparable, V any](s *Setup, name string) *MapState[K, V] {
	m := newMap[K, V](s)
	s.declare(&s.broadcasts, process.Descriptor{Name: name, Kind: process.MapKind, Keys: m.key.fields(), Fields: m.value.fields()}, nil)
	if s.open != nil {
		m.state = s.open.Broadcast(name)
	}
	return m
}

func newMap[K comparable, V any](s *Setup) *MapState[K, V] {
	return &MapState[K, V]{key: newRecord[K](s, KeyColumn), value: newRecord[V](s, ValueColumn)}
}

func (m *MapState[K, V]) seek(k K) {
	row := m.key.row(k)
	record := m.state.Key()
	for f := range m.key.batch.Columns {
		record.Copy(f, row.Column(f), 0)
	}
}

// Get returns the value of k; ok is false when there is none, or it has expired.
func (m *MapState[K, V]) Get(k K) (value V, ok bool) {
	if m.seek(k); !m.state.Find() {
		return value, false
	}
	return m.value.get(m.state.At().AppendTo), true
}

// Put writes the value of k.
func (m *MapState[K, V]) Put(k K, x V) {
	m.seek(k)
	m.state.Put()
	m.state.At().SetRow(m.value.row(x))
}

// Remove removes k, if it is there.
func (m *MapState[K, V]) Remove(k K) {
	if m.seek(k); m.state.Find() {
		m.state.Remove()
	}
}

// Each visits the entries, in the order in which they were first put (broadcast state: in no particular one). visit changes none of them.
func (m *MapState[K, V]) Each(visit func(k K, x V) error) error {
	return m.state.Each(func() error {
		return visit(m.key.get(m.state.AppendKey), m.value.get(m.state.At().AppendTo))
	})
}

// Len returns the number of entries.
func (m *MapState[K, V]) Len() int { return m.state.Len() }

// Clear removes all entries of the key at hand. Broadcast state has no key: there it does so entry by entry.
func (m *MapState[K, V]) Clear() {
	if m.clear != nil {
		m.clear()
		return
	}
	var keys []K
	_ = m.Each(func(k K, _ V) error { keys = append(keys, k); return nil })
	for _, k := range keys {
		m.Remove(k)
	}
}

// Side is a side output of a process function.
type Side[S any] struct {
	setup *Setup
	index int
	codec *codec
	row   S
}

// SideOutput declares a side output: the stream of its rows is in *into when the operator has been made.
func SideOutput[S any](s *Setup, name string, into **Stream[S]) *Side[S] {
	side := &Side[S]{setup: s, index: len(s.sides)}
	schema, err := schemaOf(reflect.TypeFor[S]())
	if err == nil {
		side.codec, err = newCodec(reflect.TypeFor[S](), schema)
	}
	if err != nil {
		s.fail(err)
	}
	s.sides, s.schemas = append(s.sides, plan.Side{Name: name, Port: -1}), append(s.schemas, schema)
	s.made = append(s.made, func(at plan.Place, o *plan.Operator) {
		if o == nil {
			*into = broken[S](s.env)
			return
		}
		at.Name += "-" + name
		*into = checked[S](s.env, at, plan.NewSideOutput(at, o, side.index), nil)
	})
	return side
}

// Emit sends a row to the side output.
func (s *Side[S]) Emit(row S) {
	s.row = row
	emitRow(s.codec, unsafe.Pointer(&s.row), s.setup.active.Side(s.index))
}

// emitRow appends one row to an output.
func emitRow(c *codec, row unsafe.Pointer, out *process.Output) {
	if err := c.writeTo(out, row); err != nil {
		panic(err)
	}
	out.End()
}

// writeTo appends one struct to the columns of an output.
func (c *codec) writeTo(out *process.Output, base unsafe.Pointer) error {
	r := rows{n: 1, stride: c.of.Size()}
	for i := range c.fields {
		f := &c.fields[i]
		v := out.Column(f.column)
		if f.null && !*(*bool)(unsafe.Add(base, f.valid)) {
			v.AppendNull()
			continue
		}
		r.base = unsafe.Add(base, f.offset)
		if err := f.write(v, r); err != nil {
			return fmt.Errorf("column %s: %w", f.name, err)
		}
	}
	return nil
}

// readRow fills one struct from the physical row that sel has.
func (c *codec) readRow(b *core.Batch, sel []int32, base unsafe.Pointer) error {
	r := rows{sel: sel, n: 1, stride: c.of.Size()}
	for i := range c.fields {
		f := &c.fields[i]
		v := b.Columns[f.column]
		if v.HasNulls() {
			if err := f.nulls(v, r, base); err != nil {
				return err
			}
		} else if f.null {
			*(*bool)(unsafe.Add(base, f.valid)) = true
		}
		r.base = unsafe.Add(base, f.offset)
		if err := f.read(v, r); err != nil {
			return fmt.Errorf("column %s: %w", f.name, err)
		}
	}
	return nil
}

func moment(t core.Time) time.Time { return time.UnixMicro(int64(t)).UTC() }
