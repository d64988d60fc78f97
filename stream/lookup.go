package stream

import (
	"context"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/plan"
)

// Lookups says how Lookup asks.
type Lookups struct {
	Async
	Left bool // rows without a match go on with nulls; else they are dropped
	// CacheKeys is the number of keys whose rows each worker keeps; 0: none. They are used for CacheFor (0: until others displace them), and not in checkpoints.
	CacheKeys int
	CacheFor  time.Duration
	Misses    bool // keys without a match are kept, too
}

// Lookup joins each row with the rows that a function finds for its key in some other system, now. Rows of one key share a request: K is a struct, whose
// fields are the key columns in their order, or the Go type of the only one. A key with a null has no match. The result has the stream's columns, then those of V, which
// are nullable with Left; U names some of them. The function calls emit for what it finds before it returns, returns soon when ctx ends, and may be asked again
// after a restart.
func Lookup[U, K, V, T any](k *Keyed[T], name string, how Lookups, find func(ctx context.Context, key K, emit func(V)) error) *Stream[U] {
	e := k.s.env
	at := e.place(name)
	if k.s.node == nil {
		return broken[U](e)
	}
	r, err := reference(find)
	if err != nil {
		return result[U](e, at, nil, err)
	}
	l := plan.Lookup{Name: name, Reference: r, Keys: k.keys, Config: process.LookupConfig{
		RequestConfig: process.RequestConfig{Capacity: how.Capacity, Ordered: how.Ordered, Timeout: how.Timeout, Retry: how.Retry},
		Left:          how.Left, Cache: process.CacheConfig{Rows: how.CacheKeys, TTL: how.CacheFor, Misses: how.Misses},
	}}
	if how.Drop {
		l.Config.OnFailure = process.DropRow
	}
	o, err := plan.NewLookup(at, k.s.node, l)
	return result[U](e, at, o, err)
}

// RegisterLookup gives a function a name, for lookups in job specifications:
//
//	streams:
//	  named: {from: trips, lookup: {function: zones, on: [cell], cache: {keys: 10000, ttl: 10m}}}
//
// K and V are as for Lookup. Call it in an init function, in a package that the program's main imports beside turbo/cli. Types that are no columns panic: a mistake of
// the program.
func RegisterLookup[K, V any](name string, find func(ctx context.Context, key K, emit func(V)) error) {
	r, err := reference(find)
	if err != nil {
		panic(fmt.Sprintf("stream: the lookup %s: %v", name, err))
	}
	plan.RegisterReference(name, r)
}

// reference is a function as the plan sees it.
func reference[K, V any](find func(ctx context.Context, key K, emit func(V)) error) (plan.Reference, error) {
	key, err := recordOf(reflect.TypeFor[K](), KeyColumn)
	if err != nil {
		return plan.Reference{}, err
	}
	table, err := recordOf(reflect.TypeFor[V](), ValueColumn)
	if err != nil {
		return plan.Reference{}, err
	}
	found, err := newRecordCodec(reflect.TypeFor[V](), ValueColumn, table)
	if err != nil {
		return plan.Reference{}, err
	}
	table.TimeColumn = -1 // event time is the stream's
	r := plan.Reference{Key: key.Fields, Table: table}
	r.Bind = func(input *core.Schema, keys []int) (func(context.Context, process.Row, *process.Output) error, error) {
		asked := core.NewSchema()
		for i, k := range keys {
			asked.Fields = append(asked.Fields, core.Field{Name: key.Fields[i].Name, Type: input.Fields[k].Type})
		}
		codec, err := newRecordCodec(reflect.TypeFor[K](), KeyColumn, asked)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, row process.Row, out *process.Output) error {
			view := core.Batch{Schema: asked}
			for _, k := range keys {
				view.Columns = append(view.Columns, row.Batch().Columns[k])
			}
			var key K
			if err := codec.readRow(&view, []int32{int32(row.Index())}, unsafe.Pointer(&key)); err != nil {
				return err
			}
			var made []V
			if err := find(ctx, key, func(v V) { made = append(made, v) }); err != nil {
				return err
			}
			for i := range made {
				emitRow(found, unsafe.Pointer(&made[i]), out)
			}
			return nil
		}, nil
	}
	return r, nil
}
